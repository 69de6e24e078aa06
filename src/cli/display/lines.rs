//! Progress as plain lines, for pipes and for those who ask to be told all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use crate::cli::{
    display::{
        scene::{Doing, Scene},
        texts::{at_once, begins, progress, warned},
    },
    render,
};
use migrate_core::{lifecycle::State, model::DatasetName, report::EventKind};

/// The time before the first line about the progress of a dataset. It doubles with each line: who waits for long looks
/// seldom.
const LINE_AFTER: Duration = Duration::from_secs(5);
/// The longest time between two of them.
const LINE_EVERY_MAX: Duration = Duration::from_secs(30);
/// Failed records that are shown as they come; the answer lists them again.
const FAILURES_TOLD: u64 = 10;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    all: bool,
    is_survey: bool,
    told: BTreeMap<DatasetName, Told>,
    failures: u64,
    phases: BTreeMap<String, Steps>,
}

/// What was told of the progress of one dataset.
#[derive(Debug)]
struct Told {
    at: Duration,
    /// How long after that the next line comes.
    pause: Duration,
    text: String,
}

impl Default for Told {
    fn default() -> Self {
        Self { at: Duration::ZERO, pause: LINE_AFTER, text: String::new() }
    }
}

/// What was told of the cutover of one phase.
#[derive(Debug, Default)]
struct Steps {
    /// The step under way, and what it does, by dataset.
    now: Option<(&'static str, BTreeMap<DatasetName, String>)>,
    reasons: BTreeSet<String>,
}

impl Lines {
    /// Nothing is told yet. With `all` everything is, and not only what a phase has come to; a survey's answer holds what
    /// its probes found.
    pub(super) fn new(all: bool, is_survey: bool) -> Self {
        Self { all, is_survey, ..Self::default() }
    }

    /// The lines for an event that was told at this time; `scene` has taken it already.
    pub(super) fn of(&mut self, told: &EventKind, at: Duration, scene: &Scene) -> Vec<String> {
        let mut lines: Vec<String> = self.kept(told).into_iter().collect();
        match told {
            EventKind::PhaseBegan { phase } => lines.push(format!("phase {phase}")),
            EventKind::DatasetState { dataset, state, .. } => {
                self.told.entry(dataset.clone()).or_default().at = at;
                lines.extend(self.state(dataset, state));
                lines.extend(self.steps_ended(dataset, scene));
            }
            EventKind::Follows { dataset, owed: 0, .. } => lines.push(format!("{dataset}: follows its source")),
            EventKind::Follows { dataset, owed, lag_s } => {
                let owed = render::count(*owed, "changed key", "changed keys");
                lines.push(format!("{dataset}: follows its source, {owed} behind, since {lag_s} s"));
            }
            EventKind::Made { dataset, target } => lines.push(format!("{dataset}: made the table {target}")),
            EventKind::BroughtOver { dataset, records } => {
                let records = render::count(*records, "record that was", "records that were");
                lines.push(format!("{dataset}: {records} written meanwhile brought over"));
            }
            EventKind::VerificationBegan { .. } => lines.extend(begins(told)),
            EventKind::Probed { location, proof, lacks } if self.all && !self.is_survey => {
                let lacks = if lacks.is_empty() { String::new() } else { format!("; lacks {}", lacks.join(", ")) };
                lines.push(format!("probed {location}: {}{lacks}", render::proof(*proof)));
            }
            EventKind::NeedsApproval { phase, .. } => lines.push(format!("phase {phase}: everything is proved")),
            EventKind::Approved { phase, by } => {
                lines.push(format!("phase {phase}: the cutover is approved by {by}"));
            }
            EventKind::CutoverStep { dataset, step, detail } => {
                lines.extend(self.step(dataset, step, detail, scene));
            }
            // A wait of a second is over before a person has read the line.
            EventKind::Waiting { dataset, reason, seconds } if *seconds > 1 => {
                let phase = phase_of(dataset, scene);
                let of_phase = self.phases.entry(phase.clone()).or_default();
                if of_phase.reasons.insert(reason.clone()) {
                    lines.push(format!("phase {phase}: waits up to {seconds} s for {reason}"));
                }
            }
            _ => lines.extend(self.progress(told, at)),
        }
        lines
    }

    /// The lines of an event that stay even above a live block.
    pub(super) fn kept(&mut self, told: &EventKind) -> Option<String> {
        match told {
            EventKind::RecordFailed { dataset, target, key, reason, .. } => {
                self.failures += 1;
                match self.failures {
                    ..=FAILURES_TOLD => Some(format!("{dataset}: failed: {key} ({target}): {reason}")),
                    failed if failed == FAILURES_TOLD + 1 => {
                        Some("more records failed; the answer counts them".to_owned())
                    }
                    _ => None,
                }
            }
            EventKind::LateWrites { dataset, site, records, .. } => Some(format!(
                "warning: {dataset}: {} written at {site} since its lead moved; the answer names them",
                render::count(*records, "record was", "records were")
            )),
            _ => warned(told),
        }
    }

    fn progress(&mut self, told: &EventKind, at: Duration) -> Option<String> {
        let (dataset, mut text) = progress(told)?;
        if self.all {
            text.extend(at_once(told).iter().map(|site| format!("; {}", site.line())));
        }
        let told = self.told.entry(dataset.clone()).or_default();
        if at.saturating_sub(told.at) < told.pause || told.text == text {
            return None;
        }
        let line = format!("{dataset}: {text}");
        *told = Told { at, pause: (told.pause * 2).min(LINE_EVERY_MAX), text };
        Some(line)
    }

    fn state(&self, dataset: &DatasetName, state: &State) -> Option<String> {
        let followed = state.of_followers();
        let is_last = matches!(followed, State::Verified { .. } | State::Different { .. } | State::Incomplete { .. });
        // The steps of a cutover tell these.
        let is_step = matches!(state, State::Switching { .. } | State::Switched { .. });
        (!is_step && (is_last || self.all)).then(|| {
            let following = if followed == state { "" } else { "what follows it is " };
            let compared = match followed {
                State::Verified { compared, .. } => {
                    format!(", {}", render::count(*compared, "comparison", "comparisons"))
                }
                _ => String::new(),
            };
            format!("{dataset}: {following}{}{compared}", followed.name())
        })
    }

    /// A step begins at one dataset of its phase: the one before it has ended at all of them.
    fn step(&mut self, dataset: &DatasetName, step: &'static str, detail: &str, scene: &Scene) -> Option<String> {
        let phase = phase_of(dataset, scene);
        let of_phase = self.phases.entry(phase.clone()).or_default();
        if let Some((_, details)) = of_phase.now.as_mut().filter(|(now, _)| *now == step) {
            details.insert(dataset.clone(), detail.to_owned());
            return None;
        }
        of_phase.reasons.clear();
        let ended = of_phase.now.replace((step, BTreeMap::from([(dataset.clone(), detail.to_owned())])));
        // A cutover that begins anew has taken its steps back.
        let ended = ended.filter(|(ended, _)| order(ended) < order(step));
        ended.map(|(step, details)| self.ended(&phase, step, &details))
    }

    /// The last step of a phase has ended once all its leads have moved.
    fn steps_ended(&mut self, dataset: &DatasetName, scene: &Scene) -> Option<String> {
        let phase = scene.phases.iter().find(|phase| phase.datasets.iter().any(|one| one.name == *dataset))?;
        let moves = phase.datasets.iter().filter(|one| one.moves.is_some());
        if phase.steps.is_empty() || !moves.into_iter().all(|one| one.doing == Doing::Moved) {
            return None;
        }
        let (step, details) = self.phases.get_mut(&phase.name)?.now.take()?;
        Some(self.ended(&phase.name, step, &details))
    }

    fn ended(&self, phase: &str, step: &str, details: &BTreeMap<DatasetName, String>) -> String {
        let mut text = format!("phase {phase}: {step} ✔");
        if self.all {
            let mut by_detail: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (dataset, detail) in details {
                by_detail.entry(detail).or_default().push(dataset.as_str());
            }
            for (detail, datasets) in by_detail {
                let _ = write!(text, "\n  {}: {detail}", datasets.join(", "));
            }
        }
        text
    }
}

fn order(step: &str) -> usize {
    migrate_core::lifecycle::StepName::ALL.iter().position(|known| known.as_str() == step).unwrap_or(0)
}

fn phase_of(dataset: &DatasetName, scene: &Scene) -> String {
    let holds = |datasets: &[super::scene::DatasetScene]| datasets.iter().any(|one| one.name == *dataset);
    scene.phases.iter().find(|phase| holds(&phase.datasets)).map_or_else(|| dataset.to_string(), |one| one.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::display::recorded;
    use migrate_core::report::WhyAtOnce;

    fn told(all: bool) -> Vec<String> {
        let plan = recorded::plan();
        let mut scene = Scene::of(&plan, &["run"], migrate_core::lifecycle::Goal::CutOver, plan.datasets());
        let mut lines = Lines::new(all, false);
        let mut told = Vec::new();
        for (at, event) in recorded::events() {
            let at = Duration::from_millis(at);
            scene.take(&event, at);
            told.extend(lines.of(&event, at, &scene));
        }
        told
    }

    #[test]
    fn a_step_is_told_once_a_phase_when_it_has_ended() {
        let told = told(false);
        let steps: Vec<_> = told.iter().filter(|line| line.contains('✔')).collect();
        let phase = "phase accounts-and-messaging";
        assert_eq!(steps, [&format!("{phase}: gate ✔"), &format!("{phase}: quiet ✔"), &format!("{phase}: drain ✔")]);
        assert!(told.contains(&"storefront: verified, 618 comparisons".to_owned()), "{told:#?}");
        assert!(!told.iter().any(|line| line.ends_with(": copying")), "{told:#?}");
    }

    #[test]
    fn long_work_is_told_seldom_and_only_what_changed() {
        let plan = recorded::plan();
        let scene = Scene::of(&plan, &["run"], migrate_core::lifecycle::Goal::CutOver, plan.datasets());
        let mut lines = Lines::new(false, false);
        let mut told_at = Vec::new();
        for second in 0..=200 {
            // Nothing moves for a while.
            let done = if (100..160).contains(&second) { 100 } else { second };
            let event = recorded::copying("storefront", done, 1_000, 0, None);
            if !lines.of(&event, Duration::from_secs(second), &scene).is_empty() {
                told_at.push(second);
            }
        }
        assert_eq!(told_at, [5, 15, 35, 65, 95, 125, 160, 190]);
    }

    #[test]
    fn requests_at_once_are_told_to_who_wants_all() {
        let plan = recorded::plan();
        let scene = Scene::of(&plan, &["run"], migrate_core::lifecycle::Goal::CutOver, plan.datasets());
        let mut event = recorded::copying("storefront", 5, 10, 0, None);
        if let EventKind::Progress { requests_at_once, .. } = &mut event {
            *requests_at_once = recorded::at_once(&[("aws", 128, WhyAtOnce::Growing), ("disk", 32, WhyAtOnce::Fixed)]);
        }
        let told = |all| Lines::new(all, false).of(&event, Duration::from_secs(9), &scene).concat();
        assert!(!told(false).contains("at once"), "{}", told(false));
        let line = told(true);
        assert!(line.ends_with("; aws: 128 requests at once, growing; disk: 32 requests at once, fixed"), "{line}");
    }

    #[test]
    fn who_wants_all_is_told_all() {
        let told = told(true);
        assert!(told.contains(&"storefront: copying".to_owned()), "{told:#?}");
        assert!(told.iter().any(|line| line.contains("gate ✔\n  accounts, messages: ")), "{told:#?}");
    }
}
