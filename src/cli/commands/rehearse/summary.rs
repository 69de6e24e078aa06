//! The result of a rehearsal, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::{
    next::Next,
    render::{self, Table},
};
use migrate_core::model::{ByteCount, DatasetName, SiteName};
use migrate_engine::standing::DatasetStanding;
use migrate_rehearsal::Promise;

/// The last proof, as a phrase.
pub(super) fn proof(one: &DatasetStanding) -> Option<String> {
    let proof = one.verification.as_ref().filter(|proof| proof.equal)?;
    Some(match proof.compared {
        Some(compared) => format!("{} ({})", proof.decided, render::count(compared, "comparison", "comparisons")),
        None => proof.decided.to_string(),
    })
}

/// The result of a rehearsal.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) complete: bool,
    pub(super) seconds: f64,
    /// Objects at the sources before anything moved.
    pub(super) to_move: u64,
    pub(super) datasets: Vec<Row>,
    /// What applications wrote meanwhile, and whether the leads hold it.
    pub(super) promises: Vec<Told>,
    /// What the plan has and a rehearsal leaves out.
    pub(super) left_out: Vec<String>,
    pub(super) end_state: String,
    pub(super) state: String,
    #[serde(flatten)]
    pub(super) next: Next,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) phase: String,
    pub(super) name: DatasetName,
    pub(super) state: &'static str,
    pub(super) from: SiteName,
    /// The site that leads, or the sites of its parts.
    pub(super) lead: String,
    pub(super) epoch: u64,
    pub(super) targets: usize,
    /// Objects, or the items of a table; `None` before they are known.
    pub(super) records: Option<u64>,
    /// Their bytes; `None` for a table, whose items are not counted one by one.
    pub(super) bytes: Option<ByteCount>,
    pub(super) passes: u64,
    pub(super) proof: Option<String>,
    pub(super) late_writes: u64,
    pub(super) waits_for: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) dataset: DatasetName,
    pub(super) written_at_old_lead: usize,
    pub(super) written_at_new_lead: usize,
    pub(super) broken: Vec<String>,
}

impl From<Promise> for Told {
    fn from(promise: Promise) -> Self {
        Self {
            dataset: promise.dataset,
            written_at_old_lead: promise.before,
            written_at_new_lead: promise.after,
            broken: promise.broken.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Summary {
    pub(super) fn text(&self, seed: u64, scale: f64, plan: &str) -> String {
        let mut text = String::new();
        let verdict = if self.complete { "complete" } else { "NOT COMPLETE" };
        let seconds = self.seconds;
        let _ = writeln!(text, "rehearsal of {plan}: {verdict} in {seconds:.1} s (seed {seed}, scale {scale})\n");
        let mut table = Table::new(&["dataset", "lead", "epoch", "targets", "records", "bytes", "passes", "proved by"]);
        let mut phase = "";
        for row in &self.datasets {
            if row.phase != phase {
                phase = &row.phase;
                table.row([vec![phase.to_owned()], vec![String::new(); 7]].concat());
            }
            let moved =
                if row.lead == row.from.as_str() { row.lead.clone() } else { format!("{} → {}", row.from, row.lead) };
            let mut cells = vec![format!("  {}", row.name), moved, row.epoch.to_string(), row.targets.to_string()];
            let (records, bytes) = (row.records.map(|n| n.to_string()), row.bytes.map(|bytes| bytes.to_string()));
            cells.extend([records, bytes].map(|known| known.unwrap_or_else(|| "-".to_owned())));
            cells.push(row.passes.to_string());
            cells.push(row.proof.clone().unwrap_or_else(|| row.state.to_owned()));
            table.row(cells);
        }
        let _ = writeln!(text, "{}\n", table.render(2));
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
            let Told { dataset, written_at_old_lead: before, written_at_new_lead: after, broken } = told;
            let verdict = if broken.is_empty() {
                "the last of each key is what its lead holds".to_owned()
            } else {
                format!("LOST: {}", broken.join(", "))
            };
            let _ = writeln!(
                text,
                "{dataset}: an application wrote meanwhile, {before} times at the old lead and {after} at the new one: {verdict}"
            );
        }
        for note in &self.left_out {
            let _ = writeln!(text, "left out: {note}");
        }
        let _ = writeln!(
            text,
            "end state {}: the same for every rehearsal of this plan with this seed and scale\n\
             its ledger: {}/ledger.sqlite (views: events, records, shards); the local cloud is gone",
            &self.end_state[..16.min(self.end_state.len())],
            self.state
        );
        let _ = write!(text, "{}", self.next);
        text
    }
}
