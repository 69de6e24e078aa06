//! Stopping in two steps: drain, then cancel.

use std::{future::Future, pin::pin};

use futures::future::{self, Either};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// Tells all parts of the engine to stop. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cancel: CancellationToken,
}

impl Shutdown {
    /// Nobody asked to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks once more: first to take no new work, finish what is in flight and commit; then to drop
    /// requests where they stand. Returns how often it was asked.
    pub fn ask(&self) -> u32 {
        if !self.drain.is_cancelled() {
            self.drain.cancel();
            return 1;
        }
        self.cancel.cancel();
        2
    }

    /// Takes no new work from now on.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// No new work is to be taken.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Requests are to be dropped.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until no new work is to be taken.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until requests are to be dropped.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}

/// Gives up on work once requests are to be dropped.
pub(crate) async fn cancellable<T>(
    shutdown: &Shutdown,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match future::select(pin!(work), pin!(shutdown.cancelled())).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => Err(EngineError::Cancelled),
    }
}
