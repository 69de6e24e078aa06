//! [`Recorder`]: keeps a run in the ledger while it works.
//!
//! What was counted beside a pass is kept, too, so that `migrate status` knows how much there is.
//! A row is there from the begin of the run, and says every few seconds what was done by then. The end is written
//! last. So a process that is killed leaves a run without an end, and how far it had come.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

use super::totals::Totals;
use crate::cli::{clock, operator};
use migrate_core::{
    model::DatasetName,
    report::{Event, EventKind, RunWork},
};
use migrate_ledger::{Ledger, LedgerError, Record, RunRecord, RunStep};

/// How often a run says what it has done.
const KEPT_EVERY: Duration = Duration::from_secs(2);

/// A run that is kept in the ledger.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Recorder {
    ledger: Arc<Ledger>,
}

/// What listens to a run, until that has let go of its sink.
#[derive(Debug)]
pub(in crate::cli) struct Listener(JoinHandle<Result<RunWork, LedgerError>>);

impl Listener {
    /// What the run has done.
    pub(in crate::cli) async fn work(self) -> Result<RunWork, LedgerError> {
        match self.0.await {
            Ok(work) => work,
            // Nobody cancels it.
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}

impl Recorder {
    /// Notes that the run of this command begins.
    pub(in crate::cli) async fn begin(ledger: &Arc<Ledger>, command: String) -> Result<Self, LedgerError> {
        let recorder = Self { ledger: Arc::clone(ledger) };
        let (by, at) = (operator::me(), clock::clock().began());
        recorder.note(RunStep::Began { command, by, at }).await?;
        Ok(recorder)
    }

    /// Notes the end: how, in a word, and what was done.
    pub(in crate::cli) async fn end(self, how: &str, work: RunWork) -> Result<(), LedgerError> {
        self.note(RunStep::Ended { how: how.to_owned(), work, at: clock::now() }).await
    }

    /// Keeps how much a pass will see, once that was counted beside it.
    async fn count(
        &self,
        told: &EventKind,
        counted: &mut BTreeMap<DatasetName, (u64, Option<u64>)>,
    ) -> Result<(), LedgerError> {
        let EventKind::Progress { dataset, advance, .. } = told else { return Ok(()) };
        let (Some(records), bytes) = (advance.records_total, advance.bytes_total) else { return Ok(()) };
        if counted.insert(dataset.clone(), (records, bytes)) == Some((records, bytes)) {
            return Ok(());
        }
        self.ledger.append(vec![Record::Counted { dataset: dataset.clone(), records, bytes }]).await
    }

    async fn note(&self, step: RunStep) -> Result<(), LedgerError> {
        let id = clock::clock().run().to_owned();
        self.ledger.append(vec![Record::Run(RunRecord { id, step })]).await
    }
}

/// Counts what is told, and passes it on to the display; with a recorder it keeps the counts, too.
pub(in crate::cli) fn listen(
    mut told: UnboundedReceiver<Event>,
    mut totals: Totals,
    keep: Option<&Recorder>,
) -> (UnboundedReceiver<Event>, Listener) {
    let keep = keep.cloned();
    let (passed, events) = unbounded_channel();
    let done = tokio::spawn(async move {
        let (mut kept, mut failed, mut counted) = (RunWork::default(), Ok(()), BTreeMap::new());
        let mut due = tokio::time::interval(KEPT_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = told.recv() => {
                    let Some(event) = event else { break };
                    totals.take(&event.kind);
                    if let Some(recorder) = keep.as_ref().filter(|_| failed.is_ok()) {
                        failed = recorder.count(&event.kind, &mut counted).await;
                    }
                    // If the display has gone, data still moves.
                    let _ = passed.send(event);
                }
                _ = due.tick() => {
                    let work = totals.work();
                    if let Some(recorder) = keep.as_ref().filter(|_| work != kept && failed.is_ok()) {
                        failed = recorder.note(RunStep::Progressed { work, at: clock::now() }).await;
                        kept = work;
                    }
                }
            }
        }
        failed.map(|()| totals.work())
    });
    (events, Listener(done))
}
