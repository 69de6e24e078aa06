//! Items between the SDK's types and ours. What was received is taken apart and moved, not copied.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

use super::failure::unheld;
use crate::failed::Failed;
use migrate_core::item::{Item, ItemKey, KeyNames, Number, Value};

/// The attributes of an item as the SDK has them.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// Attributes with such names are those of global tables of 2017, which write them into each item. They belong to
/// the table that the item was in, and a put of them is refused there.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables.V1.html>
const OF_REPLICATION: &str = "aws:rep:";

/// An item that was received.
pub(super) fn item(attributes: Attributes) -> Result<Item, Failed> {
    let own = attributes.into_iter().filter(|(name, _)| !name.starts_with(OF_REPLICATION));
    own.map(|(name, of)| match value(of) {
        Ok(value) => Ok((name, value)),
        Err(reason) => Err(unheld(format!("the attribute {name:?} of an item cannot be read: {reason}"))),
    })
    .collect()
}

/// The key of what was received: its key attributes alone are read.
pub(super) fn key(names: &KeyNames, attributes: &mut Attributes) -> Result<ItemKey, Failed> {
    let mut part = |name: &str| {
        let of = attributes.remove(name).ok_or_else(|| unheld(format!("the key attribute {name:?} is missing")))?;
        value(of).map_err(|reason| unheld(format!("the key attribute {name:?} cannot be read: {reason}")))
    };
    let partition = part(&names.partition)?;
    Ok(ItemKey { partition, sort: names.sort.as_deref().map(part).transpose()? })
}

fn value(of: AttributeValue) -> Result<Value, String> {
    Ok(match of {
        AttributeValue::S(text) => Value::Text(text),
        AttributeValue::N(text) => Value::Number(number(&text)?),
        AttributeValue::B(bytes) => Value::Binary(bytes.into_inner().into()),
        AttributeValue::Bool(is) => Value::Bool(is),
        AttributeValue::Null(true) => Value::Null,
        AttributeValue::M(entries) => {
            let entries = entries.into_iter().map(|(name, of)| Ok::<_, String>((name, value(of)?)));
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
        AttributeValue::L(values) => Value::List(values.into_iter().map(value).collect::<Result<_, _>>()?),
        AttributeValue::Ss(texts) => Value::Texts(set(texts, Ok)?),
        AttributeValue::Ns(texts) => Value::Numbers(set(texts, |text| number(&text))?),
        AttributeValue::Bs(all) => Value::Binaries(set(all, |bytes| Ok(bytes.into_inner().into()))?),
        _ => return Err("it is of a type that is not known here".to_owned()),
    })
}

fn number(text: &str) -> Result<Number, String> {
    text.parse().map_err(|error: migrate_core::item::BadNumber| error.to_string())
}

/// A set. Two spellings of one number are two elements on a server that does not know that they are one: such a set
/// has no equal elsewhere.
fn set<F, T: Ord>(elements: Vec<F>, read: impl Fn(F) -> Result<T, String>) -> Result<BTreeSet<T>, String> {
    let count = elements.len();
    let set = elements.into_iter().map(read).collect::<Result<BTreeSet<_>, _>>()?;
    match set.len() {
        0 => Err("it is an empty set".to_owned()),
        found if found < count => Err("it is a set that holds an element twice".to_owned()),
        _ => Ok(set),
    }
}

/// An item to be sent.
pub(super) fn sent(item: &Item) -> Attributes {
    item.iter().map(|(name, value)| (name.clone(), sent_value(value))).collect()
}

/// A key to be sent.
pub(super) fn sent_key(names: &KeyNames, key: &ItemKey) -> Attributes {
    let partition = (names.partition.clone(), sent_value(&key.partition));
    let sort = names.sort.clone().zip(key.sort.as_ref().map(sent_value));
    std::iter::once(partition).chain(sort).collect()
}

/// A value to be sent.
pub(super) fn sent_value(value: &Value) -> AttributeValue {
    let blob = |bytes: &bytes::Bytes| Blob::new(&**bytes);
    match value {
        Value::Text(text) => AttributeValue::S(text.clone()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Binary(bytes) => AttributeValue::B(blob(bytes)),
        Value::Bool(is) => AttributeValue::Bool(*is),
        Value::Null => AttributeValue::Null(true),
        Value::Map(entries) => AttributeValue::M(sent(entries)),
        Value::List(values) => AttributeValue::L(values.iter().map(sent_value).collect()),
        Value::Texts(set) => AttributeValue::Ss(set.iter().cloned().collect()),
        Value::Numbers(set) => AttributeValue::Ns(set.iter().map(ToString::to_string).collect()),
        Value::Binaries(set) => AttributeValue::Bs(set.iter().map(blob).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(of: AttributeValue) -> Result<Value, Failed> {
        item([("a".to_owned(), of)].into()).map(|mut item| item.remove("a").unwrap())
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_type_comes_back_as_it_was_sent() {
        let text = |text: &str| Value::Text(text.to_owned());
        let number = |text: &str| text.parse::<Number>().unwrap();
        let deep = (0..31).fold(Value::Null, |inner, level| match level % 2 {
            0 => Value::List(vec![inner]),
            _ => Value::Map([("m".to_owned(), inner)].into()),
        });
        for value in [
            text(""),
            text("\u{0}\u{1f980}"),
            Value::Number(number("-1e-130")),
            Value::Number(number("99999999999999999999999999999999999999")),
            Value::Binary(bytes::Bytes::new()),
            Value::Binary(vec![0, 255].into()),
            Value::Bool(false),
            Value::Null,
            Value::Texts([String::new(), "b".to_owned()].into()),
            Value::Numbers([number("1.5"), number("-2")].into()),
            Value::Binaries([vec![1].into(), bytes::Bytes::new()].into()),
            deep,
        ] {
            assert_eq!(received(sent_value(&value)).unwrap(), value);
        }
    }

    /// What cannot be held as it is must not pass for something else.
    #[test]
    fn what_cannot_be_held_is_an_error() {
        for of in [
            AttributeValue::N("1e126".to_owned()),
            AttributeValue::N("NaN".to_owned()),
            AttributeValue::N("1".repeat(39)),
            AttributeValue::Null(false),
            AttributeValue::Ss(Vec::new()),
            AttributeValue::Ns(texts(&["1.0", "1"])),
            AttributeValue::L(vec![AttributeValue::N("x".to_owned())]),
        ] {
            assert!(received(of.clone()).is_err(), "{of:?}");
        }
    }

    #[test]
    fn what_old_global_tables_write_into_items_is_left_out() {
        let with = |name: &str| (name.to_owned(), AttributeValue::S("x".to_owned()));
        let of = [with("id"), with("aws:rep:updatetime"), with("aws:rep:deleting"), with("aws:other")];
        let names: Vec<_> = item(of.into()).unwrap().into_keys().collect();
        assert_eq!(names, ["aws:other", "id"]);
    }

    #[test]
    fn a_key_is_read_without_the_rest() {
        let names = KeyNames { partition: "p".to_owned(), sort: Some("s".to_owned()) };
        let mut of: Attributes = [
            ("p".to_owned(), AttributeValue::N("1e3".to_owned())),
            ("s".to_owned(), AttributeValue::S("a".to_owned())),
            ("rest".to_owned(), AttributeValue::Null(false)),
        ]
        .into();
        let read = key(&names, &mut of).unwrap();
        assert_eq!(read.partition, Value::Number("1000".parse().unwrap()));
        assert_eq!(sent_key(&names, &read)["s"], AttributeValue::S("a".to_owned()));
        assert!(key(&names, &mut of).is_err(), "it has been taken out");
    }
}
