//! [`Record`]: one durable fact.

use super::{
    fact::Fact,
    request::{Answer, Approval, LimitsOf, RequestRow, Setting},
    rows::Pair,
    run::RunRecord,
    table::TableRecord,
    verification::VerificationRecord,
};
use migrate_core::{
    lifecycle::Transition,
    model::{DatasetName, Key, KeyRange, PhaseName, PlaceIndex, ShardId, Timestamp},
    shard::{Cursor, Tally},
};

/// One durable fact. A batch of them is written as one transaction, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A dataset's meaning, canonical JSON, when it first begins.
    DatasetBegun {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Source, targets and selection, as canonical JSON.
        meaning: String,
    },
    /// A lifecycle event.
    Happened {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The event, legal in the dataset's state.
        event: Transition,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// A pass begins: all shards, cursors and waiting records of the dataset's last pass are dropped, and these
    /// shards take their place. Only damaged records go on waiting.
    ShardsPlanned {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Ids, unique in the ledger, with disjoint ranges that cover all keys.
        shards: Vec<(ShardId, KeyRange)>,
    },
    /// A listing beside the pass under way has counted what the pass will see at its lead, or the server of a table has
    /// estimated it. Forgotten when the next pass over objects begins.
    Counted {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// Records at the lead.
        records: u64,
        /// Their bytes, if they are known.
        bytes: Option<u64>,
    },
    /// A shard gives its upper part away.
    ShardSplit {
        /// Id of the shard; its new `until` is `at`.
        shard: ShardId,
        /// The last key that stays in the shard.
        at: Key,
        /// Id of the new shard, from `at` to the old `until`.
        new: ShardId,
    },
    /// How far a shard is done for one place, and what it did on the way.
    CursorMoved {
        /// Id of the shard, unique in the ledger.
        shard: ShardId,
        /// The place.
        place: PlaceIndex,
        /// The new position; never backwards.
        cursor: Cursor,
        /// Added to the shard's tally for that place.
        done: Tally,
    },
    /// What is true of one record at one place.
    At {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The place.
        place: PlaceIndex,
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// What it is, and what it replaces or clears.
        fact: Fact,
    },
    /// The result of an endpoint's probe.
    Probed {
        /// The store's location, as in `s3://california/bucket/prefix/`.
        location: String,
        /// The endpoint's capabilities, as JSON.
        capabilities: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// The identity of the directory at a path; replaces an earlier one.
    DirectorySeen {
        /// The resolved path.
        path: String,
        /// The directory's identity, as JSON.
        identity: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// A process begins to drive the migration: written before it writes anything at a place. If the one before has
    /// not ended cleanly, this moment is kept.
    DriveBegan {
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
        /// Writes of unknown outcome that are older are forgotten.
        forget: Timestamp,
    },
    /// The process ends, and none of its writes is under way.
    DriveEnded,
    /// A phase may be cut over; replaces an earlier approval of it.
    Approved(Approval),
    /// The approval of a phase no longer holds.
    ApprovalWithdrawn {
        /// The phase's name in the plan.
        phase: PhaseName,
    },
    /// A command asks something of the process that drives the migration.
    Requested(RequestRow),
    /// The process that drives the migration starts to carry out a request, which can no longer be taken back. No
    /// effect on an answered request.
    RequestTaken {
        /// The request's id, unique in the ledger.
        id: String,
    },
    /// The command that asked no longer waits. No effect if the request was taken or answered.
    RequestTakenBack {
        /// The request's id, unique in the ledger.
        id: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// The outcome of a request. No effect if it was answered before.
    Answered {
        /// The request's id, unique in the ledger.
        id: String,
        /// The outcome, for the command that waits.
        answer: Answer,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// A listing of the old lead for late writes begins: the findings of an earlier one are forgotten.
    LateLookBegan {
        /// The dataset's name in the plan.
        dataset: DatasetName,
    },
    /// Late writes that need no further attention. Those that were settled before stay as they are.
    LateSettled {
        /// The dataset's name in the plan.
        dataset: DatasetName,
        /// The late writes; all open ones if absent.
        keys: Option<Vec<Key>>,
        /// The operator who decided; absent if a look found both leads equal.
        by: Option<String>,
        /// Why, if the operator gave a reason.
        reason: Option<String>,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// What happened to the copy of a table.
    Table(TableRecord),
    /// What happened to a verification under way.
    Verification(VerificationRecord),
    /// What happened to a run.
    Run(RunRecord),
    /// A limit that replaces the plan's.
    LimitSet {
        /// The site or dataset that it limits.
        of: LimitsOf,
        /// A key of the plan's `limits`.
        key: String,
        /// The value, or the return to the plan's.
        setting: Setting,
    },
}

impl Record {
    /// What is true of a record at a place.
    pub fn at(dataset: &DatasetName, place: PlaceIndex, key: &Key, fact: Fact) -> Self {
        Self::At { dataset: dataset.clone(), place, key: key.clone(), fact }
    }

    /// What it says of a follower and its lead, if it pairs them.
    pub(crate) fn pairing(&self) -> Option<Pairing<'_>> {
        let Self::At { dataset, place, key, fact } = self else { return None };
        let (lead, pair, settles) = match fact {
            Fact::Paired { lead, pair } => (*lead, pair, true),
            Fact::Learned { lead, pair } => (*lead, pair, false),
            _ => return None,
        };
        Some(Pairing { dataset, key, place: *place, lead, pair, settles })
    }

    /// Whether both pair one record, perhaps at several places.
    pub(crate) fn pairs_the_same(&self, other: &Self) -> bool {
        match (self.pairing(), other.pairing()) {
            (Some(ours), Some(theirs)) => ours.key == theirs.key && ours.dataset == theirs.dataset,
            _ => false,
        }
    }
}

/// A fact that pairs a follower with its lead.
pub(crate) struct Pairing<'a> {
    pub(crate) dataset: &'a DatasetName,
    pub(crate) key: &'a Key,
    pub(crate) place: PlaceIndex,
    pub(crate) lead: PlaceIndex,
    pub(crate) pair: &'a Pair,
    /// Whether the record then waits for nothing.
    pub(crate) settles: bool,
}
