//! [`Limited`]: a store that keeps the limits of its site.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, future::Future, sync::Arc};

use async_trait::async_trait;

use super::{concurrency::About, site::SiteLimits};
use crate::{
    endpoint::EndpointId,
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};

/// A store that keeps the limits of its site.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn ObjectStore>,
    limits: Arc<SiteLimits>,
}

impl Limited {
    /// Makes a store keep the limits of its site.
    pub fn new(inner: Arc<dyn ObjectStore>, limits: Arc<SiteLimits>) -> Self {
        Self { inner, limits }
    }
}

/// Runs one request with a body of `bytes` under the limits.
async fn limited<T>(
    limits: &SiteLimits,
    about: About<'_>,
    bytes: u64,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    limits.admit(bytes).await;
    let slot = limits.slot().await;
    let outcome = act.await;
    slot.settle(about, outcome.as_ref().err().map(Into::into));
    outcome
}

struct LimitedListing {
    inner: Box<dyn Listing>,
    limits: Arc<SiteLimits>,
}

#[async_trait]
impl Listing for LimitedListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        limited(&self.limits, None, 0, self.inner.next()).await
    }
}

#[async_trait]
impl ObjectStore for Limited {
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
        limited(&self.limits, None, 0, self.inner.probe()).await
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(LimitedListing { inner: self.inner.list(range), limits: self.limits.clone() })
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        limited(&self.limits, None, 0, self.inner.first(range)).await
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.head(key)).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.tags(key)).await
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let known = range.map(|range| range.end.saturating_sub(range.start)).or(pin.map(|pin| pin.size));
        let read = limited(&self.limits, Some((key, 0)), known.unwrap_or(0), self.inner.read(key, range, pin)).await?;
        if known.is_none() {
            self.limits.charge(read.bytes.len() as u64);
        }
        Ok(read)
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        limited(&self.limits, Some((key, 0)), body.size(), self.inner.put(key, body, properties, condition)).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.begin_upload(key, properties, before)).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        limited(
            &self.limits,
            Some((&upload.key, number)),
            body.size(),
            self.inner.put_part(upload, number, offset, body),
        )
        .await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        limited(&self.limits, Some((&upload.key, 0)), 0, self.inner.list_parts(upload)).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        let finish = self.inner.finish_upload(upload, parts, evidence, properties, condition);
        limited(&self.limits, Some((&upload.key, 0)), 0, finish).await
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.set_tags(key, tags, pin)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        limited(&self.limits, Some((&upload.key, 0)), 0, self.inner.abort_upload(upload)).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.list_uploads(key)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        limited(&self.limits, Some((key, 0)), 0, self.inner.delete(key, condition)).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        limit::{
            concurrency::AtOnce,
            hours::WorkingHours,
            site::{Quota, WallClock},
        },
        memory::MemoryStore,
    };

    fn site(limits: Quota) -> Arc<SiteLimits> {
        SiteLimits::new("california", limits, Arc::new(|| jiff::Timestamp::UNIX_EPOCH))
    }

    fn limited_memory(limits: &Arc<SiteLimits>) -> Limited {
        Limited::new(Arc::new(MemoryStore::new("memory")), limits.clone())
    }

    async fn put(store: &Limited, key: &str, size: usize) {
        let body = Body::new(vec![0; size].into());
        store.put(&key.into(), &body, &Properties::default(), &Condition::None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_held_to_the_bandwidth_also_those_above_any_burst() {
        let limits = site(Quota { bandwidth: Some(1_000_000), ..Quota::default() });
        let store = limited_memory(&limits);
        let begun = tokio::time::Instant::now();
        put(&store, "big", 5_000_000).await;
        assert!(begun.elapsed() < Duration::from_millis(10), "what is not owed yet does not wait");
        put(&store, "next", 1).await;
        let waited = begun.elapsed().as_secs_f64();
        assert!((4.8..5.2).contains(&waited), "5 MB at 1 MB/s took {waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_charged_too_known_size_or_not() {
        let limits = site(Quota { bandwidth: Some(1_000_000), ..Quota::default() });
        let memory = MemoryStore::new("memory");
        memory.put_raw("k", vec![0; 2_000_000], Properties::default());
        let store = Limited::new(Arc::new(memory), limits);
        let begun = tokio::time::Instant::now();
        store.read(&"k".into(), None, None).await.unwrap();
        store.read(&"k".into(), Some(ByteRange { start: 0, end: 1_000_000 }), None).await.unwrap();
        put(&store, "end", 1).await;
        let waited = begun.elapsed().as_secs_f64();
        assert!((2.8..3.2).contains(&waited), "3 MB at 1 MB/s took {waited} s");
    }

    /// Notes the time of the call.
    #[derive(Default)]
    struct Noted(std::sync::Mutex<Option<tokio::time::Instant>>);

    #[async_trait]
    impl BeforeSending for Noted {
        async fn sending(&self) -> Result<()> {
            *self.0.lock().unwrap() = Some(tokio::time::Instant::now());
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_sending_is_told_after_every_wait() {
        let limits = site(Quota { requests_per_second: Some(1), ..Quota::default() });
        let (store, noted) = (limited_memory(&limits), Noted::default());
        let begun = tokio::time::Instant::now();
        store.head(&"k".into()).await.unwrap();
        store.begin_upload(&"k".into(), &Properties::default(), &noted).await.unwrap();
        let told = noted.0.lock().unwrap().expect("it is told");
        assert!(told - begun >= Duration::from_millis(990), "it was told {:?} after the start", told - begun);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_held_to_their_rate() {
        let limits = site(Quota { requests_per_second: Some(10), ..Quota::default() });
        let store = limited_memory(&limits);
        let begun = tokio::time::Instant::now();
        for _ in 0..51 {
            store.head(&"k".into()).await.unwrap();
        }
        let waited = begun.elapsed().as_secs_f64();
        assert!((4.8..5.2).contains(&waited), "51 requests at 10/s took {waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_lifted_frees_who_waits_and_the_reason_is_told() {
        let limits = site(Quota { bandwidth: Some(1_000), ..Quota::default() });
        let store = Arc::new(limited_memory(&limits));
        put(&store, "k", 1_000_000).await;
        assert_eq!(limits.reason(), None);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { put(&store, "l", 1).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(limits.reason().unwrap(), "california: bandwidth limit 1000 B/s");
        limits.set(Quota::default());
        let begun = tokio::time::Instant::now();
        waiting.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "it waited off a debt to a limit that is gone");
        assert_eq!(limits.reason(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_leaves_no_reason_and_blocks_nobody() {
        let limits = site(Quota { bandwidth: Some(1_000), ..Quota::default() });
        let store = limited_memory(&limits);
        put(&store, "k", 5_000).await;
        let cut = tokio::time::timeout(Duration::from_secs(1), put(&store, "l", 1)).await;
        assert!(cut.is_err());
        assert_eq!(limits.reason(), None);
        put(&store, "m", 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn outside_working_hours_requests_wait_until_they_open() {
        let begun = tokio::time::Instant::now();
        // 1970-01-01T00:00Z plus the time that passed in the paused clock.
        let clock: WallClock = Arc::new(move || jiff::Timestamp::UNIX_EPOCH + begun.elapsed());
        let window = WorkingHours::new(22 * 60, 6 * 60, "Europe/Paris").unwrap();
        let limits = SiteLimits::new("paris", Quota { window: Some(window), ..Quota::default() }, clock);
        let store = limited_memory(&limits);
        store.head(&"k".into()).await.unwrap();
        assert!(begun.elapsed().is_zero(), "01:00 in Paris is within 22:00 to 06:00");
        // 05:00Z is 06:00 in Paris: closed until 21:00Z.
        tokio::time::sleep(Duration::from_hours(5)).await;
        store.head(&"k".into()).await.unwrap();
        let opened = begun.elapsed().as_secs_f64() / 3600.0;
        assert!((21.0..21.01).contains(&opened), "it opened after {opened} h");
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_the_maximum_runs_at_once() {
        let limits = site(Quota { at_once: AtOnce::fixed(3), ..Quota::default() });
        let held: Vec<_> = [limits.slot().await, limits.slot().await, limits.slot().await].into();
        assert!(tokio::time::timeout(Duration::from_secs(1), limits.slot()).await.is_err());
        drop(held);
        limits.slot().await;
    }
}
