//! How work in progress speaks to the scribe, the only writer of the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::{error::EngineError, shutdown::Shutdown};
use migrate_ledger::{Ledger, Record};

/// Records on their way to the ledger.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) records: Vec<Record>,
    /// Told once the records are on disk; dropped untold where they could not be written.
    pub(crate) committed: Option<oneshot::Sender<()>>,
}

/// The ledger could not be written; the scribe knows why, and the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotWritten;

impl From<NotWritten> for EngineError {
    fn from(_: NotWritten) -> Self {
        Self::LedgerClosed
    }
}

/// One worker's way to the ledger: reads go straight to it, records through the scribe.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) ledger: Arc<Ledger>,
    reports: mpsc::Sender<Report>,
    shutdown: Shutdown,
    fatal: Arc<Mutex<Option<EngineError>>>,
}

impl Journal {
    pub(crate) fn new(ledger: Arc<Ledger>, reports: mpsc::Sender<Report>, shutdown: Shutdown) -> Self {
        Self { ledger, reports, shutdown, fatal: Arc::default() }
    }

    /// Hands records over; they are written in order, soon. The channel is bounded, so this waits
    /// while the ledger is behind.
    pub(crate) async fn note(&self, records: Vec<Record>) -> Result<(), NotWritten> {
        self.reports.send(Report { records, committed: None }).await.map_err(|_| NotWritten)
    }

    /// Hands records over and waits until they are on disk.
    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), NotWritten> {
        let (told, committed) = oneshot::channel();
        self.reports.send(Report { records, committed: Some(told) }).await.map_err(|_| NotWritten)?;
        committed.await.map_err(|_| NotWritten)
    }

    /// Room for one report, for those who must hand it over without waiting.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, Report>, NotWritten> {
        self.reports.reserve().await.map_err(|_| NotWritten)
    }

    /// Ends the run because of an error that concerns more than one record: what is in flight is
    /// finished, nothing new is begun. The first such error is the one that is told.
    pub(crate) fn fatal(&self, error: impl Into<EngineError>) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.into());
        self.shutdown.drain();
    }

    /// The error that ended the run, if any.
    pub(crate) fn take_fatal(&self) -> Option<EngineError> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
