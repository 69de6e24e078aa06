//! `migrate run`: copies, and proves that it arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde_json::json;

use crate::cli::{
    access,
    advise::{self, Situation},
    approve,
    args::{Global, RunArgs, Until},
    clock,
    display::{self, Scene, Show},
    error::{Code, Failure},
    interrupt,
    next::Next,
    plan_file::PlanFile,
    record::{self, Recorder, Totals},
    running::{FAILURES_SHOWN, Running, Worked, again, selection},
    saved::SavedPlan,
    session::{self, Session},
    state::Lock,
    summary::Summary,
    term,
};
use migrate_core::{
    lifecycle::Goal,
    model::DatasetName,
    report::{EventKind, RunWork},
};
use migrate_engine::{
    self as engine, Clock, EngineError, Inspection, Migration, RunOptions, RunOutcome, Shutdown, Sink, Sites,
    standing::PhaseStanding,
};
use migrate_ledger::Ledger;

pub(in crate::cli) fn run(args: &RunArgs, global: &Global) -> Result<Code, Failure> {
    let clock = clock::clock();
    ran(args, global, &clock).map_err(advise::completed).inspect_err(|failure| {
        if args.json {
            let mut line = failure.to_json();
            line["event"] = "error".into();
            term::answer_line(&clock.stamp(line));
            let next = failure.next.as_deref().and_then(Next::command).map(str::to_owned);
            let mend = failure.mend().map(str::to_owned);
            term::answer_line(&clock.stamp(EventKind::RunEnded { complete: false, mend, next, work: None }));
        }
    })
}

fn ran(args: &RunArgs, global: &Global, clock: &Clock) -> Result<Code, Failure> {
    let session = Session::load_to_run(&PlanFile::of(args.plan.clone()), global)?;
    let options = RunOptions {
        goal: goal(args.until),
        phases: session.phases(&args.phases)?,
        datasets: datasets(&session, args)?,
        force: args.force,
        follow: args.follow,
        counts: args.json || !session.quiet,
        limits: engine::InFlightMax::default(),
        approver: approve::approver(&session, args)?,
    };
    let again = again(&session, args, &BTreeSet::new());
    let action = vec!["run".to_owned()];
    let run = Running { session: &session, args, clock: clock.clone(), options, again, action, notes: None };
    access::block_on(&session, &run.asked(), run.begin())
}

/// The selected datasets; a saved plan selects those that it is for.
fn datasets(session: &Session, args: &RunArgs) -> Result<Vec<DatasetName>, Failure> {
    let Some((file, saved)) = session.saved.as_ref().filter(|(_, saved)| !saved.datasets.is_empty()) else {
        return session.datasets(&args.datasets);
    };
    let only = saved.datasets.iter().map(DatasetName::as_str).collect::<Vec<_>>().join(", ");
    if args.datasets.is_empty() {
        if !session.quiet {
            term::tell(&format!("{} is for {only} only", file.display()));
        }
        return Ok(saved.datasets.clone());
    }
    let asked = session.datasets(&args.datasets)?;
    match asked.iter().find(|name| !saved.datasets.contains(name)) {
        None => Ok(asked),
        Some(other) => {
            let refused = format!("{} is for {only}, and not for dataset {other}", file.display());
            Err(Failure::new(Code::Wrong, refused).mended_by("leave out --dataset, or name the plan file"))
        }
    }
}

/// How far a run is to go; without a flag, as far as the plan says.
pub(in crate::cli) fn goal(until: Option<Until>) -> Goal {
    match until {
        Some(Until::Copied) => Goal::Copied,
        Some(Until::Verified) => Goal::Verified,
        None | Some(Until::Cutover) => Goal::CutOver,
    }
}

/// Refuses what this build cannot carry out, before anything is begun.
fn refuse(session: &Session, args: &RunArgs, options: &RunOptions) -> Result<(), Failure> {
    let to_cutover = options.goal == Goal::CutOver;
    let mut asked = engine::asked(&session.plan, &options.phases, &options.datasets).peekable();
    if asked.peek().is_none() {
        return Err(Failure::new(Code::Wrong, "no dataset that you named is in a phase that you named")
            .coded("nothing_selected")
            .then(session.next(&Situation::NothingSelected)));
    }
    let asked: Vec<_> = asked.collect();
    let plan = &session.plan;
    let Some(keys) = plan.not_built(asked.iter().copied(), to_cutover) else { return Ok(()) };
    let next = match plan.not_built(asked, false) {
        None => session.next(&Situation::UnsupportedCutover("run", selection(args))),
        Some(_) => session.next(&Situation::Unsupported),
    };
    Err(Failure::not_built(keys).then(next))
}

impl Running<'_> {
    /// Checks a saved plan for changes and takes the lock, then runs.
    async fn begin(&self) -> Result<Code, Failure> {
        let shutdown = Shutdown::new();
        let _listening = interrupt::listen(&shutdown)?;
        // One value for the look and the run, so that the run need not probe again.
        let sites = session::sites();
        if self.args.accept_places {
            sites.accept_places();
        }
        sites.take_over(self.session.datasets(&self.args.take_over)?);
        // What another process is about to change must not seem stale, so take the lock before the look. If
        // nothing has begun there is no such process, and nothing is made before the look allows it.
        let early = self.session.saved.is_some() && self.session.state.is_there();
        let early = early.then(|| self.hold()).transpose()?;
        if let Some((file, saved)) = &self.session.saved {
            let fresh = self.refuse_stale(file, saved, &sites, &shutdown).await;
            fresh.map_err(|failure| self.broke_off(failure))?;
        }
        refuse(self.session, self.args, &self.options)?;
        let _lock = match early {
            Some(lock) => lock,
            None => self.hold()?,
        };
        self.drive(&sites, shutdown).await.map_err(|failure| self.broke_off(failure))
    }

    /// The datasets that the run is about.
    fn asked(&self) -> Vec<DatasetName> {
        let RunOptions { phases, datasets, .. } = &self.options;
        engine::asked(&self.session.plan, phases, datasets).map(|dataset| dataset.name.clone()).collect()
    }

    /// Says what is next after a failure, unless that is known already.
    fn broke_off(&self, failure: Failure) -> Failure {
        failure.then(self.session.next(&Situation::BrokeOff(&self.again)))
    }

    /// Makes the state directory and takes its lock.
    fn hold(&self) -> Result<Lock, Failure> {
        let session = self.session;
        session.state.prepare()?;
        session.state.lock(&session::typed()).map_err(|failure| failure.then(session.next(&Situation::Driven)))
    }

    /// Refuses a saved plan if what it is bound to has changed.
    async fn refuse_stale(
        &self,
        file: &Path,
        saved: &SavedPlan,
        sites: &Sites,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let session = self.session;
        let ledger = session.ledger_to_read()?.map(Arc::new);
        let (plan, sink, shutdown) = (&session.plan, Sink::none(), shutdown.clone());
        let now = Inspection { plan, sites, ledger, sink, shutdown }.bindings(&saved.datasets).await;
        let changes = saved.bindings.changes(&now.map_err(|error| self.failure(&error))?);
        if changes.is_empty() {
            return Ok(());
        }
        let mut more: Vec<_> = saved.datasets.iter().flat_map(|name| ["--dataset", name.as_str()]).collect();
        let out = file.to_string_lossy();
        more.extend(["--out", &out]);
        Err(Failure::stale(file, &changes).then(session.next(&Situation::Stale(more))))
    }

    async fn drive(&self, sites: &Sites, shutdown: Shutdown) -> Result<Code, Failure> {
        let Worked { outcome, before, after, seen, work, closed } = self.work(sites, shutdown).await?;
        let again = match &outcome.withdrawn {
            none if none.is_empty() => self.again.clone(),
            withdrawn => again(self.session, self.args, withdrawn),
        };
        let (before, after, seen) = (&before, &after, &seen);
        let summary = Summary { run: self, again: &again, outcome: &outcome, before, after, seen, work };
        let code = summary.code();
        let next = self.session.next(&summary.situation(code));
        self.tell_stopped(&outcome).await;
        if self.args.json {
            closed?;
            let complete = code == Code::Done && !summary.waits_for_approval();
            let (mend, next) = (next.mend().map(str::to_owned), next.command().map(str::to_owned));
            let ended = EventKind::RunEnded { complete, mend, next, work: Some(work) };
            term::answer_line(&self.clock.stamp(ended));
        } else {
            term::answer(&format!("{}{next}", summary.text()));
            closed?;
        }
        Ok(code)
    }

    /// Runs, with progress or events as the flags say.
    pub(in crate::cli) async fn work(&self, sites: &Sites, shutdown: Shutdown) -> Result<Worked, Failure> {
        let ledger = Arc::new(self.session.ledger_to_write()?);
        let before = self.standing(&ledger).await?;
        let recorder = if self.session.rehearses {
            None
        } else {
            Some(Recorder::begin(&ledger, session::typed()).await.map_err(|error| Failure::ledger(&error))?)
        };
        let (sink, events) = Sink::new(self.clock.clone());
        let totals = Totals::new(&self.session.plan, &before);
        let (events, listener) = record::listen(events, totals, recorder.as_ref());
        let show = match () {
            () if self.args.json => Show::Json,
            () if self.session.quiet => Show::Quiet,
            () => Show::Progress { all: self.session.verbose },
        };
        let display = display::show(
            events,
            show,
            self.session.redactor,
            self.scene(&before),
            self.notes.clone(),
            self.clock.clone(),
        );
        let resumed = before.iter().flat_map(|phase| &phase.datasets).any(|one| one.lifecycle.syncing.pass > 0);
        sink.tell(EventKind::RunBegan { plan: self.session.plan.name.clone(), resumed });
        let plan = &self.session.plan;
        let migration = Migration { plan, sites, ledger: Arc::clone(&ledger), sink, shutdown };
        let outcome = migration.run(&self.options).await;
        // The display and the ledger end once the migration has let go of them.
        drop(migration);
        let seen = display.await.unwrap_or_default();
        let done = listener.work().await;
        let after = self.standing(&ledger).await;
        let work = *done.as_ref().unwrap_or(&RunWork::default());
        let kept = match recorder {
            Some(recorder) => recorder.end(self.ended(&outcome, after.as_deref().unwrap_or_default()), work).await,
            None => Ok(()),
        };
        let kept = done.and(kept).map_err(|error| Failure::ledger(&error));
        let closed = session::close(ledger).await.and(kept);
        let outcome = outcome.map_err(|error| self.failure(&error))?;
        let after = after.map_err(|failure| outcome.stopped.as_ref().map_or(failure, |error| self.failure(error)))?;
        Ok(Worked { outcome, before, after, seen, work, closed })
    }

    /// How the run has ended, in a word, as `migrate history` shows it.
    fn ended(&self, outcome: &Result<RunOutcome, EngineError>, after: &[PhaseStanding]) -> &'static str {
        let Ok(outcome) = outcome else { return "failed" };
        let (seen, work) = (&BTreeMap::new(), RunWork::default());
        Summary { run: self, again: &self.again, outcome, before: &[], after, seen, work }.ended()
    }

    /// The run before its first event.
    fn scene(&self, before: &[PhaseStanding]) -> Scene {
        let RunOptions { goal, phases, datasets, .. } = &self.options;
        let action: Vec<_> = self.action.iter().map(String::as_str).collect();
        let asked = engine::asked(&self.session.plan, phases, datasets);
        Scene::of(&self.session.plan, &action, *goal, asked).standing(before)
    }

    /// Tells why the run ended before its time.
    pub(in crate::cli) async fn tell_stopped(&self, outcome: &RunOutcome) {
        let Some(error) = &outcome.stopped else { return };
        let mut failure = Failure::engine(error, self.session.redactor);
        // A rehearsal asks no real place.
        if failure.is_unreached && !self.session.rehearses {
            failure = access::completed(self.session, &self.asked(), failure).await;
        }
        term::tell(&failure.to_text());
        if self.args.json {
            let line = json!({ "event": "error", "error": failure.to_json()["error"] });
            term::answer_line(&self.clock.stamp(line));
        }
    }

    async fn standing(&self, ledger: &Ledger) -> Result<Vec<PhaseStanding>, Failure> {
        let standing = self.session.standing(Some(ledger), self.options.goal, FAILURES_SHOWN).await;
        standing.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &EngineError) -> Failure {
        let failure = Failure::engine(error, self.session.redactor);
        if error.is_blocking() { failure.then(self.session.next(&Situation::of_block(error))) } else { failure }
    }
}
