//! What the ledger holds of records, uploads and shards, as it is written and given back.

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
    /// What was read and proved; `None` where both sides were found equal without reading them.
    pub evidence: Option<Evidence>,
    /// What need not have been brought over, nor compared, when this was paired.
    pub waived: Aspects,
}

impl Pair {
    /// What was paired, judged by what need not survive now.
    pub fn paired(&self, waived: Aspects) -> diff::Paired<'_> {
        diff::Paired { source: &self.source, target: &self.target, whole: waived.holds(self.waived) }
    }
}

/// A pair with where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRow {
    /// The key.
    pub key: Key,
    /// The target.
    pub target: TargetIndex,
    /// The pair.
    pub pair: Pair,
}

/// The intent to upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadIntent {
    /// The key.
    pub key: Key,
    /// The source version that is being copied.
    pub source: Token,
    /// Size of every part but the last.
    pub part_size: u64,
    /// When the request left.
    pub at: Timestamp,
    /// The ids of the key's uploads that were there before, so that a later one can be told from them;
    /// `None` where the store did not list them.
    pub before: Option<Vec<String>>,
}

/// An upload that was asked for, whose id was never learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// The key.
    pub key: Key,
    /// When the request left.
    pub at: Timestamp,
    /// As in [`UploadIntent::before`].
    pub before: Option<Vec<String>>,
    /// The uploads that may be it, as they were listed last.
    pub ids: Vec<String>,
}

/// An unclaimed upload with where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclaimedRow {
    /// The target.
    pub target: TargetIndex,
    /// The upload.
    pub upload: Unclaimed,
}

/// An upload under way, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The target.
    pub target: TargetIndex,
    /// The intent.
    pub intent: UploadIntent,
    /// The store's name for it; `None` where a crash came between intent and answer.
    pub id: Option<String>,
    /// The parts that are at the target, ascending by number.
    pub parts: Vec<WrittenPart>,
}

/// A part that is at the target, with its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPart {
    /// Its number, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The store's tag for it.
    pub tag: String,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its CRC-64/NVME.
    pub crc64nvme: u64,
}

/// A shard of the pass under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// Its id.
    pub id: ShardId,
    /// Its keys.
    pub range: KeyRange,
    /// Cursor and tally per target that has moved; a target that is absent is at the start.
    pub targets: Vec<(TargetIndex, Cursor, Tally)>,
}

/// A record that waits for another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRow {
    /// The key.
    pub key: Key,
    /// The target.
    pub target: TargetIndex,
    /// Why it failed; `None` where it was deferred.
    pub reason: Option<String>,
}

/// What a record waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To be copied: its target was slow or silent when its turn came.
    Deferred = 0,
    /// For the operator: it could not be brought over.
    Failed = 1,
    /// To be deleted at the target, once every listing has ended cleanly.
    Doomed = 2,
    /// To be copied over what the target holds, which a verification found to be different.
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
    /// Their bytes.
    pub paired_bytes: u64,
    /// Records deferred.
    pub deferred: u64,
    /// Records failed.
    pub failed: u64,
    /// Records to be deleted.
    pub doomed: u64,
    /// Records to be copied over what is there.
    pub damaged: u64,
}

impl Counts {
    /// How many wait for this.
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
