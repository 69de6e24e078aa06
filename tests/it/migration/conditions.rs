//! Nothing is written or deleted over what somebody else has written, on servers that ignore conditions too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use migrate::{
    digest::Body,
    lifecycle::Goal,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    store::{
        BeforeSending, ByteRange, Capabilities, Condition, Head, Listing, ObjectStore, Part, Properties, Read, Result,
        Upload, memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, Stores, memory, one_dataset};

/// A server that ignores conditions, and an application that writes right after the tool has looked.
#[derive(Debug)]
struct Racing {
    inner: MemoryStore,
    /// The key that the application writes, once.
    armed: Mutex<Option<Key>>,
}

impl Racing {
    fn new() -> Self {
        let can = Capabilities { proof: migrate::store::Proof::SignedPayload, ..Capabilities::unproved() };
        let can = Capabilities { properties: true, tags: true, tag_count: true, keeps_crc64nvme: true, ..can };
        let inner = MemoryStore::new("s3://a/data/").with_capabilities(can);
        Self { inner, armed: Mutex::default() }
    }

    fn arm(&self, key: &str) {
        *self.armed.lock().unwrap() = Some(key.into());
    }
}

#[async_trait]
impl ObjectStore for Racing {
    fn location(&self) -> &str {
        self.inner.location()
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
        self.inner.tags(key).await
    }
    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        self.inner.read(key, range, pin).await
    }
    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
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
