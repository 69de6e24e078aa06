//! Verifications in shards: many listings at once, and another process goes on where one ended.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use migrate::{
    engine::{self, EngineError, Inspection, Shutdown, Sink, Verification, VerifyOptions},
    ledger::{CommitFate, Ledger, Options},
    lifecycle::Goal,
    plan::Level,
    report::EventKind,
    store::{
        ObjectStore, Properties,
        faulty::{Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
};
use tempfile::{TempDir, tempdir};
use tokio::time::Instant;

use super::{Rig, Stores, dynamic, found, memory, one_dataset};

/// A store that answers each page of a listing after 100 ms.
pub(super) fn slow(store: MemoryStore) -> Arc<dyn ObjectStore> {
    let late = FaultRule::new(Fault::SlowFirstByte(Duration::from_millis(100)), When::Every(1)).on([Operation::List]);
    Arc::new(Faulty::new(Arc::new(store), Arc::new(Faults::with_rules(1, vec![late]))))
}

/// As many requests as a verification of 1,000,000 records takes, in smaller pages.
#[tokio::test(start_paused = true)]
async fn many_listings_at_once_take_less_than_a_fifth_of_the_time_of_one() {
    let mut stores = Stores::new();
    for site in ["src", "a"] {
        let store = MemoryStore::new(&format!("s3://{site}/data/")).with_page_size(20);
        for n in 0..20_000_u32 {
            let key = format!("archive/2024/{:08x}", n.wrapping_mul(2_654_435_761));
            store.put_raw(&key, "", Properties::default());
        }
        stores.insert(site.to_owned(), slow(store));
    }
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], ""), stores, directory.path());
    // Two pages, as by default.
    rig.limits.split_rows_min = 40;
    let mut times = Vec::new();
    for shards in [1, rig.limits.shards] {
        rig.limits.shards = shards;
        let options = rig.verify_options(Level::Listing);
        let began = Instant::now();
        // Without a ledger: its threads know no paused time.
        let verified =
            Inspection { ledger: None, ..rig.inspection(Sink::none(), Shutdown::new()) }.verify(&options).await;
        times.push(began.elapsed());
        let counts = verified.unwrap()[0].targets[0].counts;
        assert_eq!((counts.compared, counts.undecided), (20_000, 20_000), "each record is looked at once");
    }
    assert!(times[0] >= Duration::from_secs(100), "{times:?}");
    assert!(times[1] * 5 < times[0], "{times:?}");
}

/// So many that the ledger is committed often.
const RECORDS: u64 = 1_500;

/// A file that is gone from its n-th commit on, as everything then is for the process.
fn gone_at(commits: u64, gone: impl Fn() + Send + Sync + 'static) -> Options {
    let done = AtomicU64::new(0);
    let on_commit = move |_| {
        if done.fetch_add(1, Ordering::Relaxed) + 1 < commits {
            return CommitFate::Go;
        }
        gone();
        // Every other crash comes after the write.
        if commits.is_multiple_of(2) { CommitFate::FailAfter } else { CommitFate::FailBefore }
    };
    Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() }
}

/// A migration that was copied and closed, with its stores.
struct Copied {
    stores: BTreeMap<String, Arc<MemoryStore>>,
    directory: TempDir,
    text: String,
}

impl Copied {
    async fn new(goal: Goal, more: &str) -> Self {
        let stores = memory(&["src", "a", "b", "control"]);
        for n in 0..RECORDS {
            stores["src"].put_raw(&format!("{n:04}"), format!("value {n}"), Properties::default());
        }
        let control = "[sites.control]\ns3 = { endpoint = \"https://control.example.com\", path_style = true }\n\
                       credentials = { env = \"UNUSED\" }\n[[phase]]";
        let text = one_dataset(&["a", "b"], more).replacen("[[phase]]", control, 1);
        let copied = Self { stores, directory: tempdir().unwrap(), text };
        copied.rig(copied.directory.path(), u64::MAX).try_run(goal).await.unwrap();
        copied
    }

    /// A rig over the ledger in a directory, which is gone from the n-th commit on.
    fn rig(&self, directory: &Path, commits: u64) -> Rig {
        let options = gone_at(commits, || {});
        let mut rig = Rig::with_ledger(&self.text, dynamic(&self.stores), directory, options);
        (rig.limits.batch_rows, rig.limits.split_rows_min) = (1, 200);
        rig
    }

    /// The ledger as the copy left it, in a directory of its own.
    fn ledger(&self) -> TempDir {
        let directory = tempdir().unwrap();
        fs::copy(self.directory.path().join("ledger.sqlite"), directory.path().join("ledger.sqlite")).unwrap();
        directory
    }
}

/// Verifies, and keeps how far it is in a file in `directory`; the process ends at the n-th commit of that file.
async fn verify_until(rig: &Rig, directory: &Path, level: Level, commits: u64) -> Result<Verification, EngineError> {
    let shutdown = Shutdown::new();
    let killed = shutdown.clone();
    let ends = gone_at(commits, move || while killed.ask() < 2 {});
    let file = Ledger::open_with(&directory.join("verification.sqlite"), &rig.plan.name, ends).unwrap();
    let options = VerifyOptions { progress: Some(Arc::new(file)), ..rig.verify_options(level) };
    let (sink, task) = rig.listen();
    let verified = rig.inspection(sink, shutdown).verify(&options).await;
    task.await.unwrap();
    Ok(verified?.remove(0))
}

async fn verify(rig: &Rig, directory: &Path, level: Level) -> Verification {
    verify_until(rig, directory, level, u64::MAX).await.unwrap_or_else(|error| panic!("{error}"))
}

/// How the last verification of a rig began: with how many compared records, whether it went on with an earlier one,
/// and why not.
fn began(rig: &Rig) -> (u64, bool, Option<String>) {
    let events = rig.events.lock().unwrap();
    let began = events.iter().rev().find_map(|event| match event {
        EventKind::VerificationBegan { compared, since, anew, .. } => Some((*compared, since.is_some(), anew.clone())),
        _ => None,
    });
    began.expect("a verification began")
}

fn told(rig: &Rig) -> usize {
    rig.events.lock().unwrap().iter().filter(|event| matches!(event, EventKind::Differs { .. })).count()
}

const CHANGED: &str = "records were copied or deleted since, or the dataset was cut over or given up";

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_crashes_anywhere_goes_on_and_finds_each_difference_once() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    for key in ["0003", "0731", "1459"] {
        copied.stores["a"].remove(key);
    }
    copied.stores["b"].put_raw("0917", "another", Properties::default());
    copied.stores["a"].put_raw("1240a", "nobody sent it", Properties::default());
    let differences = ["missing 0003", "missing 0731", "extra 1240a", "missing 1459"];
    let (mut crashes, mut spared) = (0, 0);
    for commit in 1.. {
        let directory = copied.ledger();
        let first = copied.rig(directory.path(), u64::MAX);
        if let Ok(whole) = verify_until(&first, directory.path(), Level::Listing, commit).await {
            assert_eq!(found(&whole), differences);
            break;
        }
        crashes += 1;
        drop(first);

        let rig = copied.rig(directory.path(), u64::MAX);
        let verification = verify(&rig, directory.path(), Level::Listing).await;
        let (compared, resumed, anew) = began(&rig);
        assert_eq!((resumed || compared == 0, anew), (true, None), "{commit}");
        spared += compared;
        assert_eq!(found(&verification), differences, "crashed at commit {commit}, {compared} compared before");
        let counts: Vec<_> = verification.targets.iter().map(|found| found.counts).collect();
        let all = (counts[0].compared, counts[1].compared);
        assert_eq!(all, (RECORDS, RECORDS), "{commit}: each record is counted once");
        assert_eq!((counts[0].missing, counts[0].extra, counts[1].different), (3, 1, 1), "{commit}");
        assert_eq!((counts[0].decided.versions, counts[1].decided.versions), (RECORDS - 3, RECORDS - 1), "{commit}");
        assert_eq!(told(&rig), 5, "{commit}: what was found before is told again");
        // It has ended: the next one looks at everything.
        verify(&rig, directory.path(), Level::Listing).await;
        assert_eq!(began(&rig), (0, false, None), "{commit}");
    }
    assert!(crashes > 5, "it has crashed only {crashes} times");
    // On average it crashes half way; a quarter is safe to say.
    assert!(spared > crashes * 2 * RECORDS / 4, "{spared} comparisons were spared in {crashes} crashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_was_made_in_two_processes_is_whole() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    let directory = copied.ledger();
    let rig = copied.rig(directory.path(), u64::MAX);
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    let verified = verify(&rig, directory.path(), Level::Listing).await.verified.expect("it is equal");
    assert!(began(&rig).0 > 0);
    assert_eq!(verified.compared(), 2 * RECORDS);
}

/// How far it is is no part of the proof: a full disk there costs only that.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_whose_progress_cannot_be_written_ends_all_the_same() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    for commit in [1, 2, 5] {
        let directory = copied.ledger();
        let rig = copied.rig(directory.path(), u64::MAX);
        let file = directory.path().join("verification.sqlite");
        let file = Ledger::open_with(&file, &rig.plan.name, gone_at(commit, || {})).unwrap();
        let options = VerifyOptions { progress: Some(Arc::new(file)), ..rig.verify_options(Level::Listing) };
        let (sink, task) = rig.listen();
        let verified = rig.inspection(sink, Shutdown::new()).verify(&options).await.unwrap();
        assert_eq!(verified[0].verified.as_ref().map(engine::Verified::compared), Some(2 * RECORDS), "{commit}");
        drop(options);
        task.await.unwrap();
        let events = rig.events.lock().unwrap();
        let warned = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("verification.sqlite"));
        assert!(events.iter().any(warned), "{commit}: {events:?}");
    }
}

/// Between two runs another writer replaces a copy, and the source deletes its record: a pass leaves such a stray alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_nothing_of_what_only_an_earlier_process_has_seen() {
    let copied = Copied::new(Goal::Copied, "verify = \"listing\"").await;
    let mut crashes = 0;
    for commit in 1.. {
        let directory = copied.ledger();
        let first = copied.rig(directory.path(), commit);
        let ended = first.try_run(Goal::Verified).await;
        if ended.is_ok_and(|outcome| outcome.stopped.is_none()) {
            break;
        }
        crashes += 1;
        drop(first);
        let kept = copied.stores["src"].bytes("0003").unwrap();
        copied.stores["src"].remove("0003");
        copied.stores["a"].put_raw("0003", "another writer's", Properties::default());
        let rig = copied.rig(directory.path(), u64::MAX);
        let outcome = rig.try_run(Goal::Verified).await.unwrap();
        assert!(outcome.datasets[0].verified.is_none(), "{commit}: it would claim what is not so");
        for store in ["src", "a", "b"] {
            copied.stores[store].put_raw("0003", kept.clone(), Properties::default());
        }
    }
    assert!(crashes > 2, "{crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_crashes_anywhere_is_repeated_and_mends_what_was_found_before() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    let mut crashes = 0;
    for commit in 1.. {
        for key in ["0003", "0731", "1459"] {
            copied.stores["a"].remove(key);
        }
        let directory = copied.ledger();
        let first = copied.rig(directory.path(), commit);
        if first.try_repair(Level::Checksum, &[]).await.is_ok() {
            break;
        }
        crashes += 1;
        drop(first);

        let rig = copied.rig(directory.path(), u64::MAX);
        let options = rig.verify_options(Level::Checksum);
        let (sink, task) = rig.listen();
        let repair = rig.migration(sink, Shutdown::new()).repair(&options).await;
        let (verifications, _) = repair.unwrap_or_else(|error| panic!("{commit}: {error}"));
        task.await.unwrap();
        assert_eq!((began(&rig).0, began(&rig).1), (0, false), "{commit}: it has seen all that it says");
        assert!(verifications[0].verified.is_some(), "{commit}: {:?}", found(&verifications[0]));
        for key in ["0003", "0731", "1459"] {
            assert!(copied.stores["a"].snapshot().contains_key(&key.into()), "{commit}: {key}");
        }
        for target in &verifications[0].targets {
            assert_eq!(target.counts.compared, RECORDS, "{commit}: each record is counted once");
        }
    }
    assert!(crashes > 5, "{crashes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_whose_progress_cannot_be_read_looks_at_everything() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    copied.stores["a"].remove("0003");
    let directory = copied.ledger();
    let rig = copied.rig(directory.path(), u64::MAX);
    for damage in ["UPDATE verified_count SET compared = -1", "DELETE FROM verified_shard WHERE after_key IS NULL"] {
        // Early: commits are merged if the machine is busy, and a verification may need few of them.
        verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
        let file = rusqlite::Connection::open(directory.path().join("verification.sqlite")).unwrap();
        assert!(file.execute(damage, []).unwrap() > 0, "{damage}");
        drop(file);
        let verified = verify(&rig, directory.path(), Level::Listing).await;
        let (compared, goes_on, anew) = began(&rig);
        assert_eq!((compared, goes_on), (0, false), "{damage}");
        assert!(anew.is_some(), "{damage}: it says why");
        assert_eq!((verified.targets[0].counts.compared, found(&verified)), (RECORDS, vec!["missing 0003".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_begins_anew_if_it_no_longer_means_the_same() {
    let copied = Copied::new(Goal::Verified, "verify = \"listing\"").await;
    let directory = copied.ledger();
    let rig = copied.rig(directory.path(), u64::MAX);
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    verify(&rig, directory.path(), Level::Checksum).await;
    assert_eq!(began(&rig), (0, false, Some("it was by another level".to_owned())));

    // It is asked to.
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    let file = Ledger::open(&directory.path().join("verification.sqlite"), &rig.plan.name).unwrap();
    let options = VerifyOptions { progress: Some(Arc::new(file)), anew: true, ..rig.verify_options(Level::Listing) };
    let (sink, task) = rig.listen();
    let anew = rig.inspection(sink, Shutdown::new()).verify(&options).await.unwrap();
    task.await.unwrap();
    drop(options);
    assert_eq!((began(&rig), anew[0].since), ((0, false, None), None));

    // A run that finds nothing to do proves that nothing has happened to what was seen.
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    rig.run().await;
    let went_on = verify(&rig, directory.path(), Level::Listing).await;
    assert_eq!((began(&rig).1, began(&rig).2, went_on.since.is_some()), (true, None, true));

    // One that copied has changed what was seen.
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    copied.stores["src"].put_raw("0000", "changed", Properties::default());
    rig.run().await;
    copied.stores["a"].remove("0000");
    let verification = verify(&rig, directory.path(), Level::Listing).await;
    assert_eq!(began(&rig), (0, false, Some(CHANGED.to_owned())));
    assert_eq!(found(&verification), ["missing 0000"]);

    // A repair mends what was found missing.
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    rig.repair(Level::Listing).await;
    assert!(verify(&rig, directory.path(), Level::Listing).await.verified.is_some());
    assert_eq!(began(&rig), (0, false, Some(CHANGED.to_owned())));

    // Another ledger has other pairs.
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    drop(rig);
    fs::remove_file(directory.path().join("ledger.sqlite")).unwrap();
    let rig = copied.rig(directory.path(), u64::MAX);
    rig.run().await;
    verify(&rig, directory.path(), Level::Listing).await;
    assert_eq!(began(&rig), (0, false, Some("another ledger says what was copied".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_begins_anew_if_the_lead_has_moved_meanwhile() {
    let cutover = "verify = \"listing\"\nlead = \"a\"\n[phase.dataset.cutover]\nfence = \"none\"\n\
                   accept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\nroute_max_age = \"0s\"\n\
                   route = \"s3://control/data/things.json\"";
    let copied = Copied::new(Goal::Verified, cutover).await;
    let directory = copied.ledger();
    let rig = copied.rig(directory.path(), u64::MAX);
    verify_until(&rig, directory.path(), Level::Listing, 5).await.unwrap_err();
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets[0].reached, "{:?}", outcome.datasets[0].waits_for);
    let verification = verify(&rig, directory.path(), Level::Listing).await;
    assert_eq!(began(&rig), (0, false, Some("another site leads now".to_owned())));
    assert_eq!(verification.targets[0].target, "s3://src/data/");
    assert_eq!(verification.targets[0].counts.compared, RECORDS);
}
