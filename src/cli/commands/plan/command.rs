//! `migrate plan`: what a run would do.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use crate::cli::{
    access,
    advise::{self, Situation, documented},
    args::Global,
    commands::plan::{
        listing::{self, Listing},
        text::text,
    },
    complete,
    display::{self, Scene, Show},
    error::{Code, Failure},
    interrupt,
    plan_file::PlanFile,
    saved::{self, SavedPlan},
    session::{self, Session},
    term,
};
use migrate_core::{lifecycle::Goal, model::DatasetName};
use migrate_engine::{
    self as engine, Clock, InFlightMax, Inspection, Shutdown, Sink, Unreached,
    standing::{DatasetStanding, PhaseStanding},
    survey::{Bindings, DatasetPreview, LISTED_WAITING_MAX, Preview, SurveyOptions},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate plan plans/quickstart.toml
  migrate plan plan.toml --list            # also the keys that it would create, replace, compare or delete
  migrate plan plan.toml --list --json     # all of them, one JSON object a line
  migrate plan plan.toml --dataset catalog --json
  migrate plan plan.toml --out saved.json  # keep it, for `migrate run saved.json`
  migrate plan plan.toml --no-probe        # do not even write a scratch key")]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Only this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    datasets: Vec<String>,
    /// Do not probe what endpoints can do: a probe writes scratch keys and removes them
    #[arg(long)]
    no_probe: bool,
    /// Keep what was seen in this file, for `migrate run SAVED`; nothing is kept of a plan that is blocked
    #[arg(long, value_name = "SAVED")]
    out: Option<PathBuf>,
    /// Name the records that a run would create, replace, compare or delete: the first hundred of each target, all of
    /// them with --json
    #[arg(long)]
    list: bool,
    /// Print one JSON document; with --list one object a line, the last is `plan_ended`
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn plan(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    surveyed(args, global).map_err(|failure| {
        if args.list && args.json {
            listing::failed(advise::completed(failure))
        } else {
            documented(failure, args.json)
        }
    })
}

fn surveyed(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load_to_look(&args.plan, global)?;
    let (datasets, limits) = (session.datasets(&args.datasets)?, InFlightMax::default());
    let options = SurveyOptions { datasets, probe: !args.no_probe, limits };
    if let Some(out) = &args.out {
        may_save(&session, args, out)?;
    }
    let looked = session::block_on(look(&session, &options, args))?;
    let (preview, unreached) = (&looked.preview, &looked.unreached);
    let out = args.out.as_ref().filter(|_| preview.runnable);
    if let (Some(out), Some(bindings)) = (out, looked.bindings) {
        SavedPlan::new(session.origin().path(), &options.datasets, bindings?, preview)?.write(out)?;
    }
    let typed = session::typed();
    let next = session.next(&match out {
        _ if preview.stopped => Situation::Stopped(&typed),
        _ if !unreached.is_empty() => Situation::BrokeOff(&typed),
        // A run would have nothing to copy or prove, and would refuse the cutover.
        _ if preview.runnable && lacks_proof(preview) => Situation::NothingCompared,
        Some(out) => Situation::Saved(out),
        None if looked.done => Situation::NothingToDo,
        None if preview.runnable => Situation::Runnable,
        None => Situation::Blocked,
    });
    if args.json {
        let mut document = serde_json::to_value(preview).expect("a preview is plain data");
        document["nothing_to_do"] = looked.done.into();
        document["unreached"] = serde_json::to_value(unreached).expect("servers are plain data");
        document["saved"] = out.map(|out| out.to_string_lossy()).into();
        next.add_to(&mut document);
        if args.list { listing::ended(document) } else { term::answer_json(&document) }
    } else {
        term::answer(&text(preview, looked.done, looked.listing.as_ref()));
        if !unreached.is_empty() {
            term::answer(&format!("{}\n", access::told(unreached)));
        }
        if let Some(out) = out {
            term::answer(&format!("saved: {}", out.display()));
        }
        term::answer(&next.to_string());
    }
    if out.is_none() && args.out.is_some() {
        term::tell(if preview.stopped {
            "nothing was saved: it was stopped before its end"
        } else {
            "nothing was saved: a plan is saved once nothing stands in its way"
        });
    }
    let blocks = |dataset: &DatasetPreview| !dataset.blocks.is_empty();
    let blocked = preview.phases.iter().flat_map(|phase| &phase.datasets).any(blocks);
    Ok(match (preview.stopped, preview.runnable) {
        (false, true) => Code::Done,
        // What nobody could ask may be right: only a rule of what was looked at blocks the plan.
        (false, false) if blocked => Code::Differs,
        _ => Code::Incomplete,
    })
}

/// Refuses now, and not after a long survey, what cannot be saved.
fn may_save(session: &Session, args: &PlanArgs, out: &Path) -> Result<(), Failure> {
    if args.no_probe {
        return Err(Failure::new(Code::Wrong, "a saved plan needs what a probe finds, and --no-probe sends none")
            .mended_by("leave out --no-probe, or --out"));
    }
    if session.origin().file().is_none() {
        return Err(Failure::new(Code::Wrong, "a saved plan names its plan file, and standard input is none")
            .mended_by("keep the plan in a file, or leave out --out"));
    }
    saved::may_write(out).map(|_| ())
}

/// A lead is to move, and nothing is there to compare.
fn lacks_proof(preview: &Preview) -> bool {
    let datasets = || preview.phases.iter().flat_map(|phase| &phase.datasets);
    datasets().any(|dataset| dataset.cutover.is_some() && dataset.nothing_to_compare)
}

/// The result of a survey.
struct Looked {
    preview: Preview,
    /// What a saved plan is bound to, if one was asked for.
    bindings: Option<Result<Bindings, Failure>>,
    /// The records that a run would touch, if they are to be shown.
    listing: Option<Listing>,
    /// Whether a run would find nothing to do.
    done: bool,
    /// The servers that cannot be asked; the datasets that need them were not looked at.
    unreached: Vec<Unreached>,
}

async fn look(session: &Session, options: &SurveyOptions, args: &PlanArgs) -> Result<Looked, Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let ledger = session.ledger_to_read()?.map(Arc::new);
    let show = if session.quiet || args.json { Show::Quiet } else { Show::Survey { all: session.verbose } };
    // The events are not printed, so they do not count with those that are.
    let clock = Clock::start();
    let (sink, events) = Sink::new(clock.clone());
    let asked = engine::asked(&session.plan, &[], &options.datasets);
    let scene = Scene::of(&session.plan, &["plan"], Goal::Verified, asked);
    let display = display::show(events, show, session.redactor, scene, None, clock);
    let sites = session::sites();
    let unreached = access::look(session, &sites, ledger.as_deref(), &options.datasets).await?;
    let options = &without(session, options, &unreached);
    let inspection = Inspection { plan: &session.plan, sites: &sites, ledger, sink, shutdown };
    let failure = |error| Failure::engine(&error, session.redactor);
    // Before the survey, so that the run finds what changes between the two. If it fails, the survey shows what
    // stands in the way.
    let bindings =
        if args.out.is_some() { Some(inspection.bindings(&options.datasets).await.map_err(failure)) } else { None };
    let (preview, listing) = if args.list {
        let (list, listed) = tokio::sync::mpsc::channel(LISTED_WAITING_MAX);
        let taking = tokio::task::spawn_blocking({
            let json = args.json;
            move || Listing::take(listed, json)
        });
        let preview = inspection.survey_and_list(options, list).await;
        // Nobody cancels it.
        let listing = taking.await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()));
        (preview, Some(listing).filter(|_| !args.json))
    } else {
        (inspection.survey(options).await, None)
    };
    let ledger = inspection.ledger.clone();
    drop(inspection);
    let _seen = display.await;
    let mut preview = preview.map_err(failure)?;
    preview.runnable &= unreached.is_empty();
    preview.total.complete &= unreached.is_empty();
    let standing = session.standing(ledger.as_deref(), session.goal(), 0).await.map_err(failure)?;
    let done = nothing_to_do(&preview, &standing);
    Ok(Looked { preview, bindings, listing, done, unreached })
}

/// The same survey of the datasets whose servers can all be asked.
fn without(session: &Session, options: &SurveyOptions, unreached: &[Unreached]) -> SurveyOptions {
    if unreached.is_empty() {
        return options.clone();
    }
    let is_stopped = |name: &DatasetName| unreached.iter().any(|one| one.datasets.contains(name));
    let left = engine::asked(&session.plan, &[], &options.datasets).filter(|dataset| !is_stopped(&dataset.name));
    SurveyOptions { datasets: left.map(|dataset| dataset.name.clone()).collect(), ..options.clone() }
}

/// Whether a run would find nothing to do: nothing is to be written, compared or deleted, all is proved, and no lead
/// is to move. What has changed in a table only a run finds out.
fn nothing_to_do(preview: &Preview, standing: &[PhaseStanding]) -> bool {
    let total = &preview.total;
    let looked_at = || preview.phases.iter().flat_map(|phase| &phase.datasets);
    let is_settled = |one: &DatasetStanding| one.is_done() && one.has_followed() && one.late_writes == 0;
    let standing = |name: &DatasetName| standing.iter().flat_map(|phase| &phase.datasets).find(|one| one.name == *name);
    preview.runnable
        && total.complete
        && total.changes_nothing()
        && total.tables == 0
        && looked_at().all(|dataset| standing(&dataset.name).is_some_and(is_settled))
}
