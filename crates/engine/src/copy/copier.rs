//! What copying the records of one dataset is made from, what it is asked, and what comes of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicU64, AtomicUsize},
};

use tokio::time::Instant;

use crate::sink::Sink;
use crate::{budget::Budget, journal::Journal, shutdown::Shutdown};
use migrate_core::model::{Aspects, DatasetName, Key, TargetIndex, Token};
use migrate_ledger::Pair;
use migrate_store::{Condition, ErrorKind, ObjectStore, StoreError};

/// One dataset's stores, and what its copying keeps to.
#[derive(Debug)]
pub(crate) struct Copier {
    pub(crate) dataset: DatasetName,
    pub(crate) source: Arc<dyn ObjectStore>,
    pub(crate) targets: Vec<Follower>,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
    pub(crate) journal: Journal,
    pub(crate) sink: Sink,
    /// Failed records told so far.
    pub(crate) failures_told: AtomicU64,
    /// Largest share of the writes in flight that one target may hold while others have room.
    pub(crate) lane_max: usize,
}

/// One target of the dataset.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) index: TargetIndex,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The plan's part size, in bytes.
    pub(crate) part_size: Option<u64>,
    /// What need not survive there.
    pub(crate) waived: Aspects,
    /// Writes in flight.
    pub(crate) in_flight: AtomicUsize,
    /// Since when its share of the writes in flight is used up.
    pub(crate) crowded_since: Mutex<Option<Instant>>,
    /// Records in a row that it did not answer.
    pub(crate) silent: AtomicU32,
}

/// What is to be done with one record.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) key: Key,
    /// The version that the listing showed.
    pub(crate) source: Token,
    pub(crate) wants: Vec<(TargetIndex, Want)>,
    /// There is no later pass: what would be deferred has failed.
    pub(crate) last_chance: bool,
}

/// What one target has in place of the record.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// Nothing.
    Create,
    /// This version, which is not the one wanted.
    Replace(Token),
    /// This version, which may be equal: nobody has looked yet.
    Look(Token),
    /// The paired version: its bytes are those of the source, and its properties may not all be.
    Review(Pair),
}

impl Want {
    /// The condition under which a write was decided.
    pub(crate) fn condition(&self) -> Condition {
        match self {
            Self::Create => Condition::Absent,
            Self::Replace(token) | Self::Look(token) | Self::Review(Pair { target: token, .. }) => {
                Condition::Matches(token.clone())
            }
        }
    }
}

/// What became of the record at one target.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was equal already.
    Same(Pair),
    /// It was written.
    Copied {
        pair: Pair,
        /// Something of this size was there that no ledger knew of.
        over_unknown: bool,
    },
    /// It is left for later.
    Deferred,
    /// It could not be brought over.
    Failed(String),
    /// The source no longer has it.
    Gone,
    /// The run was asked to stop; nothing was decided.
    Interrupted,
}

/// What became of a record, per target.
pub(crate) type Outcomes = Vec<(TargetIndex, Outcome)>;

/// Whether an error concerns the whole endpoint.
pub(crate) fn is_fatal(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Credentials
            | ErrorKind::WrongRegion
            | ErrorKind::ClockSkew
            | ErrorKind::NoContainer
            | ErrorKind::Full
            | ErrorKind::Unsynced
            | ErrorKind::Forbidden
    )
}
