//! [`MemoryTable`]: the table itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use migrate_core::{
    item::{ITEM_BYTES_MAX, Item, ItemKey, KeyNames, Number, Value, item_size, key_digest, read_units, write_units},
    model::{Sha256, Timestamp},
    table::{KeyType, Structure, TableAbilities},
};

use super::stream::Streams;
use crate::{
    both_ways::{OfTable, keeps_conditions},
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::Result,
    table::{
        ChangeStream, Changes, Described, GET_MAX, Got, ItemWrite, Position, Scanned, Segment, StreamIterator,
        StreamShard, TableState, TableStore, WRITE_MAX, Written,
    },
};

/// Items under the digests of their keys, in the order of which they are scanned.
type Items = BTreeMap<[u8; 32], Item>;

/// A table in memory. Cloning shares the table.
#[derive(Clone)]
pub struct MemoryTable {
    location: Arc<str>,
    held: Arc<Mutex<Held>>,
}

pub(super) struct Held {
    structure: Option<Structure>,
    state: TableState,
    items: Items,
    /// What a scan that is not strong shows in place of the items that were written last.
    stale: BTreeMap<[u8; 32], Option<Item>>,
    pub(super) streams: Streams,
    has_streams: bool,
    unsupported: Vec<&'static str>,
    /// Whether each condition holds, whatever it is; `None` if it is judged.
    holds: Option<bool>,
    page_max: usize,
    answer_max: Option<usize>,
    /// Whether two spellings of one number are said to be one key.
    numeric_keys: bool,
    /// Items that have the keys of others, in another spelling.
    twins: BTreeMap<[u8; 32], Item>,
    /// Items and their bytes, as they were last counted.
    counted: (u64, u64),
    now: Timestamp,
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Setting up, and looking past the seam.
impl MemoryTable {
    /// No table yet, under this name for people.
    pub fn new(location: &str) -> Self {
        let held = Held {
            structure: None,
            state: TableState::Active,
            items: Items::new(),
            stale: BTreeMap::new(),
            streams: Streams::default(),
            has_streams: true,
            unsupported: Vec::new(),
            holds: None,
            page_max: 1000,
            answer_max: None,
            numeric_keys: true,
            twins: BTreeMap::new(),
            counted: (0, 0),
            now: Timestamp(0),
        };
        Self { location: location.into(), held: Arc::new(Mutex::new(held)) }
    }

    /// A table with this structure.
    pub fn with(location: &str, structure: Structure) -> Self {
        let table = Self::new(location);
        table.held().structure = Some(structure);
        table
    }

    /// Limits the items of a page.
    #[must_use]
    pub fn with_page_size(self, items: usize) -> Self {
        self.held().page_max = items.max(1);
        self
    }

    /// A place without streams.
    #[must_use]
    pub fn without_streams(self) -> Self {
        self.held().has_streams = false;
        self
    }

    /// A place that leaves this out of every table that is made there.
    #[must_use]
    pub fn without(self, property: &'static str) -> Self {
        self.held().unsupported.push(property);
        self
    }

    /// A place that takes every write, whatever its condition.
    #[must_use]
    pub fn ignoring_conditions(self) -> Self {
        self.held().holds = Some(true);
        self
    }

    /// A place that refuses every write under a condition.
    #[must_use]
    pub fn refusing_conditions(self) -> Self {
        self.held().holds = Some(false);
        self
    }

    /// A place that takes two spellings of one number for two keys, as its probe shows.
    #[must_use]
    pub fn spelling_keys(self) -> Self {
        self.held().numeric_keys = false;
        self
    }

    /// Answers at most so many keys or writes of a batch, at least one, and leaves the others over.
    pub fn answer_at_most(&self, max: Option<usize>) {
        self.held().answer_max = max.map(|max| max.max(1));
    }

    /// Counts the items for the estimate that a description shows, as a server does now and then.
    pub fn count_items(&self) {
        let mut held = self.held();
        held.counted = (held.items.len() as u64, held.items.values().map(|item| item_size(item) as u64).sum());
    }

    /// Holds an item beside the one that has its key, as a server does that takes two spellings of one number for two
    /// keys. Scans alone show it.
    pub fn spell_twice(&self, item: &Item) {
        let mut held = self.held();
        let Some(names) = held.structure.as_ref().map(Structure::key_names) else { return };
        if let Some(key) = names.key_of(item) {
            held.twins.insert(key_digest(&names, &key).0, item.clone());
        }
    }

    /// What the server is doing with the table.
    pub fn set_state(&self, state: TableState) {
        self.held().state = state;
    }

    /// The time of the changes from now on.
    pub fn set_time(&self, now: Timestamp) {
        self.held().now = now;
    }

    /// All items, by the text of their keys.
    pub fn snapshot(&self) -> BTreeMap<String, Item> {
        let held = self.held();
        let Some(names) = held.structure.as_ref().map(Structure::key_names) else { return BTreeMap::new() };
        let text = |item: &Item| names.key_of(item).map(|key| names.text(&key).as_str().to_owned());
        held.items.values().filter_map(|item| Some((text(item)?, item.clone()))).collect()
    }

    /// Writes as another application does.
    pub fn apply(&self, write: &ItemWrite) -> Result<()> {
        let mut held = self.held();
        let checked = held.checked(&self.location, "write", write)?;
        held.apply(checked);
        Ok(())
    }

    /// Deletes the items whose time is over, as the server does in its own time: the stream shows it. Returns how many.
    pub fn expire_items(&self, now_s: i64) -> usize {
        let mut held = self.held();
        let Some(structure) = held.structure.clone() else { return 0 };
        let Some(attribute) = structure.ttl.as_ref() else { return 0 };
        let now: Number = now_s.to_string().parse().unwrap_or(Number::ZERO);
        let over = |item: &&Item| matches!(item.get(attribute), Some(Value::Number(at)) if *at <= now);
        let keys: Vec<_> =
            held.items.values().filter(over).filter_map(|item| structure.key_names().key_of(item)).collect();
        held.streams.expires = true;
        for key in &keys {
            let digest = key_digest(&structure.key_names(), key);
            held.apply((digest, key.clone(), None));
        }
        held.streams.expires = false;
        keys.len()
    }
}

/// A write that can be carried out: the key, and the item if it is put.
type Checked = (Sha256, ItemKey, Option<Item>);

impl Held {
    fn names(&self, location: &str, operation: &'static str) -> Result<KeyNames> {
        let missing = || StoreError::new(ErrorKind::NoContainer, operation, location, "there is no such table");
        let structure = self.structure.as_ref().ok_or_else(missing)?;
        if matches!(self.state, TableState::Active | TableState::Updating) {
            Ok(structure.key_names())
        } else {
            let detail = format!("the table is not active: {:?}", self.state).to_lowercase();
            Err(StoreError::new(ErrorKind::NoContainer, operation, location, detail))
        }
    }

    /// The digest of a key; fails if it is no key of this table.
    fn digest(&self, location: &str, operation: &'static str, key: &ItemKey) -> Result<Sha256> {
        let names = self.names(location, operation)?;
        let wrong = |detail: &str| StoreError::new(ErrorKind::Other, operation, location, detail);
        let values = [(Some(&names.partition), Some(&key.partition)), (names.sort.as_ref(), key.sort.as_ref())];
        for (name, value) in values {
            let Some((name, value)) = name.zip(value) else {
                if name.is_none() && value.is_none() {
                    continue;
                }
                return Err(wrong("the key has not the attributes of the table's key"));
            };
            let asked = self.structure.as_ref().and_then(|structure| structure.key_types.get(name));
            if KeyType::of(value).as_ref() != asked {
                return Err(wrong(&format!("the key attribute {name} has another type")));
            }
            let empty = matches!(value, Value::Text(text) if text.is_empty())
                || matches!(value, Value::Binary(bytes) if bytes.is_empty());
            if empty {
                return Err(wrong(&format!("the key attribute {name} is empty")));
            }
        }
        Ok(key_digest(&names, key))
    }

    fn checked(&self, location: &str, operation: &'static str, write: &ItemWrite) -> Result<Checked> {
        let names = self.names(location, operation)?;
        let wrong = |detail: &str| StoreError::new(ErrorKind::Other, operation, location, detail);
        let (key, item) = match write {
            ItemWrite::Put(item) => {
                if item_size(item) > ITEM_BYTES_MAX {
                    return Err(wrong("the item is larger than 400 KB"));
                }
                let key = names.key_of(item).ok_or_else(|| wrong("the item lacks a key attribute"))?;
                (key, Some(item.clone()))
            }
            ItemWrite::Delete(key) => (key.clone(), None),
        };
        Ok((self.digest(location, operation, &key)?, key, item))
    }

    fn apply(&mut self, (digest, key, item): Checked) {
        let before = self.items.get(&digest.0).cloned();
        if before == item {
            // A write that changes nothing makes no record.
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
            return;
        }
        match item {
            Some(item) => self.items.insert(digest.0, item),
            None => self.items.remove(&digest.0),
        };
        self.stale.insert(digest.0, before);
        self.streams.changed(&digest, &key, self.now);
    }

    /// The items after a digest, up to and with another one, as a scan shows them.
    fn after(&self, from: Option<[u8; 32]>, strong: bool) -> Vec<([u8; 32], Item)> {
        let shown = |digest: &[u8; 32]| from.is_none_or(|from| *digest > from);
        if strong {
            return self.items.iter().filter(|(at, _)| shown(at)).map(|(at, item)| (*at, item.clone())).collect();
        }
        let digests: BTreeSet<_> = self.items.keys().chain(self.stale.keys()).filter(|at| shown(at)).collect();
        let item = |at: &[u8; 32]| self.stale.get(at).map_or_else(|| self.items.get(at).cloned(), Clone::clone);
        digests.into_iter().filter_map(|at| Some((*at, item(at)?))).collect()
    }

    fn structure_now(&self) -> Option<Structure> {
        let structure = self.structure.clone()?;
        Some(Structure { stream: self.streams.view(), ..structure })
    }
}

/// Which segment a digest belongs to.
fn segment_of(digest: &[u8; 32], of: u32) -> u32 {
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    u32::try_from((u64::from(first) * u64::from(of)) >> 32).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a batch takes few units")]
fn consumed(units: u64) -> f64 {
    units as f64
}

impl MemoryTable {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, operation: &'static str, detail: impl Into<Box<str>>) -> StoreError {
        StoreError::new(kind, operation, &self.location, detail)
    }

    /// Fails if there are too many digests, or two equal ones.
    fn must_be_a_batch(&self, operation: &'static str, digests: &[Sha256], max: usize) -> Result<()> {
        if digests.len() > max {
            return Err(self.error(ErrorKind::Other, operation, format!("a batch has at most {max} keys")));
        }
        let distinct: BTreeSet<_> = digests.iter().map(|digest| digest.0).collect();
        if distinct.len() < digests.len() {
            return Err(self.error(ErrorKind::Other, operation, "a batch has one key twice"));
        }
        Ok(())
    }
}

#[async_trait]
impl TableStore for MemoryTable {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        &EndpointId::Memory
    }

    fn abilities(&self) -> TableAbilities {
        let held = self.held();
        TableAbilities {
            strong_reads: true,
            conditions: true,
            numeric_keys: held.numeric_keys,
            empty_values: true,
            streams: held.has_streams,
            ttl: true,
        }
    }

    async fn probe(&self) -> Result<TableAbilities> {
        Ok(self.abilities())
    }

    fn adopt(&self, _abilities: TableAbilities) {}

    async fn describe(&self) -> Result<Option<Described>> {
        let held = self.held();
        // An estimate, and an old one: it says nothing of what was written since it was made.
        let (items, bytes) = (Some(held.counted.0), Some(held.counted.1));
        Ok(held.structure_now().map(|structure| Described {
            arn: None,
            structure,
            state: held.state,
            items,
            bytes,
            stream: held.streams.current.clone(),
        }))
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        let mut held = self.held();
        if held.structure.is_some() {
            return Err(self.error(ErrorKind::Conflict, "create", "there is a table of this name"));
        }
        let mut made = Structure { ttl: None, reported: BTreeSet::new(), ..structure.clone() };
        let left_out = held.unsupported.clone();
        for property in &left_out {
            match *property {
                "indexes" => {
                    made.local_indexes.clear();
                    made.global_indexes.clear();
                }
                "stream" => made.stream = None,
                "tags" => made.tags.clear(),
                "backups" => made.point_in_time_recovery = false,
                _ => {}
            }
        }
        if made.stream.is_some() && held.has_streams {
            held.streams.enable();
        }
        held.structure = Some(made);
        Ok(left_out)
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        let mut held = self.held();
        held.names(&self.location, "set the expiry of")?;
        if let Some(structure) = &mut held.structure {
            structure.ttl = attribute.map(str::to_owned);
        }
        Ok(())
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        let held = self.held();
        let names = held.names(&self.location, "scan")?;
        if segment.index >= segment.of {
            return Err(self.error(ErrorKind::Other, "scan", "there is no such segment"));
        }
        let from = after.map(|key| held.digest(&self.location, "scan", key)).transpose()?.map(|digest| digest.0);
        let items = held.after(from, strong);
        let mut items = items.into_iter().filter(|(at, _)| segment_of(at, segment.of) == segment.index);
        let (shown, mut page): (Vec<_>, Vec<_>) = items.by_ref().take(held.page_max).unzip();
        // As on AWS, a full page has a next one even if nothing is left.
        let next = (page.len() == held.page_max).then(|| page.last().and_then(|item| names.key_of(item))).flatten();
        page.extend(shown.iter().filter_map(|at| held.twins.get(at).cloned()));
        let units = read_units(page.iter().map(item_size).sum());
        Ok(Scanned { items: page, next, consumed: Some(consumed(units)) })
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        let held = self.held();
        let digests = keys.iter().map(|key| held.digest(&self.location, "get", key)).collect::<Result<Vec<_>>>()?;
        self.must_be_a_batch("get", &digests, GET_MAX)?;
        let (mut got, mut units) = (Got::default(), 0);
        for (number, (key, digest)) in keys.iter().zip(&digests).enumerate() {
            if held.answer_max.is_some_and(|max| number >= max) {
                got.left.push(key.clone());
                continue;
            }
            let item = held.items.get(&digest.0);
            units += read_units(item.map_or(0, item_size));
            match item {
                Some(item) => got.found.push((key.clone(), item.clone())),
                None => got.absent.push(key.clone()),
            }
        }
        Ok(Got { consumed: Some(consumed(units)), ..got })
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let mut held = self.held();
        // One bad write fails the whole batch, and nothing of it is carried out.
        let checked = writes.iter().map(|write| held.checked(&self.location, "write", write));
        let checked = checked.collect::<Result<Vec<_>>>()?;
        let digests: Vec<_> = checked.iter().map(|(digest, ..)| *digest).collect();
        self.must_be_a_batch("write", &digests, WRITE_MAX)?;
        let done = held.answer_max.unwrap_or(usize::MAX).min(writes.len());
        let mut units = 0;
        for write in checked.into_iter().take(done) {
            units += write_units(write.2.as_ref().map_or(0, item_size));
            held.apply(write);
        }
        Ok(Written { left: (done..writes.len()).collect(), consumed: Some(consumed(units)) })
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let mut held = self.held();
        let checked = held.checked(&self.location, "write", &ItemWrite::Put(item.clone()))?;
        if !held.holds.unwrap_or(held.items.get(&checked.0.0) == expected) {
            return Err(self.error(
                ErrorKind::Precondition,
                "write",
                "the item there is not the one that was expected",
            ));
        }
        held.apply(checked);
        Ok(())
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        keeps_conditions(&OfTable::at(self, key).await?).await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        let has_streams = self.held().has_streams;
        has_streams.then_some(self as &dyn ChangeStream)
    }
}

#[async_trait]
impl ChangeStream for MemoryTable {
    async fn enable(&self) -> Result<(String, bool)> {
        let mut held = self.held();
        held.names(&self.location, "enable the stream")?;
        Ok(held.streams.enable())
    }

    async fn disable(&self, stream: &str) -> Result<()> {
        self.held().streams.disable(stream);
        Ok(())
    }

    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>> {
        self.held().streams.shards(&self.location, stream)
    }

    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        self.held().streams.iterator(&self.location, stream, shard, from)
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        self.held().streams.read(&self.location, &iterator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tables::{Suite, conforms};

    #[tokio::test]
    async fn it_conforms_in_small_pages_with_batches_left_over_and_shards_of_few_records() {
        let open = |name: &str| {
            let table = MemoryTable::new(name).with_page_size(7);
            table.answer_at_most(Some(3));
            table.read_at_most(5);
            Arc::new(table) as Arc<dyn TableStore>
        };
        conforms(&Suite::new(&open)).await;
        let plain = |name: &str| Arc::new(MemoryTable::new(name).without_streams()) as Arc<dyn TableStore>;
        conforms(&Suite::new(&plain)).await;
    }

    fn key(at: u32) -> ItemKey {
        ItemKey { partition: Value::Text(at.to_string()), sort: None }
    }

    fn item(at: u32, version: &str) -> Item {
        let text = |text: &str| Value::Text(text.to_owned());
        Item::from([("id".to_owned(), text(&at.to_string())), ("version".to_owned(), text(version))])
    }

    fn changed() -> (MemoryTable, String) {
        let structure = Structure::plain(("id", KeyType::Text), None);
        let table = MemoryTable::with("memory", Structure { ttl: Some("at".into()), ..structure });
        let (stream, _) = table.held().streams.enable();
        for at in 0..4 {
            table.apply(&ItemWrite::Put(item(at, "one"))).unwrap();
        }
        (table, stream)
    }

    async fn read(table: &MemoryTable, stream: &str, shard: &StreamShard, from: Position) -> Result<Changes> {
        ChangeStream::read(table, table.iterator(stream, &shard.id, &from).await?).await
    }

    #[tokio::test]
    async fn a_shard_that_splits_ends_and_its_children_go_on() {
        let (table, stream) = changed();
        table.split_shards();
        for at in 0..4 {
            table.apply(&ItemWrite::Delete(key(at))).unwrap();
        }
        let shards = table.shards(&stream).await.unwrap();
        let (parents, children): (Vec<_>, Vec<_>) = shards.into_iter().partition(|shard| shard.parent.is_none());
        assert_eq!((parents.len(), children.len()), (1, 2));
        let ended = read(&table, &stream, &parents[0], Position::Oldest).await.unwrap();
        assert_eq!((ended.records.len(), ended.next), (4, None), "it ends");
        let mut later = 0;
        for child in &children {
            assert_eq!(child.parent.as_ref(), Some(&parents[0].id));
            let open = read(&table, &stream, child, Position::Oldest).await.unwrap();
            assert!(open.next.is_some(), "it has not ended");
            later += open.records.len();
        }
        assert_eq!(later, 4);
        table.expire_shards();
        assert_eq!(table.shards(&stream).await.unwrap().len(), 2, "the parent is gone, and is still named");
        let gone = read(&table, &stream, &parents[0], Position::Oldest).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_a_reader_must_not_assume_happens_as_the_test_asks() {
        let (table, stream) = changed();
        let shard = table.shards(&stream).await.unwrap().remove(0);
        table.read_nothing(1);
        let nothing = read(&table, &stream, &shard, Position::Oldest).await.unwrap();
        assert!(nothing.records.is_empty() && nothing.next.is_some());
        let all = ChangeStream::read(&table, nothing.next.unwrap()).await.unwrap().records;
        assert_eq!(all.iter().map(|change| change.sequence.as_str()).collect::<Vec<_>>(), ["9", "10", "11", "12"]);

        let iterator = table.iterator(&stream, &shard.id, &Position::Oldest).await.unwrap();
        table.expire_iterators();
        assert_eq!(ChangeStream::read(&table, iterator).await.unwrap_err().kind(), ErrorKind::Precondition);

        let iterator = table.iterator(&stream, &shard.id, &Position::After("10".into())).await.unwrap();
        table.trim();
        assert_eq!(ChangeStream::read(&table, iterator).await.unwrap_err().kind(), ErrorKind::Changed);
        let lost = read(&table, &stream, &shard, Position::After("10".into())).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Changed);
        assert!(read(&table, &stream, &shard, Position::After("12".into())).await.unwrap().records.is_empty());

        table.renew_stream();
        let renewed = table.describe().await.unwrap().unwrap().stream.unwrap();
        assert_ne!(renewed, stream);
        assert_eq!(read(&table, &stream, &shard, Position::After("12".into())).await.unwrap().next, None, "it ended");
    }

    #[tokio::test]
    async fn a_scan_that_is_not_strong_is_behind_and_expired_items_show_in_the_stream() {
        let (table, stream) = changed();
        let mut short = item(9, "short");
        short.insert("at".to_owned(), Value::Number("100".parse().unwrap()));
        table.apply(&ItemWrite::Put(short.clone())).unwrap();
        let whole = Segment { index: 0, of: 1 };
        assert!(!table.scan(whole, None, false).await.unwrap().items.contains(&short));
        assert!(table.scan(whole, None, true).await.unwrap().items.contains(&short));
        assert_eq!(table.expire_items(100), 1);
        assert!(!table.scan(whole, None, true).await.unwrap().items.contains(&short));
        assert!(table.scan(whole, None, false).await.unwrap().items.contains(&short), "it is read from the past");
        let shard = table.shards(&stream).await.unwrap().remove(0);
        let changes = read(&table, &stream, &shard, Position::Oldest).await.unwrap().records;
        assert_eq!(changes.len(), 6);
        table.apply(&ItemWrite::Put(item(1, "one"))).unwrap();
        table.apply(&ItemWrite::Delete(key(77))).unwrap();
        let again = read(&table, &stream, &shard, Position::Oldest).await.unwrap().records;
        assert_eq!(again.len(), 6, "what changes nothing makes no record");
    }

    #[tokio::test]
    async fn a_table_that_is_not_active_is_neither_read_nor_written() {
        let (table, _) = changed();
        table.set_state(TableState::Deleting);
        for refused in [
            table.scan(Segment { index: 0, of: 1 }, None, true).await.unwrap_err(),
            table.get(&[key(1)]).await.unwrap_err(),
            table.write(&[ItemWrite::Put(item(1, "two"))]).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::NoContainer, "{refused}");
        }
        assert_eq!(table.describe().await.unwrap().unwrap().state, TableState::Deleting);
        assert_eq!(table.snapshot().len(), 4);
    }
}
