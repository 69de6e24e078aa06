//! The result of a run: its exit code, the next command, and the answer for people.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    advise::Situation,
    display::{DIFFERENCES_SEEN, Seen},
    error::{Code, Failure},
    render::{self, Grouped, Table},
    running::{FAILURES_SHOWN, Running, selection},
};
use migrate_core::{
    lifecycle::{Goal, Stage},
    model::{ByteCount, DatasetName, Key},
    report::{Difference, RunWork},
    shard::Tally,
};
use migrate_engine::{
    self as engine, RunOutcome,
    standing::{DatasetStanding, PhaseStanding, Proof},
};

/// The first column of a pass that is left out if nothing was counted in it.
const FIRST_RARE: usize = 4;

/// The result of a run.
pub(super) struct Summary<'a> {
    pub(super) run: &'a Running<'a>,
    /// The same command again.
    pub(super) again: &'a str,
    pub(super) outcome: &'a RunOutcome,
    pub(super) before: &'a [PhaseStanding],
    pub(super) after: &'a [PhaseStanding],
    pub(super) seen: &'a BTreeMap<DatasetName, Seen>,
    /// What it has done.
    pub(super) work: RunWork,
}

impl Summary<'_> {
    fn asked(&self) -> impl Iterator<Item = (&engine::DatasetOutcome, &DatasetStanding)> {
        self.outcome.datasets.iter().filter_map(|outcome| Some((outcome, find(self.after, &outcome.dataset)?)))
    }

    fn short(&self) -> impl Iterator<Item = &DatasetStanding> {
        self.asked().filter(|(outcome, _)| !outcome.reached).map(|(_, standing)| standing)
    }

    pub(super) fn code(&self) -> Code {
        let blocked = self
            .outcome
            .stopped
            .as_ref()
            .is_some_and(|error| Failure::engine(error, self.run.session.redactor).code == Code::Differs);
        if !self.outcome.aborted.is_empty() {
            // "The same command goes on" would bring back what was just given up.
            return Code::Differs;
        }
        if self.outcome.interrupted && !blocked {
            return Code::Incomplete;
        }
        if blocked || self.short().any(differs) {
            return Code::Differs;
        }
        if self.outcome.stopped.is_some() {
            return Code::Incomplete;
        }
        // Before the approval: an approval that is missing elsewhere settles no late write.
        if self.is_late() {
            return Code::Differs;
        }
        if self.waits_for_approval() {
            return Code::Done;
        }
        match self.short().next() {
            None => Code::Done,
            Some(_) if self.short().all(|one| one.waits_for_phase() || one.is_ready()) => Code::Differs,
            Some(_) => Code::Incomplete,
        }
    }

    /// How the run has ended, in a word.
    pub(super) fn ended(&self) -> &'static str {
        match self.code() {
            _ if !self.outcome.aborted.is_empty() => "given_up",
            Code::Done if self.waits_for_approval() => "waits_for_approval",
            Code::Done => "complete",
            Code::Differs if self.outcome.stopped.is_some() => "blocked",
            Code::Differs if self.is_late() => "late_writes",
            Code::Differs if self.short().any(differs) => "different",
            Code::Differs => "waits",
            _ if self.outcome.interrupted && self.outcome.stopped.is_none() => "interrupted",
            _ if self.outcome.stopped.is_some() => "failed",
            _ => "incomplete",
        }
    }

    /// Selected datasets have open late writes, and nothing else went wrong with them.
    fn is_late(&self) -> bool {
        self.asked().any(|(_, one)| one.late_writes > 0)
            && self.short().all(|one| one.waits_for_phase() || one.is_ready() || one.late_writes > 0)
    }

    /// A record is missing or different at a target, and a repair would copy it again.
    fn is_repairable(&self) -> bool {
        self.outcome.datasets.iter().any(|one| !one.reached && one.repairable)
    }

    /// Only the operator's approval is missing.
    pub(super) fn waits_for_approval(&self) -> bool {
        let waits =
            |outcome: &engine::DatasetOutcome, one: &DatasetStanding| outcome.needs_approval() || one.waits_for_phase();
        self.outcome.datasets.iter().any(engine::DatasetOutcome::needs_approval)
            && self.asked().filter(|(outcome, _)| !outcome.reached).all(|(outcome, one)| waits(outcome, one))
    }

    /// How the run has ended, as far as that decides what is next.
    pub(super) fn situation(&self, code: Code) -> Situation<'_> {
        let (session, again) = (self.run.session, self.again);
        let words = || selection(self.run.args);
        let unapproved = self.outcome.datasets.iter().find(|outcome| outcome.needs_approval());
        let all = || self.after.iter().flat_map(|phase| &phase.datasets);
        let goal = self.run.options.goal;
        match (code, unapproved, &self.outcome.stopped) {
            (Code::Done, Some(outcome), _) => Situation::NeedsApproval(words(), outcome.phase.as_str()),
            _ if !self.outcome.aborted.is_empty() => Situation::Changed,
            (Code::Done, ..) if goal == Goal::Copied => Situation::Copied(words()),
            (Code::Done, ..) if !all().all(DatasetStanding::is_done) => Situation::Unfinished(Vec::new()),
            (Code::Done, ..) if goal < Goal::CutOver && session.leads_to_move(self.after) => {
                Situation::Unfinished(Vec::new())
            }
            // Of datasets that were not selected: the exit code says that the selected ones are settled.
            (Code::Done, ..) if all().any(|one| one.late_writes > 0) => Situation::Late,
            (Code::Done, ..) if all().any(moved) => Situation::Done,
            (Code::Done, ..) => Situation::Proved,
            (Code::Differs, _, Some(error)) => Situation::of_block(error),
            (Code::Differs, ..) if self.is_late() => Situation::Late,
            (Code::Differs, ..) if self.outcome.datasets.iter().any(engine::DatasetOutcome::not_at_rest) => {
                Situation::NotAtRest(again)
            }
            (Code::Differs, ..) if self.short().all(|one| one.waits_for_phase() || one.is_ready()) => {
                Situation::Unfinished(Vec::new())
            }
            (Code::Differs, ..) if self.short().any(has_strays) && !self.is_repairable() => Situation::OnlyStrays,
            // A repair deletes nothing, and the next pass does.
            (Code::Differs, ..) if !self.is_repairable() => Situation::Unfinished(Vec::new()),
            (Code::Differs, ..) => Situation::Differs(Vec::new()),
            (_, _, Some(_)) => Situation::BrokeOff(again),
            _ if self.outcome.interrupted => Situation::Stopped(again),
            _ if self.short().any(|one| one.has_targets_down() || one.is_unlisted()) => {
                Situation::TargetsDown(Some(again))
            }
            _ => Situation::RecordsFailed(Some(again)),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for phase in self.after {
            let mut datasets = self.asked().filter(|(outcome, _)| outcome.phase == phase.name).peekable();
            if datasets.peek().is_none() {
                continue;
            }
            let _ = writeln!(text, "phase {}: {}", phase.name, phase.state);
            for (outcome, standing) in datasets {
                text.push_str(&self.dataset(outcome, standing));
            }
        }
        text.push('\n');
        text.push_str(&self.failures());
        text.push_str(&self.differences());
        for aborted in &self.outcome.aborted {
            let _ = writeln!(text, "another command asked to give it up: {aborted}");
        }
        if self.outcome.interrupted && self.outcome.stopped.is_none() && self.outcome.aborted.is_empty() {
            text.push_str("Interrupted: what is done is kept; the same command goes on.\n");
        }
        let _ = writeln!(text, "{}", render::total(&self.work, self.run.clock.elapsed()));
        text
    }

    fn dataset(&self, outcome: &engine::DatasetOutcome, standing: &DatasetStanding) -> String {
        let mut text = format!("  {}: {}", standing.name, standing.state);
        if standing.lifecycle.moved_to().is_some() {
            let _ = write!(text, ", led by {} since epoch {}", standing.lead, standing.epoch);
        }
        if let Some(proof) = &standing.verification {
            let _ = match (proof.equal, proof.compared) {
                (_, Some(0)) => write!(text, "; 0 records: nothing was compared"),
                (true, Some(compared)) => {
                    write!(
                        text,
                        "; equal by {} ({})",
                        proof.decided,
                        render::count(compared, "comparison", "comparisons")
                    )
                }
                (true, None) => write!(text, "; equal by {}", proof.decided),
                _ => write!(text, "; {}", not_proved(proof)),
            };
        }
        let waits_for = outcome.waits_for.as_ref().or(standing.waits_for.as_ref());
        if let Some(waits_for) = waits_for.filter(|_| !outcome.reached) {
            let _ = write!(text, "; waits for {waits_for}");
        }
        text.push('\n');
        for spot in standing.verification.iter().flat_map(|proof| &proof.blind_spots) {
            let _ = writeln!(text, "    not seen: {spot}");
        }
        if standing.late_writes > 0 {
            let records = render::count(standing.late_writes, "record was", "records were");
            let _ = writeln!(
                text,
                "    LATE: {records} written at the old lead since the lead moved; the new lead lacks what is there, and \
                 nothing is written over it: {}",
                standing.late_keys.join(", ")
            );
        }
        if let Some(table) = &standing.table {
            text.push_str(&render::copied_table(table, standing.lag_seconds));
            text.push_str(&render::down(standing));
        } else if standing.records_total.is_some() {
            text.push_str(&self.copied_objects(standing));
        }
        text
    }

    /// What the last pass over objects has done at each follower, and what it read for that.
    fn copied_objects(&self, standing: &DatasetStanding) -> String {
        let mut table =
            Table::new(&["target", "records", "bytes", "copied", "same", "deleted", "extra", "failed", "repeated"]);
        for target in standing.followers() {
            let Tally { copied, same, deleted, extra, repeated, .. } = target.pass;
            let mut cells = vec![target.target.clone(), Grouped(target.records_done).to_string()];
            cells.push(ByteCount(target.bytes_done).to_string());
            cells.extend(
                [copied, same, deleted, extra, target.failed, repeated].map(|number| Grouped(number).to_string()),
            );
            table.row(cells);
        }
        let table = table.without_zeros(FIRST_RARE);
        let mut text = format!("{}\n{}", table.render(4), render::down(standing));
        if let Some(seen) = self.seen.get(&standing.name) {
            let copied = self.copied(standing, seen);
            let _ = writeln!(text, "    {}", render::source_read(seen.source_bytes_read, copied));
        }
        text
    }

    /// Bytes of the records that this run copied; of a pass that an earlier run began, only the rest.
    fn copied(&self, standing: &DatasetStanding, seen: &Seen) -> u64 {
        let before = find(self.before, &standing.name).filter(|one| one.lifecycle.syncing.stage == Stage::Copying);
        let earlier = |place: usize| {
            before.and_then(|before| before.followers().nth(place)).map_or(0, |target| target.pass.copied_bytes)
        };
        (0..standing.followers().count())
            .map(|place| seen.copied(place).saturating_sub(earlier(place)))
            .max()
            .unwrap_or(0)
    }

    /// The first records that differ, if a dataset ended different.
    fn differences(&self) -> String {
        let mut text = String::new();
        for (_, standing) in self.asked() {
            let different = matches!(standing.lifecycle.syncing.stage, Stage::Different { .. });
            let (Some(seen), true) = (self.seen.get(&standing.name), different) else { continue };
            let total = standing.verification.as_ref().map_or(0, |proof| proof.differences + proof.unreadable);
            let shown = usize::try_from(total).unwrap_or(usize::MAX).min(DIFFERENCES_SEEN);
            let mut listed = 0;
            for (target, Difference { key, kind, detail }) in seen.broken.iter().chain(&seen.extra).take(shown) {
                let _ = writeln!(text, "  {}: {} {key} at {target}: {detail}", standing.name, kind.as_str());
                listed += 1;
            }
            if total > listed {
                let all = self.run.session.command("verify", &["--dataset", standing.name.as_str()]);
                let _ = writeln!(text, "  ... and {} more: {all}", Grouped(total - listed));
            }
        }
        if text.is_empty() { text } else { format!("records that differ:\n{text}") }
    }

    fn failures(&self) -> String {
        let total: u64 = self.asked().map(|(_, standing)| standing.failures_total).sum();
        let mut text = String::new();
        if total == 0 {
            return text;
        }
        let _ = writeln!(text, "{}:", render::count(total, "record failed", "records failed"));
        let failed = self.asked().flat_map(|(_, standing)| standing.failures.iter().map(move |row| (standing, row)));
        for (standing, row) in failed.take(FAILURES_SHOWN) {
            let key = Key::from(row.key.as_str());
            let _ = writeln!(text, "  {}: {key} at {}: {}", standing.name, row.target, row.reason);
        }
        if total > FAILURES_SHOWN as u64 {
            let all = self.run.session.command("status", &["--failures"]);
            let _ = writeln!(text, "  ... and {} more: {all}", Grouped(total - FAILURES_SHOWN as u64));
        }
        text
    }
}

/// What a verification that proved nothing has found.
fn not_proved(proof: &Proof) -> String {
    let mut found = Vec::new();
    if proof.differences > 0 || proof.unlisted.is_empty() {
        found.push(render::count(proof.differences, "difference", "differences"));
    }
    if proof.unreadable > 0 {
        found.push(format!("{} could not be compared", render::records(proof.unreadable)));
    }
    found.extend(proof.unlisted.iter().map(|(target, _)| format!("{target} was not read to its end")));
    let equal = if proof.is_without_findings() { "not proved equal" } else { "NOT equal" };
    format!("{equal} at level {}: {}", proof.level, found.join(", "))
}

fn find<'a>(phases: &'a [PhaseStanding], name: &DatasetName) -> Option<&'a DatasetStanding> {
    phases.iter().flat_map(|phase| &phase.datasets).find(|dataset| dataset.name == *name)
}

/// Its last verification found differences, and not only records that it could not compare.
fn differs(one: &DatasetStanding) -> bool {
    matches!(one.lifecycle.syncing.stage, Stage::Different { .. })
        && one.verification.as_ref().is_none_or(|proof| proof.differences > 0)
}

fn moved(one: &DatasetStanding) -> bool {
    one.lifecycle.moved_to().is_some()
}

fn has_strays(one: &DatasetStanding) -> bool {
    one.verification.as_ref().is_some_and(|proof| proof.strays > 0)
}
