//! Shows events as they come: bars on a terminal, one plain line every few seconds elsewhere, NDJSON on
//! request. It decides nothing, and runs on a thread of its own: a slow terminal or pipe never holds up the
//! engine.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};

use super::{render, term};
use migrate_core::{
    lifecycle::State,
    model::{ByteCount, DatasetName},
    report::{Difference, DifferenceKind, Event, EventKind, Redactor, TargetProgress},
};

const LINE_EVERY: Duration = Duration::from_secs(5);
/// The time that rates are measured over.
const RATE_OVER: Duration = Duration::from_secs(15);
/// Failed records that are shown as they come; the answer lists them again.
const FAILURES_TOLD: u64 = 10;
const STEPS: u64 = 1000;
/// The number of differences of each kind kept for the answer.
pub(super) const DIFFERENCES_SEEN: usize = 10;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// Bars on stderr if it is a terminal, else lines.
    Progress,
    /// The same, without what the answer of a survey holds.
    Survey,
    /// Only warnings.
    Quiet,
    /// Events on stdout, one a line.
    Json,
}

/// What events told about a dataset and the ledger does not hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Bytes that this run has read from its source to copy them.
    pub(super) source_bytes_read: u64,
    /// Bytes that the passes of this run have copied, by target. A pass that an earlier run began counts whole.
    copied: Vec<u64>,
    /// The same for the pass under way.
    copying: Vec<u64>,
    /// The first differences of the last verification, with their targets: first where both sides should agree,
    /// then records that only the target has.
    pub(super) broken: Vec<(String, Difference)>,
    pub(super) extra: Vec<(String, Difference)>,
}

impl Seen {
    /// Bytes that were copied to one target.
    pub(super) fn copied(&self, place: usize) -> u64 {
        [&self.copied, &self.copying].into_iter().filter_map(|bytes| bytes.get(place)).sum()
    }

    fn take(&mut self, told: &EventKind) {
        match told {
            EventKind::Progress { targets, source_bytes_read, .. } => {
                self.source_bytes_read = *source_bytes_read;
                self.copying = targets.iter().map(|target| target.tally.copied_bytes).collect();
            }
            EventKind::DatasetEnded { targets, source_bytes_read, .. } => {
                self.source_bytes_read = *source_bytes_read;
                self.copying.clear();
                self.copied.resize(targets.len(), 0);
                for (copied, target) in self.copied.iter_mut().zip(targets) {
                    *copied += target.tally.copied_bytes;
                }
            }
            // Earlier findings no longer count.
            EventKind::DatasetState { state, .. }
                if matches!(state.of_followers(), State::Copying { .. } | State::Verified { .. }) =>
            {
                self.broken.clear();
                self.extra.clear();
            }
            EventKind::Differs { target, difference, kept: false, .. } => {
                let found = if difference.kind == DifferenceKind::Extra { &mut self.extra } else { &mut self.broken };
                if found.len() < DIFFERENCES_SEEN {
                    found.push((target.clone(), difference.clone()));
                }
            }
            _ => {}
        }
    }
}

/// The dataset whose copying or verifying an event tells of.
fn about(told: &EventKind) -> Option<&DatasetName> {
    match told {
        EventKind::Progress { dataset, .. }
        | EventKind::DatasetEnded { dataset, .. }
        | EventKind::Follows { dataset, .. }
        | EventKind::DatasetState { dataset, .. }
        | EventKind::Differs { dataset, .. } => Some(dataset),
        _ => None,
    }
}

/// Shows events until their sender is gone, then returns what was seen.
pub(super) fn show(
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

/// The text of an event that even `--quiet` shows.
fn warned(told: &EventKind) -> Option<String> {
    Some(match told {
        EventKind::Warning { dataset: Some(dataset), message, .. } => format!("warning: {dataset}: {message}"),
        EventKind::Warning { dataset: None, message, .. } => format!("warning: {message}"),
        EventKind::TargetDown { dataset, target, reason, .. } => {
            format!("warning: {dataset}: {target} is down, and nothing more is copied to it in this run: {reason}")
        }
        EventKind::UploadUnclaimed { dataset, target, key, ids, asked_for } => {
            format!("warning: {dataset}: {}", render::unclaimed(key, target, ids, &asked_for.to_string()))
        }
        _ => return None,
    })
}

/// Whether a verification goes on with an earlier one; `None` if there was none.
fn begins(told: &EventKind) -> Option<String> {
    let EventKind::VerificationBegan { dataset, compared, since, anew } = told else { return None };
    match (since, anew) {
        (Some(since), _) => {
            let compared = render::count(*compared, "record", "records");
            Some(format!("{dataset}: goes on with the verification of {since}: {compared} compared then"))
        }
        (None, Some(why)) => {
            Some(format!("{dataset}: verifies anew, since an earlier verification does not count: {why}"))
        }
        (None, None) => None,
    }
}

fn verifying(compared: u64, expected: Option<u64>, pace: &Speed) -> String {
    let of = expected.map_or_else(String::new, |expected| format!(" of {}", expected.max(compared)));
    format!("verifying, {compared}{of} compared{}", eta(pace))
}

fn copying(targets: &[TargetProgress], pace: &Speed, waits_for: Option<&str>) -> String {
    let records = targets.iter().map(|target| target.tally.records).min().unwrap_or(0);
    let bytes = targets.iter().map(|target| target.tally.bytes).min().unwrap_or(0);
    let failed: u64 = targets.iter().map(|target| target.failed).sum();
    let mut text = format!("{records} records, {}", ByteCount(bytes));
    if let Some(rate) = pace.bytes_per_second {
        let _ = write!(text, ", {}/s", ByteCount(rate));
    }
    text.push_str(&eta(pace));
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    if let Some(reason) = waits_for {
        let _ = write!(text, " (waits for {reason})");
    }
    text
}

fn eta(speed: &Speed) -> String {
    speed.left.map_or_else(String::new, |left| format!(", about {} left", render::duration(left)))
}

/// How far a dataset was at each moment of the last stretch of time.
#[derive(Debug, Default)]
struct Pace {
    samples: VecDeque<(Instant, f64, u64)>,
}

/// How fast it goes, as far as that is known.
#[derive(Debug, Default, PartialEq)]
struct Speed {
    bytes_per_second: Option<u64>,
    left: Option<Duration>,
}

impl Pace {
    fn add(&mut self, now: Instant, fraction: f64, bytes: u64) -> Speed {
        self.samples.push_back((now, fraction, bytes));
        while self.samples.get(1).is_some_and(|(at, ..)| now.duration_since(*at) >= RATE_OVER) {
            self.samples.pop_front();
        }
        let Some(&(from, fraction_then, bytes_then)) = self.samples.front() else { return Speed::default() };
        let seconds = now.duration_since(from).as_secs_f64();
        if seconds < 1.0 {
            return Speed::default();
        }
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let rate = bytes.saturating_sub(bytes_then) as f64 / seconds;
        let per_second = (fraction - fraction_then) / seconds;
        // A fraction is an estimate: if it hardly moves, it says nothing about the end.
        let left = (per_second > 1e-7).then(|| ((1.0 - fraction) / per_second).max(0.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is a positive number")]
        let bytes_per_second = (rate > 0.0).then_some(rate as u64);
        Speed { bytes_per_second, left: left.and_then(|left| Duration::try_from_secs_f64(left).ok()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::{model::Timestamp, shard::Tally};

    #[test]
    fn the_pace_is_that_of_the_last_stretch() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.add(start, 0.0, 0), Speed::default());
        let speed = pace.add(start + Duration::from_secs(10), 0.5, 1000);
        assert_eq!(speed, Speed { bytes_per_second: Some(100), left: Some(Duration::from_secs(10)) });
        // The oldest entries no longer count.
        let _between = pace.add(start + Duration::from_secs(40), 0.5, 1000);
        let stalled = pace.add(start + Duration::from_secs(61), 0.5, 1000);
        assert_eq!(stalled, Speed::default());
    }

    #[test]
    fn what_a_run_copied_is_the_sum_of_its_passes() {
        let mut seen = Seen::default();
        let targets = |bytes: [u64; 2]| -> Vec<_> {
            let of = |copied_bytes| Tally { copied_bytes, ..Tally::default() };
            let target = |tally| TargetProgress { target: String::new(), tally, deferred: 0, failed: 0 };
            bytes.map(of).map(target).into()
        };
        let dataset = DatasetName::new("d").unwrap();
        let ended = |bytes, source_bytes_read| EventKind::DatasetEnded {
            dataset: dataset.clone(),
            targets: targets(bytes),
            source_bytes_read,
        };
        seen.take(&ended([300_000_000, 1], 300_000_001));
        seen.take(&ended([5_000, 5_000], 300_005_001));
        let (targets, source_bytes_read) = (targets([7, 0]), 300_005_008);
        let (dataset, fraction, target_bytes_written, waits_for) = (dataset.clone(), 0.5, 0, None);
        seen.take(&EventKind::Progress {
            dataset,
            targets,
            fraction,
            source_bytes_read,
            target_bytes_written,
            waits_for,
        });
        assert_eq!((seen.copied(0), seen.copied(1), seen.copied(2)), (300_005_007, 5_001, 0));
        assert_eq!(render::source_read(seen.source_bytes_read, seen.copied(0)), "source read once (1.00×): 286.1 MiB");
    }

    #[test]
    fn a_verification_says_how_much_is_left_and_whether_it_goes_on() {
        let speed = Speed { left: Some(Duration::from_secs(90)), ..Speed::default() };
        let line = verifying(5, Some(20), &speed);
        assert!(line.starts_with("verifying, 5 of 20 compared, about ") && line.ends_with(" left"), "{line}");
        assert_eq!(verifying(5, None, &Speed::default()), "verifying, 5 compared");
        let began = |since, anew: Option<&str>| {
            let (dataset, anew) = (DatasetName::new("d").unwrap(), anew.map(str::to_owned));
            begins(&EventKind::VerificationBegan { dataset, compared: 7, since, anew })
        };
        assert_eq!(began(None, None), None);
        let on = began(Some(Timestamp(0)), None).unwrap();
        assert_eq!(on, "d: goes on with the verification of 1970-01-01T00:00:00.000Z: 7 records compared then");
        let anew = "d: verifies anew, since an earlier verification does not count: it was by another level";
        assert_eq!(began(None, Some("it was by another level")).unwrap(), anew);
    }

    #[test]
    fn a_line_says_why_it_is_slow() {
        let line = copying(&[], &Speed::default(), Some("the request limit of beijing"));
        assert_eq!(line, "0 records, 0 B (waits for the request limit of beijing)");
    }
}
