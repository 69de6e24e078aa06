//! The lane of one target, with the error that closed it. [`lane`](migrate_core::lane) has the rules.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{error::EngineError, shutdown::Shutdown};
use migrate_core::lane::{Answer, Judge, Lane};
use migrate_store::ErrorKind;

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
    pub(super) fn take(&self, answer: Answer<ErrorKind>, error: EngineError) -> (Lane, bool) {
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

    /// Keeps the error of a listing that did not come to its end.
    pub(super) fn keep_unlisted(&self, error: EngineError) {
        self.state().unlisted = Some(error);
    }

    /// Takes the error of the last listing that did not come to its end.
    pub(super) fn take_unlisted(&self) -> Option<EngineError> {
        self.state().unlisted.take()
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

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::StoreError;

    fn error(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "write", "s3://a/b/", "it did not")
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
