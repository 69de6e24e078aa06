//! Passes over memory stores: what a second run does, deletes, extras, splits, stops.

use migrate::{
    engine::EngineError,
    ledger::{Fact, Open, Record},
    lifecycle::{Goal, State, Transition},
    model::{KeyRange, PlaceIndex, ShardId, Timestamp, Token},
    plan::Level,
    shard::{Cursor, Tally},
    store::Properties,
};
use tempfile::tempdir;

use super::{Rig, assert_equal, dynamic, found, memory, one_dataset};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_copies_only_what_changed_and_follows_deletes() {
    let stores = memory(&["src", "a", "b"]);
    let source = &stores["src"];
    for n in 0..500 {
        source.put_raw(&format!("k/{n:04}"), format!("value {n}"), Properties::default());
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a", "b"], "delete_share = \"10%\"");
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    rig.run().await;
    let first = rig.last_pass();
    assert_eq!(first.iter().map(|tally| (tally.copied, tally.same)).collect::<Vec<_>>(), [(500, 0), (500, 0)]);
    let bytes: u64 = source.snapshot().values().map(|object| object.bytes.len() as u64).sum();
    assert_eq!(rig.source_bytes_read(), bytes, "each byte is read once for both targets");

    rig.run().await;
    assert_eq!(rig.last_pass()[0].same, 500);
    assert_eq!(rig.last_pass()[0].copied, 0);

    source.put_raw("k/0007", "another value", Properties::default());
    source.put_raw("k/new", "a new one", Properties::default());
    source.remove("k/0100");
    rig.run().await;
    let third = rig.last_pass();
    assert_eq!((third[0].copied, third[0].deleted, third[0].same), (2, 1, 498));
    assert_equal(source, &stores["a"]);
    assert_equal(source, &stores["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_deletes_than_the_plan_allows_are_refused_until_forced() {
    let stores = memory(&["src", "a"]);
    for n in 0..100 {
        stores["src"].put_raw(&format!("{n:03}"), "x", Properties::default());
    }
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], "delete_share = \"10%\""), dynamic(&stores), directory.path());
    rig.run().await;
    for n in 0..20 {
        stores["src"].remove(&format!("{n:03}"));
    }
    for _ in 0..2 {
        let outcome = rig.try_run(Goal::Verified).await.unwrap();
        assert!(
            matches!(outcome.stopped, Some(EngineError::DeleteShare { doomed: 20, held: 100, .. })),
            "{:?}",
            outcome.stopped
        );
        assert_eq!(stores["a"].snapshot().len(), 100, "nothing was deleted");
        assert!(!outcome.datasets[0].reached);
    }
    // Ten records come back: they are not deleted, whatever was planned before.
    for n in 0..10 {
        stores["src"].put_raw(&format!("{n:03}"), "x again", Properties::default());
    }
    rig.force = true;
    let outcome = rig.try_run(Goal::Copied).await.unwrap();
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    assert_eq!(stores["a"].snapshot().len(), 90);
    rig.run().await;
    assert_equal(&stores["src"], &stores["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_records_are_kept_deleted_or_refused_as_the_plan_says() {
    for (extra, left, reached) in [("keep", 2, true), ("delete", 1, true), ("refuse", 2, false)] {
        let stores = memory(&["src", "a"]);
        stores["src"].put_raw("ours", "1", Properties::default());
        stores["a"].put_raw("theirs", "2", Properties::default());
        let directory = tempdir().unwrap();
        let more = format!("extra = \"{extra}\"\ndelete_share = \"100%\"");
        let rig = Rig::new(&one_dataset(&["a"], &more), dynamic(&stores), directory.path());
        let outcome = rig.try_run(Goal::Verified).await.unwrap();
        assert_eq!(stores["a"].snapshot().len(), left, "{extra}");
        assert_eq!(outcome.datasets[0].reached, reached, "{extra}: {:?}", outcome.datasets[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_of_verification_names_what_it_can_see() {
    let stores = memory(&["src", "a"]);
    for n in 0..50 {
        stores["src"].put_raw(&format!("{n:02}"), format!("value {n:02}"), Properties::default());
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        assert!(verification.verified.is_some(), "{level:?}: {:?}", found(&verification));
        assert_eq!(verification.targets[0].counts.compared, 50);
    }

    stores["a"].corrupt("07", "valuE 07");
    assert_eq!(found(&rig.verify(Level::Listing).await), Vec::<String>::new(), "the listing shows nothing");
    let bytes = rig.verify(Level::Bytes).await;
    assert_eq!(found(&bytes), ["different 07"]);
    assert!(bytes.verified.is_none());
    let (mended, count) = rig.repair(Level::Bytes).await;
    assert_eq!(count, 1, "exactly that one");
    assert!(mended.verified.is_some(), "{:?}", found(&mended));
    assert_equal(&stores["src"], &stores["a"]);

    stores["a"].remove("03");
    stores["a"].put_raw("extra", "nobody sent it", Properties::default());
    stores["a"].put_raw("05", "value 0X", Properties::default());
    let listing = rig.verify(Level::Listing).await;
    assert_eq!(found(&listing), ["missing 03", "different 05", "extra extra"]);
    assert!(listing.verified.is_none());
    let (mended, count) = rig.repair(Level::Listing).await;
    assert_eq!(count, 2);
    assert_eq!(found(&mended), ["extra extra"], "the plan keeps it");
    assert!(mended.verified.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_splits_while_workers_idle_and_nothing_is_lost() {
    let stores = memory(&["src", "a"]);
    for n in 0..30_000_u32 {
        // A flat key space with a long common beginning, the worst for bisecting.
        let key = format!("archive/2024/{:08x}", n.wrapping_mul(2_654_435_761));
        stores["src"].put_raw(&key, n.to_string(), Properties::default());
    }
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], "verify = \"listing\""), dynamic(&stores), directory.path());
    rig.limits.split_rows_min = 500;
    rig.run().await;
    let shards = rig.ledger.shards(&rig.plan.phases[0].datasets[0].name).await.unwrap();
    assert!(shards.len() > 1, "no shard was split");
    assert!(migrate::shard::tile(shards.iter().map(|shard| &shard.range)), "the shards tile the key space");
    assert_equal(&stores["src"], &stores["a"]);
    assert_eq!(rig.last_pass()[0].copied, 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_run_goes_on_where_it_stopped() {
    let stores = memory(&["src", "a"]);
    for n in 0..5000 {
        stores["src"].put_raw(&format!("{n:05}"), n.to_string(), Properties::default());
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a"], "");
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    let stop = async {
        while stores["a"].snapshot().len() < 500 {
            tokio::task::yield_now().await;
        }
        rig.shutdown.ask();
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::Verified), stop);
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted);
    assert!(matches!(outcome.datasets[0].state, State::Copying { pass: 1 }));
    let written = stores["a"].snapshot().len() as u64;
    assert!(written < 5000, "it was stopped half way");
    drop(rig);

    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    rig.run().await;
    let tally = rig.last_pass()[0];
    assert_eq!(tally.records, 5000, "every record is counted once");
    assert_eq!(tally.copied + tally.same, 5000, "what was written past a gap is known as well");
    assert_eq!(tally.repeated, 0, "a drained run leaves nothing unrecorded");
    assert_equal(&stores["src"], &stores["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_stop_at_once_says_where_its_datasets_stand() {
    let stores = memory(&["src", "a"]);
    let directory = tempdir().unwrap();
    for (asks, text) in [(1, "drains"), (2, "drops its work")] {
        let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
        while rig.shutdown.ask() < asks {}
        let outcome = rig.try_run(Goal::Verified).await.unwrap();
        assert!(outcome.interrupted, "{text}");
        let [dataset] = &outcome.datasets[..] else { panic!("{text}: {outcome:?}") };
        assert!(!dataset.reached, "{text}: {dataset:?}");
    }
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    assert!(rig.run().await.datasets[0].reached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_meaning_changed_is_refused_with_the_difference() {
    let stores = memory(&["src", "a", "b"]);
    stores["src"].put_raw("k", "v", Properties::default());
    let directory = tempdir().unwrap();
    Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path()).run().await;
    let changed = Rig::new(&one_dataset(&["b"], ""), dynamic(&stores), directory.path());
    let error = changed.try_run(Goal::Verified).await.unwrap_err();
    assert!(matches!(error, EngineError::MeaningChanged { .. }), "{error:?}");
    assert!(error.to_string().contains("s3://b/data"), "{error}");
    // Limits are no part of the meaning.
    let limited = one_dataset(&["a"], "limits = { requests_per_second = 100000 }");
    Rig::new(&limited, dynamic(&stores), directory.path()).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_adopted_without_being_copied() {
    let stores = memory(&["src", "a"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("{n:02}"), n.to_string(), Properties::default());
        stores["a"].put_raw(&format!("{n:02}"), n.to_string(), Properties::default());
    }
    stores["a"].put_raw("05", "another", Properties::default());
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    let tally = rig.last_pass()[0];
    assert_eq!((tally.same, tally.copied), (19, 1));
    assert_equal(&stores["src"], &stores["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_target_behind_our_back_is_put_right() {
    let stores = memory(&["src", "a"]);
    stores["src"].put_raw("k", "right", Properties::default());
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    let wrong: Token = stores["a"].put_raw("k", "wrong", Properties::default());
    rig.run().await;
    assert_eq!(stores["a"].bytes("k").unwrap(), "right");
    assert_ne!(wrong.tag, stores["a"].put_raw("k", "right", Properties::default()).tag);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_not_followed_breaks_equality() {
    let stores = memory(&["src", "a"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("{n:02}"), n.to_string(), Properties::default());
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    stores["src"].remove("07");
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        assert_eq!(found(&verification), ["extra 07"], "{level:?}");
        assert!(verification.verified.is_none(), "the plan keeps extra records, not deleted ones ({level:?})");
    }
    rig.run().await;
    assert!(rig.verify(Level::Bytes).await.verified.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_known_to_be_damaged_is_copied_again_by_the_next_run() {
    let stores = memory(&["src", "a"]);
    stores["src"].put_raw("k", "right", Properties::default());
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], "verify = \"listing\""), dynamic(&stores), directory.path());
    rig.run().await;
    stores["a"].corrupt("k", "wrong");
    let dataset = &rig.plan.phases[0].datasets[0].name;
    let damaged = Record::at(dataset, PlaceIndex(1), &"k".into(), Fact::Waits(Open::Damaged));
    rig.ledger.append(vec![damaged]).await.unwrap();
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        assert_eq!(found(&verification), ["different k"], "{level:?}");
        assert!(verification.verified.is_none(), "{level:?}: known damage is never equal");
    }
    rig.run().await;
    assert_eq!(stores["a"].bytes("k").unwrap(), "right", "both listings agreed with the pair");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_emptied_by_accident_deletes_nothing_and_can_come_back() {
    let stores = memory(&["src", "a"]);
    let fill = || {
        for n in 0..50 {
            stores["src"].put_raw(&format!("{n:02}"), n.to_string(), Properties::default());
        }
    };
    fill();
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    for n in 0..50 {
        stores["src"].remove(&format!("{n:02}"));
    }
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(matches!(outcome.stopped, Some(EngineError::DeleteShare { doomed: 50, .. })), "{:?}", outcome.stopped);
    assert_eq!(stores["a"].snapshot().len(), 50);
    fill();
    // The refused pass ends without `--force`, and the next one brings what changed.
    assert!(rig.try_run(Goal::Copied).await.unwrap().stopped.is_none());
    rig.run().await;
    assert_equal(&stores["src"], &stores["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_shard_goes_on_with_the_cursors_that_the_ledger_knows() {
    let stores = memory(&["src", "a", "b"]);
    for n in 0..6000 {
        stores["src"].put_raw(&format!("{n:05}"), n.to_string(), Properties::default());
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a", "b"], "verify = \"listing\"");
    let mut rig = Rig::new(&text, dynamic(&stores), directory.path());
    // As after a run that held up one target: the other one's cursor is far ahead.
    let dataset = rig.plan.phases[0].datasets[0].name.clone();
    let begun = Record::DatasetBegun {
        dataset: dataset.clone(),
        meaning: migrate::engine::meaning_of(&rig.plan, &rig.plan.phases[0].datasets[0]).to_string(),
    };
    let pass =
        Record::Happened { dataset: dataset.clone(), event: Transition::PassBegun { pass: 1 }, at: Timestamp(0) };
    let planned = Record::ShardsPlanned { dataset, shards: vec![(ShardId(1), KeyRange::all())] };
    let ahead = Record::CursorMoved {
        shard: ShardId(1),
        place: PlaceIndex(1),
        cursor: Cursor::At("05000".into()),
        done: Tally::default(),
    };
    rig.ledger.append(vec![begun, pass, planned, ahead]).await.unwrap();
    rig.limits.split_rows_min = 100;
    let outcome = rig.try_run(Goal::Copied).await.unwrap();
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    assert_equal(&stores["src"], &stores["b"]);
    // Records are missing that the cursor of the other target calls done; the next pass brings them.
    assert_eq!(stores["a"].snapshot().len(), 999);
    rig.run().await;
    assert_equal(&stores["src"], &stores["a"]);
}
