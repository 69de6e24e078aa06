//! An object, as expressions see it.

use std::collections::BTreeMap;

use crate::{
    item::{Item, Number, Value},
    model::Key,
};

/// The attributes of an object: its key relative to the dataset's prefix, its size in bytes, and, as far as they were
/// looked at, its user metadata (names in lower case) and its tags.
pub fn object(
    key: &Key,
    size: u64,
    metadata: Option<&BTreeMap<String, String>>,
    tags: Option<&BTreeMap<String, String>>,
) -> Item {
    let texts = |map: &BTreeMap<String, String>| {
        Value::Map(map.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect())
    };
    let size: Number = size.to_string().parse().expect("every u64 is a number");
    let attributes = [
        ("key", Some(Value::Text(key.as_str().to_owned()))),
        ("size", Some(Value::Number(size))),
        ("metadata", metadata.map(texts)),
        ("tags", tags.map(texts)),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
