//! A decorator that lets no data in: the last line of the residency rules.
//!
//! The plan's check refuses a dataset whose records would leave their jurisdiction. This guard stands at the store
//! itself, so no bug between plan and store can write there.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{BeforeSending, ByteRange, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};

/// Why data must not be written under a key, as one phrase for people; `None` if it may.
pub type Judge = dyn Fn(&Key) -> Option<String> + Send + Sync;

/// A store that refuses writes of data with [`ErrorKind::Forbidden`]: all of them, or those of some keys. Reads, deletes
/// and aborts pass, because they bring no data in. A probe writes a scratch key, so it is refused where all writes are.
pub struct Guarded {
    inner: Arc<dyn ObjectStore>,
    /// Why nothing may be written at all.
    closed: Option<Box<str>>,
    judge: Box<Judge>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Guarded {
    /// Guards a store against every write. `reason` is one phrase for people: "class 'health' stays in DE".
    pub fn new(inner: Arc<dyn ObjectStore>, reason: &str) -> Self {
        Self { inner, closed: Some(reason.into()), judge: Box::new(|_| None) }
    }

    /// Guards a store against writes under some keys.
    pub fn judging(inner: Arc<dyn ObjectStore>, judge: Box<Judge>) -> Self {
        Self { inner, closed: None, judge }
    }

    /// Refuses a write under a key if it must not be there.
    fn allows(&self, operation: &'static str, key: &Key) -> Result<()> {
        let reason = self.closed.as_deref().map(str::to_owned).or_else(|| (self.judge)(key));
        let refused = |reason| StoreError::new(ErrorKind::Forbidden, operation, self.inner.location(), reason).on(key);
        reason.map_or(Ok(()), |reason: String| Err(refused(reason)))
    }
}

#[async_trait]
impl ObjectStore for Guarded {
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
        match &self.closed {
            None => self.inner.probe().await,
            Some(reason) => Err(StoreError::new(ErrorKind::Forbidden, "probe", self.inner.location(), reason.clone())),
        }
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        self.inner.list(range)
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.inner.head(key).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.inner.tags(key).await
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        self.inner.read(key, range, pin).await
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        self.allows("write", key)?;
        self.inner.put(key, body, properties, condition).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.allows("begin upload of", key)?;
        self.inner.begin_upload(key, properties, before).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.allows("write part of", &upload.key)?;
        self.inner.put_part(upload, number, offset, body).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.inner.list_parts(upload).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        self.allows("finish upload of", &upload.key)?;
        self.inner.finish_upload(upload, parts, evidence, properties, condition).await
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.allows("set tags of", key)?;
        self.inner.set_tags(key, tags, pin).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.inner.list_uploads(key).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.inner.delete(key, condition).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn only_the_keys_that_must_not_be_there_are_refused() {
        let memory = MemoryStore::new("memory");
        let judge = |key: &Key| key.as_str().starts_with("in/").then(|| "it must stay in IN".to_owned());
        let guarded = Guarded::judging(Arc::new(memory.clone()), Box::new(judge));
        guarded.adopt(guarded.probe().await.unwrap());
        let (none, body) = (Properties::default(), Body::new("b".into()));
        let (allowed, forbidden) = (Key::from("us/k"), Key::from("in/k"));
        guarded.put(&allowed, &body, &none, &Condition::Absent).await.unwrap();
        let open = guarded.begin_upload(&allowed, &none, &()).await.unwrap();
        guarded.put_part(&open, 1, 0, &body).await.unwrap();
        let open = Upload { key: forbidden.clone(), ..open };
        let refusals = [
            guarded.put(&forbidden, &body, &none, &Condition::None).await.unwrap_err(),
            guarded.begin_upload(&forbidden, &none, &()).await.unwrap_err(),
            guarded.put_part(&open, 1, 0, &body).await.unwrap_err(),
            guarded.finish_upload(&open, &[], &body.evidence(), &none, &Condition::None).await.unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!((refusal.kind(), refusal.detail()), (ErrorKind::Forbidden, "it must stay in IN"));
        }
        assert_eq!(memory.snapshot().into_keys().collect::<Vec<_>>(), [allowed]);
    }

    #[tokio::test]
    async fn every_write_is_refused_with_the_reason_and_nothing_is_written() {
        let memory = MemoryStore::new("memory");
        memory.put_raw("old", "o", Properties::default());
        let open = memory.begin_upload(&"open".into(), &Properties::default(), &()).await.unwrap();
        let guarded = Guarded::new(Arc::new(memory.clone()), "class 'health' stays in DE");
        let (key, none, body) = (Key::from("k"), Properties::default(), Body::new("b".into()));
        let refusals = [
            guarded.put(&key, &body, &none, &Condition::None).await.unwrap_err(),
            guarded.begin_upload(&key, &none, &()).await.unwrap_err(),
            guarded.put_part(&open, 1, 0, &body).await.unwrap_err(),
            guarded
                .finish_upload(&open, &[], &body.evidence(), &Properties::default(), &Condition::None)
                .await
                .unwrap_err(),
            guarded.probe().await.unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.kind(), ErrorKind::Forbidden);
            assert_eq!(refusal.detail(), "class 'health' stays in DE");
        }
        assert_eq!(memory.snapshot().len(), 1);
        assert_eq!(guarded.read(&"old".into(), None, None).await.unwrap().bytes, "o");
        guarded.delete(&"old".into(), &Condition::None).await.unwrap();
        assert!(memory.snapshot().is_empty());
    }
}
