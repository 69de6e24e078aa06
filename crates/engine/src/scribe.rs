//! Writes the ledger for all tasks, and keeps the board that the display reads.
//!
//! One task takes all reports in their order, gathers those that have queued up into one batch, and commits it. The
//! board shows a record only after that, so what it shows is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use crate::{journal::Report, shutdown::Shutdown};
use migrate_core::{
    model::{DatasetName, PlaceIndex, ShardId},
    shard::Tally,
};
use migrate_ledger::{Fact, Ledger, LedgerError, Open, Record};

/// Reports that may queue before workers wait.
pub(crate) const REPORTS_QUEUED: usize = 256;

/// What is durably done, per dataset; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<DatasetName, PassProgress>>>);

/// How far the pass of one dataset has come.
#[derive(Debug, Default)]
pub(crate) struct PassProgress {
    /// What this pass has done, per target, as far as cursors have passed it.
    tallies: BTreeMap<PlaceIndex, Tally>,
    shards: BTreeSet<ShardId>,
    /// Records that failed or were deferred since this run began or resumed the pass, per target.
    pub(crate) failed: BTreeMap<PlaceIndex, u64>,
    pub(crate) deferred: BTreeMap<PlaceIndex, u64>,
    /// Records that are deferred now, per target: they were seen, and are not there.
    pub(crate) behind: BTreeMap<PlaceIndex, u64>,
    /// The same per shard and target since its worker began, with what the worker has finished.
    ahead: BTreeMap<(ShardId, PlaceIndex), Ahead>,
}

/// What a worker has finished in its shard, and what the ledger has of that: the rest waits for a cursor, or for the
/// ledger.
#[derive(Debug, Default)]
struct Ahead {
    finished: Tally,
    passed: Tally,
}

impl PassProgress {
    /// What this pass has done at a target, whether a cursor has passed it yet or not.
    pub(crate) fn done(&self, target: PlaceIndex) -> Tally {
        let mut done = self.tallies.get(&target).copied().unwrap_or_default();
        for (_, ahead) in self.ahead.iter().filter(|((_, place), _)| *place == target) {
            done += ahead.finished.beyond(ahead.passed);
        }
        done
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatasetName, PassProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a dataset's progress; `None` if it is not on the board.
    pub(crate) fn read<T>(&self, dataset: &DatasetName, read: impl FnOnce(&PassProgress) -> T) -> Option<T> {
        self.lock().get(dataset).map(read)
    }

    /// Puts a dataset on the board, with the shards of the pass under way, and the records that an earlier process has
    /// deferred, per target.
    pub(crate) fn enter(
        &self,
        dataset: &DatasetName,
        shards: &[migrate_ledger::ShardRow],
        behind: BTreeMap<PlaceIndex, u64>,
    ) {
        let mut standing = PassProgress { behind, ..PassProgress::default() };
        for row in shards {
            standing.shards.insert(row.id);
            for (target, _, tally) in &row.places {
                *standing.tallies.entry(*target).or_default() += *tally;
            }
        }
        self.lock().insert(dataset.clone(), standing);
    }

    /// A worker begins with a shard: what an earlier one has finished ahead of its cursor is done again.
    pub(crate) fn begin(&self, dataset: &DatasetName, shard: ShardId) {
        if let Some(standing) = self.lock().get_mut(dataset) {
            standing.ahead.retain(|(of, _), _| *of != shard);
        }
    }

    /// Takes what a worker has finished in its shard at a target since it began.
    pub(crate) fn set_finished(&self, dataset: &DatasetName, shard: ShardId, target: PlaceIndex, finished: Tally) {
        if let Some(standing) = self.lock().get_mut(dataset) {
            standing.ahead.entry((shard, target)).or_default().finished = finished;
        }
    }

    fn observe(&self, records: &[Record]) {
        let mut board = self.lock();
        for record in records {
            match record {
                Record::CursorMoved { shard, place: target, done, .. } => {
                    let standing = board.values_mut().find(|standing| standing.shards.contains(shard));
                    if let Some(standing) = standing {
                        *standing.tallies.entry(*target).or_default() += *done;
                        standing.ahead.entry((*shard, *target)).or_default().passed += *done;
                        if done.records == 0 {
                            // What was seen before is settled only now.
                            let behind = standing.behind.entry(*target).or_default();
                            *behind = behind.saturating_sub(done.same + done.copied + done.extra);
                        }
                    }
                }
                Record::ShardSplit { shard, new, .. } => {
                    for standing in board.values_mut().filter(|standing| standing.shards.contains(shard)) {
                        standing.shards.insert(*new);
                    }
                }
                Record::At { dataset, place: target, fact, .. } => {
                    let Some(standing) = board.get_mut(dataset) else { continue };
                    let counted = match fact {
                        Fact::Failed { .. } => &mut standing.failed,
                        Fact::Waits(Open::Deferred) => &mut standing.deferred,
                        _ => continue,
                    };
                    *counted.entry(*target).or_default() += 1;
                    if matches!(fact, Fact::Waits(_)) {
                        *standing.behind.entry(*target).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Writes until every sender is gone. After a failed write nothing more is written: the run drains,
/// and tasks that wait for a commit learn that it will not come.
pub(crate) async fn write(
    ledger: Arc<Ledger>,
    mut reports: mpsc::Receiver<Report>,
    board: Board,
    shutdown: Shutdown,
) -> Result<(), LedgerError> {
    let mut result = Ok(());
    let mut queued = Vec::new();
    while reports.recv_many(&mut queued, REPORTS_QUEUED).await > 0 {
        let mut records = Vec::new();
        let mut waiting = Vec::new();
        for report in queued.drain(..) {
            records.extend(report.records);
            waiting.extend(report.committed);
        }
        if result.is_err() {
            continue;
        }
        let written = if records.is_empty() { Ok(()) } else { ledger.append(records.clone()).await };
        match written {
            Ok(()) => {
                board.observe(&records);
                for told in waiting {
                    // The task that waited may have been cancelled.
                    let _ = told.send(());
                }
            }
            Err(error) => {
                shutdown.drain();
                result = Err(error);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_finished_behind_a_record_under_way_is_done_too() {
        let (board, dataset, target) = (Board::default(), DatasetName::new("d").unwrap(), PlaceIndex(1));
        board.enter(&dataset, &[], BTreeMap::new());
        let copied = |records| Tally { records, copied: records, ..Tally::default() };
        let done = || board.read(&dataset, |standing| standing.done(target)).unwrap();
        let passed = |records| Record::CursorMoved {
            shard: ShardId(1),
            place: target,
            cursor: migrate_core::shard::Cursor::End,
            done: copied(records),
        };
        board.begin(&dataset, ShardId(1));
        board.set_finished(&dataset, ShardId(1), target, copied(5));
        board.set_finished(&dataset, ShardId(2), target, copied(2));
        board.set_finished(&dataset, ShardId(2), PlaceIndex(2), copied(9));
        assert_eq!(done(), copied(7));
        // Between the worker and the ledger nothing is lost, and nothing counts twice.
        board.lock().get_mut(&dataset).unwrap().shards.insert(ShardId(1));
        board.observe(&[passed(3)]);
        assert_eq!(done(), copied(7));
        board.set_finished(&dataset, ShardId(1), target, copied(6));
        board.observe(&[passed(3)]);
        assert_eq!(done(), copied(8));
        board.begin(&dataset, ShardId(2));
        assert_eq!(done(), copied(6), "its next worker does it again");
    }
}
