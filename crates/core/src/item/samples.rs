//! Items for tests.

use bytes::Bytes;
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
};

use crate::item::{
    number::Number,
    value::{Item, Value},
};

/// Numbers of all signs, precisions and magnitudes, many of them close to each other.
pub(crate) fn any_number() -> impl Strategy<Value = Number> {
    let few = (-3_i32..4, -3_i32..4);
    let many = ("-?[0-9]{1,38}", -120_i32..80);
    prop_oneof![
        few.prop_map(|(digits, exponent)| format!("{digits}e{exponent}")),
        many.prop_map(|(digits, exponent)| format!("{digits}e{exponent}")),
    ]
    .prop_map(|text| text.parse().expect("it is in range"))
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "\\PC{0,6}", any::<String>()]
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..5).prop_map(Bytes::from)
}

/// Values of every type, nested.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_text().prop_map(Value::Text),
        any_number().prop_map(Value::Number),
        any_bytes().prop_map(Value::Binary),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        btree_set(any_text(), 1..4).prop_map(Value::Texts),
        btree_set(any_number(), 1..4).prop_map(Value::Numbers),
        btree_set(any_bytes(), 1..4).prop_map(Value::Binaries),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            btree_map(any_text(), inner.clone(), 0..4).prop_map(Value::Map),
            vec(inner, 0..4).prop_map(Value::List),
        ]
    })
}

/// Items of every type.
pub(crate) fn any_item() -> impl Strategy<Value = Item> {
    btree_map(any_text(), any_value(), 0..5)
}

/// An item with a value of every type.
pub(crate) fn every_type() -> Item {
    let number = |text: &str| text.parse::<Number>().expect("it is a number");
    let bytes = |bytes: &'static [u8]| Bytes::from_static(bytes);
    Item::from(
        [
            ("binaries", Value::Binaries([bytes(b"\0\x01"), bytes(b"")].into())),
            ("binary", Value::Binary(bytes(b"\xff"))),
            ("empty", Value::Text(String::new())),
            ("list", Value::List(vec![Value::Number(number("1.50")), Value::Null])),
            ("map", Value::Map([("deep".to_owned(), Value::Map(Item::new()))].into())),
            ("numbers", Value::Numbers([number("1E2"), number("-1")].into())),
            ("texts", Value::Texts(["é".to_owned(), String::new()].into())),
            ("yes", Value::Bool(true)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}
