//! What completes a word of a command line: names that the plan has.

use clap::ValueEnum;
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use super::plan_file::PlanFile;
use migrate_core::plan::{self, Plan};

/// A shell that can ask.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    /// The Bourne again shell
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

/// The names of the plan's datasets.
pub(super) fn datasets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(|plan| plan.datasets().map(|dataset| dataset.name.to_string()).collect()))
}

/// The names of the plan's phases.
pub(super) fn phases() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(names_of_phases))
}

/// The same, and the word for all of them.
pub(super) fn approvals() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(|plan| names_of_phases(plan).into_iter().chain(["all".to_owned()]).collect()))
}

fn names_of_phases(plan: &Plan) -> Vec<String> {
    plan.phases.iter().map(|phase| phase.name.to_string()).collect()
}

fn candidates(names: fn(&Plan) -> Vec<String>) -> Vec<CompletionCandidate> {
    // The words of the command line that is being completed.
    let words = std::env::args_os().skip(1).map(|word| PlanFile::of(Some(word.into())));
    let mut plans = words.chain([PlanFile::default()]).filter_map(|plan| {
        let origin = plan.origin().ok()?;
        origin.file()?.is_file().then_some(())?;
        plan::parse(&origin.read().ok()?, origin.path()).ok()
    });
    plans.next().map_or_else(Vec::new, |plan| names(&plan).into_iter().map(CompletionCandidate::new).collect())
}
