//! [`Record`]: one durable fact.

use super::{
    request::{Answer, Approval, LimitsOf, RequestRow, Setting},
    rows::{Open, Pair, Unclaimed, UploadIntent, WrittenPart},
};
use migrate_core::{
    lifecycle::Event,
    model::{DatasetName, Key, KeyRange, PhaseName, ShardId, TargetIndex, Timestamp},
    shard::{Cursor, Tally},
};

/// One durable fact. A batch of them is written as one transaction, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A dataset's meaning, canonical JSON, when it first begins.
    DatasetBegun {
        /// The dataset.
        dataset: DatasetName,
        /// Source, targets, selection.
        meaning: String,
    },
    /// A lifecycle event.
    Happened {
        /// The dataset.
        dataset: DatasetName,
        /// What happened.
        event: Event,
        /// When.
        at: Timestamp,
    },
    /// A pass begins: all shards, cursors and waiting records of the dataset's last pass are dropped,
    /// and these shards take their place. Damaged records alone go on waiting.
    ShardsPlanned {
        /// The dataset.
        dataset: DatasetName,
        /// Ids, unique in the ledger, with disjoint ranges that cover all keys.
        shards: Vec<(ShardId, KeyRange)>,
    },
    /// A shard gives its upper part away.
    ShardSplit {
        /// The shard; its new `until` is `at`.
        shard: ShardId,
        /// The last key that stays.
        at: Key,
        /// The new shard, from `at` to the old `until`.
        new: ShardId,
    },
    /// How far a shard is done for one target, and what it did on the way.
    CursorMoved {
        /// The shard.
        shard: ShardId,
        /// The target.
        target: TargetIndex,
        /// How far; never backwards.
        cursor: Cursor,
        /// Added to the shard's tally for that target.
        done: Tally,
    },
    /// A source version and a target version hold the same bytes and properties.
    Paired {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
        /// The pair; replaces what was there. Clears a failure or deferral of the key.
        pair: Pair,
    },
    /// The same as [`Paired`](Self::Paired), found by looking, not by writing: what the record waits
    /// for is not cleared by it.
    Learned {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
        /// The pair; replaces what was there.
        pair: Pair,
    },
    /// The record is gone from the target, as it is from the source.
    Unpaired {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key; its failure or deferral is cleared too.
        key: Key,
    },
    /// The record waits for something to be done to it at this target, once the pass is through.
    Waits {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key; whatever it waited for before is replaced.
        key: Key,
        /// For what.
        why: Open,
    },
    /// The record could not be brought over.
    Failed {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key; a deferral of it is cleared.
        key: Key,
        /// Why, for people; no secrets.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The failure or deferral of a record is over, without a new pair.
    Settled {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
    },
    /// A multipart upload is about to begin. Written right before the request leaves.
    UploadIntended {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The upload; one at a time for a key and target: it replaces an earlier one.
        upload: UploadIntent,
    },
    /// The store named the upload. Written before the first part.
    UploadBegun {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
        /// The store's name for it.
        id: String,
    },
    /// A part is at the target.
    PartWritten {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
        /// The part.
        part: WrittenPart,
    },
    /// The upload was finished or aborted: it and its parts are forgotten.
    UploadEnded {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
    },
    /// An upload may be there whose beginning was not answered, and that nobody can tell for ours: it is
    /// kept until it is known to be gone.
    UploadUnclaimed {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The upload; replaces what was known of it.
        upload: Unclaimed,
    },
    /// It is gone, or was never there.
    UploadGone {
        /// The dataset.
        dataset: DatasetName,
        /// The target.
        target: TargetIndex,
        /// The key.
        key: Key,
        /// When it was asked for.
        at: Timestamp,
    },
    /// What a probe found of an endpoint, as JSON.
    Probed {
        /// The store's location.
        location: String,
        /// What it can do.
        capabilities: String,
        /// When.
        at: Timestamp,
    },
    /// Which directory is at a path, as JSON; replaces what was found there earlier.
    PlaceSeen {
        /// The resolved path.
        path: String,
        /// Which directory it is.
        identity: String,
        /// When.
        at: Timestamp,
    },
    /// A phase may be cut over; replaces an earlier approval of it.
    Approved(Approval),
    /// It may no longer.
    ApprovalWithdrawn {
        /// The phase.
        phase: PhaseName,
    },
    /// A command asks something of the process that drives the migration.
    Requested(RequestRow),
    /// The process that drives the migration carries a request out from here on: it can no longer be taken back.
    /// Nothing happens where it was.
    RequestTaken {
        /// The request.
        id: String,
    },
    /// Whoever asked no longer waits. Nothing happens where the request was taken, or answered.
    RequestTakenBack {
        /// The request.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// What became of a request. Nothing happens where it was answered before.
    Answered {
        /// The request.
        id: String,
        /// The answer.
        answer: Answer,
        /// When.
        at: Timestamp,
    },
    /// The old lead is listed for late writes: what an earlier look has found of them is forgotten.
    LateLookBegan {
        /// The dataset.
        dataset: DatasetName,
    },
    /// Records that were written at the old lead too late.
    LateFound {
        /// The dataset.
        dataset: DatasetName,
        /// The records.
        keys: Vec<Key>,
    },
    /// Late writes that need no further attention. Those that were settled before stay as they are.
    LateSettled {
        /// The dataset.
        dataset: DatasetName,
        /// Which; all that are open where absent.
        keys: Option<Vec<Key>>,
        /// Who has decided so; absent where a look has found both leads equal.
        by: Option<String>,
        /// Why, where it was said.
        reason: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A limit holds in place of the plan's.
    LimitSet {
        /// Whose.
        of: LimitsOf,
        /// Which: a key of the plan's `limits`.
        key: String,
        /// What.
        setting: Setting,
    },
}
