//! A decorator that keeps the conditions which a store itself ignores.
//!
//! Some servers accept `If-Match` or `If-None-Match` and ignore them. A caller that writes or deletes does not have
//! to know: it always gives the condition, and this decorator keeps it. If the store honours the condition, the
//! store gets it. If not, the decorator looks at the object right before each attempt and sends the request without
//! the condition.
//!
//! For the layers above, the look and the request are one operation: this decorator stands below
//! [`limit`](super::limit) and [`retry`](super::retry), so no closed window, queue or retry pause comes in between.
//! The time between the two requests remains: a foreign write in that instant is lost, and nothing on this side can
//! prevent it.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{
        BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload,
        must_be_gone,
    },
};
use migrate_core::{
    capability::{Capabilities, Condition, Honoured},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};

/// A store that keeps every condition, natively or by a look.
#[derive(Debug)]
pub struct Conditional {
    inner: Arc<dyn ObjectStore>,
}

/// The part of a condition that remains after a look.
enum Looked {
    /// The condition holds, or the store checks it: send this one along.
    Holds(Condition),
    /// There is no object.
    Gone,
}

impl Conditional {
    /// Keeps the conditions of a store.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }

    /// Looks whether a condition holds, unless the store checks it itself.
    async fn look(&self, operation: &'static str, key: &Key, condition: &Condition, natively: bool) -> Result<Looked> {
        if natively || *condition == Condition::None {
            return Ok(Looked::Holds(condition.clone()));
        }
        let shown = self.inner.head(key).await?.map(|head| head.token);
        if shown.is_none() {
            must_be_gone(&*self.inner, operation, key).await?;
        }
        match (condition, shown) {
            (Condition::Absent | Condition::None, None) => Ok(Looked::Holds(Condition::None)),
            (Condition::Matches(_), None) => Ok(Looked::Gone),
            (Condition::Matches(token), Some(shown)) if token.agrees_with(&shown) => Ok(Looked::Holds(Condition::None)),
            (_, Some(_)) => Err(self.refused(operation, key)),
        }
    }

    /// The condition to send with a write.
    async fn before_write(
        &self,
        operation: &'static str,
        key: &Key,
        condition: &Condition,
        honoured: Honoured,
    ) -> Result<Condition> {
        match self.look(operation, key, condition, honoured.keeps(condition)).await? {
            Looked::Holds(condition) => Ok(condition),
            Looked::Gone => Err(self.refused(operation, key)),
        }
    }

    fn refused(&self, operation: &'static str, key: &Key) -> StoreError {
        let detail = "the object there is not the one that was expected";
        StoreError::new(ErrorKind::Precondition, operation, self.inner.location(), detail).on(key)
    }
}

#[async_trait]
impl ObjectStore for Conditional {
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
        self.inner.probe().await
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        self.inner.list(range)
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        self.inner.first(range).await
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
        let condition = self.before_write("write", key, condition, self.inner.capabilities().on_put()).await?;
        self.inner.put(key, body, properties, &condition).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.inner.begin_upload(key, properties, before).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
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
        let honoured = self.inner.capabilities().on_finish();
        let condition = self.before_write("finish upload of", &upload.key, condition, honoured).await?;
        self.inner.finish_upload(upload, parts, evidence, properties, &condition).await
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.inner.set_tags(key, tags, pin).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.inner.list_uploads(key).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        let honoured = self.inner.capabilities().on_delete();
        match self.look("delete", key, condition, honoured.keeps(condition)).await? {
            Looked::Holds(condition) => self.inner.delete(key, &condition).await,
            Looked::Gone => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        limit::{Limited, Quota, SiteLimits, WorkingHours},
        memory::MemoryStore,
        retry::{RetryPolicy, Retrying},
    };
    use migrate_core::capability::IfMatch;

    /// A server that ignores every condition.
    async fn blind() -> MemoryStore {
        let honest = MemoryStore::new("memory").probe().await.unwrap();
        let can = Capabilities {
            put_if_absent: false,
            put_if_matches: IfMatch::Ignored,
            finish_if_absent: false,
            finish_if_matches: IfMatch::Ignored,
            delete_if_matches: IfMatch::Ignored,
            ..honest
        };
        let memory = MemoryStore::new("memory").with_capabilities(can);
        memory.probe().await.unwrap();
        memory
    }

    fn kept(memory: &MemoryStore) -> Conditional {
        Conditional::new(Arc::new(memory.clone()))
    }

    async fn put(store: &dyn ObjectStore, text: &'static str, condition: Condition) -> Result<Token> {
        store.put(&"k".into(), &Body::new(text.into()), &Properties::default(), &condition).await
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_keeps_them_all_the_same() {
        let memory = blind().await;
        let store = kept(&memory);
        let first = put(&store, "first", Condition::Absent).await.unwrap();
        assert_eq!(put(&store, "second", Condition::Absent).await.unwrap_err().kind(), ErrorKind::Precondition);
        let second = put(&store, "second", Condition::Matches(first.clone())).await.unwrap();
        let late = put(&store, "third", Condition::Matches(first.clone())).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Precondition);
        assert_eq!(memory.bytes("k").unwrap(), "second");

        let key = Key::from("k");
        let body = Body::new("parts".into());
        let upload = store.begin_upload(&key, &Properties::default(), &()).await.unwrap();
        let part = vec![store.put_part(&upload, 1, 0, &body).await.unwrap()];
        let none = Properties::default();
        let finish = async |condition| store.finish_upload(&upload, &part, &body.evidence(), &none, &condition).await;
        assert_eq!(finish(Condition::Absent).await.unwrap_err().kind(), ErrorKind::Precondition);
        assert_eq!(finish(Condition::Matches(first.clone())).await.unwrap_err().kind(), ErrorKind::Precondition);
        assert_eq!(memory.bytes("k").unwrap(), "second");
        let third = finish(Condition::Matches(second)).await.unwrap();

        let refused = store.delete(&key, &Condition::Matches(first.clone())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Precondition);
        store.delete(&key, &Condition::Matches(third)).await.unwrap();
        assert!(memory.snapshot().is_empty());
        store.delete(&key, &Condition::Matches(first.clone())).await.unwrap();
        let gone = put(&store, "x", Condition::Matches(first)).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Precondition, "what is gone matches nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_working_hours_nor_a_pause_come_between_the_look_and_the_delete() {
        let begun = tokio::time::Instant::now();
        let clock = Arc::new(move || jiff::Timestamp::UNIX_EPOCH + begun.elapsed());
        let memory = blind().await;
        let seen = memory.put_raw("k", "seen", Properties::default());
        let window = WorkingHours::new(60, 120, "UTC").unwrap();
        let limits = SiteLimits::new("there", Quota { window: Some(window), ..Quota::default() }, clock);
        let store = Limited::new(Arc::new(kept(&memory)), limits);
        let store = Retrying::new(Arc::new(store), RetryPolicy::default());
        let deleting = tokio::spawn(async move { store.delete(&"k".into(), &Condition::Matches(seen)).await });
        // The window opens at one o'clock; an application writes while the delete waits for it.
        tokio::time::sleep(Duration::from_mins(30)).await;
        memory.put_raw("k", "written since", Properties::default());
        let refused = deleting.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Precondition, "{refused}");
        assert_eq!(memory.bytes("k").unwrap(), "written since");
        assert!(begun.elapsed() >= Duration::from_hours(1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_looks_again() {
        use crate::faulty::{Fault, FaultRule, Faults, Faulty, Operation};
        use migrate_fault::When;

        let memory = blind().await;
        let seen = memory.put_raw("k", "seen", Properties::default());
        let first = FaultRule::new(Fault::InternalError, When::Only(1)).on([Operation::Delete]);
        let faulty = Faulty::new(Arc::new(memory.clone()), Arc::new(Faults::with_rules(1, vec![first])));
        let store = Retrying::new(Arc::new(Conditional::new(Arc::new(faulty))), RetryPolicy::default());
        let deleting = async { store.delete(&"k".into(), &Condition::Matches(seen)).await };
        let writing = async {
            // The first attempt has failed by now, and the pause before the second has begun.
            tokio::task::yield_now().await;
            memory.put_raw("k", "written since", Properties::default());
        };
        let (deleted, ()) = futures::join!(deleting, writing);
        assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Precondition);
        assert_eq!(memory.bytes("k").unwrap(), "written since");
    }
}
