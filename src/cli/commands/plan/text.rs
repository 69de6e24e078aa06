//! A preview as a text for people.

use std::{fmt::Write as _, time::Duration};

use crate::cli::{
    commands::plan::{listing::Listing, total},
    render::{self, Grouped, Table},
};
use migrate_core::model::ByteCount;
use migrate_engine::survey::{CutoverPreview, DatasetPreview, Preview, TablePreview, TargetPreview};

/// The first column that is left out if nothing was counted in it.
const FIRST_RARE: usize = 3;

/// The preview; `done` if a run would find nothing to do, and with the keys if they were listed.
pub(super) fn text(preview: &Preview, done: bool, listing: Option<&Listing>) -> String {
    let mut text = format!("plan {}\n", preview.plan);
    for phase in preview.phases.iter().filter(|phase| !phase.datasets.is_empty()) {
        let _ = write!(text, "\nphase {}", phase.name);
        if !phase.after.is_empty() {
            let after: Vec<_> = phase.after.iter().map(ToString::to_string).collect();
            let _ = write!(text, " (after {})", after.join(", "));
        }
        text.push('\n');
        for dataset in &phase.datasets {
            text.push_str(&of_dataset(dataset, listing));
        }
    }
    if preview.stopped {
        text.push_str("\nIt was stopped: nothing is known of what it had not looked at yet.\n");
    } else if !preview.runnable {
        text.push_str("\nThis plan is blocked; see above.\n");
    }
    let _ = writeln!(text, "\n{}", total::line(&preview.total, done));
    text
}

fn of_dataset(dataset: &DatasetPreview, listing: Option<&Listing>) -> String {
    let DatasetPreview { name, state, source, verify, .. } = dataset;
    let counted = if let Some(table) = &dataset.table {
        format!("{} at {source}", estimated(table))
    } else if let Some(records) = dataset.records {
        let (records, bytes) = (render::records(records), ByteCount(dataset.bytes.unwrap_or(0)));
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
        let _ = writeln!(text, "{}", table.without_zeros(FIRST_RARE).render(4));
    }
    if let Some(listing) = listing {
        text.push_str(&listing.text(dataset));
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
        let _ = write!(text, "    source requests: about {}", Grouped(dataset.source_requests));
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
    cells.extend([create, replace, compare, skip, delete, extra].map(|number| Grouped(*number).to_string()));
    cells.extend([ByteCount(target.bytes).to_string(), Grouped(target.requests).to_string()]);
    cells
}
