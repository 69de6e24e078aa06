//! `migrate verify`: proves that every target equals its source, or lists what differs.

use std::{error::Error as _, fmt::Write as _, sync::Arc};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::{
    access,
    advise::Situation,
    advise::documented,
    args::Global,
    complete,
    display::{self, Scene, Show},
    error::{Code, Failure},
    interrupt,
    next::Next,
    plan_file::PlanFile,
    record::Recorder,
    render::{self, Grouped},
    session::{self, Session},
    state::VerificationLock,
    term,
};
use migrate_core::{
    lifecycle::Goal,
    model::{Counted, DatasetName, Timestamp},
    plan::{Dataset, Level, policy},
    report::RunWork,
};
use migrate_engine::{
    self as engine, Clock, EngineError, Found, Inspection, Migration, Shutdown, Sink, Verification, VerifyOptions,
    cutover::NOTHING_COMPARED, standing::PhaseStanding,
};
use migrate_ledger::{Ledger, LedgerError};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate verify plans/quickstart.toml
  migrate verify plan.toml --level bytes --dataset catalog
  migrate verify plan.toml --repair        # copy again exactly what differs")]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Only this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    datasets: Vec<String>,
    /// How thoroughly to look; without it, as the plan says
    #[arg(long, value_name = "LEVEL")]
    level: Option<LevelArg>,
    /// Copy again exactly what is missing or different, and verify once more; deletes nothing
    #[arg(long)]
    repair: bool,
    /// Look at everything, even if an earlier verification was stopped on its way
    #[arg(long)]
    anew: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// How thoroughly a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LevelArg {
    /// Two listings against what was recorded; no object is read
    Listing,
    /// A look at every object on both sides: stored checksums and properties
    Checksum,
    /// Every byte on both sides
    Bytes,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Listing => Level::Listing,
            LevelArg::Checksum => Level::Checksum,
            LevelArg::Bytes => Level::Bytes,
        }
    }
}

pub(in crate::cli) fn verify(args: &VerifyArgs, global: &Global) -> Result<Code, Failure> {
    verified(args, global).map_err(|failure| documented(failure, args.json))
}

/// The result of a verification: the document of `--json`.
#[derive(Debug, Serialize)]
struct Answer {
    equal: bool,
    /// `listing`, `checksum`, `bytes`, or `mixed` if the plan asks for different ones.
    level: &'static str,
    /// Everything was looked at.
    complete: bool,
    /// It was stopped before its end: it claims nothing about what it did not compare.
    stopped: bool,
    /// Records that were copied, or in a table deleted, again; `None` without `--repair`, or if their number is unknown.
    repaired: Option<u64>,
    datasets: Vec<Row>,
    /// Selected datasets that it did not begin, since it was stopped before.
    not_looked_at: Vec<DatasetName>,
    /// Datasets that were given up.
    #[serde(skip)]
    given_up: Vec<DatasetName>,
    #[serde(flatten)]
    next: Next,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    found: Found,
    equal: bool,
    /// The whole dataset was looked at.
    complete: bool,
    level: &'static str,
    /// When it began, if an earlier process began it.
    since: Option<Timestamp>,
    /// Nothing was there to compare, and the plan does not accept that.
    #[serde(skip)]
    empty: bool,
    /// Whether a run makes this place follow its lead; `None` while that has not moved.
    #[serde(skip)]
    follows: Option<bool>,
}

/// The outcome of a verification.
struct Looked {
    verifications: Vec<Verification>,
    /// Records that were copied, or in a table deleted, again; `None` without `--repair`, or if requests were dropped meanwhile.
    repaired: Option<u64>,
    /// Where everything stands now, by the ledger.
    standing: Vec<PhaseStanding>,
}

fn verified(args: &VerifyArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = VerifyOptions {
        datasets: session.datasets(&args.datasets)?,
        level: args.level.map(Into::into),
        limits: engine::InFlightMax::default(),
        progress: None,
        anew: args.anew,
    };
    let show = if session.quiet || args.json { Show::Quiet } else { Show::Progress { all: session.verbose } };
    let looked = access::block_on(&session, &options.datasets, look(&session, &options, args.repair, show))?;
    let answer = Answer::new(&session, &options, looked);
    if args.json {
        term::answer_json(&answer);
    } else {
        term::answer(&answer.text());
    }
    Ok(answer.code())
}

async fn look(session: &Session, options: &VerifyOptions, repair: bool, show: Show) -> Result<Looked, Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let clock = Clock::start();
    let (sink, events) = Sink::new(clock.clone());
    let _lock = if repair {
        session.state.prepare()?;
        Some(session.state.lock(&session::typed())?)
    } else {
        None
    };
    let (plan, sites) = (&session.plan, &session::sites());
    let failed = |error: EngineError| {
        let failure = Failure::engine(&error, session.redactor);
        if error.is_blocking() { failure.then(session.next(&Situation::of_block(&error))) } else { failure }
    };
    let display = display::show(events, show, session.redactor, scene(session, options), None, clock);
    // Stopped twice: requests were dropped, and the answer knows nothing of what was compared.
    let dropped = |error: &EngineError| matches!(error, EngineError::Cancelled);
    let (verifications, repaired) = if repair {
        let ledger = Arc::new(session.ledger_to_write()?);
        let recorder = Recorder::begin(&ledger, session::typed()).await.map_err(|error| Failure::ledger(&error))?;
        let migration = Migration { plan, sites, ledger: Arc::clone(&ledger), sink, shutdown: shutdown.clone() };
        let done = migration.repair(options).await;
        drop(migration);
        let kept = recorder.end(repaired(&done, &shutdown), mended(&done)).await;
        let closed = session::close(ledger).await.and(kept.map_err(|error| Failure::ledger(&error)));
        let done = match done {
            Ok((verifications, mended)) => (verifications, Some(mended)),
            Err(error) if dropped(&error) => (Vec::new(), None),
            Err(error) => return Err(failed(error)),
        };
        closed?;
        done
    } else {
        let (_kept, progress) = keep(session, show).unzip();
        let options = VerifyOptions { progress, ..options.clone() };
        let ledger = session.ledger_to_read()?.map(Arc::new);
        match (Inspection { plan, sites, ledger, sink, shutdown }).verify(&options).await {
            Err(error) if dropped(&error) => (Vec::new(), None),
            done => (done.map_err(failed)?, None),
        }
    };
    let _seen = display.await;
    let ledger = session.ledger_to_read()?;
    let standing = session.standing(ledger.as_ref(), session.goal(), 0).await.map_err(failed)?;
    Ok(Looked { verifications, repaired, standing })
}

/// A verification before its first event.
fn scene(session: &Session, options: &VerifyOptions) -> Scene {
    let asked = engine::asked(&session.plan, &[], &options.datasets);
    Scene::of(&session.plan, &["verify"], Goal::Verified, asked)
}

/// How a repair has ended, in a word, as `migrate history` shows it.
fn repaired(done: &Result<(Vec<Verification>, u64), EngineError>, shutdown: &Shutdown) -> &'static str {
    match done {
        Ok(_) if shutdown.is_draining() => "interrupted",
        Ok((verifications, _)) if verifications.iter().all(|one| one.verified.is_some()) => "complete",
        Ok(_) => "different",
        Err(EngineError::Cancelled) => "interrupted",
        Err(error) if error.is_blocking() => "blocked",
        Err(_) => "failed",
    }
}

/// What a repair has done: it counts the records that it copies, and not their bytes.
fn mended(done: &Result<(Vec<Verification>, u64), EngineError>) -> RunWork {
    let Ok((verifications, mended)) = done else { return RunWork::default() };
    let compared = verifications.iter().flat_map(|one| &one.targets).map(|found| found.counts.compared).sum();
    RunWork { copied: *mended, compared, ..RunWork::default() }
}

/// The file in which a verification keeps how far it is, and the right to it. `None` if it cannot be had: such a
/// verification works as well, and begins anew after a stop.
fn keep(session: &Session, show: Show) -> Option<(VerificationLock, Arc<Ledger>)> {
    let kept = || {
        if !session.state.is_there() {
            return Err("nothing of this migration has begun, so it has no state directory".to_owned());
        }
        session.state.prepare().map_err(|failure| failure.message)?;
        let lock = session.state.lock_verification()?;
        let path = session.state.verification();
        let open = || Ledger::open(&path, &session.plan.name);
        let file = match open() {
            // It holds nothing but what a verification has seen: another build's, or a damaged one, is begun anew.
            Err(LedgerError::Older { .. } | LedgerError::Newer { .. } | LedgerError::Corrupt { .. }) => {
                session.state.forget_verification().map_err(|error| format!("{}: {error}", path.display()))?;
                open()
            }
            opened => opened,
        };
        let failed = |error: LedgerError| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Ok((lock, Arc::new(file.map_err(failed)?)))
    };
    match kept() {
        Ok(kept) => Some(kept),
        Err(why) => {
            if matches!(show, Show::Progress { .. }) {
                term::tell(&format!("note: if this verification is stopped, it cannot go on later: {why}"));
            }
            None
        }
    }
}

impl Answer {
    fn new(session: &Session, options: &VerifyOptions, looked: Looked) -> Self {
        let Looked { verifications, repaired, standing } = looked;
        let asked: Vec<&Dataset> = engine::asked(&session.plan, &[], &options.datasets).collect();
        // A stop between two datasets leaves the rest unseen.
        let not_looked_at: Vec<_> =
            asked.iter().skip(verifications.len()).map(|dataset| dataset.name.clone()).collect();
        let stopped = !not_looked_at.is_empty() || verifications.iter().any(|one| one.interrupted);
        let equal = !stopped && verifications.iter().all(|one| one.verified.is_some());
        let level_of = |dataset: &Dataset| options.level.unwrap_or(dataset.verify).as_str();
        let mut rows = Vec::new();
        for (dataset, verification) in asked.iter().zip(verifications) {
            let (unseen, since, level) = (verification.interrupted, verification.since, level_of(dataset));
            rows.extend(verification.targets.into_iter().map(|mut found| {
                for difference in &mut found.differences {
                    *difference = session.redactor.difference(difference);
                }
                let empty = !unseen && found.is_equal() && found.counts.compared == 0 && !dataset.accept_empty;
                let old_lead = found.target == dataset.source.to_string();
                let follows = found.moved.then(|| !old_lead || policy::stays(&session.plan, dataset).is_none());
                let complete = !unseen && found.unlisted.is_none();
                Row { equal: complete && found.is_equal() && !empty, found, complete, level, since, empty, follows }
            }));
        }
        let equal = equal && !rows.iter().any(|row| row.empty);
        let first = asked.first().map_or("checksum", |dataset| level_of(dataset));
        let level = if asked.iter().all(|dataset| level_of(dataset) == first) { first } else { "mixed" };
        let given_up = standing.iter().flat_map(|phase| &phase.datasets).filter(|one| one.is_given_up());
        let given_up = given_up.map(|one| one.name.clone()).collect();
        let mut answer = Self {
            equal,
            level,
            complete: !stopped && rows.iter().all(|row| row.complete),
            stopped,
            repaired,
            datasets: rows,
            not_looked_at,
            given_up,
            next: Next::Nothing(None),
        };
        // The next command goes on after a stop, also if this one was to begin anew.
        let typed = session::typed_but("--anew");
        answer.next = session.next(&answer.situation(options, &standing, &typed));
        answer
    }

    /// How the verification has ended, as far as that decides what is next.
    fn situation<'a>(
        &self,
        options: &'a VerifyOptions,
        standing: &'a [PhaseStanding],
        typed: &'a str,
    ) -> Situation<'a> {
        // Applications go on writing at a lead that has moved, so its followers are behind, and a run brings them up.
        // Nothing keeps what was given up equal to its lead.
        let given_up = |row: &Row| self.given_up.iter().any(|name| name.as_str() == row.found.name);
        let kept = || self.datasets.iter().filter(|row| row.follows.is_none() && !given_up(row));
        let mendable = kept().any(|row| row.found.repairable() > 0);
        if self.stopped {
            return Situation::Stopped(typed);
        }
        // A repair would end at the same listing.
        if kept().any(|row| row.found.unlisted.is_some()) {
            return Situation::BrokeOff(typed);
        }
        if kept().any(|row| row.empty) && kept().all(|row| row.equal || row.empty) {
            return Situation::NothingCompared;
        }
        if kept().all(|row| row.equal) {
            return match Situation::of_standing(standing) {
                Situation::Late => Situation::Late,
                _ if self.datasets.iter().any(|row| row.follows == Some(true) && !row.equal) => Situation::Behind,
                Situation::Done if !self.equal => Situation::LeftBehind,
                // The differences and failures in the ledger are older than what was seen just now; a run finds out
                // the rest.
                Situation::Differs(_)
                | Situation::OnlyStrays
                | Situation::RecordsFailed(_)
                | Situation::TargetsDown(_) => Situation::Unfinished(Vec::new()),
                stands => stands,
            };
        }
        // What was never copied is not to be mended: a run copies it, phase by phase.
        let has_begun = |row: &Row| {
            let mut all = standing.iter().flat_map(|phase| &phase.datasets);
            all.any(|one| one.name.as_str() == row.found.name && one.lifecycle.syncing.pass > 0)
        };
        if mendable && !kept().any(|row| row.found.repairable() > 0 && has_begun(row)) {
            return Situation::Unfinished(Vec::new());
        }
        let words = || options.datasets.iter().flat_map(|name| ["--dataset", name.as_str()]);
        if mendable && self.repaired.is_none() {
            let mut words: Vec<_> = words().collect();
            words.extend(options.level.iter().flat_map(|level| ["--level", level.as_str()]));
            return Situation::Differs(words);
        }
        let untold = kept().all(|row| row.found.broken() == 0);
        match () {
            () if untold && kept().any(|row| row.found.counts.undecided > 0) => Situation::Undecided(words().collect()),
            () if untold => Situation::RecordsFailed(Some(typed)),
            () if mendable => Situation::StillDiffers,
            () if kept().any(|row| row.found.counts.strays > 0) => Situation::OnlyStrays,
            // A pass settles what a repair leaves over, since a pass deletes.
            () => Situation::Unfinished(Vec::new()),
        }
    }

    fn only_untold(&self) -> bool {
        self.datasets.iter().all(|row| row.found.broken() == 0)
    }

    fn code(&self) -> Code {
        match self {
            _ if self.equal => Code::Done,
            _ if self.stopped => Code::Incomplete,
            _ if self.datasets.iter().any(|row| row.empty) => Code::Differs,
            _ if self.only_untold() => Code::Incomplete,
            _ => Code::Differs,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.datasets {
            for difference in &row.found.differences {
                let (kind, key, detail) = (difference.kind.as_str(), &difference.key, &difference.detail);
                let _ = writeln!(text, "{kind} {key} at {}: {detail}", row.found.target);
            }
            if row.found.differences_omitted > 0 {
                let _ =
                    writeln!(text, "... and {} more at {}", Grouped(row.found.differences_omitted), row.found.target);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        for row in &self.datasets {
            let Found { name, target, counts, .. } = &row.found;
            let Counted { compared, missing, extra, different, unreadable, .. } = counts;
            let verdict = match (row.equal, row.complete) {
                (true, _) if *compared == 0 => "nothing to compare, as the plan accepts".to_owned(),
                (true, _) => format!("equal by {}", row.found.counts.decided),
                (false, true) if row.empty => format!("NOTHING COMPARED by {}", row.level),
                (false, true) => format!("NOT EQUAL by {}", row.level),
                (false, false) if row.found.unlisted.is_some() => {
                    let so_far = if row.found.broken() == 0 { "not proved" } else { "NOT EQUAL" };
                    format!("{so_far} by {}, since it was not listed to its end", row.level)
                }
                (false, false) if row.found.is_equal() => {
                    format!("stopped before its end, while compared by {}", row.level)
                }
                (false, false) => "stopped before its end, and NOT EQUAL so far".to_owned(),
            };
            let compared = render::count(*compared, "record", "records");
            let _ = writeln!(
                text,
                "{name} at {target}: {verdict}; {compared} compared, {} missing, {} extra{}, {} different, {} unreadable{}",
                Grouped(*missing),
                Grouped(*extra),
                if row.equal && *extra > 0 { " (the plan keeps them)" } else { "" },
                Grouped(*different),
                Grouped(*unreadable),
                untold(counts),
            );
            row.remarks(&mut text);
        }
        if let Some(repaired) = self.repaired {
            let _ = writeln!(text, "{} repaired", render::count(repaired, "record", "records"));
        }
        for name in &self.not_looked_at {
            let _ = writeln!(text, "{name}: not looked at");
        }
        if self.stopped {
            text.push_str("It was stopped: nothing is known of what it had not compared yet.\n");
        }
        let _ = write!(text, "{}", self.next);
        text
    }
}

impl Row {
    /// What a reader of the verdict must know beside it.
    fn remarks(&self, text: &mut String) {
        if let Some(since) = self.since {
            let _ = writeln!(
                text,
                "  it went on with the verification of {since}: what was compared before its stop counts as of then; \
                 `--anew` looks at everything"
            );
        }
        if let Some(reason) = &self.found.unlisted {
            let _ = writeln!(text, "  not listed to its end: {reason}");
        }
        if self.empty {
            let _ = writeln!(text, "  {NOTHING_COMPARED}");
        }
        if let Some(follows) = self.follows {
            let lead = &self.found.lead;
            let then =
                if follows { "the next run brings over what is written there" } else { "this place stays as it was" };
            let _ = writeln!(text, "  {lead} leads: {then}");
        }
        for spot in &self.found.blind_spots {
            let _ = writeln!(text, "  not seen: {spot}");
        }
    }
}

/// Counts that are mostly 0.
fn untold(counts: &Counted) -> String {
    let mut text = String::new();
    for (count, what) in [(counts.unstable, "unstable"), (counts.undecided, "undecided")] {
        if count > 0 {
            let _ = write!(text, ", {} {what}", Grouped(count));
        }
    }
    text
}
