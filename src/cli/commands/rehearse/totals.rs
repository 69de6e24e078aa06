//! What a rehearsal came to, over all its datasets: every number was counted in it.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::cli::{
    commands::rehearse::rows::{Row, Told},
    display::{Palette, Tone, width},
    render::{self, number},
};
use migrate_core::model::ByteCount;

/// The columns that the closing lines may take.
const COLUMNS: usize = 80;
const BETWEEN: &str = "   ";

/// The sums of a rehearsal.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Totals {
    datasets: usize,
    objects: u64,
    items: u64,
    /// Bytes of the objects.
    bytes: ByteCount,
    /// Places that data was copied to.
    places: usize,
    /// Bytes of objects that were read from their sources to copy them, and bytes copied to one target each.
    source_bytes_read: u64,
    source_bytes_copied: u64,
    compared: u64,
    differences: u64,
    leads_moved: usize,
    /// Writes of applications while their data moved.
    writes: usize,
    lost: usize,
}

impl Totals {
    /// `copied` is what was read from the sources of objects to copy them, and how much was copied to one target each.
    pub(super) fn of(rows: &[Row], promises: &[Told], copied: (u64, u64)) -> Self {
        let records =
            |tables: bool| rows.iter().filter(|row| row.is_table == tables).filter_map(|row| row.records).sum();
        Self {
            datasets: rows.len(),
            objects: records(false),
            items: records(true),
            bytes: ByteCount(rows.iter().filter_map(|row| row.bytes).map(|bytes| bytes.0).sum()),
            places: rows.iter().map(|row| row.targets).sum(),
            source_bytes_read: copied.0,
            source_bytes_copied: copied.1,
            compared: rows.iter().filter_map(|row| row.compared).sum(),
            differences: rows.iter().map(|row| row.differences).sum(),
            leads_moved: rows.iter().filter(|row| row.epoch > 0).count(),
            writes: promises.iter().map(|told| told.written_at_old_lead + told.written_at_new_lead).sum(),
            lost: promises.iter().map(|told| told.broken.len()).sum(),
        }
    }

    /// The closing lines.
    pub(super) fn text(&self, seconds: f64, palette: Palette) -> String {
        let (datasets, places) = (self.datasets as u64, self.places as u64);
        let mut what = vec![render::count(datasets, "dataset", "datasets")];
        if self.objects > 0 {
            what.push(render::count(self.objects, "object", "objects"));
        }
        if self.items > 0 {
            what.push(render::count(self.items, "item", "items"));
        }
        if self.bytes.0 > 0 {
            what.push(self.bytes.to_string());
        }
        let time = render::duration(Duration::from_secs_f64(seconds));
        let copied = format!("{} to {} in {time}", what.join(", "), render::count(places, "place", "places"));
        let proved = format!(
            "{}, {}",
            render::count(self.compared, "comparison", "comparisons"),
            render::count(self.differences, "difference", "differences")
        );
        let moved = format!(
            "{} moved, {} meanwhile, {} lost",
            render::count(self.leads_moved as u64, "lead", "leads"),
            render::count(self.writes as u64, "write", "writes"),
            number(self.lost as u64)
        );
        let read = self.read();
        let mut findings = vec![(copied, true), (read, true), (proved, self.differences == 0)];
        let together = format!("{}; {}", findings[0].0, findings[1].0);
        if width(&together) + 2 <= COLUMNS {
            findings.splice(..2, [(together, true)]);
        }
        if self.leads_moved + self.writes > 0 {
            findings.push((moved, self.lost == 0));
        }
        findings.retain(|(text, _)| !text.is_empty());
        lines(&findings, palette)
    }

    /// How often the sources of objects were read.
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn read(&self) -> String {
        let what = if self.items > 0 { "objects" } else { "source" };
        match (self.source_bytes_read, self.source_bytes_copied) {
            (0, _) | (_, 0) => String::new(),
            (read, copied) => match read as f64 / copied as f64 {
                ratio if (0.995..1.005).contains(&ratio) => format!("{what} read once"),
                ratio => format!("{what} read {ratio:.2}×"),
            },
        }
    }
}

/// Findings, each good or not: as many on a line as fit.
fn lines(findings: &[(String, bool)], palette: Palette) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for (finding, good) in findings {
        let needed = width(finding) + 2;
        if column > 0 {
            let fits = column + BETWEEN.len() + needed <= COLUMNS;
            text.push_str(if fits { BETWEEN } else { "\n" });
            column = if fits { column + BETWEEN.len() } else { 0 };
        }
        let sign = if *good { palette.paint(Tone::Done, "✔") } else { palette.paint(Tone::Wrong, "✗") };
        let _ = write!(text, "{sign} {finding}");
        column += needed;
    }
    text + "\n"
}
