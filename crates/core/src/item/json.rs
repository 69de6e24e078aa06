//! `DynamoDB`'s own JSON of items, as its exports and its API have it: `{"id":{"S":"a"},"n":{"N":"1.5"}}`.
//!
//! A text that names an attribute twice, or holds an element of a set twice, is refused: of two values one would be
//! lost without a word.

use std::{borrow::Cow, collections::BTreeSet, fmt, marker::PhantomData};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

use crate::item::{
    number::Number,
    value::{Item, Value},
};

/// Why a text is no item.
#[derive(Debug, thiserror::Error)]
pub enum BadItem {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON of another shape, or holds a value that `DynamoDB` cannot hold.
    #[error("it is no item of DynamoDB: {0}")]
    Shape(#[source] serde_json::Error),
    /// A key attribute is missing.
    #[error("it lacks a key attribute")]
    NoKey,
}

impl From<serde_json::Error> for BadItem {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() { Self::Shape(error) } else { Self::NotJson(error) }
    }
}

/// An item in `DynamoDB`'s JSON, for any serde format: a part of a larger document, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonItem(pub Item);

/// The same, borrowed, to be written.
#[derive(Debug)]
pub struct JsonItemRef<'a>(pub &'a Item);

/// Reads an item.
pub fn item_from_json(text: &[u8]) -> Result<Item, BadItem> {
    let JsonItem(item) = serde_json::from_slice(text)?;
    Ok(item)
}

/// Writes an item, on one line, its names in byte order: equal items have one text.
pub fn item_to_json(item: &Item) -> String {
    serde_json::to_string(&JsonItemRef(item)).expect("its maps have texts as names")
}

impl<'de> Deserialize<'de> for JsonItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = JsonItem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<JsonItem, A::Error> {
        let mut item = Item::new();
        while let Some(name) = from.next_key::<String>()? {
            if item.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the attribute {name:?} is there twice")));
            }
            let Typed(value) = from.next_value()?;
            item.insert(name, value);
        }
        Ok(JsonItem(item))
    }
}

/// A value, under the name of its type.
struct Typed(Value);

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(TypedVisitor)
    }
}

struct TypedVisitor;

impl<'de> Visitor<'de> for TypedVisitor {
    type Value = Typed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its type, {\"S\": \"...\"} for example")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Typed, A::Error> {
        let Some(kind) = from.next_key::<Cow<'de, str>>()? else {
            return Err(A::Error::custom("a value has no type"));
        };
        let value = match &*kind {
            "S" => Value::Text(from.next_value()?),
            "N" => Value::Number(from.next_value::<Scalar<Number>>()?.0),
            "B" => Value::Binary(from.next_value::<Scalar<Bytes>>()?.0),
            "BOOL" => Value::Bool(from.next_value()?),
            "NULL" if from.next_value()? => Value::Null,
            "NULL" => return Err(A::Error::custom("NULL is always true")),
            "M" => Value::Map(from.next_value::<JsonItem>()?.0),
            "L" => Value::List(from.next_value::<Vec<Typed>>()?.into_iter().map(|Typed(value)| value).collect()),
            "SS" => Value::Texts(from.next_value::<Set<String>>()?.0),
            "NS" => Value::Numbers(from.next_value::<Set<Number>>()?.0),
            "BS" => Value::Binaries(from.next_value::<Set<Bytes>>()?.0),
            other => return Err(A::Error::custom(format_args!("{other:?} is no type of a value"))),
        };
        if from.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a value has exactly one type"));
        }
        Ok(Typed(value))
    }
}

/// What the JSON holds as a text.
trait FromText: Ord + Sized {
    fn from_text(text: Cow<'_, str>) -> Result<Self, String>;
}

impl FromText for String {
    fn from_text(text: Cow<'_, str>) -> Result<Self, String> {
        Ok(text.into_owned())
    }
}

impl FromText for Number {
    fn from_text(text: Cow<'_, str>) -> Result<Self, String> {
        text.parse::<Self>().map_err(|error| error.to_string())
    }
}

impl FromText for Bytes {
    fn from_text(text: Cow<'_, str>) -> Result<Self, String> {
        let decoded = BASE64_STANDARD.decode(text.as_bytes());
        decoded.map(Self::from).map_err(|error| format!("a binary is not base64: {error}"))
    }
}

struct Scalar<T>(T);

impl<'de, T: FromText> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(ScalarVisitor(PhantomData))
    }
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for ScalarVisitor<T> {
    type Value = Scalar<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Scalar<T>, E> {
        T::from_text(Cow::Borrowed(text)).map(Scalar).map_err(E::custom)
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Scalar<T>, E> {
        T::from_text(Cow::Owned(text)).map(Scalar).map_err(E::custom)
    }
}

/// A set: at least one element, no two of them equal.
struct Set<T>(BTreeSet<T>);

impl<'de, T: FromText> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(SetVisitor(PhantomData))
    }
}

struct SetVisitor<T>(PhantomData<T>);

impl<'de, T: FromText> Visitor<'de> for SetVisitor<T> {
    type Value = Set<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the texts of a set")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Set<T>, A::Error> {
        let mut all = BTreeSet::new();
        while let Some(Scalar(element)) = from.next_element()? {
            if !all.insert(element) {
                return Err(A::Error::custom("a set holds an element twice"));
            }
        }
        if all.is_empty() { Err(A::Error::custom("a set is empty")) } else { Ok(Set(all)) }
    }
}

impl Serialize for JsonItem {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        JsonItemRef(&self.0).serialize(into)
    }
}

impl Serialize for JsonItemRef<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_map(self.0.iter().map(|(name, value)| (name, TypedRef(value))))
    }
}

struct TypedRef<'a>(&'a Value);

impl Serialize for TypedRef<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let kind = self.0.type_name();
        let mut map = into.serialize_map(Some(1))?;
        match self.0 {
            Value::Text(text) => map.serialize_entry(kind, text),
            Value::Number(number) => map.serialize_entry(kind, &Shown(number)),
            Value::Binary(bytes) => map.serialize_entry(kind, &Base64(bytes)),
            Value::Bool(is) => map.serialize_entry(kind, is),
            Value::Null => map.serialize_entry(kind, &true),
            Value::Map(entries) => map.serialize_entry(kind, &JsonItemRef(entries)),
            Value::List(values) => map.serialize_entry(kind, &Sequence(|| values.iter().map(TypedRef))),
            Value::Texts(set) => map.serialize_entry(kind, set),
            Value::Numbers(set) => map.serialize_entry(kind, &Sequence(|| set.iter().map(Shown))),
            Value::Binaries(set) => map.serialize_entry(kind, &Sequence(|| set.iter().map(|bytes| Base64(bytes)))),
        }?;
        map.end()
    }
}

/// What is written as its text.
struct Shown<'a>(&'a Number);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self.0)
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&BASE64_STANDARD.encode(self.0))
    }
}

/// A sequence of what an iterator shows.
struct Sequence<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Sequence<F> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_seq(self.0())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::samples::{any_item, every_type};

    proptest! {
        #[test]
        fn what_is_written_is_read_again(item in any_item()) {
            let text = item_to_json(&item);
            prop_assert!(!text.contains('\n'));
            let read = item_from_json(text.as_bytes()).unwrap();
            prop_assert_eq!(item_to_json(&read), text);
            prop_assert_eq!(read, item);
        }
    }

    #[test]
    fn an_item_of_every_type_has_this_text() {
        let text = r#"{"binaries":{"BS":["","AAE="]},"binary":{"B":"/w=="},"empty":{"S":""},"list":{"L":[{"N":"1.5"},{"NULL":true}]},"map":{"M":{"deep":{"M":{}}}},"numbers":{"NS":["-1","100"]},"texts":{"SS":["","é"]},"yes":{"BOOL":true}}"#;
        assert_eq!(item_to_json(&every_type()), text);
        assert_eq!(item_from_json(text.as_bytes()).unwrap(), every_type());
    }

    #[test]
    fn forms_of_numbers_and_orders_of_sets_do_not_matter() {
        let one = item_from_json(br#"{"a":{"N":"1.50"},"s":{"NS":["1E2","2"]},"t":{"SS":["b","a"]}}"#).unwrap();
        let other = item_from_json(br#" {"t":{"SS":["a","b"]}, "s":{"NS":["2","100"]},"a":{"N":"15e-1"}} "#).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn what_is_no_item_is_refused_with_its_reason() {
        for (text, reason) in [
            (r#"{"a":{"S":"x"}"#, "it is not JSON"),
            (r#"{"a":{"S":"x"}} {}"#, "it is not JSON"),
            (r"[]", "an object of attributes"),
            (r#"{"a":"x"}"#, "a value with its type"),
            (r#"{"a":{}}"#, "no type"),
            (r#"{"a":{"S":"x","N":"1"}}"#, "exactly one type"),
            (r#"{"a":{"X":"x"}}"#, "is no type of a value"),
            (r#"{"a":{"S":1}}"#, "invalid type"),
            (r#"{"a":{"N":1}}"#, "invalid type"),
            (r#"{"a":{"N":"1e999"}}"#, "out of the range"),
            (r#"{"a":{"N":"one"}}"#, "not a number"),
            (r#"{"a":{"B":"?"}}"#, "not base64"),
            (r#"{"a":{"NULL":false}}"#, "NULL is always true"),
            (r#"{"a":{"SS":[]}}"#, "a set is empty"),
            (r#"{"a":{"NS":["1","1.0"]}}"#, "twice"),
            (r#"{"a":{"S":"x"},"a":{"S":"y"}}"#, "\"a\" is there twice"),
            (r#"{"m":{"M":{"a":{"S":"x"},"a":{"S":"x"}}}}"#, "\"a\" is there twice"),
        ] {
            let refused = item_from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn the_depth_of_dynamodb_is_read_and_written() {
        let deep = (0..32).fold(Value::Null, |inner, _| Value::Map([("m".to_owned(), inner)].into()));
        let item = Item::from([("deep".to_owned(), deep)]);
        assert_eq!(item_from_json(item_to_json(&item).as_bytes()).unwrap(), item);
    }
}
