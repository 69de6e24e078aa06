//! The thread that writes: it drains the channel and commits what it finds as one transaction.
//!
//! Each batch has a savepoint of its own, so that an illegal one fails alone. A commit that fails fails every batch
//! in it. No caller gets an answer before the commit.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rusqlite::{Connection, config::DbConfig};
use tokio::sync::{mpsc, oneshot};

use super::{
    apply::{Apply, Memory},
    failure::Failure,
    trail,
};
use crate::record::Record;
use migrate_core::model::Timestamp;

/// Decides the fate of the commit of this number, counted from 1 since the ledger was opened.
pub type CommitHook = Arc<dyn Fn(u64) -> CommitFate + Send + Sync>;

/// The fate of a commit. After a failed one the ledger writes nothing more, as if the process had crashed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It succeeds.
    Go,
    /// It fails and nothing is written.
    FailBefore,
    /// It is written, but every caller that waits for it gets an error.
    FailAfter,
}

/// The most batches in one commit.
const GROUP_BATCHES_MAX: usize = 256;
/// No batch is added to a commit of this many records: they would wait too long for its sync.
const GROUP_RECORDS_MAX: usize = 10_000;

/// A batch, and the caller that waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) batch: Vec<Record>,
    pub(super) done: oneshot::Sender<Result<(), Failure>>,
}

/// The path and identity of the file when it was opened. Writes to a removed file still succeed, but no later
/// process finds them.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    fn check(&self) -> Result<(), Failure> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            _ => Err(Failure::Gone),
        }
    }
}

/// The wall clock; 0 if it stands before 1970.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The owner of the writing connection.
pub(super) struct Writer {
    connection: Connection,
    place: Place,
    memory: Memory,
    /// The next free shard id; ids in batches raise it.
    shard_next: Arc<AtomicU64>,
    hook: Option<CommitHook>,
    commits: u64,
    /// `PRAGMA data_version` at the last commit: it changes when another process writes.
    version: Option<i64>,
    /// Why nothing more is written.
    stopped: Option<Failure>,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        place: Place,
        shard_next: Arc<AtomicU64>,
        hook: Option<CommitHook>,
    ) -> Self {
        let memory = Memory::default();
        Self { connection, place, memory, shard_next, hook, commits: 0, version: None, stopped: None }
    }

    /// Works until the channel closes, then moves the log into the file.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<(), Failure> {
        while let Some(first) = jobs.blocking_recv() {
            let mut records = first.batch.len();
            let mut group = vec![first];
            while group.len() < GROUP_BATCHES_MAX && records < GROUP_RECORDS_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                records += job.batch.len();
                group.push(job);
            }
            self.write(group);
        }
        // The last commit, too, must be where the next run looks for it.
        let there = self.place.check();
        if self.stopped.is_none() && there.is_ok() {
            // Another process that reads may hold some of it back (`busy`); it stays in the log, equally safe.
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        if there.is_err() {
            // SQLite removes the log by its name when it closes, and by now that may be another ledger's
            // (https://sqlite.org/c3ref/c_dbconfig_defensive.html, NO_CKPT_ON_CLOSE).
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        self.connection.close().map_err(|(_, error)| error)?;
        there
    }

    fn write(&mut self, group: Vec<Job>) {
        let outcome = match &self.stopped {
            Some(failure) => Err(failure.clone()),
            None => self.transact(&group),
        };
        let mut outcomes = match outcome {
            Ok(outcomes) => outcomes,
            Err(failure) => group.iter().map(|_| Err(failure.clone())).collect(),
        }
        .into_iter();
        for job in group {
            let outcome = outcomes.next().expect("every batch has an outcome");
            if outcome.is_ok() {
                trail::log(&job.batch);
            }
            // A caller that has stopped waiting does not need the outcome.
            let _gone = job.done.send(outcome);
        }
    }

    /// Commits a group; returns the outcome of each batch, or why none was written.
    fn transact(&mut self, group: &[Job]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let outcome = self.fill(group).and_then(|outcomes| self.commit().map(|()| outcomes));
        if let Err(failure) = &outcome {
            self.memory.forget();
            self.version = None;
            if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
                self.stopped = Some(failure.clone());
            }
            if failure.is_io() || matches!(failure, Failure::Gone) {
                self.stopped = Some(failure.clone());
            }
        }
        outcome
    }

    fn fill(&mut self, group: &[Job]) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let version = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if self.version != Some(version) {
            self.memory.forget();
            self.version = Some(version);
        }
        group.iter().map(|job| self.batch(&job.batch)).collect()
    }

    /// Writes one batch; the outer error is that of the whole transaction.
    fn batch(&mut self, batch: &[Record]) -> Result<Result<(), Failure>, Failure> {
        self.connection.execute_batch("SAVEPOINT batch")?;
        let (connection, memory) = (&self.connection, &mut self.memory);
        match (Apply { connection, memory, now: now() }).batch(batch) {
            Ok(()) => {
                self.connection.execute_batch("RELEASE batch")?;
                self.raise_shard_next(batch);
                Ok(Ok(()))
            }
            // SQLite ends the whole transaction at some errors, a full disk among them
            // (https://sqlite.org/lang_transaction.html, section 3): then no batch is written.
            Err(failure) if self.connection.is_autocommit() || failure.is_io() => Err(failure),
            Err(failure) => {
                self.memory.forget();
                self.connection.execute_batch("ROLLBACK TO batch; RELEASE batch")?;
                Ok(Err(failure))
            }
        }
    }

    fn raise_shard_next(&self, batch: &[Record]) {
        let raise = |id: u64| self.shard_next.fetch_max(id.saturating_add(1), Ordering::Relaxed);
        for record in batch {
            match record {
                Record::ShardsPlanned { shards, .. } => shards.iter().for_each(|(id, _)| {
                    raise(id.0);
                }),
                Record::ShardSplit { new, .. } => {
                    raise(new.0);
                }
                _ => {}
            }
        }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        const STOPPED: Failure = Failure::Stopped("it was stopped at a commit");
        self.place.check()?;
        self.commits += 1;
        let fate = self.hook.as_ref().map_or(CommitFate::Go, |hook| hook(self.commits));
        if fate != CommitFate::FailBefore {
            self.connection.execute_batch("COMMIT")?;
        }
        if fate != CommitFate::Go {
            self.stopped = Some(STOPPED);
            return Err(STOPPED);
        }
        Ok(())
    }
}
