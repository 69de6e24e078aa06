//! The rows of the datasets at work, all in the same columns.

use std::time::Duration;

use crate::cli::{
    display::{
        line::{Line, cut, pad, pad_left, width},
        palette::Tone,
        scene::{DatasetScene, Doing},
    },
    render::{self, number},
};
use migrate_core::model::ByteCount;

const BAR: usize = 20;
/// Names are not cut to less, however few columns there are.
const NAMES_MIN: usize = 8;
/// A bar that is shorter tells nothing.
const BAR_MIN: usize = 8;
/// The columns that a rate and the time that is left usually take: they have them before they are known, so that nothing
/// else moves once they are.
const RATE_USUAL: usize = "999.9 KiB/s".len();
const ETA_USUAL: usize = "59 s left".len();

/// Which columns there are, and how wide the bar is at least: what matters less falls away first.
#[derive(Debug, Clone, Copy)]
struct Shape {
    bar: usize,
    bytes: bool,
    rate: bool,
}

/// From all columns to the fewest.
const SHAPES: [Shape; 4] = [
    Shape { bar: BAR, bytes: true, rate: true },
    Shape { bar: BAR_MIN, bytes: false, rate: true },
    Shape { bar: BAR_MIN, bytes: false, rate: false },
    Shape { bar: 0, bytes: false, rate: false },
];

/// How many of them leave room for a note.
const NOTED: usize = 2;

/// The columns of all rows.
#[derive(Debug)]
pub(super) struct Rows {
    columns: usize,
    names: usize,
    shape: Shape,
    /// Whether any row has a bar.
    has_bar: bool,
    widths: [usize; 4],
}

/// What the columns of one row hold.
#[derive(Debug, Default)]
struct Cells {
    fraction: Option<f64>,
    counts: String,
    /// The columns that the counts will take in the end.
    counts_at_end: usize,
    bytes: String,
    rate: String,
    /// Whether it has a rate once that is known.
    has_rate: bool,
    eta: String,
    failed: String,
}

impl Rows {
    /// The columns in which these datasets fit.
    pub(super) fn of<'a>(datasets: impl Iterator<Item = &'a DatasetScene>, columns: usize, names: usize) -> Self {
        let (cells, notes): (Vec<_>, Vec<_>) = datasets.map(|one| (cells(one), width(&one.noted()))).unzip();
        let widest = |of: fn(&Cells) -> &str| cells.iter().map(|cells| width(of(cells))).max().unwrap_or(0);
        let has_bar = cells.iter().any(|cells| cells.fraction.is_some());
        let has_rate = cells.iter().any(|cells| cells.has_rate);
        let widths = [
            cells.iter().map(|cells| width(&cells.counts).max(cells.counts_at_end)).max().unwrap_or(0),
            widest(|cells| &cells.bytes),
            widest(|cells| &cells.rate).max(if has_rate { RATE_USUAL } else { 0 }),
            widest(|cells| &cells.eta).max(if has_bar { ETA_USUAL } else { 0 }),
        ];
        let gap = |width: usize| if width > 0 { width + 2 } else { 0 };
        let failed = gap(widest(|cells| &cells.failed));
        let note = gap(notes.into_iter().max().unwrap_or(0));
        let mut rows = Self { columns, names, shape: SHAPES[0], has_bar, widths };
        // A note takes a part of the bar and nothing else.
        let with_note = SHAPES[..NOTED].iter().map(|shape| (shape, failed + note));
        let without = SHAPES.iter().map(|shape| (shape, failed));
        for (shape, after) in with_note.chain(without) {
            rows.shape = *shape;
            if rows.grows_to(columns.saturating_sub(after)) {
                return rows;
            }
        }
        let excess = (rows.needed() + failed).saturating_sub(columns);
        rows.names = names.saturating_sub(excess).max(NAMES_MIN.min(names));
        rows
    }

    /// Whether all fits in so many columns; the bar takes what is left.
    fn grows_to(&mut self, columns: usize) -> bool {
        let Some(left) = columns.checked_sub(self.needed()) else { return false };
        if self.has_bar && self.shape.bar > 0 {
            self.shape.bar = (self.shape.bar + left).min(BAR);
        }
        true
    }

    /// The columns that the widest row takes.
    fn needed(&self) -> usize {
        let [counts, bytes, rate, eta] = self.widths;
        let Shape { bar, bytes: has_bytes, rate: has_rate } = self.shape;
        let bars = if self.has_bar { [if bar > 0 { bar } else { 0 }, 5] } else { [0, 0] };
        let shown = [counts, if has_bytes { bytes } else { 0 }, if has_rate { rate } else { 0 }, eta];
        let cells = bars.into_iter().chain(shown).filter(|width| *width > 0);
        self.begin() + cells.map(|width| width + 2).sum::<usize>()
    }

    fn begin(&self) -> usize {
        4 + self.names + 1
    }

    /// The lines of one dataset: a reason to wait that does not fit beside the rest has a line of its own.
    pub(super) fn lines(&self, dataset: &DatasetScene) -> Vec<Line> {
        let names = self.names.saturating_sub(2);
        let name = pad(&cut(dataset.name.as_str(), names), names);
        let begin = Line::default().with(Tone::Plain, format!("    {name}   "));
        if let Doing::Wrong(why) = &dataset.doing {
            return vec![begin.with(Tone::Wrong, why)];
        }
        let row = self.row(&cells(dataset));
        let fits = |row: &Line| begin.width() + row.width() <= self.columns;
        let noted =
            |note: &str| if note.is_empty() { row.clone() } else { self.whole(row.clone()).then(Tone::Dim, note) };
        let noted = [dataset.noted(), dataset.note.clone().unwrap_or_default()].map(|note| noted(&note));
        let noted = noted.into_iter().find(fits).unwrap_or_else(|| row.clone());
        let Some(reason) = dataset.waits().map(|reason| format!("waits for {reason}")) else {
            return vec![begin.and(noted)];
        };
        // The reason matters more than the note.
        let with_reason = [noted.clone(), row].map(|row| row.then(Tone::Waits, &reason));
        match with_reason.into_iter().find(fits) {
            Some(row) => vec![begin.and(row)],
            None => vec![begin.and(noted), Line::default().with(Tone::Waits, format!("      {reason}"))],
        }
    }

    /// A row with the columns that it leaves empty at its end, so that what follows begins in one column; a row without
    /// any cell stays empty.
    fn whole(&self, row: Line) -> Line {
        let cells = self.needed().saturating_sub(self.begin() + 2);
        let missing = if row.width() == 0 { 0 } else { cells.saturating_sub(row.width()) };
        row.with(Tone::Plain, " ".repeat(missing))
    }

    fn row(&self, cells: &Cells) -> Line {
        let Shape { bar, bytes, rate } = self.shape;
        let mut pieces = Vec::new();
        if self.has_bar {
            let columns = if bar > 0 { bar + 7 } else { 5 };
            match cells.fraction {
                Some(fraction) if bar > 0 => {
                    pieces.push((Tone::Running, drawn(fraction, bar), bar));
                    pieces.push((Tone::Plain, percent(fraction), 5));
                }
                Some(fraction) => pieces.push((Tone::Plain, percent(fraction), 5)),
                None => pieces.push((Tone::Plain, String::new(), columns)),
            }
        }
        let widths = self.widths;
        pieces.push((Tone::Plain, cells.counts.clone(), widths[0]));
        if bytes {
            pieces.push((Tone::Plain, cells.bytes.clone(), widths[1]));
        }
        if rate {
            pieces.push((Tone::Plain, pad_left(&cells.rate, widths[2]), widths[2]));
        }
        pieces.push((Tone::Plain, cells.eta.clone(), widths[3]));
        pieces.push((Tone::Wrong, cells.failed.clone(), 0));
        // Nothing follows the last piece, so no spaces do either.
        let last = pieces.iter().rposition(|(_, text, _)| !text.trim().is_empty()).unwrap_or(0);
        let mut line = Line::default();
        for (place, (tone, text, columns)) in pieces.into_iter().enumerate().take(last + 1) {
            if columns > 0 || !text.is_empty() {
                let text = if place == last { text } else { pad(&text, columns) };
                line = line.then(tone, &text);
            }
        }
        line
    }
}

fn cells(dataset: &DatasetScene) -> Cells {
    match &dataset.doing {
        Doing::Copying { advance, failed } => Cells {
            fraction: advance.fraction,
            counts: format!("{} copied", of(advance.records_done, advance.records_total)),
            counts_at_end: advance
                .records_total
                .map_or(0, |total| width(&format!("{} copied", of(total, Some(total))))),
            has_rate: true,
            bytes: bytes(advance.bytes_done, advance.bytes_total),
            rate: advance.rate_bytes_per_second.map_or_else(String::new, |rate| format!("{}/s", ByteCount(rate))),
            eta: eta(advance.eta_seconds),
            failed: if *failed > 0 { format!("{} failed", number(*failed)) } else { String::new() },
        },
        Doing::Verifying { compared, expected, fraction, eta_seconds } => Cells {
            fraction: *fraction,
            counts: format!("{} compared", of(*compared, expected.filter(|expected| expected >= compared))),
            counts_at_end: expected.map_or(0, |total| width(&format!("{} compared", of(total, Some(total))))),
            eta: eta(*eta_seconds),
            ..Cells::default()
        },
        Doing::Surveying { records } => {
            Cells { counts: render::count(*records, "record seen", "records seen"), ..Cells::default() }
        }
        Doing::Following { owed, lag_s } => Cells {
            counts: format!("{} behind", render::count(*owed, "changed key", "changed keys")),
            eta: format!("since {}", render::duration(Duration::from_secs(*lag_s))),
            ..Cells::default()
        },
        _ => Cells::default(),
    }
}

fn of(done: u64, total: Option<u64>) -> String {
    total.map_or_else(|| number(done), |total| format!("{}/{}", number(done), number(total)))
}

fn bytes(done: u64, total: Option<u64>) -> String {
    match (done, total) {
        (0, None) => String::new(),
        (done, None) => ByteCount(done).to_string(),
        (done, Some(total)) => format!("{} of {}", ByteCount(done), ByteCount(total)),
    }
}

fn eta(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!("{} left", render::duration(Duration::from_secs(seconds))))
}

/// A share in whole percent: 100 only if all is done.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
fn percent(fraction: f64) -> String {
    format!("{:>3} %", (fraction.clamp(0.0, 1.0) * 100.0) as u64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few columns")]
fn drawn(fraction: f64, columns: usize) -> String {
    let full = (fraction.clamp(0.0, 1.0) * columns as f64) as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}
