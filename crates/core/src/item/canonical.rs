//! The canonical encoding of items, of which their digests are made. Two items have one encoding if, and only if,
//! `DynamoDB` holds them for equal.
//!
//! An item is encoded as a map. Every value begins with one byte for its type. Lengths and counts are unsigned, of
//! four bytes, the most significant first.
//!
//! | type | byte | then |
//! |---|---|---|
//! | `S` | 1 | length, UTF-8 bytes |
//! | `N` | 2 | sign (0 negative, 1 zero, 2 positive); unless it is zero: the exponent (two bytes, two's complement, the most significant first), the count of digits (one byte), the digits in ASCII. The value is digits × 10^exponent, and the last digit is not 0 |
//! | `B` | 3 | length, bytes |
//! | `BOOL` | 4 | 0 or 1 |
//! | `NULL` | 5 | |
//! | `M` | 6 | count; for each entry, in byte order of the names: length and UTF-8 bytes of the name, the value |
//! | `L` | 7 | count; the values in order |
//! | `SS` | 8 | count; for each element, in byte order: length, UTF-8 bytes |
//! | `NS` | 9 | count; for each element, from the least: as `N`, without the type's byte |
//! | `BS` | 10 | count; for each element, in byte order: length, bytes |
//!
//! The digest of an item is the SHA-256 of its encoding; the digest of a key is that of the item which holds the key
//! attributes alone.
//!
//! For example, `{"id":{"S":"a"},"n":{"N":"1.50"}}` is encoded as the bytes (in hexadecimal)
//!
//! ```text
//! 06 00000002  00000002 6964  01 00000001 61  00000001 6e  02 02 ffff 02 3135
//! ```
//!
//! and its digest is `0a843158afb9ff9f5598705f3623e1cc3ce6c815a8eef5e102e8e79c4215b1ad`. The digest of
//! the item in the tests of this file, which has a value of every type, is
//! `783f13dc247529dd47cfc3c45ab9942f4d2134216c032a3f55da340cb9c0b30e`.

use sha2::{Digest as _, Sha256 as Hasher};

use crate::{
    item::{
        item_key::{ItemKey, KeyNames},
        number::Number,
        value::{Item, Value},
    },
    model::Sha256,
};

/// The digest of an item.
pub fn digest(item: &Item) -> Sha256 {
    let mut hasher = Hasher::new();
    map(&mut hasher, item);
    Sha256(hasher.finalize().into())
}

/// The digest of a key.
pub fn key_digest(names: &KeyNames, key: &ItemKey) -> Sha256 {
    digest(&names.attributes(key))
}

fn count(into: &mut Hasher, count: usize) {
    let count = u32::try_from(count).expect("an item is far below 4 GiB");
    into.update(count.to_be_bytes());
}

fn bytes(into: &mut Hasher, bytes: &[u8]) {
    count(into, bytes.len());
    into.update(bytes);
}

fn map(into: &mut Hasher, entries: &Item) {
    into.update([6]);
    count(into, entries.len());
    for (name, entry) in entries {
        bytes(into, name.as_bytes());
        value(into, entry);
    }
}

fn number(into: &mut Hasher, number: Number) {
    let sign = match number.signum() {
        -1 => 0,
        0 => 1,
        _ => 2,
    };
    into.update([sign]);
    if sign == 1 {
        return;
    }
    let (digits, exponent) = number.parts();
    let digits = digits.to_string();
    into.update(exponent.to_be_bytes());
    into.update([u8::try_from(digits.len()).expect("at most 38 digits")]);
    into.update(digits);
}

fn value(into: &mut Hasher, of: &Value) {
    match of {
        Value::Text(text) => {
            into.update([1]);
            bytes(into, text.as_bytes());
        }
        Value::Number(of) => {
            into.update([2]);
            number(into, *of);
        }
        Value::Binary(of) => {
            into.update([3]);
            bytes(into, of);
        }
        Value::Bool(of) => into.update([4, u8::from(*of)]),
        Value::Null => into.update([5]),
        Value::Map(entries) => map(into, entries),
        Value::List(values) => {
            into.update([7]);
            count(into, values.len());
            for of in values {
                value(into, of);
            }
        }
        Value::Texts(set) => {
            into.update([8]);
            count(into, set.len());
            for text in set {
                bytes(into, text.as_bytes());
            }
        }
        Value::Numbers(set) => {
            into.update([9]);
            count(into, set.len());
            for of in set {
                number(into, *of);
            }
        }
        Value::Binaries(set) => {
            into.update([10]);
            count(into, set.len());
            for of in set {
                bytes(into, of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::{
        json::item_from_json,
        samples::{any_item, any_value},
    };

    fn of(json: &str) -> String {
        digest(&item_from_json(json.as_bytes()).unwrap()).to_string()
    }

    /// Computed by another program, in another language, from the header of this file.
    #[test]
    fn documented_items_have_the_documented_digests() {
        assert_eq!(
            of(r#"{"id":{"S":"a"},"n":{"N":"1.50"}}"#),
            "0a843158afb9ff9f5598705f3623e1cc3ce6c815a8eef5e102e8e79c4215b1ad"
        );
        let every_type = r#"{
            "binaries":{"BS":["AAE=",""]}, "binary":{"B":"/w=="}, "empty":{"S":""}, "false":{"BOOL":false},
            "list":{"L":[{"N":"1.50"},{"NULL":true}]}, "map":{"M":{"b":{"M":{}},"a":{"S":"é"}}},
            "numbers":{"NS":["1E2","-1","0.0","-1e-130"]}, "texts":{"SS":["é","","z"]}, "zero":{"N":"-0"}
        }"#;
        assert_eq!(of(every_type), "783f13dc247529dd47cfc3c45ab9942f4d2134216c032a3f55da340cb9c0b30e");
    }

    proptest! {
        #[test]
        fn equal_items_have_equal_digests_and_others_do_not(one in any_item(), other in any_item()) {
            prop_assert_eq!(one == other, digest(&one) == digest(&other));
            prop_assert_eq!(digest(&one), digest(&one.clone()));
        }

        #[test]
        fn one_changed_value_changes_the_digest(item in any_item(), name in "[ab]", value in any_value()) {
            let mut changed = item.clone();
            changed.insert(name, value);
            prop_assert_eq!(item == changed, digest(&item) == digest(&changed));
        }

        /// What stands next to each other must not run into each other.
        #[test]
        fn neighbours_are_told_apart(texts in prop::collection::vec("[ab]{0,2}", 0..4), at in 0_usize..4) {
            let item = |texts: &[String]| {
                let texts = texts.iter().cloned().map(Value::Text).collect();
                Item::from([("l".to_owned(), Value::List(texts))])
            };
            let mut joined = texts.clone();
            if at + 1 < joined.len() {
                let next = joined.remove(at + 1);
                joined[at].push_str(&next);
                prop_assert_ne!(digest(&item(&texts)), digest(&item(&joined)));
            }
        }

        #[test]
        fn the_text_of_a_key_names_it(partition in key_value(), sort in prop::option::of(key_value())) {
            let names = KeyNames { partition: "pk".into(), sort: sort.as_ref().map(|_| "sk".into()) };
            let key = ItemKey { partition, sort };
            prop_assert_eq!(names.read(&names.text(&key)).unwrap(), key);
        }
    }

    fn key_value() -> impl Strategy<Value = Value> {
        any_value().prop_filter("a type of a key", |value| {
            matches!(value, Value::Text(_) | Value::Number(_) | Value::Binary(_))
        })
    }

    #[test]
    fn a_type_is_part_of_the_encoding() {
        let all = [
            r#"{"a":{"S":"1"}}"#,
            r#"{"a":{"N":"1"}}"#,
            r#"{"a":{"B":"MQ=="}}"#,
            r#"{"a":{"SS":["1"]}}"#,
            r#"{"a":{"NS":["1"]}}"#,
            r#"{"a":{"BS":["MQ=="]}}"#,
            r#"{"a":{"L":[{"S":"1"}]}}"#,
            r#"{"a":{"M":{}}}"#,
            r#"{"a":{"L":[]}}"#,
            r#"{"a":{"NULL":true}}"#,
            r#"{"a":{"BOOL":true}}"#,
            r#"{"a":{"BOOL":false}}"#,
            r"{}",
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(|json| of(json)).collect();
        assert_eq!(digests.len(), all.len());
    }
}
