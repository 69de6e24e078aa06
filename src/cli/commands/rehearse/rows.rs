//! What a rehearsal found of each dataset.

use serde::Serialize;

use crate::cli::render;
use migrate_core::model::{ByteCount, DatasetName, SiteName};
use migrate_engine::standing::{DatasetStanding, Proof};
use migrate_rehearsal::Promise;

/// The last verification, if it found all equal.
pub(super) fn proved(one: &DatasetStanding) -> Option<&Proof> {
    one.verification.as_ref().filter(|proof| proof.equal)
}

/// The last proof, as a phrase.
pub(super) fn proof(one: &DatasetStanding) -> Option<String> {
    let proof = proved(one)?;
    Some(match proof.compared {
        Some(compared) => format!("{} ({})", proof.decided, render::count(compared, "comparison", "comparisons")),
        None => proof.decided.to_string(),
    })
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) phase: String,
    pub(super) name: DatasetName,
    pub(super) state: &'static str,
    pub(super) from: SiteName,
    /// The site that leads, or the sites of its parts.
    pub(super) lead: String,
    pub(super) epoch: u64,
    pub(super) targets: usize,
    /// Objects, or the items of a table; `None` before they are known.
    pub(super) records: Option<u64>,
    /// Their bytes; `None` for a table, whose items are not counted one by one.
    pub(super) bytes: Option<ByteCount>,
    pub(super) passes: u64,
    pub(super) is_table: bool,
    /// The last proof, as a phrase.
    pub(super) proof: Option<String>,
    /// What decided that all is equal, if that is proved.
    #[serde(skip)]
    pub(super) equal_by: Option<String>,
    /// Records compared by the last verification, over all targets; `None` if there was none, or its number is not known.
    pub(super) compared: Option<u64>,
    /// Differences that it found, and records that it could not judge.
    pub(super) differences: u64,
    pub(super) late_writes: u64,
    pub(super) waits_for: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) dataset: DatasetName,
    pub(super) written_at_old_lead: usize,
    pub(super) written_at_new_lead: usize,
    pub(super) broken: Vec<String>,
}

impl From<Promise> for Told {
    fn from(promise: Promise) -> Self {
        Self {
            dataset: promise.dataset,
            written_at_old_lead: promise.before,
            written_at_new_lead: promise.after,
            broken: promise.broken.iter().map(ToString::to_string).collect(),
        }
    }
}
