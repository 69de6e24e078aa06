//! `migrate cutover`: the cutover of a phase that is proved, and nothing else.

use std::{fmt::Write as _, path::Path, sync::Arc};

use clap::Args;
use serde_json::json;

use super::run;
use crate::cli::{
    access,
    advise::Situation,
    advise::documented,
    args::{Global, RunArgs, Until},
    ask::{Driver, drive_or_ask},
    complete,
    error::{Code, Failure},
    interrupt,
    plan_file::PlanFile,
    render,
    session::{self, Session},
    term,
};
use migrate_core::{lifecycle::Goal, model::PhaseName};
use migrate_engine::{
    self as engine, DryRun, EngineError, Inspection, LESS, Shutdown, Sink,
    standing::{DatasetStanding, PhaseStanding},
};
use migrate_ledger::{Answer, Request};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate cutover plan.toml --phase e-commerce --dry-run    # the very steps, checked and not taken
  migrate cutover plan.toml --phase e-commerce
  migrate cutover plan.toml --phase e-commerce --withdraw   # its approval no longer holds

The phase must be proved: `migrate run plan.toml` brings it there. To name it here is to approve it.
If another process drives the migration, that process gets the approval. An approval is kept until the
phase is cut over; `migrate status` shows it. Withdrawing one stops a run that is about to act on it.")]
pub(in crate::cli) struct CutoverArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// The phase
    #[arg(long, short, value_name = "NAME", add = complete::phases())]
    phase: String,
    /// Check every step and take none
    #[arg(long)]
    dry_run: bool,
    /// Withdraw the approval of the phase, before its lead has moved
    #[arg(long, conflicts_with = "dry_run")]
    withdraw: bool,
    /// Print events, one JSON object a line; with --dry-run one JSON document
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn cutover(args: &CutoverArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global).map_err(|failure| documented(failure, args.json))?;
    let begun = begin(&session, args).map_err(|failure| documented(failure, args.json))?;
    match begun {
        Some(code) => Ok(code),
        // No other process drives the migration.
        None => run::run(&as_run(args), global),
    }
}

/// Looks, or asks the process that drives the migration; `None` if this process is to carry the cutover out.
fn begin(session: &Session, args: &CutoverArgs) -> Result<Option<Code>, Failure> {
    let phase = session.phases(std::slice::from_ref(&args.phase))?.remove(0);
    if args.dry_run {
        return look(session, &phase, args.json).map(Some);
    }
    if args.withdraw {
        return withdraw(session, &phase, args.json).map(Some);
    }
    session::block_on(async {
        must_be_proved(session, &phase).await?;
        let found = session.plan.phases.iter().find(|one| one.name == phase);
        let binds = engine::approval_binds(&session.plan, found.expect("the plan has the phase"));
        match drive_or_ask(session, Request::Approve { phase: phase.clone(), binds }).await? {
            // The run takes the lock again, and names its holder if another process was faster.
            Driver::Ourselves(_lock) => Ok(None),
            Driver::Other(Answer { done, detail }) => {
                let next = session.next(&Situation::Driven);
                if args.json {
                    let mut document = json!({ "done": done, "detail": detail });
                    next.add_to(&mut document);
                    term::answer_json(&document);
                } else {
                    term::answer(&format!("{detail}\n{next}"));
                }
                Ok(Some(if done { Code::Done } else { Code::Differs }))
            }
        }
    })
}

/// Withdraws the approval of a phase, here or through the process that drives the migration.
fn withdraw(session: &Session, phase: &PhaseName, json: bool) -> Result<Code, Failure> {
    let Answer { done, detail } = session::block_on(async {
        if session.ledger_to_read()?.is_none() {
            return Ok(Answer { done: true, detail: "nothing has begun: there is nothing to withdraw".to_owned() });
        }
        match drive_or_ask(session, Request::Withdraw { phase: phase.clone() }).await? {
            Driver::Other(answer) => Ok(answer),
            Driver::Ourselves(_lock) => {
                let ledger = session.ledger_to_write()?;
                let (answer, records) = engine::withdrawal(&session.plan, &ledger, phase)
                    .await
                    .map_err(|error| Failure::engine(&error, session.redactor))?;
                ledger.append(records).await.map_err(|error| Failure::ledger(&error))?;
                ledger.close().await.map_err(|error| Failure::ledger(&error))?;
                Ok(answer)
            }
        }
    })?;
    let next = session.next(&Situation::Changed);
    if json {
        let mut document = json!({ "done": done, "detail": detail });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        term::answer(&format!("{detail}\n{next}"));
    }
    Ok(if done { Code::Done } else { Code::Differs })
}

/// The same as a run of the phase with its approval: it first brings over what has changed since the proof.
fn as_run(args: &CutoverArgs) -> RunArgs {
    RunArgs {
        plan: args.plan.typed().map(Path::to_owned),
        until: Some(Until::Cutover),
        phases: vec![args.phase.clone()],
        datasets: Vec::new(),
        approve: vec![args.phase.clone()],
        force: false,
        follow: false,
        accept_places: false,
        take_over: Vec::new(),
        json: args.json,
    }
}

async fn must_be_proved(session: &Session, phase: &PhaseName) -> Result<(), Failure> {
    let ledger = session.ledger_to_read()?;
    let standing = session.standing(ledger.as_ref(), Goal::CutOver, 0).await;
    let standing = standing.map_err(|error| Failure::engine(&error, session.redactor))?;
    let Some(short) = of_phase(&standing, phase).find(|one| !one.is_proved()) else { return Ok(()) };
    let less = if short.asks_more { format!(" by {LESS}") } else { String::new() };
    Err(Failure::new(Code::Differs, format!("phase {phase} is not proved: {} is {}{less}", short.name, short.state))
        .coded("not_proved")
        .then(session.next(&not_proved(&standing, phase))))
}

fn of_phase<'a>(standing: &'a [PhaseStanding], phase: &PhaseName) -> impl Iterator<Item = &'a DatasetStanding> {
    standing.iter().filter(|one| one.name == *phase).flat_map(|phase| &phase.datasets)
}

/// A run proves the phase, except for what was given up: no command that is named brings that back.
fn not_proved<'a>(standing: &[PhaseStanding], phase: &'a PhaseName) -> Situation<'a> {
    let given_up = of_phase(standing, phase).any(DatasetStanding::is_given_up);
    if given_up { Situation::GivenUp } else { Situation::NotProved(phase.as_str()) }
}

fn look(session: &Session, phase: &PhaseName, json: bool) -> Result<Code, Failure> {
    let failed = |error: EngineError| {
        let failure = Failure::engine(&error, session.redactor);
        match error {
            EngineError::Cancelled => failure.then(session.next(&Situation::Stopped(&session::typed()))),
            error if error.is_blocking() => failure.then(session.next(&Situation::of_block(&error))),
            _ => failure,
        }
    };
    let (runs, standing) = session::block_on(async {
        let shutdown = Shutdown::new();
        let _listening = interrupt::listen(&shutdown)?;
        let ledger = session.ledger_to_read()?.map(Arc::new);
        let (plan, sites, sink) = (&session.plan, &session::sites(), Sink::none());
        let asked: Vec<_> = engine::asked(plan, std::slice::from_ref(phase), &[]).map(|one| one.name.clone()).collect();
        // No step can be checked at a server that nobody can ask.
        let unreached = access::look(session, sites, ledger.as_deref(), &asked).await?;
        if !unreached.is_empty() {
            return Err(access::refused(&unreached));
        }
        let inspection = Inspection { plan, sites, ledger: ledger.clone(), sink, shutdown };
        let runs = inspection.dry_run(phase).await.map_err(failed)?;
        let standing = session.standing(ledger.as_deref(), Goal::CutOver, 0).await.map_err(failed)?;
        Ok((runs, standing))
    })?;
    let ready = runs.iter().all(|run| run.ready);
    let next = session.next(&checked(phase, &runs, &standing));
    if json {
        let mut document = json!({ "phase": phase, "ready": ready, "datasets": runs });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        term::answer(&format!("{}{next}", text(phase, &runs)));
    }
    Ok(if ready { Code::Done } else { Code::Differs })
}

/// The steps of a phase, each with the result of its check.
fn checked<'a>(phase: &'a PhaseName, runs: &[DryRun], standing: &'a [PhaseStanding]) -> Situation<'a> {
    let of_phase = || of_phase(standing, phase);
    match () {
        () if !of_phase().all(DatasetStanding::is_proved) => not_proved(standing, phase),
        () if of_phase().any(DatasetStanding::lacks_proof) => Situation::NothingCompared,
        // The answer says what refused a step.
        () if !runs.iter().all(|run| run.ready) => Situation::Blocked,
        () if runs.iter().all(|run| run.steps.is_empty()) => Situation::of_standing(standing),
        () => Situation::StepsChecked(phase.as_str()),
    }
}

fn text(phase: &PhaseName, runs: &[DryRun]) -> String {
    let mut text = format!("the cutover of phase {phase} would take these steps:\n");
    for run in runs {
        let _ = writeln!(text, "  {} ({})", run.name, run.state);
        for spot in &run.blind_spots {
            let _ = writeln!(text, "    not seen: {spot}");
        }
        if run.steps.is_empty() {
            text.push_str("    nothing: its lead stays, or has moved\n");
        }
        for (number, step) in run.steps.iter().enumerate() {
            let _ = writeln!(text, "    {}. {}: {}", number + 1, step.step, step.detail);
            if let Some(refused) = &step.refused {
                let _ = writeln!(text, "       REFUSED: {refused}");
            }
        }
    }
    let datasets = render::count(runs.len() as u64, "dataset moves", "datasets move");
    let _ = writeln!(text, "{datasets} together: none begins a step before all have finished the one before it");
    text
}
