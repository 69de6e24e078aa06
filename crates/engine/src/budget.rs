//! Bounds the records and bytes in flight at once, and the shards that verifications and looks list.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    asked::InFlightMax,
    sites::{limits::AT_ONCE, opening::Sites},
};

/// The unit in which bytes are counted: a semaphore counts to 2^29 at most on some machines.
const PAGE_BYTES: u64 = 4096;

/// How many requests at once the site bears that bears the most.
pub(crate) type Bears = Arc<dyn Fn() -> usize + Send + Sync>;

/// Slots for records. Their number is for sites that bear [`AT_ONCE`] requests at once, and follows what a site bears.
#[derive(Clone)]
pub(crate) struct Records {
    number: usize,
    slots: Arc<Semaphore>,
    given: Arc<Mutex<usize>>,
    bears: Bears,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("given", &self.given).finish_non_exhaustive()
    }
}

impl Records {
    fn new(number: usize, bears: Bears) -> Self {
        Self { number, slots: Arc::new(Semaphore::new(number)), given: Arc::new(Mutex::new(number)), bears }
    }

    /// How many records may be in flight now.
    pub(crate) fn given(&self) -> usize {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives as many slots as the sites bear. Of those to be taken back, it takes only free ones: while records wait, a
    /// slot that is given back goes to the next of them, and the gate of the site holds that one up.
    fn fit(&self) {
        let wanted = (self.number * (self.bears)() / AT_ONCE).max(self.number);
        let mut given = self.lock();
        if *given < wanted {
            self.slots.add_permits(wanted - *given);
            *given = wanted;
        } else if *given > wanted {
            *given -= self.slots.forget_permits(*given - wanted);
        }
    }

    /// Waits for a record's slot.
    pub(crate) async fn slot(&self) -> Slot {
        self.slots(1).await
    }

    /// Waits for this many slots, or for as many as there are in any case if those are fewer.
    pub(crate) async fn slots(&self, many: usize) -> Slot {
        self.fit();
        let many = u32::try_from(many.min(self.number)).expect("slots are few");
        let permit = Arc::clone(&self.slots).acquire_many_owned(many).await;
        Slot { _permit: permit.expect("the budget is never closed") }
    }
}

/// Three bounds. Every task takes them in this order: a shard's slot, a record's slot, then bytes for each of its
/// bodies.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    shards: Arc<Semaphore>,
    records: Records,
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
    /// The budget of a run, or of a verification by itself.
    pub(crate) fn of(limits: &InFlightMax, sites: &Sites) -> Self {
        let book = Arc::clone(&sites.limits);
        Self::new(limits.shards, limits.records, limits.bytes, Arc::new(move || book.at_once()))
    }

    fn new(shards: usize, records: usize, bytes: u64, bears: Bears) -> Self {
        let pages_max = u32::try_from((bytes / PAGE_BYTES).max(1)).unwrap_or(u32::MAX >> 4);
        Self {
            shards: Arc::new(Semaphore::new(shards.max(1))),
            records: Records::new(records, bears),
            pages: Arc::new(Semaphore::new(pages_max as usize)),
            pages_max,
        }
    }

    /// The slots for the shards of one walk. The shards of passes need none, since one loop hands them out.
    pub(crate) fn shard_slots(&self) -> ShardSlots {
        ShardSlots { own: Arc::new(Semaphore::new(1)), shared: Arc::clone(&self.shards) }
    }

    /// The slots for the records that are copied.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// Slots of their own, for the records that a verification looks at.
    pub(crate) fn looks(&self, number: usize) -> Records {
        Records::new(number, Arc::clone(&self.records.bears))
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
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn each_walk_has_a_slot_that_no_other_takes() {
        let budget = Budget::new(2, 1, PAGE_BYTES, Arc::new(|| 0));
        let (one, other) = (budget.shard_slots(), budget.shard_slots());
        let _all = [one.slot().await, one.slot().await, one.slot().await];
        let _own = other.slot().await;
        assert_eq!((budget.shards.available_permits(), other.own.available_permits()), (0, 0));
        assert!(futures::FutureExt::now_or_never(other.slot()).is_none(), "the rest is shared");
    }

    #[tokio::test]
    async fn a_body_above_the_budget_still_gets_through() {
        let budget = Budget::new(1, 1, 8 * PAGE_BYTES, Arc::new(|| 0));
        let all = budget.bytes(100 * PAGE_BYTES).await;
        assert_eq!(budget.pages.available_permits(), 0, "it takes everything");
        drop(all);
        let _small = budget.bytes(1).await;
        assert_eq!(budget.pages.available_permits(), 7);
    }

    #[tokio::test]
    async fn as_many_records_are_in_flight_as_the_sites_bear_requests() {
        let bears = Arc::new(AtomicUsize::new(AT_ONCE));
        let sites = Arc::clone(&bears);
        let budget = Budget::new(1, 2, PAGE_BYTES, Arc::new(move || sites.load(Relaxed)));
        let mut slots = vec![budget.records().slots(2).await];
        assert!(futures::FutureExt::now_or_never(budget.records().slot()).is_none());
        bears.store(4 * AT_ONCE, Relaxed);
        for _ in 2..8 {
            slots.push(budget.records().slot().await);
        }
        bears.store(AT_ONCE / 2, Relaxed);
        assert!(futures::FutureExt::now_or_never(budget.records().slot()).is_none());
        assert_eq!(budget.records().given(), 8, "all are in use");
        slots.clear();
        let _all = budget.records().slots(100).await;
        assert_eq!(budget.records().given(), 2, "as many as there are in any case");
    }
}
