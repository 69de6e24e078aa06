//! A verification under way, as it is written and returned: its shards, their cursors, and what it found up to them.

use migrate_core::{
    model::{Counted, DatasetName, Key, KeyRange, ShardId, Timestamp},
    report::Difference,
    shard::Cursor,
};

/// One durable fact of a verification under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRecord {
    /// The dataset's name in the plan.
    pub dataset: DatasetName,
    /// What happened to it.
    pub step: VerificationStep,
}

/// What happened to a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationStep {
    /// It begins; an earlier one of the dataset is forgotten.
    Began {
        /// What it means, as JSON: it goes on only if it still means the same.
        binds: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
        /// Ids, unique in this verification, with disjoint ranges that cover all keys.
        shards: Vec<(ShardId, KeyRange)>,
    },
    /// A shard gives its upper part away.
    Split {
        /// The shard; its new `until` is `at`.
        shard: ShardId,
        /// The last key that stays in the shard; above its cursor.
        at: Key,
        /// The new shard, from `at` to the old `until`.
        new: ShardId,
    },
    /// A shard has come further. The cursor and what was found up to it are one fact.
    Moved {
        /// The shard.
        shard: ShardId,
        /// The new position; always forward.
        cursor: Cursor,
        /// What was found since the last position, per follower.
        found: Vec<PartFound>,
    },
    /// It has ended and is forgotten.
    Ended,
}

/// What a part of a verification found at one follower.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartFound {
    /// The counts of the part.
    pub counts: Counted,
    /// The differences to keep, each with whether it is an extra record that the plan keeps.
    pub differences: Vec<(Difference, bool)>,
}

/// A verification under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRow {
    /// What it means, as JSON.
    pub binds: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// Its shards, ascending by range.
    pub shards: Vec<VerifiedShard>,
    /// What it found so far, per follower; empty before any cursor has moved.
    pub found: Vec<PartFound>,
}

/// A shard of a verification under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedShard {
    /// Unique in its verification.
    pub id: ShardId,
    /// The keys of the shard.
    pub range: KeyRange,
    /// How far all followers were compared.
    pub cursor: Cursor,
}
