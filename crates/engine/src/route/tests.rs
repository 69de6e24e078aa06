//! Routes as objects and as series of files, moved and read.

use std::sync::Arc;

use super::{
    document::RouteDocument,
    error::RouteError,
    name::RouteName,
    series::SeriesRoute,
    shown::{Shown, Swapped, Version, differs},
    store::RouteStore,
};
use crate::driver::Driver;
use migrate_core::model::{DatasetName, Epoch, Modified, SiteName, Token};
use migrate_store::{
    Capabilities, IfMatch, ObjectStore, Properties,
    faulty::{Crash, Faults, Faulty},
    memory::MemoryStore,
};

fn document(epoch: u64, lead: &str, attempt: &str) -> RouteDocument {
    RouteDocument {
        dataset: DatasetName::new("shop").unwrap(),
        epoch: Epoch(epoch),
        attempt: attempt.into(),
        lead: SiteName::new(lead).unwrap(),
        partitions: Vec::new(),
        followers: vec![SiteName::new("beijing").unwrap()],
        max_age_s: 30,
        since: "2026-01-01T00:00:00Z".into(),
        driver: None,
    }
}

async fn route(store: Arc<dyn ObjectStore>) -> RouteStore {
    store.probe().await.unwrap();
    known(store)
}

fn known(store: Arc<dyn ObjectStore>) -> RouteStore {
    RouteStore::new(
        store,
        "routes/shop.json".into(),
        "s3://c/routes/shop.json".into(),
        DatasetName::new("shop").unwrap(),
    )
}

#[tokio::test]
async fn a_route_moves_from_what_was_read_and_from_nothing_else() {
    let route = route(Arc::new(MemoryStore::new("s3://c/"))).await;
    assert_eq!(route.read().await.unwrap(), None);
    let first = document(1, "singapore", "a");
    assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done);
    assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done, "twice is once");
    let shown = route.read().await.unwrap().unwrap();
    assert_eq!(shown.document, first);

    let lost = route.swap(None, &document(1, "oregon", "b")).await.unwrap();
    assert_eq!(lost, Swapped::Lost(Some(Box::new(shown.clone()))));
    let second = document(2, "oregon", "c");
    assert_eq!(route.swap(Some(&shown), &second).await.unwrap(), Swapped::Done);
    assert!(matches!(route.swap(Some(&shown), &document(2, "tokyo", "d")).await.unwrap(), Swapped::Lost(Some(_))));
    assert_eq!(route.read().await.unwrap().unwrap().document, second);
}

#[test]
fn a_route_of_an_earlier_build_reads_and_one_without_a_driver_shows_none() {
    let released = document(1, "singapore", "a");
    assert!(!released.text().contains("driver"), "{}", released.text());
    assert_eq!(serde_json::from_str::<RouteDocument>(&released.text()).unwrap(), released);
    let driver = Driver { ledger: "l".into(), since: "s".into(), by: None, state: None, instead_of: None };
    let claimed = RouteDocument { driver: Some(driver), ..released };
    assert_eq!(serde_json::from_str::<RouteDocument>(&claimed.text()).unwrap(), claimed);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_holds_no_route() {
    let honest = MemoryStore::new("s3://c/").probe().await.unwrap();
    let blind = Capabilities { put_if_matches: IfMatch::Ignored, ..honest };
    let route = route(Arc::new(MemoryStore::new("s3://c/").with_capabilities(blind))).await;
    let error = route.swap(None, &document(1, "singapore", "a")).await.unwrap_err();
    assert!(matches!(error, RouteError::NoConditions { .. }), "{error}");
    assert_eq!(route.read().await.unwrap(), None, "nothing was written");
}

fn series(store: Arc<dyn ObjectStore>) -> RouteStore {
    let route = "file://c/routes/shop.json";
    let dataset = DatasetName::new("shop").unwrap();
    let name = RouteName { location: route.into(), dataset };
    RouteStore::kept_by(route.into(), Arc::new(SeriesRoute { store, key: "routes/shop.json".into(), name }))
}

/// Two machines with one network mount: each can create a new name, and neither sees the other's lock, so
/// that both could replace the file that they have read.
#[tokio::test]
async fn of_two_machines_that_share_no_lock_one_wins() {
    let store = Arc::new(MemoryStore::new("file://c/"));
    let honest = store.probe().await.unwrap();
    let unlocked = MemoryStore::clone(&store);
    let unlocked = Arc::new(unlocked.with_capabilities(Capabilities { put_if_matches: IfMatch::Ignored, ..honest }));
    let (one, two) = (series(unlocked.clone()), series(unlocked));
    let mut shown = None;
    for epoch in 1..5 {
        let (ours, theirs) = (document(epoch, "singapore", "ours"), document(epoch, "oregon", "theirs"));
        assert_eq!(one.swap(shown.as_ref(), &ours).await.unwrap(), Swapped::Done);
        let Swapped::Lost(Some(now)) = two.swap(shown.as_ref(), &theirs).await.unwrap() else {
            panic!("both won epoch {epoch}");
        };
        assert_eq!(now.document, ours);
        shown = two.read().await.unwrap();
        assert_eq!(shown.as_ref().unwrap().document, ours);
    }
    let names: Vec<_> = store.snapshot().keys().map(|key| key.as_str().to_owned()).collect();
    assert_eq!(names[0], "routes/shop.json.000000000001");
    assert_eq!(names.len(), 4, "what was shown stays");
}

#[tokio::test]
async fn the_highest_number_is_the_route_and_other_names_are_none() {
    let store = Arc::new(MemoryStore::new("file://c/").with_page_size(2));
    store.probe().await.unwrap();
    let route = series(store.clone());
    let put = |name: &str, epoch| store.put_raw(name, document(epoch, "a", "x").text(), Properties::default());
    put("routes/shop.json.000000000009", 9);
    put("routes/shop.json.000000000010", 10);
    for other in ["routes/shop.json.bak", "routes/shop.json.000000000011~", "routes/shop.json.99", "routes/shop2"] {
        put(other, 99);
    }
    assert_eq!(route.read().await.unwrap().unwrap().document.epoch, Epoch(10));
    put("routes/shop.json", 1);
    let error = route.read().await.unwrap_err();
    assert!(error.to_string().contains("shop.json.000000000001"), "{error}");
}

#[test]
fn what_differs_is_named_and_nothing_is_made_up() {
    let token = Token { size: 1, tag: "a".into(), modified: Modified::Unknown };
    let shown = |epoch, lead, attempt| Shown {
        document: document(epoch, lead, attempt),
        version: Version::Token(token.clone()),
    };
    let read = shown(1, "oregon", "a");
    assert_eq!(differs(Some(&read), Some(&read)), None);
    assert_eq!(differs(None, None), None);
    assert_eq!(
        differs(Some(&read), Some(&shown(2, "tokyo", "b"))).unwrap(),
        "its lead was oregon and is tokyo, its epoch was 1 and is 2, its attempt was a and is b"
    );
    assert_eq!(differs(Some(&read), Some(&shown(1, "oregon", "b"))).unwrap(), "its attempt was a and is b");
    assert!(differs(Some(&read), None).unwrap().contains("gone"));
    assert!(differs(None, Some(&read)).unwrap().contains("oregon leads since epoch 1 (attempt a)"));
}

#[tokio::test]
async fn what_is_no_route_is_not_overwritten() {
    let store = Arc::new(MemoryStore::new("s3://c/"));
    let route = route(store.clone()).await;
    store.put_raw("routes/shop.json", "hello", Properties::default());
    let error = route.read().await.unwrap_err();
    assert!(error.to_string().contains("is not a route of dataset shop"), "{error}");
    let other = RouteDocument { dataset: DatasetName::new("other").unwrap(), ..document(1, "x", "a") };
    store.put_raw("routes/shop.json", other.text(), Properties::default());
    assert!(route.read().await.unwrap_err().to_string().contains("that of dataset other"));
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading() {
    for (crash, expected) in [(Crash::After(1), true), (Crash::Before(1), false)] {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("s3://c/"));
        store.probe().await.unwrap();
        let broken: Arc<dyn ObjectStore> =
            Arc::new(Faulty::new(store.clone(), Arc::new(Faults::none().with_crash(crash))));
        // The writer can no longer ask, so the next process reads.
        assert!(known(broken).swap(None, &document(1, "singapore", "a")).await.is_err());
        let shown = known(store).read().await.unwrap();
        assert_eq!(shown.is_some_and(|shown| shown.document.attempt == "a"), expected);
    }
}
