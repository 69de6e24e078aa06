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
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    item::{Item, ItemKey},
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    table::{Structure, TableAbilities},
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
