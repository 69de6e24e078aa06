//! What items hold: every type, every form, every size.

use std::collections::BTreeMap;

use bytes::Bytes;
use migrate_core::{
    item::{Item, ItemKey, Value, item_from_json, item_size},
    table::{KeyType, Structure},
};

use super::{
    ground::{Table, item, key, number, text},
    tables::Suite,
};
use crate::table::{ItemWrite, WRITE_MAX};

fn nested(depth: usize, wrap: fn(Value) -> Value) -> Value {
    (1..depth).fold(wrap(text("deepest")), |inner, _| wrap(inner))
}

fn in_map(inner: Value) -> Value {
    Value::Map(BTreeMap::from([("m".to_owned(), inner)]))
}

fn in_list(inner: Value) -> Value {
    Value::List(vec![inner])
}

/// Items are equal to what was written, whatever they hold.
pub(super) async fn every_form_survives(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    let mut items = vec![
        item(&key("types", 0), [("bool", Value::Bool(false)), ("null", Value::Null), ("yes", Value::Bool(true))]),
        item(&key("types", 1), [("l", Value::List(vec![])), ("m", Value::Map(BTreeMap::new()))]),
        item(&key("nested", 2), [("maps", nested(suite.depth_max, in_map))]),
        item(&key("nested", 3), [("lists", nested(suite.depth_max, in_list))]),
        item(&key("texts é ☃ \u{1F600} \" \\ \n \u{1}", -4), [("a b.c#:%&<é", text("\u{0} \u{7f} ☃ \u{10FFFF}"))]),
        item(&key("binary", 5), [("b", Value::Binary(Bytes::from((0..=255).collect::<Vec<u8>>())))]),
        item(&key("word", 6), [("select", text("reserved")), ("size", text("reserved too"))]),
    ];
    for (at, json) in [
        r#"{"ss":{"SS":["b","a","B","é"]},"bs":{"BS":["AAE=","/w==","AA=="]}}"#,
        r#"{"ns":{"NS":["3","-1.50","1E2","0","0.001"]}}"#,
        r#"{"deep":{"L":[{"M":{"s":{"SS":["y","x"]},"n":{"NS":["2","1"]},"l":{"L":[{"N":"1.10"},{"B":"/w=="}]}}}]}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let others = item_from_json(json.as_bytes()).expect("it is an item");
        let keys = item(&key("sets", i64::try_from(at).expect("they are few")), []);
        items.push(keys.into_iter().chain(others).collect());
    }
    for (at, form) in [
        "0",
        "-0",
        "1.50",
        "15e-1",
        "1E2",
        "-100.00",
        "1e-130",
        "-1e-130",
        "9.9e125",
        "1E125",
        "12345678901234567890123456789012345678",
        "-0.12345678901234567890123456789012345678",
        "9007199254740993",
        "0.1",
        "1e20",
        "123456789012345678901234567890.12345678",
    ]
    .into_iter()
    .enumerate()
    {
        let at = i64::try_from(at).expect("they are few");
        items.push(item(&key("numbers", at), [("n", Value::Number(number(form)))]));
    }
    if table.abilities.empty_values {
        let empty = Value::Texts([String::new(), "x".to_owned()].into());
        items.push(item(&key("empty", 0), [("s", text("")), ("b", Value::Binary(Bytes::new())), ("ss", empty)]));
    }
    table.put(items.clone()).await;
    for written in &items {
        let key = Table::structure().key_names().key_of(written).expect("it has a key");
        assert_eq!(table.get(&key).await.as_ref(), Some(written), "{key:?}");
    }
    table.expect(items).await;
}

fn padded(key: &ItemKey, bytes: usize) -> Item {
    let mut padded = item(key, [("pad", text(""))]);
    let missing = bytes.checked_sub(item_size(&padded)).expect("a key is small");
    padded.insert("pad".to_owned(), Value::Text("x".repeat(missing)));
    padded
}

/// Items just below the limit, and a batch of them just below its limit; one above the limit is refused whole.
pub(super) async fn large_items_and_batches(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    // Servers count keys and numbers a little differently.
    let large = suite.item_bytes_max - 64;
    let count = (suite.batch_bytes_max / large).min(WRITE_MAX);
    let numbers = 0..i64::try_from(count).expect("they are few");
    let items: Vec<_> = numbers.map(|at| padded(&key("large", at), large)).collect();
    let batch: Vec<_> = items.iter().cloned().map(ItemWrite::Put).collect();
    table.write(&batch).await;
    table.expect(items.clone()).await;
    let keys: Vec<_> = items.iter().filter_map(|item| Table::structure().key_names().key_of(item)).collect();
    let answers = table.get_all(&keys).await;
    assert!(
        answers.iter().zip(&items).all(|(answer, item)| answer.as_ref() == Some(item)),
        "large items are read whole"
    );

    let too_large = padded(&key("too large", 0), suite.item_bytes_max + 1024);
    let refused = table.store.write(&[ItemWrite::Put(too_large)]).await.expect_err("it is too large");
    assert!(!refused.outcome_unknown(), "{refused}");
    table.expect(items).await;
}

/// Two spellings of one number are one key.
pub(super) async fn numbers_are_one_key(suite: &Suite<'_>) {
    let structure = Structure::plain(("id", KeyType::Number), None);
    let table = Table::make_with(suite, &structure).await;
    if !table.abilities.numeric_keys {
        return;
    }
    let of = |id: &str, v: &str| Item::from([("id".into(), Value::Number(number(id))), ("v".into(), text(v))]);
    for (spelling, value) in [("1e3", "a"), ("1000", "b"), ("1000.0", "c"), ("0.1e4", "d")] {
        table.put([of(spelling, value)]).await;
    }
    table.put([of("-0", "zero"), of("1e-7", "small")]).await;
    table.expect([of("1000", "d"), of("0", "zero"), of("0.0000001", "small")]).await;
    let key = |id: &str| ItemKey { partition: Value::Number(number(id)), sort: None };
    assert_eq!(table.get(&key("10e2")).await, Some(of("1000", "d")));
    table.write(&[ItemWrite::Delete(key("1.0e3"))]).await;
    assert_eq!(table.get(&key("1000")).await, None);
}
