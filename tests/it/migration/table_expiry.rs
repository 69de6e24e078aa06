//! Items that expire where the lead has moved: no server's own deletion is a late write, or brings back what is over.

use jiff::Timestamp;
use migrate::{
    item::{Item, Value},
    ledger::Options,
    lifecycle::Goal,
    model::PlaceIndex,
    store::table::{ItemWrite, TableStore as _},
};
use tempfile::tempdir;

use super::table_cutover::{Places, cut_over, item, name, plan};

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
