//! [`Patience`]: how long a table is asked again that takes or answers only a part, or nothing.
//!
//! A table that throttles says that it is there. So its answers are not counted, as failures are, but timed: it may take
//! nothing at all for five minutes, and each part that it takes begins that anew. The time is that of the pauses, so
//! that a request which waits for a limit of ours uses none of it up. No budget of retries is drawn on.

use std::time::Duration;

use super::{
    attempts::{Attempts, log_failure},
    policy::Pacer,
};
use crate::{
    error::{ErrorKind, StoreError},
    meter::Paused,
    object::Result,
};

/// How long a table may take or answer nothing at all.
const NOTHING_MAX: Duration = Duration::from_mins(5);

/// The patience with one batch.
pub(super) struct Patience<'a> {
    /// The failures that are no throttling, since the last part that was taken.
    attempts: Attempts<'a>,
    operation: &'static str,
    location: &'a str,
    /// How often nothing was taken, since the last part that was.
    throttled: u32,
    /// For how long.
    paused: Duration,
    waiting: Option<Paused<'a>>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(pacer: &'a Pacer, operation: &'static str, location: &'a str) -> Self {
        let attempts = Attempts::new(pacer);
        Self { attempts, operation, location, throttled: 0, paused: Duration::ZERO, waiting: None }
    }

    /// The table has taken a part.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.attempts.pacer, self.operation, self.location);
    }

    /// Pauses before what was left over is asked for; fails as [`failed`](Self::failed) does.
    pub(super) async fn left_over(&mut self, stop: impl Future<Output = ()>) -> Result<()> {
        let detail = "a part of the batch was left over";
        self.failed(StoreError::new(ErrorKind::Throttled, self.operation, self.location, detail), stop).await
    }

    /// Pauses before the next attempt, unless `stop` ends first; fails if there is none.
    pub(super) async fn failed(&mut self, error: StoreError, stop: impl Future<Output = ()>) -> Result<()> {
        if error.kind() != ErrorKind::Throttled {
            return self.attempts.failed(error).await;
        }
        if self.paused >= NOTHING_MAX {
            let detail = "nothing was taken or answered for five minutes";
            return Err(StoreError::new(ErrorKind::Throttled, self.operation, self.location, detail).because(error));
        }
        self.throttled += 1;
        let pacer = self.attempts.pacer;
        let pause = pacer.pause_throttled(self.throttled);
        log_failure(&error, self.throttled, pause);
        self.waiting = pacer.waits_patiently(&error, self.throttled);
        tokio::select! {
            biased;
            () = stop => return Err(error),
            () = tokio::time::sleep(pause) => {}
        }
        self.paused += pause;
        Ok(())
    }
}
