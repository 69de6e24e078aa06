//! A decorator that lets no data in: the last line of the residency rules.
//!
//! The plan's check refuses a dataset whose records would leave their jurisdiction. This guard stands at the store
//! itself, so no bug between plan and store can write there.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, sync::Arc};

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

/// A store that refuses every write of data with [`ErrorKind::Forbidden`]. Reads, deletes and aborts pass, because
/// they bring no data in. A probe writes a scratch key, so it is refused too.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn ObjectStore>,
    reason: Box<str>,
}

impl Guarded {
    /// Guards a store. `reason` is one phrase for people: "class 'health' stays in DE".
    pub fn new(inner: Arc<dyn ObjectStore>, reason: &str) -> Self {
        Self { inner, reason: reason.into() }
    }

    fn refused(&self, operation: &'static str, key: Option<&Key>) -> StoreError {
        let error = StoreError::new(ErrorKind::Forbidden, operation, self.inner.location(), self.reason.clone());
        match key {
            Some(key) => error.on(key),
            None => error,
        }
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
        Err(self.refused("probe", None))
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

    async fn put(&self, key: &Key, _body: &Body, _properties: &Properties, _condition: &Condition) -> Result<Token> {
        Err(self.refused("write", Some(key)))
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, _properties: &Properties, _before: &dyn BeforeSending) -> Result<Upload> {
        Err(self.refused("begin upload of", Some(key)))
    }

    async fn put_part(&self, upload: &Upload, _number: u32, _offset: u64, _body: &Body) -> Result<Part> {
        Err(self.refused("write part of", Some(&upload.key)))
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.inner.list_parts(upload).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        _parts: &[Part],
        _evidence: &Evidence,
        _properties: &Properties,
        _condition: &Condition,
    ) -> Result<Token> {
        Err(self.refused("finish upload of", Some(&upload.key)))
    }

    async fn set_tags(&self, key: &Key, _tags: &BTreeMap<String, String>, _pin: &Token) -> Result<()> {
        Err(self.refused("set tags of", Some(key)))
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
