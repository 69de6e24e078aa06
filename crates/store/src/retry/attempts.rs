//! The attempts of one operation, and repeating them.

use std::{error::Error, time::Duration};

use super::policy::Pacer;
use crate::{
    error::{ErrorKind, StoreError},
    meter::Paused,
    object::{ObjectStore, Result},
};
use migrate_core::model::{Key, Modified, Token};

/// The attempts of one operation.
pub(super) struct Attempts<'a> {
    pub(super) pacer: &'a Pacer,
    /// Failed attempts, without those that a clock was to blame for.
    made: u32,
    /// Attempts that were refused because of a wrong clock.
    clocks: u32,
    /// Failed attempts that may have acted, or may still act.
    pub(super) unknown: u32,
    /// Shows the next attempt as waiting until it has ended: it may take a minute to fail.
    waiting: Option<Paused<'a>>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(pacer: &'a Pacer) -> Self {
        Self { pacer, made: 0, clocks: 0, unknown: 0, waiting: None }
    }

    /// What the answer to a write shows of `key`. If an earlier attempt may still act, what is there then is ours too, and
    /// later: a look shows the time, in place of the bound. The write is done whatever the look comes to.
    pub(super) async fn shown(&self, store: &dyn ObjectStore, key: &Key, written: Token) -> Token {
        if self.unknown == 0 || !matches!(written.modified, Modified::By(_)) {
            return written;
        }
        match store.head(key).await {
            Ok(Some(head)) if written.agrees_with(&head.token) => head.token,
            Ok(_) => Token { modified: Modified::Unknown, ..written },
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "the time of what was written is not known");
                Token { modified: Modified::Unknown, ..written }
            }
        }
    }

    /// Pauses before the next attempt; fails if there is none.
    pub(super) async fn failed(&mut self, error: StoreError) -> Result<()> {
        self.unknown += u32::from(error.outcome_unknown());
        let pause = if error.kind() == ErrorKind::ClockSkew {
            self.clocks += 1;
            self.pacer.pause_after_clock(self.clocks)
        } else {
            self.made += 1;
            self.pacer.pause_after(self.made, &error)
        };
        let attempt = self.made + self.clocks;
        match pause {
            Some(pause) => {
                log_failure(&error, attempt, pause);
                self.waiting = self.pacer.waits(&error, attempt);
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None if self.unknown > 0 => Err(error.with_unknown_outcome()),
            None => Err(error),
        }
    }
}

/// Logs the error as a value, not as text, so that a log which hides keys knows the key in it.
pub(super) fn log_failure(error: &(dyn Error + 'static), attempt: u32, pause: Duration) {
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(error, attempt, pause_ms, "trying again");
}

/// Repeats an attempt. A macro, because a closure that returns a borrowing future cannot yet say that the future is
/// `Send`.
macro_rules! repeat {
    ($attempts:expr, $attempt:expr) => {{
        let attempts = &mut $attempts;
        loop {
            let error = match $attempt.await {
                Ok(done) => {
                    attempts.pacer.succeeded();
                    break Ok(done);
                }
                Err(error) => error,
            };
            if let Err(error) = attempts.failed(error).await {
                break Err(error);
            }
        }
    }};
}

pub(super) use repeat;
