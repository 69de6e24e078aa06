//! The cutover: moving the lead of a dataset, with proof.
//!
//! # Steps
//!
//! A cutover is a list of [`Step`]s. Each has a `check` that changes nothing, an `apply`, and an `undo`
//! that takes back what `apply` did; doing any of them twice is doing it once. A dry run walks the very
//! list that the real one takes, and only checks. Where nothing fences the old lead they are:
//!
//! | step | what it shows |
//! |---|---|
//! | gate | the route can be switched safely and still shows the lead that the plan moves |
//! | quiet | the old lead sees no write for the time that the plan names |
//! | final verify | both sides, compared in full after that time, are equal |
//! | last look | the old lead and the new one still show what was compared |
//! | switch | the route shows the new lead: compare-and-swap, epoch n to n + 1 |
//! | watch | every client has read the route again, and nothing was written at the old lead meanwhile |
//!
//! Datasets of one phase move together: no step begins before all of them are through the one
//! before it, and if one halts before the switch, all do.
//!
//! A run that is asked to stop (ctrl-c, SIGTERM, an abort) begins no further step, and ends the looks and
//! waits that are under way: up to the switch that stops the move for all datasets of the phase and takes
//! back what stands. Whether to stop is asked for the last time right before the switches, for all of
//! them at once: from there on each is made to its end, so that no stop parts a phase's leads.
//!
//! # Consistency
//!
//! The switch is the point of no return. Its intent is in the ledger before the route's store is
//! asked, so a crash leaves a dataset whose route was switched or was not, and only the route itself
//! tells which ([`switch::settle`]). Before the switch a failure takes back what the steps did; after
//! it a dataset only goes forward.
//!
//! A switch needs a [`SwitchProof`](crate::engine::SwitchProof), which is made of a [`Verified`], which only
//! a verification can make: a cutover without one does not compile. One that compared nothing makes no
//! such proof, unless the plan accepts that there is nothing.
//!
//! # Who does what
//!
//! This room knows routes and the order of steps. What steps need of the engine (to verify, to wait,
//! to write the ledger) they ask of a [`Hand`]. The dispatcher begins a cutover, and owns the state.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{
    engine::{EngineError, Verified},
    lifecycle::{Event, LATE_KEYS_MAX, State},
    model::{DatasetName, Key, SiteName, Timestamp},
    plan::{self, Dataset, Level},
};

pub mod route;
mod steps;
pub mod switch;
mod together;

pub(crate) use route::number_in_series;
pub use route::{RouteDocument, RouteError, RouteStore};
pub use steps::{Step, steps, steps_after_switch};
pub use together::{CheckedStep, dry_run, together};

/// What a cutover does to one dataset.
#[derive(Debug, Clone)]
pub struct Move {
    /// The dataset.
    pub dataset: DatasetName,
    /// The site that leads until then.
    pub from: SiteName,
    /// The site that leads from then on.
    pub to: SiteName,
    /// The other sites that hold the dataset then, the old lead first.
    pub followers: Vec<SiteName>,
    /// How thoroughly both sides are compared.
    pub level: Level,
    /// Whether the plan accepts that there is nothing to compare.
    pub accept_empty: bool,
    /// How the plan wants it.
    pub cutover: plan::Cutover,
}

/// What is said where a verification had nothing to compare, with what can be done about it: a mount that
/// is not there and a prefix with a typing error look just like an empty source.
pub const NOTHING_COMPARED: &str = "0 records: nothing was compared, and so nothing is proved; look whether the \
     source is there and is the right one, and at include and exclude; if it is meant to be empty, set \
     accept_empty = true";

impl Move {
    /// Whether the last verification compared nothing, and the plan does not accept that.
    pub fn lacks_proof(&self, state: &State) -> bool {
        matches!(state, State::Verified { compared: 0, .. }) && !self.accept_empty
    }

    /// The move that the plan describes; `None` where the dataset's lead stays.
    pub fn of(dataset: &Dataset) -> Option<Self> {
        let cutover = dataset.cutover.clone()?;
        let sites = || dataset.targets.iter().map(|target| &target.at.site);
        // The check has seen to it that the plan names the lead where there is a choice.
        let to = dataset.lead.as_ref().or(sites().next())?.clone();
        let others = sites().filter(|site| **site != to).cloned();
        let followers = std::iter::once(dataset.source.site.clone()).chain(others).collect();
        Some(Self {
            dataset: dataset.name.clone(),
            from: dataset.source.site.clone(),
            to,
            followers,
            level: dataset.verify,
            accept_empty: dataset.accept_empty,
            cutover,
        })
    }
}

/// What steps ask of the engine.
#[async_trait]
pub trait Hand: Debug + Send + Sync {
    /// Where the dataset stands.
    fn state(&self) -> State;

    /// Takes an event into the dataset's state; returns once it is on disk.
    async fn happened(&self, event: Event) -> Result<(), Halt>;

    /// Compares both sides in full, now.
    async fn verify(&self) -> Result<Verified, Halt>;

    /// Whether the run is to stop: then no step begins before the lead has moved.
    fn stops(&self) -> bool;

    /// Waits until requests are to be dropped where they stand.
    async fn cancelled(&self);

    /// What was written at the old lead and at the new one since the final verification, by a listing of
    /// each; [`Halt::Interrupted`] as soon as the run is to stop.
    async fn changes(&self) -> Result<Changes, Halt>;

    /// What was written at the old lead since the final verification, by one listing of it;
    /// [`Halt::Interrupted`] as soon as the run is to stop.
    async fn late(&self) -> Result<Written, Halt>;

    /// Tells people of writes that came too late.
    fn tell_late(&self, late: &Written);

    /// A key as it may be shown.
    fn shown(&self, key: &Key) -> Key;

    /// Waits, for a reason that people are told; cut short where the run is to stop.
    async fn wait(&self, time: Duration, reason: &str) -> Result<(), Halt>;

    /// When the route was switched, as far as the ledger knows.
    async fn switched_at(&self) -> Result<Option<Timestamp>, Halt>;

    /// Tells people what a step does.
    fn tell(&self, step: &'static str, detail: &str);

    /// The moment.
    fn now(&self) -> Timestamp;

    /// A name that no other attempt has.
    fn attempt(&self) -> String;
}

/// Records that are not what was compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// At the old lead.
    pub old: Written,
    /// At the new lead alone.
    pub new: Written,
}

/// Records that were written since, at one site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`LATE_KEYS_MAX`].
    pub keys: Vec<Key>,
}

impl Written {
    /// Counts one more.
    pub(crate) fn add(&mut self, key: Key) {
        self.count += 1;
        if self.keys.len() < LATE_KEYS_MAX {
            self.keys.push(key);
        }
    }
}

/// One dataset's cutover: what it is, where its route is, and who carries it out.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// What moves.
    pub what: &'a Move,
    /// Its route.
    pub route: &'a RouteStore,
    /// The engine.
    pub hand: &'a dyn Hand,
}

/// Why a cutover did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A step refused, and trying again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// The old lead was written to: what was compared is no longer what is there.
    #[error("the data moved on: {0}")]
    MovedOn(String),
    /// Another dataset of the phase halted.
    #[error("it moves together with {0}, which did not come through")]
    WithOthers(DatasetName),
    /// Whether the route was switched is not known; the next run finds out before anything else.
    #[error("whether the route {0} was switched is not known yet: run again to find out")]
    Unsettled(String),
    /// The run is to stop.
    #[error("the run was stopped")]
    Interrupted,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] EngineError),
}

impl From<RouteError> for Halt {
    fn from(error: RouteError) -> Self {
        Self::Failed(error.into())
    }
}
