//! `migrate plan`: what a run would do.

use std::{fmt::Write as _, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use crate::cli::{
    advise::Situation,
    advise::documented,
    args::Global,
    display::{self, Scene, Show},
    error::{Code, Failure},
    interrupt,
    render::{self, Table},
    saved::{self, SavedPlan},
    session::{self, Session},
    term,
};
use migrate_core::model::ByteCount;
use migrate_engine::{
    Clock, InFlightMax, Inspection, Shutdown, Sink,
    survey::{Bindings, CutoverPreview, DatasetPreview, Preview, SurveyOptions, TablePreview, TargetPreview},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate plan plans/quickstart.toml
  migrate plan plan.toml --dataset catalog --json
  migrate plan plan.toml --out saved.json  # keep it, for `migrate run saved.json`
  migrate plan plan.toml --no-probe        # do not even write a scratch key")]
pub(in crate::cli) struct PlanArgs {
    /// The plan file
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Only this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME")]
    datasets: Vec<String>,
    /// Do not probe what endpoints can do: a probe writes scratch keys and removes them
    #[arg(long)]
    no_probe: bool,
    /// Keep what was seen in this file, for `migrate run SAVED`; nothing is kept of a plan that is blocked
    #[arg(long, value_name = "SAVED")]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn plan(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    surveyed(args, global).map_err(|failure| documented(failure, args.json))
}

fn surveyed(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let (datasets, limits) = (session.datasets(&args.datasets)?, InFlightMax::default());
    let options = SurveyOptions { datasets, probe: !args.no_probe, limits };
    if let Some(out) = &args.out {
        if args.no_probe {
            return Err(Failure::new(Code::Wrong, "a saved plan needs what a probe finds, and --no-probe sends none")
                .mended_by("leave out --no-probe, or --out"));
        }
        // Check now, not after a long survey.
        saved::may_write(out)?;
    }
    let Looked { preview, bindings } = session::block_on(look(&session, &options, args))?;
    let out = args.out.as_ref().filter(|_| preview.runnable);
    if let (Some(out), Some(bindings)) = (out, bindings) {
        SavedPlan::new(session.file(), &options.datasets, bindings?, &preview)?.write(out)?;
    }
    let typed = session::typed();
    let next = session.next(&match out {
        _ if preview.stopped => Situation::Stopped(&typed),
        // A run would have nothing to copy or prove, and would refuse the cutover.
        _ if preview.runnable && lacks_proof(&preview) => Situation::NothingCompared,
        Some(out) => Situation::Saved(out),
        None if preview.runnable => Situation::Runnable,
        None => Situation::Blocked,
    });
    if args.json {
        let mut document = serde_json::to_value(&preview).expect("a preview is plain data");
        document["saved"] = out.map(|out| out.to_string_lossy()).into();
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        term::answer(&text(&preview));
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
    Ok(match (preview.stopped, preview.runnable) {
        (true, _) => Code::Incomplete,
        (false, true) => Code::Done,
        (false, false) => Code::Differs,
    })
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
}

async fn look(session: &Session, options: &SurveyOptions, args: &PlanArgs) -> Result<Looked, Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let ledger = session.ledger_to_read()?.map(Arc::new);
    let show = if session.quiet || args.json { Show::Quiet } else { Show::Survey { all: session.verbose } };
    let clock = Clock::start();
    let (sink, events) = Sink::new(clock);
    let asked = migrate_engine::asked(&session.plan, &[], &options.datasets);
    let scene = Scene::of(&session.plan, &["plan"], migrate_core::lifecycle::Goal::Verified, asked);
    let display = display::show(events, show, session.redactor, scene, None, clock);
    let inspection = Inspection { plan: &session.plan, sites: &session::sites(), ledger, sink, shutdown };
    let failure = |error| Failure::engine(&error, session.redactor);
    // Before the survey, so that the run finds what changes between the two. If it fails, the survey shows what
    // stands in the way.
    let bindings =
        if args.out.is_some() { Some(inspection.bindings(&options.datasets).await.map_err(failure)) } else { None };
    let preview = inspection.survey(options).await;
    drop(inspection);
    let _seen = display.await;
    Ok(Looked { preview: preview.map_err(failure)?, bindings })
}

fn text(preview: &Preview) -> String {
    let mut text = format!("plan {}\n", preview.plan);
    for phase in preview.phases.iter().filter(|phase| !phase.datasets.is_empty()) {
        let _ = write!(text, "\nphase {}", phase.name);
        if !phase.after.is_empty() {
            let after: Vec<_> = phase.after.iter().map(ToString::to_string).collect();
            let _ = write!(text, " (after {})", after.join(", "));
        }
        text.push('\n');
        for dataset in &phase.datasets {
            text.push_str(&of_dataset(dataset));
        }
    }
    if preview.stopped {
        text.push_str("\nIt was stopped: nothing is known of what it had not looked at yet.\n");
    } else if !preview.runnable {
        text.push_str("\nThis plan is blocked; see above.\n");
    }
    text
}

fn of_dataset(dataset: &DatasetPreview) -> String {
    let DatasetPreview { name, state, source, verify, .. } = dataset;
    let counted = if let Some(table) = &dataset.table {
        format!("{} at {source}", estimated(table))
    } else if let Some(records) = dataset.records {
        let (records, bytes) = (render::count(records, "record", "records"), ByteCount(dataset.bytes.unwrap_or(0)));
        let so_far = if dataset.complete { "" } else { " seen so far" };
        format!("{records}, {bytes}{so_far} at {source}")
    } else {
        format!("{source} was not looked at")
    };
    let mut text = format!("  {name} ({state}): {counted}; verified by {}\n", verify.as_str());
    if !dataset.targets.is_empty() {
        let mut table =
            Table::new(&["target", "create", "replace", "compare", "skip", "delete", "extra", "bytes", "requests"]);
        for target in &dataset.targets {
            table.row(cells(target));
        }
        let _ = writeln!(text, "{}", table.render(4));
    }
    for target in &dataset.targets {
        if let Some(proof) = target.proof {
            let _ = writeln!(text, "    proof: {}: {}", target.target, render::proof(proof));
        }
        if let Some(conditions) = &target.conditions {
            let _ = writeln!(text, "    conditions: {}: {}", target.target, render::conditions(conditions));
        }
        if !target.lacks.is_empty() {
            let _ = writeln!(text, "    lacks: {}: {}", target.target, target.lacks.join(", "));
        }
    }
    let least = dataset.seconds_min.filter(|seconds| *seconds > 0).map(|s| render::duration(Duration::from_secs(s)));
    if let Some(table) = &dataset.table {
        text.push_str(&of_table(table, least.as_deref()));
    } else if dataset.complete {
        let _ = write!(text, "    source requests: about {}", dataset.source_requests);
        if let Some(time) = least {
            let _ = write!(text, "; the plan's limits alone make it take {time}");
        }
        text.push('\n');
    }
    if let Some(cutover) = &dataset.cutover {
        text.push_str(&of_cutover(cutover));
    }
    for note in &dataset.notes {
        let _ = writeln!(text, "    note: {note}");
    }
    for block in &dataset.blocks {
        let _ = writeln!(text, "    BLOCKED: {block}");
    }
    text
}

/// How the lead would move.
fn of_cutover(cutover: &CutoverPreview) -> String {
    let mut text = String::new();
    let epoch = cutover.epoch.map_or_else(|| "unknown".to_owned(), |epoch| epoch.to_string());
    let (from, to) = (&cutover.from, &cutover.to);
    let _ = writeln!(text, "    cutover, once approved: the lead moves from {from} (epoch {epoch}) to {to}");
    if let Some(conditions) = &cutover.conditions {
        let (create, replace) = (conditions.create, conditions.replace);
        let _ = writeln!(text, "      the route's store: a new route {create}, a changed one {replace}");
    }
    for step in &cutover.steps {
        let _ = writeln!(text, "      {step}");
    }
    text
}

/// What the server of a table says that it holds.
fn estimated(table: &TablePreview) -> String {
    match (table.items_estimated, table.bytes_estimated) {
        (Some(items), Some(bytes)) => {
            let items = render::count(items, "item", "items");
            format!("about {items}, {} (an estimate of its server, which may be hours old)", ByteCount(bytes))
        }
        _ => "a table whose server does not estimate its items".to_owned(),
    }
}

/// What a run would do with a table.
fn of_table(table: &TablePreview, least: Option<&str>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "    stream: {}", table.stream.as_str());
    let (segments, done) = (render::count(table.segments.into(), "segment", "segments"), table.segments_done);
    let of_them = if done > 0 { format!(", {done} of them done") } else { String::new() };
    let _ = write!(text, "    first copy: {segments}{of_them}");
    if let Some(read) = table.read_units {
        let _ = write!(text, "; about {} to read at the lead", render::count(read, "capacity unit", "capacity units"));
    }
    if let Some(time) = least {
        let _ = write!(text, "; the limits and what is provisioned make it take {time}");
    }
    text.push('\n');
    for target in &table.targets {
        let _ = match &target.creates {
            Some(table) => write!(text, "    target: {}: a run makes {table}", target.target),
            None => write!(text, "    target: {}: its table is there", target.target),
        };
        if let Some(write) = target.write_units {
            let _ = write!(text, "; about {} to write", render::count(write, "capacity unit", "capacity units"));
        }
        text.push('\n');
        for one in target.differs.iter().filter(|one| !one.blocks) {
            let waived = if one.waive.is_some() { " (waived)" } else { "" };
            let _ = writeln!(text, "      differs{waived}: {}", one.what);
        }
    }
    text
}

fn cells(target: &TargetPreview) -> Vec<String> {
    let TargetPreview { create, replace, compare, skip, delete, extra, .. } = target;
    let mut cells = vec![target.target.clone()];
    cells.extend([create, replace, compare, skip, delete, extra].map(ToString::to_string));
    cells.extend([ByteCount(target.bytes).to_string(), target.requests.to_string()]);
    cells
}
