//! Which targets hold the others back: those that have no room for more writes.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::copy::copier::{Copier, Follower, Job, Outcome, Outcomes};
use migrate_core::model::PlaceIndex;

/// How long a target's share of the writes in flight must be used up until its records are deferred. How many requests it
/// bears is found in a few seconds, and until then the share is small; what is deferred is read twice.
const CROWDED_MIN: Duration = Duration::from_secs(10);

impl Copier {
    /// Defers the record at slow targets, if another target has room.
    pub(super) fn defer_crowded(&self, job: &mut Job, outcomes: &mut Outcomes) {
        // A target may take half of the records in flight.
        let in_flight_max = (self.budget.records().given() / 2).max(1);
        let crowded = |target: PlaceIndex| self.follower(target).is_crowded(in_flight_max);
        let wanted = job.wants.iter().map(|(target, _)| (*target, crowded(*target)));
        let deferred = to_defer(&wanted.collect::<Vec<_>>(), job.last_chance);
        job.wants.retain(|(target, _)| !deferred.contains(target));
        outcomes.extend(deferred.into_iter().map(|target| (target, Outcome::Deferred)));
    }
}

/// Counts a write as in flight until it ends or is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Follower {
    /// Whether the target has had no room for a while: a short delay is no reason to read a record twice.
    fn is_crowded(&self, in_flight_max: usize) -> bool {
        let mut since = self.crowded_since.lock().unwrap_or_else(PoisonError::into_inner);
        if self.in_flight.load(Ordering::Relaxed) < in_flight_max {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() >= CROWDED_MIN
    }

    /// Runs a write and counts it as in flight at the target.
    pub(crate) async fn counted<T>(&self, write: impl Future<Output = T>) -> T {
        let _counted = InFlight::enter(&self.in_flight);
        write.await
    }
}

/// The targets at which a record is deferred: those that hold the others back, unless all do or this is the last
/// chance.
fn to_defer(wanted: &[(PlaceIndex, bool)], last_chance: bool) -> Vec<PlaceIndex> {
    if last_chance || wanted.iter().all(|(_, crowded)| *crowded) {
        return Vec::new();
    }
    wanted.iter().filter(|(_, crowded)| *crowded).map(|(target, _)| *target).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::copy::lane::TargetLane;
    use migrate_core::model::Aspects;
    use migrate_store::memory::MemoryStore;

    #[tokio::test]
    async fn a_write_that_is_dropped_half_way_is_no_longer_in_flight() {
        let follower = Follower {
            place: PlaceIndex(1),
            at: "memory".to_owned(),
            store: Arc::new(MemoryStore::new("memory")),
            part_size: None,
            in_flight: 0.into(),
            crowded_since: Mutex::default(),
            lane: TargetLane::open(Duration::ZERO),
            waived: Aspects::NONE,
            has_led: false,
        };
        let in_flight = || follower.in_flight.load(Ordering::Relaxed);
        let mut write = Box::pin(follower.counted(std::future::pending::<()>()));
        assert!(futures::poll!(&mut write).is_pending());
        assert_eq!(in_flight(), 1);
        drop(write);
        assert_eq!(in_flight(), 0, "a target must not count as crowded for good");
        follower.counted(async {}).await;
        assert_eq!(in_flight(), 0);
    }

    #[test]
    fn only_what_holds_others_back_is_deferred() {
        let (a, b) = (PlaceIndex(1), PlaceIndex(2));
        assert_eq!(to_defer(&[(a, false), (b, true)], false), [b]);
        assert!(to_defer(&[(a, true), (b, true)], false).is_empty(), "nothing waits for them");
        assert!(to_defer(&[(b, true)], false).is_empty());
        assert!(to_defer(&[(a, false), (b, true)], true).is_empty(), "there is no later pass");
        assert!(to_defer(&[], false).is_empty());
    }
}
