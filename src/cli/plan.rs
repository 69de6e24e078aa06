//! `migrate plan`: what a run would do.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use super::{
    args::{Global, PlanArgs},
    documented,
    error::{Code, Failure},
    interrupt,
    progress::{self, Show},
    render::{self, Table},
    session::{self, Session},
    term,
};
use crate::{
    engine::{Shutdown, Sites},
    model::ByteCount,
    report::Sink,
    survey::{self, DatasetPreview, Preview, SurveyOptions, TargetPreview},
};

pub(super) fn plan(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    surveyed(args, global).map_err(|failure| documented(failure, args.json))
}

fn surveyed(args: &PlanArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = SurveyOptions { datasets: session.datasets(&args.datasets)?, probe: !args.no_probe };
    let (preview, stopped) = session::block_on(look(&session, &options, args.json))?;
    let next = if preview.runnable { session.run_command() } else { session.command("plan", &[]) };
    if args.json {
        let mut document = serde_json::to_value(&preview).expect("a preview is plain data");
        document["next"] = next.into();
        term::answer_json(&document);
    } else {
        term::answer(&text(&preview));
        term::answer(&format!("next: {next}"));
    }
    Ok(match (stopped, preview.runnable) {
        (true, _) => Code::Incomplete,
        (false, true) => Code::Done,
        (false, false) => Code::Differs,
    })
}

async fn look(session: &Session, options: &SurveyOptions, json: bool) -> Result<(Preview, bool), Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let ledger = session.ledger_to_read()?.map(Arc::new);
    let show = if session.quiet || json { Show::Quiet } else { Show::Survey };
    let (sink, events) = Sink::new();
    let display = progress::show(events, show, session.redactor);
    let preview = survey::survey(&session.plan, &Sites::new(), ledger, options, &sink, &shutdown).await;
    drop(sink);
    let _seen = display.await;
    let preview = preview.map_err(|error| Failure::engine(&error, session.redactor))?;
    Ok((preview, shutdown.is_draining()))
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
    if !preview.runnable {
        text.push_str("\nThis plan is blocked; see above.\n");
    }
    text
}

fn of_dataset(dataset: &DatasetPreview) -> String {
    let DatasetPreview { name, state, source, records, bytes, verify, .. } = dataset;
    let bytes = ByteCount(*bytes);
    let records = render::count(*records, "record", "records");
    let mut text = format!("  {name} ({state}): {records}, {bytes} at {source}; verified by {}\n", verify.as_str());
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
        if !target.lacks.is_empty() {
            let _ = writeln!(text, "    lacks: {}: {}", target.target, target.lacks.join(", "));
        }
    }
    let _ = write!(text, "    source requests: about {}", dataset.source_requests);
    if let Some(seconds) = dataset.seconds_min.filter(|seconds| *seconds > 0) {
        let time = render::duration(Duration::from_secs(seconds));
        let _ = write!(text, "; the plan's limits alone make it take {time}");
    }
    text.push('\n');
    if let Some(cutover) = &dataset.cutover {
        let epoch = cutover.epoch.map_or_else(|| "unknown".to_owned(), |epoch| epoch.to_string());
        let (from, to) = (&cutover.from, &cutover.to);
        let _ = writeln!(text, "    cutover, once approved: the lead moves from {from} (epoch {epoch}) to {to}");
        for step in &cutover.steps {
            let _ = writeln!(text, "      {step}");
        }
    }
    for note in &dataset.notes {
        let _ = writeln!(text, "    note: {note}");
    }
    for block in &dataset.blocks {
        let _ = writeln!(text, "    BLOCKED: {block}");
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
