//! The copier of one dataset, its jobs and their outcomes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;

use crate::{
    budget::Budget, copy::lane::TargetLane, failed::Failed, journal::Journal, routed::Router, shutdown::Shutdown,
    sink::Sink,
};
use migrate_core::{
    model::{Aspects, DatasetName, Evidence, Key, PlaceIndex, Token},
    report::{EventKind, Redactor},
};
use migrate_ledger::Pair;
use migrate_store::{
    Condition, ErrorKind, Head, ObjectStore, Properties, StoreError, is_listed,
    survive::{self, Shape},
};

/// Failed records that are told one by one, each time a dataset runs.
const FAILURES_TOLD_MAX: u64 = 10_000;

/// The stores of one dataset, and the bounds within which its records are copied.
#[derive(Debug)]
pub(crate) struct Copier {
    pub(crate) dataset: DatasetName,
    /// The place that leads.
    pub(crate) lead: PlaceIndex,
    /// Its store.
    pub(crate) source: Arc<dyn ObjectStore>,
    /// Where its objects belong.
    pub(crate) router: Router,
    pub(crate) followers: Vec<Follower>,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
    pub(crate) journal: Journal,
    pub(crate) sink: Sink,
    pub(crate) redactor: Redactor,
    /// Failed records that were told so far.
    pub(crate) failures_told: AtomicU64,
}

/// One target of a dataset.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) place: PlaceIndex,
    /// Its location, as the plan names it.
    pub(crate) at: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The plan's part size, in bytes.
    pub(crate) part_size: Option<u64>,
    /// The properties that need not survive there.
    pub(crate) waived: Aspects,
    /// Whether it led before: what another writer has written there since is never written over, unless somebody has
    /// settled it.
    pub(crate) has_led: bool,
    /// Writes in flight at the target.
    pub(crate) in_flight: AtomicUsize,
    /// The time since which it has no room.
    pub(crate) crowded_since: Mutex<Option<Instant>>,
    /// Whether it takes part in the run.
    pub(crate) lane: TargetLane,
}

/// One record to copy.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) key: Key,
    /// The version that the listing showed.
    pub(crate) source: Token,
    pub(crate) wants: Vec<(PlaceIndex, Want)>,
    /// What places show that led before, if it is neither what they held nor what this migration wrote there.
    pub(crate) disputed: Vec<(PlaceIndex, Option<Token>)>,
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
            Self::Replace(token) | Self::Look(token) | Self::Review(Pair { follower: token, .. }) => {
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
    /// The record could not be copied, for this reason.
    Failed(Failed),
    /// The source no longer has it.
    Gone,
    /// The place led before, and another writer has written this there, or deleted it: it stays.
    Late(Option<Token>),
    /// The lane of the target is down; nothing was decided.
    Held,
    /// The run was asked to stop; nothing was decided.
    Interrupted,
}

/// The outcomes of a job, per target.
pub(crate) type Outcomes = Vec<(PlaceIndex, Outcome)>;

/// Refuses what was read if it does not have the checksum that its store keeps.
pub(super) fn must_match(head: &Head, evidence: &Evidence, key: &Key) -> Result<(), StoreError> {
    if head.checksums.crc64nvme.is_none_or(|crc| crc == evidence.crc64nvme) {
        return Ok(());
    }
    let detail = "what was read does not have the checksum that the source keeps";
    Err(StoreError::new(ErrorKind::Corrupt, "read", "the source", detail).on(key))
}

impl Copier {
    /// The follower at a place.
    ///
    /// # Panics
    ///
    /// Panics if the place does not follow.
    pub(crate) fn follower(&self, place: PlaceIndex) -> &Follower {
        self.followers.iter().find(|follower| follower.place == place).expect("the place follows")
    }

    /// Looks at the source, also at its tags if a target is to have them.
    pub(crate) async fn look_at_source(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        survive::look(&*self.source, key, self.wants_tags()).await
    }

    /// Whether the source no longer has a record, by its listing: a single "not found" may come
    /// from a proxy between us and the store, and must not make us forget a record.
    pub(crate) async fn is_gone(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(!is_listed(&*self.source, key).await?)
    }

    /// Tells of a failed record, up to [`FAILURES_TOLD_MAX`]: a display has no use for millions.
    pub(crate) fn tell_failed(&self, target: PlaceIndex, key: &Key, failed: &Failed) {
        if self.failures_told.fetch_add(1, Ordering::Relaxed) < FAILURES_TOLD_MAX {
            self.sink.tell(EventKind::RecordFailed {
                dataset: self.dataset.clone(),
                target: self.follower(target).store.location().to_owned(),
                key: key.clone(),
                code: failed.code,
                reason: failed.reason.clone(),
            });
        }
    }

    pub(super) fn wants_tags(&self) -> bool {
        self.followers.iter().any(|follower| !follower.waived.holds(Aspects::TAGS))
    }

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

impl Follower {
    /// The object's properties that the target is given; an error if it cannot hold one that must survive.
    pub(crate) fn given(&self, head: &Head, shape: Shape) -> Result<Properties, Failed> {
        survive::given(head, shape, self.waived, &*self.store).map_err(Failed::property_lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::Modified;

    #[test]
    fn every_write_is_sent_under_the_condition_that_it_was_decided_by() {
        let shown = Token { size: 1, tag: "t".into(), modified: Modified::Unknown };
        let pair =
            Pair { lead: shown.clone(), follower: shown.clone(), evidence: None, waived: Aspects::NONE, written: true };
        assert_eq!(Want::Create.condition(), Condition::Absent);
        for want in [Want::Replace(shown.clone()), Want::Look(shown.clone()), Want::Review(pair)] {
            assert_eq!(want.condition(), Condition::Matches(shown.clone()), "{want:?}");
        }
    }
}
