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
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};

/// A failed request that waits for its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Key of the record, if the request is about one.
    pub key: Option<Key>,
    /// The text of the error; it may contain the key.
    pub failure: String,
    /// Number of the next attempt, from 2.
    pub attempt: u32,
    /// Number of the last attempt.
    pub attempts_max: u32,
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
    pauses: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
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
}
