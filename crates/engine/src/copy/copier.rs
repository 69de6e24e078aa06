//! The copier of one dataset, its jobs and their outcomes.

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

/// The stores of one dataset, and the bounds within which its records are copied.
#[derive(Debug)]
pub(crate) struct Copier {
    pub(crate) dataset: DatasetName,
    pub(crate) source: Arc<dyn ObjectStore>,
    pub(crate) targets: Vec<Follower>,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
    pub(crate) journal: Journal,
    pub(crate) sink: Sink,
    /// Failed records that were told so far.
    pub(crate) failures_told: AtomicU64,
    /// Writes in flight at which a target's lane is full.
    pub(crate) lane_max: usize,
}

/// One target of a dataset.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) index: TargetIndex,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The plan's part size, in bytes.
    pub(crate) part_size: Option<u64>,
    /// The properties that need not survive there.
    pub(crate) waived: Aspects,
    /// Writes in flight at the target.
    pub(crate) in_flight: AtomicUsize,
    /// The time since which its lane is full.
    pub(crate) crowded_since: Mutex<Option<Instant>>,
    /// Records in a row that it did not answer.
    pub(crate) silent: AtomicU32,
}

/// One record to copy.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) key: Key,
    /// The version that the listing showed.
    pub(crate) source: Token,
    pub(crate) wants: Vec<(TargetIndex, Want)>,
    /// Whether the record fails instead of being deferred.
    pub(crate) last_chance: bool,
}

/// What one target holds in place of the record.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// No object.
    Create,
    /// This version, which is to be replaced.
    Replace(Token),
    /// This version, which has no pair and may be equal.
    Look(Token),
    /// The paired version: its bytes are those of the source, but some of its properties may not be.
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

/// The outcome of a job at one target.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The record was already equal.
    Same(Pair),
    /// The record was written.
    Copied {
        pair: Pair,
        /// Whether it replaced an object of the same size that had no pair.
        over_unknown: bool,
    },
    /// The record is left for later.
    Deferred,
    /// The record could not be copied; the text says why.
    Failed(String),
    /// The source no longer has it.
    Gone,
    /// The run was asked to stop; nothing was decided.
    Interrupted,
}

/// The outcomes of a job, per target.
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
            | ErrorKind::ClaimLost
    )
}

impl Copier {
    /// Ends the run because of an error that concerns a whole endpoint; if only this dataset may no longer be written,
    /// ends the work on it alone. Its stores hold the reason.
    pub(crate) fn fatal(&self, error: StoreError) {
        if error.kind() == ErrorKind::ClaimLost {
            self.shutdown.drain();
        } else {
            self.journal.fatal(error);
        }
    }
}
