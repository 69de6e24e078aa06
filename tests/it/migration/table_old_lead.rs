//! The old lead of a table: what somebody else writes there is told, and never written over, whatever was lost meanwhile.

use std::path::Path;

use migrate::{
    engine::RunOutcome,
    ledger::{Options, Record, TableRecord, TableStep},
    lifecycle::Goal,
    model::PlaceIndex,
    plan::Level,
};
use tempfile::tempdir;

use super::{
    Rig,
    table_cutover::{Places, cut_over, key, name, plan},
};

fn rig(places: &Places, directory: &Path) -> Rig {
    places.rig(&plan("", ""), directory, Options::default())
}

/// A run after the switch.
async fn follow(places: &Places, directory: &Path) -> (Rig, RunOutcome) {
    let rig = rig(places, directory);
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    (rig, outcome)
}

/// The open late writes.
async fn late(rig: &Rig) -> Vec<migrate::model::Key> {
    rig.ledger.late_open(&name(), None, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_of_what_was_there_before_ours_is_one() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    cut_over(&rig(&places, directory.path()).try_run(Goal::CutOver).await.unwrap());
    places.put("a", "user-00", "second");
    follow(&places, directory.path()).await;
    assert_eq!(places.value("src", "user-00").as_deref(), Some("second"));
    // A client that has not read the route sets it back to what it was.
    places.put("src", "user-00", "first");
    let (again, _) = follow(&places, directory.path()).await;
    assert_eq!(late(&again).await, [key("user-00")]);
    let (_, mended) = again.try_repair(Level::Bytes, &[]).await.unwrap();
    assert_eq!(mended, 0);
    assert_eq!(places.value("src", "user-00").as_deref(), Some("first"), "it is not written over");
}

/// A stream may break while a process ends, so that none comes to compare because of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_when_nobody_looked_is_no_reason_to_believe_that_nothing_was_written() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let rig = rig(&places, directory.path());
    cut_over(&rig.try_run(Goal::CutOver).await.unwrap());
    places.put("src", "user-05", "too late");
    places.tables["src"].trim();
    let step = TableStep::CaptureBroke { place: PlaceIndex::SOURCE, reason: "it was trimmed".to_owned() };
    rig.ledger.append(vec![Record::Table(TableRecord { dataset: name(), step })]).await.unwrap();
    drop(rig);
    let (again, _) = follow(&places, directory.path()).await;
    assert_eq!(late(&again).await, [key("user-05")]);
}

/// Nobody has run for a day: what has changed at either lead is known by a comparison alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_late_is_not_written_over_if_both_streams_lost_changes() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    cut_over(&rig(&places, directory.path()).try_run(Goal::CutOver).await.unwrap());
    places.put("a", "user-07", "second");
    follow(&places, directory.path()).await;
    places.put("src", "user-05", "too late");
    places.put("a", "user-05", "at the new lead");
    places.put("a", "user-07", "third");
    for site in ["src", "a"] {
        places.tables[site].renew_stream();
    }
    let (again, _) = follow(&places, directory.path()).await;
    assert_eq!(places.value("src", "user-05").as_deref(), Some("too late"));
    assert_eq!(late(&again).await, [key("user-05")]);
    assert_eq!(places.value("src", "user-07").as_deref(), Some("third"), "what is known to be ours is written over");
}

/// A key that has changed at both leads, and the stream of the old one lost that.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_late_is_not_written_over_if_the_old_stream_lost_it_and_the_new_lead_changed_it_too() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    cut_over(&rig(&places, directory.path()).try_run(Goal::CutOver).await.unwrap());
    places.put("src", "user-05", "too late");
    places.put("a", "user-05", "at the new lead");
    places.tables["src"].renew_stream();
    let (again, _) = follow(&places, directory.path()).await;
    assert_eq!(places.value("src", "user-05").as_deref(), Some("too late"));
    assert_eq!(late(&again).await, [key("user-05")]);
}
