//! The seam between the work on a shard and the loop that hands shards out.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{control::Control, error::EngineError, seen::Seen};
use migrate_core::model::{Key, ShardId};
use migrate_ledger::VerifiedShard;

/// How far all shards of a walk are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShardsAt {
    /// Shards that were seen to their end.
    pub(crate) ended: u64,
    /// All shards so far.
    pub(crate) all: u64,
    /// Estimated share of the key space that is done, from 0 to 1; each shard counts for an equal part.
    pub(crate) fraction: f64,
}

/// Looks at the rows of shards, in many tasks at once.
#[async_trait]
pub(crate) trait Walk: Send + Sync + 'static {
    /// Walks a shard; `None` if it stopped before its end, because the run is to stop.
    async fn walk(&self, shard: VerifiedShard, control: Arc<Control>) -> Result<Option<Seen>, EngineError>;

    /// Splits a running shard by its control; `false` if it has come too far.
    async fn split(&self, shard: ShardId, at: &Key, new: ShardId, control: &Control) -> Result<bool, EngineError> {
        let _ = (shard, new);
        Ok(control.cut(at, || {}))
    }

    /// Tells people how far it is; called a few times a second.
    fn tell(&self, _shards: ShardsAt) {}
}
