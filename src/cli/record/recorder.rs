//! [`Recorder`]: keeps a run in the ledger while it works.
//!
//! What was counted beside a pass is kept, too, so that `migrate status` knows how much there is.
//! A row is there from the begin of the run, and says every few seconds what was done by then. The end is written
//! last. So a process that is killed leaves a run without an end, and how far it had come.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

use super::totals::Totals;
use crate::cli::{at_once::AtOnce, clock, operator};
use migrate_core::{
    model::DatasetName,
    report::{Event, EventKind, RequestsAtOnce, RunWork},
};
use migrate_ledger::{Ledger, LedgerError, Record, RunRecord, RunStep};

/// How often a run says what it has done.
const KEPT_EVERY: Duration = Duration::from_secs(2);
/// How often it says at most how many requests run at once, if that has changed.
const AT_ONCE_EVERY: Duration = Duration::from_secs(10);

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

/// How many requests run at once, and what the ledger has of it.
#[derive(Debug, Default)]
struct Sending {
    told: AtOnce,
    kept: Vec<RequestsAtOnce>,
    kept_at: Option<Instant>,
}

impl Sending {
    /// What is to be kept now: it has changed, and the last time was a while ago.
    fn due(&mut self, now: Instant) -> Option<Vec<RequestsAtOnce>> {
        let told = self.told.now();
        let is_soon = self.kept_at.is_some_and(|at| now.saturating_duration_since(at) < AT_ONCE_EVERY);
        if is_soon || told == self.kept {
            return None;
        }
        (self.kept, self.kept_at) = (told.clone(), Some(now));
        Some(told)
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
        let mut sending = Sending::default();
        let mut due = tokio::time::interval(KEPT_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = told.recv() => {
                    let Some(event) = event else { break };
                    totals.take(&event.kind);
                    sending.told.take(&event.kind);
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
                    if let Some(recorder) = keep.as_ref().filter(|_| failed.is_ok())
                        && let Some(sites) = sending.due(Instant::now())
                    {
                        failed = recorder.note(RunStep::AtOnce { sites, at: clock::now() }).await;
                    }
                }
            }
        }
        failed.map(|()| totals.work())
    });
    (events, Listener(done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::{model::SiteName, report::WhyAtOnce};

    #[test]
    fn requests_at_once_are_kept_seldom_and_only_if_they_changed() {
        let verifying = |now| EventKind::Verifying {
            dataset: DatasetName::new("d").unwrap(),
            compared: 0,
            fraction: None,
            expected: None,
            eta_seconds: None,
            shards_ended: 0,
            shards: 1,
            requests_at_once: vec![RequestsAtOnce {
                site: SiteName::new("s").unwrap(),
                now,
                most: 512,
                why: WhyAtOnce::Growing,
            }],
        };
        let (mut sending, began) = (Sending::default(), Instant::now());
        let mut due = |told: Option<u64>, second| {
            if let Some(now) = told {
                sending.told.take(&verifying(now));
            }
            sending.due(began + Duration::from_secs(second)).map(|sites| sites[0].now)
        };
        assert_eq!(due(None, 0), None, "nothing is known");
        assert_eq!(due(Some(16), 2), Some(16));
        assert_eq!(due(Some(32), 4), None);
        assert_eq!(due(Some(64), 12), Some(64));
        assert_eq!(due(None, 60), None, "nothing has changed");
    }
}
