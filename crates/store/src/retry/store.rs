//! [`Retrying`]: repeats what failed in passing, and settles the writes whose answer was lost.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{
    attempts::{Attempts, repeat},
    policy::{Pacer, RetryPolicy},
    settle,
    track::{TrackWrites, Tracked},
};
use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{
        BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload,
        must_be_gone,
    },
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};

/// A store whose failed requests are repeated.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    pacer: Arc<Pacer>,
    tracker: Option<Arc<dyn TrackWrites>>,
}

impl Retrying {
    /// Repeats the failed requests of a store by this policy.
    pub fn new(inner: Arc<dyn ObjectStore>, policy: RetryPolicy) -> Self {
        Self { inner, pacer: Arc::new(Pacer::new(policy)), tracker: None }
    }

    /// The same store, which tells of its writes.
    #[must_use]
    pub fn tracked_by(self, tracker: Arc<dyn TrackWrites>) -> Self {
        Self { tracker: Some(tracker), ..self }
    }

    fn track(&self, operation: &'static str, key: &Key) -> Result<Tracked<'_>> {
        Tracked::begin(self.tracker.as_deref(), operation, self.location(), key)
    }

    async fn put_attempts(
        &self,
        attempts: &mut Attempts<'_>,
        key: &Key,
        body: &Body,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        loop {
            let error = match self.inner.put(key, body, properties, condition).await {
                Ok(token) => {
                    self.pacer.succeeded();
                    return Ok(attempts.shown(self, key, token).await);
                }
                Err(error) => error,
            };
            if attempts.unknown > 0 && error.kind() == ErrorKind::Precondition {
                attempts.unknown += u32::from(error.outcome_unknown());
                // Through this layer, so that the look is repeated too.
                let token = Self::settled(settle::written(self, key, body, properties).await, error)?;
                // One of the attempts has acted.
                attempts.unknown -= 1;
                return Ok(token);
            }
            attempts.failed(error).await?;
        }
    }

    async fn finish_attempts(
        &self,
        attempts: &mut Attempts<'_>,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        loop {
            let error = match self.inner.finish_upload(upload, parts, evidence, properties, condition).await {
                Ok(token) => {
                    self.pacer.succeeded();
                    return Ok(attempts.shown(self, &upload.key, token).await);
                }
                Err(error) => error,
            };
            // Seen on a server that calls the document of a finished upload by another name. The upload may be
            // done, and a repeated request would get the same answer.
            let garbled = error.kind() == ErrorKind::Garbled && error.outcome_unknown();
            let refused = matches!(error.kind(), ErrorKind::NoUpload | ErrorKind::Precondition);
            if garbled || attempts.unknown > 0 && refused {
                let used_up = error.kind() == ErrorKind::NoUpload;
                match settle::finished(self, &upload.key, evidence, properties).await {
                    Ok(None) if garbled => {}
                    looked => {
                        attempts.unknown += u32::from(error.outcome_unknown());
                        let token = Self::settled(looked, error)?;
                        attempts.unknown -= 1;
                        if !used_up {
                            // The same object may have existed before: then no attempt used up the upload.
                            self.abort_upload(upload).await.map_err(StoreError::with_unknown_outcome)?;
                        }
                        return Ok(token);
                    }
                }
            }
            attempts.failed(error).await?;
        }
    }

    async fn delete_attempts(&self, attempts: &mut Attempts<'_>, key: &Key, condition: &Condition) -> Result<()> {
        loop {
            let error = match self.inner.delete(key, condition).await {
                Ok(()) => {
                    self.pacer.succeeded();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    must_be_gone(self, "delete", key).await?;
                    attempts.unknown = attempts.unknown.saturating_sub(1);
                    return Ok(());
                }
                Err(error) => error,
            };
            if attempts.unknown > 0 && error.kind() == ErrorKind::Precondition {
                // The old object is gone, as requested; the object that is there now was written after the delete.
                return match self.head(key).await {
                    Ok(None) => {
                        must_be_gone(self, "delete", key).await.map_err(StoreError::with_unknown_outcome)?;
                        attempts.unknown -= 1;
                        Ok(())
                    }
                    Ok(Some(_)) => Err(error),
                    Err(failed) => Err(failed.with_unknown_outcome()),
                };
            }
            attempts.failed(error).await?;
        }
    }

    /// The result of a look after a refusal: our own success, or the refusal stands. A failed look leaves the
    /// outcome unknown.
    fn settled(looked: Result<Option<Token>>, refusal: StoreError) -> Result<Token> {
        match looked {
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err(refusal),
            Err(error) => Err(error.with_unknown_outcome()),
        }
    }
}

struct RetryingListing {
    inner: Box<dyn Listing>,
    pacer: Arc<Pacer>,
}

#[async_trait]
impl Listing for RetryingListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        repeat!(Attempts::new(&self.pacer), self.inner.next())
    }
}

#[async_trait]
impl ObjectStore for Retrying {
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
        repeat!(Attempts::new(&self.pacer), self.inner.probe())
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(RetryingListing { inner: self.inner.list(range), pacer: self.pacer.clone() })
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        repeat!(Attempts::new(&self.pacer), self.inner.first(range.clone()))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        repeat!(Attempts::new(&self.pacer), self.inner.head(key))
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        repeat!(Attempts::new(&self.pacer), self.inner.tags(key))
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        repeat!(Attempts::new(&self.pacer), self.inner.read(key, range, pin))
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        let (write, mut attempts) = (self.track("write", key)?, Attempts::new(&self.pacer));
        let done = self.put_attempts(&mut attempts, key, body, properties, condition).await;
        write.end(key, attempts.unknown).await;
        done
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        let mut attempts = Attempts::new(&self.pacer);
        loop {
            match self.inner.begin_upload(key, properties, before).await {
                Ok(upload) => {
                    attempts.pacer.succeeded();
                    return Ok(upload);
                }
                // A repeated request would begin a second upload beside one of unknown id: the caller, which keeps
                // the record of intents, looks for that one first.
                Err(error) if error.outcome_unknown() => return Err(error),
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        repeat!(Attempts::new(&self.pacer), self.inner.put_part(upload, number, offset, body))
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        repeat!(Attempts::new(&self.pacer), self.inner.list_parts(upload))
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        let (write, mut attempts) = (self.track("finish upload of", &upload.key)?, Attempts::new(&self.pacer));
        let done = self.finish_attempts(&mut attempts, upload, parts, evidence, properties, condition).await;
        write.end(&upload.key, attempts.unknown).await;
        done
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        let (write, mut attempts) = (self.track("set tags of", key)?, Attempts::new(&self.pacer));
        let done = repeat!(attempts, self.inner.set_tags(key, tags, pin));
        write.end(key, attempts.unknown).await;
        done
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        repeat!(Attempts::new(&self.pacer), self.inner.abort_upload(upload))
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        repeat!(Attempts::new(&self.pacer), self.inner.list_uploads(key))
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        let (write, mut attempts) = (self.track("delete", key)?, Attempts::new(&self.pacer));
        let done = self.delete_attempts(&mut attempts, key, condition).await;
        write.end(key, attempts.unknown).await;
        done
    }
}
