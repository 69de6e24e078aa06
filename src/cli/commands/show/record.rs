//! What a dataset knows of one record, as values.

use serde::Serialize;

use migrate_core::{
    model::{Aspects, DatasetName, Evidence, Key, PlaceIndex, Timestamp, Token},
    plan::Dataset,
    report::Redactor,
};
use migrate_engine::standing::DatasetStanding;
use migrate_ledger::{Known, LateWrite, Open, UploadRow, Waits};

/// What a dataset knows of a record.
#[derive(Debug, Serialize)]
pub(super) struct InDataset {
    /// The dataset's name.
    pub(super) name: DatasetName,
    /// The state of the whole dataset.
    pub(super) state: &'static str,
    /// Whether it is an item of a table: of these the ledger keeps only what is owed or late.
    pub(super) item: bool,
    /// What was read and proved of the content that was copied last; `None` if it was found equal without reading.
    pub(super) content: Option<Content>,
    /// When the last verification proved the dataset, and this record with it; `None` if none has since it was copied.
    pub(super) proved: Option<Proved>,
    /// Every place of the dataset, in the plan's order.
    pub(super) places: Vec<AtPlace>,
    /// The write at the old lead that came too late, if there was one.
    pub(super) late_write: Option<Late>,
}

/// The digests of a content.
#[derive(Debug, Serialize)]
pub(super) struct Content {
    /// CRC-64/NVME of all bytes, in hexadecimal digits.
    pub(super) crc64nvme: String,
    /// SHA-256 of all bytes, in hexadecimal digits; `None` if it was copied in parts.
    pub(super) sha256: Option<String>,
    /// The number of parts in which it was copied.
    pub(super) parts: usize,
}

/// The proof of the dataset.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Proved {
    pub(super) at: String,
    /// The level of the verification.
    pub(super) level: String,
}

/// What is known of the record at one place.
#[derive(Debug, Serialize)]
pub(super) struct AtPlace {
    /// The place's location, as in the plan.
    pub(super) location: String,
    /// Whether this place leads.
    pub(super) leads: bool,
    /// In one word: `holds` the content that was copied last, is `behind` with an older one, or nothing is known
    /// (`unknown`).
    pub(super) state: &'static str,
    /// The version that the place showed last.
    pub(super) version: Option<Version>,
    /// Whether this migration wrote that version; otherwise it was found there.
    pub(super) written: bool,
    /// When it was written, or found equal; `None` of the place that led then.
    pub(super) copied_at: Option<Timestamp>,
    /// Kinds of properties that were neither copied nor compared.
    pub(super) waived: Aspects,
    /// What it waits for there.
    pub(super) waits: Vec<Waiting>,
    /// The upload that is under way.
    pub(super) upload: Option<Upload>,
    /// Uploads that were asked for without an answer, and may be left there: when.
    pub(super) unclaimed: Vec<Timestamp>,
    /// When a write that got no answer was given up, and may still act.
    pub(super) unknown_since: Option<Timestamp>,
    /// Since when the place owes a change of it.
    pub(super) owed_since: Option<Timestamp>,
}

/// A version of an object.
#[derive(Debug, Serialize)]
pub(super) struct Version {
    pub(super) bytes: u64,
    /// The store's own mark of the version.
    pub(super) tag: String,
    /// When it was last modified, by the place's own clock, if it shows that.
    pub(super) modified: Option<Timestamp>,
}

/// What a record waits for.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    /// `deferred`, `failed`, `doomed` (to be deleted) or `damaged` (to be copied again).
    pub(super) kind: &'static str,
    pub(super) reason: Option<String>,
    pub(super) at: Option<Timestamp>,
}

/// An upload under way.
#[derive(Debug, Serialize)]
pub(super) struct Upload {
    pub(super) since: Timestamp,
    /// The store's id; `None` if it has not answered yet.
    pub(super) id: Option<String>,
    pub(super) bytes: u64,
    pub(super) parts_written: usize,
    pub(super) parts: u64,
}

/// A write at the old lead after its lead had moved.
#[derive(Debug, Serialize)]
pub(super) struct Late {
    /// What the old lead showed; `None` if the record was deleted there.
    pub(super) version: Option<Version>,
    /// When it was settled; `None` while it is open.
    pub(super) settled_at: Option<Timestamp>,
    /// The operator who settled it; `None` if a look found both leads equal.
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
}

/// What a dataset knows of a record.
pub(super) fn in_dataset(
    redactor: Redactor,
    dataset: &Dataset,
    standing: &DatasetStanding,
    key: &Key,
    known: &Known,
) -> InDataset {
    let lead = standing.lead_target.map_or(PlaceIndex::SOURCE, |target| PlaceIndex::at(target + 1));
    let hide = |text: &str| redactor.text(text, key);
    let copied = known.shown.iter().filter_map(|shown| shown.paired).max();
    let proof =
        standing.verification.as_ref().filter(|proof| proof.equal && (dataset.is_table() || !known.shown.is_empty()));
    let proved = proof.map(|proof| Proved { at: proof.at.clone(), level: proof.level.clone() });
    let is_since = |proof: &Proved| {
        let proved = proof.at.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        // The time of a copy is kept to the second.
        proved.is_ok_and(|proved| copied.is_none_or(|copied| copied.0 <= proved))
    };
    InDataset {
        name: dataset.name.clone(),
        state: standing.state,
        item: dataset.is_table(),
        content: known.evidence.as_ref().map(content),
        proved: proved.filter(is_since),
        places: dataset
            .places()
            .map(|(place, at)| AtPlace { leads: place == lead, ..at_place(place, at.to_string(), known, hide) })
            .collect(),
        late_write: known.late.as_ref().map(|late| late_write(late, hide)),
    }
}

fn content(evidence: &Evidence) -> Content {
    let sha256 = match &evidence.parts[..] {
        [(_, whole)] => Some(whole.to_string()),
        _ => None,
    };
    Content { crc64nvme: format!("{:016x}", evidence.crc64nvme), sha256, parts: evidence.parts.len() }
}

fn at_place(place: PlaceIndex, location: String, known: &Known, hide: impl Fn(&str) -> String) -> AtPlace {
    let shown = known.shown.iter().find(|shown| shown.place == place);
    let since =
        |moments: &[(PlaceIndex, Timestamp)]| moments.iter().find(|(at, _)| *at == place).map(|(_, since)| *since);
    AtPlace {
        location,
        leads: false,
        state: match shown {
            Some(shown) if shown.is_current => "holds",
            Some(_) => "behind",
            None => "unknown",
        },
        version: shown.map(|shown| version(&shown.token)),
        written: shown.is_some_and(|shown| shown.written),
        copied_at: shown.and_then(|shown| shown.paired),
        waived: shown.map_or(Aspects::NONE, |shown| shown.waived),
        waits: known.waits.iter().filter(|waits| waits.place == place).map(|waits| waiting(waits, &hide)).collect(),
        upload: known.uploads.iter().find(|upload| upload.place == place).map(upload),
        unclaimed: known.unclaimed.iter().filter(|(at, _)| *at == place).map(|(_, upload)| upload.at).collect(),
        unknown_since: since(&known.unknown),
        owed_since: since(&known.owed),
    }
}

fn version(token: &Token) -> Version {
    let modified = token.modified.at().and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp);
    Version { bytes: token.size, tag: token.tag.to_string(), modified }
}

fn waiting(waits: &Waits, hide: impl Fn(&str) -> String) -> Waiting {
    let kind = match waits.why {
        Open::Deferred => "deferred",
        Open::Failed => "failed",
        Open::Doomed => "doomed",
        Open::Damaged => "damaged",
    };
    Waiting { kind, reason: waits.reason.as_deref().map(hide), at: waits.at }
}

fn upload(row: &UploadRow) -> Upload {
    let (size, part) = (row.intent.source.size, row.intent.part_size);
    Upload {
        since: row.intent.at,
        id: row.id.clone(),
        bytes: size,
        parts_written: row.parts.len(),
        parts: size.div_ceil(part.max(1)),
    }
}

fn late_write(late: &LateWrite, hide: impl Fn(&str) -> String) -> Late {
    Late {
        version: late.shown.as_ref().map(version),
        settled_at: late.settled,
        by: late.by.clone(),
        reason: late.reason.as_deref().map(hide),
    }
}
