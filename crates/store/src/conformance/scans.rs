//! Scans: every item once, whatever happens beside.

use migrate_core::item::{Item, ItemKey};

use super::{
    ground::{Table, item, key, text},
    tables::Suite,
};
use crate::table::{ItemWrite, Segment};

fn numbered(at: i64) -> Item {
    // Enough for several pages of 1 MB.
    item(&key(&format!("p{}", at % 40), at), [("pad", text(&"x".repeat(20_000)))])
}

fn key_of(item: &Item) -> ItemKey {
    Table::structure().key_names().key_of(item).expect("it has a key")
}

/// The segments of any count hold every item once.
pub(super) async fn every_item_once(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    for of in [1, 2, 7] {
        assert!(table.scan(of).await.is_empty(), "an empty table in {of} segments");
    }
    let items: Vec<_> = (0..150).map(numbered).collect();
    table.put(items.clone()).await;
    table.expect(items.clone()).await;
    for of in [1, 2, 7] {
        let shown = table.scan(of).await;
        assert_eq!(shown.len(), items.len(), "{of} segments");
        assert!(items.iter().all(|item| shown.get(&table.text_of(item)) == Some(item)), "{of} segments");
    }
    table.store.scan(Segment { index: 2, of: 2 }, None, true).await.expect_err("there is no such segment");
}

/// A scan goes on after a cursor whose item was deleted, and misses nothing that was there all the time.
pub(super) async fn after_a_key_that_is_gone(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    let items: Vec<_> = (0..150).map(numbered).collect();
    table.put(items.clone()).await;
    table.expect(items.clone()).await;
    for of in [1, 3] {
        for index in 0..of {
            let segment = Segment { index, of };
            let whole = segment_from(&table, segment, None).await;
            for at in [0, whole.len() / 2, whole.len() - 1] {
                let cursor = key_of(&whole[at]);
                table.write(&[ItemWrite::Delete(cursor.clone())]).await;
                let rest = segment_from(&table, segment, Some(cursor)).await;
                assert_eq!(rest, whole[at + 1..], "after item {at} of segment {index} of {of}");
                table.put([whole[at].clone()]).await;
            }
        }
    }
}

/// The items of a segment after a cursor, in the order of the scan.
async fn segment_from(table: &Table, segment: Segment, mut after: Option<ItemKey>) -> Vec<Item> {
    let mut all = Vec::new();
    loop {
        let page = table.store.scan(segment, after.as_ref(), true).await.expect("it is scanned");
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// A strong scan and a get show every write that was acknowledged before.
pub(super) async fn what_was_acknowledged_is_shown(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    if !table.abilities.strong_reads {
        return;
    }
    let of = |version: i64| item(&key("p", 1), [("version", text(&version.to_string()))]);
    for version in 0..20 {
        table.put([of(version)]).await;
        let shown = table.scan(1).await;
        assert_eq!(shown.values().collect::<Vec<_>>(), [&of(version)]);
        assert_eq!(table.get(&key("p", 1)).await, Some(of(version)));
    }
    table.write(&[ItemWrite::Delete(key("p", 1))]).await;
    assert_eq!(table.scan(1).await.len(), 0);
    assert_eq!(table.get(&key("p", 1)).await, None);
}
