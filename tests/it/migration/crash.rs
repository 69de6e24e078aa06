//! The crash sweep: a whole migration is crashed at every one of its durable writes (the targets', the
//! routes' and the ledger's alike), just before it acts and just after, and then goes on.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use migrate::{
    cutover::RouteDocument,
    ledger::{CommitFate, Options},
    lifecycle::{Goal, State},
    model::{Epoch, Key},
    plan::Level,
    store::{
        ObjectStore, Properties,
        faulty::{Crash, Faults, Faulty},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, dynamic, memory, one_dataset};

type Memory = BTreeMap<String, Arc<MemoryStore>>;

/// The sites of the first sources, which follow once their leads have moved.
const SOURCES: [&str; 2] = ["shop-src", "mail-src"];
/// The sites of targets and routes.
const TARGETS: [&str; 5] = ["shop-a", "shop-b", "mail-a", "local", "control"];
/// Each dataset with its source, its targets and its new lead.
const DATASETS: [(&str, &str, &[&str], &str); 3] = [
    ("shop", "shop-src", &["shop-a", "shop-b"], "shop-a"),
    ("mail", "mail-src", &["mail-a"], "mail-a"),
    // The second phase fills its source.
    ("mail-local", "mail-a", &["local"], "local"),
];
const PARTS: u64 = 64 << 10;

/// The first of three phases; each moves the lead of its dataset.
fn plan(phases: usize) -> String {
    let mut text = "name = \"sweep\"\n".to_owned();
    for site in SOURCES.iter().chain(&TARGETS) {
        let _ = write!(
            text,
            "[sites.{site}]\ns3 = {{ endpoint = \"https://{site}.example.com\", path_style = true }}\n\
             credentials = {{ env = \"UNUSED\" }}\n"
        );
    }
    for (number, (name, source, targets, lead)) in DATASETS.iter().take(phases).enumerate() {
        let targets: Vec<_> = targets.iter().map(|site| format!("\"s3://{site}/data/\"")).collect();
        let after = if number == 0 { String::new() } else { format!("after = [\"{}\"]\n", DATASETS[number - 1].0) };
        let _ = write!(
            text,
            "[[phase]]\nname = \"{name}\"\n{after}[[phase.dataset]]\nname = \"{name}\"\n\
             source = \"s3://{source}/data/\"\ntargets = [{}]\nlead = \"{lead}\"\ndelete_share = \"100%\"\n\
             [phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
             route_max_age = \"0s\"\nroute = \"s3://control/data/{name}.json\"\n",
            targets.join(", ")
        );
    }
    text
}

/// Small objects, one in parts for two targets, one to be replaced, one to be deleted.
fn fill() -> Memory {
    let stores = memory(&[&SOURCES[..], &TARGETS[..]].concat());
    let put = |site: &str, key: &str, bytes: Vec<u8>| {
        stores[site].put_raw(key, bytes, Properties::default());
    };
    for n in 0..4_u8 {
        put("shop-src", &format!("small/{n}"), vec![n; 10]);
        put("mail-src", &format!("box/{n}"), vec![n; 20]);
    }
    put("shop-src", "large", vec![7; 200 << 10]);
    put("shop-a", "small/3", b"something else".to_vec());
    put("shop-b", "small/3", b"something else".to_vec());
    stores
}

/// A rig whose places, routes and ledger share one count of writes, and so one crash.
fn rig(stores: &Memory, directory: &Path, faults: &Arc<Faults>, phases: usize) -> Rig {
    let mut shared = dynamic(stores);
    for site in SOURCES.iter().chain(&TARGETS) {
        let inner: Arc<dyn ObjectStore> = Arc::clone(&shared[*site]);
        shared.insert((*site).to_owned(), Arc::new(Faulty::new(inner, Arc::clone(faults))));
    }
    let counted = Arc::clone(faults);
    let on_commit = move |_| {
        let mut acted = false;
        match (counted.durable_write(|| acted = true), acted) {
            (Ok(()), _) => CommitFate::Go,
            (Err(_), true) => CommitFate::FailAfter,
            (Err(_), false) => CommitFate::FailBefore,
        }
    };
    let options = Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() };
    let mut rig = Rig::with_ledger(&plan(phases), shared, directory, options);
    // The ledger commits each row by itself, so that a crash can come between any two writes.
    rig.limits.batch_rows = 1;
    for phase in &mut rig.plan.phases {
        for target in phase.datasets.iter_mut().flat_map(|dataset| &mut dataset.targets) {
            target.part_size = Some(PARTS);
        }
    }
    rig
}

fn route(stores: &Memory, dataset: &str) -> Option<RouteDocument> {
    let snapshot = stores["control"].snapshot();
    let object = snapshot.get(&Key::from(format!("{dataset}.json").as_str()))?;
    Some(serde_json::from_slice(&object.bytes).expect("a route is never half written"))
}

/// The lead that the route shows after the crash.
fn lead(stores: &Memory, dataset: &str, source: &str) -> (Epoch, String) {
    route(stores, dataset).map_or((Epoch(0), source.to_owned()), |shown| (shown.epoch, shown.lead.as_str().to_owned()))
}

/// Runs to the end; `None` if everything is as it must be, else what is wrong.
async fn finish(stores: &Memory, rig: &Rig) -> Option<String> {
    if let Some(wrong) = run(rig).await {
        return Some(wrong);
    }
    for (name, source, targets, leads) in DATASETS {
        let shown = lead(stores, name, source);
        if shown != (Epoch(1), leads.to_owned()) {
            return Some(format!("{name} is led by {shown:?}"));
        }
        if let Some(wrong) = targets.iter().find_map(|target| differs(stores, source, target)) {
            return Some(wrong);
        }
    }
    None
}

/// What is wrong with a place that is to equal another one.
fn differs(stores: &Memory, lead: &str, follower: &str) -> Option<String> {
    let bytes = |site: &str| {
        let objects = stores[site].snapshot().into_iter();
        objects.map(|(key, object)| (key, object.bytes)).collect::<BTreeMap<_, _>>()
    };
    if bytes(lead) != bytes(follower) {
        return Some(format!("{follower} does not equal {lead}"));
    }
    (stores[follower].unfinished_uploads() > 0).then(|| format!("an upload is left at {follower}"))
}

/// Runs once; `None` if every dataset has reached its goal, else what stands in the way.
async fn run(rig: &Rig) -> Option<String> {
    let outcome = match rig.try_run(Goal::CutOver).await {
        Ok(outcome) => outcome,
        Err(error) => return Some(error.to_string()),
    };
    if let Some(error) = outcome.stopped {
        return Some(error.to_string());
    }
    if let Some(short) = outcome.datasets.iter().find(|dataset| !dataset.reached) {
        return Some(format!("{}: {:?}, waits for {:?}", short.dataset, short.state, short.waits_for));
    }
    if let Some(late) = outcome.datasets.iter().find(|one| !matches!(one.state, State::CutOver { late: 0, .. })) {
        return Some(format!("{}: {:?}", late.dataset, late.state));
    }
    None
}

/// The number of durable writes of a run without a crash.
async fn writes() -> u64 {
    let (counting, stores, directory) = (Arc::new(Faults::none()), fill(), tempdir().unwrap());
    assert_eq!(finish(&stores, &rig(&stores, directory.path(), &counting, 3)).await, None);
    counting.writes()
}

/// Crashes at one write; returns what then stands in the way of the same command, after `meanwhile`.
async fn crashed_at(crash: Crash, meanwhile: impl Fn(&Memory)) -> Option<String> {
    let faults = Arc::new(Faults::none().with_crash(crash));
    let (stores, directory) = (fill(), tempdir().unwrap());
    let crashing = rig(&stores, directory.path(), &faults, 3);
    let outcome = crashing.try_run(Goal::CutOver).await;
    let done = outcome
        .is_ok_and(|outcome| outcome.stopped.is_none() && outcome.datasets.iter().all(|dataset| dataset.reached));
    assert!(!(done && faults.crashed()), "{crash:?}: a crashed run said that it was done");
    drop(crashing);
    for (name, source, _, new) in DATASETS {
        let shown = lead(&stores, name, source);
        let old = (Epoch(0), source.to_owned());
        assert!(shown == old || shown == (Epoch(1), new.to_owned()), "{crash:?}: {name} is led by {shown:?}");
    }
    meanwhile(&stores);
    let resumed = rig(&stores, directory.path(), &Arc::new(Faults::none()), 3);
    let wrong = finish(&stores, &resumed).await;
    if wrong.is_none() {
        let verification = resumed.verify(Level::Bytes).await;
        assert!(verification.verified.is_some(), "{crash:?}: {:?}", verification.targets);
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the count is what a reader of the log wants to know")]
async fn a_crash_at_any_write_loses_nothing_and_the_same_command_goes_on() {
    let writes = writes().await;
    assert!(writes > 60, "only {writes} writes were counted");
    // Writes run side by side, so a run may make a few more or fewer than the one counted.
    for at in 1..=writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            assert_eq!(crashed_at(crash, |_| {}).await, None, "{crash:?}");
        }
    }
    println!("crash sweep: {writes} durable writes, {} crashes, none lost anything", 2 * writes);
}

/// What applications do at the new lead of `shop`.
fn write_at_the_new_lead(stores: &Memory) {
    let put = |key: &str, bytes: Vec<u8>| stores["shop-a"].put_raw(key, bytes, Properties::default());
    put("small/1", b"written by the application".to_vec());
    put("new", b"a new one".to_vec());
    put("large", vec![9; 200 << 10]);
    stores["shop-a"].remove("small/2");
}

/// The old lead and the other target follow the new lead, in a run that crashes at any of its writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_of_following_loses_nothing_and_the_same_command_goes_on() {
    let follow = async |crash: Option<Crash>| {
        let (stores, directory) = (fill(), tempdir().unwrap());
        let none = Arc::new(Faults::none());
        assert_eq!(run(&rig(&stores, directory.path(), &none, 1)).await, None);
        write_at_the_new_lead(&stores);
        let faults = Arc::new(crash.map_or_else(Faults::none, |crash| Faults::none().with_crash(crash)));
        let wrong = run(&rig(&stores, directory.path(), &faults, 1)).await;
        assert!(wrong.is_some() || !faults.crashed(), "{crash:?}: a crashed run said that it was done");
        assert_eq!(lead(&stores, "shop", "shop-src"), (Epoch(1), "shop-a".to_owned()), "{crash:?}");
        let again = rig(&stores, directory.path(), &none, 1);
        assert_eq!(run(&again).await, None, "{crash:?}");
        for follower in ["shop-src", "shop-b"] {
            assert_eq!(differs(&stores, "shop-a", follower), None, "{crash:?}");
        }
        assert!(again.verify(Level::Bytes).await.verified.is_some(), "{crash:?}");
        faults.writes()
    };
    let writes = follow(None).await;
    assert!(writes > 12, "only {writes} writes were counted");
    for at in 1..=writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            follow(Some(crash)).await;
        }
    }
}

/// The sweep must be able to fail. It does with a target that loses acknowledged writes at the crash: that
/// looks like a ledger written before its target.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_sees_a_target_that_is_behind_the_ledger() {
    let writes = writes().await;
    let mut seen = 0;
    for at in 1..=writes {
        let lose = |stores: &Memory| {
            stores["shop-b"].remove("small/1");
        };
        seen += u64::from(crashed_at(Crash::After(at), lose).await.is_some());
    }
    assert!(seen > 0, "a lost record went unnoticed at each of {writes} crashes");
}

/// A verification learns more than its queue holds, and the ledger takes none of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_fails_while_a_verification_learns_ends_the_run() {
    let stores = memory(&["src", "a"]);
    for n in 0..3_000 {
        stores["src"].put_raw(&format!("{n:04}"), vec![7; 10], Properties::default());
    }
    let fails = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&fails);
    let fate = move |_| if asked.load(Ordering::Relaxed) { CommitFate::FailBefore } else { CommitFate::Go };
    let options = Options { on_commit: Some(Arc::new(fate)), ..Options::default() };
    let directory = tempdir().unwrap();
    let rig = Rig::with_ledger(&one_dataset(&["a"], ""), dynamic(&stores), directory.path(), options);
    rig.try_run(Goal::Copied).await.unwrap();

    fails.store(true, Ordering::Relaxed);
    let ended = tokio::time::timeout(Duration::from_mins(1), rig.try_run(Goal::Verified)).await;
    let ended = ended.expect("the run does not wait for a ledger that is no longer written");
    assert!(ended.is_err() || ended.is_ok_and(|outcome| outcome.stopped.is_some()));
}
