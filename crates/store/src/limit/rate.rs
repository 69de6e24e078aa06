//! [`Rate`]: a rate that requests wait for in order of arrival.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{sync::Notify, time::Instant};

use super::bucket::Bucket;

/// A rate with a queue: only the head of the queue looks at the bucket, so no request overtakes another.
#[derive(Debug)]
pub(super) struct Rate {
    queue: tokio::sync::Mutex<()>,
    bucket: Mutex<Bucket>,
}

impl Rate {
    pub(super) fn new(rate: Option<f64>, burst_min: f64) -> Self {
        Self { queue: tokio::sync::Mutex::new(()), bucket: Mutex::new(Bucket::new(rate, burst_min, Instant::now())) }
    }

    pub(super) fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units, and waits until nothing is owed. `changed` tells of a rate that was set anew; what `waits` makes is
    /// held for as long as it waits.
    pub(super) async fn take<W>(&self, units: f64, changed: &Notify, waits: impl Fn() -> W) {
        let mut waiting = None;
        if let Ok(_turn) = self.queue.try_lock()
            && self.bucket().take(units, Instant::now()).is_ok()
        {
            return;
        }
        if self.bucket().rate().is_some() {
            waiting = Some(waits());
        }
        let _turn = self.queue.lock().await;
        loop {
            // Registered before the look, so that no change between look and sleep is missed.
            let changed = changed.notified();
            let owed = self.bucket().take(units, Instant::now());
            let Err(owed) = owed else { return };
            waiting.get_or_insert_with(&waits);
            let _ = tokio::time::timeout(owed, changed).await;
        }
    }
}
