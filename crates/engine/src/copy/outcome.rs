//! What an answer or an error of a store means for a record.

use crate::{
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want},
    error::is_fatal,
    failed::Failed,
};
use migrate_ledger::Pair;
use migrate_store::{ErrorKind, Retry, StoreError};

impl Copier {
    /// The outcome of a write; it also counts towards the target's lane.
    pub(crate) fn outcome(
        &self,
        follower: &Follower,
        last_chance: bool,
        written: Result<(&Want, Pair), StoreError>,
    ) -> Outcome {
        match written {
            Ok((want, pair)) => {
                follower.lane.did();
                let over_unknown = matches!(want, Want::Look(found) if found.size == pair.lead.size);
                Outcome::Copied { pair, over_unknown }
            }
            Err(error) => self.unwritten(follower, last_chance, error),
        }
    }

    /// The outcomes of a record whose source could not be read.
    pub(super) fn unread(&self, job: Job, outcomes: Outcomes, error: StoreError) -> Outcomes {
        if is_fatal(&error) || error.kind() == ErrorKind::Unreachable {
            self.fatal(error);
            return all(job, outcomes, || Outcome::Interrupted);
        }
        if error.kind().retry() == Retry::Permanent || job.last_chance {
            let failed = Failed::by(&error, "");
            return all(job, outcomes, || Outcome::Failed(failed.clone()));
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
