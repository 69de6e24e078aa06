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
