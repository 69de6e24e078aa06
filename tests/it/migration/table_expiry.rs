//! Items that expire where the lead has moved: no server's own deletion is a late write, or brings back what is over.

use std::time::Duration;

use jiff::Timestamp;
use migrate::{
    item::{Item, Value},
    ledger::Options,
    lifecycle::Goal,
    model::PlaceIndex,
    store::{
        memory_table::MemoryTable,
        table::{ItemWrite, TableStore as _},
    },
    table::{KeyType, Structure},
};
use tempfile::tempdir;

use super::table_cutover::{Places, cut_over, item, key, name, once, plan};

/// An empty table whose server deletes items by an attribute.
fn expiring(site: &str, attribute: &str) -> MemoryTable {
    let plain = Structure::plain(("id", KeyType::Text), None);
    MemoryTable::with(&format!("dynamodb://{site}/users"), Structure { ttl: Some(attribute.to_owned()), ..plain })
}

/// An item whose time is over then, in seconds since 1970.
fn until(id: &str, value: &str, seconds: i64) -> Item {
    let mut item = item(id, value);
    item.insert("expires".to_owned(), Value::Number(seconds.to_string().parse().unwrap()));
    item
}

fn put(places: &Places, site: &str, item: Item) {
    places.tables[site].apply(&ItemWrite::Put(item)).unwrap();
}

/// A run after the switch: its late writes.
async fn follow(places: &Places, text: &str, directory: &std::path::Path) -> u64 {
    let rig = places.rig(text, directory, Options::default());
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
    rig.ledger.late_counts(&name()).await.unwrap().open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_new_lead_prolongs_and_the_old_one_lets_expire_is_no_late_write() {
    let now = Timestamp::now().as_second();
    let (places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("", ""));
    put(&places, "src", until("session", "first", now + 1000));
    cut_over(&places.rig(&text, directory.path(), Options::default()).try_run(Goal::CutOver).await.unwrap());
    put(&places, "a", until("session", "prolonged", now + 100_000));
    assert_eq!(places.tables["src"].expire_items(now + 2000), 1);
    assert_eq!(follow(&places, &text, directory.path()).await, 0);
    assert_eq!(places.value("src", "session").as_deref(), Some("prolonged"));
    // What a person deletes there is one.
    places.delete("src", "session");
    let rig = places.rig(&text, directory.path(), Options::default());
    let _short = rig.try_run(Goal::CutOver).await.unwrap();
    assert_eq!(rig.ledger.late_counts(&name()).await.unwrap().open, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_at_the_old_lead_alone_is_not_brought_back_there() {
    let now = Timestamp::now().as_second();
    let (places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("waive = [\"ttl\"]", ""));
    put(&places, "src", until("over", "first", now - 100));
    cut_over(&places.rig(&text, directory.path(), Options::default()).try_run(Goal::CutOver).await.unwrap());
    assert_eq!(places.tables["a"].describe().await.unwrap().unwrap().structure.ttl, None, "it is waived");
    assert_eq!(places.tables["src"].expire_items(now), 1);
    for _ in 0..2 {
        assert_eq!(follow(&places, &text, directory.path()).await, 0);
        assert_eq!(places.value("src", "over"), None);
        assert_eq!(places.value("a", "over").as_deref(), Some("first"));
    }
}

/// The stream of the new lead has shown what the copy wrote there: the old lead does not owe that.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_copy_wrote_at_the_new_lead_is_not_owed_by_the_old_one() {
    let (places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("", ""));
    let rig = places.rig(&text, directory.path(), Options::default());
    rig.try_run(Goal::Copied).await.unwrap();
    places.tables["a"].changes().unwrap().enable().await.unwrap();
    for n in 0..20 {
        places.put("src", &format!("user-{n:02}"), "second");
    }
    drop(rig);
    let rig = places.rig(&text, directory.path(), Options::default());
    cut_over(&rig.try_run(Goal::CutOver).await.unwrap());
    let owed = rig.ledger.owed(&name()).await.unwrap();
    assert!(owed.iter().all(|owed| owed.place != PlaceIndex::SOURCE), "{owed:?}");
}

/// What one place would delete is no reason to overlook what is written or lacks at another.
#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_by_which_items_expire_at_one_follower_hides_nothing_at_another() {
    let now = Timestamp::now().as_second();
    let (mut places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("waive = [\"ttl\"]", ""));
    places.tables.insert("b".to_owned(), expiring("b", "made"));
    let made = |id: &str, value: &str| {
        let mut item = item(id, value);
        item.insert("made".to_owned(), Value::Number((now - 1000).to_string().parse().unwrap()));
        item
    };
    put(&places, "src", made("known", "first"));
    cut_over(&places.rig(&text, directory.path(), Options::default()).try_run(Goal::CutOver).await.unwrap());
    put(&places, "a", made("new", "first"));
    assert_eq!(follow(&places, &text, directory.path()).await, 0);
    assert_eq!(places.value("src", "new").as_deref(), Some("first"), "it is brought to the old lead");
    put(&places, "src", made("known", "too late"));
    put(&places, "a", made("known", "second"));
    let rig = places.rig(&text, directory.path(), Options::default());
    let _short = rig.try_run(Goal::CutOver).await.unwrap();
    assert_eq!(rig.ledger.late_open(&name(), None, 100).await.unwrap(), [key("known")]);
    assert_eq!(places.value("src", "known").as_deref(), Some("too late"), "it is not written over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_of_the_new_lead_deletes_by_itself_before_it_leads_stops_no_move() {
    let now = Timestamp::now().as_second();
    let (mut places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("waive = [\"ttl\"]", ""));
    places.tables.insert("a".to_owned(), expiring("a", "expires"));
    put(&places, "src", until("over", "first", now - 100));
    let rig = places.rig(&text, directory.path(), Options::default());
    let expires = once(&rig, "last look", || assert_eq!(places.tables["a"].expire_items(now), 1));
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), expires);
    assert_eq!(cut_over(&outcome.unwrap()), 0);
    assert_eq!(places.lead(), "a");
    drop(rig);
    assert_eq!(follow(&places, &text, directory.path()).await, 0);
    assert_eq!(places.values("over"), [None, None, None]);
}

/// Sessions end all the time, and no operator can make that pause.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_expire_at_the_old_lead_without_a_pause_do_not_keep_the_lead_from_moving() {
    let now = Timestamp::now().as_second();
    let (places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("", ""));
    for n in 0..3000 {
        put(&places, "src", until(&format!("over-{n:04}"), "first", now - 5000 + n));
    }
    let rig = places.rig(&text, directory.path(), Options::default());
    let (old, mut seconds) = (places.tables["src"].clone(), now - 5001);
    let expires = tokio::spawn(async move {
        loop {
            seconds += 1;
            old.set_time(migrate::model::Timestamp(Timestamp::now().as_millisecond()));
            old.expire_items(seconds);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    expires.abort();
    assert_eq!(cut_over(&outcome), 0);
    assert_eq!(places.lead(), "a");
}

/// Until the switch the new lead owes what has expired; that is no late write, and hides none.
#[tokio::test(flavor = "multi_thread")]
async fn what_expired_at_the_old_lead_while_the_lead_moved_is_told_only_if_it_is_written_there_again() {
    let now = Timestamp::now().as_second();
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "").replace("route_max_age = \"0s\"", "route_max_age = \"1s\"");
    for id in ["made anew", "too late"] {
        put(&places, "src", until(id, "first", now - 100));
    }
    let rig = places.rig(&text, directory.path(), Options::default());
    let acts = async {
        once(&rig, "final verify", || assert_eq!(places.tables["src"].expire_items(now), 2)).await;
        once(&rig, "watch", || {
            put(&places, "a", until("made anew", "second", now + 1000));
            put(&places, "src", until("too late", "second", now + 1000));
        })
        .await;
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), acts);
    assert_eq!(cut_over(&outcome.unwrap()), 1);
    assert_eq!(rig.ledger.late_open(&name(), None, 100).await.unwrap(), [key("too late")]);
    drop(rig);
    let rig = places.rig(&text, directory.path(), Options::default());
    let _short = rig.try_run(Goal::CutOver).await.unwrap();
    assert_eq!(places.values("made anew"), [0; 3].map(|_| Some("second".to_owned())));
    assert_eq!(places.value("src", "too late").as_deref(), Some("second"));
}

/// A move that halts leaves to the followers what has expired at the lead meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_expired_at_the_lead_goes_from_the_targets_if_the_move_halts() {
    let now = Timestamp::now().as_second();
    let (places, directory, text) = (Places::filled(), tempdir().unwrap(), plan("", ""));
    put(&places, "src", until("over", "first", now - 100));
    let rig = places.rig(&text, directory.path(), Options::default());
    let acts = async {
        once(&rig, "final verify", || assert_eq!(places.tables["src"].expire_items(now), 1)).await;
        once(&rig, "last look", || places.put("a", "user-09", "somebody else's")).await;
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), acts);
    assert!(outcome.unwrap().stopped.is_some());
    assert_eq!((places.lead().as_str(), places.value("a", "over").as_deref()), ("src", Some("first")));
    drop(rig);
    places.rig(&text, directory.path(), Options::default()).try_run(Goal::Verified).await.unwrap();
    assert_eq!(places.values("over"), [None, None, None]);
}
