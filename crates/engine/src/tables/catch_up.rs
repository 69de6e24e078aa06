//! Brings to the followers what the lead holds of the keys that have changed.
//!
//! The keys are taken from the ledger in pages, in key order, and a page ends before the next one begins. A key is in a
//! page once, so one task at a time handles it.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::{
    error::EngineError,
    tables::{
        follower::{Follower, Unwritten},
        settled::Settled,
        work::TableWork,
    },
};
use migrate_core::{
    item::{Item, ItemKey, item_size},
    model::{Key, Timestamp},
};
use migrate_ledger::{DirtyRow, TableStep};
use migrate_store::{
    ErrorKind, StoreError,
    table::{GET_MAX, Got, ItemWrite, TableStore},
};

/// Changed keys that are taken from the ledger at once, and handled at once in batches.
const PAGE: usize = 16 * GET_MAX;

/// A changed key, and what the lead holds of it.
struct Changed {
    row: DirtyRow,
    key: ItemKey,
    item: Option<Item>,
}

impl TableWork {
    /// Handles every key that is owed since `until` or longer, at the followers that take part.
    pub(crate) async fn catch_up(&self, until: Timestamp) -> Result<Settled, EngineError> {
        let mut after = None;
        loop {
            // What was handled must be in the ledger before it is asked what is owed.
            self.journal.commit(Vec::new()).await?;
            let page = self.journal.ledger.dirty(&self.dataset.name, after.as_ref(), until, PAGE).await?;
            let Some(last) = page.last() else { return Ok(Settled::Done) };
            after = Some(last.key.clone());
            let batches = page.chunks(GET_MAX).map(|batch| self.bring(batch.to_vec()));
            let ended = futures::future::try_join_all(batches).await?;
            let ended = ended.into_iter().fold(Settled::Done, Settled::and);
            if ended == Settled::Stopped || self.shutdown.is_draining() {
                self.journal.commit(Vec::new()).await?;
                return Ok(Settled::Stopped);
            }
        }
    }

    /// Reads these keys at the lead, and makes the followers that owe them hold the same.
    async fn bring(&self, mut rows: Vec<DirtyRow>) -> Result<Settled, EngineError> {
        rows.retain(|row| row.owed.iter().any(|(place, _)| self.follower(*place).is_some_and(|one| !one.is_down())));
        if rows.is_empty() {
            return Ok(Settled::Done);
        }
        let keys = rows.iter().map(|row| self.read_key(&row.key)).collect::<Result<Vec<_>, _>>()?;
        let items = get_all(self.lead(), &keys).await?;
        let bytes = items.iter().flatten().map(|item| item_size(item) as u64).sum();
        self.counted.read.fetch_add(bytes, Relaxed);
        let changed = rows.into_iter().zip(keys).zip(items).map(|((row, key), item)| Changed { row, key, item });
        let changed: Vec<_> = changed.collect();
        let mut all = Settled::Done;
        for follower in self.open() {
            all = all.and(self.bring_to(follower, &changed).await?);
        }
        Ok(all)
    }

    async fn bring_to(&self, follower: &Follower, changed: &[Changed]) -> Result<Settled, EngineError> {
        let mut handled: Vec<(Key, u64)> = Vec::new();
        let mut writes = Vec::new();
        for Changed { row, key, item } in changed {
            let Some((_, mark)) = row.owed.iter().find(|(place, _)| *place == follower.place) else { continue };
            handled.push((row.key.clone(), *mark));
            writes.push(match item {
                Some(item) => ItemWrite::Put(item.clone()),
                None => ItemWrite::Delete(key.clone()),
            });
        }
        match follower.write(writes, &self.shutdown).await {
            Ok(_) => {
                let step = TableStep::Handled { place: follower.place, keys: handled };
                self.journal.note(vec![self.record(step)]).await?;
                Ok(Settled::Done)
            }
            Err(Unwritten::Down) => Ok(Settled::Done),
            Err(Unwritten::Stopped) => Ok(Settled::Stopped),
        }
    }
}

/// How long a store may leave keys unanswered until that is an error.
const UNANSWERED_MAX: Duration = Duration::from_mins(5);

/// What a store holds of each of these keys, by strong reads.
pub(super) async fn get_all(store: &dyn TableStore, keys: &[ItemKey]) -> Result<Vec<Option<Item>>, EngineError> {
    let mut items = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(GET_MAX) {
        items.extend(get_chunk(store, chunk).await?);
    }
    Ok(items)
}

async fn get_chunk(store: &dyn TableStore, keys: &[ItemKey]) -> Result<Vec<Option<Item>>, EngineError> {
    let mut items = vec![None; keys.len()];
    let (mut asked, mut pause, mut waited) = (keys.to_vec(), Duration::from_millis(20), Duration::ZERO);
    loop {
        let Got { found, left, .. } = store.get(&asked).await?;
        for (key, item) in found {
            if let Some(position) = keys.iter().position(|asked| *asked == key) {
                items[position] = Some(item);
            }
        }
        if left.is_empty() {
            return Ok(items);
        }
        if left.len() < asked.len() {
            (pause, waited) = (Duration::from_millis(20), Duration::ZERO);
        }
        if waited > UNANSWERED_MAX {
            let detail = "keys were left unanswered for five minutes";
            return Err(StoreError::new(ErrorKind::Throttled, "read items", store.location(), detail).into());
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_secs(5));
        asked = left;
    }
}
