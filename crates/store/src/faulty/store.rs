//! [`Faulty`]: applies the faults to a store.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{
    apply::{reading, writing},
    faults::{Faults, Late},
    kinds::{Fault, Operation},
};
use crate::{
    endpoint::EndpointId,
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};
use migrate_fault::{Strike, flip_bit};

/// A store that fails on purpose.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
    last_written: LastWritten,
}

/// The key that was written last; a stale listing hides it.
type LastWritten = Arc<Mutex<Option<Key>>>;

impl Faulty {
    /// Makes a store fail by the rules of `faults`.
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults, last_written: Arc::default() }
    }

    async fn reading<T>(
        &self,
        operation: Operation,
        key: Option<&Key>,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        reading(&self.faults, self.inner.location(), operation, key, act).await.map(|(done, _)| done)
    }

    /// Writes, unless a fault is an error. `late` is the same request for a fault that holds it.
    async fn writing<T>(
        &self,
        operation: Operation,
        key: &Key,
        late: Option<Late>,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let fault = self.faults.fate(operation);
        writing(&self.faults, self.inner.location(), (operation, fault), Some(key), late, act).await
    }

    /// Remembers the key that a stale listing hides: the last one written, answered or not.
    fn wrote(&self, key: &Key) {
        *self.last_written.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
    }
}

struct FaultyListing {
    inner: Box<dyn Listing>,
    faults: Arc<Faults>,
    location: Box<str>,
    last_written: LastWritten,
}

#[async_trait]
impl Listing for FaultyListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        loop {
            let page = reading(&self.faults, &self.location, Operation::List, None, self.inner.next()).await?;
            let (Some(mut page), Some(Strike { fault: Fault::StaleListing, .. })) = page else { return Ok(page.0) };
            let hidden = self.last_written.lock().unwrap_or_else(PoisonError::into_inner).clone();
            page.retain(|entry| Some(&entry.key) != hidden.as_ref());
            // A page is never empty.
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
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
        self.reading(Operation::Probe, None, self.inner.probe()).await
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(FaultyListing {
            inner: self.inner.list(range),
            faults: self.faults.clone(),
            location: self.inner.location().into(),
            last_written: self.last_written.clone(),
        })
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        self.reading(Operation::List, None, self.inner.first(range)).await
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.reading(Operation::Head, Some(key), self.inner.head(key)).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.reading(Operation::Tags, Some(key), self.inner.tags(key)).await
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let operation = if range.is_some() { Operation::ReadRange } else { Operation::Read };
        let act = self.inner.read(key, range, pin);
        let (mut read, strike) = reading(&self.faults, self.inner.location(), operation, Some(key), act).await?;
        if let Some(Strike { fault: Fault::FlippedBitUnnoticed, draw }) = strike {
            read.bytes = flip_bit(&read.bytes, draw).into();
        }
        Ok(read)
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        let act = async {
            let token = self.inner.put(key, body, properties, condition).await?;
            self.wrote(key);
            Ok(token)
        };
        let (inner, late) =
            (Arc::clone(&self.inner), (key.clone(), body.clone(), properties.clone(), condition.clone()));
        let late = async move {
            let (key, body, properties, condition) = late;
            let _ = inner.put(&key, &body, &properties, &condition).await;
        };
        self.writing(Operation::Put, key, Some(Box::pin(late)), act).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.writing(Operation::BeginUpload, key, None, self.inner.begin_upload(key, properties, before)).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        let act = self.inner.put_part(upload, number, offset, body);
        self.writing(Operation::PutPart, &upload.key, None, act).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.reading(Operation::ListParts, Some(&upload.key), self.inner.list_parts(upload)).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        let act = async {
            let token = self.inner.finish_upload(upload, parts, evidence, properties, condition).await?;
            self.wrote(&upload.key);
            Ok(token)
        };
        self.writing(Operation::FinishUpload, &upload.key, None, act).await
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.writing(Operation::SetTags, key, None, self.inner.set_tags(key, tags, pin)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.writing(Operation::AbortUpload, &upload.key, None, self.inner.abort_upload(upload)).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.reading(Operation::ListUploads, Some(key), self.inner.list_uploads(key)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        let (inner, late) = (Arc::clone(&self.inner), (key.clone(), condition.clone()));
        let late = async move {
            let _ = inner.delete(&late.0, &late.1).await;
        };
        self.writing(Operation::Delete, key, Some(Box::pin(late)), self.inner.delete(key, condition)).await
    }
}
