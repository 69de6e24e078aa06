//! [`UnionTable`]: what several tables hold together, each its own part. It is only read.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use migrate_core::{
    item::{Item, ItemKey},
    table::{Structure, TableAbilities},
};
use migrate_store::{
    EndpointId, ErrorKind, Result, StoreError,
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};

/// How often, and how soon again, a key is looked at that two of the tables hold.
const LOOKS_MAX: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Several tables of one key schema, as one that is only read. A key that two of them hold is an error.
#[derive(Debug)]
pub(crate) struct UnionTable {
    parts: Vec<Arc<dyn TableStore>>,
    /// All locations, for people.
    location: String,
}

impl UnionTable {
    /// # Panics
    ///
    /// Panics if there is no table.
    pub(crate) fn new(parts: Vec<Arc<dyn TableStore>>) -> Self {
        assert!(!parts.is_empty(), "a union is of some tables");
        let locations: Vec<_> = parts.iter().map(|part| part.location().to_owned()).collect();
        Self { parts, location: locations.join(" and ") }
    }

    async fn get_once(&self, keys: &[ItemKey]) -> Result<Got> {
        let answers = futures::future::try_join_all(self.parts.iter().map(|part| part.get(keys))).await?;
        let (mut found, mut left, mut consumed): (Vec<(ItemKey, Item)>, Vec<ItemKey>, f64) = Default::default();
        // A key is absent if it is at none of them.
        let is_absent = |key: &&ItemKey| answers.iter().all(|got| got.absent.contains(key));
        let absent = keys.iter().filter(is_absent).cloned().collect();
        for got in answers {
            for (key, item) in got.found {
                if found.iter().any(|(known, _)| *known == key) {
                    let detail =
                        "two of the tables hold an item with the same key: delete the one that is out of place";
                    return Err(StoreError::new(ErrorKind::Conflict, "read items", &self.location, detail));
                }
                found.push((key, item));
            }
            left.extend(got.left);
            consumed += got.consumed.unwrap_or(0.0);
        }
        Ok(Got { found, absent, left, consumed: Some(consumed) })
    }

    fn refused<T>(&self, operation: &'static str) -> Result<T> {
        Err(StoreError::new(ErrorKind::Unsupported, operation, &self.location, "several tables are only read together"))
    }
}

#[async_trait]
impl TableStore for UnionTable {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        self.parts[0].endpoint()
    }

    fn abilities(&self) -> TableAbilities {
        self.parts[0].abilities()
    }

    async fn probe(&self) -> Result<TableAbilities> {
        self.refused("probe")
    }

    fn adopt(&self, _abilities: TableAbilities) {}

    /// The structure of the first; `None` if one is missing.
    async fn describe(&self) -> Result<Option<Described>> {
        let mut all: Option<Described> = None;
        for part in &self.parts {
            let Some(described) = part.describe().await? else { return Ok(None) };
            all = Some(match all {
                None => described,
                Some(first) => Described {
                    items: first.items.zip(described.items).map(|(a, b)| a + b),
                    bytes: first.bytes.zip(described.bytes).map(|(a, b)| a + b),
                    ..first
                },
            });
        }
        Ok(all)
    }

    async fn create(&self, _structure: &Structure) -> Result<Vec<&'static str>> {
        self.refused("create table")
    }

    async fn set_ttl(&self, _attribute: Option<&str>) -> Result<()> {
        self.refused("set the expiry of items")
    }

    /// The segments are dealt out to the tables in turn, so there must be as many as tables.
    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        let parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        if segment.of < parts {
            return self.refused("scan in so few segments");
        }
        let part = segment.index % parts;
        // Of the numbers below `of`, those that leave this rest.
        let of = (segment.of - part).div_ceil(parts);
        self.parts[part as usize].scan(Segment { index: segment.index / parts, of }, after, strong).await
    }

    /// An application that moves an item to another part may put it there before it deletes it here, so a key that two of
    /// them hold is looked at again for a while.
    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        for _ in 1..LOOKS_MAX {
            match self.get_once(keys).await {
                Err(error) if error.kind() == ErrorKind::Conflict => tokio::time::sleep(LOOK_EVERY).await,
                got => return got,
            }
        }
        self.get_once(keys).await
    }

    async fn write(&self, _writes: &[ItemWrite]) -> Result<Written> {
        self.refused("write items")
    }

    async fn put_if(&self, _item: &Item, _expected: Option<&Item>) -> Result<()> {
        self.refused("write item")
    }

    async fn probe_item(&self, _key: &ItemKey) -> Result<bool> {
        self.refused("probe")
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::{
        item::Value,
        table::{KeyType, Structure},
    };
    use migrate_store::memory_table::MemoryTable;

    fn item(n: u32) -> Item {
        Item::from([("id".to_owned(), Value::Text(format!("{n:04}")))])
    }

    fn id(item: &Item) -> String {
        format!("{:?}", item["id"])
    }

    /// Three tables of which each holds every third item.
    fn tables() -> Vec<MemoryTable> {
        let structure = Structure::plain(("id", KeyType::Text), None);
        let table = |part: u32| {
            let table = MemoryTable::with(&format!("dynamodb://{part}/t"), structure.clone()).with_page_size(7);
            (0..200).filter(|n| n % 3 == part).for_each(|n| table.apply(&ItemWrite::Put(item(n))).unwrap());
            table
        };
        (0..3).map(table).collect()
    }

    fn union(tables: &[MemoryTable]) -> UnionTable {
        UnionTable::new(tables.iter().map(|table| Arc::new(table.clone()) as Arc<dyn TableStore>).collect())
    }

    #[tokio::test]
    async fn all_segments_show_each_item_once() {
        let (tables, mut wanted) = (tables(), (0..200).map(item).collect::<Vec<_>>());
        wanted.sort_by_key(id);
        for of in [3, 4, 5, 16, 17] {
            let (union, mut found) = (union(&tables), Vec::new());
            for index in 0..of {
                let mut after = None;
                loop {
                    let page = union.scan(Segment { index, of }, after.as_ref(), true).await.unwrap();
                    found.extend(page.items);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
            found.sort_by_key(id);
            assert_eq!(found, wanted, "{of}");
        }
        assert!(union(&tables).scan(Segment { index: 0, of: 1 }, None, true).await.is_err(), "it would show a part");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_found_wherever_it_is_and_in_two_places_nowhere() {
        let tables = tables();
        let names = Structure::plain(("id", KeyType::Text), None).key_names();
        let keys: Vec<_> = [5, 6, 7, 900].map(|n| names.key_of(&item(n)).unwrap()).into();
        let found = union(&tables).get(&keys).await.unwrap().found;
        assert_eq!(found.len(), 3);
        tables[0].apply(&ItemWrite::Put(item(5))).unwrap();
        let error = union(&tables).get(&keys).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        // It is deleted where it was a moment later.
        let gone = async {
            tokio::time::sleep(LOOK_EVERY * 3).await;
            tables[2].apply(&ItemWrite::Delete(keys[0].clone())).unwrap();
        };
        let both = union(&tables);
        let (got, ()) = tokio::join!(both.get(&keys), gone);
        assert_eq!(got.unwrap().found.len(), 3);
    }
}
