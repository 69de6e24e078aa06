//! Writes the ledger for all tasks, and keeps the board that the display reads.
//!
//! One task takes all reports in their order, gathers those that have queued up into one batch, and commits it. The
//! board shows a record only after that, so what it shows is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use crate::{journal::Report, shutdown::Shutdown, star::Star};
use migrate_core::{
    model::{DatasetName, Key, KeyRange, PlaceIndex, ShardId},
    shard::{self, Cursor, Tally},
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
    /// What this pass has done, per target.
    pub(crate) tallies: BTreeMap<PlaceIndex, Tally>,
    /// Each shard's range, and its cursor at each target.
    shards: BTreeMap<ShardId, (KeyRange, BTreeMap<PlaceIndex, Cursor>)>,
    /// Records that failed or were deferred since this run began or resumed the pass, per target.
    pub(crate) failed: BTreeMap<PlaceIndex, u64>,
    pub(crate) deferred: BTreeMap<PlaceIndex, u64>,
    followers: Arc<[PlaceIndex]>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatasetName, PassProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a dataset's progress; `None` if it is not on the board.
    pub(crate) fn read<T>(&self, dataset: &DatasetName, read: impl FnOnce(&PassProgress) -> T) -> Option<T> {
        self.lock().get(dataset).map(read)
    }

    /// Puts a dataset on the board, with the shards of the pass under way.
    pub(crate) fn enter(&self, dataset: &DatasetName, star: &Star, shards: &[migrate_ledger::ShardRow]) {
        let mut standing = PassProgress { followers: Arc::clone(&star.followers), ..PassProgress::default() };
        for row in shards {
            let cursors = row.places.iter().map(|(target, cursor, _)| (*target, cursor.clone())).collect();
            standing.shards.insert(row.id, (row.range.clone(), cursors));
            for (target, _, tally) in &row.places {
                *standing.tallies.entry(*target).or_default() += *tally;
            }
        }
        self.lock().insert(dataset.clone(), standing);
    }

    fn observe(&self, records: &[Record]) {
        let mut board = self.lock();
        for record in records {
            match record {
                Record::CursorMoved { shard, place: target, cursor, done } => {
                    let standing = board.values_mut().find(|standing| standing.shards.contains_key(shard));
                    if let Some(standing) = standing {
                        *standing.tallies.entry(*target).or_default() += *done;
                        if let Some((_, cursors)) = standing.shards.get_mut(shard) {
                            cursors.insert(*target, cursor.clone());
                        }
                    }
                }
                Record::ShardSplit { shard, at, new } => {
                    for standing in board.values_mut() {
                        standing.split(*shard, at, *new);
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
                }
                _ => {}
            }
        }
    }
}

impl PassProgress {
    fn split(&mut self, id: ShardId, at: &Key, new: ShardId) {
        if let Some((range, _)) = self.shards.get_mut(&id)
            && let Some((lower, upper)) = shard::split(range, at)
        {
            *range = lower;
            self.shards.insert(new, (upper, BTreeMap::new()));
        }
    }

    /// How much of the key space is done, from 0 to 1. Each shard counts for an equal part: a shard's
    /// true size is not known before it ends.
    pub(crate) fn fraction(&self) -> f64 {
        if self.shards.is_empty() || self.followers.is_empty() {
            return 0.0;
        }
        let done = self.shards.values().map(|(range, cursors)| {
            let of = |place| cursors.get(place).map_or(0.0, |cursor| shard::progress(range, cursor));
            self.followers.iter().map(of).fold(1.0, f64::min)
        });
        #[expect(clippy::cast_precision_loss, reason = "shards are few")]
        let count = self.shards.len() as f64;
        done.sum::<f64>() / count
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
