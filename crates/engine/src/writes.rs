//! The writes of a drive at the places of its datasets: how many are under way, and the age of those that may still
//! act although they have ended.
//!
//! # Across processes
//!
//! A process can say what it left open only if it ends by itself. So a drive counts as ended only once no write is
//! under way, none was dropped, and the ledger knows each one without an answer. Otherwise the next process, after a
//! kill for example, takes the moment when it took the ledger for a write without an answer at every place: its
//! predecessor has sent nothing since, and what it had sent before comes to rest as any other request does. The time of
//! the predecessor's last record is no such moment, because it may have sent requests for hours without another record.
//!
//! # Clocks
//!
//! Ages count by the monotonic clock from the begin of the drive on, so no step of the wall clock makes a write older
//! than it is. Only what earlier processes have left is aged by the wall clock, up to that begin.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use migrate_core::model::{DatasetName, Timestamp};
use migrate_ledger::{LastDrive, Unknown};

/// The writes of one drive.
#[derive(Debug, Default)]
pub(crate) struct Writes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: u64,
    /// Whether no write may begin any more.
    ended: bool,
    /// Whether the ledger lacks a write that may still act.
    is_unsaid: bool,
    /// The youngest write that may still act, by dataset.
    youngest: BTreeMap<DatasetName, Since>,
    /// The moment at which a process took the ledger after one that had not ended cleanly.
    cut_off: Option<Since>,
}

/// A moment, which may lie before this drive.
#[derive(Debug, Clone, Copy)]
struct Since {
    seen: Instant,
    /// Its age when it was seen.
    age: Duration,
}

impl Since {
    fn now() -> Self {
        Self { seen: Instant::now(), age: Duration::ZERO }
    }

    /// A moment of an earlier process; one that seems to lie in the future counts as now.
    fn at(moment: Timestamp, now: Timestamp) -> Self {
        Self { age: u64::try_from(now.0 - moment.0).map_or(Duration::ZERO, Duration::from_millis), ..Self::now() }
    }

    fn age(self) -> Duration {
        self.age + self.seen.elapsed()
    }
}

/// The youngest write that may still act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Youngest {
    pub(crate) age: Duration,
    /// Whether it is what an earlier process may have had under way.
    pub(crate) is_cut_off: bool,
}

impl Writes {
    /// The writes of a drive that begins now, after what the ledger knows of earlier ones.
    pub(crate) fn after(last: LastDrive, unknown: Vec<Unknown>, now: Timestamp) -> Self {
        let youngest = unknown.into_iter().map(|unknown| (unknown.dataset, Since::at(unknown.at, now))).collect();
        let cut_off = if last.open { Some(Since::now()) } else { last.cut_off.map(|at| Since::at(at, now)) };
        Self(Mutex::new(State { youngest, cut_off, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write begins; `false` if none may any more.
    pub(crate) fn begins(&self) -> bool {
        let mut state = self.state();
        state.under_way += u64::from(!state.ended);
        !state.ended
    }

    /// A write has ended.
    pub(crate) fn ended(&self) {
        self.state().under_way -= 1;
    }

    /// A write of a dataset may still act; `is_said` if the ledger will know that.
    pub(crate) fn may_still_act(&self, dataset: &DatasetName, is_said: bool) {
        let mut state = self.state();
        state.youngest.insert(dataset.clone(), Since::now());
        state.is_unsaid |= !is_said;
    }

    /// Lets no further write begin; whether none is under way, and the ledger knows all that may still act.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.state();
        state.ended = true;
        state.under_way == 0 && !state.is_unsaid
    }

    /// The youngest write that may still act, of the datasets that count; what an earlier process had under way counts
    /// for all.
    pub(crate) fn youngest(&self, counts: impl Fn(&DatasetName) -> bool) -> Option<Youngest> {
        let state = self.state();
        let of = |since: &Since, is_cut_off| Youngest { age: since.age(), is_cut_off };
        let known = state.youngest.iter().filter(|(dataset, _)| counts(dataset)).map(|(_, since)| of(since, false));
        known.chain(state.cut_off.iter().map(|since| of(since, true))).min_by_key(|youngest| youngest.age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatasetName {
        DatasetName::new(text).unwrap()
    }

    fn left(dataset: &str, at: i64) -> Unknown {
        Unknown { dataset: name(dataset), count: 1, key: "k".into(), at: Timestamp(at) }
    }

    fn age(writes: &Writes, dataset: &str) -> Option<(u64, bool)> {
        let youngest = writes.youngest(|one| *one == name(dataset))?;
        Some((youngest.age.as_secs(), youngest.is_cut_off))
    }

    #[tokio::test(start_paused = true)]
    async fn the_youngest_write_of_a_dataset_ages_by_the_monotonic_clock() {
        let earlier = vec![left("old", 1_000), left("ahead", 90_000)];
        let writes = Writes::after(LastDrive::default(), earlier, Timestamp(61_000));
        assert_eq!(age(&writes, "new"), None);
        assert_eq!(age(&writes, "old"), Some((60, false)));
        assert_eq!(age(&writes, "ahead"), Some((0, false)), "the wall clock was set back");
        tokio::time::advance(Duration::from_secs(7)).await;
        writes.may_still_act(&name("new"), true);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(["new", "old", "ahead"].map(|name| age(&writes, name).unwrap().0), [3, 70, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_killed_process_had_under_way_counts_from_the_next_one_on_and_for_all() {
        let writes = |open, cut_off: Option<i64>| {
            Writes::after(LastDrive { open, cut_off: cut_off.map(Timestamp) }, vec![left("d", 1)], Timestamp(30_000))
        };
        assert_eq!(age(&writes(false, None), "other"), None);
        assert_eq!(age(&writes(true, None), "other"), Some((0, true)));
        assert_eq!(age(&writes(true, Some(10_000)), "d"), Some((0, true)), "once more");
        assert_eq!(age(&writes(false, Some(10_000)), "other"), Some((20, true)), "the one after it ended cleanly");
    }

    #[test]
    fn a_drive_ends_only_if_nothing_is_open_that_the_ledger_does_not_know() {
        let writes = Writes::default();
        assert!(writes.begins());
        assert!(!writes.end(), "a write is under way");
        assert!(!writes.begins(), "none begins any more");
        writes.ended();
        assert!(writes.end());
        writes.may_still_act(&name("d"), true);
        assert!(writes.end(), "the ledger knows it");
        writes.may_still_act(&name("d"), false);
        assert!(!writes.end());
    }
}
