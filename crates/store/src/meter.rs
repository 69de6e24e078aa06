//! A decorator that counts requests and body bytes, so that claims such as "every source byte was
//! read once" stand on counts.
//!
//! Placed below [`retry`](crate::retry), it counts every attempt; above it, every call.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
    table::{
        ChangeStream, Changes, Described, Got, ItemWrite, Position, Scanned, Segment, StreamIterator, StreamShard,
        TableStore, Written,
    },
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    item::{Item, ItemKey, item_size},
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    table::{Structure, TableAbilities},
};

/// A failed request that waits for its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Key of the record, if the request is about one.
    pub key: Option<Key>,
    /// What failed, for people; it may contain the key.
    pub failure: String,
    /// Number of the next attempt, from 2.
    pub attempt: u32,
    /// Number of the last attempt; `None` if a store that takes nothing is asked until the patience ends.
    pub attempts_max: Option<u32>,
}

/// Keeps a request among the waiting ones for as long as it lives.
#[derive(Debug)]
pub(crate) struct Paused<'a> {
    meter: &'a Meter,
    number: u64,
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.meter.paused().remove(&self.number);
    }
}

/// Counts, shared by all stores with the same meter.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    pages: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    items: Items,
    pauses: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
}

/// What is counted of tables beside that.
#[derive(Debug, Default)]
struct Items {
    read: AtomicU64,
    written: AtomicU64,
    left_over: AtomicU64,
    read_milliunits: AtomicU64,
    write_milliunits: AtomicU64,
}

/// The counts of a [`Meter`] that are about tables, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ItemCounts {
    /// Items that scans and gets have shown.
    pub read: u64,
    /// Items that were put or deleted, as far as the server has said so.
    pub written: u64,
    /// Keys and writes that a server left over of a batch.
    pub left_over: u64,
    /// Thousandths of the read units that the server has counted.
    pub read_milliunits: u64,
    /// Thousandths of the write units that the server has counted.
    pub write_milliunits: u64,
}

/// The counts of a [`Meter`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MeterSnapshot {
    /// Requests of every kind, failed ones included; a page of a listing is one, and so is a probe.
    pub requests: u64,
    /// Requested pages of listings.
    pub pages: u64,
    /// Reads of bodies.
    pub reads: u64,
    /// Requests that change the store: writes, parts, begins, finishes, aborts and deletes.
    pub writes: u64,
    /// Failed requests.
    pub failures: u64,
    /// Attempts that repeated an earlier one.
    pub retries: u64,
    /// Body bytes that arrived whole.
    pub bytes_read: u64,
    /// Body bytes sent, failed attempts included.
    pub bytes_written: u64,
}

impl Meter {
    /// The counts now. Each is exact; together they may be of slightly different moments.
    pub fn snapshot(&self) -> MeterSnapshot {
        MeterSnapshot {
            requests: self.requests.load(Relaxed),
            pages: self.pages.load(Relaxed),
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
            failures: self.failures.load(Relaxed),
            retries: self.retries.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
        }
    }

    /// The counts of items now.
    pub fn items(&self) -> ItemCounts {
        ItemCounts {
            read: self.items.read.load(Relaxed),
            written: self.items.written.load(Relaxed),
            left_over: self.items.left_over.load(Relaxed),
            read_milliunits: self.items.read_milliunits.load(Relaxed),
            write_milliunits: self.items.write_milliunits.load(Relaxed),
        }
    }

    fn paused(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a request that waits for its next attempt.
    pub(crate) fn pause(&self, waiting: Waiting) -> Paused<'_> {
        let number = self.pauses.fetch_add(1, Relaxed);
        self.paused().insert(number, waiting);
        Paused { meter: self, number }
    }

    /// The waiting request with the most failed attempts.
    pub fn waiting(&self) -> Option<Waiting> {
        self.paused().values().max_by_key(|waiting| waiting.attempt).cloned()
    }

    /// Counts an attempt that repeats an earlier one.
    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    fn count<T>(&self, kind: Option<&AtomicU64>, outcome: Result<T>) -> Result<T> {
        self.requests.fetch_add(1, Relaxed);
        if let Some(kind) = kind {
            kind.fetch_add(1, Relaxed);
        }
        if outcome.is_err() {
            self.failures.fetch_add(1, Relaxed);
        }
        outcome
    }

    fn count_write<T>(&self, bytes: u64, outcome: Result<T>) -> Result<T> {
        self.bytes_written.fetch_add(bytes, Relaxed);
        self.count(Some(&self.writes), outcome)
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl Metered {
    /// Counts the requests of a store.
    pub fn new(inner: Arc<dyn ObjectStore>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

struct MeteredListing {
    inner: Box<dyn Listing>,
    meter: Arc<Meter>,
}

#[async_trait]
impl Listing for MeteredListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let page = self.inner.next().await;
        self.meter.count(Some(&self.meter.pages), page)
    }
}

#[async_trait]
impl ObjectStore for Metered {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn endpoint(&self) -> &EndpointId {
        self.inner.endpoint()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn probe(&self) -> Result<Capabilities> {
        self.meter.count(None, self.inner.probe().await)
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(MeteredListing { inner: self.inner.list(range), meter: self.meter.clone() })
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        self.meter.count(None, self.inner.first(range).await)
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.meter.count(None, self.inner.head(key).await)
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.meter.count(None, self.inner.tags(key).await)
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let read = self.meter.count(Some(&self.meter.reads), self.inner.read(key, range, pin).await)?;
        self.meter.bytes_read.fetch_add(read.bytes.len() as u64, Relaxed);
        Ok(read)
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        self.meter.count_write(body.size(), self.inner.put(key, body, properties, condition).await)
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.meter.count_write(0, self.inner.begin_upload(key, properties, before).await)
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.meter.count_write(body.size(), self.inner.put_part(upload, number, offset, body).await)
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.meter.count(None, self.inner.list_parts(upload).await)
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        self.meter.count_write(0, self.inner.finish_upload(upload, parts, evidence, properties, condition).await)
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.meter.count_write(0, self.inner.set_tags(key, tags, pin).await)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.meter.count_write(0, self.inner.abort_upload(upload).await)
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.meter.count(None, self.inner.list_uploads(key).await)
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.meter.count_write(0, self.inner.delete(key, condition).await)
    }
}

/// A table whose requests, items and capacity are counted. Bytes are counted as `DynamoDB` counts them.
#[derive(Debug)]
pub struct MeteredTable {
    inner: Arc<dyn TableStore>,
    meter: Arc<Meter>,
}

impl MeteredTable {
    /// Counts the requests of a table.
    pub fn new(inner: Arc<dyn TableStore>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }

    fn count_read<'a>(&self, items: impl Iterator<Item = &'a Item>, consumed: Option<f64>) {
        for item in items {
            self.meter.items.read.fetch_add(1, Relaxed);
            self.meter.bytes_read.fetch_add(item_size(item) as u64, Relaxed);
        }
        self.meter.items.read_milliunits.fetch_add(milliunits(consumed), Relaxed);
    }

    fn stream(&self) -> Result<&dyn ChangeStream> {
        self.inner.changes().ok_or_else(|| no_stream(self.inner.location()))
    }
}

/// A stream was asked for where there is none.
pub(crate) fn no_stream(location: &str) -> StoreError {
    StoreError::new(ErrorKind::Unsupported, "read the stream", location, "a table here has no stream of its changes")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a request takes few units")]
fn milliunits(consumed: Option<f64>) -> u64 {
    (consumed.unwrap_or(0.0) * 1000.0).round() as u64
}

fn bytes_of(write: &ItemWrite) -> u64 {
    if let ItemWrite::Put(item) = write { item_size(item) as u64 } else { 0 }
}

#[async_trait]
impl TableStore for MeteredTable {
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
        self.meter.count(None, self.inner.probe().await)
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        self.meter.count(None, self.inner.describe().await)
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        self.meter.count_write(0, self.inner.create(structure).await)
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        self.meter.count_write(0, self.inner.set_ttl(attribute).await)
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        let page = self.inner.scan(segment, after, strong).await;
        let page = self.meter.count(Some(&self.meter.pages), page)?;
        self.count_read(page.items.iter(), page.consumed);
        Ok(page)
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        let got = self.meter.count(Some(&self.meter.reads), self.inner.get(keys).await)?;
        self.count_read(got.found.iter().map(|(_, item)| item), got.consumed);
        self.meter.items.left_over.fetch_add(got.left.len() as u64, Relaxed);
        Ok(got)
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let bytes = writes.iter().map(bytes_of).sum();
        let written = self.meter.count_write(bytes, self.inner.write(writes).await)?;
        let done = writes.len().saturating_sub(written.left.len());
        self.meter.items.written.fetch_add(done as u64, Relaxed);
        self.meter.items.left_over.fetch_add(written.left.len() as u64, Relaxed);
        self.meter.items.write_milliunits.fetch_add(milliunits(written.consumed), Relaxed);
        Ok(written)
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.meter.count_write(item_size(item) as u64, self.inner.put_if(item, expected).await)?;
        self.meter.items.written.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        self.meter.count(None, self.inner.probe_item(key).await)
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes().map(|_| self as &dyn ChangeStream)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl ChangeStream for MeteredTable {
    async fn enable(&self) -> Result<(String, bool)> {
        self.meter.count_write(0, self.stream()?.enable().await)
    }

    async fn disable(&self, stream: &str) -> Result<()> {
        self.meter.count_write(0, self.stream()?.disable(stream).await)
    }

    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>> {
        self.meter.count(None, self.stream()?.shards(stream).await)
    }

    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        self.meter.count(None, self.stream()?.iterator(stream, shard, from).await)
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        self.meter.count(None, self.stream()?.read(iterator).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn requests_and_bytes_are_counted_failures_included() {
        let meter = Arc::new(Meter::default());
        let store = Metered::new(Arc::new(MemoryStore::new("memory")), meter.clone());
        let (key, body) = (Key::from("k"), Body::new("12345".into()));
        store.put(&key, &body, &Properties::default(), &Condition::Absent).await.unwrap();
        store.put(&key, &body, &Properties::default(), &Condition::Absent).await.unwrap_err();
        store.read(&key, Some(ByteRange { start: 1, end: 3 }), None).await.unwrap();
        store.read(&"none".into(), None, None).await.unwrap_err();
        let mut listing = store.list(KeyRange::all());
        while listing.next().await.unwrap().is_some() {}
        let expected = MeterSnapshot {
            requests: 6,
            pages: 2,
            reads: 2,
            writes: 2,
            failures: 2,
            retries: 0,
            bytes_read: 2,
            bytes_written: 10,
        };
        assert_eq!(meter.snapshot(), expected);
    }

    #[tokio::test]
    async fn items_bytes_and_capacity_are_counted_as_far_as_the_server_has_said_so() {
        use migrate_core::{item::Value, table::KeyType};

        use crate::memory_table::MemoryTable;

        let table = MemoryTable::with("memory", Structure::plain(("id", KeyType::Text), None));
        let meter = Arc::new(Meter::default());
        let store = MeteredTable::new(Arc::new(table.clone()), meter.clone());
        let item = |id: &str| Item::from([("id".to_owned(), Value::Text(id.to_owned()))]);
        table.answer_at_most(Some(2));
        let writes = ["a", "b", "c"].map(|id| ItemWrite::Put(item(id)));
        assert_eq!(store.write(&writes).await.unwrap().left, [2]);
        store.write(&[ItemWrite::Put(Item::new())]).await.unwrap_err();
        store.scan(Segment { index: 0, of: 1 }, None, true).await.unwrap();
        store.get(&[ItemKey { partition: Value::Text("a".to_owned()), sort: None }]).await.unwrap();
        let expected = ItemCounts { read: 3, written: 2, left_over: 1, read_milliunits: 2000, write_milliunits: 2000 };
        assert_eq!(meter.items(), expected);
        let all = meter.snapshot();
        assert_eq!((all.requests, all.writes, all.failures, all.pages), (4, 2, 1, 1));
        assert_eq!((all.bytes_written, all.bytes_read), (9, 9));
    }
}
