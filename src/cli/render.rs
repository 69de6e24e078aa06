//! Tables and phrases for people.

use std::{fmt::Write as _, time::Duration};

pub(super) use migrate_core::report::{Grouped, count, records};
use migrate_core::{
    model::{ByteCount, Key},
    report::RunWork,
};
use migrate_engine::standing::{DatasetStanding, TableStanding};
use migrate_store::{Conditions, Proof};

/// A table whose first column is text and whose others are numbers.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Without those columns, from this one on, in which nothing but 0 was counted.
    #[must_use]
    pub(super) fn without_zeros(mut self, first: usize) -> Self {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        for column in (first..columns).rev() {
            let mut counted = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            if counted.all(|cell| cell == "0") {
                for row in self.rows.iter_mut().filter(|row| row.len() > column) {
                    row.remove(column);
                }
            }
        }
        self
    }

    /// The table, each line indented.
    pub(super) fn render(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let width = *width;
                let _ = match column {
                    0 => write!(line, "{cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A time for people: two units at most.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number for people: its digits in groups of three.
pub(super) fn number(number: u64) -> String {
    Grouped(number).to_string()
}

/// How long something took: under ten seconds with a tenth.
pub(super) fn took(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{:.1} s", time.as_secs_f64()) } else { duration(time) }
}

/// Bytes a second, on average; `None` if there were none, or it took less than a second, which says nothing.
pub(super) fn average(bytes: Option<u64>, time: Duration) -> Option<u64> {
    let milliseconds = u64::try_from(time.as_millis()).ok().filter(|ms| *ms >= 1000)?;
    let rate = u128::from(bytes?) * 1000 / u128::from(milliseconds);
    u64::try_from(rate).ok().filter(|rate| *rate > 0)
}

/// What a run has done in this time.
pub(super) fn total(work: &RunWork, time: Duration) -> String {
    format!("total: {}, in {}", done(work, average(work.copied_bytes, time)), took(time))
}

/// What a run has done; with the bytes that it wrote in a second on average, if that is known.
pub(super) fn done(work: &RunWork, bytes_per_second: Option<u64>) -> String {
    let RunWork { copied, copied_bytes, deleted, compared } = *work;
    let rate = bytes_per_second.map(|rate| format!(", {}/s on average", ByteCount(rate)));
    let written = match copied {
        0 => "nothing written".to_owned(),
        copied => {
            let bytes = copied_bytes.map(|bytes| format!(" ({}{})", ByteCount(bytes), rate.unwrap_or_default()));
            format!("{} written{}", records(copied), bytes.unwrap_or_default())
        }
    };
    let deleted = if deleted > 0 { format!(", {} deleted", Grouped(deleted)) } else { String::new() };
    let compared = if compared > 0 { format!(", {} compared", Grouped(compared)) } else { String::new() };
    format!("{written}{deleted}{compared}")
}

/// How the conditions of writes and deletes are kept.
pub(super) fn conditions(conditions: &Conditions) -> String {
    let Conditions { create, replace, create_in_parts, replace_in_parts, delete } = conditions;
    let all = [create, replace, create_in_parts, replace_in_parts, delete];
    if all.iter().all(|kept| **kept == "native") {
        return "native".to_owned();
    }
    format!(
        "create {create}, replace {replace}, in parts create {create_in_parts}, replace {replace_in_parts}, \
         delete {delete}"
    )
}

/// How writes are proved, as a phrase.
pub(super) fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::SignedPayload => "it refuses what does not match the signed SHA-256",
        Proof::Checksum => "it refuses what does not match the CRC-64/NVME sent along",
        Proof::Md5Tag => "the tag that comes back is the MD5 of what it stored",
        Proof::ReadBack => "what was written is read back and hashed",
        Proof::Fsynced => "a local file: synced to its disk without an error",
    }
}

/// The targets that are down, a line each: since when, and what to do.
pub(super) fn down(dataset: &DatasetStanding) -> String {
    let mut text = String::new();
    for target in &dataset.targets {
        let Some(down) = &target.down else { continue };
        let help = down.help.as_ref().map(|help| format!("; help: {help}")).unwrap_or_default();
        let _ = writeln!(text, "    down: {} since {}{help}", target.target, down.since);
    }
    text
}

/// An upload that may or may not be this migration's own.
pub(super) fn unclaimed(key: &Key, target: &str, ids: &[String], asked_for: &str) -> String {
    let which = match ids {
        [] => "its id is not known".to_owned(),
        [id] => format!("upload id {id}"),
        ids => format!("one of the upload ids {}", ids.join(", ")),
    };
    format!(
        "an upload of {key} to {target} was asked for at {asked_for} without an answer, and may be left there \
         ({which}): abort it if no other program uploads there"
    )
}

/// How often the source was read for what was copied: the design aims at once.
pub(super) fn source_read(read: u64, copied: u64) -> String {
    let shown = ByteCount(read);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let ratio = read as f64 / copied.max(1) as f64;
    match (read, copied) {
        (0, _) => "source not read".to_owned(),
        (_, 0) => format!("source read: {shown}, nothing copied"),
        _ if (0.995..1.005).contains(&ratio) => format!("source read once ({ratio:.2}×): {shown}"),
        _ => format!("source read {ratio:.2}×: {shown} for {} copied", ByteCount(copied)),
    }
}

/// How far the copy of a table is.
pub(super) fn copied_table(table: &TableStanding, lag_seconds: Option<u64>) -> String {
    let mut text = String::new();
    if let Some(stream) = &table.stream {
        let _ = match &stream.broken {
            Some(reason) => writeln!(
                text,
                "    stream: changes were LOST ({reason}): the next run compares all items and reads it anew"
            ),
            None => writeln!(text, "    stream: last read at {}", stream.read_at),
        };
    }
    if let Some(lag) = lag_seconds {
        let lag = duration(Duration::from_secs(lag));
        let _ = writeln!(text, "    lag: at most {lag}, by what is known and by when the stream was last read");
    }
    if let (Some(items), Some((copied, _))) = (table.items_estimated, table.least_copied())
        && copied <= items
    {
        let _ = writeln!(text, "    first copy: {} of about {}", Grouped(copied), count(items, "item", "items"));
    }
    let mut rows = Table::new(&["target", "segments", "items copied", "bytes", "keys owed", "owed for"]);
    for target in &table.targets {
        let owed = target.owed_seconds.map_or_else(|| "-".to_owned(), |s| duration(Duration::from_secs(s)));
        rows.row([
            target.target.clone(),
            format!("{} of {}", target.segments_done, table.segments),
            Grouped(target.items_copied).to_string(),
            ByteCount(target.bytes_copied).to_string(),
            Grouped(target.keys_owed).to_string(),
            owed,
        ]);
    }
    let _ = writeln!(text, "{}", rows.render(4));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_counted_has_no_column() {
        let mut table = Table::new(&["target", "copied", "same", "failed"]);
        table.row(["a", "0", "0", "0"].map(str::to_owned));
        table.row(["b", "0", "0", "2"].map(str::to_owned));
        assert_eq!(
            table.without_zeros(2).render(0),
            "target  copied  failed\na            0       0\nb            0       2"
        );
    }

    #[test]
    fn columns_align() {
        let mut table = Table::new(&["target", "create"]);
        table.row(["file://a".to_owned(), "7".to_owned()]);
        table.row(["b".to_owned(), "1234567".to_owned()]);
        let lines = "  target     create\n  file://a        7\n  b         1234567";
        assert_eq!(table.render(2), lines);
    }

    #[test]
    fn the_source_is_read_once_or_it_shows() {
        assert_eq!(source_read(1000, 1000), "source read once (1.00×): 1000 B");
        assert_eq!(source_read(2000, 1000), "source read 2.00×: 2.0 KiB for 1000 B copied");
        assert_eq!(source_read(0, 1000), "source not read");
    }

    #[test]
    fn a_total_says_what_is_known_and_nothing_of_a_rate_that_is_none() {
        let work = RunWork { copied: 5000, copied_bytes: Some(10 << 20), deleted: 3, compared: 10_000 };
        let text = "total: 5,000 records written (10.0 MiB, 1.0 MiB/s on average), 3 deleted, 10,000 compared, in 10 s";
        assert_eq!(total(&work, Duration::from_secs(10)), text);
        assert_eq!(total(&RunWork::default(), Duration::from_millis(420)), "total: nothing written, in 0.4 s");
        let one = RunWork { copied: 1, ..RunWork::default() };
        assert_eq!(total(&one, Duration::from_millis(9)), "total: 1 record written, in 0.0 s");
    }

    #[test]
    fn times_have_two_units() {
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(3_725)), "1 h 2 min");
        assert_eq!(duration(Duration::from_secs(90_001)), "1 d 1 h");
    }
}
