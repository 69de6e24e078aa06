//! Where an application writes: the objects or the table of a place.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::sample;
use migrate_core::{
    digest::Body,
    item::{Item, KeyNames},
    model::Key,
};
use migrate_store::{
    Condition, Header, ObjectStore, Properties, StoreError,
    table::{ItemWrite, TableStore},
};

/// An operation on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// Writes what the operation of this number writes.
    Put(usize),
    Delete,
}

/// A place to which an application writes.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Objects(Arc<dyn ObjectStore>),
    Table(Items),
}

/// A table, with the items that are written over.
#[derive(Debug, Clone)]
pub(super) struct Items {
    pub(super) table: Arc<dyn TableStore>,
    pub(super) names: KeyNames,
    pub(super) by_key: BTreeMap<Key, Item>,
}

impl Written {
    /// The item that an operation leaves in a table; `None` if it deletes it, and for objects.
    pub(super) fn item(&self, key: &Key, operation: &Operation) -> Option<Item> {
        match self {
            Self::Objects(_) => None,
            Self::Table(table) => table.item(key, operation),
        }
    }

    /// Carries out an operation, until it is acknowledged.
    pub(super) async fn apply(&self, key: &Key, operation: &Operation) -> Result<(), StoreError> {
        match (self, operation) {
            (Self::Objects(store), Operation::Put(number)) => {
                let headers = [(Header::ContentType, "application/json".to_owned())].into();
                let properties = Properties { headers, ..Properties::default() };
                store.put(key, &Body::new(Bytes::from(text(*number))), &properties, &Condition::None).await?;
                Ok(())
            }
            (Self::Objects(store), Operation::Delete) => store.delete(key, &Condition::None).await,
            (Self::Table(table), operation) => table.apply(key, operation).await,
        }
    }

    /// Whether the place holds what an operation left.
    pub(super) async fn holds(&self, key: &Key, operation: &Operation) -> Result<bool, StoreError> {
        match self {
            Self::Objects(store) => {
                let held = match store.head(key).await? {
                    Some(_) => Some(store.read(key, None, None).await?.bytes),
                    None => None,
                };
                Ok(match operation {
                    Operation::Put(number) => held.is_some_and(|bytes| bytes == text(*number)),
                    Operation::Delete => held.is_none(),
                })
            }
            Self::Table(table) => table.holds(key, operation).await,
        }
    }
}

impl Items {
    fn item(&self, key: &Key, operation: &Operation) -> Option<Item> {
        match operation {
            Operation::Put(number) => self.by_key.get(key).map(|item| sample::changed(item, *number)),
            Operation::Delete => None,
        }
    }

    async fn apply(&self, key: &Key, operation: &Operation) -> Result<(), StoreError> {
        let Some(deleted) = self.by_key.get(key).and_then(|item| self.names.key_of(item)) else { return Ok(()) };
        let write = self.item(key, operation).map_or(ItemWrite::Delete(deleted), ItemWrite::Put);
        while !self.table.write(std::slice::from_ref(&write)).await?.left.is_empty() {}
        Ok(())
    }

    async fn holds(&self, key: &Key, operation: &Operation) -> Result<bool, StoreError> {
        let Some(asked) = self.by_key.get(key).and_then(|item| self.names.key_of(item)) else { return Ok(false) };
        loop {
            let got = self.table.get(std::slice::from_ref(&asked)).await?;
            if got.left.is_empty() {
                return Ok(got.found.into_iter().next().map(|(_, item)| item) == self.item(key, operation));
            }
        }
    }
}

fn text(number: usize) -> String {
    format!("{{\"written\": {number}, \"by\": \"the application\"}}\n")
}
