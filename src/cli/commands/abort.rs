//! `migrate abort`: gives datasets up before their lead has moved. It deletes only what a person has confirmed
//! after seeing the counts, also if another process then carries it out.

use std::{fmt::Write as _, sync::Arc};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::{
    access,
    advise::Situation,
    advise::documented,
    args::Global,
    ask::{Driver, drive_or_ask},
    complete,
    error::{Code, Failure},
    interrupt,
    plan_file::PlanFile,
    record::Recorder,
    render,
    session::{self, Session},
    term,
};
use migrate_core::{
    model::{ByteCount, DatasetName},
    report::RunWork,
};
use migrate_engine::{
    self as engine, AbortOptions, Aborted, EngineError, Migration, Shutdown, Sink, WaitsFor, standing::DatasetStanding,
};
use migrate_ledger::{Answer, Ledger, Request};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate abort plan.toml --dataset catalog
  migrate abort plan.toml --discard         # delete what was written at the targets, too; asks first
  migrate abort plan.toml --discard --yes   # the same, without a question

Unfinished uploads are aborted and approvals withdrawn. What was copied stays, unless --discard is
given: then what this migration wrote is deleted, unless another writer has written over it since. It
asks first, with the number of objects and bytes at each target; without a terminal it needs --yes.")]
pub(in crate::cli) struct AbortArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Only this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    datasets: Vec<String>,
    /// Delete what was written at the targets
    #[arg(long)]
    discard: bool,
    /// Delete without a question (only --discard asks)
    #[arg(long)]
    yes: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn abort(args: &AbortArgs, global: &Global) -> Result<Code, Failure> {
    aborted(args, global).map_err(|failure| documented(failure, args.json))
}

fn aborted(args: &AbortArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = AbortOptions { datasets: session.datasets(&args.datasets)?, discard: args.discard };
    let Some(ledger) = session.ledger_to_read()? else {
        return Err(Failure::new(Code::Differs, "nothing has begun, so there is nothing to give up")
            .coded("not_begun")
            .then(session.next(&Situation::NotBegun)));
    };
    if options.discard && !args.yes {
        let deletions = session::block_on(deletions(&session, &ledger, &options))?;
        confirm(&session, args, &deletions)?;
    }
    drop(ledger);
    // By name and meaning: a process that drives another plan must not give up what that plan has in place of what
    // was confirmed.
    let datasets = engine::asked(&session.plan, &[], &options.datasets);
    let datasets = datasets.map(|dataset| (dataset.name.clone(), engine::meaning_of(&session.plan, dataset))).collect();
    let request = Request::Abort { datasets, discard: options.discard };
    let (done, text, ends): (_, _, Option<Vec<Aborted>>) = access::block_on(&session, &options.datasets, async {
        Ok(match drive_or_ask(&session, request).await? {
            Driver::Other(Answer { done, detail }) => (done, detail, None),
            Driver::Ourselves(_lock) => {
                let ends = carry_out(&session, &options).await?;
                let text: Vec<_> = ends.iter().map(ToString::to_string).collect();
                (ends.iter().all(|end| end.done), text.join("\n"), Some(ends))
            }
        })
    })?;
    let blocked = ends.iter().flatten().all(|end| end.done || end.blocked);
    let stopped = ends.iter().flatten().filter(|end| !end.done && !end.blocked).map(|end| end.name.clone());
    let unreached = session::block_on(access::stopping(&session, stopped.collect()))?;
    let typed = session::typed();
    let next = session.next(&if done || blocked { Situation::Changed } else { Situation::BrokeOff(&typed) });
    if args.json {
        let mut document = json!({ "done": done, "datasets": ends, "detail": text, "unreached": unreached });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        let unreached = if unreached.is_empty() { String::new() } else { access::told(&unreached) + "\n" };
        term::answer(&format!("{text}\n{unreached}{next}"));
    }
    Ok(match (done, blocked) {
        (true, _) => Code::Done,
        (false, true) => Code::Differs,
        (false, false) => Code::Incomplete,
    })
}

/// What a discard would delete at one target of a dataset.
#[derive(Debug, Serialize)]
struct Deletion {
    dataset: DatasetName,
    target: String,
    objects: u64,
    bytes: u64,
}

/// What a discard would delete, by the ledger. Objects that were written over since count too, though they will be
/// kept: only a look at each tells.
async fn deletions(session: &Session, ledger: &Ledger, options: &AbortOptions) -> Result<Vec<Deletion>, Failure> {
    let failed = |error: &EngineError| Failure::engine(error, session.redactor);
    let standing = session.standing(Some(ledger), session.goal(), 0).await.map_err(|error| failed(&error))?;
    // An abort refuses datasets whose lead has moved and those that mean something else now.
    let refused = |one: &DatasetStanding| {
        one.lifecycle.moved_to().is_some() || matches!(one.waits_for, Some(WaitsFor::Meaning(_)))
    };
    let mut found = Vec::new();
    for dataset in engine::asked(&session.plan, &[], &options.datasets) {
        let mut all = standing.iter().flat_map(|phase| &phase.datasets);
        if all.any(|one| one.name == dataset.name && refused(one)) {
            continue;
        }
        for (place, target) in dataset.numbered_targets() {
            let (objects, bytes) =
                ledger.written(&dataset.name, place).await.map_err(|error| Failure::ledger(&error))?;
            let (dataset, target) = (dataset.name.clone(), target.at.to_string());
            found.extend((objects > 0).then_some(Deletion { dataset, target, objects, bytes }));
        }
    }
    Ok(found)
}

/// Asks whether to delete this; fails unless a person agrees.
fn confirm(session: &Session, args: &AbortArgs, deletions: &[Deletion]) -> Result<(), Failure> {
    let driven = session.state.holder().is_some();
    if deletions.is_empty() && !driven {
        return Ok(());
    }
    let so_far = if driven { " so far; a process writes more until it is stopped" } else { "" };
    let mut listed = String::new();
    if deletions.is_empty() {
        let _ = write!(listed, "\n  nothing{so_far}");
    }
    for Deletion { dataset, target, objects, bytes } in deletions {
        let (objects, bytes) = (render::count(*objects, "object", "objects"), ByteCount(*bytes));
        let _ = write!(listed, "\n  {dataset} at {target}: {objects}, {bytes}{so_far}");
    }
    let word = session.plan.name.as_str();
    if !args.json && !session.quiet && term::can_ask() {
        let question = format!(
            "\nThis deletes for good what this migration has written:{listed}\nType {word:?} to delete it, or Enter to \
             leave it: "
        );
        if term::asked_to_type(&question, word) {
            return Ok(());
        }
        return Err(Failure::new(Code::Wrong, "it was not confirmed, and nothing was changed").coded("unconfirmed"));
    }
    let message = format!("this deletes for good what this migration has written, and needs --yes:{listed}");
    let deletions = serde_json::to_value(deletions).expect("deletions are plain data");
    let typed = session::typed();
    Err(Failure::unconfirmed(message, deletions).then(session.next(&Situation::Unconfirmed(&typed))))
}

async fn carry_out(session: &Session, options: &AbortOptions) -> Result<Vec<Aborted>, Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let ledger = Arc::new(session.ledger_to_write()?);
    let (plan, sites, sink) = (&session.plan, &session::sites(), Sink::none());
    let recorder = Recorder::begin(&ledger, session::typed()).await.map_err(|error| Failure::ledger(&error))?;
    let migration = Migration { plan, sites, ledger: Arc::clone(&ledger), sink, shutdown };
    let ends = migration.abort(options, engine::InFlightMax::default()).await;
    drop(migration);
    let how = match &ends {
        Ok(ends) if ends.iter().all(|end| end.done) => "given_up",
        Ok(ends) if ends.iter().all(|end| end.done || end.blocked) => "blocked",
        Ok(_) => "incomplete",
        Err(_) => "failed",
    };
    let deleted = ends.iter().flatten().map(|end| end.discarded).sum();
    let kept = recorder.end(how, RunWork { deleted, ..RunWork::default() }).await;
    let closed = session::close(ledger).await.and(kept.map_err(|error| Failure::ledger(&error)));
    let ends = ends.map_err(|error| Failure::engine(&error, session.redactor))?;
    closed.map(|()| ends)
}
