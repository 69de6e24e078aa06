//! What a dataset waits for, by a run's end or by the ledger.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::cutover::moves::NOTHING_COMPARED;
use migrate_core::{
    model::{DatasetName, PhaseName, SiteName},
    report::{Difference, Grouped, count, records},
};

/// What must happen before a dataset goes further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// This phase comes first.
    Phase(PhaseName),
    /// This dataset's lead moves together with its own, and is not ready or has halted.
    With(DatasetName),
    /// A run that begins it.
    Run,
    /// The next run: this one was stopped.
    NextRun,
    /// The end of its pass, which is under way or was cut short.
    PassEnd,
    /// A run that verifies it: it was copied.
    Verification,
    /// A run that cuts it over: it was approved.
    Cutover,
    /// A run that finds out whether its route was switched.
    Route,
    /// A run that waits until every client has read the new route.
    Clients,
    /// An operator's consent to delete more than the plan allows.
    DeleteShare {
        /// The target's location.
        target: String,
        /// Records that would be deleted.
        doomed: u64,
        /// Records that the target holds.
        held: u64,
        /// The most that may be deleted, in thousandths.
        permille: u16,
    },
    /// Targets that are down, each with the reason. The others have everything of the pass under way.
    Targets(Vec<(String, String)>),
    /// This many records that could not be copied.
    Failed(u64),
    /// The differences that its last verification found.
    Differences {
        /// Records that differ.
        differences: u64,
        /// Those of them that neither a pass nor a repair removes.
        strays: u64,
        /// Records that could not be compared.
        unreadable: u64,
        /// The first difference that no further pass mends, redacted if the plan says so.
        first: Option<Difference>,
    },
    /// Rest at its old lead: an application wrote there during the cutover.
    Rest {
        /// The old lead's site.
        site: SiteName,
        /// What was written.
        detail: String,
    },
    /// A person's decision about this many records that were written at its old lead.
    LateWrites(u64),
    /// Records to compare: there were none, and the plan does not accept that.
    Proof,
    /// The approval of its phase.
    Approval(PhaseName),
    /// A plan with the meaning that it began with; the text says what differs.
    Meaning(String),
    /// A run that begins it anew: it was given up.
    Anew,
    /// An error that must be mended; its text.
    Failure(String),
}

impl WaitsFor {
    /// Whether a run takes the dataset further without any other action first.
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
                "a decision: a run would delete {} of {} at {target}, more than delete_share allows ({}%)",
                Grouped(*doomed),
                records(*held),
                f64::from(*permille) / 10.0
            ),
            Self::Targets(down) => {
                for (place, (target, why)) in down.iter().enumerate() {
                    let and = if place == 0 { "" } else { "; and " };
                    write!(f, "{and}{target}, which is down: {why}")?;
                }
                Ok(())
            }
            Self::Failed(failed) => write!(f, "{} that failed", records(*failed)),
            Self::Differences { differences, unreadable, first, .. } => {
                match (differences, unreadable) {
                    (differences, 0) => write!(f, "{} to be mended", count(*differences, "difference", "differences"))?,
                    (0, unreadable) => write!(f, "{} that could not be compared", records(*unreadable))?,
                    (differences, unreadable) => write!(
                        f,
                        "{} to be mended and {} that could not be compared",
                        count(*differences, "difference", "differences"),
                        records(*unreadable)
                    )?,
                }
                let Some(first) = first else { return Ok(()) };
                write!(f, ", which no further pass mends; the first is {} ({})", first.key, first.detail)
            }
            Self::Rest { site, detail } => write!(f, "{site} to be at rest: {detail}"),
            Self::LateWrites(late) => {
                let late = count(*late, "record that was", "records that were");
                write!(f, "a decision about {late} written at its old lead")
            }
            Self::Proof => write!(f, "something to compare: {NOTHING_COMPARED}"),
            Self::Approval(phase) => write!(f, "the approval of phase {phase}"),
            Self::Meaning(changed) => write!(f, "the plan to be put back: {changed}"),
            Self::Failure(failure) => write!(f, "a mend: {failure}"),
            Self::Anew => f.write_str("a run, which begins it anew"),
        }
    }
}

impl Serialize for WaitsFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
