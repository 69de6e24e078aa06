//! Whether a table keeps the conditions of writes, asked both ways at a scratch item.
//!
//! A server that takes a write whose condition does not hold ignores conditions; one that refuses a write whose condition
//! holds does not understand them. Neither can hold what is moved by compare-and-swap.

use async_trait::async_trait;
use migrate_core::item::{Item, ItemKey, KeyNames, Value};

use crate::{
    error::{ErrorKind, StoreError},
    object::Result,
    table::{ItemWrite, TableStore},
};

/// A scratch item of a table, and what is asked about it.
#[async_trait]
pub trait ScratchItem: Send + Sync {
    /// Its key attributes.
    fn bare(&self) -> Item;

    /// Puts it under a condition, and leaves it to the server whether that holds.
    async fn put(&self, item: &Item, expected: Option<&Item>) -> Result<()>;

    /// Reads it.
    async fn read(&self) -> Result<Option<Item>>;

    /// Deletes it; a missing one is no error.
    async fn remove(&self) -> Result<()>;
}

/// Whether conditions are kept, also where values are within others: `dynalite` 4 finds no two lists equal, and no two
/// maps. The item is removed before and after, whatever the outcome.
pub async fn keeps_conditions(scratch: &dyn ScratchItem) -> Result<bool> {
    // What a killed probe has left would be in the way.
    scratch.remove().await?;
    let kept = asked(scratch).await;
    let removed = scratch.remove().await;
    let kept = kept?;
    removed?;
    Ok(kept)
}

async fn asked(scratch: &dyn ScratchItem) -> Result<bool> {
    let deep = |text: &str| {
        let mut deep = scratch.bare();
        let list = Value::List(vec![Value::Text(text.to_owned()), Value::Null]);
        deep.insert("text".to_owned(), Value::Text(text.to_owned()));
        deep.insert("map".to_owned(), Value::Map([("list".to_owned(), list.clone())].into()));
        deep.insert("list".to_owned(), list);
        deep.insert("set".to_owned(), Value::Texts(["b".to_owned(), "a".to_owned()].into()));
        deep
    };
    let (first, second, third) = (deep("first"), deep("second"), deep("third"));
    let taken = [
        taken(scratch.put(&first, None).await)?,
        taken(scratch.put(&second, None).await)?,
        taken(scratch.put(&second, Some(&third)).await)?,
        taken(scratch.put(&second, Some(&first)).await)?,
    ];
    Ok(taken == [true, false, false, true] && scratch.read().await? == Some(second))
}

/// Whether a write was taken. An error that is no refusal says nothing about conditions.
fn taken(answer: Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Unsupported) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A scratch item of a table whose [`put_if`](TableStore::put_if) leaves the condition to the place itself.
pub(crate) struct OfTable<'a> {
    table: &'a dyn TableStore,
    names: KeyNames,
    key: &'a ItemKey,
}

impl<'a> OfTable<'a> {
    pub(crate) async fn at(table: &'a dyn TableStore, key: &'a ItemKey) -> Result<Self> {
        let missing = || StoreError::new(ErrorKind::NoContainer, "probe", table.location(), "there is no such table");
        let names = table.describe().await?.ok_or_else(missing)?.structure.key_names();
        Ok(Self { table, names, key })
    }
}

#[async_trait]
impl ScratchItem for OfTable<'_> {
    fn bare(&self) -> Item {
        self.names.attributes(self.key)
    }

    async fn put(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.table.put_if(item, expected).await
    }

    async fn read(&self) -> Result<Option<Item>> {
        let mut got = self.table.get(std::slice::from_ref(self.key)).await?;
        answered(self.table.location(), got.left.is_empty())?;
        Ok(got.found.pop().map(|(_, item)| item))
    }

    async fn remove(&self) -> Result<()> {
        let written = self.table.write(&[ItemWrite::Delete(self.key.clone())]).await?;
        answered(self.table.location(), written.left.is_empty())
    }
}

/// Fails if a server left over the one thing that it was asked for.
fn answered(location: &str, all: bool) -> Result<()> {
    let left = || StoreError::new(ErrorKind::Throttled, "probe", location, "the scratch item was left over");
    if all { Ok(()) } else { Err(left()) }
}

#[cfg(test)]
mod tests {
    use migrate_core::table::{KeyType, Structure};

    use super::*;
    use crate::memory_table::MemoryTable;

    #[tokio::test]
    async fn a_table_that_ignores_conditions_and_one_that_refuses_all_are_seen() {
        let table = || MemoryTable::with("memory", Structure::plain(("id", KeyType::Text), None));
        let key = ItemKey { partition: Value::Text(".migrate-probe-1".to_owned()), sort: None };
        for (table, kept) in
            [(table(), true), (table().ignoring_conditions(), false), (table().refusing_conditions(), false)]
        {
            assert_eq!(table.probe_item(&key).await.unwrap(), kept);
            assert!(table.snapshot().is_empty(), "the scratch item is gone");
        }
        let error = MemoryTable::new("memory").probe_item(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoContainer);
    }
}
