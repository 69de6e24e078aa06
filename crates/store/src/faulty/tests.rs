//! Every kind of fault, and the crash.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    error::{ErrorKind, StoreError},
    memory::MemoryStore,
    object::{ByteRange, ObjectStore as _, Properties, Read, Result},
};
use migrate_core::{
    capability::Condition,
    digest::{Body, Parts},
    model::{Key, KeyRange, Token},
};

/// A store with the object `there` and this rule.
fn struck(rule: FaultRule) -> (MemoryStore, Faulty, Arc<Faults>) {
    let memory = MemoryStore::new("memory");
    memory.put_raw("there", "the body", Properties::default());
    let faults = Arc::new(Faults::with_rules(7, vec![rule]));
    (memory.clone(), Faulty::new(Arc::new(memory), faults.clone()), faults)
}

fn once(fault: Fault) -> (MemoryStore, Faulty, Arc<Faults>) {
    struck(FaultRule::new(fault, When::Only(1)))
}

async fn put(store: &Faulty, key: &str) -> Result<Token> {
    store.put(&key.into(), &Body::new("x".into()), &Properties::default(), &Condition::None).await
}

async fn read(store: &Faulty) -> Result<Read> {
    store.read(&"there".into(), None, None).await
}

async fn read_range(store: &Faulty) -> Result<Read> {
    store.read(&"there".into(), Some(ByteRange { start: 0, end: 3 }), None).await
}

async fn listed(store: &Faulty) -> Vec<Key> {
    let mut listing = store.list(KeyRange::all());
    let mut keys = Vec::new();
    while let Some(page) = listing.next().await.unwrap() {
        assert!(!page.is_empty());
        keys.extend(page.into_iter().map(|entry| entry.key));
    }
    keys
}

#[track_caller]
fn assert_says(error: &StoreError, kind: ErrorKind, unknown: bool, name: &str) {
    assert_eq!((error.kind(), error.outcome_unknown()), (kind, unknown), "{error}");
    let text = error.to_string();
    assert!(text.contains("seed 7") && text.contains(name), "{text}");
}

#[tokio::test]
async fn what_fails_before_the_store_acted_changes_nothing() {
    for (fault, kind, unknown) in [
        (Fault::InternalError, ErrorKind::Unavailable, true),
        (Fault::SlowDown, ErrorKind::Throttled, true),
        (Fault::Unreachable, ErrorKind::Unreachable, false),
        (Fault::TimedOut, ErrorKind::TimedOut, true),
        (Fault::ResetBefore, ErrorKind::Unavailable, true),
    ] {
        let (memory, store, faults) = once(fault);
        assert_says(&put(&store, "k").await.unwrap_err(), kind, unknown, fault.name());
        assert!(memory.bytes("k").is_none(), "{fault:?}");
        put(&store, "k").await.unwrap();
        assert_eq!(faults.struck(), [(fault.name(), 1)].into());
        // A read has no outcome to be unknown.
        let (_, store, _) = once(fault);
        assert_says(&read(&store).await.unwrap_err(), kind, false, fault.name());
        assert_eq!(read(&store).await.unwrap().bytes, "the body");
    }
}

#[tokio::test]
async fn a_reset_after_the_store_acted_loses_the_answer_alone() {
    let (memory, store, _) = once(Fault::ResetAfter);
    assert_says(&put(&store, "k").await.unwrap_err(), ErrorKind::Unavailable, true, "reset after");
    assert_eq!(memory.bytes("k").unwrap(), "x");
    let (memory, store, _) = once(Fault::ResetAfter);
    store.delete(&"there".into(), &Condition::None).await.unwrap_err();
    assert!(memory.bytes("there").is_none());
}

#[tokio::test]
async fn bodies_that_a_careful_backend_refuses_come_as_corrupt() {
    for fault in [Fault::TruncatedBody, Fault::OverlongBody, Fault::FlippedBit] {
        let (_, store, _) = once(fault);
        store.head(&"there".into()).await.unwrap();
        assert_says(&read(&store).await.unwrap_err(), ErrorKind::Corrupt, false, fault.name());
        assert_eq!(read(&store).await.unwrap().bytes, "the body");
        let (_, store, _) = once(fault);
        assert_says(&read_range(&store).await.unwrap_err(), ErrorKind::Corrupt, false, fault.name());
    }
}

#[tokio::test]
async fn a_bit_that_nobody_notices_flips_in_ranges_alone_and_only_where_it_was_asked_for() {
    let (_, store, _) = struck(FaultRule::new(Fault::FlippedBitUnnoticed, When::Every(1)));
    assert_eq!(read(&store).await.unwrap().bytes, "the body");
    let flipped = read_range(&store).await.unwrap().bytes;
    let differing: u32 = flipped.iter().zip(b"the").map(|(found, sent)| (found ^ sent).count_ones()).sum();
    assert_eq!(differing, 1, "{flipped:?}");
    let unasked = Faults::new(7, 6000);
    assert!((0..1000).all(|_| unasked.fate(Operation::ReadRange).is_some()));
    assert!(!unasked.struck().contains_key(Fault::FlippedBitUnnoticed.name()));
}

#[tokio::test]
async fn a_bit_that_flips_on_its_way_to_the_store_is_refused_there() {
    let (memory, store, _) = once(Fault::FlippedBitSent);
    assert_says(&put(&store, "k").await.unwrap_err(), ErrorKind::Corrupt, false, "flipped bit sent");
    assert!(memory.bytes("k").is_none());
    put(&store, "k").await.unwrap();
}

#[tokio::test]
async fn an_error_inside_a_200_leaves_the_upload_as_it_was() {
    let (memory, store, _) = once(Fault::ErrorInside);
    let (key, body) = (Key::from("k"), Body::new("x".into()));
    let upload = store.begin_upload(&key, &Properties::default(), &()).await.unwrap();
    let parts = vec![store.put_part(&upload, 1, 0, &body).await.unwrap()];
    let mut digests = Parts::default();
    digests.push(body.size(), body.sha256(), body.crc64nvme());
    let evidence = digests.finish();
    let none = Properties::default();
    let finish = || store.finish_upload(&upload, &parts, &evidence, &none, &Condition::None);
    assert_says(&finish().await.unwrap_err(), ErrorKind::Unavailable, true, "error inside");
    assert!(memory.bytes("k").is_none() && memory.unfinished_uploads() == 1);
    finish().await.unwrap();
    assert_eq!(memory.bytes("k").unwrap(), "x");
}

#[tokio::test]
async fn a_stale_listing_lacks_what_was_written_last() {
    let (_, store, _) = struck(FaultRule::new(Fault::StaleListing, When::Only(2)));
    put(&store, "first").await.unwrap();
    put(&store, "last").await.unwrap();
    assert_eq!(listed(&store).await, ["first".into(), "last".into(), "there".into()]);
    // The second page asked for was the end of that listing; it hides nothing.
    let (memory, store, _) = struck(FaultRule::new(Fault::StaleListing, When::Every(1)));
    let memory = memory.with_page_size(1);
    put(&store, "a last one").await.unwrap();
    assert_eq!(listed(&store).await, ["there".into()], "and no page is empty");
    memory.remove("there");
    assert!(listed(&store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_byte_takes_its_time_and_is_right() {
    let late = Duration::from_secs(30);
    let (memory, store, _) = struck(FaultRule::new(Fault::SlowFirstByte(late), When::Every(1)));
    let begun = tokio::time::Instant::now();
    assert_eq!(read(&store).await.unwrap().bytes, "the body");
    assert_eq!(begun.elapsed(), late);
    put(&store, "k").await.unwrap();
    assert_eq!(begun.elapsed(), late * 2);
    assert_eq!(memory.bytes("k").unwrap(), "x");
}

#[tokio::test]
async fn expired_credentials_fail_a_run_of_calls_or_until_they_are_renewed() {
    let (memory, store, faults) = once(Fault::ExpiredCredentials(3));
    for _ in 0..3 {
        assert_says(&put(&store, "k").await.unwrap_err(), ErrorKind::Credentials, false, "expired credentials");
    }
    assert!(memory.bytes("k").is_none());
    put(&store, "k").await.unwrap();
    assert_eq!(faults.struck(), [("expired credentials", 3)].into());

    let (_, store, faults) = once(Fault::ExpiredCredentials(u64::MAX));
    for _ in 0..100 {
        assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::Credentials);
    }
    assert!(store.list(KeyRange::all()).next().await.is_err());
    faults.renew();
    read(&store).await.unwrap();
}

#[tokio::test]
async fn rules_name_operations_and_can_be_replaced() {
    let (_, store, faults) = struck(FaultRule::new(Fault::SlowDown, When::Every(2)).on([Operation::Head]));
    for n in 1..=10 {
        assert_eq!(store.head(&"there".into()).await.is_err(), n % 2 == 0, "look {n}");
        read(&store).await.unwrap();
    }
    faults.set_rules(8, Vec::new());
    for _ in 0..10 {
        store.head(&"there".into()).await.unwrap();
    }
    assert_eq!(faults.struck(), [("slow down", 5)].into());
}

#[tokio::test]
async fn the_same_seed_fails_the_same_operations_and_says_so() {
    let run = async |seed| {
        let store = Faulty::new(Arc::new(MemoryStore::new("memory")), Arc::new(Faults::new(seed, 300)));
        let mut outcomes = Vec::new();
        for n in 0..100 {
            outcomes.push(put(&store, &n.to_string()).await.map(|_| ()).map_err(|error| error.to_string()));
        }
        outcomes
    };
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
    let failures: Vec<_> = first.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!((15..50).contains(&failures.len()), "{} of 100 failed", failures.len());
    assert!(failures.iter().all(|text| text.contains("seed 7")));
    assert!(format!("{:?}", Faults::new(7, 300)).contains("seed: 7"));
}

#[tokio::test]
async fn a_crash_before_a_write_keeps_it_out_and_ends_everything() {
    let memory = MemoryStore::new("memory");
    let faults = Arc::new(Faults::none().with_crash(Crash::Before(2)));
    let store = Faulty::new(Arc::new(memory.clone()), faults.clone());
    put(&store, "a").await.unwrap();
    assert!(!faults.crashed());
    assert!(is_crash(&put(&store, "b").await.unwrap_err()));
    assert!(is_crash(&store.head(&"a".into()).await.unwrap_err()));
    assert!(is_crash(&store.list(KeyRange::all()).next().await.unwrap_err()));
    assert!(faults.durable_write(|| panic!("the dead do not write")).is_err());
    assert!(faults.crashed() && memory.bytes("b").is_none());
}

#[tokio::test]
async fn a_crash_after_a_write_lets_it_in_and_loses_the_answer() {
    let memory = MemoryStore::new("memory");
    let faults = Arc::new(Faults::none().with_crash(Crash::After(2)));
    let store = Faulty::new(Arc::new(memory.clone()), faults.clone());
    faults.durable_write(|| ()).unwrap();
    let error = put(&store, "b").await.unwrap_err();
    assert!(is_crash(&error) && error.outcome_unknown());
    assert!(is_crash(&put(&store, "c").await.unwrap_err()));
    assert!(memory.bytes("b").is_some() && memory.bytes("c").is_none());
    assert_eq!(faults.writes(), 2);
}

/// As in a real store with a cut listing: the page is an error, and the same call returns it whole the next time.
#[tokio::test]
async fn a_cut_answer_is_an_error_and_a_listing_goes_on_where_it_was() {
    let memory = MemoryStore::new("memory").with_page_size(2);
    let keys = ["a", "b", "c", "d", "e"];
    for key in keys {
        memory.put_raw(key, "x", Properties::default());
    }
    let faults = Arc::new(Faults::with_rules(7, vec![FaultRule::new(Fault::CutAnswer, When::Every(2))]));
    let store = Faulty::new(Arc::new(memory.clone()), faults.clone());
    let mut listing = store.list(KeyRange::all());
    let (mut seen, mut cut) = (Vec::new(), 0);
    loop {
        match listing.next().await {
            Ok(None) => break,
            Ok(Some(page)) => seen.extend(page.into_iter().map(|entry| entry.key)),
            Err(error) => {
                assert_says(&error, ErrorKind::Unavailable, false, "answer cut");
                cut += 1;
            }
        }
    }
    assert_eq!((seen, cut), (keys.map(Key::from).to_vec(), 3));

    faults.set_rules(7, vec![FaultRule::new(Fault::CutAnswer, When::Every(1))]);
    let begun = store.begin_upload(&"parts".into(), &Properties::default(), &()).await.unwrap_err();
    assert_says(&begun, ErrorKind::Unavailable, true, "answer cut");
    assert_eq!(memory.unfinished_uploads(), 1, "the store acted");
    assert!(store.head(&"a".into()).await.is_ok(), "a look has no document");
    put(&store, "whole").await.unwrap();
}

#[tokio::test]
async fn a_held_write_acts_when_it_is_released() {
    let (memory, store, faults) = struck(FaultRule::new(Fault::Held, When::Every(1)));
    let error = put(&store, "new").await.unwrap_err();
    assert_says(&error, ErrorKind::TimedOut, true, "held");
    assert!(store.delete(&"there".into(), &Condition::None).await.unwrap_err().outcome_unknown());
    assert_eq!(memory.snapshot().keys().map(Key::as_str).collect::<Vec<_>>(), ["there"]);
    assert_eq!(faults.release().await, 2);
    assert_eq!(memory.snapshot().keys().map(Key::as_str).collect::<Vec<_>>(), ["new"]);
    assert_eq!(faults.release().await, 0, "each acts once");
    assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::NotFound, "reads are not held");
}
