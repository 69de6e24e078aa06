//! What an answer of one target means for its lane, and for the records behind it.
//!
//! Nothing is read from the lead for a target whose lane is not open.

use crate::{
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes},
    error::EngineError,
    error::is_fatal,
    failed::Failed,
};
use migrate_core::{
    lane::{Answer, Lane},
    model::PlaceIndex,
    report::EventKind,
};
use migrate_store::{ErrorKind, Retry, StoreError};

/// What an error at a target tells about its lane; `None` if the record alone is the reason.
fn answer_of(error: &StoreError) -> Option<Answer<ErrorKind>> {
    match error.kind() {
        _ if is_fatal(error) => Some(Answer::Closed),
        // Also how servers refuse for reasons of the whole bucket, as a key that is disabled.
        kind @ (ErrorKind::Denied | ErrorKind::Other) => Some(Answer::Refused(kind)),
        ErrorKind::Throttled
        | ErrorKind::TimedOut
        | ErrorKind::Unreachable
        | ErrorKind::Unavailable
        | ErrorKind::Garbled => Some(Answer::Silent),
        _ => None,
    }
}

impl Copier {
    /// The outcome of an error at a target, which counts towards its lane. A refusal that may concern more than the
    /// record gets a second chance after the shards, so that no record counts as failed if the lane closes meanwhile.
    pub(crate) fn unwritten(&self, follower: &Follower, last_chance: bool, error: StoreError) -> Outcome {
        if stops_all(&error) {
            self.fatal(error);
            return Outcome::Interrupted;
        }
        // A condition that did not hold is decided anew by a later look: perhaps a write of a stopped run came after all.
        let passes = error.kind().retry() != Retry::Permanent || error.kind() == ErrorKind::Precondition;
        let failed = Failed::by(&error, &follower.at);
        let Some(answer) = answer_of(&error) else {
            return if passes && !last_chance { Outcome::Deferred } else { Outcome::Failed(failed) };
        };
        match self.take(follower, answer, error.into()) {
            Lane::Down => Outcome::Held,
            Lane::Open | Lane::Suspended(_) if last_chance => Outcome::Failed(failed),
            Lane::Open | Lane::Suspended(_) => Outcome::Deferred,
        }
    }

    /// A target did not list a range to its end. If it refused, its lane closes; otherwise the shard is taken up again.
    pub(crate) fn unlisted(&self, follower: &Follower, error: EngineError) {
        if matches!(&error, EngineError::Store(error) if error.kind().retry() == Retry::Permanent) {
            self.close(follower, error);
        } else {
            follower.lane.keep_unlisted(error);
        }
    }

    /// Closes the lane of a target that did not list a range to its end, however often it was asked.
    pub(crate) fn close_unlisted(&self, follower: &Follower) {
        let error = follower.lane.take_unlisted();
        let otherwise = || EngineError::Unfinished { dataset: self.dataset.clone() };
        self.close(follower, error.unwrap_or_else(otherwise));
    }

    /// Closes the lane of a target, and tells of it.
    pub(crate) fn close(&self, follower: &Follower, error: EngineError) {
        self.take(follower, Answer::Closed, error);
    }

    fn take(&self, follower: &Follower, answer: Answer<ErrorKind>, error: EngineError) -> Lane {
        let (lane, closed) = follower.lane.take(answer, error);
        if closed && let Some((reason, help)) = self.why_down(follower) {
            let (dataset, target) = (self.dataset.clone(), follower.at.clone());
            let code = follower.lane.why_down(EngineError::code).unwrap_or("other");
            self.sink.tell(EventKind::TargetDown { dataset, target, code, reason, help });
        }
        lane
    }

    /// Why a target is down, and what the operator can do about it; `None` if it is not down.
    pub(crate) fn why_down(&self, follower: &Follower) -> Option<(String, Option<String>)> {
        const STAYS: &str = "set follow_back = false if the old lead is to stay as it was";
        let help = |error: &EngineError| match (error.mend(), follower.has_led) {
            (Some(mend), true) => Some(format!("{mend}; or {STAYS}")),
            (None, true) => Some(STAYS.to_owned()),
            (mend, false) => mend.map(str::to_owned),
        };
        follower.lane.why_down(|error| (error.shown(self.redactor), help(error)))
    }

    /// Takes from a job the targets whose lanes are not open.
    pub(super) fn hold_back(&self, job: &mut Job, outcomes: &mut Outcomes) {
        let last_chance = job.last_chance;
        let mut is_open = |target: PlaceIndex| {
            let lane = &self.follower(target).lane;
            let held = if lane.is_down() {
                Outcome::Held
            } else if lane.suspended_until().is_some() && !last_chance {
                Outcome::Deferred
            } else {
                return true;
            };
            outcomes.push((target, held));
            false
        };
        job.wants.retain(|(target, _)| is_open(*target));
        job.disputed.retain(|(target, _)| is_open(*target));
    }
}

/// Whether an error ends more than the lane of one target: the claim of the dataset is lost, or a rule of this tool
/// forbids the write.
fn stops_all(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::ClaimLost | ErrorKind::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "write", "s3://a/b/", "it did not")
    }

    #[test]
    fn what_is_the_records_own_says_nothing_of_the_lane() {
        for kind in [ErrorKind::Precondition, ErrorKind::KeyUnholdable, ErrorKind::Corrupt, ErrorKind::Unsupported] {
            assert_eq!(answer_of(&error(kind)), None, "{kind:?}");
        }
        assert_eq!(answer_of(&error(ErrorKind::Denied)), Some(Answer::Refused(ErrorKind::Denied)));
        assert_eq!(answer_of(&error(ErrorKind::TimedOut)), Some(Answer::Silent));
        assert_eq!(answer_of(&error(ErrorKind::NoContainer)), Some(Answer::Closed));
    }
}
