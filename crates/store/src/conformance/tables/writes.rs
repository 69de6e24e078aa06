//! Puts, deletes, gets, batches and conditions.

use migrate_core::item::{Item, Value};

use super::{
    ground::{Table, item, key, number, text},
    suite::Suite,
};
use crate::{
    error::ErrorKind,
    table::{GET_MAX, ItemWrite, WRITE_MAX},
};

fn version(sort: i64, version: &str) -> Item {
    item(&key("p", sort), [("version", text(version))])
}

/// A put replaces the whole item, a delete needs no item, and a batch may hold both.
pub(super) async fn puts_and_deletes(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    let more = item(&key("p", 1), [("version", text("one")), ("more", Value::Null)]);
    table.put([more, version(2, "one")]).await;
    table.put([version(1, "two")]).await;
    table.expect([version(1, "two"), version(2, "one")]).await;
    let both = [ItemWrite::Delete(key("p", 2)), ItemWrite::Put(version(3, "one")), ItemWrite::Delete(key("p", 99))];
    table.write(&both).await;
    table.expect([version(1, "two"), version(3, "one")]).await;
    table.write(&[ItemWrite::Delete(key("p", 1)), ItemWrite::Delete(key("p", 3))]).await;
    table.expect([]).await;
    table.put([version(1, "three")]).await;
    table.expect([version(1, "three")]).await;
    // Sort keys of one partition are told apart, and so are equal sort keys of two partitions.
    table.put([item(&key("q", 1), [("version", text("three"))])]).await;
    table.expect([version(1, "three"), item(&key("q", 1), [("version", text("three"))])]).await;
}

/// A batch with a bad write fails with a known outcome, and the table stays as it is.
pub(super) async fn bad_batches(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    table.put([version(1, "one")]).await;
    let no_sort = Item::from([("pk".to_owned(), text("p"))]);
    let other_type = Item::from([("pk".to_owned(), text("p")), ("sk".to_owned(), text("1"))]);
    let empty_key = item(&key("", 1), []);
    for (bad, what) in [(no_sort, "no sort key"), (other_type, "a sort key of text"), (empty_key, "an empty key")] {
        let batch = [ItemWrite::Put(version(1, "two")), ItemWrite::Put(bad)];
        let refused = table.store.write(&batch).await.expect_err(what);
        assert!(!refused.outcome_unknown(), "{what}: {refused}");
    }
    let many = i64::try_from(WRITE_MAX).expect("they are few") + 1;
    let batch: Vec<_> = (0..many).map(|sort| ItemWrite::Put(version(sort, "two"))).collect();
    let refused = table.store.write(&batch).await.expect_err("too many");
    assert!(!refused.outcome_unknown(), "{refused}");
    let twice = [ItemWrite::Put(version(1, "two")), ItemWrite::Delete(key("p", 1))];
    let refused = table.store.write(&twice).await.expect_err("one key twice");
    assert!(!refused.outcome_unknown(), "{refused}");
    table.expect([version(1, "one")]).await;
}

/// A full batch of gets, of keys that are there and others; one key twice is refused, and none is no error.
pub(super) async fn gets(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    let count = i64::try_from(GET_MAX).expect("they are few");
    table.put((0..count).filter(|sort| sort % 2 == 0).map(|sort| version(sort, "one"))).await;
    let keys: Vec<_> = (0..count).map(|sort| key("p", sort)).collect();
    for (sort, answer) in (0..count).zip(table.get_all(&keys).await) {
        assert_eq!(answer, (sort % 2 == 0).then(|| version(sort, "one")), "{sort}");
    }
    let none = table.store.get(&[]).await.expect("nothing is asked");
    assert_eq!((none.found.len(), none.absent.len(), none.left.len()), (0, 0, 0));
    assert!(table.store.write(&[]).await.expect("nothing is written").left.is_empty());
    table.store.get(&[key("p", 1), key("p", 1)]).await.expect_err("one key twice");
}

/// A condition is kept both ways: it takes what it allows, and refuses everything else.
pub(super) async fn conditions(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    if !table.abilities.conditions {
        return;
    }
    let full = |n: &str| {
        let list = Value::List(vec![Value::Number(number(n)), Value::Null]);
        let set = Value::Texts(["a".to_owned(), "b".to_owned()].into());
        item(&key("p", 1), [("list", list), ("set", set), ("name", text("select"))])
    };
    let put = async |item: &Item, expected: Option<&Item>| table.store.put_if(item, expected).await;
    let refused = |outcome: crate::object::Result<()>, what: &str| {
        let error = outcome.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Precondition, "{what}: {error}");
        assert!(!error.outcome_unknown(), "{what}: {error}");
    };
    refused(put(&full("2"), Some(&full("1"))).await, "nothing is there");
    put(&full("1"), None).await.expect("nothing is there");
    refused(put(&full("2"), None).await, "something is there");
    refused(put(&full("2"), Some(&full("3"))).await, "another item is there");
    let mut more = full("1");
    more.insert("more".to_owned(), Value::Null);
    refused(put(&full("2"), Some(&more)).await, "an attribute less is there");
    let mut less = full("1");
    less.remove("set");
    refused(put(&full("2"), Some(&less)).await, "an attribute more is there");
    table.expect([full("1")]).await;
    put(&full("2"), Some(&full("1.0"))).await.expect("it is as expected");
    table.expect([full("2")]).await;
    assert!(table.store.probe_item(&key("scratch", 1)).await.expect("it is asked"), "a probe sees the same");
    table.expect([full("2")]).await;
}
