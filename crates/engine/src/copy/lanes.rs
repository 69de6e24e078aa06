//! The lanes of a dataset's targets: what an answer of one target means for the records behind it.
//!
//! The rules are in [`lane`](migrate_core::lane). Nothing is read from the lead for a target whose lane is not open.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, is_fatal},
    error::EngineError,
    shutdown::Shutdown,
};
use migrate_core::{
    lane::{Answer, Judge, Lane},
    report::EventKind,
};
use migrate_store::{ErrorKind, Retry, StoreError};

/// The lane of one target, with the error that closed it.
#[derive(Debug)]
pub(crate) struct TargetLane {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    judge: Judge<ErrorKind>,
    /// The error that closed the lane.
    closed_by: Option<EngineError>,
    /// The error of the last listing that did not come to its end.
    unlisted: Option<EngineError>,
}

impl TargetLane {
    /// An open lane. Its target may be silent for as long as `patience`.
    pub(crate) fn open(patience: Duration) -> Self {
        let state = State { judge: Judge::new(patience), closed_by: None, unlisted: None };
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state().judge.is_down()
    }

    /// The time until which it is suspended, if it is.
    pub(crate) fn suspended_until(&self) -> Option<Instant> {
        match self.state().judge.lane(self.now()) {
            Lane::Suspended(until) => Some(self.began + until),
            Lane::Open | Lane::Down => None,
        }
    }

    /// Whether its target has done anything in this run.
    pub(crate) fn has_done(&self) -> bool {
        self.state().judge.has_done()
    }

    /// Its target did what was asked.
    pub(crate) fn did(&self) {
        self.state().judge.take(Answer::Done, self.now());
    }

    /// Counts an answer that came with an error. Returns how the lane stands after it, and whether this closed it.
    fn take(&self, answer: Answer<ErrorKind>, error: EngineError) -> (Lane, bool) {
        let now = self.now();
        let mut state = self.state();
        let was_down = state.judge.is_down();
        let lane = state.judge.take(answer, now);
        let closed = lane == Lane::Down && !was_down;
        if closed {
            state.closed_by = Some(error);
        }
        (lane, closed)
    }

    /// Waits while it is suspended; `false` if no record may begin, since it is down or the run is to stop.
    pub(crate) async fn opens(&self, shutdown: &Shutdown) -> bool {
        while let Some(until) = self.suspended_until() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = shutdown.draining() => return false,
            }
        }
        !shutdown.is_draining() && !self.is_down()
    }

    /// Looks at the error that closed it; `None` if it is not down.
    pub(crate) fn why_down<T>(&self, look: impl FnOnce(&EngineError) -> T) -> Option<T> {
        self.state().closed_by.as_ref().map(look)
    }

    /// Takes the error that closed it, with which its dataset ends.
    pub(crate) fn take_error(&self) -> Option<EngineError> {
        self.state().closed_by.take()
    }
}

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
        let (reason, passes) = (error.to_string(), error.kind().retry() != Retry::Permanent);
        let Some(answer) = answer_of(&error) else {
            return if passes && !last_chance { Outcome::Deferred } else { Outcome::Failed(reason) };
        };
        match self.take(follower, answer, error.into()) {
            Lane::Down => Outcome::Held,
            Lane::Open | Lane::Suspended(_) if last_chance => Outcome::Failed(reason),
            Lane::Open | Lane::Suspended(_) => Outcome::Deferred,
        }
    }

    /// A target did not list a range to its end. If it refused, its lane closes; otherwise the shard is taken up again.
    pub(crate) fn unlisted(&self, follower: &Follower, error: EngineError) {
        if matches!(&error, EngineError::Store(error) if error.kind().retry() == Retry::Permanent) {
            self.close(follower, error);
        } else {
            follower.lane.state().unlisted = Some(error);
        }
    }

    /// Closes the lane of a target that did not list a range to its end, however often it was asked.
    pub(crate) fn close_unlisted(&self, follower: &Follower) {
        let error = follower.lane.state().unlisted.take();
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
            let (dataset, target) = (self.dataset.clone(), follower.store.location().to_owned());
            self.sink.tell(EventKind::TargetDown { dataset, target, reason, help });
        }
        lane
    }

    /// Why a target is down, and what the operator can do about it; `None` if it is not down.
    pub(crate) fn why_down(&self, follower: &Follower) -> Option<(String, Option<String>)> {
        follower.lane.why_down(|error| (error.shown(self.redactor), error.mend().map(str::to_owned)))
    }

    /// Takes from a job the targets whose lanes are not open.
    pub(super) fn hold_back(&self, job: &mut Job, outcomes: &mut Outcomes) {
        job.wants.retain(|(target, _)| {
            let lane = &self.follower(*target).lane;
            let held = if lane.is_down() {
                Outcome::Held
            } else if lane.suspended_until().is_some() && !job.last_chance {
                Outcome::Deferred
            } else {
                return true;
            };
            outcomes.push((*target, held));
            false
        });
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

    #[test]
    fn the_error_that_closed_a_lane_is_kept_and_told_once() {
        let lane = TargetLane::open(Duration::ZERO);
        let take = |detail| {
            let error = StoreError::new(ErrorKind::Full, "write", "s3://a/b/", detail);
            lane.take(Answer::Closed, error.into())
        };
        assert_eq!(lane.why_down(ToString::to_string), None);
        assert_eq!(take("no room is left"), (Lane::Down, true));
        assert_eq!(take("something else"), (Lane::Down, false));
        let why = lane.why_down(ToString::to_string).unwrap();
        assert!(why.contains("no room is left"), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_lane_opens_after_its_pause_and_not_while_the_run_drains() {
        let (lane, shutdown) = (TargetLane::open(Duration::MAX), Shutdown::new());
        for _ in 0..migrate_core::lane::SILENCE_MAX {
            lane.take(Answer::Silent, error(ErrorKind::TimedOut).into());
        }
        let until = lane.suspended_until().unwrap();
        assert!(lane.opens(&shutdown).await && Instant::now() >= until);
        lane.take(Answer::Silent, error(ErrorKind::TimedOut).into());
        assert!(lane.suspended_until().is_some(), "it is still silent");
        shutdown.drain();
        assert!(!lane.opens(&shutdown).await);
    }
}
