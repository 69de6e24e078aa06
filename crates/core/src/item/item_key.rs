//! [`ItemKey`]: which item of a table.

use crate::{
    item::{
        json::{BadItem, item_from_json, item_to_json},
        value::{Item, Value},
    },
    model::Key,
};

/// The names of the key attributes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNames {
    /// The partition key.
    pub partition: String,
    /// The sort key, if the table has one.
    pub sort: Option<String>,
}

/// The key of an item: the values of its key attributes, each a text, a number or a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemKey {
    /// The value of the partition key.
    pub partition: Value,
    /// The value of the sort key, if the table has one.
    pub sort: Option<Value>,
}

impl KeyNames {
    /// The key of an item; `None` if the item lacks a key attribute.
    pub fn key_of(&self, item: &Item) -> Option<ItemKey> {
        let sort = match &self.sort {
            Some(sort) => Some(item.get(sort)?.clone()),
            None => None,
        };
        Some(ItemKey { partition: item.get(&self.partition)?.clone(), sort })
    }

    /// The key attributes alone, as an item.
    pub fn attributes(&self, key: &ItemKey) -> Item {
        let partition = (self.partition.clone(), key.partition.clone());
        let sort = self.sort.clone().zip(key.sort.clone());
        std::iter::once(partition).chain(sort).collect()
    }

    /// The key as one text, the same for equal keys: how ledgers, events and people name an item.
    pub fn text(&self, key: &ItemKey) -> Key {
        Key::new(item_to_json(&self.attributes(key)))
    }

    /// The key that [`text`](Self::text) named.
    pub fn read(&self, text: &Key) -> Result<ItemKey, BadItem> {
        let item = item_from_json(text.as_str().as_bytes())?;
        self.key_of(&item).ok_or(BadItem::NoKey)
    }
}
