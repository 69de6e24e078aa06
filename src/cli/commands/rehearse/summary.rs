//! The result of a rehearsal, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::{
    commands::rehearse::{
        rows::{Row, Told},
        totals::Totals,
    },
    display::{Palette, Tone, cut, pad, pad_left, width},
    next::Next,
    render::{self, number},
};

/// The result of a rehearsal.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) complete: bool,
    pub(super) seconds: f64,
    /// Objects at the sources before anything moved.
    pub(super) to_move: u64,
    pub(super) datasets: Vec<Row>,
    /// What it came to, over all datasets.
    pub(super) totals: Totals,
    /// What applications wrote meanwhile, and whether the leads hold it.
    pub(super) promises: Vec<Told>,
    /// What the plan has and a rehearsal leaves out.
    pub(super) left_out: Vec<String>,
    pub(super) end_state: String,
    pub(super) state: String,
    #[serde(flatten)]
    pub(super) next: Next,
}

const HEADING: [&str; 5] = ["dataset", "records", "bytes", "compared", "equal by"];
/// The columns of a terminal that the answer fits.
const COLUMNS: usize = 80;
/// Names are not cut to less.
const NAME_MIN: usize = 12;

impl Summary {
    pub(super) fn text(&self, seed: u64, scale: f64, plan: &str, palette: Palette) -> String {
        let (verdict, tone) = if self.complete { ("complete", Tone::Done) } else { ("NOT COMPLETE", Tone::Wrong) };
        let (verdict, seconds) = (palette.paint(tone, verdict), self.seconds);
        let mut text = format!("rehearsal of {plan}: {verdict} in {seconds:.1} s (seed {seed}, scale {scale})\n\n");
        text.push_str(&self.table(palette));
        text.push('\n');
        for row in &self.datasets {
            if let Some(waits_for) = &row.waits_for {
                let _ = writeln!(text, "{} ({}) waits for {waits_for}", row.name, row.state);
            }
            if row.late_writes > 0 {
                let late = render::count(row.late_writes, "record was", "records were");
                let _ = writeln!(text, "{}: {late} written at {} too late", row.name, row.from);
            }
        }
        for told in &self.promises {
            text.push_str(&told.text(palette));
        }
        for note in &self.left_out {
            let _ = writeln!(text, "left out: {note}");
        }
        let _ = writeln!(
            text,
            "end state {}: the same for all rehearsals with this seed and scale\nledger: {}/ledger.sqlite\n",
            &self.end_state[..16.min(self.end_state.len())],
            self.state
        );
        text.push_str(&self.totals.text(self.seconds, palette));
        let _ = write!(text, "{}", self.next);
        text
    }

    /// The datasets, phase by phase, in at most 80 columns if the names allow it.
    fn table(&self, palette: Palette) -> String {
        let cells: Vec<_> = self.datasets.iter().map(cells).collect();
        let widest = |column: usize| {
            let cells = cells.iter().map(|cells| width(&cells[column]));
            cells.chain([width(HEADING[column])]).max().unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(widest);
        let others: usize = widths[1..].iter().map(|width| width + 2).sum();
        let names = widths[0].min((COLUMNS - 4).saturating_sub(others)).max(NAME_MIN);
        let line = |cells: &[String; 5]| {
            let [name, records, bytes, compared, _] = cells.each_ref().map(String::as_str);
            let numbers = [(records, widths[1]), (bytes, widths[2]), (compared, widths[3])];
            let numbers = numbers.map(|(text, columns)| format!("  {}", pad_left(text, columns))).concat();
            format!("{}{numbers}  ", pad(&cut(name, names), names))
        };
        let heading = line(&HEADING.map(str::to_owned)) + HEADING[4];
        let mut text = format!("  {}\n", palette.paint(Tone::Dim, &heading.replacen("dataset", "dataset  ", 1)));
        let mut phase = "";
        for (row, cells) in self.datasets.iter().zip(&cells) {
            if row.phase != phase {
                phase = &row.phase;
                let _ = writeln!(text, "  {}{}", palette.paint(Tone::Bold, phase), moves(&self.datasets, phase));
            }
            let tone = if row.equal_by.is_some() { Tone::Done } else { Tone::Wrong };
            let _ = writeln!(text, "    {}{}", line(cells), palette.paint(tone, &cells[4]));
        }
        text
    }
}

/// What the columns of a row hold.
fn cells(row: &Row) -> [String; 5] {
    let or_none = |known: Option<String>| known.unwrap_or_else(|| "-".to_owned());
    [
        row.name.to_string(),
        or_none(row.records.map(number)),
        or_none(row.bytes.map(|bytes| bytes.to_string())),
        or_none(row.compared.map(number)),
        row.equal_by.clone().unwrap_or_else(|| row.state.to_owned()),
    ]
}

/// Where the leads of a phase moved, each move once.
fn moves(rows: &[Row], phase: &str) -> String {
    let of_phase = || rows.iter().filter(|row| row.phase == phase);
    let mut told: Vec<(&str, &str)> = Vec::new();
    let mut texts = Vec::new();
    for row in of_phase().filter(|row| row.lead != row.from.as_str()) {
        let way = (row.from.as_str(), row.lead.as_str());
        if told.contains(&way) {
            continue;
        }
        told.push(way);
        let alike = of_phase().filter(|other| (other.from.as_str(), other.lead.as_str()) == way).count();
        let which = match (alike, of_phase().count()) {
            (moved, all) if moved == all => String::new(),
            (1, _) => format!("{} ", row.name),
            (moved, all) => {
                format!("{} of {} ", number(moved as u64), render::count(all as u64, "dataset", "datasets"))
            }
        };
        texts.push(format!("{which}{} → {}", way.0, way.1));
    }
    if texts.is_empty() { String::new() } else { format!(": {}", texts.join("; ")) }
}

impl Told {
    fn text(&self, palette: Palette) -> String {
        let Self { dataset, written_at_old_lead: before, written_at_new_lead: after, broken } = self;
        let lost = match broken.as_slice() {
            [] => palette.paint(Tone::Done, "0 lost"),
            broken => palette.paint(Tone::Wrong, &format!("LOST: {}", broken.join(", "))),
        };
        format!("{dataset}: an application wrote {before}× at the old lead, {after}× at the new one; {lost}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::{ByteCount, DatasetName, SiteName};

    fn row(phase: &str, name: &str, lead: &str) -> Row {
        Row {
            phase: phase.to_owned(),
            name: DatasetName::new(name).unwrap(),
            state: "cut_over",
            from: SiteName::new("beijing").unwrap(),
            lead: lead.to_owned(),
            epoch: u64::from(lead != "beijing"),
            targets: 2,
            records: Some(12_345_678),
            bytes: Some(ByteCount(1023 << 20)),
            passes: 1,
            is_table: false,
            proof: None,
            equal_by: Some("stored digests".to_owned()),
            compared: Some(24_691_356),
            differences: 0,
            late_writes: 0,
            waits_for: None,
        }
    }

    #[test]
    fn the_answer_fits_eighty_columns_and_counts_what_the_rows_say() {
        let rows = vec![
            row("accounts-and-messaging", "accounts", "oregon and singapore"),
            row("local-regions", "accounts-in", "beijing"),
            row("local-regions", "orders-in", "mumbai"),
        ];
        let told = Told {
            dataset: rows[0].name.clone(),
            written_at_old_lead: 40,
            written_at_new_lead: 20,
            broken: Vec::new(),
        };
        let promises = vec![told];
        let summary = Summary {
            complete: true,
            seconds: 14.0,
            to_move: 0,
            totals: Totals::of(&rows, &promises, (100, 100)),
            datasets: rows,
            promises,
            left_out: Vec::new(),
            end_state: "5d65fbfc0a418f6b00".to_owned(),
            state: ".migrate/.rehearsal/p".to_owned(),
            next: Next::Nothing(None),
        };
        let text = summary.text(1, 1.0, "global-expansion", Palette { is_on: false });
        for line in text.lines() {
            assert!(width(line) <= 80, "{} columns: {line}", width(line));
        }
        assert!(text.contains("  accounts-and-messaging: beijing → oregon and singapore\n"), "{text}");
        assert!(text.contains("  local-regions: orders-in beijing → mumbai\n"), "{text}");
        assert!(
            text.contains("✔ 3 datasets, 37,037,034 objects, 3.0 GiB to 6 places in 14 s; source read once\n"),
            "{text}"
        );
        assert!(text.contains("✔ 74,074,068 comparisons, 0 differences"), "{text}");
        assert!(text.contains("✔ 2 leads moved, 60 writes meanwhile, 0 lost\n"), "{text}");
    }
}
