//! What a dataset waits for: as a run left it, or as its ledger tells it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::cutover::moves::NOTHING_COMPARED;
use migrate_core::{
    model::{DatasetName, PhaseName, SiteName},
    report::Difference,
};

/// What has to come before a dataset can go further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// Another phase comes first.
    Phase(PhaseName),
    /// Another dataset comes first, whose lead moves together with its own.
    With(DatasetName),
    /// A run begins it.
    Run,
    /// The run that worked at it was stopped.
    NextRun,
    /// Its pass is under way, or was cut short.
    PassEnd,
    /// It was copied, and a run proves it.
    Verification,
    /// It was approved, and a run cuts it over.
    Cutover,
    /// A run finds out whether its route was switched.
    Route,
    /// A run waits until every client has read the new route.
    Clients,
    /// A person's word that more may be deleted than the plan allows.
    DeleteShare {
        /// Where.
        target: String,
        /// Records that would be deleted.
        doomed: u64,
        /// Records that the target holds.
        held: u64,
        /// The most that may be deleted, in thousandths.
        permille: u16,
    },
    /// Records that could not be brought over.
    Failed(u64),
    /// What its last verification found.
    Differences {
        /// Records that differ.
        differences: u64,
        /// Those of them that neither a pass nor a repair takes away.
        strays: u64,
        /// Records of which it could not be told whether they are equal.
        unreadable: u64,
        /// The first that no further pass mends, as it may be shown.
        first: Option<Difference>,
    },
    /// Its old lead to be at rest: something was written there while it was cut over.
    Rest {
        /// The old lead.
        site: SiteName,
        /// What was written.
        detail: String,
    },
    /// Something to compare: nothing was there, and the plan does not accept that.
    Proof,
    /// The approval of its phase.
    Approval(PhaseName),
    /// It means something else than when it began; the difference, for people.
    Meaning(String),
    /// It was given up, and a run would begin it anew.
    Anew,
    /// What stopped it to be mended; the error, for people.
    Failure(String),
}

impl WaitsFor {
    /// Whether a run takes it further, with nothing to mend before.
    pub fn for_a_run(&self) -> bool {
        matches!(self, Self::Run | Self::PassEnd | Self::Verification | Self::Cutover | Self::Route | Self::Clients)
    }
}

/// Completes "waits for ...".
impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase(before) => write!(f, "phase {before}, which comes first"),
            Self::With(other) => write!(f, "dataset {other}, which moves together with it"),
            Self::Run => f.write_str("a run"),
            Self::NextRun => f.write_str("the next run: this one was stopped"),
            Self::PassEnd => f.write_str("its pass to end"),
            Self::Verification => f.write_str("its verification"),
            Self::Cutover => f.write_str("its cutover"),
            Self::Route => f.write_str("a look at whether its route was switched"),
            Self::Clients => f.write_str("every client to have read its route again"),
            Self::DeleteShare { target, doomed, held, permille } => write!(
                f,
                "a decision: {doomed} of {held} records would be deleted at {target}, more than delete_share allows \
                 ({}%)",
                f64::from(*permille) / 10.0
            ),
            Self::Failed(1) => f.write_str("1 record that failed"),
            Self::Failed(failed) => write!(f, "{failed} records that failed"),
            Self::Differences { differences, unreadable, first, .. } => {
                write!(f, "{differences} differences, and {unreadable} records that cannot be told")?;
                let Some(first) = first else { return Ok(()) };
                write!(f, ", which no further pass mends; the first is {} ({})", first.key, first.detail)
            }
            Self::Rest { site, detail } => write!(f, "{site} to be at rest: {detail}"),
            Self::Proof => write!(f, "something to compare: {NOTHING_COMPARED}"),
            Self::Approval(phase) => write!(f, "the approval of phase {phase}"),
            Self::Meaning(changed) | Self::Failure(changed) => f.write_str(changed),
            Self::Anew => f.write_str("a run, which begins it anew"),
        }
    }
}

impl Serialize for WaitsFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
