//! What the engine is asked to do, and what came of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::Serialize;

use crate::{approver::Approver, error::EngineError, verify::witness::Verified, waits::WaitsFor};
use migrate_core::{
    lifecycle::{Goal, State},
    model::{DatasetName, PhaseName},
    plan::{Dataset, Level, Plan},
};

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

/// What is given up.
#[derive(Debug, Clone)]
pub struct AbortOptions {
    /// Only these datasets; all where empty.
    pub datasets: Vec<DatasetName>,
    /// Delete what was written at their targets.
    pub discard: bool,
}

/// What became of one dataset.
#[derive(Debug, Clone, Serialize)]
pub struct Aborted {
    /// The dataset.
    pub name: DatasetName,
    /// It is given up.
    pub done: bool,
    /// Unfinished uploads that were aborted.
    pub uploads: u64,
    /// Uploads that may be left there and that nobody can tell for this migration's.
    pub unclaimed: u64,
    /// Objects that were deleted at targets.
    pub discarded: u64,
    /// Objects that were gone from the targets before.
    pub gone: u64,
    /// Objects at targets that were there already, or that somebody else has written over: they stay.
    pub kept: u64,
    /// Why it is not given up.
    pub refused: Option<String>,
    /// Trying again changes nothing of that.
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
            write!(f, "; {uploads} unfinished uploads aborted")?;
        }
        if *unclaimed > 0 {
            write!(
                f,
                "; {unclaimed} uploads may be left that nobody can tell for its own: `migrate status` names them"
            )?;
        }
        if discarded + kept > 0 {
            write!(
                f,
                "; {discarded} objects discarded, {kept} kept that it did not write, or that somebody else has written since"
            )?;
        }
        if *gone > 0 {
            write!(f, "; {gone} were gone before")?;
        }
        Ok(())
    }
}

/// The datasets that were asked for, in the plan's order.
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

/// How far a dataset is to come where `goal` is asked for: where no lead moves, a proof is all there is
/// to reach.
pub(crate) fn goal_of(dataset: &Dataset, goal: Goal) -> Goal {
    if dataset.cutover.is_some() { goal } else { goal.min(Goal::Verified) }
}

/// Refuses a dataset whose plan asks for more than this build can do: nothing is ever ignored.
pub fn refuse_unsupported(dataset: &Dataset, with_cutover: bool) -> Result<(), EngineError> {
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
