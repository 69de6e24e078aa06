//! The ledger's rows of records, uploads and shards, in the form in which they are written and returned.

use migrate_core::{
    diff,
    model::{Aspects, Evidence, Key, KeyRange, Sha256, ShardId, TargetIndex, Timestamp, Token},
    shard::{Cursor, Tally},
};

/// Which source version became which target version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The source's token.
    pub source: Token,
    /// The target's token, of equal size.
    pub target: Token,
    /// What was read and proved; `None` if both sides were found equal without reading them.
    pub evidence: Option<Evidence>,
    /// Kinds of properties that were neither copied nor compared when this was paired.
    pub waived: Aspects,
}

impl Pair {
    /// The pair, judged by the kinds of properties that may be lost now.
    pub fn paired(&self, waived: Aspects) -> diff::Paired<'_> {
        diff::Paired { source: &self.source, target: &self.target, whole: waived.holds(self.waived) }
    }
}

/// A pair with its key and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// Index of the target in the dataset, from 0.
    pub target: TargetIndex,
    /// Source and target version of the record.
    pub pair: Pair,
}

/// The intent of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadIntent {
    /// The source version that is being copied.
    pub source: Token,
    /// Size of every part but the last.
    pub part_size: u64,
    /// When the request left, in milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// The ids of the key's earlier uploads, so that a later one can be told from them; `None` if the store did not
    /// list them.
    pub before: Option<Vec<String>>,
}

/// An upload that was requested, and whose id is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// When the request left, in milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// As in [`UploadIntent::before`].
    pub before: Option<Vec<String>>,
    /// The ids of uploads that may be it, from the last listing.
    pub ids: Vec<String>,
}

/// An unclaimed upload with its key and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclaimedRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// Index of the target in the dataset, from 0.
    pub target: TargetIndex,
    /// The request and its candidates.
    pub upload: Unclaimed,
}

/// An upload under way, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// Index of the target in the dataset, from 0.
    pub target: TargetIndex,
    /// The intent from before the request.
    pub intent: UploadIntent,
    /// Upload id from the store; `None` if a crash came between intent and answer.
    pub id: Option<String>,
    /// The parts at the target, ascending by number.
    pub parts: Vec<WrittenPart>,
}

/// A part at the target, with its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPart {
    /// Part number, from 1.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// Tag that the store gave the part.
    pub tag: String,
    /// SHA-256 of the part's bytes.
    pub sha256: Sha256,
    /// CRC-64/NVME of the part's bytes.
    pub crc64nvme: u64,
}

/// A shard of the current pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// Unique in the ledger.
    pub id: ShardId,
    /// The keys of the shard.
    pub range: KeyRange,
    /// Cursor and tally of each target that has moved; an absent target is at the start.
    pub targets: Vec<(TargetIndex, Cursor, Tally)>,
}

/// A waiting record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// Index of the target in the dataset, from 0.
    pub target: TargetIndex,
    /// Why it failed; `None` if it has not failed.
    pub reason: Option<String>,
}

/// What a record waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To be copied: its target was slow or silent at its turn.
    Deferred = 0,
    /// For the operator: it could not be copied.
    Failed = 1,
    /// To be deleted at the target, once every listing has ended cleanly.
    Doomed = 2,
    /// To be copied over the target's object, which a verification found to be different.
    Damaged = 3,
}

impl Open {
    pub(crate) const ALL: [Self; 4] = [Self::Deferred, Self::Failed, Self::Doomed, Self::Damaged];
}

/// How many records of a target are paired and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records proved to be at the target.
    pub paired: u64,
    /// Bytes of the paired records.
    pub paired_bytes: u64,
    /// Records that wait to be copied later.
    pub deferred: u64,
    /// Records that could not be copied.
    pub failed: u64,
    /// Records to be deleted.
    pub doomed: u64,
    /// Records to be copied over the target's object.
    pub damaged: u64,
}

impl Counts {
    /// How many records wait for this.
    pub fn waiting(&self, why: Open) -> u64 {
        match why {
            Open::Deferred => self.deferred,
            Open::Failed => self.failed,
            Open::Doomed => self.doomed,
            Open::Damaged => self.damaged,
        }
    }

    pub(super) fn waiting_mut(&mut self, why: Open) -> &mut u64 {
        match why {
            Open::Deferred => &mut self.deferred,
            Open::Failed => &mut self.failed,
            Open::Doomed => &mut self.doomed,
            Open::Damaged => &mut self.damaged,
        }
    }
}

impl migrate_core::diff::Keyed for PairRow {
    fn key(&self) -> &Key {
        &self.key
    }
}

impl migrate_core::diff::KeyedPair for PairRow {
    fn target(&self) -> TargetIndex {
        self.target
    }
}
