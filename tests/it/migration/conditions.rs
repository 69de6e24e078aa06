//! Nothing is written or deleted over a foreign writer's objects, on servers that ignore conditions too.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use migrate::{
    digest::Body,
    lifecycle::Goal,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    store::{
        BeforeSending, ByteRange, Capabilities, Condition, EndpointId, ErrorKind, Head, Listing, ObjectStore, Part,
        Properties, Read, Result, StoreError, Upload, memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, Stores, memory, one_dataset};

/// A server that ignores conditions, and an application that writes right after the tool has looked.
#[derive(Debug)]
pub(super) struct Racing {
    pub(super) inner: MemoryStore,
    /// The key that the application writes, once.
    armed: Mutex<Option<Key>>,
    /// The same right before its tags are read.
    armed_tags: Mutex<Option<Key>>,
    /// The key at which a write that was sent before arrives right before ours, once.
    armed_late: Mutex<Option<Key>>,
    /// Every condition is refused, also one that holds.
    pub(super) refuses: AtomicBool,
}

impl Racing {
    fn new() -> Self {
        let can = Capabilities { proof: migrate::store::Proof::SignedPayload, ..Capabilities::unproved() };
        let can = Capabilities { properties: true, tags: true, tag_count: true, keeps_crc64nvme: true, ..can };
        let can = Capabilities { dates_writes: true, ..can };
        Self::of(MemoryStore::new("s3://a/data/").with_capabilities(can))
    }

    pub(super) fn of(inner: MemoryStore) -> Self {
        Self {
            inner,
            armed: Mutex::default(),
            armed_tags: Mutex::default(),
            armed_late: Mutex::default(),
            refuses: false.into(),
        }
    }

    pub(super) fn arm(&self, key: &str) {
        *self.armed.lock().unwrap() = Some(key.into());
    }
}

#[async_trait]
impl ObjectStore for Racing {
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
    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        let head = self.inner.head(key).await;
        let armed = self.armed.lock().unwrap().take_if(|armed| armed == key);
        if armed.is_some() {
            self.inner.put_raw(key.as_str(), "written by the application", Properties::default());
        }
        head
    }
    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        if self.armed_tags.lock().unwrap().take_if(|armed| armed == key).is_some() {
            self.inner.put_raw(key.as_str(), "written by the application", tagged("theirs"));
        }
        self.inner.tags(key).await
    }
    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        self.inner.read(key, range, pin).await
    }
    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        if self.armed_late.lock().unwrap().take_if(|armed| armed == key).is_some() {
            self.inner.put(key, body, properties, &Condition::None).await?;
            return Err(StoreError::new(ErrorKind::Precondition, "write", self.location(), "it is there by now"));
        }
        if self.refuses.load(Ordering::Relaxed) && *condition != Condition::None {
            return Err(StoreError::new(ErrorKind::Precondition, "write", self.location(), "refused on purpose"));
        }
        self.inner.put(key, body, properties, condition).await
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
        self.inner.finish_upload(upload, parts, evidence, properties, condition).await
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
        self.inner.delete(key, condition).await
    }
}

fn tagged(value: &str) -> Properties {
    Properties { tags: [("by".to_owned(), value.to_owned())].into(), ..Properties::default() }
}

fn rig(directory: &std::path::Path) -> (Rig, Arc<MemoryStore>, Arc<Racing>) {
    let (source, target) = (memory(&["src"])["src"].clone(), Arc::new(Racing::new()));
    for key in ["a", "b", "c", "d"] {
        source.put_raw(key, format!("object {key}"), Properties::default());
    }
    let mut stores = Stores::new();
    stores.insert("src".into(), source.clone());
    stores.insert("a".into(), target.clone());
    (Rig::new(&one_dataset(&["a"], "delete_share = \"100%\""), stores, directory), source, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_spares_what_was_written_since_the_look() {
    let directory = tempdir().unwrap();
    let (rig, source, target) = rig(directory.path());
    rig.run().await;
    source.remove("b");
    source.remove("c");
    target.arm("b");
    let _refused = rig.try_run(Goal::Verified).await.unwrap();
    assert_eq!(target.inner.bytes("b").unwrap(), "written by the application");
    assert_eq!(target.inner.bytes("c"), None, "the other one is deleted");
}

/// As after a stop that dropped the request of a write, which the server then carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_dropped_and_acts_late_fails_no_later_run() {
    let directory = tempdir().unwrap();
    let (rig, _source, target) = rig(directory.path());
    *target.armed_late.lock().unwrap() = Some("b".into());
    rig.run().await;
    assert_eq!(target.inner.bytes("b").unwrap(), "object b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_spares_what_was_written_since_the_look() {
    let directory = tempdir().unwrap();
    let (rig, _source, target) = rig(directory.path());
    rig.run().await;
    target.arm("b");
    let ends = rig.discard().await;
    assert_eq!(target.inner.bytes("b").unwrap(), "written by the application");
    assert_eq!((ends[0].discarded, ends[0].kept), (3, 1), "{ends:?}");
    assert_eq!(target.inner.snapshot().len(), 1);
}

/// Tags are read apart from the bytes that they belong to.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_one_version_are_never_copied_with_the_tags_of_another() {
    let (source, target) = (Arc::new(Racing::of(MemoryStore::new("s3://src/data/"))), memory(&["a"])["a"].clone());
    source.probe().await.unwrap();
    source.inner.put_raw("k", "first", tagged("ours"));
    *source.armed_tags.lock().unwrap() = Some("k".into());
    let stores = Stores::from([("src".into(), source.clone() as _), ("a".into(), target.clone() as _)]);
    let directory = tempdir().unwrap();
    Rig::new(&one_dataset(&["a"], ""), stores, directory.path()).try_run(Goal::Copied).await.unwrap();
    assert_eq!(*source.armed_tags.lock().unwrap(), None, "it was written to meanwhile");
    assert_eq!(target.snapshot()[&Key::from("k")].properties.tags, tagged("theirs").tags);
    assert_eq!(target.bytes("k").unwrap(), "written by the application");
}
