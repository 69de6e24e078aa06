//! The ledger's rows of records, uploads and shards, in the form in which they are written and returned.

use migrate_core::{
    diff,
    model::{Aspects, Evidence, Key, KeyRange, PlaceIndex, Sha256, ShardId, Timestamp, Token},
    shard::{Cursor, Tally},
};

/// The lead and a follower show the same record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The lead's token.
    pub lead: Token,
    /// The follower's token, of equal size.
    pub follower: Token,
    /// What was read and proved; `None` if both were found equal without reading them.
    pub evidence: Option<Evidence>,
    /// Kinds of properties that were neither copied nor compared when this was paired.
    pub waived: Aspects,
    /// Whether this migration wrote the follower's version; otherwise it was found there.
    pub written: bool,
}

impl Pair {
    /// Whether `shown`, which the follower shows, is what this migration wrote. A version of which nothing tells that was
    /// found there, like any other.
    pub fn has_written(&self, shown: &Token) -> bool {
        self.written && self.follower.covers(shown)
    }
}

/// What a follower holds of a record, seen from its lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The lead's token of the same content; `None` if the lead has shown another content since.
    pub lead: Option<Token>,
    /// The follower's token.
    pub here: Token,
    /// What was read of the content and proved, if the ledger knows it.
    pub evidence: Option<Evidence>,
    /// Kinds of properties that were neither copied nor compared, at the lead or here.
    pub waived: Aspects,
    /// Whether this migration wrote the follower's version.
    pub written: bool,
}

impl Held {
    /// What is held, judged by the kinds of properties that may be lost now.
    pub fn paired(&self, waived: Aspects) -> diff::Paired<'_> {
        diff::Paired { lead: self.lead.as_ref(), follower: &self.here, whole: waived.holds(self.waived) }
    }

    /// The pair, if lead and follower were equal.
    pub fn pair(self) -> Option<Pair> {
        let Self { lead, here, evidence, waived, written } = self;
        lead.map(|lead| Pair { lead, follower: here, evidence, waived, written })
    }
}

/// What a follower holds, with key and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The follower.
    pub place: PlaceIndex,
    /// What it holds.
    pub held: Held,
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

/// An unclaimed upload with its key and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclaimedRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The place.
    pub place: PlaceIndex,
    /// The request and its candidates.
    pub upload: Unclaimed,
}

/// An upload under way, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The place.
    pub place: PlaceIndex,
    /// The intent from before the request.
    pub intent: UploadIntent,
    /// Upload id from the store; `None` if a crash came between intent and answer.
    pub id: Option<String>,
    /// The parts at the place, ascending by number.
    pub parts: Vec<WrittenPart>,
}

/// A part at the place, with its digests.
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
    /// Cursor and tally of each place that has moved; an absent place is at the start.
    pub places: Vec<(PlaceIndex, Cursor, Tally)>,
}

/// A waiting record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The place.
    pub place: PlaceIndex,
    /// Why it failed; `None` if it has not failed.
    pub reason: Option<String>,
}

/// What a record waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To be copied: its place was slow or silent at its turn.
    Deferred = 0,
    /// For the operator: it could not be copied.
    Failed = 1,
    /// To be deleted at the place, once every listing has ended cleanly.
    Doomed = 2,
    /// To be copied over the place's object, which a verification found to be different.
    Damaged = 3,
}

impl Open {
    pub(crate) const ALL: [Self; 4] = [Self::Deferred, Self::Failed, Self::Doomed, Self::Damaged];
}

/// How many records of a place are paired and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records proved to be at the place.
    pub paired: u64,
    /// Bytes of the paired records.
    pub paired_bytes: u64,
    /// Records that wait to be copied later.
    pub deferred: u64,
    /// Records that could not be copied.
    pub failed: u64,
    /// Records to be deleted.
    pub doomed: u64,
    /// Records to be copied over the place's object.
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

impl diff::Keyed for HeldRow {
    fn key(&self) -> &Key {
        &self.key
    }
}

impl diff::KeyedHolding for HeldRow {
    fn place(&self) -> PlaceIndex {
        self.place
    }
}
