//! A decorator that asks the dataset's [`Lease`] before each write: the last line of the rule about routes.
//!
//! It stands below the limits and the retries, so that no wait for them comes between the answer and the request, and
//! above [`Conditional`](migrate_store::conditional::Conditional), so that no wait for a look at the route comes
//! between a look at the object and its write. A look at the object may take long, too. So it stands below `Conditional` as
//! well, where it does not wait: a write whose look at the route has aged meanwhile is repeated from above, with new looks.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use crate::lease::Lease;
use migrate_core::{
    digest::Body,
    item::{Item, ItemKey},
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    table::{Structure, TableAbilities},
};
use migrate_store::{
    BeforeSending, ByteRange, Capabilities, Condition, EndpointId, Entry, ErrorKind, Head, Listing, ObjectStore, Part,
    Properties, Read, StoreError, Upload,
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};

type Result<T> = std::result::Result<T, StoreError>;

/// A store whose writes are sent only while the lease is held, and else refused with [`ErrorKind::ClaimLost`]. Reads
/// pass. So does a probe: its scratch keys are no records of any dataset, and it comes before the claim.
#[derive(Debug)]
pub(crate) struct Leased {
    inner: Arc<dyn ObjectStore>,
    lease: Arc<Lease>,
    waits: bool,
}

impl Leased {
    /// Writes wait until they may be sent.
    pub(crate) fn waiting(inner: Arc<dyn ObjectStore>, lease: Arc<Lease>) -> Self {
        Self { inner, lease, waits: true }
    }

    /// Writes that may not be sent now fail, in a way that may pass.
    pub(crate) fn at_once(inner: Arc<dyn ObjectStore>, lease: Arc<Lease>) -> Self {
        Self { inner, lease, waits: false }
    }

    /// Whether a write may be sent.
    async fn admit(&self, operation: &'static str, key: &Key) -> Result<()> {
        let failed = |kind, why: &str| StoreError::new(kind, operation, self.inner.location(), why).on(key);
        let admitted = if self.waits { self.lease.admit().await.map(|()| true) } else { self.lease.still_admits() };
        match admitted {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(ErrorKind::Unavailable, "the route was looked at too long ago to write by it")),
            Err(why) => Err(failed(ErrorKind::ClaimLost, &why)),
        }
    }
}

#[async_trait]
impl ObjectStore for Leased {
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
        self.admit("write", key).await?;
        self.inner.put(key, body, properties, condition).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.admit("begin upload of", key).await?;
        self.inner.begin_upload(key, properties, before).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.admit("write part of", &upload.key).await?;
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
        self.admit("finish upload of", &upload.key).await?;
        self.inner.finish_upload(upload, parts, evidence, properties, condition).await
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.admit("set tags of", key).await?;
        self.inner.set_tags(key, tags, pin).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.admit("abort upload of", &upload.key).await?;
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.inner.list_uploads(key).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.admit("delete", key).await?;
        self.inner.delete(key, condition).await
    }
}

/// A table whose writes are sent only while the lease is held. What is asked of it is as for [`Leased`].
#[derive(Debug)]
pub(crate) struct LeasedTable {
    inner: Arc<dyn TableStore>,
    lease: Arc<Lease>,
}

impl LeasedTable {
    pub(crate) fn new(inner: Arc<dyn TableStore>, lease: Arc<Lease>) -> Self {
        Self { inner, lease }
    }

    async fn admit(&self, operation: &'static str) -> Result<()> {
        let refused = |why| StoreError::new(ErrorKind::ClaimLost, operation, self.inner.location(), why);
        self.lease.admit().await.map_err(refused)
    }
}

#[async_trait]
impl TableStore for LeasedTable {
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
        self.inner.probe().await
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        self.inner.describe().await
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        self.admit("create table").await?;
        self.inner.create(structure).await
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        self.admit("set the expiry of items").await?;
        self.inner.set_ttl(attribute).await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        self.inner.scan(segment, after, strong).await
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        self.inner.get(keys).await
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        self.admit("write items").await?;
        self.inner.write(writes).await
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.admit("write item").await?;
        self.inner.put_if(item, expected).await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        self.inner.probe_item(key).await
    }

    async fn close(&self) -> Result<()> {
        self.admit("close").await?;
        self.inner.close().await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;
    use migrate_core::model::DatasetName;
    use migrate_store::memory::MemoryStore;

    #[tokio::test]
    async fn without_a_lease_every_write_is_refused_and_nothing_is_written() {
        let memory = MemoryStore::new("memory");
        let (none, body, key) = (Properties::default(), Body::new("b".into()), Key::from("old"));
        let old = memory.put_raw("old", "o", Properties::default());
        let open = memory.begin_upload(&"open".into(), &none, &()).await.unwrap();
        let lease = Arc::new(Lease::new(DatasetName::new("shop").unwrap(), String::new(), Shutdown::new()));
        let leased = Leased::waiting(Arc::new(memory.clone()), lease);
        let refusals = [
            leased.put(&key, &body, &none, &Condition::None).await.unwrap_err(),
            leased.begin_upload(&key, &none, &()).await.unwrap_err(),
            leased.put_part(&open, 1, 0, &body).await.unwrap_err(),
            leased.finish_upload(&open, &[], &body.evidence(), &none, &Condition::None).await.unwrap_err(),
            leased.set_tags(&key, &BTreeMap::new(), &old).await.unwrap_err(),
            leased.abort_upload(&open).await.unwrap_err(),
            leased.delete(&key, &Condition::None).await.unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.kind(), ErrorKind::ClaimLost, "{refusal}");
            assert!(refusal.to_string().contains("dataset shop is not claimed"), "{refusal}");
        }
        assert_eq!(memory.snapshot()[&key].bytes, "o");
        assert_eq!((memory.snapshot().len(), memory.unfinished_uploads()), (1, 1));
        assert_eq!(leased.read(&key, None, None).await.unwrap().bytes, "o", "reads pass");
    }
}
