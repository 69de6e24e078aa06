//! `migrate history`: the runs so far.

use std::{fmt::Write as _, time::Duration};

use clap::Args;
use serde::Serialize;

use crate::cli::{
    advise::{Situation, documented},
    args::Global,
    clock,
    error::{Code, Failure},
    next::Next,
    plan_file::PlanFile,
    render,
    session::{self, Session},
    term,
};
use migrate_core::{
    model::{PlanName, Timestamp},
    report::{Grouped, RunWork},
};
use migrate_ledger::RunRow;

/// Runs that are shown without `--all`.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate history plan.toml
  migrate history plan.toml --all --json

The commands that drove the migration: run, cutover, verify --repair and abort. The latest comes first. A run that is
UNENDED has not said how it ended: its process was killed or crashed. The next run went on where it stopped.")]
pub(in crate::cli) struct HistoryArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Every run, not only the last 20
    #[arg(long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct History<'a> {
    plan: &'a PlanName,
    /// How many runs there were.
    runs_total: u64,
    /// The latest of them, the latest first.
    runs: Vec<Run>,
    #[serde(flatten)]
    next: Next,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct Run {
    /// Counts the runs of the ledger, from 1.
    number: u64,
    id: String,
    command: String,
    by: String,
    began: Timestamp,
    /// When it ended; `None` if it has not said.
    ended_at: Option<Timestamp>,
    /// How it ended, in a word; `None` if it has not said.
    ended: Option<String>,
    /// Whether it is under way now.
    under_way: bool,
    /// Its length; of a run that has not ended, until it was last seen.
    seconds: f64,
    #[serde(flatten)]
    work: RunWork,
    /// Bytes written in a second, on average; `None` if there were none.
    bytes_per_second: Option<u64>,
}

impl Run {
    /// A run as the ledger has it; `now` if it is under way.
    pub(in crate::cli) fn of(row: RunRow, now: Option<Timestamp>) -> Self {
        let RunRow { number, id, command, by, began, work, seen, ended } = row;
        let until = now.filter(|_| ended.is_none());
        let took = between(began, until.unwrap_or(seen));
        Self {
            number,
            id,
            command,
            by,
            began,
            ended_at: ended.as_ref().map(|_| seen),
            under_way: until.is_some(),
            ended,
            seconds: took.as_secs_f64(),
            // By when it last said what it had done: since then it may have done more.
            bytes_per_second: render::average(work.copied_bytes, between(began, seen)),
            work,
        }
    }

    /// Its id, as the ledger has it.
    pub(in crate::cli) fn id(&self) -> &str {
        &self.id
    }

    /// Bytes written in a second, on average; `None` if there were none.
    pub(in crate::cli) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// The run on one line.
    pub(in crate::cli) fn line(&self) -> String {
        format!("run {}: {}; {}", Grouped(self.number), self.how(), render::done(&self.work, self.bytes_per_second))
    }

    fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// How it ended, with its length.
    fn how(&self) -> String {
        let took = render::took(self.took());
        match &self.ended {
            Some(how) => format!("{} after {took}", how.replace('_', " ")),
            None if self.under_way => format!("under way for {took}"),
            None => format!("UNENDED, last seen after {took}: its process was killed or crashed"),
        }
    }

    fn text(&self) -> String {
        let Self { number, command, by, began, work, .. } = self;
        format!(
            "run {}: {}\n  {command}\n  by {by} at {began}\n  {}\n",
            Grouped(*number),
            self.how(),
            render::done(work, self.bytes_per_second)
        )
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.0 - from.0).unwrap_or(0))
}

pub(in crate::cli) fn history(args: &HistoryArgs, global: &Global) -> Result<Code, Failure> {
    shown(args, global).map_err(|failure| documented(failure, args.json))
}

fn shown(args: &HistoryArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let limit = if args.all { usize::MAX } else { SHOWN };
    let (runs, runs_total) = session::block_on(read(&session, limit))?;
    let next = session.next(&if runs.is_empty() { Situation::NotBegun } else { Situation::Changed });
    let history = History { plan: &session.plan.name, runs_total, runs, next };
    if args.json {
        term::answer_json(&history);
    } else {
        term::answer(&text(&history));
    }
    Ok(Code::Done)
}

async fn read(session: &Session, limit: usize) -> Result<(Vec<Run>, u64), Failure> {
    let Some(ledger) = session.ledger_to_read()? else { return Ok((Vec::new(), 0)) };
    // Before the rows: a run that ends meanwhile has its end there.
    let driving = session.state.holder().and_then(|holder| holder.run);
    let failed = |error| Failure::ledger(&error);
    let rows = ledger.runs(limit).await.map_err(failed)?;
    let total = ledger.runs_total().await.map_err(failed)?;
    let run = |row: RunRow| {
        let now = driving.as_ref().filter(|driving| **driving == row.id).map(|_| clock::now());
        Run::of(row, now)
    };
    Ok((rows.into_iter().map(run).collect(), total))
}

fn text(history: &History<'_>) -> String {
    let runs = render::count(history.runs_total, "run", "runs");
    let mut text = format!("plan {}: {runs}\n\n", history.plan);
    for run in &history.runs {
        text.push_str(&run.text());
        text.push('\n');
    }
    let left_out = history.runs_total.saturating_sub(history.runs.len() as u64);
    if left_out > 0 {
        let _ = writeln!(text, "... and {} before; --all shows them\n", render::count(left_out, "run", "runs"));
    }
    let _ = write!(text, "{}", history.next);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ended: Option<&str>) -> RunRow {
        RunRow {
            number: 7,
            id: "a1".into(),
            command: "migrate run plan.toml".into(),
            by: "ann@here".into(),
            began: Timestamp(1_000),
            work: RunWork { copied: 2, copied_bytes: Some(4096), deleted: 0, compared: 0 },
            seen: Timestamp(5_000),
            ended: ended.map(str::to_owned),
        }
    }

    #[test]
    fn a_run_that_has_ended_has_the_length_and_the_rate_that_it_had() {
        let run = Run::of(row(Some("waits_for_approval")), Some(Timestamp(99_000)));
        assert_eq!((run.how(), run.bytes_per_second), ("waits for approval after 4.0 s".into(), Some(1024)));
        assert!(run.text().ends_with("2 records written (4.0 KiB, 1.0 KiB/s on average)\n"), "{}", run.text());
    }

    #[test]
    fn a_run_without_an_end_is_under_way_only_if_its_process_drives() {
        assert_eq!(Run::of(row(None), Some(Timestamp(61_000))).how(), "under way for 1 min 0 s");
        let killed = Run::of(row(None), None);
        assert_eq!(killed.how(), "UNENDED, last seen after 4.0 s: its process was killed or crashed");
        assert!(killed.ended_at.is_none() && !killed.under_way);
    }
}
