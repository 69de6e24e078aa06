//! `DynamoDB`'s own JSON of items, as its exports and its API have it: `{"id":{"S":"a"},"n":{"N":"1.5"}}`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value as Json};

use crate::item::{
    number::{BadNumber, Number},
    value::{Item, Value},
};

/// Why a text is no item.
#[derive(Debug, thiserror::Error)]
pub enum BadItem {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It is JSON of another shape.
    #[error("{0}")]
    Shape(String),
    /// A number cannot be held.
    #[error(transparent)]
    Number(#[from] BadNumber),
    /// A key attribute is missing.
    #[error("it lacks a key attribute")]
    NoKey,
}

fn shape<T>(what: impl Into<String>) -> Result<T, BadItem> {
    Err(BadItem::Shape(what.into()))
}

/// Reads an item.
pub fn item_from_json(text: &[u8]) -> Result<Item, BadItem> {
    match serde_json::from_slice(text)? {
        Json::Object(attributes) => attributes_of(attributes),
        _ => shape("an item is an object of attributes"),
    }
}

/// Writes an item, on one line, its names in byte order: equal items have one text.
pub fn item_to_json(item: &Item) -> String {
    Json::Object(attributes_to(item)).to_string()
}

fn attributes_of(attributes: Map<String, Json>) -> Result<Item, BadItem> {
    attributes.into_iter().map(|(name, json)| Ok((name, value_of(json)?))).collect()
}

fn attributes_to(item: &Item) -> Map<String, Json> {
    item.iter().map(|(name, value)| (name.clone(), value_to(value))).collect()
}

fn value_of(json: Json) -> Result<Value, BadItem> {
    let Json::Object(typed) = json else {
        return shape("a value is an object with its type, {\"S\": \"...\"} for example");
    };
    let mut entries = typed.into_iter();
    let (Some((kind, json)), None) = (entries.next(), entries.next()) else {
        return shape("a value has exactly one type");
    };
    Ok(match (kind.as_str(), json) {
        ("S", Json::String(text)) => Value::Text(text),
        ("N", Json::String(text)) => Value::Number(text.parse()?),
        ("B", Json::String(text)) => Value::Binary(binary(&text)?),
        ("BOOL", Json::Bool(is)) => Value::Bool(is),
        ("NULL", Json::Bool(true)) => Value::Null,
        ("M", Json::Object(entries)) => Value::Map(attributes_of(entries)?),
        ("L", Json::Array(values)) => Value::List(values.into_iter().map(value_of).collect::<Result<_, _>>()?),
        ("SS", json) => Value::Texts(set(json, Ok)?),
        ("NS", json) => Value::Numbers(set(json, |text| Ok(text.parse::<Number>()?))?),
        ("BS", json) => Value::Binaries(set(json, |text| binary(&text))?),
        (kind, _) => return shape(format!("{kind:?} with this value is no type of DynamoDB")),
    })
}

/// A set: texts, at least one, no two of them equal.
fn set<T: Ord>(
    json: Json,
    read: impl Fn(String) -> Result<T, BadItem>,
) -> Result<std::collections::BTreeSet<T>, BadItem> {
    let Json::Array(elements) = json else { return shape("a set is an array") };
    let mut all = std::collections::BTreeSet::new();
    for element in elements {
        let Json::String(text) = element else { return shape("the elements of a set are strings") };
        if !all.insert(read(text)?) {
            return shape("a set holds an element twice");
        }
    }
    if all.is_empty() { shape("a set is empty") } else { Ok(all) }
}

fn binary(text: &str) -> Result<Bytes, BadItem> {
    BASE64_STANDARD.decode(text).map(Bytes::from).or_else(|error| shape(format!("it is not base64: {error}")))
}

fn value_to(value: &Value) -> Json {
    let (kind, json) = match value {
        Value::Text(text) => ("S", Json::from(text.as_str())),
        Value::Number(number) => ("N", Json::from(number.to_string())),
        Value::Binary(bytes) => ("B", Json::from(BASE64_STANDARD.encode(bytes))),
        Value::Bool(is) => ("BOOL", Json::from(*is)),
        Value::Null => ("NULL", Json::from(true)),
        Value::Map(entries) => ("M", Json::Object(attributes_to(entries))),
        Value::List(values) => ("L", values.iter().map(value_to).collect()),
        Value::Texts(set) => ("SS", set.iter().map(|text| Json::from(text.as_str())).collect()),
        Value::Numbers(set) => ("NS", set.iter().map(|number| Json::from(number.to_string())).collect()),
        Value::Binaries(set) => ("BS", set.iter().map(|bytes| Json::from(BASE64_STANDARD.encode(bytes))).collect()),
    };
    Json::Object([(kind.to_owned(), json)].into_iter().collect())
}
