//! A run as it was typed, and as it is typed again.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    args::{RunArgs, Until},
    display::{Notes, Seen},
    error::Failure,
    session::Session,
};
use migrate_core::{
    model::{DatasetName, PhaseName},
    report::RunWork,
};
use migrate_engine::{Clock, RunOptions, RunOutcome, standing::PhaseStanding};

/// The most failed records that the answer lists.
pub(super) const FAILURES_SHOWN: usize = 10;

/// The words that select phases and datasets.
pub(super) fn selection(args: &RunArgs) -> Vec<&str> {
    let phases = args.phases.iter().flat_map(|name| ["--phase", name]);
    phases.chain(args.datasets.iter().flat_map(|name| ["--dataset", name])).collect()
}

/// The same command again, without the approvals that were withdrawn meanwhile.
pub(super) fn again(session: &Session, args: &RunArgs, withdrawn: &BTreeSet<PhaseName>) -> String {
    let mut more = selection(args);
    match args.until {
        None => {}
        Some(Until::Copied) => more.extend(["--until", "copied"]),
        Some(Until::Verified) => more.extend(["--until", "verified"]),
        Some(Until::Cutover) => more.extend(["--until", "cutover"]),
    }
    let is_withdrawn = |approved: &str| withdrawn.iter().any(|phase| approved == "all" || approved == phase.as_str());
    let approved = args.approve.iter().filter(|approved| !is_withdrawn(approved));
    more.extend(approved.flat_map(|phase| ["--approve", phase]));
    if args.force {
        more.push("--force");
    }
    if args.follow {
        more.push("--follow");
    }
    if args.json {
        more.push("--json");
    }
    session.command("run", &more)
}

/// One run.
pub(super) struct Running<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a RunArgs,
    /// Gives the time of every event of the command.
    pub(super) clock: Clock,
    pub(super) options: RunOptions,
    /// The same command again.
    pub(super) again: String,
    /// What is done, in words for the head of the display.
    pub(super) action: Vec<String>,
    /// What else the display tells of a dataset.
    pub(super) notes: Option<Notes>,
}

/// The result of a run, before it is shown.
pub(super) struct Worked {
    pub(super) outcome: RunOutcome,
    /// Where everything stood before and stands now.
    pub(super) before: Vec<PhaseStanding>,
    pub(super) after: Vec<PhaseStanding>,
    pub(super) seen: BTreeMap<DatasetName, Seen>,
    /// What it has done.
    pub(super) work: RunWork,
    /// Whether the ledger closed without an error.
    pub(super) closed: Result<(), Failure>,
}
