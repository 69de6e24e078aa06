//! [`Event`]: what the engine tells while it works.

use crate::{
    lifecycle::{self, State},
    model::{DatasetName, Decided, Key, PhaseName, PlanName, SiteName, Timestamp},
    shard::Tally,
};
use serde::Serialize;

/// Something that happened during a run or a verification. Serialises to one NDJSON line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run began, or goes on.
    RunBegan {
        /// The plan.
        plan: PlanName,
        /// A ledger of an earlier run was found.
        resumed: bool,
    },
    /// An endpoint answered to a probe.
    Probed {
        /// Where.
        location: String,
        /// How writes there are proved.
        proof: crate::capability::Proof,
        /// What the endpoint cannot do and this tool makes up for.
        lacks: Vec<&'static str>,
    },
    /// How far a survey is.
    Surveying {
        /// The dataset.
        dataset: DatasetName,
        /// Records of the source seen so far.
        records: u64,
        /// How much of the key space is done, from 0 to 1: an estimate.
        fraction: f64,
    },
    /// A phase began.
    PhaseBegan {
        /// The phase.
        phase: PhaseName,
    },
    /// A dataset came into a new state.
    DatasetState {
        /// The dataset.
        dataset: DatasetName,
        /// The state.
        #[serde(flatten)]
        state: State,
        /// What it was verified by, where it was just now.
        #[serde(flatten)]
        proved: Option<Proved>,
    },
    /// How far a dataset is; sent a few times a second.
    Progress {
        /// The dataset.
        dataset: DatasetName,
        /// What is done in this pass, per target.
        targets: Vec<TargetProgress>,
        /// How much of the key space is done, from 0 to 1: an estimate.
        fraction: f64,
        /// Bytes read from the source in this run, to copy them.
        source_bytes_read: u64,
        /// Bytes written to all targets in this run.
        target_bytes_written: u64,
        /// Why it is slower than it could be, where there is a reason.
        waits_for: Option<String>,
    },
    /// A record could not be brought over; the run goes on.
    RecordFailed {
        /// The dataset.
        dataset: DatasetName,
        /// The target's location.
        target: String,
        /// The record.
        key: Key,
        /// Why.
        reason: String,
    },
    /// Something that the operator should know.
    Warning {
        /// The dataset, where it is about one.
        dataset: Option<DatasetName>,
        /// The record, where it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Key>,
        /// What.
        message: String,
    },
    /// An upload may be left at a target whose beginning was not answered: it is this run's, another's, or
    /// not there at all.
    UploadUnclaimed {
        /// The dataset.
        dataset: DatasetName,
        /// The target's location.
        target: String,
        /// The record.
        key: Key,
        /// The uploads that may be it; empty where the store lists none.
        ids: Vec<String>,
        /// When it was asked for.
        asked_for: Timestamp,
    },
    /// How far a verification is; sent a few times a second.
    Verifying {
        /// The dataset.
        dataset: DatasetName,
        /// Records compared so far, over all targets.
        compared: u64,
        /// How much of the key space is done, from 0 to 1: an estimate.
        fraction: f64,
    },
    /// A verification found a difference.
    Differs {
        /// The dataset.
        dataset: DatasetName,
        /// The target's location.
        target: String,
        /// What differs.
        #[serde(flatten)]
        difference: Difference,
        /// The plan keeps it: a record that only the target has, and that breaks no equality.
        kept: bool,
    },
    /// What a pass of a dataset did in the end.
    DatasetEnded {
        /// The dataset.
        dataset: DatasetName,
        /// Per target.
        targets: Vec<TargetProgress>,
        /// Bytes read from the source in this run, to copy them.
        source_bytes_read: u64,
    },
    /// A phase is proved and waits for somebody to approve its cutover.
    NeedsApproval {
        /// The phase.
        phase: PhaseName,
        /// What would move, and how each was proved.
        datasets: Vec<ProvedDataset>,
    },
    /// A phase may be cut over.
    Approved {
        /// The phase.
        phase: PhaseName,
        /// Who said so.
        by: String,
    },
    /// A step of a cutover begins.
    CutoverStep {
        /// The dataset.
        dataset: DatasetName,
        /// The step.
        step: &'static str,
        /// What it does, for people.
        detail: String,
    },
    /// A cutover waits.
    Waiting {
        /// The dataset.
        dataset: DatasetName,
        /// For what.
        reason: String,
        /// How long.
        seconds: u64,
    },
    /// Records were written at the old lead after the final verification: the new lead lacks them.
    LateWrites {
        /// The dataset.
        dataset: DatasetName,
        /// The old lead.
        site: SiteName,
        /// How many.
        records: u64,
        /// The first of them.
        keys: Vec<Key>,
    },
    /// The run is over.
    RunEnded {
        /// Everything asked for is done and equal.
        complete: bool,
        /// What has to be mended before the next command, if anything.
        mend: Option<String>,
        /// The next command; `None` if nothing is left to do.
        next: Option<String>,
    },
}

/// What a proof says beside that all is equal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Proved {
    /// What decided it.
    pub decided: Decided,
    /// What was not compared, and why.
    pub blind_spots: Vec<String>,
}

impl Proved {
    /// What an event of a dataset proves; `None` where it is none of a proof.
    pub fn by(event: &lifecycle::Event) -> Option<Self> {
        match event {
            lifecycle::Event::Verified { decided, blind_spots, .. } => {
                Some(Self { decided: *decided, blind_spots: blind_spots.clone() })
            }
            _ => None,
        }
    }
}

/// The proof of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvedDataset {
    /// Its name.
    pub name: DatasetName,
    /// The proof.
    #[serde(flatten)]
    pub proved: Proved,
}

/// One target's share of a dataset's progress.
#[derive(Debug, Clone, Serialize)]
pub struct TargetProgress {
    /// The target's location.
    pub target: String,
    /// What is done in this pass.
    #[serde(flatten)]
    pub tally: Tally,
    /// Records left for later.
    pub deferred: u64,
    /// Records that failed.
    pub failed: u64,
}

/// One difference that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The record.
    pub key: Key,
    /// What kind.
    pub kind: DifferenceKind,
    /// What exactly, for people.
    pub detail: String,
}

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The lead has it, the follower does not.
    Missing,
    /// The follower has it, the lead does not.
    Extra,
    /// Both have it, and they are not equal.
    Different,
    /// It could not be read, so nothing is known.
    Unreadable,
    /// Looks at it disagree: neither equal nor known to be different.
    Unstable,
    /// This level cannot tell.
    Undecided,
}

impl DifferenceKind {
    /// The word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
            Self::Unreadable => "unreadable",
            Self::Unstable => "unstable",
            Self::Undecided => "undecided",
        }
    }
}
