//! [`LimitedTable`]: a table that keeps the limits of its site, and its own in capacity.

// The lint asks for an explicit decision about every method that the traits gain.
#![deny(clippy::missing_trait_methods)]

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use migrate_core::{
    item::{Item, ItemKey, item_size, read_units, write_units},
    table::{Structure, TableAbilities},
};

use super::{
    capacity::{CapacityLimits, Side},
    site::SiteLimits,
};
use crate::{
    endpoint::EndpointId,
    error::ErrorKind,
    meter::no_stream,
    object::Result,
    table::{
        ChangeStream, Changes, Described, Got, ItemWrite, Position, Scanned, Segment, StreamIterator, StreamShard,
        TableStore, Written,
    },
};

/// A table that keeps the limits of its site, and its own in capacity.
///
/// What a server leaves over of a batch counts as being asked for fewer requests.
#[derive(Debug)]
pub struct LimitedTable {
    inner: Arc<dyn TableStore>,
    limits: Arc<SiteLimits>,
    capacity: Arc<CapacityLimits>,
}

impl LimitedTable {
    /// Makes a table keep the limits of its site, and these.
    pub fn new(inner: Arc<dyn TableStore>, limits: Arc<SiteLimits>, capacity: Arc<CapacityLimits>) -> Self {
        Self { inner, limits, capacity }
    }

    fn stream(&self) -> Result<&dyn ChangeStream> {
        self.inner.changes().ok_or_else(|| no_stream(self.inner.location()))
    }

    /// Runs one request that sends `bytes` of items. `asks_for_less` says so of an answer that is no error.
    async fn limited<T>(
        &self,
        bytes: usize,
        asks_for_less: impl Fn(&T) -> bool,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.limits.admit(bytes as u64).await;
        let slot = self.limits.slot().await;
        let outcome = act.await;
        let failure = match &outcome {
            // It does not say which table or index is at its limit.
            Ok(answer) => asks_for_less(answer).then_some(ErrorKind::Throttled.into()),
            Err(error) => Some(error.into()),
        };
        slot.settle(None, failure);
        outcome
    }

    async fn plain<T>(&self, act: impl Future<Output = Result<T>>) -> Result<T> {
        self.limited(0, |_| false, act).await
    }

    /// Charges what was read: what the server says, or what the items must have taken.
    fn charge_read<'a>(&self, items: impl Iterator<Item = &'a Item>, consumed: Option<f64>) {
        let is_needed = self.limits.counts_bytes() || (consumed.is_none() && self.capacity.counts(Side::Read));
        let bytes: usize = if is_needed { items.map(item_size).sum() } else { 0 };
        self.limits.charge(bytes as u64);
        self.capacity.charge(Side::Read, consumed.unwrap_or(as_units(read_units(bytes))));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a request takes few units")]
fn as_units(units: u64) -> f64 {
    units as f64
}

fn size_of(write: &ItemWrite) -> usize {
    if let ItemWrite::Put(item) = write { item_size(item) } else { 0 }
}

#[async_trait]
impl TableStore for LimitedTable {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn endpoint(&self) -> &EndpointId {
        self.inner.endpoint()
    }

    fn abilities(&self) -> TableAbilities {
        self.inner.abilities()
    }

    async fn probe(&self) -> Result<TableAbilities> {
        self.plain(self.inner.probe()).await
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        self.plain(self.inner.describe()).await
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        self.plain(self.inner.create(structure)).await
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        self.plain(self.inner.set_ttl(attribute)).await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        self.capacity.admit(Side::Read, 0.0).await;
        let page = self.plain(self.inner.scan(segment, after, strong)).await?;
        self.charge_read(page.items.iter(), page.consumed);
        Ok(page)
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        self.capacity.admit(Side::Read, 0.0).await;
        let got = self.limited(0, |got: &Got| !got.left.is_empty(), self.inner.get(keys)).await?;
        self.charge_read(got.found.iter().map(|(_, item)| item), got.consumed);
        Ok(got)
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let (mut bytes, mut units) = (0, 0);
        // A table has two of these around it, mostly without a limit: measuring each item for them is a waste.
        if self.limits.counts_bytes() || self.capacity.counts(Side::Write) {
            for size in writes.iter().map(size_of) {
                bytes += size;
                units += write_units(size);
            }
        }
        let units = as_units(units);
        self.capacity.admit(Side::Write, units).await;
        let left = |written: &Written| !written.left.is_empty();
        let written = self.limited(bytes, left, self.inner.write(writes)).await?;
        self.capacity.charge(Side::Write, written.consumed.unwrap_or(units) - units);
        Ok(written)
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let size = item_size(item);
        self.capacity.admit(Side::Write, as_units(write_units(size))).await;
        self.limited(size, |()| false, self.inner.put_if(item, expected)).await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        self.plain(self.inner.probe_item(key)).await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes().map(|_| self as &dyn ChangeStream)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl ChangeStream for LimitedTable {
    async fn enable(&self) -> Result<(String, bool)> {
        self.plain(self.stream()?.enable()).await
    }

    async fn disable(&self, stream: &str) -> Result<()> {
        self.plain(self.stream()?.disable(stream)).await
    }

    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>> {
        self.plain(self.stream()?.shards(stream)).await
    }

    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        self.plain(self.stream()?.iterator(stream, shard, from)).await
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        self.plain(self.stream()?.read(iterator)).await
    }
}

#[cfg(test)]
mod tests {
    use migrate_core::{item::Value, table::KeyType};
    use tokio::time::{Duration, Instant};

    use super::*;
    use crate::{
        limit::{capacity::Capacity, concurrency::AtOnce, site::Quota},
        memory_table::MemoryTable,
    };

    fn item(id: usize, bytes: usize) -> Item {
        let pad = Value::Text("x".repeat(bytes));
        [("id".to_owned(), Value::Text(id.to_string())), ("pad".to_owned(), pad)].into()
    }

    fn limited(capacity: Capacity) -> (MemoryTable, Arc<SiteLimits>, Arc<CapacityLimits>, LimitedTable) {
        let table = MemoryTable::with("memory", Structure::plain(("id", KeyType::Text), None)).with_page_size(1);
        let quota = Quota { at_once: AtOnce::fixed(4), ..Quota::default() };
        let site = SiteLimits::new("oregon", quota, Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
        let capacity = CapacityLimits::new("accounts", capacity);
        let store = LimitedTable::new(Arc::new(table.clone()), site.clone(), capacity.clone());
        (table, site, capacity, store)
    }

    #[tokio::test(start_paused = true)]
    async fn writes_and_reads_are_held_to_their_capacity() {
        let (_, _, capacity, store) = limited(Capacity { read: Some(10.0), write: Some(100.0) });
        let begun = Instant::now();
        for id in 0..11 {
            // 100 units each.
            store.write(&[ItemWrite::Put(item(id, 100 * 1024 - 100))]).await.unwrap();
        }
        let waited = begun.elapsed().as_secs_f64();
        assert!((9.5..10.5).contains(&waited), "1,000 units at 100/s took {waited} s");
        let begun = Instant::now();
        let (mut after, mut pages) = (None, 0);
        while pages < 5 {
            // 25 units each.
            after = store.scan(Segment { index: 0, of: 1 }, after.as_ref(), true).await.unwrap().next;
            pages += 1;
        }
        let waited = begun.elapsed().as_secs_f64();
        assert!((9.5..10.5).contains(&waited), "100 units at 10/s took {waited} s");
        let reason = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            capacity.reason()
        };
        let scan = store.scan(Segment { index: 0, of: 1 }, None, true);
        let (reason, _) = tokio::join!(reason, scan);
        assert_eq!(reason.unwrap(), "accounts: read capacity limit 10/s");
        assert_eq!(capacity.reason(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_leaves_over_of_writes_and_reads_narrows_the_requests() {
        let (table, site, _, store) = limited(Capacity::default());
        table.answer_at_most(Some(1));
        let writes = [ItemWrite::Put(item(1, 1)), ItemWrite::Put(item(2, 1))];
        assert_eq!(store.write(&writes).await.unwrap().left, [1]);
        let held = [site.slot().await, site.slot().await];
        assert!(tokio::time::timeout(Duration::from_secs(1), site.slot()).await.is_err(), "four became two");
        drop(held);
        let names = Structure::plain(("id", KeyType::Text), None).key_names();
        let keys = [1, 2].map(|id| names.key_of(&item(id, 1)).unwrap());
        assert_eq!(store.get(&keys).await.unwrap().left.len(), 1);
        let _held = site.slot().await;
        assert!(tokio::time::timeout(Duration::from_secs(1), site.slot()).await.is_err(), "two became one");
    }
}
