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
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    item::{Item, ItemKey},
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    table::{Structure, TableAbilities},
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

/// Why an item may not be written at a place; `None` if it may.
pub type JudgeItem = Arc<dyn Fn(&Item) -> Option<Box<str>> + Send + Sync>;

/// A table that refuses every write of an item that may not be there with [`ErrorKind::Forbidden`]. A batch with one such
/// item is refused whole. Reads, deletes and streams pass, because they bring no data in.
#[derive(Debug)]
pub struct GuardedTable {
    inner: Arc<dyn TableStore>,
    verdict: Verdict,
}

/// Which items are refused.
enum Verdict {
    /// All of them, and with them tables and probes.
    All(Box<str>),
    /// Those that the judge names.
    ByItem(JudgeItem),
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(reason) => f.debug_tuple("All").field(reason).finish(),
            Self::ByItem(_) => f.write_str("ByItem"),
        }
    }
}

impl GuardedTable {
    /// Guards a table against all items. `reason` is one phrase for people: "class 'health' stays in DE".
    pub fn new(inner: Arc<dyn TableStore>, reason: &str) -> Self {
        Self { inner, verdict: Verdict::All(reason.into()) }
    }

    /// Guards a table against the items that the judge names, with its reason.
    pub fn by_item(inner: Arc<dyn TableStore>, judge: JudgeItem) -> Self {
        Self { inner, verdict: Verdict::ByItem(judge) }
    }

    fn check<'a>(&self, items: impl IntoIterator<Item = &'a Item>) -> Result<()> {
        let refused = |item: &Item| match &self.verdict {
            Verdict::All(reason) => Some(reason.clone()),
            Verdict::ByItem(judge) => judge(item),
        };
        match items.into_iter().find_map(refused) {
            Some(reason) => Err(StoreError::new(ErrorKind::Forbidden, "write", self.inner.location(), reason)),
            None => Ok(()),
        }
    }

    fn check_all(&self, operation: &'static str) -> Result<()> {
        match &self.verdict {
            Verdict::All(reason) => {
                Err(StoreError::new(ErrorKind::Forbidden, operation, self.inner.location(), reason.clone()))
            }
            Verdict::ByItem(_) => Ok(()),
        }
    }
}

#[async_trait]
impl TableStore for GuardedTable {
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
        self.check_all("probe")?;
        self.inner.probe().await
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        self.inner.describe().await
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        self.check_all("create")?;
        self.inner.create(structure).await
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        self.inner.set_ttl(attribute).await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        self.inner.scan(segment, after, strong).await
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        self.inner.get(keys).await
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        self.check(writes.iter().filter_map(|write| match write {
            ItemWrite::Put(item) => Some(item),
            ItemWrite::Delete(_) => None,
        }))?;
        self.inner.write(writes).await
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.check([item])?;
        self.inner.put_if(item, expected).await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        self.check_all("probe")?;
        self.inner.probe_item(key).await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
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

    #[tokio::test]
    async fn no_item_is_written_that_may_not_be_there() {
        use migrate_core::{item::Value, table::KeyType};

        use crate::memory_table::MemoryTable;

        let item = |id: &str| Item::from([("id".to_owned(), Value::Text(id.to_owned()))]);
        let key = ItemKey { partition: Value::Text("old".to_owned()), sort: None };
        let table = MemoryTable::with("memory", Structure::plain(("id", KeyType::Text), None));
        table.apply(&ItemWrite::Put(item("old"))).unwrap();
        let guarded = GuardedTable::new(Arc::new(table.clone()), "class 'health' stays in DE");
        let mixed = [ItemWrite::Delete(key.clone()), ItemWrite::Put(item("new"))];
        for refusal in [
            guarded.write(&mixed).await.unwrap_err(),
            guarded.put_if(&item("new"), None).await.unwrap_err(),
            guarded.create(&Structure::plain(("id", KeyType::Text), None)).await.unwrap_err(),
            guarded.probe().await.unwrap_err(),
        ] {
            assert_eq!((refusal.kind(), refusal.detail()), (ErrorKind::Forbidden, "class 'health' stays in DE"));
            assert!(!refusal.outcome_unknown());
        }
        assert_eq!(table.snapshot().len(), 1);
        guarded.write(&[ItemWrite::Delete(key)]).await.unwrap();
        assert!(table.snapshot().is_empty());

        let judge: JudgeItem = Arc::new(move |written| (*written == item("de")).then(|| "it stays in DE".into()));
        let item = |id: &str| Item::from([("id".to_owned(), Value::Text(id.to_owned()))]);
        let guarded = GuardedTable::by_item(Arc::new(table.clone()), judge);
        let refusal = guarded.write(&[ItemWrite::Put(item("fr")), ItemWrite::Put(item("de"))]).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.detail()), (ErrorKind::Forbidden, "it stays in DE"));
        assert!(table.snapshot().is_empty(), "a batch is refused whole");
        guarded.put_if(&item("de"), None).await.unwrap_err();
        guarded.write(&[ItemWrite::Put(item("fr"))]).await.unwrap();
        assert_eq!(table.snapshot().len(), 1);
    }
}
