//! The stream of changes.

use std::collections::{BTreeMap, BTreeSet};

use migrate_core::item::{Item, ItemKey};
use tokio::time::{Duration, Instant, sleep};

use super::{
    ground::{Table, item, key, text},
    tables::Suite,
};
use crate::{
    error::ErrorKind,
    table::{ChangeStream, ItemWrite, Position},
};

const WRITERS: i64 = 4;
const KEYS: i64 = 10;
const ROUNDS: i64 = 5;

/// The stream shows every key that concurrent writers change, and the sequence numbers of a shard ascend.
pub(super) async fn every_change_is_shown(suite: &Suite<'_>) {
    let table = Table::make(suite).await;
    let Some(changes) = table.store.changes() else {
        assert!(!table.abilities.streams, "a place that can have a stream hands it out");
        return;
    };
    if !table.abilities.streams {
        return;
    }
    table.put([item(&key("before", 0), [])]).await;
    let (name, enabled) = changes.enable().await.expect("it is enabled");
    assert!(enabled, "it was not there before");
    assert_eq!(changes.enable().await.expect("it is there"), (name.clone(), false), "it is enabled once");
    let described = table.store.describe().await.expect("it is looked at").expect("it is there");
    assert_eq!(described.stream.as_ref(), Some(&name));
    let unknown = changes.shards(&format!("{name}-no-such-stream")).await.expect_err("there is no such stream");
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");

    let writers = (0..WRITERS).map(|writer| {
        let store = table.store.clone();
        tokio::spawn(async move {
            for write in script(writer) {
                let mut left = vec![write];
                while !left.is_empty() {
                    let written = store.write(&left).await.expect("it is written");
                    left = written.left.into_iter().map(|at| left[at].clone()).collect();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it writes to its end");
    }
    let expected: BTreeSet<String> =
        (0..WRITERS).flat_map(|writer| (0..KEYS).map(move |at| text_of(&key(&format!("w{writer}"), at)))).collect();
    let mut tail = Tail::default();
    let begun = Instant::now();
    while !expected.is_subset(&tail.keys) {
        let missing: Vec<_> = expected.difference(&tail.keys).take(3).collect();
        assert!(begun.elapsed() < suite.patience, "changes of these keys are not shown: {missing:?}");
        tail.advance(changes, &name).await;
        sleep(Duration::from_millis(20)).await;
    }
    let more: Vec<_> = tail.keys.difference(&expected).filter(|key| !key.contains("before")).collect();
    assert!(more.is_empty(), "keys that nobody changed: {more:?}");
    goes_on(&table, changes, &name, tail, suite.patience).await;
    changes.disable(&name).await.expect("it is disabled");
}

fn script(writer: i64) -> Vec<ItemWrite> {
    let of = |at: i64| key(&format!("w{writer}"), at);
    let put = |at: i64, round: i64| -> Item { item(&of(at), [("round", text(&round.to_string()))]) };
    let round = |round: i64| {
        (0..KEYS).map(move |at| {
            let deletes = round % 2 == 1 && at % 2 == 1;
            if deletes { ItemWrite::Delete(of(at)) } else { ItemWrite::Put(put(at, round)) }
        })
    };
    (0..ROUNDS).flat_map(round).collect()
}

fn text_of(key: &ItemKey) -> String {
    Table::structure().key_names().text(key).as_str().to_owned()
}

/// What was read of a stream so far.
#[derive(Default)]
struct Tail {
    keys: BTreeSet<String>,
    /// The last sequence number that was read of each shard.
    positions: BTreeMap<String, String>,
    ended: BTreeSet<String>,
}

impl Tail {
    /// Reads every shard once, from the last position on.
    async fn advance(&mut self, changes: &dyn ChangeStream, stream: &str) {
        for shard in changes.shards(stream).await.expect("they are listed") {
            if self.ended.contains(&shard.id) {
                continue;
            }
            let from = self.positions.get(&shard.id).cloned().map_or(Position::Oldest, Position::After);
            let iterator = changes.iterator(stream, &shard.id, &from).await.expect("the position is there");
            let read = changes.read(iterator).await.expect("it is read");
            for change in read.records {
                let before = self.positions.insert(shard.id.clone(), change.sequence.clone());
                let ascends = before.as_ref().is_none_or(|before| number(before) < number(&change.sequence));
                assert!(ascends, "{before:?} and then {}", change.sequence);
                self.keys.insert(text_of(&change.key));
            }
            if read.next.is_none() {
                self.ended.insert(shard.id);
            }
        }
    }
}

/// Sequence numbers are numbers of any length.
fn number(sequence: &str) -> (usize, String) {
    let digits = sequence.trim_start_matches('0');
    (digits.len(), digits.to_owned())
}

/// After a position, only later changes come (they ascend, as [`Tail`] sees); an iterator that is read on goes on where it was.
async fn goes_on(table: &Table, changes: &dyn ChangeStream, stream: &str, mut later: Tail, patience: Duration) {
    let begun = Instant::now();
    table.put([item(&key("later", 1), [])]).await;
    while !later.keys.contains(&text_of(&key("later", 1))) {
        assert!(begun.elapsed() < patience, "a later change is not shown");
        later.advance(changes, stream).await;
        sleep(Duration::from_millis(20)).await;
    }

    let shard = changes.shards(stream).await.expect("they are listed").pop().expect("there is a shard");
    let mut iterator = changes.iterator(stream, &shard.id, &Position::Oldest).await.expect("the oldest is there");
    let mut sequences = Vec::new();
    for _ in 0..20 {
        let read = changes.read(iterator).await.expect("it is read");
        sequences.extend(read.records.iter().map(|change| number(&change.sequence)));
        let Some(next) = read.next else { break };
        iterator = next;
    }
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "an iterator shows a change twice: {sequences:?}");
}
