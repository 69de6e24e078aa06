//! The old lead of a table: what somebody else writes there is told, and never written over, whatever was lost meanwhile.

use std::{path::Path, sync::Arc};

use migrate::{
    engine::{RunOutcome, Shutdown},
    ledger::{CommitFate, Options, Record, TableRecord, TableStep},
    lifecycle::{Goal, State},
    model::PlaceIndex,
    plan::Level,
    report::Sink,
    store::table::TableStore as _,
};
use tempfile::tempdir;

use super::{
    Rig,
    table_cutover::{Places, cut_over, key, name, once, plan},
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

/// A run that ends as soon as its ledger would say that the route was switched, before the watch.
async fn killed_after_switch(places: &Places, text: &str, directory: &Path, fate: CommitFate) {
    let control = Arc::clone(&places.control);
    let moved = move |_| {
        let routes = control.snapshot();
        let leads = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(' ', "").contains("\"lead\":\"a\"");
        let moved = routes.values().any(|route| leads(&route.bytes));
        if moved { fate } else { CommitFate::Go }
    };
    let options = Options { on_commit: Some(Arc::new(moved)), ..Options::default() };
    let killed = places.rig(text, directory, options).try_run(Goal::CutOver).await;
    assert!(killed.is_err() || killed.is_ok_and(|outcome| outcome.stopped.is_some()));
    assert_eq!(places.lead(), "a");
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

/// The old lead does not follow, and its stream loses what was written there after the switch.
#[tokio::test(flavor = "multi_thread")]
async fn the_watch_compares_an_old_lead_that_does_not_follow_if_its_stream_lost_changes() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("follow_back = false", "");
    killed_after_switch(&places, &text, directory.path(), CommitFate::FailAfter).await;
    places.put("src", "user-05", "too late");
    places.tables["src"].renew_stream();
    let again = places.rig(&text, directory.path(), Options::default());
    assert_eq!(cut_over(&again.try_run(Goal::CutOver).await.unwrap()), 1);
    assert_eq!(late(&again).await, [key("user-05")]);
}

/// A run that watches has claimed nothing, so it writes nothing, not even the form in which a table is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_watches_ends_well() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "");
    killed_after_switch(&places, &text, directory.path(), CommitFate::FailAfter).await;
    for _ in 0..2 {
        let again = places.rig(&text, directory.path(), Options::default());
        assert_eq!(cut_over(&again.try_run(Goal::CutOver).await.unwrap()), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_the_new_lead_may_lose_changes_while_the_run_watches() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "").replace("route_max_age = \"0s\"", "route_max_age = \"1s\"");
    let rig = places.rig(&text, directory.path(), Options::default());
    let lost = once(&rig, "watch", || {
        places.put("a", "user-08", "second");
        places.tables["a"].renew_stream();
    });
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), lost);
    let outcome = outcome.unwrap();
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    drop(rig);
    for _ in 0..2 {
        let again = places.rig(&text, directory.path(), Options::default());
        let outcome = again.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.stopped.is_none(), "{outcome:?}");
    }
    assert_eq!(places.values("user-08"), [0; 3].map(|_| Some("second".to_owned())));
}

/// The next run finds out that the switch has happened, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_refuses_no_switch_that_the_next_run_finds_to_have_happened() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "");
    killed_after_switch(&places, &text, directory.path(), CommitFate::FailBefore).await;
    let again = places.rig(&text, directory.path(), Options::default());
    let phase = again.plan.phases[0].name.clone();
    let dry = again.inspection(Sink::none(), Shutdown::new()).dry_run(&phase).await.unwrap();
    assert!(dry[0].ready, "{dry:?}");
    assert_eq!(cut_over(&again.try_run(Goal::CutOver).await.unwrap()), 0);
}

/// The plan is changed between a crash in the switch and the next run.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_had_happened_is_recorded_as_it_was_whatever_the_plan_says_now() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "");
    killed_after_switch(&places, &text, directory.path(), CommitFate::FailBefore).await;
    let changed = text.replace("lead = \"a\"", "lead = \"b\"");
    let again = places.rig(&changed, directory.path(), Options::default());
    let refused = again.try_run(Goal::CutOver).await.unwrap_err().to_string();
    assert!(refused.contains("the plan wants another lead"), "{refused}");
    drop(again);
    places.put("a", "user-08", "second");
    for _ in 0..2 {
        let again = places.rig(&text, directory.path(), Options::default());
        let outcome = again.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.stopped.is_none(), "{outcome:?}");
        assert!(matches!(outcome.datasets[0].state, State::CutOver { .. } | State::Verified { .. }), "{outcome:?}");
    }
    assert_eq!(places.values("user-08"), [0; 3].map(|_| Some("second".to_owned())));
}

/// Whichever of them enabled it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_two_datasets_read_is_disabled_when_both_are_given_up() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let (sites, _) =
        plan("", "").split_once("[[phase]]").map(|(sites, rest)| (sites.to_owned(), rest.to_owned())).unwrap();
    let dataset = |name: &str, site: &str| {
        format!(
            "[[phase.dataset]]\nname = \"{name}\"\nlive = true\nsource = \"dynamodb://src/users\"\n\
             targets = [\"dynamodb://{site}/users\"]\n"
        )
    };
    let text = format!("{sites}[[phase]]\nname = \"only\"\n{}{}", dataset("one", "a"), dataset("two", "b"));
    let rig = places.rig(&text, directory.path(), Options::default());
    rig.run().await;
    let stream = async || places.tables["src"].describe().await.unwrap().unwrap().stream;
    assert!(stream().await.is_some());
    for dataset in ["one", "two"] {
        assert!(stream().await.is_some(), "{dataset} reads it still");
        let given_up = rig.abort(dataset).await;
        assert!(given_up.done, "{given_up:?}");
    }
    assert_eq!(stream().await, None);
}
