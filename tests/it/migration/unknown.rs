//! Writes whose outcome is not known: a cutover waits until each has come to rest, and for nothing else.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use migrate::{
    engine::RunOutcome,
    ledger::{CommitFate, LastDrive, Options, Unknown},
    lifecycle::{Goal, State},
    model::Timestamp,
    plan::Level,
    report::EventKind,
    store::{
        Capabilities, Proof, Properties, UploadTags,
        faulty::{Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, cutover, dynamic, memory, one_dataset};

const HOUR: &str = "1h";
const CUT_OFF: &str = "what an earlier process had under way to come to rest: it did not end cleanly";

fn plan(settle: &str) -> String {
    let cutover = format!(
        "delete_share = \"100%\"\nlead = \"a\"\n[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\n\
         quiet = \"0s\"\nsettle = \"{settle}\"\nroute_max_age = \"0s\"\nroute = \"s3://control/data/things.json\""
    );
    let control = "[sites.control]\ns3 = { endpoint = \"https://control.example.com\", path_style = true }\n\
                   credentials = { env = \"UNUSED\" }\n[[phase]]";
    one_dataset(&["a"], &cutover).replacen("[[phase]]", control, 1)
}

/// The stores of a migration whose target fails on purpose.
struct Bench {
    memory: BTreeMap<String, Arc<MemoryStore>>,
    faults: Arc<Faults>,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            memory: memory(&["src", "a", "control"]),
            faults: Arc::new(Faults::none()),
            directory: tempdir().unwrap(),
        };
        for n in 0..20 {
            bench.put("src", &format!("page/{n:02}"), &format!("value {n}"));
        }
        bench
    }

    fn put(&self, site: &str, key: &str, text: &str) {
        self.memory[site].put_raw(key, text.to_owned(), Properties::default());
    }

    fn breaks(&self, fault: Fault, when: When, operation: Operation) {
        self.faults.set_rules(1, vec![FaultRule::new(fault, when).on([operation])]);
    }

    /// The next process.
    fn rig(&self, text: &str) -> Rig {
        self.rig_with(text, Options::default())
    }

    fn rig_with(&self, text: &str, options: Options) -> Rig {
        let mut stores = dynamic(&self.memory);
        let target = Faulty::new(Arc::clone(&stores["a"]), Arc::clone(&self.faults));
        stores.insert("a".to_owned(), Arc::new(target));
        Rig::with_ledger(text, stores, self.directory.path(), options)
    }

    /// Whether the lead has moved, by the route.
    fn moved(&self) -> bool {
        let route = self.memory["control"].bytes("things.json").expect("the dataset is claimed");
        serde_json::from_slice::<serde_json::Value>(&route).unwrap()["epoch"] == 1
    }

    /// Runs until a cutover waits, stops it there, and returns what it waits for. Nothing has moved then.
    async fn waits(&self, text: &str) -> String {
        let rig = self.rig(text);
        let stop = async {
            until_it_waits(&rig).await;
            rig.shutdown.drain();
        };
        let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), stop);
        assert!(!outcome.unwrap().datasets[0].reached && !self.moved());
        let steps = steps(&rig);
        assert_eq!(steps, ["gate", "quiet"], "nothing is verified before");
        let mut waits = waits(&rig);
        assert_eq!(waits.len(), 1, "{waits:?}");
        waits.remove(0)
    }

    /// Runs to the end of the cutover.
    async fn moves(&self, text: &str) -> (Rig, RunOutcome) {
        let rig = self.rig(text);
        let outcome = rig.try_run(Goal::CutOver).await.unwrap();
        let dataset = &outcome.datasets[0];
        assert!(matches!(dataset.state, State::CutOver { late: 0, .. }) && self.moved(), "{dataset:?}");
        (rig, outcome)
    }
}

/// Waits until a run waits.
async fn until_it_waits(rig: &Rig) {
    let poll = async {
        while waits(rig).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), poll).await.expect("it waits");
}

fn steps(rig: &Rig) -> Vec<&'static str> {
    let events = rig.events.lock().unwrap();
    let steps = events.iter().filter_map(|event| match event {
        EventKind::CutoverStep { step, .. } => Some(*step),
        _ => None,
    });
    steps.collect()
}

fn waits(rig: &Rig) -> Vec<String> {
    let events = rig.events.lock().unwrap();
    let waits = events.iter().filter_map(|event| match event {
        EventKind::Waiting { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    waits.collect()
}

async fn unknown(rig: &Rig) -> Vec<(u64, String)> {
    let unknown = rig.ledger.unknown(Timestamp(0)).await.unwrap();
    unknown.into_iter().map(|Unknown { count, key, .. }| (count, key.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_holds_the_final_verification_back_until_it_has_come_to_rest() {
    let bench = Bench::new();
    bench.breaks(Fault::ResetBefore, When::Only(1), Operation::Put);
    let began = Instant::now();
    let waited = bench.waits(&plan(HOUR)).await;
    let rig = bench.rig(&plan(HOUR));
    let [(1, key)] = &unknown(&rig).await[..] else { panic!("{:?}", unknown(&rig).await) };
    assert_eq!(waited, format!("a write without an answer to come to rest: {key}"));
    assert_eq!(rig.ledger.last_drive().await.unwrap(), LastDrive::default(), "the run ended cleanly");
    drop(rig);
    // Another process knows it from the ledger; a key that is to be hidden is hidden.
    let redacted = bench.waits(&format!("redact_keys = true\n{}", plan(HOUR))).await;
    assert!(redacted.starts_with("a write without an answer to come to rest: ") && !redacted.contains(key.as_str()));
    bench.moves(&plan("1s")).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_such_a_write_a_cutover_waits_for_its_quiet_time_alone() {
    let bench = Bench::new();
    // An answer that a look has settled is no unknown.
    bench.breaks(Fault::ResetAfter, When::Only(1), Operation::Put);
    let rig = bench.rig(&plan(HOUR));
    rig.run().await;
    assert_eq!(unknown(&rig).await, []);
    drop(rig);
    let (rig, _) = bench.moves(&plan(HOUR)).await;
    assert_eq!(waits(&rig), [""; 0]);
}

/// The new lead of the first phase is the old lead of the second: a late write of the first would come there.
#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_waits_for_those_that_fill_its_source_too() {
    let (stores, directory) = (cutover::filled(), tempdir().unwrap());
    let mut text = cutover::plan("");
    let of_second = text.rfind("settle = \"0s\"").unwrap();
    text.replace_range(of_second..of_second + "settle = \"0s\"".len(), "settle = \"1h\"");
    let lost = FaultRule::new(Fault::ResetBefore, When::Only(1)).on([Operation::Put]);
    let mut over = dynamic(&stores);
    let first = Faulty::new(Arc::clone(&over["a"]), Arc::new(Faults::with_rules(1, vec![lost])));
    over.insert("a".to_owned(), Arc::new(first));
    let rig = Rig::new(&text, over, directory.path());
    let stop = async {
        until_it_waits(&rig).await;
        rig.shutdown.drain();
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), stop);
    let reached: Vec<_> = outcome.unwrap().datasets.iter().map(|dataset| dataset.reached).collect();
    assert_eq!(reached, [true, false]);
    let (unknown, waits) = (rig.ledger.unknown(Timestamp(0)).await.unwrap(), waits(&rig));
    assert_eq!((unknown.len(), unknown[0].dataset.as_str()), (1, "shop"));
    assert_eq!(waits, [format!("a write without an answer to come to rest: {}", unknown[0].key)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_under_way_holds_the_next_ones_back() {
    let bench = Bench::new();
    // From its tenth commit on nothing of it is written any more.
    let commits = AtomicU64::new(0);
    let dead =
        move |_| if commits.fetch_add(1, Ordering::Relaxed) < 9 { CommitFate::Go } else { CommitFate::FailBefore };
    let killed = bench.rig_with(&plan(HOUR), Options { on_commit: Some(Arc::new(dead)), ..Options::default() });
    let outcome = killed.try_run(Goal::Verified).await;
    assert!(outcome.is_err() || outcome.is_ok_and(|outcome| outcome.stopped.is_some()));
    drop(killed);
    assert_eq!(bench.waits(&plan(HOUR)).await, CUT_OFF);
    assert_eq!(bench.waits(&plan(HOUR)).await, CUT_OFF, "that the one in between ended cleanly changes nothing");
    let (rig, _) = bench.moves(&plan("0s")).await;
    assert_eq!(waits(&rig), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_drops_its_writes_has_not_ended_cleanly() {
    let bench = Bench::new();
    bench.breaks(Fault::SlowFirstByte(Duration::from_hours(1)), When::Every(1), Operation::Put);
    let rig = bench.rig(&plan(HOUR));
    let stop = async {
        while bench.faults.struck().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while rig.shutdown.ask() < 2 {}
    };
    let (_dropped, ()) = tokio::join!(rig.try_run(Goal::Copied), stop);
    assert!(rig.ledger.last_drive().await.unwrap().open);
    drop(rig);
    bench.faults.set_rules(1, Vec::new());
    assert_eq!(bench.waits(&plan(HOUR)).await, CUT_OFF);
}

/// The target ignores conditions, so that a late request of an earlier run replaces what a later one has written.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_lands_before_it_has_come_to_rest_is_seen_by_the_final_verification() {
    let mut bench = Bench::new();
    let can = Capabilities { proof: Proof::SignedPayload, ..Capabilities::unproved() };
    let can = Capabilities { properties: true, tags: true, tag_count: true, keeps_crc64nvme: true, ..can };
    bench.memory.insert("a".to_owned(), Arc::new(MemoryStore::new("s3://a/data/").with_capabilities(can)));
    let text = plan("5s");
    bench.breaks(Fault::Held, When::Only(1), Operation::Put);
    let rig = bench.rig(&text);
    rig.run().await;
    let [(1, key)] = &unknown(&rig).await[..] else { panic!("one write is under way") };
    drop(rig);
    let late = bench.memory["a"].bytes(key).unwrap();
    bench.put("src", key, "the second version");

    let rig = bench.rig(&text);
    let lands = async {
        until_it_waits(&rig).await;
        assert_eq!(bench.memory["a"].bytes(key).unwrap(), "the second version");
        assert_eq!(bench.faults.release().await, 1);
        assert_eq!(bench.memory["a"].bytes(key).unwrap(), late);
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), lands);
    let outcome = outcome.unwrap();
    let waits_for = outcome.datasets[0].waits_for.as_ref().expect("it has not moved").to_string();
    assert!(waits_for.contains("1 difference to be mended") && !bench.moved(), "{waits_for}");
    assert_eq!(rig.repair(Level::Checksum).await.1, 1);
    drop(rig);
    bench.moves(&text).await;
    assert_eq!(bench.memory["a"].bytes(key).unwrap(), "the second version");
}

/// Runs something whose first request of one operation gets no answer; returns the keys that the ledger then knows.
async fn noted(bench: &Bench, operation: Operation, work: impl AsyncFn(&Rig)) -> Vec<(u64, String)> {
    let mut rig = bench.rig(&plan("0s"));
    rig.plan.phases[0].datasets[0].targets[0].part_size = Some(64 << 10);
    bench.breaks(Fault::ResetBefore, When::Only(1), operation);
    work(&rig).await;
    assert!(!bench.faults.struck().is_empty(), "{operation:?}");
    assert!(!rig.ledger.last_drive().await.unwrap().open, "{operation:?}");
    unknown(&rig).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_changes_what_a_place_shows_is_noted() {
    let large = vec![7; 200 << 10];
    let tagged = Properties { tags: [("a".to_owned(), "b".to_owned())].into(), ..Properties::default() };
    let run = async |rig: &Rig| _ = rig.run().await;
    let one = |key: &str| vec![(1, key.to_owned())];

    let bench = Bench::new();
    bench.memory["src"].put_raw("large", large.clone(), Properties::default());
    assert_eq!(noted(&bench, Operation::FinishUpload, run).await, one("large"));

    let mut bench = Bench::new();
    let store = MemoryStore::new("s3://a/data/");
    let truth = migrate::store::ObjectStore::probe(&store).await.unwrap();
    let late_tags = MemoryStore::new("s3://a/data/")
        .with_capabilities(Capabilities { upload_tags: UploadTags::Afterwards, ..truth });
    bench.memory.insert("a".to_owned(), Arc::new(late_tags));
    bench.memory["src"].put_raw("large", large, tagged);
    assert_eq!(noted(&bench, Operation::SetTags, run).await, one("large"));

    let bench = Bench::new();
    bench.rig(&plan("0s")).run().await;
    bench.memory["src"].remove("page/07");
    assert_eq!(noted(&bench, Operation::Delete, run).await, one("page/07"), "by a pass");

    let bench = Bench::new();
    bench.rig(&plan("0s")).run().await;
    bench.memory["a"].remove("page/07");
    let repair = async |rig: &Rig| _ = rig.repair(Level::Listing).await;
    assert_eq!(noted(&bench, Operation::Put, repair).await, one("page/07"), "by a repair");

    let bench = Bench::new();
    bench.rig(&plan("0s")).run().await;
    let found = noted(&bench, Operation::Delete, async |rig: &Rig| _ = rig.discard().await).await;
    assert_eq!(found.len(), 1, "by an abort: {found:?}");
    assert!(bench.memory["a"].snapshot().is_empty());

    // What only concerns an unfinished upload is not.
    for operation in [Operation::BeginUpload, Operation::PutPart] {
        let bench = Bench::new();
        bench.memory["src"].put_raw("large", vec![7; 200 << 10], Properties::default());
        assert_eq!(noted(&bench, operation, run).await, [], "{operation:?}");
    }
}
