//! Brings to the followers what the lead holds of the keys that have changed.
//!
//! The keys are taken from the ledger in pages, in key order, and a page ends before the next one begins. A key is in a
//! page once, so one task at a time handles it.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::{
    clock::now,
    error::EngineError,
    tables::{
        follower::{Follower, Unwritten, Wrote},
        old_lead::Before,
        reads::get_all,
        settled::Settled,
        work::TableWork,
    },
};
use migrate_core::{
    item::{Item, ItemKey, digest, item_size},
    model::{Key, Timestamp},
    routing::Destination,
};
use migrate_ledger::{DirtyRow, TableStep, WrittenBack};
use migrate_store::{
    ErrorKind, StoreError,
    table::{GET_MAX, ItemWrite},
};

/// Changed keys that are taken from the ledger at once, and handled at once in batches.
const PAGE: usize = 16 * GET_MAX;

/// How often the changed keys are gone through until a follower that does not settle them is down, and the pause before
/// the next time.
const SWEEPS_MAX: u32 = 8;
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// A changed key, and what the lead holds of it.
struct Changed {
    row: DirtyRow,
    key: ItemKey,
    /// With where it belongs.
    item: Option<(Destination, Item)>,
}

impl TableWork {
    /// Handles every key that is owed since `until` or longer, at the followers that take part.
    pub(crate) async fn catch_up(&self, until: Timestamp) -> Result<Settled, EngineError> {
        if self.look_at_old_lead().await? == Settled::Stopped {
            return Ok(Settled::Stopped);
        }
        for _ in 0..SWEEPS_MAX {
            if self.sweep(until).await? == Settled::Stopped {
                return Ok(Settled::Stopped);
            }
            // What is owed still is what a follower did not answer for.
            if !self.is_owed(until).await? {
                return Ok(Settled::Done);
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        let unsettled = self.journal.ledger.dirty(&self.sides.dataset.name, None, until, 1).await?;
        for place in unsettled.iter().flat_map(|row| &row.owed).map(|(place, _)| *place) {
            if let Some(follower) = self.sides.follower(place) {
                let detail = "its answers to some writes were lost again and again";
                follower.close(StoreError::new(
                    ErrorKind::Unavailable,
                    "write items",
                    follower.store.location(),
                    detail,
                ));
            }
        }
        Ok(Settled::Done)
    }

    /// Whether a follower that takes part owes a key since then.
    async fn is_owed(&self, until: Timestamp) -> Result<bool, EngineError> {
        let owed = self.journal.ledger.owed(&self.sides.dataset.name).await?;
        let is_open = |place| self.sides.follower(place).is_some_and(|follower| !follower.is_down());
        Ok(owed.iter().any(|owed| owed.since <= until && is_open(owed.place)))
    }

    /// Goes once through the keys that are owed since `until` or longer.
    async fn sweep(&self, until: Timestamp) -> Result<Settled, EngineError> {
        let mut after = None;
        loop {
            // What was handled must be in the ledger before it is asked what is owed.
            self.journal.commit(Vec::new()).await?;
            let read = now();
            let page = self.journal.ledger.dirty(&self.sides.dataset.name, after.as_ref(), until, PAGE).await?;
            let Some(last) = page.last() else { return Ok(Settled::Done) };
            after = Some(last.key.clone());
            let Some(before) = self.may_write_back(&page).await? else { return Ok(Settled::Stopped) };
            let batches = page.chunks(GET_MAX).map(|batch| self.bring(batch.to_vec(), read, &before));
            let ended = futures::future::try_join_all(batches).await?;
            let ended = ended.into_iter().fold(Settled::Done, Settled::and);
            if ended == Settled::Stopped || self.sides.shutdown.is_draining() {
                self.journal.commit(Vec::new()).await?;
                return Ok(Settled::Stopped);
            }
        }
    }

    /// Reads these keys at the lead, whose marks were read at this time, and makes the followers that owe them hold the same.
    async fn bring(&self, mut rows: Vec<DirtyRow>, read: Timestamp, before: &Before) -> Result<Settled, EngineError> {
        rows.retain(|row| {
            row.owed.iter().any(|(place, _)| self.sides.follower(*place).is_some_and(|one| !one.is_down()))
        });
        if rows.is_empty() {
            return Ok(Settled::Done);
        }
        let keys = rows.iter().map(|row| self.sides.read_key(&row.key)).collect::<Result<Vec<_>, _>>()?;
        let Some(items) = get_all(self.sides.lead(), &keys, &self.sides.shutdown).await? else {
            return Ok(Settled::Stopped);
        };
        let bytes = items.iter().flatten().map(|item| item_size(item) as u64).sum();
        self.sides.counted.read.fetch_add(bytes, Relaxed);
        let mut changed = Vec::new();
        for ((row, key), item) in rows.into_iter().zip(keys).zip(items) {
            let item = item.map(|item| Ok::<_, EngineError>((self.sides.destination(&item)?, item))).transpose()?;
            changed.push(Changed { row, key, item });
        }
        let mut all = Settled::Done;
        for follower in self.sides.open() {
            all = all.and(self.bring_to(follower, &changed, (read, before)).await?);
        }
        Ok(all)
    }

    async fn bring_to(
        &self,
        follower: &Follower,
        changed: &[Changed],
        (read, before): (Timestamp, &Before),
    ) -> Result<Settled, EngineError> {
        let mut handled: Vec<(Key, u64)> = Vec::new();
        let (mut writes, mut back) = (Vec::new(), Vec::new());
        let is_old_lead = self.old_lead().is_some_and(|old| old.place == follower.place);
        let is_over = |item: &Item| self.sides.expires_by.is_over(item, [follower.place], read);
        for Changed { row, key, item } in changed {
            let Some((_, mark)) = row.owed.iter().find(|(place, _)| *place == follower.place) else { continue };
            handled.push((row.key.clone(), *mark));
            // What belongs elsewhere by now must not stay here.
            let item = item.as_ref().filter(|(to, _)| to.holds(follower.place)).map(|(_, item)| item);
            if is_old_lead {
                // What somebody else has written there stays, and is owed once it is settled.
                let Some(held) = before.get(&row.key).filter(|held| item.is_some() || !held.is_settled) else {
                    continue;
                };
                if held.item.is_none() && item.is_some_and(is_over) {
                    // Its server would delete it again.
                    continue;
                }
                back.push((row.key.clone(), WrittenBack { after: item.map(digest), before: held.item }));
            }
            writes.push(match item {
                Some(item) => ItemWrite::Put(item.clone()),
                None => ItemWrite::Delete(key.clone()),
            });
        }
        if !back.is_empty() {
            self.journal.commit(vec![self.record(TableStep::WritesBack { keys: back })]).await?;
        }
        match follower.write(writes, &self.sides.shutdown).await {
            Ok(Wrote { unsure, .. }) => {
                let unsure = self.sides.texts(&*follower.store, &unsure)?;
                handled.retain(|(key, _)| !unsure.contains(key));
                let step = TableStep::Handled { place: follower.place, at: read, keys: handled };
                self.journal.note(vec![self.record(step)]).await?;
                Ok(Settled::Done)
            }
            Err(Unwritten::Down) => Ok(Settled::Done),
            Err(Unwritten::Stopped) => Ok(Settled::Stopped),
        }
    }
}
