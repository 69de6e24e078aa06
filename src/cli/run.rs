//! `migrate run`: copies, and proves that it arrived.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde_json::json;

use super::{
    args::{Global, RunArgs, Until},
    error::{Code, Failure},
    interrupt,
    progress::{self, Seen, Show},
    render::{self, Table},
    session::{self, Session},
    standing::{self, DatasetStanding, PhaseStanding},
    term,
};
use crate::{
    engine::{self, EngineError, RunOptions, RunOutcome, Shutdown, Sites},
    ledger::Ledger,
    lifecycle::{Goal, State},
    model::{ByteCount, DatasetName, Key},
    report::{Event, Sink},
    shard::Tally,
};

/// Failed records that the answer lists.
const FAILURES_SHOWN: usize = 10;

pub(super) fn run(args: &RunArgs, global: &Global) -> Result<Code, Failure> {
    ran(args, global).inspect_err(|failure| {
        if args.json {
            let mut line = failure.to_json();
            line["event"] = "error".into();
            term::answer_line(&line);
            let next = failure.next.clone().or_else(|| failure.mend.clone()).unwrap_or_default();
            term::answer_line(&Event::RunEnded { complete: false, next });
        }
    })
}

fn ran(args: &RunArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = RunOptions {
        goal: if args.until == Some(Until::Copied) { Goal::Copied } else { Goal::Verified },
        phases: session.phases(&args.phases)?,
        datasets: session.datasets(&args.datasets)?,
        force: args.force,
        limits: engine::Limits::default(),
    };
    refuse(&session, args, &options)?;
    session.state.prepare()?;
    let _lock =
        session.state.lock(&session::typed()).map_err(|failure| failure.then(session.command("status", &[])))?;
    let again = again(&session, args);
    let run = Running { session: &session, args, options, again };
    session::block_on(run.drive()).map_err(|failure| failure.then(run.again.clone()))
}

/// Refuses what this build cannot carry out, before anything is begun.
fn refuse(session: &Session, args: &RunArgs, options: &RunOptions) -> Result<(), Failure> {
    let to_cutover = matches!(args.until, None | Some(Until::Cutover));
    let mut asked = engine::asked(&session.plan, &options.phases, &options.datasets).peekable();
    if asked.peek().is_none() {
        return Err(Failure::new(Code::Wrong, "no dataset is in the phases and has the name that you asked for")
            .mended_by("leave out --phase or --dataset")
            .then(session.command("status", &[])));
    }
    for dataset in asked {
        let with_cutover = to_cutover && dataset.cutover.is_some();
        if let Err(error) = engine::refuse_unsupported(dataset, with_cutover) {
            let cutover_only = matches!(error, EngineError::Unsupported { cutover_only: true, .. });
            let mut more = selection(args);
            let next = if cutover_only {
                more.extend(["--until", "verified"]);
                session.command("run", &more)
            } else {
                session.command("plan", &[])
            };
            return Err(Failure::engine(&error, session.redactor).then(next));
        }
    }
    Ok(())
}

fn selection(args: &RunArgs) -> Vec<&str> {
    let phases = args.phases.iter().flat_map(|name| ["--phase", name]);
    phases.chain(args.datasets.iter().flat_map(|name| ["--dataset", name])).collect()
}

/// The same command again.
fn again(session: &Session, args: &RunArgs) -> String {
    let mut more = selection(args);
    match args.until {
        None => {}
        Some(Until::Copied) => more.extend(["--until", "copied"]),
        Some(Until::Verified) => more.extend(["--until", "verified"]),
        Some(Until::Cutover) => more.extend(["--until", "cutover"]),
    }
    if args.force {
        more.push("--force");
    }
    if args.json {
        more.push("--json");
    }
    session.command("run", &more)
}

/// One run.
struct Running<'a> {
    session: &'a Session,
    args: &'a RunArgs,
    options: RunOptions,
    again: String,
}

impl Running<'_> {
    async fn drive(&self) -> Result<Code, Failure> {
        let shutdown = Shutdown::new();
        let _listening = interrupt::listen(&shutdown)?;
        let ledger = Arc::new(self.session.ledger_to_write()?);
        let before = self.standing(&ledger).await?;
        let (sink, events) = Sink::new();
        let show = match () {
            () if self.args.json => Show::Json,
            () if self.session.quiet => Show::Quiet,
            () => Show::Progress,
        };
        let display = progress::show(events, show, self.session.redactor);
        let resumed = before.iter().flat_map(|phase| &phase.datasets).any(|one| one.lifecycle.pass() > 0);
        sink.tell(Event::RunBegan { plan: self.session.plan.name.clone(), resumed });
        let sites = Sites::new();
        let outcome = engine::run(&self.session.plan, &sites, Arc::clone(&ledger), &self.options, sink, shutdown).await;
        let seen = display.await.unwrap_or_default();
        let after = self.standing(&ledger).await;
        let closed = session::close(ledger).await;
        let outcome = outcome.map_err(|error| self.failure(&error))?;
        let after = after.map_err(|failure| outcome.stopped.as_ref().map_or(failure, |error| self.failure(error)))?;
        let summary = Summary { run: self, outcome: &outcome, before: &before, after: &after, seen: &seen };
        let code = summary.code();
        let next = summary.next(code);
        if let Some(error) = &outcome.stopped {
            term::tell(&Failure::engine(error, self.session.redactor).to_text());
        }
        if self.args.json {
            if let Some(error) = &outcome.stopped {
                let failure = Failure::engine(error, self.session.redactor).to_json();
                term::answer_line(&json!({ "event": "error", "error": failure["error"] }));
            }
            closed?;
            term::answer_line(&Event::RunEnded { complete: code == Code::Done, next });
        } else {
            term::answer(&format!("{}next: {next}", summary.text()));
            closed?;
        }
        Ok(code)
    }

    async fn standing(&self, ledger: &Ledger) -> Result<Vec<PhaseStanding>, Failure> {
        let standing = standing::read(self.session, Some(ledger), self.options.goal, FAILURES_SHOWN).await;
        standing.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &EngineError) -> Failure {
        let failure = Failure::engine(error, self.session.redactor);
        if error.is_blocking() { failure.then(self.session.command("plan", &[])) } else { failure }
    }
}

/// What a run came to.
struct Summary<'a> {
    run: &'a Running<'a>,
    outcome: &'a RunOutcome,
    before: &'a [PhaseStanding],
    after: &'a [PhaseStanding],
    seen: &'a BTreeMap<DatasetName, Seen>,
}

impl Summary<'_> {
    fn asked(&self) -> impl Iterator<Item = (&engine::DatasetOutcome, &DatasetStanding)> {
        self.outcome.datasets.iter().filter_map(|outcome| Some((outcome, find(self.after, &outcome.dataset)?)))
    }

    fn short(&self) -> impl Iterator<Item = &DatasetStanding> {
        self.asked().filter(|(outcome, _)| !outcome.reached).map(|(_, standing)| standing)
    }

    fn code(&self) -> Code {
        let differs = |one: &DatasetStanding| {
            matches!(one.lifecycle, State::Different { .. })
                && one.verification.as_ref().is_none_or(|proof| proof.differences > 0)
        };
        let blocked = self
            .outcome
            .stopped
            .as_ref()
            .is_some_and(|error| Failure::engine(error, self.run.session.redactor).code == Code::Differs);
        if self.outcome.interrupted && !blocked {
            return Code::Incomplete;
        }
        if blocked || self.short().any(differs) {
            return Code::Differs;
        }
        if self.outcome.stopped.is_some() {
            return Code::Incomplete;
        }
        match self.short().next() {
            None => Code::Done,
            Some(_) if self.short().all(|one| one.waits_for_phase) => Code::Differs,
            Some(_) => Code::Incomplete,
        }
    }

    fn next(&self, code: Code) -> String {
        let session = self.run.session;
        match (code, &self.outcome.stopped) {
            (Code::Done, _) if self.run.options.goal == Goal::Copied => {
                let mut more = selection(self.run.args);
                if session.plan.datasets().any(|dataset| dataset.cutover.is_some()) {
                    more.extend(["--until", "verified"]);
                }
                session.command("run", &more)
            }
            (Code::Done, _) if self.after.iter().all(|phase| phase.state == "verified") => {
                session.command("verify", &[])
            }
            (Code::Done, _) => session.run_command(),
            (Code::Differs, Some(_)) => session.command("plan", &[]),
            (Code::Differs, None) if self.short().all(|one| one.waits_for_phase) => session.run_command(),
            (Code::Differs, None) => session.command("verify", &["--repair"]),
            _ => self.run.again.clone(),
        }
    }

    fn text(&self) -> String {
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
        if self.outcome.interrupted && self.outcome.stopped.is_none() {
            text.push_str("Interrupted: what is done is kept; the same command goes on.\n");
        }
        text
    }

    fn dataset(&self, outcome: &engine::DatasetOutcome, standing: &DatasetStanding) -> String {
        let mut text = format!("  {}: {}", standing.name, standing.state);
        if let Some(proof) = &standing.verification {
            let _ = match (proof.equal, proof.compared) {
                (true, Some(compared)) => {
                    write!(
                        text,
                        "; equal by {} ({})",
                        proof.level,
                        render::count(compared, "comparison", "comparisons")
                    )
                }
                (true, None) => write!(text, "; equal by {}", proof.level),
                _ => write!(
                    text,
                    "; NOT equal by {}: {} differences, {} unreadable",
                    proof.level, proof.differences, proof.unreadable
                ),
            };
        }
        if let Some(waits_for) = outcome.waits_for.as_ref().or(standing.waits_for.as_ref()).filter(|_| !outcome.reached)
        {
            let _ = write!(text, "; waits for {waits_for}");
        }
        text.push('\n');
        if standing.records_total.is_none() {
            return text;
        }
        let mut table =
            Table::new(&["target", "records", "bytes", "copied", "same", "deleted", "extra", "failed", "repeated"]);
        for target in &standing.targets {
            let Tally { copied, same, deleted, extra, repeated, .. } = target.pass;
            let mut cells = vec![target.target.clone(), target.records_done.to_string()];
            cells.push(ByteCount(target.bytes_done).to_string());
            cells.extend([copied, same, deleted, extra, target.failed, repeated].map(|number| number.to_string()));
            table.row(cells);
        }
        let _ = writeln!(text, "{}", table.render(4));
        if let Some(seen) = self.seen.get(&standing.name) {
            let _ = writeln!(text, "    {}", render::source_read(seen.source_bytes_read, self.copied(standing)));
        }
        text
    }

    /// Bytes of the records that this run copied: of a pass that an earlier run began, the rest.
    fn copied(&self, standing: &DatasetStanding) -> u64 {
        let before = find(self.before, &standing.name).filter(|before| {
            matches!(before.lifecycle, State::Copying { .. }) && before.lifecycle.pass() == standing.lifecycle.pass()
        });
        let done = |standing: &DatasetStanding, place: usize| {
            standing.targets.get(place).map_or(0, |target| target.pass.copied_bytes)
        };
        let of =
            |place| done(standing, place) - before.map_or(0, |before| done(before, place)).min(done(standing, place));
        (0..standing.targets.len()).map(of).max().unwrap_or(0)
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
            let _ = writeln!(text, "  ... and {} more: {all}", total - FAILURES_SHOWN as u64);
        }
        text
    }
}

fn find<'a>(phases: &'a [PhaseStanding], name: &DatasetName) -> Option<&'a DatasetStanding> {
    phases.iter().flat_map(|phase| &phase.datasets).find(|dataset| dataset.name == *name)
}
