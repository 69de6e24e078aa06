//! Lines and the items on them.

use migrate_core::{
    item::{ITEM_BYTES_MAX, Item, ItemKey, JsonItem, JsonItemRef, KeyNames, Value, item_size, key_digest},
    report,
    table::{KeyType, Structure},
};
use serde::{Deserialize, Serialize};

/// A line of an export.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Item")]
    item: JsonItem,
}

#[derive(Serialize)]
struct LineRef<'a> {
    #[serde(rename = "Item")]
    item: JsonItemRef<'a>,
}

/// The item on a line; the error is a phrase.
pub(super) fn read(line: &[u8]) -> Result<Item, String> {
    // Without its end: inside a text that is cut, that would be a wrong character.
    match serde_json::from_slice::<Line>(line.trim_ascii_end()) {
        Ok(line) => Ok(line.item.0),
        Err(error) if error.is_eof() => Err("the line is cut".to_owned()),
        Err(error) if line.starts_with(b"{\"Metadata\"") || line.starts_with(b"{\"Keys\"") => {
            Err(format!("it is a line of an incremental export, which holds changes and no table ({error})"))
        }
        Err(error) => Err(format!("it is no line {{\"Item\":{{...}}}} of an export: {error}")),
    }
}

/// The line of an item, with its end.
pub(super) fn write(item: &Item, into: &mut Vec<u8>) {
    serde_json::to_writer(&mut *into, &LineRef { item: JsonItemRef(item) }).expect("an item has texts as names");
    into.push(b'\n');
}

/// A digest of a key: where its item is.
pub(super) type Digest = [u8; 32];

/// The key attributes of a table, with their types as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) names: KeyNames,
    partition: Option<KeyType>,
    sort: Option<KeyType>,
}

impl Keys {
    pub(super) fn of(structure: &Structure) -> Self {
        let names = structure.key_names();
        let kind = |name: &String| structure.key_types.get(name).copied();
        Self { partition: kind(&names.partition), sort: names.sort.as_ref().and_then(kind), names }
    }

    /// Keys whose types the first item tells.
    pub(super) fn named(names: KeyNames) -> Self {
        Self { names, partition: None, sort: None }
    }

    /// Takes the types of this item's key for those that are not known.
    pub(super) fn learn(&mut self, item: &Item) {
        let kind = |name: &String| item.get(name).and_then(KeyType::of);
        self.partition = self.partition.or_else(|| kind(&self.names.partition));
        self.sort = self.sort.or_else(|| self.names.sort.as_ref().and_then(kind));
    }

    /// The table that has this key and nothing else, if its types are known.
    pub(super) fn structure(&self) -> Option<Structure> {
        let sort = match &self.names.sort {
            Some(name) => Some((name.as_str(), self.sort?)),
            None => None,
        };
        Some(Structure::plain((&self.names.partition, self.partition?), sort))
    }

    /// The digest of a key; the error is a phrase that says why it is none of this table.
    pub(super) fn digest(&self, key: &ItemKey) -> Result<Digest, String> {
        typed(&self.names.partition, &key.partition, self.partition)?;
        match (&self.names.sort, &key.sort) {
            (Some(name), Some(value)) => typed(name, value, self.sort)?,
            (None, None) => {}
            _ => return Err("the key has not the attributes of the table's key".to_owned()),
        }
        Ok(key_digest(&self.names, key).0)
    }

    /// The digest of an item's key; the error is a phrase that says why the table cannot hold it.
    pub(super) fn digest_of(&self, item: &Item) -> Result<Digest, String> {
        let missing = |name: &String| !item.contains_key(name);
        let names = [Some(&self.names.partition), self.names.sort.as_ref()];
        if let Some(name) = names.into_iter().flatten().find(|name| missing(name)) {
            return Err(format!("the item lacks the key attribute {name}"));
        }
        let size = item_size(item);
        if size > ITEM_BYTES_MAX {
            return Err(format!("the item has {}, and at most {ITEM_BYTES_MAX} are held", report::bytes(size as u64)));
        }
        let key = self.names.key_of(item).ok_or("the item lacks a key attribute")?;
        self.digest(&key)
    }
}

fn typed(name: &str, value: &Value, asked: Option<KeyType>) -> Result<(), String> {
    let (found, names) = (value.type_name(), asked.map_or("S, N or B", KeyType::as_str));
    let fits = KeyType::of(value).is_some_and(|kind| asked.is_none_or(|asked| kind == asked));
    if !fits {
        return Err(format!("the key attribute {name} has the type {found}, and not {names}"));
    }
    let empty = matches!(value, Value::Text(text) if text.is_empty())
        || matches!(value, Value::Binary(bytes) if bytes.is_empty());
    if empty { Err(format!("the key attribute {name} is empty")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, reason) in [
            (r#"{"Item":{"id":{"S":"a"}"#, "the line is cut"),
            (r#"{"id":{"S":"a"}}"#, "no line {\"Item\":{...}}"),
            (r#"{"Item":{"id":{"Q":"a"}}}"#, "is no type of a value"),
            (r#"{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"id":{"S":"a"}}}"#, "incremental export"),
        ] {
            let said = read(line.as_bytes()).unwrap_err();
            assert!(said.contains(reason), "{line}: {said}");
        }
        let item = read(br#"{"Item":{"n":{"N":"1.50"}}}"#).unwrap();
        let mut text = Vec::new();
        write(&item, &mut text);
        assert_eq!(text, b"{\"Item\":{\"n\":{\"N\":\"1.5\"}}}\n");
    }

    #[test]
    fn keys_have_the_types_of_the_first_item() {
        let mut keys = Keys::named(KeyNames { partition: "id".into(), sort: None });
        let item = |json: &str| read(format!("{{\"Item\":{json}}}").as_bytes()).unwrap();
        keys.learn(&item(r#"{"id":{"N":"1"}}"#));
        assert_eq!(keys.structure().unwrap().key_types["id"], KeyType::Number);
        keys.digest_of(&item(r#"{"id":{"N":"2"}}"#)).unwrap();
        for (json, reason) in [
            (r#"{"id":{"S":"1"}}"#, "has the type S, and not N"),
            (r#"{"other":{"S":"1"}}"#, "lacks the key attribute id"),
        ] {
            let said = keys.digest_of(&item(json)).unwrap_err();
            assert!(said.contains(reason), "{json}: {said}");
        }
    }
}
