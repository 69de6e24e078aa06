//! Shows events as they come: bars on a terminal, one plain line every few seconds elsewhere, NDJSON on
//! request. It decides nothing, and runs on a thread of its own: a slow terminal or pipe never holds up the
//! engine.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};

use crate::cli::{
    display::{
        pace::Pace,
        seen::{Seen, about},
        texts::{begins, copying, verifying, warned},
    },
    render, term,
};
use migrate_core::{
    lifecycle::State,
    model::DatasetName,
    report::{Event, EventKind, Redactor},
};

const LINE_EVERY: Duration = Duration::from_secs(5);
/// Failed records that are shown as they come; the answer lists them again.
const FAILURES_TOLD: u64 = 10;
const STEPS: u64 = 1000;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Show {
    /// Bars on stderr if it is a terminal, else lines.
    Progress,
    /// The same, without what the answer of a survey holds.
    Survey,
    /// Only warnings.
    Quiet,
    /// Events on stdout, one a line.
    Json,
}

/// Shows events until their sender is gone, then returns what was seen.
pub(in crate::cli) fn show(
    mut events: UnboundedReceiver<Event>,
    show: Show,
    redactor: Redactor,
) -> JoinHandle<BTreeMap<DatasetName, Seen>> {
    tokio::task::spawn_blocking(move || {
        let mut display = Display::new(show);
        while let Some(event) = events.blocking_recv() {
            display.take(redactor.event(event), Instant::now());
        }
        display.finish()
    })
}

struct Display {
    show: Show,
    bars: Option<MultiProgress>,
    shown: BTreeMap<DatasetName, ProgressBar>,
    paces: BTreeMap<DatasetName, Pace>,
    told: BTreeMap<DatasetName, Instant>,
    seen: BTreeMap<DatasetName, Seen>,
    failures: u64,
}

impl Display {
    fn new(show: Show) -> Self {
        let bars =
            (matches!(show, Show::Progress | Show::Survey) && io::stderr().is_terminal()).then(MultiProgress::new);
        Self {
            show,
            bars,
            shown: BTreeMap::new(),
            paces: BTreeMap::new(),
            told: BTreeMap::new(),
            seen: BTreeMap::new(),
            failures: 0,
        }
    }

    fn take(&mut self, event: Event, now: Instant) {
        if let Some(dataset) = about(&event.kind) {
            self.seen.entry(dataset.clone()).or_default().take(&event.kind);
        }
        match self.show {
            Show::Json => term::answer_line(&event),
            Show::Quiet => self.line_if_any(warned(&event.kind)),
            Show::Survey if matches!(event.kind, EventKind::Probed { .. }) => {}
            Show::Progress | Show::Survey => self.progress(event.kind, now),
        }
    }

    fn state(&mut self, dataset: &DatasetName, state: &State, now: Instant) {
        self.end_bar(dataset);
        self.paces.remove(dataset);
        self.told.insert(dataset.clone(), now);
        // The steps of a cutover show these.
        if !matches!(state, State::Switching { .. } | State::Switched { .. }) {
            let following = if state.of_followers() == state { "" } else { "what follows it is " };
            self.line(&format!("{dataset}: {following}{}", state.of_followers().name()));
        }
    }

    fn progress(&mut self, told: EventKind, now: Instant) {
        match told {
            EventKind::Warning { .. } | EventKind::TargetDown { .. } | EventKind::UploadUnclaimed { .. } => {
                self.line_if_any(warned(&told));
            }
            EventKind::PhaseBegan { phase } => self.line(&format!("phase {phase}")),
            EventKind::DatasetState { dataset, state, .. } => self.state(&dataset, &state, now),
            EventKind::Follows { dataset, owed: 0, .. } => self.line(&format!("{dataset}: follows its source")),
            EventKind::Follows { dataset, owed, lag_s } => {
                self.line(&format!("{dataset}: follows its source, {owed} changed keys behind, since {lag_s} s"));
            }
            EventKind::Progress { dataset, targets, fraction, target_bytes_written, waits_for, .. } => {
                let pace = self.paces.entry(dataset.clone()).or_default();
                let pace = pace.add(now, fraction, target_bytes_written);
                let text = copying(&targets, &pace, waits_for.as_deref());
                self.moved(&dataset, fraction, &text, now);
            }
            EventKind::VerificationBegan { .. } => self.line_if_any(begins(&told)),
            EventKind::Verifying { dataset, compared, fraction, expected, .. } => {
                let pace = self.paces.entry(dataset.clone()).or_default().add(now, fraction, 0);
                self.moved(&dataset, fraction, &verifying(compared, expected, &pace), now);
            }
            EventKind::Surveying { dataset, records, fraction } => {
                self.moved(&dataset, fraction, &format!("surveying, {records} records"), now);
            }
            EventKind::RecordFailed { dataset, target, key, reason } => {
                self.failures += 1;
                if self.failures <= FAILURES_TOLD {
                    self.line(&format!("{dataset}: failed: {key} ({target}): {reason}"));
                } else if self.failures == FAILURES_TOLD + 1 {
                    self.line("more records failed; the answer counts them");
                }
            }
            EventKind::Probed { location, proof, lacks } => {
                let lacks = if lacks.is_empty() { String::new() } else { format!("; lacks {}", lacks.join(", ")) };
                self.line(&format!("probed {location}: {}{lacks}", render::proof(proof)));
            }
            EventKind::NeedsApproval { phase, .. } => self.line(&format!("phase {phase}: everything is proved")),
            EventKind::Approved { phase, by } => self.line(&format!("phase {phase}: the cutover is approved by {by}")),
            EventKind::CutoverStep { dataset, step, detail } => self.line(&format!("{dataset}: {step}: {detail}")),
            // A wait of a second is over before a person has read the line.
            EventKind::Waiting { dataset, reason, seconds } if seconds > 1 => {
                self.line(&format!("{dataset}: waits up to {seconds} s for {reason}"));
            }
            EventKind::LateWrites { dataset, site, records, .. } => self.line(&format!(
                "warning: {dataset}: {} written at {site} since its lead moved; the answer names them",
                render::count(records, "record was", "records were")
            )),
            // The answer holds these.
            EventKind::Differs { .. }
            | EventKind::DatasetEnded { .. }
            | EventKind::RunBegan { .. }
            | EventKind::RunEnded { .. }
            | EventKind::Waiting { .. } => {}
        }
    }

    fn line_if_any(&self, text: Option<String>) {
        if let Some(text) = text {
            self.line(&text);
        }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| term::tell(text)),
            None => term::tell(text),
        }
    }

    fn moved(&mut self, dataset: &DatasetName, fraction: f64, text: &str, now: Instant) {
        let percent = fraction.clamp(0.0, 1.0) * 100.0;
        let Some(bars) = &self.bars else {
            let due = self.told.get(dataset).is_none_or(|told| now.duration_since(*told) >= LINE_EVERY);
            if due {
                self.told.insert(dataset.clone(), now);
                self.line(&format!("{dataset}: {percent:.0}%, {text}"));
            }
            return;
        };
        let bar = self.shown.entry(dataset.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:24!} [{bar:20}] {percent:>3}% {wide_msg}");
            let bar = ProgressBar::new(STEPS).with_prefix(dataset.to_string());
            bars.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        bar.set_position((percent * 10.0) as u64);
        bar.set_message(text.to_owned());
    }

    fn end_bar(&mut self, dataset: &DatasetName) {
        if let Some(bar) = self.shown.remove(dataset) {
            bar.finish_and_clear();
        }
    }

    fn finish(self) -> BTreeMap<DatasetName, Seen> {
        self.shown.values().for_each(ProgressBar::finish_and_clear);
        self.seen
    }
}
