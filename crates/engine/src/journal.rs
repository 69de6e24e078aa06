//! How tasks report to the scribe, the only writer of the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::{error::EngineError, shutdown::Shutdown, writes::Writes};
use migrate_ledger::{Ledger, Record};

/// Rows that weigh as much as one record in a batch for the ledger: a row without a record costs it almost nothing.
pub(crate) const ROWS_PER_RECORD: usize = 16;

/// Records on their way to the ledger.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) records: Vec<Record>,
    /// Sent once the records are on disk; dropped unsent if they could not be written.
    pub(crate) committed: Option<oneshot::Sender<()>>,
}

/// The ledger could not be written; the scribe keeps the reason and drains the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotWritten;

impl From<NotWritten> for EngineError {
    fn from(_: NotWritten) -> Self {
        Self::LedgerClosed
    }
}

/// A task's access to the ledger: it reads directly, and its records go through the scribe.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) ledger: Arc<Ledger>,
    /// The writes at the places of datasets.
    pub(crate) writes: Arc<Writes>,
    reports: mpsc::Sender<Report>,
    shutdown: Shutdown,
    fatal: Arc<Mutex<Option<EngineError>>>,
}

impl Journal {
    pub(crate) fn new(ledger: Arc<Ledger>, reports: mpsc::Sender<Report>, shutdown: Shutdown) -> Self {
        Self { ledger, writes: Arc::default(), reports, shutdown, fatal: Arc::default() }
    }

    /// The same journal, with the writes of a drive.
    pub(crate) fn with_writes(self, writes: Writes) -> Self {
        Self { writes: Arc::new(writes), ..self }
    }

    /// Waits until the run is to take no new work.
    pub(crate) async fn draining(&self) {
        self.shutdown.draining().await;
    }

    /// Queues records, which are written soon and in order. The queue is bounded, so this waits
    /// while the ledger is behind.
    pub(crate) async fn note(&self, records: Vec<Record>) -> Result<(), NotWritten> {
        self.reports.send(Report { records, committed: None }).await.map_err(|_| NotWritten)
    }

    /// Queues records and waits until they are on disk.
    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), NotWritten> {
        let (told, committed) = oneshot::channel();
        self.reports.send(Report { records, committed: Some(told) }).await.map_err(|_| NotWritten)?;
        committed.await.map_err(|_| NotWritten)
    }

    /// Reserves room for one report, which the caller can then queue without waiting.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, Report>, NotWritten> {
        self.reports.reserve().await.map_err(|_| NotWritten)
    }

    /// Ends the run because of an error that concerns more than one record: what is in flight is
    /// finished, nothing new is begun. The first such error is kept.
    pub(crate) fn fatal(&self, error: impl Into<EngineError>) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.into());
        self.shutdown.drain();
    }

    /// The error that ended the run, if any.
    pub(crate) fn take_fatal(&self) -> Option<EngineError> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
