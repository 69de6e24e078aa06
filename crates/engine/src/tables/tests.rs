//! Whole migrations of tables in memory: plan text in, equal tables out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::tables::test_rig::{Rig, delete, item, put, quick, structure};
use crate::{
    asked::{AbortOptions, InFlightMax, RunOptions, VerifyOptions},
    clock::{Clock, now},
    migration::{Inspection, Migration},
    shutdown::Shutdown,
    sink::Sink,
    sites::{connect::Given, opening::Sites},
    verify::found::Found,
    waits::WaitsFor,
};
use migrate_core::{
    item::{Item, Value},
    lifecycle::State,
    report::EventKind,
    table::{KeyType, Structure},
};
use migrate_store::{
    faulty::{Crash, Faults, FaultyTable},
    memory_table::MemoryTable,
    table::{ItemWrite, TableState, TableStore},
};

#[tokio::test]
async fn a_table_is_made_copied_and_proved_at_all_targets() {
    let rig = Rig::new(&["a", "b"], "");
    rig.fill(0..500);
    rig.proves(1000).await;
    rig.is_equal("a");
    rig.is_equal("b");
    // Nothing has changed, so a second run has nothing to bring.
    rig.proves(1000).await;
}

#[tokio::test]
async fn without_a_stream_the_next_run_compares_and_mends() {
    let rig = Rig::new(&["a"], "extra = \"delete\"");
    rig.fill(0..300);
    rig.proves(300).await;
    for write in [put(7, "changed"), delete(8), put(1000, "new")] {
        rig.table("src").apply(&write).unwrap();
    }
    rig.table("a").apply(&put(2000, "stray")).unwrap();
    rig.proves(300).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_live_table_is_followed_by_its_stream() {
    let rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..300);
    rig.proves(600).await;
    for write in [put(7, "changed"), delete(8), put(1000, "new")] {
        rig.table("src").apply(&write).unwrap();
    }
    rig.proves(600).await;
    rig.is_equal("a");
    rig.is_equal("b");
    assert_eq!(rig.owed().await, 0);
    let compared = rig.events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Warning { .. }));
    assert!(!compared || rig.table("src").changes().is_some());
}

/// Writers put, delete and put again while the table is copied, and for a while longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_during_the_copy_arrive() {
    let rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..2000);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4u32)
        .map(|writer| {
            let (table, stop) = (rig.table("src").clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut turn = 0;
                while !stop.load(Relaxed) {
                    for id in (writer * 500..).step_by(37).take(13) {
                        let write = if (id + turn) % 3 == 0 { delete(id) } else { put(id, &format!("turn {turn}")) };
                        table.set_time(now());
                        table.apply(&write).unwrap();
                    }
                    turn += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    let first = rig.run().await;
    assert!(first.stopped.is_none(), "{:?}", first.stopped);
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let left = rig.table("src").snapshot().len() as u64;
    rig.proves(2 * left).await;
    rig.is_equal("a");
    rig.is_equal("b");
}

#[tokio::test]
async fn shards_that_split_and_iterators_that_expire_lose_nothing() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..100);
    rig.proves(100).await;
    let source = rig.table("src");
    source.read_at_most(3);
    for round in 0..4 {
        for id in 0..20 {
            source.apply(&put(id * 5, &format!("round {round}"))).unwrap();
        }
        source.split_shards();
        source.expire_iterators();
    }
    source.read_nothing(5);
    rig.proves(100).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_stream_that_lost_changes_is_told_and_all_items_are_compared() {
    for lose in [MemoryTable::trim as fn(&MemoryTable), MemoryTable::renew_stream, |table| {
        table.split_shards();
        table.expire_shards();
    }] {
        let rig = Rig::new(&["a"], "live = true\nextra = \"delete\"");
        rig.fill(0..100);
        rig.proves(100).await;
        rig.table("src").apply(&put(1, "seen")).unwrap();
        rig.proves(100).await;
        let source = rig.table("src");
        source.apply(&put(5, "lost")).unwrap();
        source.apply(&delete(6)).unwrap();
        lose(source);
        rig.proves(99).await;
        rig.is_equal("a");
        let events = rig.events.lock().unwrap();
        let told = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("lost"));
        assert!(events.iter().any(told), "{events:?}");
    }
}

/// After its proof, a table is followed until the run is stopped.
#[tokio::test]
async fn a_run_that_follows_brings_changes_over_until_it_is_stopped() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..50);
    let (sink, mut told) = Sink::new(Clock::start());
    let shutdown = Shutdown::new();
    let migration = Migration {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Arc::clone(&rig.ledger),
        sink,
        shutdown: shutdown.clone(),
    };
    let options = RunOptions { follow: true, ..Rig::options(false) };
    let run = migration.run(&options);
    let meanwhile = async {
        while !matches!(told.recv().await.unwrap().kind, EventKind::Follows { .. }) {}
        for write in [put(3, "changed"), delete(4), put(500, "new")] {
            rig.table("src").apply(&write).unwrap();
        }
        while rig.table("a").snapshot() != rig.table("src").snapshot() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        shutdown.drain();
    };
    let (outcome, ()) = futures::join!(run, meanwhile);
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted && outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
}

/// While one process reads the stream: reads without records, iterators that expire, and shards that end and have children.
#[tokio::test]
async fn a_stream_that_is_read_for_long_loses_nothing() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..50);
    let (sink, mut told) = Sink::new(Clock::start());
    let shutdown = Shutdown::new();
    let migration = Migration {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Arc::clone(&rig.ledger),
        sink,
        shutdown: shutdown.clone(),
    };
    let options = RunOptions { follow: true, ..Rig::options(false) };
    let meanwhile = async {
        while !matches!(told.recv().await.unwrap().kind, EventKind::Follows { .. }) {}
        let source = rig.table("src");
        for round in 0..3 {
            source.read_nothing(5);
            source.apply(&put(round, "changed")).unwrap();
            source.expire_iterators();
            source.apply(&put(round + 100, "new")).unwrap();
            source.split_shards();
            source.apply(&put(round + 10, "after the split")).unwrap();
            while rig.table("a").snapshot() != source.snapshot() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        shutdown.drain();
    };
    let ended = futures::future::join(migration.run(&options), meanwhile);
    let (outcome, ()) = tokio::time::timeout(std::time::Duration::from_mins(1), ended).await.expect("changes are lost");
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted && outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
}

/// What is lost while one process reads the stream, it finds out itself: all items are compared.
#[tokio::test]
async fn a_stream_that_loses_changes_while_it_is_read_has_not_ended() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..50);
    let (sink, mut told) = Sink::new(Clock::start());
    let shutdown = Shutdown::new();
    let migration = Migration {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Arc::clone(&rig.ledger),
        sink,
        shutdown: shutdown.clone(),
    };
    let options = RunOptions { follow: true, ..Rig::options(false) };
    let meanwhile = async {
        while !matches!(told.recv().await.unwrap().kind, EventKind::Follows { .. }) {}
        let source = rig.table("src");
        source.apply(&put(5, "lost")).unwrap();
        source.trim();
        while rig.table("a").snapshot() != source.snapshot() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        shutdown.drain();
    };
    let ended = futures::future::join(migration.run(&options), meanwhile);
    let (outcome, ()) = tokio::time::timeout(std::time::Duration::from_mins(1), ended).await.expect("a change is lost");
    assert!(outcome.unwrap().stopped.is_none());
}

/// The table names a stream of which nothing is known: nothing that it does not show may pass for nothing that changed.
#[tokio::test]
async fn a_stream_that_is_named_and_not_there_is_not_caught_up_with() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..50);
    rig.proves(50).await;
    rig.table("src").apply(&put(5, "lost")).unwrap();
    rig.table("src").forget_stream();
    let outcome = rig.run().await;
    let stopped = outcome.stopped.map(|error| error.to_string()).unwrap_or_default();
    assert!(!outcome.datasets[0].reached && stopped.contains("lost changes again and again"), "{stopped}");
}

/// What was copied before the stream was read may have changed before it was read, too.
#[tokio::test]
async fn a_copy_that_was_begun_without_a_stream_is_compared_once_it_has_one() {
    let mut rig = Rig::new(&["a"], "");
    rig.fill(0..100);
    let faults = Arc::new(Faults::none().with_crash(Crash::Before(5)));
    let (source, target) = (rig.table("src").clone(), FaultyTable::new(Arc::new(rig.table("a").clone()), faults));
    let target: Arc<dyn TableStore> = Arc::new(target);
    let given = Given::tables(move |at, _| {
        Some(if at.site.as_str() == "src" {
            Arc::new(source.clone()) as Arc<dyn TableStore>
        } else {
            Arc::clone(&target)
        })
    });
    let whole = std::mem::replace(&mut rig.sites, Sites::new(Arc::new(given), quick()));
    let outcome = rig.run().await;
    assert!(!outcome.datasets.iter().any(|dataset| dataset.reached), "{outcome:?}");
    assert!(!rig.table("a").snapshot().is_empty());
    rig.sites = whole;
    (0..100).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
    rig.plan = Rig::new(&["a"], "live = true").plan;
    rig.proves(100).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_source_without_streams_is_followed_by_comparing_and_says_so() {
    let mut rig = Rig::new(&["a"], "live = true");
    rig.replace("src", MemoryTable::with("dynamodb://src/users", structure()).without_streams());
    rig.fill(0..50);
    rig.proves(50).await;
    rig.table("src").apply(&put(3, "changed")).unwrap();
    rig.proves(50).await;
    rig.is_equal("a");
    let events = rig.events.lock().unwrap();
    let told = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("no stream"));
    assert!(events.iter().any(told));
}

/// What an inspection that writes nothing finds at each target: missing, different, extra.
pub(crate) async fn inspected(rig: &Rig) -> Vec<(u64, u64, u64)> {
    let inspection = Inspection {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Some(Arc::clone(&rig.ledger)),
        sink: Sink::none(),
        shutdown: Shutdown::new(),
    };
    let verifications = inspection.verify(&verify_options()).await.unwrap();
    let counts = |found: &Found| (found.counts.missing, found.counts.different, found.counts.extra);
    verifications[0].targets.iter().map(counts).collect()
}

pub(crate) fn verify_options() -> VerifyOptions {
    VerifyOptions { datasets: Vec::new(), level: None, limits: InFlightMax::default(), progress: None, anew: false }
}

#[tokio::test]
async fn a_verification_names_what_differs_and_a_repair_mends_just_that() {
    for live in ["extra = \"delete\"\nlive = true", "extra = \"delete\""] {
        let rig = Rig::new(&["a", "b"], live);
        rig.fill(0..300);
        rig.proves(600).await;
        assert_eq!(inspected(&rig).await, [(0, 0, 0), (0, 0, 0)]);
        rig.table("a").apply(&put(1, "changed")).unwrap();
        rig.table("a").apply(&delete(2)).unwrap();
        rig.table("b").apply(&put(1000, "extra")).unwrap();
        assert_eq!(inspected(&rig).await, [(1, 1, 0), (0, 0, 1)]);
        let migration = Migration {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Arc::clone(&rig.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        let (verifications, mended) = migration.repair(&verify_options()).await.unwrap();
        assert_eq!((mended, verifications[0].verified.is_some()), (3, true));
        rig.is_equal("a");
        rig.is_equal("b");
    }
}

#[tokio::test]
async fn an_item_that_only_the_plan_may_delete_is_told_as_what_no_repair_mends() {
    for (extra, strays) in [("", 1), ("extra = \"delete\"", 0)] {
        let rig = Rig::new(&["a"], extra);
        rig.fill(0..10);
        rig.proves(10).await;
        rig.table("a").apply(&put(1000, "extra")).unwrap();
        let inspection = Inspection {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Some(Arc::clone(&rig.ledger)),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        let found = inspection.verify(&verify_options()).await.unwrap();
        let counts = &found[0].targets[0].counts;
        assert_eq!((counts.extra, counts.strays), (1, strays), "{extra}");
    }
}

/// A repair of a table that was never copied would otherwise write over what somebody else keeps there.
#[tokio::test]
async fn a_repair_refuses_a_target_that_was_never_filled_and_holds_items_of_its_own() {
    let rig = Rig::new(&["a"], "extra = \"delete\"");
    rig.fill(0..10);
    rig.table("a").create(&structure()).await.unwrap();
    rig.table("a").apply(&put(3, "its own")).unwrap();
    let before = rig.table("a").snapshot();
    let migration = Migration {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Arc::clone(&rig.ledger),
        sink: Sink::none(),
        shutdown: Shutdown::new(),
    };
    let refused = migration.repair(&verify_options()).await.unwrap_err().to_string();
    assert!(refused.contains("holds items of its own"), "{refused}");
    assert_eq!(rig.table("a").snapshot(), before);
}

#[tokio::test]
async fn numbers_of_one_value_are_equal_however_they_are_written() {
    let rig = Rig::new(&["a"], "");
    let with = |number: &str| {
        let mut item = item(1, "x");
        item.insert("price".to_owned(), Value::Number(number.parse().unwrap()));
        ItemWrite::Put(item)
    };
    rig.table("src").apply(&with("1.5")).unwrap();
    rig.proves(1).await;
    rig.table("a").apply(&with("1.50")).unwrap();
    assert_eq!(inspected(&rig).await, [(0, 0, 0)]);
    rig.table("a").apply(&with("1.51")).unwrap();
    assert_eq!(inspected(&rig).await, [(0, 1, 0)]);
}

#[tokio::test]
async fn a_table_that_is_given_up_loses_the_stream_that_was_enabled_for_it_and_no_item() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..10);
    rig.proves(10).await;
    assert!(rig.table("src").describe().await.unwrap().unwrap().stream.is_some());
    let abort = async |discard| {
        let migration = Migration {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Arc::clone(&rig.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        migration
            .abort(&AbortOptions { datasets: Vec::new(), discard }, InFlightMax::default())
            .await
            .unwrap()
            .remove(0)
    };
    let refused = abort(true).await;
    assert!(!refused.done && refused.refused.unwrap().contains("--discard"));
    assert!(abort(false).await.done);
    assert_eq!(rig.table("src").describe().await.unwrap().unwrap().stream, None);
    assert_eq!(rig.table("a").snapshot().len(), 10);
    rig.table("src").apply(&put(3, "changed")).unwrap();
    rig.proves(10).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_target_with_items_of_its_own_is_refused_and_left_as_it_was() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    rig.table("a").create(&structure()).await.unwrap();
    rig.table("a").apply(&put(77, "its own")).unwrap();
    let outcome = rig.run().await;
    let stopped = outcome.stopped.unwrap().to_string();
    assert!(stopped.contains("holds items of its own"), "{stopped}");
    assert_eq!(rig.table("a").snapshot().len(), 1);
}

#[tokio::test]
async fn another_key_schema_is_refused_before_anything_is_written() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    rig.table("a").create(&Structure::plain(("id", KeyType::Number), None)).await.unwrap();
    let stopped = rig.refused().await;
    assert!(stopped.contains("dynamodb://a/users differs from dynamodb://src/users"), "{stopped}");
}

#[tokio::test]
async fn a_table_that_is_being_made_or_deleted_is_waited_for_by_its_operator() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    rig.table("a").create(&structure()).await.unwrap();
    for (site, state, word) in [
        ("src", TableState::Creating, "being created"),
        ("src", TableState::Deleting, "being deleted"),
        ("src", TableState::Inaccessible, "inaccessible"),
        ("a", TableState::Creating, "being created"),
        ("a", TableState::Deleting, "being deleted"),
    ] {
        rig.table(site).set_state(state);
        let refused = rig.refused().await;
        assert!(refused.contains(&format!("dynamodb://{site}/users is {word}: wait, or mend it")), "{refused}");
        rig.table(site).set_state(TableState::Active);
    }
    rig.proves(10).await;
}

#[tokio::test]
async fn a_comparison_deletes_no_more_than_the_plan_allows() {
    let rig = Rig::new(&["a"], "extra = \"delete\"\ndelete_share = \"10%\"");
    rig.fill(0..100);
    rig.proves(100).await;
    (0..50).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("delete_share"), "{stopped}");
    assert_eq!(rig.table("a").snapshot().len(), 100);
    let forced = rig.run_with(true, Shutdown::new()).await;
    assert!(forced.stopped.is_none() && forced.datasets[0].reached, "{forced:?}");
    rig.is_equal("a");
}

#[tokio::test]
async fn a_batch_that_is_taken_in_part_arrives_whole() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..200);
    rig.table("a").answer_at_most(Some(20));
    rig.table("src").answer_at_most(Some(60));
    rig.proves(200).await;
    (0..200).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
    rig.proves(200).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_run_that_is_stopped_goes_on_where_it_was() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..500);
    let shutdown = Shutdown::new();
    shutdown.drain();
    let outcome = rig.run_with(false, shutdown).await;
    assert!(outcome.interrupted && !outcome.datasets[0].reached, "{outcome:?}");
    assert!(!matches!(outcome.datasets[0].waits_for, Some(WaitsFor::Failure(_))), "{outcome:?}");
    rig.proves(500).await;
    rig.is_equal("a");
}

/// Two targets share the items by the first character of their value, and items move between them.
#[tokio::test]
async fn items_go_where_they_belong_and_move_with_what_they_hold() {
    for live in ["live = true", "extra = \"delete\"\ndelete_share = \"100%\""] {
        let rig = Rig::new(&["a item.value.startsWith(\"a\")", "b otherwise"], live);
        for id in 0..200 {
            rig.table("src").apply(&put(id, if id % 4 == 0 { "a" } else { "b" })).unwrap();
        }
        rig.proves(200).await;
        assert_eq!((rig.table("a").snapshot().len(), rig.table("b").snapshot().len()), (50, 150));
        (0..40).for_each(|id| rig.table("src").apply(&put(id, if id % 4 == 0 { "b" } else { "a" })).unwrap());
        rig.table("src").apply(&delete(100)).unwrap();
        rig.proves(199).await;
        let (a, b) = (rig.table("a").snapshot(), rig.table("b").snapshot());
        assert_eq!((a.len(), b.len()), (50 - 10 + 30 - 1, 150 - 30 + 10));
        let both: BTreeMap<_, _> = a.into_iter().chain(b).collect();
        assert_eq!(both, rig.table("src").snapshot());
    }
}

#[tokio::test]
async fn an_item_at_the_wrong_target_is_a_difference_there() {
    let rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "live = true");
    (0..100).for_each(|id| rig.table("src").apply(&put(id, if id % 2 == 0 { "a" } else { "b" })).unwrap());
    rig.proves(100).await;
    rig.table("b").apply(&put(0, "a")).unwrap();
    let outcome = rig.run().await;
    let dataset = &outcome.datasets[0];
    assert!(!dataset.reached && matches!(dataset.state, State::Different { differences: 1, .. }), "{dataset:?}");
}

#[tokio::test]
async fn an_item_that_no_expression_can_judge_stops_the_dataset_by_its_key() {
    let rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "");
    rig.fill(0..10);
    let without: Item = item(3, "").into_iter().filter(|(name, _)| name != "value").collect();
    rig.table("src").apply(&ItemWrite::Put(without)).unwrap();
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("user-00003") && stopped.contains("where"), "{stopped}");
}
