//! What is next: the one place that decides it, for every command and every way in which one ends.
//!
//! A command says in which [`Situation`] it has ended, and `advise` says what follows. The tests hold three
//! rules:
//!
//! - The next command leads forward: no chain of them comes back to where it was.
//! - If the same command would only fail again, the answer first names what to correct.
//! - If nothing is left to do, the answer says so and names no command.

use std::{borrow::Cow, path::Path};

use super::next::Next;
use super::{
    error::{Code, Failure},
    plan_file::Origin,
    session::{self, Session},
    term,
};
use migrate_engine::{
    EngineError, WaitsFor,
    cutover::NOTHING_COMPARED,
    standing::{DatasetStanding, PhaseStanding},
};

/// How a command has ended, or where a migration stands, as far as it decides what is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Situation<'a> {
    /// Nothing stands in the plan's way.
    Runnable,
    /// The same, and what was seen is kept in this file.
    Saved(&'a Path),
    /// A look at both sides found nothing to copy, prove or move.
    NothingToDo,
    /// Something stands in the plan's way, and the answer names it.
    Blocked,
    /// A saved plan is stale; with the words that save it anew.
    Stale(Vec<&'a str>),
    /// The plan file is right.
    Checked,
    /// The plan asks for more than this build can carry out.
    Unsupported,
    /// The same, but only for its cutovers; with the command and its words up to them.
    UnsupportedCutover(&'static str, Vec<&'a str>),
    /// The given phases and datasets have nothing in common.
    NothingSelected,
    /// A rehearsal has ended.
    Rehearsed,
    /// The command was stopped, and the same one goes on.
    Stopped(&'a str),
    /// The command broke off; once the cause that the failure names is corrected, the same one goes on.
    BrokeOff(&'a str),
    /// Another process drives the migration.
    Driven,
    /// The command is done, and `status` shows the change.
    Changed,
    /// An impossible limit.
    WrongLimit,
    /// Nothing has begun that could be given up, or of which there is a history.
    NotBegun,
    /// Nothing is known of the record that was named.
    UnknownRecord,
    /// Objects would be deleted, and no person has confirmed it; with the command that does.
    Unconfirmed(&'a str),
    /// A run has something to do: for these datasets only, or for all if none is named.
    Unfinished(Vec<&'a str>),
    /// Everything selected is copied and not proved yet; with the selection.
    Copied(Vec<&'a str>),
    /// Only an approval is missing; with the selection, and the phase.
    NeedsApproval(Vec<&'a str>, &'a str),
    /// A cutover was asked for of a phase that is not proved.
    NotProved(&'a str),
    /// Every step of a phase's cutover was checked.
    StepsChecked(&'a str),
    /// The old lead is still written to, so its phase cannot be cut over; with the same command.
    NotAtRest(&'a str),
    /// A dataset means something else than when it began.
    MeaningChanged,
    /// Another migration drives this dataset, by its route.
    DrivenElsewhere(&'a str),
    /// More would be deleted than the plan allows.
    DeletesTooMuch,
    /// Records failed or could not be read; with the same command, if that is what tries them again.
    RecordsFailed(Option<&'a str>),
    /// Targets are down; with the same command, if that is what goes on with them.
    TargetsDown(Option<&'a str>),
    /// Records differ; with the words of the verification.
    Differs(Vec<&'a str>),
    /// The level of the verification cannot decide about some records; with the datasets.
    Undecided(Vec<&'a str>),
    /// Records still differ after they were copied again.
    StillDiffers,
    /// A run has copied and proved everything.
    Proved,
    /// Everything is done.
    Done,
    /// The lead has moved, and places that follow it lack what was written there since.
    Behind,
    /// The lead has moved, and the old one, which does not follow it, lacks what was written there since.
    LeftBehind,
    /// Nothing was there to compare, and the plan does not accept that.
    NothingCompared,
    /// Only targets have what differs, and a foreign writer wrote it there: neither a pass nor a repair removes it.
    OnlyStrays,
    /// Records were written at the old lead too late to be brought over.
    Late,
    /// The same, and the answer has listed them.
    LateListed,
    /// The datasets were given up.
    GivenUp,
}

/// What follows from a situation, still without the plan's file and state in its command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Advice<'a> {
    mend: Option<&'static str>,
    then: Then<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Then<'a> {
    /// This command on the plan, with these words after it; `run` on the saved plan if there is one.
    Type(&'static str, Vec<&'a str>),
    /// A run of everything, as far as this build can take it.
    RunAll,
    /// The same, with this file in place of the plan's.
    RunAllOf(&'a Path),
    /// A command as it was typed before.
    Same(Cow<'a, str>),
    Nothing(Option<&'static str>),
}

/// A plan that came from standard input is gone with it.
const KEEP_IT: &str = "give the next command the same plan on standard input, or keep it in a file";
const OWN_PLAN: &str = "this was the plan that comes with migrate; the next one is yours";
const LOOK_AGAIN: &str = "change what is named above; look again before you run";
const NAME_RECORD: &str = "write the key as other answers print it; what no run has looked at yet is not known";
const LET_REST: &str = "let nothing write at the old lead until the lead has moved";
const PUT_BACK: &str = "put back what the plan said, or give the dataset another name to begin it anew; if another plan \
                        of the same name began it here, rename one of the two plans";
const LEAVE_IT: &str = "let the migration that is named go on; make sure that it has stopped for good before you use the \
                        command below";
const LOOK_AT_SOURCE: &str = "look at the place that leads, and bring back what must not be gone; if the deletions are right, add \
                              --force to the command below";
const MEND_RECORDS: &str =
    "correct the cause that each failed record is listed with: at the source, at the target or in the plan";
const MEND_TARGETS: &str = "correct the cause that each target that is down is named with: the run then goes on with these \
                            targets alone";
const SEE_WHAT_DIFFERS: &str = "copying did not make them equal: look at how each differs; what a target cannot hold needs \
                                another target, or `waive`";
const LOOK_AT_STRAYS: &str = "look at what is extra at the target, as `migrate verify` lists it: migrate cannot tell whose \
                              it is, and leaves it there; do as its line says, move it away, or put it back at the lead";
const CARRY_OVER: &str = "carry over to the new lead by hand what is named LATE, if it is newer than what is there; a run \
                          settles what both leads hold alike";
const DECIDE: &str =
    "carry over by hand what the new lead is to hold, and run again; then resolve the rest by key, or with --all";

/// The table: what follows from each situation. `stops_short` says that this build cannot carry out the
/// plan's cutovers.
#[expect(clippy::match_same_arms, reason = "a table has a line for each situation")]
fn advise<'a>(situation: &Situation<'a>, stops_short: bool) -> Advice<'a> {
    use Situation as S;
    use Then::{Nothing, RunAll, RunAllOf, Same, Type};
    let with = |words: &[&'a str], more: &[&'a str]| [words, more].concat();
    let (mend, then) = match situation {
        S::Runnable => (None, RunAll),
        S::Saved(file) => (None, RunAllOf(file)),
        S::NothingToDo => (None, Nothing(None)),
        S::Blocked => (Some(LOOK_AGAIN), Type("plan", vec![])),
        S::Stale(words) => (None, Type("plan", words.clone())),
        S::Checked if stops_short => (None, Type("rehearse", vec!["--until", "verified"])),
        S::Checked => (None, Type("rehearse", vec![])),
        S::Unsupported => (Some("take what is named out of the plan"), Type("plan", vec![])),
        S::UnsupportedCutover(verb, words) => (None, Type(verb, with(words, &["--until", "verified"]))),
        S::NothingSelected => (Some("leave out --phase or --dataset"), Type("status", vec![])),
        S::Rehearsed => (None, Type("plan", vec![])),
        S::Stopped(again) => (None, Same((*again).into())),
        S::BrokeOff(again) => (Some("correct what the message names"), Same((*again).into())),
        S::Driven => (None, Type("status", vec!["--watch"])),
        S::Changed => (None, Type("status", vec![])),
        S::WrongLimit => (None, Type("limits", vec![])),
        S::NotBegun => (None, Type("plan", vec![])),
        S::UnknownRecord => (Some(NAME_RECORD), Type("plan", vec!["--list"])),
        S::Unconfirmed(typed) => (
            Some("make sure that no one needs these objects; the command below deletes them for good"),
            Same(format!("{typed} --yes").into()),
        ),
        S::Unfinished(only) if only.is_empty() => (None, RunAll),
        S::Unfinished(only) => {
            let words = only.iter().flat_map(|name| ["--dataset", name]).collect::<Vec<_>>();
            (None, Type("run", if stops_short { with(&words, &["--until", "verified"]) } else { words }))
        }
        S::Copied(words) if stops_short => (None, Type("run", with(words, &["--until", "verified"]))),
        S::Copied(words) => (None, Type("run", words.clone())),
        S::NeedsApproval(words, phase) => (None, Type("run", with(words, &["--approve", phase]))),
        S::NotProved(phase) => (None, Type("run", vec!["--phase", phase])),
        S::StepsChecked(phase) => (None, Type("cutover", vec!["--phase", phase])),
        S::NotAtRest(again) => (Some(LET_REST), Same((*again).into())),
        S::MeaningChanged => (Some(PUT_BACK), Type("plan", vec![])),
        S::DrivenElsewhere(dataset) => (Some(LEAVE_IT), Type("run", vec!["--take-over", dataset])),
        S::DeletesTooMuch => (Some(LOOK_AT_SOURCE), RunAll),
        S::RecordsFailed(None) => (Some(MEND_RECORDS), RunAll),
        S::RecordsFailed(Some(again)) => (Some(MEND_RECORDS), Same((*again).into())),
        S::TargetsDown(None) => (Some(MEND_TARGETS), RunAll),
        S::TargetsDown(Some(again)) => (Some(MEND_TARGETS), Same((*again).into())),
        S::Differs(words) => (None, Type("verify", with(words, &["--repair"]))),
        S::Undecided(words) => (None, Type("verify", with(words, &["--level", "checksum"]))),
        S::StillDiffers => (Some(SEE_WHAT_DIFFERS), RunAll),
        S::Proved => (None, Type("verify", vec![])),
        S::Done => (None, Nothing(None)),
        S::Behind => (None, RunAll),
        S::LeftBehind => (None, Nothing(Some("the old lead stays as it was when the lead moved"))),
        S::NothingCompared => (Some(NOTHING_COMPARED), Type("plan", vec![])),
        S::OnlyStrays => (Some(LOOK_AT_STRAYS), RunAll),
        S::Late => (Some(CARRY_OVER), Type("resolve", vec![])),
        S::LateListed => (Some(DECIDE), Type("resolve", vec!["--all"])),
        S::GivenUp => (None, Nothing(Some("it was given up, and a run would begin it anew"))),
    };
    Advice { mend, then }
}

impl<'a> Situation<'a> {
    /// The situation of a migration that no process drives at the moment.
    pub(super) fn of_standing(phases: &'a [PhaseStanding]) -> Self {
        let all = || phases.iter().flat_map(|phase| &phase.datasets);
        let waits = |holds: &dyn Fn(&WaitsFor) -> bool| all().any(|one| one.waits_for.as_ref().is_some_and(holds));
        let given_up = waits(&|waits| matches!(waits, WaitsFor::Anew));
        if waits(&|waits| matches!(waits, WaitsFor::Meaning(_))) {
            return Self::MeaningChanged;
        }
        if waits(&|waits| waits.for_a_run()) {
            // A run of what was given up would bring it back.
            let only = all().filter(|one| given_up && !matches!(one.waits_for, Some(WaitsFor::Anew) | None));
            return Self::Unfinished(only.map(|one| one.name.as_str()).collect());
        }
        if waits(&|waits| matches!(waits, WaitsFor::DeleteShare { .. })) {
            return Self::DeletesTooMuch;
        }
        if waits(&|waits| matches!(waits, WaitsFor::Targets(_))) {
            return Self::TargetsDown(None);
        }
        if waits(&|waits| matches!(waits, WaitsFor::Failed(_) | WaitsFor::Differences { differences: 0, .. })) {
            return Self::RecordsFailed(None);
        }
        if waits(&|waits| matches!(waits, WaitsFor::Differences { differences, strays, .. } if differences > strays)) {
            return Self::Differs(Vec::new());
        }
        if waits(&|waits| matches!(waits, WaitsFor::Differences { .. })) {
            return Self::OnlyStrays;
        }
        if waits(&|waits| matches!(waits, WaitsFor::Proof)) {
            return Self::NothingCompared;
        }
        // As a run does it: late writes are settled before any other lead moves.
        if all().any(|one| one.late_writes > 0) {
            return Self::Late;
        }
        if let Some(phase) = all().find_map(|one| match &one.waits_for {
            Some(WaitsFor::Approval(phase)) => Some(phase),
            _ => None,
        }) {
            return Self::NeedsApproval(Vec::new(), phase.as_str());
        }
        match () {
            () if given_up => Self::GivenUp,
            () if all().all(DatasetStanding::is_done) => Self::Done,
            () => Self::Unfinished(Vec::new()),
        }
    }

    /// The situation after an error that blocks: trying again changes nothing.
    pub(super) fn of_block(error: &'a EngineError) -> Self {
        match error {
            EngineError::MeaningChanged { .. } => Self::MeaningChanged,
            EngineError::DeleteShare { .. } => Self::DeletesTooMuch,
            EngineError::Driven { dataset, .. } => Self::DrivenElsewhere(dataset.as_str()),
            EngineError::Unsupported { .. } => Self::Unsupported,
            EngineError::GivenUp { .. } => Self::GivenUp,
            _ => Self::Blocked,
        }
    }
}

impl Session {
    /// What is next.
    pub(super) fn next(&self, situation: &Situation<'_>) -> Next {
        if *self.origin() == Origin::Shipped && *situation == Situation::Rehearsed {
            return Next::Command { mend: Some(OWN_PLAN.to_owned()), command: "migrate init --help".to_owned() };
        }
        let Advice { mend, then } = advise(situation, self.cannot_cut_over());
        let is_same = matches!(then, Then::Same(_));
        let mend = mend.or(self.is_homeless().then_some(KEEP_IT).filter(|_| !is_same));
        let command = match then {
            Then::Type(verb, more) => self.command(verb, &more),
            Then::RunAll => self.run_command(),
            Then::RunAllOf(file) => self.run_command_on(file),
            Then::Same(typed) => typed.into_owned(),
            Then::Nothing(why) => return Next::Nothing(why.map(str::to_owned)),
        };
        Next::Command { mend: mend.map(str::to_owned), command }
    }
}

/// Adds the command that goes on after a failure, as the exit code promises.
pub(super) fn completed(failure: Failure) -> Failure {
    if failure.code != Code::Incomplete {
        return failure;
    }
    let typed = session::typed();
    let Advice { mend, .. } = advise(&Situation::BrokeOff(&typed), false);
    failure.then(Next::Command { mend: mend.map(str::to_owned), command: typed })
}

/// Answers with a document if a command that answers with JSON failed; returns the failure.
pub(super) fn documented(failure: Failure, json: bool) -> Failure {
    let failure = completed(failure);
    if json {
        term::answer_json(&failure.to_json());
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: &str = "migrate again";

    /// Every situation, with the command that ends in it, whether a mend must follow, and the words of the
    /// next command.
    fn table() -> Vec<(Situation<'static>, &'static str, bool, Option<&'static str>)> {
        use Situation as S;
        let saved = Path::new("saved.json");
        vec![
            (S::Runnable, "plan", false, Some("run everything")),
            (S::Saved(saved), "plan", false, Some("run everything of saved.json")),
            (S::NothingToDo, "plan", false, None),
            (S::Blocked, "plan", true, Some("plan")),
            (S::Stale(vec!["--out", "saved.json"]), "run", false, Some("plan --out saved.json")),
            (S::Checked, "check", false, Some("rehearse")),
            (S::Unsupported, "run", true, Some("plan")),
            (S::UnsupportedCutover("run", vec![]), "run", false, Some("run --until verified")),
            (S::NothingSelected, "run", true, Some("status")),
            (S::Rehearsed, "rehearse", false, Some("plan")),
            (S::Stopped(AGAIN), "run", false, Some(AGAIN)),
            (S::BrokeOff(AGAIN), "run", true, Some(AGAIN)),
            (S::Driven, "status", false, Some("status --watch")),
            (S::Changed, "abort", false, Some("status")),
            (S::WrongLimit, "limits dc speed=1", false, Some("limits")),
            (S::NotBegun, "abort", false, Some("plan")),
            (S::UnknownRecord, "show", true, Some("plan --list")),
            (S::Unconfirmed("migrate abort --discard"), "abort", true, Some("migrate abort --discard --yes")),
            (S::Unfinished(vec![]), "status", false, Some("run everything")),
            (S::Unfinished(vec!["a", "b"]), "status", false, Some("run --dataset a --dataset b")),
            (S::Copied(vec!["--phase", "p"]), "run --until copied", false, Some("run --phase p")),
            (S::NeedsApproval(vec![], "p"), "run", false, Some("run --approve p")),
            (S::NotProved("p"), "cutover --phase p", false, Some("run --phase p")),
            (S::StepsChecked("p"), "cutover --phase p --dry-run", false, Some("cutover --phase p")),
            (S::NotAtRest(AGAIN), "run --approve p", true, Some(AGAIN)),
            (S::MeaningChanged, "run", true, Some("plan")),
            (S::DrivenElsewhere("d"), "run", true, Some("run --take-over d")),
            (S::DeletesTooMuch, "run", true, Some("run everything")),
            (S::RecordsFailed(Some(AGAIN)), "run", true, Some(AGAIN)),
            (S::RecordsFailed(None), "status", true, Some("run everything")),
            (S::TargetsDown(Some(AGAIN)), "run", true, Some(AGAIN)),
            (S::TargetsDown(None), "status", true, Some("run everything")),
            (S::Differs(vec!["--level", "bytes"]), "verify", false, Some("verify --level bytes --repair")),
            (S::Undecided(vec![]), "verify --level listing", false, Some("verify --level checksum")),
            (S::StillDiffers, "verify --repair", true, Some("run everything")),
            (S::Proved, "run", false, Some("verify")),
            (S::Done, "verify", false, None),
            (S::Behind, "verify", false, Some("run everything")),
            (S::LeftBehind, "verify", false, None),
            (S::NothingCompared, "verify", true, Some("plan")),
            (S::OnlyStrays, "run", true, Some("run everything")),
            (S::Late, "run", true, Some("resolve")),
            (S::LateListed, "resolve", true, Some("resolve --all")),
            (S::GivenUp, "status", false, None),
        ]
    }

    fn words(then: &Then<'_>) -> Option<String> {
        match then {
            Then::Type(verb, more) => Some([&[*verb], more.as_slice()].concat().join(" ")),
            Then::RunAll => Some("run everything".to_owned()),
            Then::RunAllOf(file) => Some(format!("run everything of {}", file.display())),
            Then::Same(typed) => Some(typed.clone().into_owned()),
            Then::Nothing(_) => None,
        }
    }

    #[test]
    fn each_situation_leads_where_the_table_says() {
        for (situation, _, mends, next) in table() {
            let advice = advise(&situation, false);
            assert_eq!(advice.mend.is_some(), mends, "{situation:?}");
            assert_eq!(words(&advice.then).as_deref(), next, "{situation:?}");
        }
    }

    /// The same command would end as it did, unless something was corrected or the command was only stopped.
    #[test]
    fn no_command_names_itself_without_a_mend() {
        for (situation, typed, ..) in table() {
            let advice = advise(&situation, false);
            let same = match &advice.then {
                Then::Same(_) => !matches!(situation, Situation::Stopped(_)),
                then => words(then).as_deref() == Some(typed),
            };
            assert!(!same || advice.mend.is_some(), "{situation:?} after {typed}");
        }
    }

    #[test]
    fn no_advice_goes_to_a_cutover_that_is_not_built() {
        for situation in [Situation::Checked, Situation::Copied(vec![]), Situation::Unfinished(vec!["a"])] {
            let next = words(&advise(&situation, true).then).unwrap();
            assert!(next.ends_with("--until verified"), "{next}");
        }
    }

    #[test]
    fn a_failure_that_can_be_mended_names_the_command_that_goes_on() {
        let failure = completed(Failure::new(Code::Incomplete, "the endpoint did not answer"));
        assert!(failure.to_text().contains("\nhelp: correct what the message names\nnext: "), "{}", failure.to_text());
        let failure = completed(Failure::new(Code::Wrong, "no such plan").mended_by("name another"));
        assert!(!failure.to_text().contains("next: "), "the same command line stays wrong");
    }
}
