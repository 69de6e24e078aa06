//! After a cutover the old lead and the others follow the new one, and what somebody writes at the old lead is kept.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use migrate::{
    cutover::RouteDocument,
    ledger::{Fact, Record, Unclaimed},
    lifecycle::{Goal, State},
    model::{DatasetName, Epoch, Key, PlaceIndex, SiteName, Timestamp},
    plan::Level,
    store::{ObjectStore, Properties, memory::MemoryStore},
};
use tempfile::tempdir;

use super::{Rig, assert_equal, dynamic, memory, one_dataset, parse};

type Memory = BTreeMap<String, Arc<MemoryStore>>;

/// `things` goes from `src` to `a` and `b`, and `a` leads then.
fn plan(more: &str) -> String {
    let text = one_dataset(
        &["a", "b"],
        &format!(
            "lead = \"a\"\n{more}\n[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\n\
             settle = \"0s\"\nroute_max_age = \"0s\"\nroute = \"s3://control/data/things.json\"\n"
        ),
    );
    let control = "[sites.control]\ns3 = { endpoint = \"https://control.example.com\", region = \"r\", path_style = true }\n\
                   credentials = { env = \"UNUSED\" }\n";
    text.replace("[[phase]]", &format!("{control}[[phase]]"))
}

fn filled() -> Memory {
    let stores = memory(&["src", "a", "b", "control"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("{n:02}"), format!("value {n}"), Properties::default());
    }
    stores
}

/// A rig whose lead has moved to `a`.
async fn cut_over(stores: &Memory, more: &str, directory: &Path) -> Rig {
    let rig = Rig::new(&plan(more), dynamic(stores), directory);
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
    rig
}

/// What applications do at the new lead.
fn write_at_the_new_lead(stores: &Memory) {
    stores["a"].put_raw("00", "written by the application", Properties::default());
    stores["a"].put_raw("new", "a new one", Properties::default());
    stores["a"].remove("01");
}

fn value(store: &MemoryStore, key: &str) -> Option<String> {
    store.snapshot().get(&Key::from(key)).map(|object| String::from_utf8_lossy(&object.bytes).into_owned())
}

fn things() -> DatasetName {
    DatasetName::new("things").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_lead_and_the_others_follow_the_new_one() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "delete_share = \"50%\"", directory.path()).await;
    for _ in 0..2 {
        write_at_the_new_lead(&stores);
        let outcome = rig.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
        let State::CutOver { late: 0, following: Some(following), .. } = &outcome.datasets[0].state else {
            panic!("{outcome:?}")
        };
        assert_eq!(following.name(), "verified");
        assert_equal(&stores["a"], &stores["src"]);
        assert_equal(&stores["a"], &stores["b"]);
        for level in [Level::Listing, Level::Bytes] {
            let verification = rig.verify(level).await;
            assert!(verification.verified.is_some(), "{level:?}: {:?}", verification.targets);
        }
        stores["a"].put_raw("01", "again", Properties::default());
        rig.try_run(Goal::CutOver).await.unwrap();
        assert_equal(&stores["a"], &stores["src"]);
    }
    let tallies = rig.last_pass();
    assert_eq!((tallies.len(), tallies[0].copied, tallies[1].copied), (2, 1, 1), "the old lead and the other target");
    let shown = stores["control"].snapshot();
    let route: RouteDocument = serde_json::from_slice(&shown[&Key::from("things.json")].bytes).unwrap();
    assert_eq!((route.epoch, route.lead.as_str()), (Epoch(1), "a"), "the lead stays");
    assert!(route.driver.is_some(), "what writes at the followers has claimed them");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_lead_stays_as_it_was_if_the_plan_says_so() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let before = stores["src"].snapshot();
    let rig = cut_over(&stores, "follow_back = false", directory.path()).await;
    write_at_the_new_lead(&stores);
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
    assert_equal(&stores["a"], &stores["b"]);
    assert_eq!(before, stores["src"].snapshot());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_at_the_old_lead_stays_until_it_is_settled() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "delete_share = \"100%\"\nextra = \"delete\"", directory.path()).await;
    // Without a word from the new lead, against one, beside a deletion there, and a key that nobody else has.
    for key in ["02", "03", "04", "late"] {
        stores["src"].put_raw(key, format!("late {key}"), Properties::default());
    }
    stores["a"].put_raw("03", "new 03", Properties::default());
    stores["a"].remove("04");
    stores["src"].remove("06");
    // The same at both leads needs nobody's word.
    for site in ["src", "a"] {
        stores[site].put_raw("05", "the same", Properties::default());
    }
    write_at_the_new_lead(&stores);
    let late = async || rig.ledger.late_open(&things(), None, 9).await.unwrap();
    for round in 0..2 {
        let outcome = rig.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.stopped.is_none() && !outcome.datasets[0].reached, "{round}: {outcome:?}");
        for key in ["02", "03", "04", "late"] {
            assert_eq!(value(&stores["src"], key), Some(format!("late {key}")), "{round}");
        }
        assert_eq!(value(&stores["src"], "06"), None, "{round}: who deleted it there must say so");
        assert_eq!(value(&stores["src"], "00").as_deref(), Some("written by the application"), "the rest follows");
        assert_equal(&stores["a"], &stores["b"]);
        assert_eq!(late().await, ["02", "03", "04", "06", "late"].map(Key::from), "{round}");
    }
    // A repair writes over it no more than a pass does.
    rig.try_repair(Level::Bytes, &[]).await.unwrap();
    assert_eq!(value(&stores["src"], "02").as_deref(), Some("late 02"));

    // Somebody settles three; one is written once more before the next run.
    let keys = Some(vec![Key::from("02"), Key::from("03"), Key::from("06")]);
    let (by, reason) = (Some("ann".to_owned()), None);
    rig.ledger
        .append(vec![Record::LateSettled { dataset: things(), keys, by, reason, at: Timestamp(1) }])
        .await
        .unwrap();
    stores["src"].put_raw("03", "later still", Properties::default());
    rig.try_run(Goal::CutOver).await.unwrap();
    assert_eq!(value(&stores["src"], "02").as_deref(), Some("value 2"), "what was settled follows");
    assert_eq!(value(&stores["src"], "06").as_deref(), Some("value 6"));
    assert_eq!(value(&stores["src"], "03").as_deref(), Some("later still"), "this one nobody has settled");
    assert_eq!(late().await, ["03", "04", "late"].map(Key::from));

    // Carried over by hand, and removed by hand.
    stores["a"].put_raw("03", "later still", Properties::default());
    stores["src"].remove("04");
    stores["src"].remove("late");
    let keys = Some(vec![Key::from("04"), Key::from("late")]);
    let settled =
        Record::LateSettled { dataset: things(), keys, by: Some("ann".to_owned()), reason: None, at: Timestamp(2) };
    rig.ledger.append(vec![settled]).await.unwrap();
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets[0].reached, "{outcome:?}");
    assert_equal(&stores["a"], &stores["src"]);
    assert_eq!(late().await, []);
}

/// A route that is gone, or that shows another lead, says that nobody knows who leads: nothing is written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_lead_that_the_route_does_not_show() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "", directory.path()).await;
    write_at_the_new_lead(&stores);
    let (before, shown) = (stores["src"].snapshot(), stores["control"].snapshot());
    let text = shown[&Key::from("things.json")].bytes.clone();
    stores["control"].remove("things.json");
    let refused = rig.try_run(Goal::CutOver).await.unwrap_err().to_string();
    assert!(refused.contains("the route is gone"), "{refused}");
    for (lead, epoch) in [("b", 2), ("src", 0), ("a", 3)] {
        let mut route: RouteDocument = serde_json::from_slice(&text).unwrap();
        (route.lead, route.epoch) = (SiteName::new(lead).unwrap(), Epoch(epoch));
        stores["control"].put_raw("things.json", serde_json::to_string(&route).unwrap(), Properties::default());
        let refused = rig.try_run(Goal::CutOver).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("{lead} leads dataset things since epoch {epoch}")), "{refused}");
        let refused = rig.try_repair(Level::Bytes, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("its route says so"), "{refused}");
    }
    assert_eq!(before, stores["src"].snapshot());
}

async fn tag(store: &MemoryStore, key: &str, tag: &str) {
    let key = Key::from(key);
    let pin = store.head(&key).await.unwrap().unwrap().token;
    store.set_tags(&key, &BTreeMap::from([("by".to_owned(), tag.to_owned())]), &pin).await.unwrap();
}

/// Tags change without a new token: no listing shows it, and nobody else has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_writes_over_no_tags_that_somebody_set_at_the_old_lead() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "", directory.path()).await;
    rig.try_run(Goal::CutOver).await.unwrap();
    tag(&stores["src"], "02", "late").await;
    rig.try_run(Goal::CutOver).await.unwrap();
    rig.try_repair(Level::Checksum, &[]).await.unwrap();
    let tags = stores["src"].snapshot()[&Key::from("02")].properties.tags.clone();
    assert_eq!(tags.get("by").map(String::as_str), Some("late"), "another writer's tags are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_does_not_copy_rot_of_the_new_lead_over_the_last_good_copy() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "", directory.path()).await;
    rig.try_run(Goal::CutOver).await.unwrap();
    stores["a"].corrupt("05", "rotte 5");
    let repaired = rig.try_repair(Level::Bytes, &[]).await.unwrap();
    assert!(repaired.0[0].verified.is_none(), "{repaired:?}");
    assert_eq!(value(&stores["src"], "05").as_deref(), Some("value 5"));
    assert_eq!(value(&stores["b"], "05").as_deref(), Some("value 5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_at_the_old_lead_is_kept_until_it_is_settled() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "", directory.path()).await;
    stores["src"].remove("02");
    rig.try_run(Goal::CutOver).await.unwrap();
    let late = rig.ledger.late_open(&things(), None, 9).await.unwrap();
    assert_eq!((late, value(&stores["src"], "02")), (vec![Key::from("02")], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_without_the_old_lead() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let mut rig = cut_over(&stores, "", directory.path()).await;
    for n in 0..9 {
        stores["a"].remove(&format!("{n:02}"));
    }
    let stopped = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(stopped.stopped.is_some(), "more would be deleted than delete_share allows");
    rig.plan = parse(&plan("follow_back = false\ndelete_share = \"100%\""));
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_its_cutover_still_asks_the_route() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let mut rig = cut_over(&stores, "delete_share = \"50%\"", directory.path()).await;
    let shown = stores["control"].snapshot();
    let mut route: RouteDocument = serde_json::from_slice(&shown[&Key::from("things.json")].bytes).unwrap();
    (route.lead, route.epoch) = (SiteName::new("src").unwrap(), Epoch(2));
    stores["control"].put_raw("things.json", serde_json::to_string(&route).unwrap(), Properties::default());
    stores["a"].put_raw("00", "stale", Properties::default());
    stores["a"].remove("01");
    let text = plan("delete_share = \"50%\"");
    rig.plan = parse(text.split("[phase.dataset.cutover]").next().unwrap());
    let _ = rig.try_run(Goal::CutOver).await;
    let kept = (value(&stores["src"], "00"), value(&stores["src"], "01"));
    assert_eq!(kept, (Some("value 0".to_owned()), Some("value 1".to_owned())), "src leads, by the route");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclaimed_upload_at_the_old_lead_stops_no_run() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = cut_over(&stores, "", directory.path()).await;
    let asked = Unclaimed { at: Timestamp(1), before: None, ids: Vec::new() };
    let row = Record::at(&things(), PlaceIndex::SOURCE, &Key::from("00"), Fact::UploadUnclaimed(asked));
    rig.ledger.append(vec![row]).await.unwrap();
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none() && outcome.datasets[0].reached, "{outcome:?}");
}
