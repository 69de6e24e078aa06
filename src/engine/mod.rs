//! Carries a plan out.
//!
//! # Who owns what
//!
//! The *dispatcher* owns the state of the run: it asks [`lifecycle`](crate::lifecycle) what is next
//! for each dataset, hands shards to workers and splits them while workers idle. A *worker* joins
//! both sides' listings of one shard and copies what differs. The *scribe* writes the ledger, alone,
//! in the order in which reports reach it. The display listens to events and decides nothing.
//!
//! ```text
//! dispatcher ──shards──▶ worker ──rows──▶ copy ──▶ stores
//!      │                   │               │
//!      └──── records ──────┴───────────────┴──▶ scribe ──▶ ledger
//! ```
//!
//! # Consistency
//!
//! A record is written at the target before it is told to the scribe, and its cursor moves in the
//! same batch. Starting afresh is resuming from nothing: there is no other recovery.
//!
//! # Stopping
//!
//! [`Shutdown`] first drains: no new record is begun, those under way are finished and committed.
//! Asked again, requests are dropped where they stand; multipart uploads keep their ids.
//!
//! # Memory
//!
//! Bounded by [`Limits`]: pages ahead per listing, records and bytes in flight, windows per shard.
//! Nothing grows with the number of records.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    cutover::RouteError,
    diff::JoinError,
    ledger::{Ledger, LedgerError},
    lifecycle::{Goal, IllegalEvent, State},
    model::{DatasetName, Epoch, Key, PhaseName, SiteName, Timestamp},
    plan::{Dataset, Level, Plan},
    report::{Redactor, Sink},
    store::StoreError,
};

mod abort;
mod approval;
mod budget;
pub mod compare;
mod copy;
mod dispatcher;
mod dry_run;
mod feeds;
mod floor;
mod hand;
mod journal;
mod late;
pub mod layout;
mod leads;
mod limits;
mod moved_on;
mod parts;
mod places;
mod proof;
mod redo;
mod requests;
mod scribe;
mod shutdown;
pub mod sites;
mod unclaimed;
mod verify;
mod waits;
mod worker;

pub use abort::{AbortOptions, Aborted};
pub(crate) use approval::binds as approval_binds;
pub use approval::{Approver, ByFlag, Ready};
pub(crate) use dry_run::LESS;
pub use dry_run::{DryRun, DryStep, dry_run};
pub(crate) use feeds::Inputs;
pub(crate) use late::resolution;
pub(crate) use places::Present;
pub use places::meaning_of;
pub(crate) use proof::{asks_more, cancellable, same_meaning};
pub(crate) use redo::exceeds_share;
pub(crate) use requests::{limits_set, withdrawal};
pub use shutdown::Shutdown;
pub(crate) use sites::lacks;
pub use sites::{DatasetStores, Sites};
pub use verify::{Found, SwitchProof, Verification, Verified};
pub use waits::WaitsFor;

/// What bounds a run, whatever the number of records.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Shards that are worked on at once.
    pub shards: usize,
    /// Records that are copied at once.
    pub records: usize,
    /// Bytes of bodies held at once.
    pub bytes: u64,
    /// Rows that a shard must have seen before it is split.
    pub split_rows_min: u64,
    /// Rows of a shard whose records go to the ledger together, at most: so many are compared again
    /// after a crash.
    pub batch_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { shards: 8, records: 64, bytes: 512 << 20, split_rows_min: 2000, batch_rows: 4096 }
    }
}

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How far.
    pub goal: Goal,
    /// Only these phases; all where empty.
    pub phases: Vec<PhaseName>,
    /// Only these datasets; all where empty.
    pub datasets: Vec<DatasetName>,
    /// Delete more than the plan's `delete_share`.
    pub force: bool,
    /// What bounds it.
    pub limits: Limits,
    /// Who approves cutovers.
    pub approver: Arc<dyn Approver>,
}

/// What a verification is asked to do.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Only these datasets; all where empty.
    pub datasets: Vec<DatasetName>,
    /// How thoroughly; the plan's level of each dataset where absent.
    pub level: Option<Level>,
    /// What bounds it.
    pub limits: Limits,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// Each dataset that was asked for, in the plan's order.
    pub datasets: Vec<DatasetOutcome>,
    /// The run was asked to stop.
    pub interrupted: bool,
    /// Why the run ended before its time.
    pub stopped: Option<EngineError>,
    /// What was given up because another command asked for it.
    pub aborted: Vec<Aborted>,
    /// Phases whose approval another command withdrew.
    pub withdrawn: BTreeSet<PhaseName>,
}

/// Where a dataset stands after a run.
#[derive(Debug)]
pub struct DatasetOutcome {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its phase.
    pub phase: PhaseName,
    /// Its state.
    pub state: State,
    /// It is where it was asked to be.
    pub reached: bool,
    /// A repair can mend what its verification found; what only a target has it leaves alone.
    pub repairable: bool,
    /// Why not.
    pub waits_for: Option<WaitsFor>,
    /// The witness of its verification in this run.
    pub verified: Option<Verified>,
}

impl DatasetOutcome {
    /// Nothing but an approval is missing.
    pub fn needs_approval(&self) -> bool {
        matches!(self.waits_for, Some(WaitsFor::Approval(_)))
    }

    /// Its cutover halted, since something was written at the old lead meanwhile.
    pub fn not_at_rest(&self) -> bool {
        !self.reached && matches!(self.waits_for, Some(WaitsFor::Rest { .. }))
    }
}

/// Why the engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A store, in a way that concerns more than one record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listing that cannot be trusted.
    #[error("a listing cannot be trusted: {0}")]
    Listing(#[from] JoinError),
    /// A listing ended without saying so: the task that read it is gone.
    #[error("a listing was cut off, which is a defect of migrate")]
    ListingLost,
    /// A pass came to its end although a shard had not.
    #[error("a shard of dataset {dataset} did not come to its end: run again to go on")]
    Unfinished {
        /// The dataset.
        dataset: DatasetName,
    },
    /// It was asked to drop what it was doing.
    #[error("it was cancelled")]
    Cancelled,
    /// A task panicked: a defect of this tool.
    #[error("a task panicked, which is a defect of migrate: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// A route.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A cutover did not come through.
    #[error("dataset {dataset} is not cut over: {reason}")]
    NotCutOver {
        /// The dataset.
        dataset: DatasetName,
        /// Why not.
        reason: String,
    },
    /// No answer came when a route was switched.
    #[error("whether the route {route} was switched is not known yet: the next run finds out first")]
    Unsettled {
        /// The route.
        route: String,
    },
    /// The lead has moved: what was the source no longer says what the targets are to hold.
    #[error("{lead} leads dataset {dataset} since epoch {epoch}: {refused}")]
    LeadMoved {
        /// The dataset.
        dataset: DatasetName,
        /// The site that leads.
        lead: SiteName,
        /// Since when.
        epoch: Epoch,
        /// What was refused.
        refused: &'static str,
    },
    /// It was given up, and what was asked for would bring it back.
    #[error("dataset {dataset} was given up, and a repair would copy it again: a run begins it anew, if that is meant")]
    GivenUp {
        /// The dataset.
        dataset: DatasetName,
    },
    /// The ledger holds events in an order that cannot be.
    #[error("the ledger's events make no sense: {0}")]
    Illegal(#[from] IllegalEvent),
    /// The scribe has stopped; its own error says why.
    #[error("the ledger is no longer written")]
    LedgerClosed,
    /// The meaning of a dataset that has begun was changed in the plan.
    #[error(
        "dataset {dataset} means something else than when it began: {difference}; \
         give it another name, or another --state directory, to begin anew"
    )]
    MeaningChanged {
        /// The dataset.
        dataset: DatasetName,
        /// What changed, for people.
        difference: String,
    },
    /// The plan asks for what this build cannot carry out.
    #[error("dataset {dataset} asks for {what} (line {line}, column {column}), which is not supported yet")]
    Unsupported {
        /// The dataset.
        dataset: DatasetName,
        /// The plan's key.
        what: String,
        /// Where it stands in the plan file.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Only the cutover needs it.
        cutover_only: bool,
    },
    /// More would be deleted than the plan allows.
    #[error(
        "{doomed} of {held} records would be deleted at {target}, more than delete_share allows ({}%): \
         look at the source of {dataset}; if that is what you want, run with --force",
        f64::from(*permille) / 10.0
    )]
    DeleteShare {
        /// The dataset.
        dataset: DatasetName,
        /// The target's location.
        target: String,
        /// Records that would be deleted.
        doomed: u64,
        /// Records that the target holds.
        held: u64,
        /// The most that may be deleted, in thousandths.
        permille: u16,
    },
    /// A directory is not the one that the migration has used so far: a disk that is not mounted, often.
    #[error(
        "the directory {path} of {location} is not the one that this migration has used so far: {found}; it was {known}: \
         mount the disk, or put the directory back; if it was moved or made anew on purpose, \
         `migrate run PLAN --accept-places` takes what is there from now on"
    )]
    PlaceChanged {
        /// The location in the plan.
        location: String,
        /// The resolved path.
        path: String,
        /// What is there now.
        found: String,
        /// What was there.
        known: String,
    },
    /// A site's configuration cannot be used.
    #[error("site {site}: {detail}")]
    Site {
        /// The site.
        site: String,
        /// What is wrong, and how to mend it.
        detail: String,
    },
}

impl EngineError {
    /// The plan or the data block the run; trying again changes nothing.
    pub fn is_blocking(&self) -> bool {
        match self {
            Self::MeaningChanged { .. }
            | Self::Unsupported { .. }
            | Self::DeleteShare { .. }
            | Self::NotCutOver { .. }
            | Self::LeadMoved { .. }
            | Self::GivenUp { .. } => true,
            Self::Route(error) => !matches!(error, RouteError::Store(_)),
            _ => false,
        }
    }

    /// Its text, with the keys that it names hidden where the plan asks for it.
    pub fn shown(&self, redactor: Redactor) -> String {
        self.hidden(&self.to_string(), redactor)
    }

    /// A text about it, with the keys that it names hidden where the plan asks for it.
    pub(crate) fn hidden(&self, text: &str, redactor: Redactor) -> String {
        let keys: Vec<&Key> = match self {
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.key().into_iter().collect(),
            Self::Listing(error) => error.keys(),
            _ => Vec::new(),
        };
        keys.into_iter().fold(text.to_owned(), |text, key| redactor.text(&text, key))
    }

    /// What the operator can do about it, where the text does not say so already.
    pub fn mend(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.kind().mend(),
            Self::Unsupported { cutover_only: true, .. } => {
                Some("copy and prove it now with `--until verified`; the cutover comes with a later version")
            }
            _ => None,
        }
    }
}

/// Carries the plan out, as far as asked.
///
/// Errors that concern single records are in the outcome and in the ledger; an error here means
/// that nothing was begun.
pub async fn run(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &RunOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<RunOutcome, EngineError> {
    for dataset in asked(plan, &options.phases, &options.datasets) {
        refuse_unsupported(dataset, options.goal == Goal::CutOver && dataset.cutover.is_some())?;
    }
    dispatcher::run(plan, sites, ledger, options, sink, shutdown).await
}

/// Verifies every follower of the datasets asked for; changes nothing.
pub async fn verify(
    plan: &Plan,
    sites: &Sites,
    ledger: Option<Arc<Ledger>>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<Vec<Verification>, EngineError> {
    let work = proof::verify(plan, sites, ledger, options, sink, shutdown.clone());
    proof::cancellable(&shutdown, work).await
}

/// Verifies, copies again exactly what differs, and looks again at what was copied.
/// Returns what the looks found, and how many records were mended.
pub async fn repair(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<(Vec<Verification>, u64), EngineError> {
    let work = proof::repair(plan, sites, ledger, options, sink, shutdown.clone());
    proof::cancellable(&shutdown, work).await
}

/// Gives datasets up, before their lead has moved.
pub async fn abort(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &AbortOptions,
    limits: Limits,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<Vec<Aborted>, EngineError> {
    let run_options = RunOptions {
        goal: Goal::Copied,
        phases: Vec::new(),
        datasets: options.datasets.clone(),
        force: false,
        limits,
        approver: Arc::new(ByFlag::default()),
    };
    let work = async |run: &dispatcher::Run<'_>| run.abort(options).await;
    let (done, written) = dispatcher::with_run(plan, sites, ledger, &run_options, sink, shutdown.clone(), work).await;
    written?;
    done
}

/// The datasets that were asked for, in the plan's order.
pub(crate) fn asked<'a>(
    plan: &'a Plan,
    phases: &'a [PhaseName],
    datasets: &'a [DatasetName],
) -> impl Iterator<Item = &'a Dataset> {
    plan.phases
        .iter()
        .filter(|phase| phases.is_empty() || phases.contains(&phase.name))
        .flat_map(|phase| &phase.datasets)
        .filter(|dataset| datasets.is_empty() || datasets.contains(&dataset.name))
}

/// How far a dataset is to come where `goal` is asked for: where no lead moves, a proof is all there is
/// to reach.
pub(crate) fn goal_of(dataset: &Dataset, goal: Goal) -> Goal {
    if dataset.cutover.is_some() { goal } else { goal.min(Goal::Verified) }
}

/// Refuses a dataset whose plan asks for more than this build can do: nothing is ever ignored.
pub(crate) fn refuse_unsupported(dataset: &Dataset, with_cutover: bool) -> Result<(), EngineError> {
    match dataset.unsupported.iter().find(|key| with_cutover || !key.cutover_only) {
        None => Ok(()),
        Some(key) => Err(EngineError::Unsupported {
            dataset: dataset.name.clone(),
            what: key.key.clone(),
            line: key.line,
            column: key.column,
            cutover_only: key.cutover_only,
        }),
    }
}

/// The moment, for the ledger.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// How often the display is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
