//! Stopping in two steps: drain, then cancel.

use std::{future::Future, pin::pin};

use futures::future::{self, Either};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// Tells all parts of the engine to stop; clones share its state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cancel: CancellationToken,
}

impl Shutdown {
    /// A shutdown that was not asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown for a part of the work: asking this one asks the part too, and asking the part asks no one else.
    pub(crate) fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), cancel: self.cancel.child_token() }
    }

    /// Asks to stop: first to take no new work, finish what is in flight and commit; if that was asked before, to drop
    /// requests where they stand. Returns which of the two it asked for: 1 or 2.
    pub fn ask(&self) -> u32 {
        if !self.drain.is_cancelled() {
            self.drain.cancel();
            return 1;
        }
        self.cancel.cancel();
        2
    }

    /// Asks to take no new work from now on.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether the engine is to take no new work.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether the engine is to drop its requests.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until the engine is to take no new work.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until the engine is to drop its requests.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}

/// Does the work, unless requests are to be dropped before it ends.
pub(crate) async fn cancellable<T>(
    shutdown: &Shutdown,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match future::select(pin!(work), pin!(shutdown.cancelled())).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => Err(EngineError::Cancelled),
    }
}
