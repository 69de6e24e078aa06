//! What the engine is asked to do, and the outcome.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{approver::Approver, error::EngineError, verify::witness::Verified, waits::WaitsFor};
use migrate_core::{
    lifecycle::{Goal, State},
    model::{DatasetName, PhaseName},
    plan::{Dataset, Level, Plan},
    report::{Grouped, count},
};
use migrate_ledger::Ledger;

/// The bounds of a run, whatever the number of records.
#[derive(Debug, Clone, Copy)]
pub struct InFlightMax {
    /// Shards worked on at once, less the other tasks of the datasets.
    pub shards: usize,
    /// Records in flight at once while no site is found to bear more requests than it bears in any case. Each waits for
    /// one request at a time, at one site or another.
    pub records: usize,
    /// Bytes of bodies held at once.
    pub bytes: u64,
    /// Rows that a shard must have seen before it is split.
    pub split_rows_min: u64,
    /// Most rows of a shard whose records go to the ledger together: so many are compared again after a crash.
    pub batch_rows: usize,
    /// How long a target may leave everything unanswered until it is down for the rest of the run.
    pub silence_max: Duration,
}

impl Default for InFlightMax {
    fn default() -> Self {
        Self {
            shards: 8,
            records: 32,
            bytes: bodies_max(),
            split_rows_min: 2000,
            batch_rows: 4096,
            silence_max: Duration::from_mins(2),
        }
    }
}

/// Bytes of bodies held at once: 48 MiB for each core, which hash them and speak TLS, and so bound how many bytes a second
/// are under way; at least 96 and at most 512 MiB.
fn bodies_max() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    (cores.saturating_mul(48) << 20).clamp(96 << 20, 512 << 20)
}

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How far to bring each dataset.
    pub goal: Goal,
    /// Only these phases; all if empty.
    pub phases: Vec<PhaseName>,
    /// Only these datasets; all if empty.
    pub datasets: Vec<DatasetName>,
    /// Whether to delete even more than the plan's `delete_share`.
    pub force: bool,
    /// Whether to follow live tables after all else is done, until the run is asked to stop.
    pub follow: bool,
    /// Whether to count what is copied for the first time by a listing of its own beside the copy, so that progress has
    /// totals: one request more for each page of the lead.
    pub counts: bool,
    /// The bounds of the run.
    pub limits: InFlightMax,
    /// Decides whether a phase is cut over.
    pub approver: Arc<dyn Approver>,
}

/// What a verification is asked to do.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Only these datasets; all if empty.
    pub datasets: Vec<DatasetName>,
    /// How thoroughly; `None` for the plan's level of each dataset.
    pub level: Option<Level>,
    /// The bounds of the verification.
    pub limits: InFlightMax,
    /// A file of its own, in which it keeps how far it is; `None` if it cannot go on after a stop. A repair keeps that
    /// in the ledger of the migration instead.
    pub progress: Option<Arc<Ledger>>,
    /// Whether it looks at everything again, although an earlier process has looked at a part.
    pub anew: bool,
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// The datasets of the run, phase by phase.
    pub datasets: Vec<DatasetOutcome>,
    /// Whether the run was asked to stop, or drained because of an error.
    pub interrupted: bool,
    /// The error that ended the run early.
    pub stopped: Option<EngineError>,
    /// The datasets that were given up because another command asked for it.
    pub aborted: Vec<Aborted>,
    /// Phases whose approval another command withdrew.
    pub withdrawn: BTreeSet<PhaseName>,
}

/// Where a dataset stands after a run.
#[derive(Debug)]
pub struct DatasetOutcome {
    /// The dataset's name.
    pub dataset: DatasetName,
    /// The name of its phase.
    pub phase: PhaseName,
    /// The state at the end of the run.
    pub state: State,
    /// Whether it reached the goal of the run.
    pub reached: bool,
    /// Whether a repair can mend what its verification found; a repair leaves alone what only a target has.
    pub repairable: bool,
    /// What must happen before it goes further, if the run knows it.
    pub waits_for: Option<WaitsFor>,
    /// The proof from its verification in this run.
    pub verified: Option<Verified>,
}

impl DatasetOutcome {
    /// Whether only the approval of its phase is missing.
    pub fn needs_approval(&self) -> bool {
        matches!(self.waits_for, Some(WaitsFor::Approval(_)))
    }

    /// Whether its cutover halted because the old lead was written to meanwhile.
    pub fn not_at_rest(&self) -> bool {
        !self.reached && matches!(self.waits_for, Some(WaitsFor::Rest { .. }))
    }
}

/// What an abort is asked to give up.
#[derive(Debug, Clone)]
pub struct AbortOptions {
    /// Only these datasets; all if empty.
    pub datasets: Vec<DatasetName>,
    /// Whether to delete the objects that this migration wrote at their targets.
    pub discard: bool,
}

/// The outcome of an abort for one dataset.
#[derive(Debug, Clone, Serialize)]
pub struct Aborted {
    /// The dataset's name.
    pub name: DatasetName,
    /// Whether it is given up.
    pub done: bool,
    /// Unfinished uploads that were aborted.
    pub uploads: u64,
    /// Uploads that may be left at targets and cannot be told from those of other writers.
    pub unclaimed: u64,
    /// Objects that were deleted at targets.
    pub discarded: u64,
    /// Objects that were already gone from the targets.
    pub gone: u64,
    /// Objects that stay: they were at the target before, or another writer has replaced them.
    pub kept: u64,
    /// Why it is not given up; `None` if it is.
    pub refused: Option<String>,
    /// Whether another try would be refused alike.
    #[serde(skip)]
    pub blocked: bool,
}

impl Aborted {
    pub(crate) fn nothing_of(name: &DatasetName) -> Self {
        Self {
            name: name.clone(),
            done: false,
            uploads: 0,
            unclaimed: 0,
            discarded: 0,
            gone: 0,
            kept: 0,
            refused: None,
            blocked: false,
        }
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, uploads, unclaimed, discarded, gone, kept, .. } = self;
        match &self.refused {
            Some(reason) => write!(f, "{name}: not given up: {reason}")?,
            None => write!(f, "{name}: given up")?,
        }
        if *uploads > 0 {
            write!(f, "; {} aborted", count(*uploads, "unfinished upload", "unfinished uploads"))?;
        }
        if *unclaimed > 0 {
            write!(
                f,
                "; {} may be left that nobody can tell for its own: `migrate status` names each",
                count(*unclaimed, "upload", "uploads")
            )?;
        }
        if discarded + kept > 0 {
            write!(
                f,
                "; {} discarded, {} kept that it did not write, or that somebody else has written since",
                count(*discarded, "object", "objects"),
                Grouped(*kept)
            )?;
        }
        if *gone > 0 {
            write!(f, "; {} gone before", count(*gone, "object was", "objects were"))?;
        }
        Ok(())
    }
}

/// The datasets of these phases and names, in the plan's order; an empty list selects all.
pub fn asked<'a>(
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

/// How far a dataset is to come if `goal` is asked for: if its lead does not move, no further than [`Goal::Verified`].
pub(crate) fn goal_of(dataset: &Dataset, goal: Goal) -> Goal {
    if dataset.cutover.is_some() { goal } else { goal.min(Goal::Verified) }
}

/// Refuses a dataset whose plan uses a key that this build does not support: no key is ever ignored.
pub fn refuse_unsupported(dataset: &Dataset, with_cutover: bool) -> Result<(), EngineError> {
    match dataset.unsupported.iter().find(|key| with_cutover || !key.cutover_only) {
        None => Ok(()),
        Some(key) => Err(EngineError::Unsupported {
            dataset: dataset.name.clone(),
            what: key.key.clone(),
            line: key.problem.line,
            column: key.problem.column,
            cutover_only: key.cutover_only,
        }),
    }
}
