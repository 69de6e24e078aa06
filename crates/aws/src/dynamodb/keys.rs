//! [`TableKeys`]: what a key of the table looks like.

use migrate_core::{
    item::{KeyNames, Value},
    table::{KeyType, Structure},
};
use migrate_store::table::ItemWrite;

/// The names of the key attributes of a table, with their types.
#[derive(Debug, PartialEq)]
pub(super) struct TableKeys {
    pub(super) names: KeyNames,
    types: (Option<KeyType>, Option<KeyType>),
}

/// The values of the key attributes of a write, as far as they are there.
type Values<'a> = (Option<&'a Value>, Option<&'a Value>);

impl TableKeys {
    pub(super) fn of(structure: &Structure) -> Self {
        let kind = |name: &String| structure.key_types.get(name).copied();
        let types = (kind(&structure.partition_key), structure.sort_key.as_ref().and_then(kind));
        Self { names: structure.key_names(), types }
    }

    /// The values of the key attributes of a write.
    pub(super) fn values<'a>(&self, write: &'a ItemWrite) -> Values<'a> {
        match write {
            ItemWrite::Put(item) => {
                (item.get(&self.names.partition), self.names.sort.as_ref().and_then(|sort| item.get(sort)))
            }
            ItemWrite::Delete(key) => (Some(&key.partition), key.sort.as_ref()),
        }
    }

    /// Whether the table can hold the key of a write. `DynamoDB` refuses a whole batch for one key that it cannot
    /// hold; `moto` 5.2 carries out what comes before it, and refuses then.
    pub(super) fn can_hold(&self, write: &ItemWrite) -> bool {
        let (partition, sort) = self.values(write);
        let sort_fits = match (&self.names.sort, sort) {
            (None, _) => matches!(write, ItemWrite::Put(_)) || sort.is_none(),
            (Some(_), None) => false,
            (Some(_), Some(sort)) => fits(sort, self.types.1),
        };
        partition.is_some_and(|partition| fits(partition, self.types.0)) && sort_fits
    }
}

/// Whether a value can be a key attribute: one of this type, if it is known, and not empty.
fn fits(value: &Value, kind: Option<KeyType>) -> bool {
    let (found, is_empty) = match value {
        Value::Text(text) => (KeyType::Text, text.is_empty()),
        Value::Number(_) => (KeyType::Number, false),
        Value::Binary(bytes) => (KeyType::Binary, bytes.is_empty()),
        _ => return false,
    };
    !is_empty && kind.is_none_or(|kind| kind == found)
}

#[cfg(test)]
mod tests {
    use migrate_core::item::{Item, ItemKey};

    use super::*;

    #[test]
    fn only_a_whole_key_of_the_right_types_can_be_held() {
        let keys = TableKeys::of(&Structure::plain(("p", KeyType::Text), Some(("s", KeyType::Number))));
        let (text, number) = (|text: &str| Value::Text(text.to_owned()), Value::Number("1".parse().unwrap()));
        let put = |all: &[(&str, &Value)]| {
            let item: Item = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
            keys.can_hold(&ItemWrite::Put(item))
        };
        assert!(put(&[("p", &text("a")), ("s", &number), ("rest", &Value::Null)]));
        assert!(keys.can_hold(&ItemWrite::Delete(ItemKey { partition: text("a"), sort: Some(number.clone()) })));
        for wrong in [
            &[("p", &text("a"))][..],
            &[("p", &text("")), ("s", &number)],
            &[("p", &text("a")), ("s", &text("1"))],
            &[("p", &Value::Null), ("s", &number)],
        ] {
            assert!(!put(wrong), "{wrong:?}");
        }
        assert!(!keys.can_hold(&ItemWrite::Delete(ItemKey { partition: text("a"), sort: None })));
    }
}
