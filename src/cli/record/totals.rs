//! [`Totals`]: what a run has done, added up from what it tells.

use std::collections::{BTreeMap, BTreeSet};

use migrate_core::{
    lifecycle::{Stage, State},
    model::DatasetName,
    plan::Plan,
    report::{EventKind, RunWork, TargetProgress},
    shard::Tally,
};
use migrate_engine::standing::PhaseStanding;

/// What a run has done since it began.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Totals {
    work: RunWork,
    datasets: BTreeMap<DatasetName, Told>,
    /// A table's counts are those of the run; other counts are those of a pass, which may be older than the run.
    tables: BTreeSet<DatasetName>,
}

/// What was last told of a dataset.
#[derive(Debug, Clone, Default)]
struct Told {
    pass: u64,
    targets: BTreeMap<String, Tally>,
    compared: u64,
}

impl Default for Totals {
    fn default() -> Self {
        let work = RunWork { copied_bytes: Some(0), ..RunWork::default() };
        Self { work, datasets: BTreeMap::new(), tables: BTreeSet::new() }
    }
}

impl Totals {
    /// Nothing so far. `before` says where everything stood: of a pass that is under way, only the rest counts.
    pub(in crate::cli) fn new(plan: &Plan, before: &[PhaseStanding]) -> Self {
        let tables = plan.datasets().filter(|dataset| dataset.is_table()).map(|dataset| dataset.name.clone()).collect();
        let mut totals = Self { tables, ..Self::default() };
        for one in before.iter().flat_map(|phase| &phase.datasets) {
            let syncing = &one.lifecycle.syncing;
            if syncing.stage == Stage::Copying {
                let targets = one.followers().map(|target| (target.target.clone(), target.pass)).collect();
                totals.datasets.insert(one.name.clone(), Told { pass: syncing.pass, targets, compared: 0 });
            }
        }
        totals
    }

    /// What was done so far.
    pub(in crate::cli) fn work(&self) -> RunWork {
        self.work
    }

    /// Adds what an event tells.
    pub(in crate::cli) fn take(&mut self, told: &EventKind) {
        match told {
            EventKind::DatasetState { dataset, state, .. } => match state.of_followers() {
                State::Copying { pass } => self.begin_pass(dataset, *pass),
                // The last count of a verification under way may be older than its end.
                State::Verified { compared, .. } => self.compared(dataset, *compared),
                _ => {}
            },
            EventKind::Progress { dataset, targets, .. } | EventKind::DatasetEnded { dataset, targets, .. } => {
                self.copied(dataset, targets);
            }
            EventKind::VerificationBegan { dataset, compared, .. } => {
                self.datasets.entry(dataset.clone()).or_default().compared = *compared;
            }
            EventKind::Verifying { dataset, compared, .. } => self.compared(dataset, *compared),
            _ => {}
        }
    }

    fn begin_pass(&mut self, dataset: &DatasetName, pass: u64) {
        let is_table = self.tables.contains(dataset);
        let told = self.datasets.entry(dataset.clone()).or_default();
        if told.pass != pass {
            told.pass = pass;
            if !is_table {
                told.targets.clear();
            }
        }
    }

    fn copied(&mut self, dataset: &DatasetName, targets: &[TargetProgress]) {
        let told = self.datasets.entry(dataset.clone()).or_default();
        for TargetProgress { target, tally, .. } in targets {
            let last = told.targets.entry(target.clone()).or_default();
            self.work.copied += tally.copied.saturating_sub(last.copied);
            *self.work.copied_bytes.get_or_insert(0) += tally.copied_bytes.saturating_sub(last.copied_bytes);
            self.work.deleted += tally.deleted.saturating_sub(last.deleted);
            *last = *tally;
        }
    }

    fn compared(&mut self, dataset: &DatasetName, compared: u64) {
        let last = &mut self.datasets.entry(dataset.clone()).or_default().compared;
        self.work.compared += compared.saturating_sub(*last);
        *last = compared;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> DatasetName {
        DatasetName::new("d").unwrap()
    }

    fn targets(copied: [u64; 2]) -> Vec<TargetProgress> {
        let tally = |copied| Tally { copied, copied_bytes: copied * 10, deleted: 1, ..Tally::default() };
        let target = |(at, copied): (usize, u64)| TargetProgress {
            target: format!("t{at}"),
            tally: tally(copied),
            deferred: 0,
            failed: 0,
        };
        copied.into_iter().enumerate().map(target).collect()
    }

    fn ended(copied: [u64; 2]) -> EventKind {
        EventKind::DatasetEnded { dataset: name(), targets: targets(copied), source_bytes_read: 0 }
    }

    fn begins(pass: u64) -> EventKind {
        EventKind::DatasetState { dataset: name(), state: State::Copying { pass }, proved: None }
    }

    fn verified(compared: u64) -> EventKind {
        let state = State::Verified { pass: 1, level: "checksum".into(), compared };
        EventKind::DatasetState { dataset: name(), state, proved: None }
    }

    #[test]
    fn each_write_counts_once_over_all_passes_and_targets() {
        let mut totals = Totals::default();
        for told in [begins(1), ended([3, 4]), begins(2), ended([1, 0])] {
            totals.take(&told);
        }
        assert_eq!(totals.work(), RunWork { copied: 8, copied_bytes: Some(80), deleted: 4, compared: 0 });
    }

    #[test]
    fn what_an_earlier_run_did_of_the_pass_does_not_count() {
        let before = targets([2, 2]).into_iter().map(|target| (target.target, target.tally)).collect();
        let told = Told { pass: 1, targets: before, compared: 0 };
        let mut totals = Totals { datasets: [(name(), told)].into(), ..Totals::default() };
        totals.take(&begins(1));
        totals.take(&ended([5, 2]));
        assert_eq!(totals.work(), RunWork { copied: 3, copied_bytes: Some(30), deleted: 0, compared: 0 });
    }

    #[test]
    fn the_counts_of_a_table_go_on_over_its_passes() {
        let mut totals = Totals { tables: [name()].into(), ..Totals::default() };
        for told in [begins(1), ended([3, 3]), begins(2), ended([4, 3])] {
            totals.take(&told);
        }
        assert_eq!(totals.work().copied, 7);
    }

    #[test]
    fn comparisons_of_a_verification_count_once_and_those_of_an_earlier_process_not() {
        let mut totals = Totals::default();
        let began = |compared| EventKind::VerificationBegan { dataset: name(), compared, since: None, anew: None };
        let verifying = |compared| EventKind::Verifying {
            dataset: name(),
            compared,
            fraction: Some(0.0),
            eta_seconds: None,
            expected: None,
            shards_ended: 0,
            shards: 1,
            requests_at_once: Vec::new(),
        };
        for told in [began(5), verifying(7), verified(9), began(0), verified(9)] {
            totals.take(&told);
        }
        assert_eq!(totals.work().compared, 4 + 9);
    }
}
