//! What goes wrong where tables are copied without care: see the table in
//! `docs/tables.md`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    clock::now,
    shutdown::Shutdown,
    tables::{
        bulk::{scattered, segments_for},
        test_rig::{Rig, delete, item, put, structure},
    },
};
use migrate_core::{
    item::{Item, Value},
    lifecycle::State,
    report::EventKind,
    table::{KeyType, Structure},
};
use migrate_store::{
    faulty::{Fault, FaultRule, Faults, Operation, When},
    memory_table::MemoryTable,
    table::{ItemWrite, TableStore as _},
};

/// Strikes every second call of these operations.
fn every_second(fault: Fault, operations: &[Operation]) -> Arc<Faults> {
    Arc::new(Faults::with_rules(7, vec![FaultRule::new(fault, When::Every(2)).on(operations.to_vec())]))
}

fn lost(rig: &Rig) -> bool {
    let told = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("were lost"));
    rig.events.lock().unwrap().iter().any(told)
}

#[tokio::test]
async fn a_page_without_items_is_not_the_end_of_a_segment() {
    let mut rig = Rig::new(&["a"], "live = true");
    rig.fill(0..500);
    let faults = every_second(Fault::EmptyPage, &[Operation::Scan]);
    rig.strike("src", &faults);
    rig.proves(500).await;
    rig.is_equal("a");
    assert!(faults.struck()["empty page"] > 10, "{:?}", faults.struck());
}

#[tokio::test]
async fn what_a_server_leaves_over_of_reads_and_writes_is_asked_for_again() {
    for site in ["src", "a"] {
        let mut rig = Rig::new(&["a"], "live = true");
        rig.fill(0..200);
        let faults = every_second(Fault::LeftOver, &[Operation::Get, Operation::Write]);
        rig.strike(site, &faults);
        rig.proves(200).await;
        (0..200).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
        rig.proves(200).await;
        rig.is_equal("a");
        assert!(faults.struck()["left over"] > 0, "{:?}", faults.struck());
    }
}

/// A target that fails for good is down: no segment is recorded as moved and no key as handled, so the next run goes on
/// with them.
#[tokio::test]
async fn what_could_not_be_written_stays_to_be_done() {
    let mut rig = Rig::new(&["a"], "live = true");
    rig.fill(0..300);
    let fails = || vec![FaultRule::new(Fault::Unreachable, When::Every(1)).on([Operation::Write])];
    let faults = Arc::new(Faults::with_rules(1, fails()));
    rig.strike("a", &faults);
    let outcome = rig.run().await;
    assert!(!outcome.datasets[0].reached, "{outcome:?}");
    faults.set_rules(1, Vec::new());
    rig.proves(300).await;
    rig.is_equal("a");
    // The same while changes are brought over.
    (0..300).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
    faults.set_rules(1, fails());
    assert!(!rig.run().await.datasets[0].reached);
    assert!(rig.owed().await > 0, "failed keys are owed");
    faults.set_rules(1, Vec::new());
    rig.proves(300).await;
    rig.is_equal("a");
    assert_eq!(rig.owed().await, 0);
}

/// The answers of some batches are lost, whether the server acted or not: their keys are read at the lead again.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_looked_at_again() {
    for fault in [Fault::ResetBefore, Fault::ResetAfter, Fault::InternalError] {
        let mut rig = Rig::new(&["a"], "live = true");
        rig.fill(0..300);
        let faults =
            Arc::new(Faults::with_rules(3, vec![FaultRule::new(fault, When::Probability(0.3)).on([Operation::Write])]));
        rig.strike("a", &faults);
        rig.proves(300).await;
        (0..150).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
        (150..200).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
        rig.proves(250).await;
        rig.is_equal("a");
        assert!(faults.struck()[fault.name()] > 0);
    }
}

/// A write of ours that acts after newer data is found by the verification, and is never counted as equal.
#[tokio::test]
async fn a_late_write_of_ours_over_newer_data_is_a_difference() {
    let mut rig = Rig::new(&["a"], "live = true");
    rig.fill(0..20);
    rig.proves(20).await;
    let faults =
        Arc::new(Faults::with_rules(1, vec![FaultRule::new(Fault::Held, When::Only(1)).on([Operation::Write])]));
    rig.strike("a", &faults);
    rig.table("src").apply(&put(7, "older")).unwrap();
    rig.proves(20).await;
    rig.is_equal("a");
    rig.table("src").apply(&put(7, "newer")).unwrap();
    rig.proves(20).await;
    assert_eq!(faults.release().await, 1, "the batch of the older value was under way until now");
    assert_ne!(rig.table("a").snapshot(), rig.table("src").snapshot());
    let outcome = rig.run().await;
    assert!(matches!(outcome.datasets[0].state, State::Different { differences: 1, .. }), "{outcome:?}");
}

/// Its children are read, and what it held is known: nobody waits for it, and nothing is compared.
#[tokio::test]
async fn a_parent_that_was_read_and_has_expired_is_not_waited_for() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..50);
    rig.proves(50).await;
    rig.table("src").apply(&put(1, "parent")).unwrap();
    rig.table("src").split_shards();
    rig.table("src").apply(&put(2, "child")).unwrap();
    rig.proves(50).await;
    rig.table("src").expire_shards();
    rig.table("src").apply(&put(3, "orphan")).unwrap();
    let proves = tokio::time::timeout(Duration::from_mins(1), rig.proves(50));
    proves.await.expect("an expired parent is waited for");
    rig.is_equal("a");
    assert!(!lost(&rig));
}

/// The process that found the loss ended before it had compared all items: the next one does.
#[tokio::test]
async fn a_comparison_that_is_due_outlives_the_process() {
    for lead_changes in [put(5, "lost"), delete(5)] {
        let rig = Rig::new(&["a"], "extra = \"delete\"\nlive = true");
        rig.fill(0..100);
        rig.proves(100).await;
        rig.table("src").apply(&lead_changes).unwrap();
        rig.table("src").trim();
        // The loss is recorded and the stream read anew; then the process ends, as a run that is stopped does.
        let lead = migrate_core::model::PlaceIndex::SOURCE;
        let dataset = rig.plan.phases[0].datasets[0].name.clone();
        let known = rig.ledger.capture(&dataset, lead).await.unwrap().unwrap();
        let record =
            |step| migrate_ledger::Record::Table(migrate_ledger::TableRecord { dataset: dataset.clone(), step });
        let broke = migrate_ledger::TableStep::CaptureBroke { place: lead, reason: "trimmed".to_owned() };
        let began = migrate_ledger::TableStep::CaptureBegan {
            place: lead,
            stream: known.stream,
            ours: true,
            leads: true,
            at: now(),
        };
        rig.ledger.append(vec![record(broke), record(began)]).await.unwrap();
        let shutdown = Shutdown::new();
        shutdown.drain();
        rig.run_with(false, shutdown).await;
        let left = rig.table("src").snapshot().len() as u64;
        rig.proves(left).await;
        rig.is_equal("a");
    }
}

/// A follower that is down while all items are compared has not been compared: the next run does it.
#[tokio::test]
async fn a_follower_that_was_down_during_a_comparison_is_compared_later() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..100);
    rig.proves(200).await;
    rig.table("src").apply(&put(1, "seen")).unwrap();
    rig.proves(200).await;
    rig.table("src").apply(&put(5, "lost")).unwrap();
    rig.table("src").trim();
    let faults =
        Arc::new(Faults::with_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1)).on([Operation::Scan])]));
    rig.strike("b", &faults);
    assert!(!rig.run().await.datasets[0].reached);
    faults.set_rules(1, Vec::new());
    rig.proves(200).await;
    rig.is_equal("b");
}

/// The same if it falls later: once the buckets that differ are known, and before the keys in them are.
#[tokio::test]
async fn a_follower_that_falls_while_the_keys_are_compared_is_compared_later() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..100);
    rig.proves(200).await;
    rig.table("src").apply(&put(1, "seen")).unwrap();
    rig.proves(200).await;
    rig.table("src").apply(&put(5, "lost")).unwrap();
    rig.table("src").trim();
    // The first scan reads each segment once; the next one fails at each attempt.
    let fails = |scan| FaultRule::new(Fault::Unreachable, When::Only(scan)).on([Operation::Scan]);
    let faults = Arc::new(Faults::with_rules(1, (17..1000).map(fails).collect()));
    rig.strike("b", &faults);
    let outcome = rig.run().await;
    assert!(!outcome.datasets[0].reached && faults.struck()["unreachable"] > 0, "{outcome:?}");
    faults.set_rules(1, Vec::new());
    rig.proves(200).await;
    rig.is_equal("b");
}

fn expiring() -> Structure {
    Structure { ttl: Some("until".to_owned()), ..structure() }
}

fn until(id: u32, seconds: i64) -> ItemWrite {
    let mut expires: Item = item(id, "some");
    expires.insert("until".to_owned(), Value::Number(seconds.to_string().parse().unwrap()));
    ItemWrite::Put(expires)
}

/// What the lead's server deletes because its time is over shows in the stream, and goes from the targets, which do not
/// expire items themselves.
#[tokio::test]
async fn items_that_expire_at_the_lead_go_from_the_targets() {
    let rig = Rig::with(expiring(), &["a"], "live = true");
    rig.fill(0..20);
    let now_s = now().0 / 1000;
    for id in 20..30 {
        rig.table("src").apply(&until(id, now_s - 60)).unwrap();
    }
    for id in 30..40 {
        rig.table("src").apply(&until(id, now_s + 3600)).unwrap();
    }
    // Items whose time is over count neither as equal nor as a difference.
    rig.proves(30).await;
    assert_eq!(rig.table("src").expire_items(now_s), 10);
    rig.proves(30).await;
    rig.is_equal("a");
    assert_eq!(rig.table("a").snapshot().len(), 30);
}

/// The server may delete an item whose time is over at one side before the other: that is no difference.
#[tokio::test]
async fn an_item_whose_time_is_over_is_no_difference() {
    let rig = Rig::with(expiring(), &["a"], "");
    rig.fill(0..20);
    rig.table("src").apply(&until(20, now().0 / 1000 - 60)).unwrap();
    rig.proves(20).await;
    rig.table("a").apply(&delete(20)).unwrap();
    let outcome = rig.run().await;
    assert!(outcome.datasets[0].reached, "{outcome:?}");
}

/// A target that would hold an item twice is refused before it is made, by its probe and then by the ledger. If no number
/// is in the keys, it can do no harm.
#[tokio::test]
async fn a_target_that_takes_two_spellings_of_a_number_for_two_keys_is_refused_before_it_is_written() {
    let spelling = || MemoryTable::new("dynamodb://a/users").spelling_keys();
    let mut rig = Rig::new(&["a"], "");
    rig.fill(0..20);
    rig.replace("a", spelling());
    for _ in 0..2 {
        let refused = rig.refused().await;
        assert!(refused.contains("a/users takes two spellings of one number"), "{refused}");
        assert!(rig.table("a").describe().await.unwrap().is_none(), "nothing is made there");
    }
    let mut rig = Rig::with(Structure::plain(("id", KeyType::Text), None), &["a"], "");
    rig.fill(0..20);
    rig.replace("a", spelling());
    rig.proves(20).await;
}

/// A server that takes `1e3` and `1000` for two keys holds two items where one can be read or written. That is neither
/// equal nor one difference: it is refused, at either side.
#[tokio::test]
async fn two_items_under_one_number_are_refused() {
    for site in ["src", "a"] {
        let rig = Rig::new(&["a"], "");
        rig.fill(0..100);
        rig.proves(100).await;
        rig.table(site).spell_twice(&item(7, "first"));
        let outcome = rig.run().await;
        let stopped = outcome.stopped.map(|error| error.to_string()).unwrap_or_default();
        let told = format!("{site}/users shows two items with the key");
        assert!(stopped.contains(&told) && stopped.contains("user-00007"), "{stopped}");
    }
}

/// Many changes of few keys in one read of the stream: a key is in a batch once, or the server refuses the batch.
#[tokio::test]
async fn a_key_that_changes_often_is_in_a_batch_once() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..5);
    rig.proves(5).await;
    for round in 0..50 {
        (0..5).for_each(|id| rig.table("src").apply(&put(id, &format!("round {round}"))).unwrap());
    }
    rig.proves(5).await;
    rig.is_equal("a");
}

#[test]
fn segments_that_are_copied_at_the_same_time_lie_far_apart() {
    for of in [1, 2, 5, 16, 160, 1601, 4096] {
        let order: Vec<_> = scattered(of, 8).collect();
        let all: BTreeSet<_> = order.iter().copied().collect();
        assert_eq!((order.len(), all), (of as usize, (0..of).collect()), "each once");
        // Where the last part is a shorter one, two are neighbours for a moment.
        for at_once in order.windows(8).filter(|_| of % 8 == 0) {
            let sorted: BTreeSet<_> = at_once.iter().collect();
            let apart = sorted.iter().zip(sorted.iter().skip(1)).map(|(one, next)| *next - *one).min().unwrap();
            assert!(apart + 1 >= of / 8, "{of}: {at_once:?}");
        }
    }
    assert_eq!(scattered(5, 2).collect::<Vec<_>>(), [0, 3, 1, 4, 2]);
    assert_eq!(scattered(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_table_has_many_more_segments_than_workers_so_that_a_long_one_delays_no_other() {
    let of = |gib: u64| segments_for(gib << 30);
    assert_eq!((segments_for(0), of(1), of(10), of(100), of(10_000)), (16, 16, 160, 1600, 4096));
}
