//! Bounds the records and bytes in flight at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which bytes are counted: a semaphore counts to 2^29 at most on some machines.
const PAGE_BYTES: u64 = 4096;

/// Two bounds. Every task takes them in this order: a record's slot, then bytes for each of its bodies.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    records: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    pages_max: u32,
}

/// Bytes taken from the budget; returned on drop, so the permit must live as long as the body.
#[derive(Debug)]
pub(crate) struct Bytes {
    _permit: OwnedSemaphorePermit,
}

/// A record's slot; returned on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of this many records and bytes in flight.
    pub(crate) fn new(records: usize, bytes: u64) -> Self {
        let pages_max = u32::try_from((bytes / PAGE_BYTES).max(1)).unwrap_or(u32::MAX >> 4);
        Self {
            records: Arc::new(Semaphore::new(records)),
            pages: Arc::new(Semaphore::new(pages_max as usize)),
            pages_max,
        }
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
    async fn a_body_above_the_budget_still_gets_through() {
        let budget = Budget::new(1, 8 * PAGE_BYTES);
        let all = budget.bytes(100 * PAGE_BYTES).await;
        assert_eq!(budget.pages.available_permits(), 0, "it takes everything");
        drop(all);
        let _small = budget.bytes(1).await;
        assert_eq!(budget.pages.available_permits(), 7);
    }
}
