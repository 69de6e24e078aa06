//! Bounds the records and bytes in flight at once, and the shards that verifications and looks list.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which bytes are counted: a semaphore counts to 2^29 at most on some machines.
const PAGE_BYTES: u64 = 4096;

/// Three bounds. Every task takes them in this order: a shard's slot, a record's slot, then bytes for each of its
/// bodies.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    shards: Arc<Semaphore>,
    records: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    pages_max: u32,
}

/// Bytes taken from the budget; returned on drop, so the permit must live as long as the body.
#[derive(Debug)]
pub(crate) struct Bytes {
    _permit: OwnedSemaphorePermit,
}

/// The slot of a shard or a record; returned on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// The slots for the shards of one walk: those of all walks share the memory for pages of listings, except for one
/// that each walk has of its own. So a walk at a slow site holds up no other.
#[derive(Debug)]
pub(crate) struct ShardSlots {
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

impl ShardSlots {
    /// Waits for a shard's slot.
    pub(crate) async fn slot(&self) -> Slot {
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.own).acquire_owned() => permit,
            permit = Arc::clone(&self.shared).acquire_owned() => permit,
        };
        Slot { _permit: permit.expect("the slots are never closed") }
    }
}

impl Budget {
    /// A budget of this many shards, records and bytes in flight.
    pub(crate) fn new(shards: usize, records: usize, bytes: u64) -> Self {
        let pages_max = u32::try_from((bytes / PAGE_BYTES).max(1)).unwrap_or(u32::MAX >> 4);
        Self {
            shards: Arc::new(Semaphore::new(shards.max(1))),
            records: Arc::new(Semaphore::new(records)),
            pages: Arc::new(Semaphore::new(pages_max as usize)),
            pages_max,
        }
    }

    /// The slots for the shards of one walk. The shards of passes need none, since one loop hands them out.
    pub(crate) fn shard_slots(&self) -> ShardSlots {
        ShardSlots { own: Arc::new(Semaphore::new(1)), shared: Arc::clone(&self.shards) }
    }

    /// Waits for a record's slot.
    pub(crate) async fn slot(&self) -> Slot {
        let permit = Arc::clone(&self.records).acquire_owned().await;
        Slot { _permit: permit.expect("the budget is never closed") }
    }

    /// Waits for room for `size` bytes. A body larger than the whole budget takes all of it, so that
    /// it does not wait forever.
    pub(crate) async fn bytes(&self, size: u64) -> Bytes {
        let pages = u32::try_from(size.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX).min(self.pages_max);
        let permit = Arc::clone(&self.pages).acquire_many_owned(pages).await;
        Bytes { _permit: permit.expect("the budget is never closed") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_walk_has_a_slot_that_no_other_takes() {
        let budget = Budget::new(2, 1, PAGE_BYTES);
        let (one, other) = (budget.shard_slots(), budget.shard_slots());
        let _all = [one.slot().await, one.slot().await, one.slot().await];
        let _own = other.slot().await;
        assert_eq!((budget.shards.available_permits(), other.own.available_permits()), (0, 0));
        assert!(futures::FutureExt::now_or_never(other.slot()).is_none(), "the rest is shared");
    }

    #[tokio::test]
    async fn a_body_above_the_budget_still_gets_through() {
        let budget = Budget::new(1, 1, 8 * PAGE_BYTES);
        let all = budget.bytes(100 * PAGE_BYTES).await;
        assert_eq!(budget.pages.available_permits(), 0, "it takes everything");
        drop(all);
        let _small = budget.bytes(1).await;
        assert_eq!(budget.pages.available_permits(), 7);
    }
}
