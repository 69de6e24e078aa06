//! Claims: of two ledgers on one plan, one drives a dataset, and a process that has lost it writes nothing more.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use migrate::{
    cutover::RouteDocument,
    engine::EngineError,
    ledger::{CommitFate, Options},
    lifecycle::{Goal, State},
    model::{DatasetName, Epoch, Key},
    plan::Level,
    report::EventKind,
    store::{
        Properties,
        faulty::{Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, dynamic, memory, one_dataset};

const KEYS: usize = 2_000;

fn plan(route_max_age: &str) -> String {
    let sites = "[sites.control]\ns3 = { endpoint = \"https://control.example.com\", path_style = true }\n\
                 credentials = { env = \"UNUSED\" }\n";
    let cutover = format!(
        "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
         route_max_age = \"{route_max_age}\"\nroute = \"s3://control/data/things.json\"\n"
    );
    one_dataset(&["a"], &cutover).replacen("[[phase]]", &format!("{sites}[[phase]]"), 1)
}

fn key(n: usize) -> String {
    format!("page/{n:04}")
}

fn filled(keys: usize) -> BTreeMap<String, Arc<MemoryStore>> {
    let stores = memory(&["src", "a", "control"]);
    for n in 0..keys {
        stores["src"].put_raw(&key(n), format!("value {n}"), Properties::default());
    }
    stores
}

fn route(stores: &BTreeMap<String, Arc<MemoryStore>>) -> RouteDocument {
    serde_json::from_slice(&stores["control"].snapshot()[&Key::from("things.json")].bytes).unwrap()
}

fn things() -> [DatasetName; 1] {
    [DatasetName::new("things").unwrap()]
}

/// A rig whose ledger stops at this commit until it is released; both ends of the wait.
fn held_rig(
    stores: &BTreeMap<String, Arc<MemoryStore>>,
    directory: &Path,
    hold: u64,
) -> (Rig, Arc<AtomicBool>, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let (released, reached) = (Mutex::new(released), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&reached);
    let on_commit = move |number| {
        if number == hold {
            told.store(true, Ordering::Relaxed);
            let _ = released.lock().unwrap().recv();
        }
        CommitFate::Go
    };
    let options = Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() };
    let mut rig = Rig::with_ledger(&plan("0s"), dynamic(stores), directory, options);
    rig.limits.batch_rows = 1;
    (rig, reached, release)
}

/// The waits for a former driver, in seconds.
fn waits(rig: &Rig) -> Vec<u64> {
    let wait = |event: &EventKind| match event {
        EventKind::Waiting { reason, seconds, .. } if reason.contains("drove it before") => Some(*seconds),
        _ => None,
    };
    rig.events.lock().unwrap().iter().filter_map(wait).collect()
}

/// The first ledger's pass is under way while the second one takes over and moves the lead. What applications write
/// there then is not overwritten by the first pass, which decided before that what to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_under_way_writes_nothing_over_a_lead_that_another_ledger_has_moved() {
    let (stores, first, second) = (filled(KEYS), tempdir().unwrap(), tempdir().unwrap());
    let (ours, reached, release) = held_rig(&stores, first.path(), 10);
    let theirs = Rig::new(&plan("0s"), dynamic(&stores), second.path());
    let takes_over = async {
        while !reached.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let refused = theirs.try_run(Goal::CutOver).await.unwrap_err();
        assert!(matches!(refused, EngineError::Driven { .. }), "{refused}");
        // What the first pass has sent goes on until its reports queue up: with no maximum age nobody waits for it, and a
        // write that comes between the second one's listing and its write would be a failed record there.
        let (mut written, mut still) = (0, 0);
        while still < 40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = stores["a"].snapshot().len();
            still = if now == written { still + 1 } else { 0 };
            written = now;
        }
        assert!(written < KEYS, "the first pass is under way");
        theirs.sites.take_over(things());
        let outcome = theirs.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.datasets[0].reached, "{outcome:?} {:?}", theirs.failures());
        for n in 0..KEYS {
            stores["a"].put_raw(&key(n), "written by the application", Properties::default());
        }
        release.send(()).unwrap();
    };
    let (outcome, ()) = tokio::join!(ours.try_run(Goal::CutOver), takes_over);

    let outcome = outcome.unwrap();
    let stopped = outcome.stopped.as_ref().expect("the first run says why it stopped").to_string();
    assert!(
        stopped.contains("a leads dataset things since epoch 1") || stopped.contains("drives dataset"),
        "{stopped}"
    );
    assert!(matches!(outcome.datasets[0].state, State::Copying { .. }), "{outcome:?}");
    assert_eq!(ours.failures(), [""; 0], "no record failed because of it");
    let held = stores["a"].snapshot();
    let kept = (0..KEYS).filter(|n| held[&Key::from(key(*n).as_str())].bytes == "written by the application");
    assert_eq!(kept.count(), KEYS, "acknowledged writes are lost");
    let again = ours.try_run(Goal::CutOver).await.unwrap_err();
    assert!(again.to_string().contains("a leads dataset things since epoch 1"), "{again}");
}

/// The claim is in the route from the first pass on, stays between runs, and keeps every way of writing to its ledger.
#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_never_drive_one_dataset() {
    let (stores, first, second) = (filled(20), tempdir().unwrap(), tempdir().unwrap());
    let ours = Rig::new(&plan("1s"), dynamic(&stores), first.path());
    ours.try_run(Goal::Copied).await.unwrap();
    let claimed = route(&stores);
    let driver = claimed.driver.clone().expect("it is claimed");
    assert_eq!((claimed.epoch, claimed.lead.as_str()), (Epoch(0), "src"), "no lead has moved");
    assert_eq!(driver.ledger, ours.ledger.id().await.unwrap());
    assert_eq!(driver.state.as_deref(), Some(first.path().to_str().unwrap()));
    ours.run().await;
    assert_eq!(route(&stores), claimed, "a claim that holds is not written again");

    let theirs = Rig::new(&plan("1s"), dynamic(&stores), second.path());
    let before = stores["a"].snapshot().len();
    stores["a"].remove(&key(3));
    let named = format!("{driver} drives dataset things since {}", driver.since);
    for goal in [Goal::Copied, Goal::Verified, Goal::CutOver] {
        let refused = theirs.try_run(goal).await.unwrap_err();
        assert!(refused.is_blocking() && refused.to_string().contains(&named), "{refused}");
    }
    let refused = theirs.try_repair(Level::Bytes, &[]).await.unwrap_err();
    assert!(refused.to_string().contains(&named), "{refused}");
    assert_eq!(stores["a"].snapshot().len(), before - 1, "nothing was written");
    assert_eq!(route(&stores), claimed);

    theirs.sites.take_over(things());
    theirs.run().await;
    assert_eq!(waits(&theirs), [1], "the other one may still have written");
    let taken = route(&stores).driver.unwrap();
    assert_eq!((taken.ledger, taken.instead_of), (theirs.ledger.id().await.unwrap(), None), "it writes no more");
    let refused = ours.try_run(Goal::CutOver).await.unwrap_err();
    assert!(matches!(refused, EngineError::Driven { .. }), "the one before is refused in turn: {refused}");
    stores["a"].put_raw(&key(4), "theirs", Properties::default());
    let ends = ours.discard().await;
    assert!(!ends[0].done && ends[0].refused.as_ref().unwrap().contains("drives dataset things"), "{ends:?}");
    assert_eq!(stores["a"].snapshot().len(), before, "and deletes nothing");
}

/// A process that is cut off while it waits for the driver that it has replaced cannot know how long it waited: the
/// next one waits the whole time, and once that is over no later run waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_former_driver_that_was_cut_off_begins_anew() {
    let (stores, directory) = (filled(5), tempdir().unwrap());
    let rig = Rig::new(&plan("1s"), dynamic(&stores), directory.path());
    rig.try_run(Goal::Copied).await.unwrap();
    assert_eq!(waits(&rig), [0; 0], "no other one drove it");
    let claimed = route(&stores);
    let mut driver = claimed.driver.clone().unwrap();
    // Whatever the clocks of two machines say.
    (driver.instead_of, driver.since) = (Some("theirs".into()), "2020-01-01T00:00:00Z".into());
    let cut_off = RouteDocument { driver: Some(driver), ..claimed };
    stores["control"].put_raw("things.json", serde_json::to_vec(&cut_off).unwrap(), Properties::default());
    rig.try_run(Goal::Copied).await.unwrap();
    assert_eq!(waits(&rig), [1]);
    assert_eq!(route(&stores).driver.unwrap().instead_of, None);
    rig.try_run(Goal::Copied).await.unwrap();
    assert_eq!(waits(&rig), [1], "it was waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_or_cut_over_is_released() {
    let (stores, first, second) = (filled(5), tempdir().unwrap(), tempdir().unwrap());
    let ours = Rig::new(&plan("0s"), dynamic(&stores), first.path());
    ours.run().await;
    assert!(ours.discard().await[0].done);
    let released = route(&stores);
    assert_eq!((released.driver, released.epoch, released.lead.as_str()), (None, Epoch(0), "src"));

    let theirs = Rig::new(&plan("0s"), dynamic(&stores), second.path());
    assert!(theirs.try_run(Goal::CutOver).await.unwrap().datasets[0].reached);
    let switched = route(&stores);
    assert_eq!((switched.driver, switched.epoch, switched.lead.as_str()), (None, Epoch(1), "a"));
}

/// The claim is lost while the dataset waits for its lead to move: nothing moves, and the run says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_under_way_stops_if_another_ledger_takes_over() {
    let (stores, first, second) = (filled(5), tempdir().unwrap(), tempdir().unwrap());
    let text = plan("0s").replace("quiet = \"0s\"", "quiet = \"30s\"");
    let ours = Rig::new(&text, dynamic(&stores), first.path());
    let theirs = Rig::new(&plan("0s"), dynamic(&stores), second.path());
    theirs.sites.take_over(things());
    let events = Arc::clone(&ours.events);
    let takes_over = async {
        while !events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Waiting { .. })) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        theirs.run().await;
    };
    let (outcome, ()) = tokio::join!(ours.try_run(Goal::CutOver), takes_over);
    let outcome = outcome.unwrap();
    assert!(matches!(outcome.stopped, Some(EngineError::Driven { .. })), "{outcome:?}");
    assert!(matches!(outcome.datasets[0].state, State::Verified { .. }), "{outcome:?}");
    assert_eq!(route(&stores).epoch, Epoch(0), "no lead has moved");
}

/// The shards of a verification take no further rows once the claim is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_under_way_stops_if_another_ledger_takes_over() {
    let (stores, first, second) = (filled(KEYS), tempdir().unwrap(), tempdir().unwrap());
    let text = plan("0s").replace("[phase.dataset.cutover]", "verify = \"checksum\"\n[phase.dataset.cutover]");
    Rig::new(&text, dynamic(&stores), first.path()).try_run(Goal::Copied).await.unwrap();
    // A pass over what is the same looks at no record. A verification looks at each, 64 at once.
    let late = FaultRule::new(Fault::SlowFirstByte(Duration::from_millis(200)), When::Every(1)).on([Operation::Head]);
    let mut slow = dynamic(&stores);
    let source = Faulty::new(Arc::clone(&slow["src"]), Arc::new(Faults::with_rules(1, vec![late])));
    slow.insert("src".to_owned(), Arc::new(source));
    let ours = Rig::new(&text, slow, first.path());
    let theirs = Rig::new(&text, dynamic(&stores), second.path());
    theirs.sites.take_over(things());
    let events = Arc::clone(&ours.events);
    let takes_over = async {
        while !events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Verifying { .. })) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        theirs.try_run(Goal::Copied).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(ours.try_run(Goal::Verified), takes_over);
    let outcome = outcome.unwrap();
    assert!(matches!(outcome.stopped, Some(EngineError::Driven { .. })), "{outcome:?}");
    assert!(matches!(outcome.datasets[0].state, State::Copied { .. }), "{outcome:?}");
    let events = ours.events.lock().unwrap();
    let compared = events.iter().rev().find_map(|event| match event {
        EventKind::Verifying { compared, .. } => Some(*compared),
        _ => None,
    });
    let compared = compared.expect("it told how far it was");
    assert!(compared < KEYS as u64, "it has compared everything");
}
