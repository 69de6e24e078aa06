//! What is known of a record, for people.

use std::fmt::Write as _;

use super::record::{AtPlace, Content, InDataset, Late, Upload, Version, Waiting};
use crate::cli::render;
use migrate_core::model::{Aspects, ByteCount, Key};

/// The text, up to what is next.
pub(super) fn text(key: &Key, datasets: &[InDataset]) -> String {
    if datasets.is_empty() {
        return format!("{key}: nothing is known of it\n");
    }
    let mut text = format!("{key}\n");
    for dataset in datasets {
        text.push_str(&of_dataset(dataset));
    }
    text.push('\n');
    text
}

fn of_dataset(dataset: &InDataset) -> String {
    let mut text = format!("\ndataset {}: {}\n", dataset.name, dataset.state);
    if let Some(Content { crc64nvme, sha256, parts }) = &dataset.content {
        let _ = writeln!(text, "  content: CRC-64/NVME {crc64nvme}");
        let _ = match sha256 {
            Some(sha256) => writeln!(text, "           SHA-256 {sha256}"),
            None => {
                writeln!(text, "           in {} with a SHA-256 each", render::count(*parts as u64, "part", "parts"))
            }
        };
    }
    if dataset.item {
        text.push_str("  an item of a table: only what a place owes of it, and late writes, are kept one by one\n");
    }
    let _ = match &dataset.proved {
        Some(proof) => writeln!(text, "  proved at {}, with its dataset, at level {}", proof.at, proof.level),
        None => writeln!(text, "  not proved by now"),
    };
    for place in &dataset.places {
        text.push_str(&of_place(place, dataset.item));
    }
    if let Some(late) = &dataset.late_write {
        text.push_str(&of_late(late));
    }
    text
}

fn of_place(place: &AtPlace, item: bool) -> String {
    let leads = if place.leads { " (leads)" } else { "" };
    let mut text = format!("  {}{leads}: ", place.location);
    let _ = match (place.state, &place.copied_at) {
        ("unknown", _) if item && place.owed_since.is_none() => writeln!(text, "owes nothing that is known"),
        ("unknown", _) => writeln!(text, "nothing is known"),
        ("behind", _) => writeln!(text, "holds an older content"),
        (_, Some(at)) if place.written => writeln!(text, "copied at {at}"),
        (_, Some(at)) => writeln!(text, "found equal at {at}"),
        (_, None) => writeln!(text, "holds the content"),
    };
    if let Some(version) = &place.version {
        let _ = writeln!(text, "    version: {}", of_version(version));
    }
    if place.waived != Aspects::NONE {
        let _ = writeln!(text, "    not copied or compared: {}", place.waived.names().collect::<Vec<_>>().join(", "));
    }
    for Waiting { kind, reason, at } in &place.waits {
        let kind = match *kind {
            "deferred" => "copied later",
            "failed" => "FAILED",
            "doomed" => "to be deleted",
            _ => "to be copied again",
        };
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ = writeln!(text, "    {kind}{at}{reason}");
    }
    if let Some(Upload { since, id, bytes, parts_written, parts }) = &place.upload {
        let id = id.as_ref().map_or_else(|| "without an id yet".to_owned(), |id| format!("id {id}"));
        let bytes = ByteCount(*bytes);
        let _ = writeln!(text, "    upload since {since}: {parts_written} of {parts} parts of {bytes}, {id}");
    }
    for at in &place.unclaimed {
        let _ = writeln!(text, "    an upload was asked for at {at} without an answer, and may be left there");
    }
    if let Some(since) = place.unknown_since {
        let _ = writeln!(text, "    a write got no answer and was given up at {since}: it may still act");
    }
    if let Some(since) = place.owed_since {
        let _ = writeln!(text, "    owed since {since}: it has changed at the lead");
    }
    text
}

fn of_version(version: &Version) -> String {
    let modified = version.modified.map(|at| format!(", modified at {at}")).unwrap_or_default();
    format!("{}, tag {}{modified}", ByteCount(version.bytes), version.tag)
}

fn of_late(late: &Late) -> String {
    let shown = late.version.as_ref().map_or_else(|| "deleted there, or an item".to_owned(), of_version);
    let mut text = format!("  LATE: written at the old lead after its lead had moved: {shown}\n");
    let _ = match (&late.settled_at, &late.by) {
        (None, _) => writeln!(text, "    open: a person has to decide"),
        (Some(at), None) => writeln!(text, "    settled at {at}: both leads were found equal"),
        (Some(at), Some(by)) => {
            let reason = late.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(text, "    resolved by {by} at {at}{reason}")
        }
    };
    text
}
