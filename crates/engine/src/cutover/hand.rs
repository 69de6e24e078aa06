//! What the steps of a cutover ask of the engine, and how a cutover halts.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{
    cutover::moves::Move,
    error::EngineError,
    route::{RouteError, RouteStore},
    verify::witness::Verified,
};
use migrate_core::{
    lifecycle::{Event, LATE_KEYS_MAX, State},
    model::{DatasetName, Key, Timestamp},
};

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
