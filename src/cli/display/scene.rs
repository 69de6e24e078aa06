//! Where a command stands, as its events tell it: the phases, their steps, and the datasets at work.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::cli::{
    at_once::AtOnce,
    render::{self, number},
};
use migrate_core::{
    lifecycle::{Goal, State, StepName},
    model::DatasetName,
    plan::{Dataset, Plan},
    report::{Advance, EventKind, Pace, RequestsAtOnce, TargetProgress, Work},
};
use migrate_engine::{
    WaitsFor,
    cutover::Move,
    standing::{DatasetStanding, PhaseStanding},
};

/// How long a reason to wait is shown after it was told: it comes and goes many times a second.
const REASON_STAYS: Duration = Duration::from_secs(2);
/// How long a survey of a dataset is shown after it was told: no event says that it has ended.
const SURVEY_STAYS: Duration = Duration::from_secs(1);

/// Tells what else is known of a dataset while it works.
pub(in crate::cli) type Notes = Arc<dyn Fn(&DatasetName) -> Option<String> + Send + Sync>;

/// Where a command stands.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Scene {
    /// The plan's name, and what is done with it.
    pub(super) plan: String,
    pub(super) action: Vec<String>,
    pub(super) phases: Vec<PhaseScene>,
    /// The time of the last event or tick, since the command began.
    pub(super) now: Duration,
    /// A clock that is shown in place of the time since the command began.
    pub(super) clock: Option<String>,
    /// How many requests run at once, as the events tell it.
    told_at_once: AtOnce,
    /// The same, by site.
    pub(super) at_once: Vec<RequestsAtOnce>,
}

/// Where a phase stands.
#[derive(Debug, Clone, Default)]
pub(super) struct PhaseScene {
    pub(super) name: String,
    pub(super) after: Vec<String>,
    pub(super) datasets: Vec<DatasetScene>,
    pub(super) has_begun: bool,
    pub(super) needs_approval: bool,
    /// The steps of its cutover; empty if no lead moves.
    pub(super) steps: Vec<StepName>,
    /// The step under way.
    pub(super) step: Option<StepName>,
}

/// Where a dataset stands.
#[derive(Debug, Clone)]
pub(super) struct DatasetScene {
    pub(super) name: DatasetName,
    pub(super) is_table: bool,
    /// How many places it is copied to.
    pub(super) places: usize,
    /// From which site its lead moves, and to which.
    pub(super) moves: Option<(String, String)>,
    pub(super) goal: Goal,
    pub(super) doing: Doing,
    /// Records and bytes of the last pass, as far as it has seen them.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// What else is known of it while it works.
    pub(super) note: Option<String>,
    /// Records that were written at its lead meanwhile, and brought over.
    pub(super) brought: u64,
    /// The pass under way, or the last one.
    pass: u64,
    /// Why it is slower than it could be, and until when that is shown.
    waits: Option<(String, Duration)>,
    /// Until when it is at work, if no event will say that it has ended.
    until: Option<Duration>,
}

/// What a dataset does.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Doing {
    #[default]
    Nothing,
    Surveying {
        records: u64,
    },
    Copying {
        advance: Advance,
        failed: u64,
    },
    Copied,
    Verifying {
        compared: u64,
        expected: Option<u64>,
        fraction: Option<f64>,
        eta_seconds: Option<u64>,
    },
    Proved,
    Moving,
    Moved,
    /// It stays equal to a source that is written to.
    Following {
        owed: u64,
        lag_s: u64,
    },
    Wrong(String),
}

/// What a phase does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Done,
    Running,
    Waits,
    Wrong,
}

impl Scene {
    /// A command before its first event. `datasets` are those that it is for.
    pub(in crate::cli) fn of<'a>(
        plan: &Plan,
        action: &[&str],
        goal: Goal,
        datasets: impl IntoIterator<Item = &'a Dataset>,
    ) -> Self {
        let asked: Vec<&DatasetName> = datasets.into_iter().map(|dataset| &dataset.name).collect();
        let phases = plan.phases.iter().map(|phase| {
            let datasets = phase.datasets.iter().filter(|dataset| asked.contains(&&dataset.name));
            PhaseScene {
                name: phase.name.to_string(),
                after: phase.after.iter().map(ToString::to_string).collect(),
                steps: steps(phase.datasets.iter().filter(|dataset| asked.contains(&&dataset.name)), goal),
                datasets: datasets.map(|dataset| DatasetScene::of(dataset, goal)).collect(),
                ..PhaseScene::default()
            }
        });
        Self {
            plan: plan.name.to_string(),
            action: action.iter().map(|&word| word.to_owned()).collect(),
            phases: phases.filter(|phase| !phase.datasets.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// The same, as a ledger knows it.
    #[must_use]
    pub(in crate::cli) fn standing(mut self, standing: &[PhaseStanding]) -> Self {
        for one in standing.iter().flat_map(|phase| &phase.datasets) {
            let Some(dataset) = self.dataset(&one.name) else { continue };
            dataset.reached(&one.lifecycle.state());
            dataset.records = one.records_total.unwrap_or(0).max(dataset.records);
            dataset.bytes = one.bytes_total.unwrap_or(0);
            // What this process has not begun is not at work.
            if dataset.is_at_work() {
                dataset.doing = Doing::Nothing;
            }
        }
        self
    }

    /// The same, with how many requests run at once at each site, as the ledger knows it.
    #[must_use]
    pub(in crate::cli) fn sending(self, at_once: Vec<RequestsAtOnce>) -> Self {
        Self { at_once, ..self }
    }

    /// Notes what else is known of each dataset.
    pub(super) fn note(&mut self, of: &Notes) {
        for dataset in self.phases.iter_mut().flat_map(|phase| &mut phase.datasets) {
            dataset.note = of(&dataset.name);
        }
    }

    fn dataset(&mut self, name: &DatasetName) -> Option<&mut DatasetScene> {
        self.phases.iter_mut().flat_map(|phase| &mut phase.datasets).find(|dataset| dataset.name == *name)
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let now = self.now;
        for dataset in self.phases.iter_mut().flat_map(|phase| &mut phase.datasets) {
            if dataset.waits.as_ref().is_some_and(|(_, until)| *until < now) {
                dataset.waits = None;
            }
            if dataset.until.is_some_and(|until| until < now) {
                (dataset.doing, dataset.until) = (Doing::Nothing, None);
            }
        }
    }

    /// Takes an event that was told at this time.
    pub(super) fn take(&mut self, told: &EventKind, at: Duration) {
        self.tick(at);
        self.told_at_once.take(told);
        self.at_once = self.told_at_once.now();
        match told {
            EventKind::PhaseBegan { phase } => {
                for one in self.phases.iter_mut().filter(|one| one.name == phase.as_str()) {
                    one.has_begun = true;
                }
            }
            EventKind::NeedsApproval { phase, .. } | EventKind::Approved { phase, .. } => {
                let needs = matches!(told, EventKind::NeedsApproval { .. });
                for one in self.phases.iter_mut().filter(|one| one.name == phase.as_str()) {
                    one.needs_approval = needs;
                }
            }
            EventKind::CutoverStep { dataset, step, .. } => self.step(dataset, step),
            _ => {
                if let Some(name) = of_dataset(told)
                    && let Some(dataset) = self.dataset(name)
                {
                    dataset.take(told, at);
                }
            }
        }
    }

    fn step(&mut self, name: &DatasetName, step: &str) {
        let phase = self.phases.iter_mut().find(|phase| phase.datasets.iter().any(|one| one.name == *name));
        let Some(phase) = phase else { return };
        phase.needs_approval = false;
        phase.step = StepName::ALL.into_iter().find(|known| known.as_str() == step);
        for dataset in phase.datasets.iter_mut().filter(|one| one.name == *name) {
            dataset.doing = Doing::Moving;
            dataset.waits = None;
        }
    }

    /// How many of the phases have begun, as far as the last one that has.
    pub(super) fn phase_number(&self) -> usize {
        self.phases.iter().rposition(|phase| phase.has_begun).map_or(0, |last| last + 1)
    }
}

impl PhaseScene {
    pub(super) fn mark(&self) -> Mark {
        let at_work = self.datasets.iter().any(DatasetScene::is_at_work);
        match () {
            () if self.datasets.iter().all(DatasetScene::is_done) => Mark::Done,
            () if at_work => Mark::Running,
            () if self.datasets.iter().any(|one| matches!(one.doing, Doing::Wrong(_))) => Mark::Wrong,
            () if self.needs_approval || !self.has_begun => Mark::Waits,
            () => Mark::Running,
        }
    }
}

impl DatasetScene {
    fn of(dataset: &Dataset, goal: Goal) -> Self {
        let moves = Move::of(dataset).filter(|_| goal == Goal::CutOver);
        Self {
            name: dataset.name.clone(),
            is_table: dataset.is_table(),
            places: dataset.targets.len(),
            goal: if moves.is_some() { goal } else { goal.min(Goal::Verified) },
            moves: moves.map(|moves| (dataset.source.site.to_string(), moves.new_leads())),
            doing: Doing::Nothing,
            records: 0,
            bytes: 0,
            note: None,
            brought: 0,
            pass: 0,
            waits: None,
            until: None,
        }
    }

    /// What else is known of it, with what was brought over.
    pub(super) fn noted(&self) -> String {
        let note = self.note.as_deref().unwrap_or_default();
        match (note, self.brought) {
            (note, 0) => note.to_owned(),
            ("", brought) => format!("{} brought over", number(brought)),
            (note, brought) => format!("{note}: {} brought over", number(brought)),
        }
    }

    /// Why it waits, if it does.
    pub(super) fn waits(&self) -> Option<&str> {
        self.waits.as_ref().map(|(reason, _)| reason.as_str())
    }

    pub(super) fn is_done(&self) -> bool {
        match self.goal {
            Goal::Copied => matches!(self.doing, Doing::Copied | Doing::Proved | Doing::Moved),
            Goal::Verified => matches!(self.doing, Doing::Proved | Doing::Moved | Doing::Following { .. }),
            Goal::CutOver => self.doing == Doing::Moved,
        }
    }

    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.doing, Doing::Surveying { .. } | Doing::Copying { .. } | Doing::Verifying { .. } | Doing::Moving)
            || matches!(self.doing, Doing::Following { owed: 1.., .. })
    }

    fn take(&mut self, told: &EventKind, at: Duration) {
        match told {
            EventKind::DatasetState { state, .. } => self.reached(state),
            EventKind::Progress { advance, targets, waits_for, .. } => {
                (self.records, self.bytes) = (advance.records_done, advance.bytes_done);
                let failed = targets.iter().map(|target| target.failed).sum();
                self.doing = Doing::Copying { advance: *advance, failed };
                self.wait_for(waits_for.as_deref(), at + REASON_STAYS);
            }
            EventKind::DatasetEnded { targets, .. } => {
                (self.records, self.bytes) = least(targets);
                // The counts of a table are those of all its passes.
                if self.pass > 1 && !self.is_table {
                    let brought = |target: &TargetProgress| target.tally.copied + target.tally.deleted;
                    self.brought += targets.iter().map(brought).max().unwrap_or(0);
                }
            }
            EventKind::BroughtOver { records, .. } => self.brought += records,
            EventKind::VerificationBegan { compared, .. } => {
                self.doing =
                    Doing::Verifying { compared: *compared, expected: None, fraction: None, eta_seconds: None };
            }
            EventKind::Verifying { compared, expected, fraction, eta_seconds, .. } => {
                self.doing = Doing::Verifying {
                    compared: *compared,
                    expected: *expected,
                    fraction: *fraction,
                    eta_seconds: *eta_seconds,
                };
            }
            EventKind::Surveying { records, .. } => {
                (self.doing, self.until) = (Doing::Surveying { records: *records }, Some(at + SURVEY_STAYS));
            }
            EventKind::Waiting { reason, seconds, .. } => {
                self.wait_for(Some(reason), at + Duration::from_secs(*seconds));
            }
            EventKind::Follows { owed, lag_s, .. } => self.doing = Doing::Following { owed: *owed, lag_s: *lag_s },
            _ => {}
        }
    }

    fn wait_for(&mut self, reason: Option<&str>, until: Duration) {
        if let Some(reason) = reason {
            self.waits = Some((reason.to_owned(), until));
        }
    }

    /// What it does in a state.
    fn reached(&mut self, state: &State) {
        self.waits = None;
        let followed = state.of_followers();
        self.doing = match followed {
            State::Pending | State::Aborted { .. } => Doing::Nothing,
            State::Copying { pass } => {
                self.pass = *pass;
                Doing::Copying { advance: Advance::default(), failed: 0 }
            }
            State::Incomplete { failed, .. } => Doing::Wrong(render::count(*failed, "record failed", "records failed")),
            State::Copied { .. } => Doing::Copied,
            State::Different { differences, .. } => {
                Doing::Wrong(render::count(*differences, "difference", "differences"))
            }
            State::Verified { compared, .. } => {
                if self.records == 0 && self.is_table {
                    self.records = compared / self.places.max(1) as u64;
                }
                if followed == state { Doing::Proved } else { Doing::Moved }
            }
            State::Switching { .. } | State::Switched { .. } => Doing::Moving,
            State::CutOver { late: 0, .. } => Doing::Moved,
            State::CutOver { late, .. } => Doing::Wrong(render::count(*late, "late write", "late writes")),
        };
    }
}

/// Paces of datasets that are watched from outside.
#[derive(Debug, Default)]
pub(in crate::cli) struct Watched(BTreeMap<DatasetName, Pace>);

impl Watched {
    /// Where a migration stands by its ledger alone, and whether another process drives it.
    pub(in crate::cli) fn scene(
        &mut self,
        scene: Scene,
        standing: &[PhaseStanding],
        is_driven: bool,
        now: Duration,
        clock: String,
    ) -> Scene {
        let mut scene = Scene { clock: Some(clock), now, ..scene.standing(standing) };
        for phase in standing {
            for one in &phase.datasets {
                self.dataset(&mut scene, one, is_driven, now);
            }
            let Some(shown) = scene.phases.iter_mut().find(|shown| shown.name == phase.name.as_str()) else { continue };
            let steps = phase.datasets.iter().filter_map(|one| one.moving.as_ref()?.step);
            let step = steps.filter_map(|step| StepName::ALL.into_iter().find(|known| known.as_str() == step)).min();
            let is_switched = |one: &DatasetScene| one.doing == Doing::Moving;
            shown.step = step.or(shown.datasets.iter().any(is_switched).then_some(StepName::Watch));
            shown.has_begun = phase.datasets.iter().any(|one| one.state != State::Pending.name());
            shown.needs_approval =
                phase.datasets.iter().any(|one| matches!(one.waits_for, Some(WaitsFor::Approval(_))));
        }
        scene
    }

    fn dataset(&mut self, scene: &mut Scene, one: &DatasetStanding, is_driven: bool, now: Duration) {
        let Some(shown) = scene.dataset(&one.name) else { return };
        match one.lifecycle.state().of_followers() {
            State::Copying { .. } => {
                let advance = self.0.entry(one.name.clone()).or_default().advance(now, work(one));
                shown.doing = Doing::Copying { advance, failed: one.failures_total };
            }
            State::Switching { .. } | State::Switched { .. } => shown.doing = Doing::Moving,
            _ => {
                self.0.remove(&one.name);
            }
        }
        // The end of a pass that is at work is no reason to wait.
        let is_reason = |reason: &&WaitsFor| shown.is_at_work() && !(is_driven && **reason == WaitsFor::PassEnd);
        let reason = one.waits_for.as_ref().filter(is_reason).map(ToString::to_string);
        shown.wait_for(reason.as_deref(), now + REASON_STAYS);
    }
}

/// What is done of a dataset's pass, as its ledger knows it. Of a table that is its first copy: what a later pass has seen
/// is in no ledger.
fn work(one: &DatasetStanding) -> Work {
    if let Some(table) = &one.table {
        let first = table.least_copied();
        let (records, bytes) = first.unwrap_or_default();
        let records_total = table.items_estimated.filter(|_| first.is_some());
        return Work { records, records_total, bytes, written: bytes, ..Work::default() };
    }
    Work {
        records: one.records_done,
        records_total: one.records_total.filter(|_| one.total_known),
        bytes: one.bytes_done,
        bytes_total: one.bytes_total.filter(|_| one.total_known),
        written: one.bytes_done,
        under_way: 0,
    }
}

/// The dataset whose work an event tells of.
fn of_dataset(told: &EventKind) -> Option<&DatasetName> {
    match told {
        EventKind::DatasetState { dataset, .. }
        | EventKind::Progress { dataset, .. }
        | EventKind::DatasetEnded { dataset, .. }
        | EventKind::VerificationBegan { dataset, .. }
        | EventKind::Verifying { dataset, .. }
        | EventKind::Surveying { dataset, .. }
        | EventKind::Waiting { dataset, .. }
        | EventKind::BroughtOver { dataset, .. }
        | EventKind::Follows { dataset, .. } => Some(dataset),
        _ => None,
    }
}

/// The steps of a phase's cutover.
fn steps<'a>(datasets: impl Iterator<Item = &'a Dataset>, goal: Goal) -> Vec<StepName> {
    let moves: Vec<_> = datasets.filter(|dataset| goal == Goal::CutOver && dataset.cutover.is_some()).collect();
    let has_table = moves.iter().any(|dataset| dataset.is_table());
    let all = StepName::ALL.into_iter().filter(|step| has_table || *step != StepName::Drain);
    if moves.is_empty() { Vec::new() } else { all.collect() }
}

/// What the target that is least far holds.
fn least(targets: &[TargetProgress]) -> (u64, u64) {
    let least = |of: fn(&TargetProgress) -> u64| targets.iter().map(of).min().unwrap_or(0);
    (least(|target| target.tally.records), least(|target| target.tally.bytes))
}
