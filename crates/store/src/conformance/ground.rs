//! A table of a suite: what all checks do with one.

use std::{collections::BTreeMap, sync::Arc};

use migrate_core::{
    item::{Item, ItemKey, KeyNames, Number, Value, item_size},
    table::{KeyType, Structure, TableAbilities},
};
use tokio::time::{Duration, Instant, sleep};

use super::tables::Suite;
use crate::table::{GET_MAX, ItemWrite, Segment, TableStore, WRITE_MAX};

/// A table that was made, with a partition key `pk` of text and a sort key `sk` of numbers.
pub(super) struct Table {
    pub(super) store: Arc<dyn TableStore>,
    pub(super) abilities: TableAbilities,
    names: KeyNames,
    batch_bytes_max: usize,
    patience: Duration,
}

/// Items by the text of their keys.
pub(super) type Items = BTreeMap<String, Item>;

pub(super) fn number(text: &str) -> Number {
    text.parse().expect("it is a number")
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The key of an item of this number.
pub(super) fn key(partition: &str, sort: i64) -> ItemKey {
    ItemKey { partition: text(partition), sort: Some(Value::Number(number(&sort.to_string()))) }
}

/// An item with this key and these other attributes.
pub(super) fn item<const N: usize>(key: &ItemKey, others: [(&str, Value); N]) -> Item {
    let keys = Table::structure().key_names().attributes(key);
    keys.into_iter().chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
}

impl Table {
    /// The whole table as one segment.
    pub(super) const WHOLE: Segment = Segment { index: 0, of: 1 };

    pub(super) fn structure() -> Structure {
        Structure::plain(("pk", KeyType::Text), Some(("sk", KeyType::Number)))
    }

    pub(super) async fn make(suite: &Suite<'_>) -> Self {
        Self::make_with(suite, &Self::structure()).await
    }

    pub(super) async fn make_with(suite: &Suite<'_>, structure: &Structure) -> Self {
        let store = suite.open().await;
        let abilities = store.probe().await.expect("the probe ends");
        store.create(structure).await.expect("it is made");
        let (batch_bytes_max, patience) = (suite.batch_bytes_max, suite.patience);
        Self { store, abilities, names: structure.key_names(), batch_bytes_max, patience }
    }

    pub(super) fn text_of(&self, item: &Item) -> String {
        self.names.text(&self.names.key_of(item).expect("it has a key")).as_str().to_owned()
    }

    /// Carries out all writes, in batches, and sends what is left over again.
    pub(super) async fn write(&self, writes: &[ItemWrite]) {
        let mut open = writes.to_vec();
        while !open.is_empty() {
            let mut bytes = 0;
            let fits = |write: &&ItemWrite| {
                bytes += if let ItemWrite::Put(item) = write { item_size(item) } else { 0 };
                bytes <= self.batch_bytes_max
            };
            let count = open.iter().take(WRITE_MAX).take_while(fits).count().max(1);
            let batch: Vec<_> = open.drain(..count).collect();
            let written = self.store.write(&batch).await.expect("it is written");
            assert!(written.left.iter().all(|at| *at < batch.len()), "{:?} of {}", written.left, batch.len());
            open.extend(written.left.into_iter().map(|at| batch[at].clone()));
        }
    }

    pub(super) async fn put(&self, items: impl IntoIterator<Item = Item>) {
        let writes: Vec<_> = items.into_iter().map(ItemWrite::Put).collect();
        self.write(&writes).await;
    }

    /// The item with this key. Every key of the answer is in one place.
    pub(super) async fn get(&self, key: &ItemKey) -> Option<Item> {
        self.get_all(std::slice::from_ref(key)).await.pop().expect("there is one answer")
    }

    /// The items with these keys, in their order, after as many requests as it takes.
    pub(super) async fn get_all(&self, keys: &[ItemKey]) -> Vec<Option<Item>> {
        let mut answers = BTreeMap::new();
        let mut open: Vec<_> = keys.to_vec();
        while !open.is_empty() {
            let batch: Vec<_> = open.drain(..open.len().min(GET_MAX)).collect();
            let got = self.store.get(&batch).await.expect("it is answered");
            let count = got.found.len() + got.absent.len() + got.left.len();
            assert_eq!(count, batch.len(), "every key is in one of the three: {got:?}");
            for (key, item) in got.found {
                assert!(batch.contains(&key), "{key:?} was not asked for");
                assert_eq!(self.names.key_of(&item).as_ref(), Some(&key), "the item has the key that was asked for");
                answers.insert(self.names.text(&key), Some(item));
            }
            answers.extend(got.absent.into_iter().map(|key| (self.names.text(&key), None)));
            open.extend(got.left);
        }
        keys.iter().map(|key| answers.get(&self.names.text(key)).cloned().expect("it was answered")).collect()
    }

    /// All items of these segments. Fails if one comes twice.
    pub(super) async fn scan(&self, of: u32) -> Items {
        let mut all = Items::new();
        for index in 0..of {
            let (segment, mut after) = (Segment { index, of }, None);
            loop {
                let page = self.store.scan(segment, after.as_ref(), true).await.expect("it is scanned");
                for item in page.items {
                    let text = self.text_of(&item);
                    assert!(all.insert(text.clone(), item).is_none(), "{text} comes twice");
                }
                let Some(next) = page.next else { break };
                assert_ne!(Some(&next), after.as_ref(), "the scan stands still");
                after = Some(next);
            }
        }
        all
    }

    /// Waits until a scan shows exactly these items: at once with strong reads.
    pub(super) async fn expect(&self, expected: impl IntoIterator<Item = Item>) {
        let expected: Items = expected.into_iter().map(|item| (self.text_of(&item), item)).collect();
        let begun = Instant::now();
        loop {
            let shown = self.scan(1).await;
            if shown == expected {
                return;
            }
            let waits = !self.abilities.strong_reads && begun.elapsed() < self.patience;
            if !waits {
                differ(&expected, &shown);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Says in what two sets of items differ.
fn differ(expected: &Items, shown: &Items) -> ! {
    for (key, item) in expected {
        let other = shown.get(key);
        assert_eq!(other, Some(item), "the item {key}");
    }
    let more: Vec<_> = shown.keys().filter(|key| !expected.contains_key(*key)).collect();
    panic!("there are more items than expected: {more:?}");
}
