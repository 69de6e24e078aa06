//! Copies of tables that are stopped, refused or cut off, and targets that are down: the same run goes on and ends equal.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    shutdown::Shutdown,
    tables::test_rig::{Rig, delete, put, structure},
    waits::WaitsFor,
};
use migrate_core::item::Value;
use migrate_store::{
    faulty::{Crash, Fault, FaultRule, Faults, Operation, When},
    memory_table::MemoryTable,
    table::TableStore,
};

/// Changes were lost, the comparison was not made, and the next run makes it: that it is due is in the ledger.
#[tokio::test]
async fn a_comparison_that_was_refused_is_due_at_the_next_run() {
    let rig = Rig::new(&["a"], "extra = \"delete\"\nlive = true\ndelete_share = \"10%\"");
    rig.fill(0..100);
    rig.proves(100).await;
    (0..50).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
    rig.table("src").apply(&put(70, "lost")).unwrap();
    rig.table("src").renew_stream();
    for _ in 0..2 {
        let outcome = rig.run().await;
        let stopped = outcome.stopped.map(|error| error.to_string());
        assert!(stopped.as_ref().is_some_and(|stopped| stopped.contains("delete_share")), "{stopped:?}");
        assert_eq!(rig.table("a").snapshot().len(), 100);
    }
    let forced = rig.run_with(true, Shutdown::new()).await;
    assert!(forced.stopped.is_none() && forced.datasets[0].reached, "{forced:?}");
    rig.is_equal("a");
}

#[tokio::test]
async fn a_follower_that_was_down_while_the_others_were_compared_is_compared_once_it_is_back() {
    let mut rig = Rig::new(&["a", "b"], "live = true\nextra = \"delete\"");
    rig.fill(0..100);
    rig.proves(200).await;
    rig.table("src").apply(&put(5, "lost")).unwrap();
    rig.table("src").apply(&delete(6)).unwrap();
    rig.table("src").renew_stream();
    rig.without("b");
    let outcome = rig.run().await;
    assert!(!outcome.datasets[0].reached, "{outcome:?}");
    rig.is_equal("a");
    rig.whole();
    rig.proves(198).await;
    rig.is_equal("b");
}

#[tokio::test]
async fn a_target_that_was_down_when_the_copy_began_may_not_hold_items_of_its_own_either() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..100);
    rig.table("b").create(&structure()).await.unwrap();
    rig.table("b").apply(&put(7, "its own")).unwrap();
    rig.without("b");
    assert!(!rig.run().await.datasets[0].reached);
    rig.is_equal("a");
    rig.whole();
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("dynamodb://b/users holds items of its own"), "{stopped}");
    assert_eq!(rig.table("b").snapshot().len(), 1);
    // It is emptied, as the error says, and joins.
    rig.table("b").apply(&delete(7)).unwrap();
    rig.table("src").apply(&put(8, "changed")).unwrap();
    rig.proves(200).await;
    rig.is_equal("b");
}

#[tokio::test]
async fn a_target_that_was_deleted_is_made_and_filled_anew() {
    for live in ["live = true", ""] {
        let mut rig = Rig::new(&["a", "b"], live);
        rig.fill(0..100);
        rig.proves(200).await;
        rig.tables.insert("a".to_owned(), MemoryTable::new("dynamodb://a/users"));
        rig.whole();
        rig.table("src").apply(&put(7, "changed")).unwrap();
        rig.proves(200).await;
        rig.is_equal("a");
        rig.is_equal("b");
    }
}

/// The process ends before or after each of its writes, at either table of a live and partitioned one, while the lead
/// changes. The next run ends with every item where it belongs, and nothing anywhere else.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_loses_nothing() {
    let belongs = |rig: &Rig| {
        let (a, b) = (rig.table("a").snapshot(), rig.table("b").snapshot());
        assert!(a.values().all(|item| item["value"] == Value::Text("a".to_owned())));
        assert!(b.values().all(|item| item["value"] == Value::Text("b".to_owned())));
        assert_eq!(a.into_iter().chain(b).collect::<BTreeMap<_, _>>(), rig.table("src").snapshot());
    };
    for at in ["a", "b"] {
        let mut n = 1;
        loop {
            let mut crashed = false;
            for crash in [Crash::Before(n), Crash::After(n)] {
                let mut rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "live = true");
                (0..60).for_each(|id| {
                    rig.table("src").apply(&put(id, if id % 2 == 0 { "a" } else { "b" })).unwrap();
                });
                let faults = Arc::new(Faults::none().with_crash(crash));
                rig.failing(at, Arc::clone(&faults));
                rig.run().await;
                let moves = |rig: &Rig| {
                    (0..20).for_each(|id| {
                        rig.table("src").apply(&put(id, if id % 2 == 0 { "b" } else { "a" })).unwrap();
                    });
                    (20..25).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
                };
                moves(&rig);
                rig.run().await;
                crashed |= faults.crashed();
                rig.whole();
                rig.proves(55).await;
                belongs(&rig);
            }
            if !crashed {
                break;
            }
            n += 1;
        }
        assert!(n > 3, "it was hit at {n} writes");
    }
}

/// A place that takes or answers nothing holds nobody up who wants to stop: a target, or the source while changed keys are
/// read.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_to_stop_does_not_wait_for_a_place_that_takes_nothing() {
    for (at, operation) in [("a", Operation::Write), ("src", Operation::Get), ("a", Operation::Get)] {
        let mut rig = Rig::new(&["a"], "live = true");
        rig.fill(0..10);
        if operation == Operation::Get {
            rig.proves(10).await;
            // The change goes to the target, or it differs: both are looked at.
            rig.table(if at == "src" { "src" } else { "a" }).apply(&put(3, "changed")).unwrap();
        }
        let rule = FaultRule::new(Fault::LeftOver, When::Every(1)).on([operation]);
        let faults = Arc::new(Faults::with_rules(1, vec![rule]));
        rig.failing_slowly(at, Arc::clone(&faults));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let striking = Arc::clone(&faults);
        tokio::spawn(async move {
            while striking.struck().values().all(|struck| *struck < 4) {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            stop.drain();
        });
        let outcome = rig.run_with(false, shutdown).await;
        assert!(outcome.interrupted && outcome.stopped.is_none(), "{at} {operation:?}: {outcome:?}");
        assert!(!matches!(outcome.datasets[0].waits_for, Some(WaitsFor::Failure(_))), "{outcome:?}");
        let told = format!("{outcome:?}");
        assert!(!told.contains("for five minutes"), "{at} {operation:?}: {told}");
        rig.whole();
        if at == "src" || operation == Operation::Write {
            rig.proves(10).await;
        }
    }
}

/// A target that takes nothing is down after five minutes, and the others go on.
#[tokio::test(start_paused = true)]
async fn a_target_that_takes_nothing_for_five_minutes_is_down() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..10);
    let rule = FaultRule::new(Fault::LeftOver, When::Every(1)).on([Operation::Write]);
    rig.failing_slowly("a", Arc::new(Faults::with_rules(1, vec![rule])));
    let outcome = rig.run().await;
    assert!(!outcome.datasets[0].reached && !outcome.interrupted, "{outcome:?}");
    assert!(format!("{outcome:?}").contains("for five minutes"), "{outcome:?}");
    rig.is_equal("b");
    rig.whole();
    rig.proves(20).await;
}
