//! [`Follower`]: a table that is made equal to the lead's.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::{error::EngineError, shutdown::Shutdown};
use migrate_core::{
    item::item_size,
    model::PlaceIndex,
    report::{Redactor, TargetProgress},
    shard::Tally,
};
use migrate_store::{
    ErrorKind,
    table::{ItemWrite, TableStore, WRITE_MAX},
};

/// The most bytes of one batch.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const BATCH_BYTES_MAX: usize = 15 << 20;
/// Batches in a row whose answer is lost until the follower is down.
const UNSURE_MAX: u32 = 100;

/// A table that follows the lead.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) place: PlaceIndex,
    /// Its location, for people.
    pub(crate) at: String,
    pub(crate) store: Arc<dyn TableStore>,
    /// Why it takes no part any more.
    down: Mutex<Option<EngineError>>,
    tally: Mutex<Tally>,
    /// Batches in a row whose outcome is not known.
    unsure: AtomicU32,
}

/// What became of writes.
#[derive(Debug, Default)]
pub(crate) struct Wrote {
    /// Bytes that were put.
    pub(crate) bytes: u64,
    /// Writes that may or may not have been carried out, and may still be: their keys must be looked at again.
    pub(crate) unsure: Vec<ItemWrite>,
}

/// Why writes were not all carried out.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The run is to stop.
    Stopped,
    /// The follower is down.
    Down,
}

impl Follower {
    pub(crate) fn new(place: PlaceIndex, at: String, store: Arc<dyn TableStore>) -> Self {
        Self { place, at, store, down: Mutex::default(), tally: Mutex::default(), unsure: 0.into() }
    }

    fn why(&self) -> MutexGuard<'_, Option<EngineError>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it takes no part any more.
    pub(crate) fn is_down(&self) -> bool {
        self.why().is_some()
    }

    /// Takes it out of the rest of the run. The first reason is kept.
    pub(crate) fn close(&self, error: impl Into<EngineError>) {
        self.why().get_or_insert(error.into());
    }

    /// Why it is down, and what can be done, for people.
    pub(crate) fn why_down(&self, redactor: Redactor) -> Option<(String, Option<String>)> {
        self.why().as_ref().map(|error| (error.shown(redactor), error.mend().map(str::to_owned)))
    }

    /// The error that took it out.
    pub(crate) fn take_error(&self) -> Option<EngineError> {
        self.why().take()
    }

    pub(crate) fn progress(&self, seen: u64) -> TargetProgress {
        let tally = Tally { records: seen, ..*self.tally() };
        TargetProgress { target: self.at.clone(), tally, deferred: 0, failed: 0 }
    }

    /// Items that were put or deleted in this run.
    pub(crate) fn written(&self) -> u64 {
        let tally = self.tally();
        tally.copied + tally.deleted
    }

    /// Carries out writes, no two of them of one key.
    ///
    /// A batch whose answer was lost is not sent again. Any other error that the retries below have not got over takes the
    /// follower out.
    pub(crate) async fn write(&self, writes: Vec<ItemWrite>, shutdown: &Shutdown) -> Result<Wrote, Unwritten> {
        let (mut put, mut unsure) = (Tally::default(), Vec::new());
        for batch in batches(writes) {
            if self.is_down() {
                return Err(Unwritten::Down);
            }
            let counted = count(&batch);
            unsure.extend(self.batch(batch, shutdown).await?);
            put.copied += counted.copied;
            put.copied_bytes += counted.copied_bytes;
            put.deleted += counted.deleted;
        }
        *self.tally() += put;
        Ok(Wrote { bytes: put.copied_bytes, unsure })
    }

    /// Carries out one batch; returns those of it whose outcome is not known.
    async fn batch(&self, batch: Vec<ItemWrite>, shutdown: &Shutdown) -> Result<Vec<ItemWrite>, Unwritten> {
        let written = self.store.write(&batch).await.and_then(|written| written.whole(self.store.location()));
        match written {
            Ok(()) => {
                self.unsure.store(0, Relaxed);
                Ok(Vec::new())
            }
            // The wait for a server that takes nothing was ended.
            Err(error) if error.kind() == ErrorKind::Throttled && shutdown.is_draining() => Err(Unwritten::Stopped),
            Err(error) if error.outcome_unknown() && self.unsure.fetch_add(1, Relaxed) < UNSURE_MAX => Ok(batch),
            Err(error) => {
                self.close(error);
                Err(Unwritten::Down)
            }
        }
    }
}

fn count(batch: &[ItemWrite]) -> Tally {
    let mut tally = Tally::default();
    for write in batch {
        match write {
            ItemWrite::Put(item) => {
                tally.copied += 1;
                tally.copied_bytes += item_size(item) as u64;
            }
            ItemWrite::Delete(_) => tally.deleted += 1,
        }
    }
    tally
}

/// Writes in batches that a server takes.
fn batches(writes: Vec<ItemWrite>) -> Vec<Vec<ItemWrite>> {
    let (mut all, mut bytes): (Vec<Vec<_>>, usize) = (Vec::new(), 0);
    for write in writes {
        let size = match &write {
            ItemWrite::Put(item) => item_size(item),
            ItemWrite::Delete(_) => 0,
        };
        let fits = |batch: &&mut Vec<_>| batch.len() < WRITE_MAX && bytes + size <= BATCH_BYTES_MAX;
        if let Some(batch) = all.last_mut().filter(fits) {
            batch.push(write);
            bytes += size;
        } else {
            all.push(vec![write]);
            bytes = size;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::item::{Item, Value};

    #[test]
    fn batches_keep_to_both_bounds() {
        let put = |size: usize| {
            ItemWrite::Put(Item::from([("k".to_owned(), Value::Text("x".repeat(size.saturating_sub(1))))]))
        };
        let sizes = |writes| batches(writes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(Vec::new()), Vec::<usize>::new());
        assert_eq!(sizes((0..60).map(|_| put(10)).collect()), [25, 25, 10]);
        assert_eq!(sizes((0..5).map(|_| put(4 << 20)).collect()), [3, 2]);
        assert_eq!(sizes(vec![put(20 << 20), put(1)]), [1, 1], "one that is too large goes alone, to be refused");
    }
}
