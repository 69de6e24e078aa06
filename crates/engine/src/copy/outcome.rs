//! What an answer or an error of a store means for a record.

use std::sync::atomic::Ordering;

use crate::copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want, is_fatal};
use migrate_ledger::Pair;
use migrate_store::{ErrorKind, Retry, StoreError};

impl Copier {
    /// The outcome of a write; it also counts towards whether the target is down.
    pub(crate) fn outcome(
        &self,
        follower: &Follower,
        last_chance: bool,
        written: Result<(&Want, Pair), StoreError>,
    ) -> Outcome {
        match written {
            Ok((want, pair)) => {
                follower.silent.store(0, Ordering::Relaxed);
                let over_unknown = matches!(want, Want::Look(found) if found.size == pair.lead.size);
                Outcome::Copied { pair, over_unknown }
            }
            Err(error) if error.kind().retry() == Retry::Permanent => {
                if is_fatal(&error) {
                    self.fatal(error);
                    return Outcome::Interrupted;
                }
                Outcome::Failed(error.to_string())
            }
            Err(error) => {
                follower.silent.fetch_add(1, Ordering::Relaxed);
                if last_chance {
                    if follower.is_down() {
                        // The other records would fail alike; the ledger keeps them for the next run.
                        self.fatal(error);
                        return Outcome::Interrupted;
                    }
                    return Outcome::Failed(error.to_string());
                }
                Outcome::Deferred
            }
        }
    }

    /// The outcomes of a record whose source could not be read.
    pub(super) fn unread(&self, job: Job, outcomes: Outcomes, error: StoreError) -> Outcomes {
        if is_fatal(&error) || error.kind() == ErrorKind::Unreachable {
            self.fatal(error);
            return all(job, outcomes, || Outcome::Interrupted);
        }
        if error.kind().retry() == Retry::Permanent || job.last_chance {
            let reason = error.to_string();
            return all(job, outcomes, || Outcome::Failed(reason.clone()));
        }
        all(job, outcomes, || Outcome::Deferred)
    }
}

/// Adds this outcome for every wanted target that has none yet.
pub(super) fn all(job: Job, mut outcomes: Outcomes, outcome: impl Fn() -> Outcome) -> Outcomes {
    let done: Vec<_> = outcomes.iter().map(|(target, _)| *target).collect();
    let disputed = job.disputed.into_iter().map(|(target, _)| target);
    let open = job.wants.into_iter().map(|(target, _)| target).chain(disputed).filter(|target| !done.contains(target));
    outcomes.extend(open.map(|target| (target, outcome())));
    outcomes
}
