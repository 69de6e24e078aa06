//! [`Event`]: a message of the engine while it works, with the time at which it was told.

use std::{sync::Arc, time::Duration};

use crate::{
    lifecycle::{self, State},
    model::{DatasetName, Decided, Key, PhaseName, PlanName, SiteName, Timestamp},
    report::{at_once::RequestsAtOnce, pace::Advance, work::RunWork},
    shard::Tally,
};
use serde::Serialize;

/// The number of the format of all that is printed as JSON: documents and events. It rises with each change that a
/// reader may have to learn of; a new field is none.
pub const FORMAT: u32 = 1;

/// An event of a command. Serialises to one NDJSON line: the fields of its kind, then which one it is of which run, and
/// its time. The first one also has the number of the format.
#[derive(Debug, Clone, Serialize)]
pub struct Event<K = EventKind> {
    /// What is told.
    #[serde(flatten)]
    pub kind: K,
    /// The number of the format, [`FORMAT`]; in the first event of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// The run's id, as the ledger knows it.
    pub run: Arc<str>,
    /// Counts the events of the run, from 1.
    pub sequence: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The time since the command began, by a clock that never goes back. In JSON in whole milliseconds.
    #[serde(rename = "elapsed_ms", serialize_with = "in_milliseconds")]
    pub elapsed: Duration,
}

fn in_milliseconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What an event tells.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run began, or goes on.
    RunBegan {
        /// The plan's name.
        plan: PlanName,
        /// Whether the ledger of an earlier run was found.
        resumed: bool,
    },
    /// An endpoint answered a probe.
    Probed {
        /// Location of the store: `scheme://SITE/CONTAINER[/PREFIX]`.
        location: String,
        /// How writes there are proved.
        proof: crate::capability::Proof,
        /// Abilities that the endpoint lacks and this tool makes up for.
        lacks: Vec<&'static str>,
    },
    /// The progress of a survey.
    Surveying {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Records of the source seen so far.
        records: u64,
        /// Estimated share of the key space that is done, from 0 to 1.
        fraction: f64,
    },
    /// A phase began.
    PhaseBegan {
        /// The phase's name in the plan.
        phase: PhaseName,
    },
    /// A dataset reached a new state.
    DatasetState {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The new state.
        #[serde(flatten)]
        state: State,
        /// The proof, if the dataset was verified just now.
        #[serde(flatten)]
        proved: Option<Proved>,
    },
    /// The progress of a dataset; sent a few times a second.
    Progress {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The work of this pass, per target.
        targets: Vec<TargetProgress>,
        /// How far the target is that is least far, and how fast it goes.
        #[serde(flatten)]
        advance: Advance,
        /// Bytes read from the source in this run, to copy them.
        source_bytes_read: u64,
        /// Bytes written to all targets in this run.
        target_bytes_written: u64,
        /// Why it is slower than it could be, if there is a reason.
        waits_for: Option<String>,
        /// How many requests run at once at each site that the pass uses.
        requests_at_once: Vec<RequestsAtOnce>,
    },
    /// A record could not be copied; the run goes on.
    RecordFailed {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The target's location: `scheme://SITE/CONTAINER[/PREFIX]`.
        target: String,
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// Why, in one word.
        code: &'static str,
        /// Why, for people.
        reason: String,
    },
    /// A target takes no part in the run any more; the run goes on for the others.
    TargetDown {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The target's location: `scheme://SITE/CONTAINER[/PREFIX]`.
        target: String,
        /// What went wrong, in one word.
        code: &'static str,
        /// Why, for people; its keys are hidden already if the plan says so.
        reason: String,
        /// What the operator can do about it, if that is known.
        help: Option<String>,
    },
    /// A table that was missing at a target was made there, as the plan asks.
    Made {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The location of the table: `scheme://SITE/CONTAINER`.
        target: String,
    },
    /// A message that the operator should know.
    Warning {
        /// The dataset, if it is about one.
        dataset: Option<DatasetName>,
        /// The record, if it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Key>,
        /// One sentence, for people.
        message: String,
    },
    /// An upload whose begin got no answer may be left at a target: it belongs to this run or another one, or does
    /// not exist.
    UploadUnclaimed {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The target's location: `scheme://SITE/CONTAINER[/PREFIX]`.
        target: String,
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// The ids of uploads that may be it; empty if the store lists none.
        ids: Vec<String>,
        /// When it was asked for, in milliseconds since 1970 UTC.
        asked_for: Timestamp,
    },
    /// A verification begins, or goes on from where an earlier process left it.
    VerificationBegan {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Records that the earlier process has compared, over all targets; 0 if it begins anew.
        compared: u64,
        /// When the verification that goes on began, in milliseconds since 1970 UTC; `None` if it begins anew.
        since: Option<Timestamp>,
        /// Why one that was under way does not go on, for people; `None` if there was none, or it does.
        anew: Option<String>,
    },
    /// The progress of a verification; sent a few times a second.
    Verifying {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Records compared so far, over all targets.
        compared: u64,
        /// The share of the expected records that is compared, from 0 to 1; `None` if their number is not known.
        fraction: Option<f64>,
        /// Records that will be compared, over all targets, by the ledger; `None` if it does not know.
        expected: Option<u64>,
        /// The time that is left, in seconds; `None` while nothing credible can be said.
        eta_seconds: Option<u64>,
        /// Shards that were seen to their end.
        shards_ended: u64,
        /// All shards so far: shards are split while workers are idle.
        shards: u64,
        /// How many requests run at once at each site that the verification uses.
        requests_at_once: Vec<RequestsAtOnce>,
    },
    /// A verification found a difference.
    Differs {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The target's location: `scheme://SITE/CONTAINER[/PREFIX]`.
        target: String,
        /// The record, and how it differs.
        #[serde(flatten)]
        difference: Difference,
        /// Whether the plan keeps it: a record that only the target has, and that breaks no equality.
        kept: bool,
    },
    /// The result of a dataset's pass.
    DatasetEnded {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The work of this pass, per target.
        targets: Vec<TargetProgress>,
        /// Bytes read from the source in this run, to copy them.
        source_bytes_read: u64,
    },
    /// A cutover has brought over what was written at the old lead since the copy.
    BroughtOver {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Records that were written or deleted at the new lead for that.
        records: u64,
    },
    /// A live table is followed, after its pass and its proof.
    Follows {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Changed keys that followers owe, counted for each follower.
        owed: u64,
        /// For how many seconds the oldest of them has been owed.
        lag_s: u64,
    },
    /// A phase is proved and waits for the approval of its cutover.
    NeedsApproval {
        /// The phase's name in the plan.
        phase: PhaseName,
        /// The datasets that would move, and the proof of each.
        datasets: Vec<ProvedDataset>,
    },
    /// A phase may be cut over.
    Approved {
        /// The phase's name in the plan.
        phase: PhaseName,
        /// The operator who approved.
        by: String,
    },
    /// A step of a cutover begins.
    CutoverStep {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The step's name.
        step: &'static str,
        /// What the step does, for people.
        detail: String,
    },
    /// A cutover waits.
    Waiting {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// What it waits for, for people.
        reason: String,
        /// Length of the wait in seconds.
        seconds: u64,
    },
    /// Records were written at the old lead after the final verification: the new lead lacks them.
    LateWrites {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The old lead's name in the plan.
        site: SiteName,
        /// How many records.
        records: u64,
        /// The first of them, at most [`LATE_KEYS_MAX`](lifecycle::LATE_KEYS_MAX).
        keys: Vec<Key>,
    },
    /// The run is over.
    RunEnded {
        /// Whether everything requested is done and equal.
        complete: bool,
        /// What the operator has to mend before the next command, if anything.
        mend: Option<String>,
        /// The next command; `None` if nothing is left to do.
        next: Option<String>,
        /// What the run has done; `None` if it ended before it could do anything.
        work: Option<RunWork>,
    },
}

/// A proof that all is equal, with its limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Proved {
    /// How many records were found equal, by what.
    pub decided: Decided,
    /// What was not compared, and why.
    pub blind_spots: Vec<String>,
}

impl Proved {
    /// The proof in a dataset's event; `None` if the event is no proof.
    pub fn by(event: &lifecycle::Transition) -> Option<Self> {
        match event {
            lifecycle::Transition::Verified { decided, blind_spots, .. } => {
                Some(Self { decided: *decided, blind_spots: blind_spots.clone() })
            }
            _ => None,
        }
    }
}

/// The proof of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvedDataset {
    /// The dataset's name in the plan.
    pub name: DatasetName,
    /// The proof of its last verification.
    #[serde(flatten)]
    pub proved: Proved,
}

/// The progress of one target of a dataset.
#[derive(Debug, Clone, Serialize)]
pub struct TargetProgress {
    /// The target's location: `scheme://SITE/CONTAINER[/PREFIX]`.
    pub target: String,
    /// The work of this pass.
    #[serde(flatten)]
    pub tally: Tally,
    /// Records left for later in this pass.
    pub deferred: u64,
    /// Records that failed in this pass.
    pub failed: u64,
}

/// One difference that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// Missing, extra, different, or not judged.
    pub kind: DifferenceKind,
    /// The exact difference, for people.
    pub detail: String,
}

/// The kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The lead has it, the follower does not.
    Missing,
    /// The follower has it, the lead does not.
    Extra,
    /// Both have it, and they are not equal.
    Different,
    /// It could not be read, so nothing is known about it.
    Unreadable,
    /// Looks at it disagree: neither equal nor known to be different.
    Unstable,
    /// The level cannot decide.
    Undecided,
}

impl DifferenceKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Missing, Self::Extra, Self::Different, Self::Unreadable, Self::Unstable, Self::Undecided];

    /// The name in JSON.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_with_its_time() {
        let kind = EventKind::Waiting { dataset: DatasetName::new("d").unwrap(), reason: "r".into(), seconds: 1 };
        let (format, elapsed) = (None, Duration::from_micros(2_900));
        let event = Event { kind, format, run: "a1".into(), sequence: 2, at: Timestamp(1_500), elapsed };
        let line = r#"{"event":"waiting","dataset":"d","reason":"r","seconds":1,"run":"a1","sequence":2,"at":"1970-01-01T00:00:01.500Z","elapsed_ms":2}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}
