//! Targets that are down: the others are complete, nothing is read for them alone, and the next run goes on with them.

use std::{sync::Arc, time::Duration};

use migrate::{
    engine::{RunOutcome, Shutdown, VerifyOptions, WaitsFor, standing},
    ledger::Ledger,
    lifecycle::{Goal, State},
    local_cloud::{self, Operation},
    plan::Level,
    report::{EventKind, Sink},
    store::{
        Properties,
        faulty::{self, Fault, FaultRule, Faults, Faulty, When},
        memory::MemoryStore,
    },
};
use tempfile::{TempDir, tempdir};

use super::{
    Rig, Stores, assert_equal, dynamic, found, memory, one_dataset,
    s3::{assert_servers_equal, deny, server, stores},
};

/// A policy that denies an action on a server's bucket.
fn denies(action: &str) -> String {
    let resources = ["arn:aws:s3:::data", "arn:aws:s3:::data/*"];
    let statement = serde_json::json!({ "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resources });
    serde_json::json!({ "Statement": [statement] }).to_string()
}

/// An action that no run needs.
const UNUSED: &str = "s3:PutBucketTagging";

/// The targets for which the only dataset waits, each with the reason.
fn down(outcome: &RunOutcome) -> Vec<(String, String)> {
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    assert!(!outcome.datasets[0].reached && outcome.datasets[0].verified.is_none());
    assert!(matches!(outcome.datasets[0].state, State::Copying { .. }), "{:?}", outcome.datasets[0].state);
    match &outcome.datasets[0].waits_for {
        Some(WaitsFor::Targets(down)) => down.iter().map(|(target, why)| (bare(target), why.clone())).collect(),
        other => panic!("{other:?}"),
    }
}

/// A location without its last slash.
fn bare(location: &str) -> String {
    location.trim_end_matches('/').to_owned()
}

/// How often the run told that a target is down.
fn told_down(rig: &Rig) -> usize {
    rig.events.lock().unwrap().iter().filter(|event| matches!(event, EventKind::TargetDown { .. })).count()
}

/// What `status` knows of each target that is down: its location and reason.
async fn recorded(rig: &Rig) -> Vec<(String, String)> {
    let phases = standing::standing(&rig.plan, Some(&rig.ledger), Goal::Verified, 9, "again").await.unwrap();
    let targets = &phases[0].datasets[0].targets;
    let down = targets.iter().filter_map(|target| Some((bare(&target.target), target.down.as_ref()?.reason.clone())));
    down.collect()
}

/// A source of this many records and memory stores that fail by these faults, by site.
struct Memories {
    stores: std::collections::BTreeMap<String, Arc<MemoryStore>>,
    shared: Stores,
    directory: TempDir,
    text: String,
}

impl Memories {
    fn new(records: usize, targets: &[&str], faults: &[(&str, &Arc<Faults>)]) -> Self {
        let stores = memory(&[&["src"], targets].concat());
        for n in 0..records {
            stores["src"].put_raw(&format!("{n:04}"), format!("body {n}"), Properties::default());
        }
        let mut shared = dynamic(&stores);
        for (site, faults) in faults {
            shared.insert((*site).to_owned(), Arc::new(Faulty::new(stores[*site].clone(), Arc::clone(faults))));
        }
        Self { stores, shared, directory: tempdir().unwrap(), text: one_dataset(targets, "") }
    }

    fn rig(&self) -> Rig {
        Rig::new(&self.text, self.shared.clone(), self.directory.path())
    }
}

const LIST: [faulty::Operation; 1] = [faulty::Operation::List];

fn failing(fault: Fault, on: &[faulty::Operation]) -> Arc<Faults> {
    Arc::new(Faults::with_rules(1, vec![FaultRule::new(fault, When::Every(1)).on(on)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_lists_and_refuses_every_write_costs_the_others_nothing() {
    /// What may be under way when the target has refused enough: its requests at once may have been doubled once or twice.
    const IN_FLIGHT_MAX: u64 = 450;
    const RECORDS: u64 = 600;
    let (from, a, b, c) = (server(|_| {}).await, server(|_| {}).await, server(|_| {}).await, server(|_| {}).await);
    for n in 0..RECORDS {
        from.state().put("data", &format!("{n:03}"), format!("body {n}"));
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a", "b", "c"], "");
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b), ("c", &c)]).await, directory.path());
    assert!(rig.sites_probe().await);
    deny(&c, &denies("s3:PutObject")).await;
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    let named = down(&outcome);
    assert!(named.len() == 1 && named[0].0 == "s3://c/data" && named[0].1.contains("AccessDenied"), "{named:?}");
    assert_eq!((told_down(&rig), recorded(&rig).await), (1, named));
    assert_servers_equal(&from, &a);
    assert_servers_equal(&from, &b);
    assert_eq!(from.stats().of(Operation::GetObject), RECORDS, "the source was read once");
    let puts = c.stats().of(Operation::PutObject);
    assert!(puts < IN_FLIGHT_MAX, "{puts}");
    assert_eq!(rig.failures(), Vec::<String>::new(), "no record is to blame");

    // As long as nothing is granted, a further run reads what it takes to see that, and not the whole source again. The
    // others get what has come meanwhile.
    from.state().put("data", "new", "new");
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b), ("c", &c)]).await, directory.path());
    down(&rig.try_run(Goal::Verified).await.unwrap());
    assert_servers_equal(&from, &a);
    assert_servers_equal(&from, &b);
    let read = from.stats().of(Operation::GetObject);
    assert!(read < RECORDS + IN_FLIGHT_MAX, "{read}");

    deny(&c, &denies(UNUSED)).await;
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b), ("c", &c)]).await, directory.path());
    let written = a.stats().of(Operation::PutObject);
    rig.run().await;
    assert_servers_equal(&from, &c);
    assert_eq!(from.stats().of(Operation::GetObject) - read, RECORDS + 1, "only for the third");
    assert_eq!(a.stats().of(Operation::PutObject), written, "nothing was written again");
    assert_eq!(recorded(&rig).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_may_not_be_listed_stops_alone() {
    let (from, a, b) = (server(|_| {}).await, server(|_| {}).await, server(|_| {}).await);
    for n in 0..100 {
        from.state().put("data", &format!("{n:03}"), format!("body {n}"));
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a", "b"], "");
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b)]).await, directory.path());
    assert!(rig.sites_probe().await);
    deny(&b, &denies("s3:ListBucket")).await;
    let named = down(&rig.try_run(Goal::Verified).await.unwrap());
    assert!(named.len() == 1 && named[0].0 == "s3://b/data" && named[0].1.contains("list"), "{named:?}");
    assert_servers_equal(&from, &a);
    assert_eq!(b.state().count("data"), 0, "nothing is written where nothing was seen");
    deny(&b, &denies(UNUSED)).await;
    rig.run().await;
    assert_servers_equal(&from, &b);
    assert_eq!(rig.last_pass()[0].copied, 100, "nothing was written twice");
}

/// The listing breaks off after some pages: what came before is copied, and the next run goes on from there.
#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_off_stops_one_target_where_it_is() {
    let faults = Arc::new(Faults::none());
    let memories = Memories::new(5000, &["a", "b"], &[("b", &faults)]);
    for n in 0..5000 {
        memories.stores["b"].put_raw(&format!("{n:04}"), "old", Properties::default());
    }
    let rules =
        (2..2000).map(|page| FaultRule::new(Fault::InternalError, When::Only(page)).on([faulty::Operation::List]));
    faults.set_rules(1, rules.collect());
    let mut rig = memories.rig();
    rig.limits.split_rows_min = u64::MAX;
    down(&rig.try_run(Goal::Verified).await.unwrap());
    assert_equal(&memories.stores["src"], &memories.stores["a"]);
    let changed = memories.stores["b"].snapshot().values().filter(|object| object.bytes != "old").count();
    assert!((1..5000).contains(&changed), "{changed}");
    let read = rig.ledger.shards(&rig.plan.phases[0].datasets[0].name).await.unwrap();
    assert_eq!(read.len(), 1);

    faults.set_rules(1, Vec::new());
    rig.run().await;
    assert_equal(&memories.stores["src"], &memories.stores["b"]);
    assert_eq!(rig.last_pass()[1].copied, 5000, "nothing was written twice");
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_waits_and_is_taken_up_when_it_answers_again() {
    let faults = failing(Fault::TimedOut, &[faulty::Operation::Put]);
    let memories = Memories::new(300, &["a", "b"], &[("b", &faults)]);
    let mut rig = memories.rig();
    rig.limits.silence_max = Duration::from_mins(2);
    let heals = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        faults.set_rules(1, Vec::new());
    };
    let (outcome, ()) = futures::join!(rig.try_run(Goal::Verified), heals);
    assert!(outcome.unwrap().datasets[0].reached, "{:?}", rig.failures());
    assert_eq!(told_down(&rig), 0);
    assert_equal(&memories.stores["src"], &memories.stores["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stays_silent_is_down_after_a_while() {
    let faults = failing(Fault::Unreachable, &[faulty::Operation::Put]);
    let memories = Memories::new(300, &["a", "b"], &[("b", &faults)]);
    let mut rig = memories.rig();
    rig.limits.silence_max = Duration::from_mins(2);
    let began = tokio::time::Instant::now();
    let named = down(&rig.try_run(Goal::Verified).await.unwrap());
    assert_eq!(named[0].0, "s3://b/data");
    assert!(began.elapsed() >= Duration::from_mins(2), "{:?}", began.elapsed());
    assert_equal(&memories.stores["src"], &memories.stores["a"]);
    assert_eq!(rig.failures(), Vec::<String>::new());
    faults.set_rules(1, Vec::new());
    rig.run().await;
    assert_equal(&memories.stores["src"], &memories.stores["b"]);
}

/// Nothing may be read for targets of which none answers.
#[tokio::test(start_paused = true)]
async fn a_dataset_whose_targets_are_all_down_ends_with_the_reason() {
    let (silent, expired) = (
        failing(Fault::TimedOut, &[faulty::Operation::Put]),
        failing(Fault::ExpiredCredentials(u64::MAX), &[faulty::Operation::Put]),
    );
    let reads = Arc::new(Faults::none());
    let memories = Memories::new(3000, &["a", "b"], &[("a", &silent), ("b", &expired), ("src", &reads)]);
    reads.set_rules(
        1,
        vec![
            FaultRule::new(Fault::SlowFirstByte(Duration::from_millis(1)), When::Every(1))
                .on([faulty::Operation::Read]),
        ],
    );
    let rig = memories.rig();
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    let stopped = outcome.stopped.expect("the run ends with the reason").to_string();
    assert!(stopped.contains("s3://a/") || stopped.contains("s3://b/"), "{stopped}");
    let read: u64 = reads.struck().values().sum();
    assert!(read < 300, "{read}");
    assert_eq!(recorded(&rig).await.len(), 2);
    silent.set_rules(1, Vec::new());
    expired.set_rules(1, Vec::new());
    expired.renew();
    drop(rig);
    memories.rig().run().await;
    assert_equal(&memories.stores["src"], &memories.stores["a"]);
    assert_equal(&memories.stores["src"], &memories.stores["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_opened_stops_alone_and_all_of_them_the_dataset() {
    let faults = failing(Fault::Unreachable, &[faulty::Operation::Probe]);
    let memories = Memories::new(50, &["a", "b"], &[("b", &faults)]);
    let rig = memories.rig();
    let named = down(&rig.try_run(Goal::Verified).await.unwrap());
    assert_eq!((named[0].0.as_str(), named.len()), ("s3://b/data", 1));
    assert_eq!(recorded(&rig).await, named);
    assert_equal(&memories.stores["src"], &memories.stores["a"]);
    assert!(memories.stores["b"].snapshot().is_empty());
    faults.set_rules(1, Vec::new());
    rig.run().await;
    assert_equal(&memories.stores["src"], &memories.stores["b"]);

    let faults = failing(Fault::Unreachable, &[faulty::Operation::Probe]);
    let memories = Memories::new(50, &["a", "b"], &[("a", &faults), ("b", &faults)]);
    let rig = memories.rig();
    let refused = rig.try_run(Goal::Verified).await.unwrap_err().to_string();
    assert!(refused.contains("s3://b/") || refused.contains("s3://a/"), "{refused}");
    assert!(rig.ledger.meaning(&rig.plan.phases[0].datasets[0].name).await.unwrap().is_none(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_gone_stops_one_target_and_one_that_never_was_stops_the_dataset() {
    let (from, a, b) = (server(|_| {}).await, server(|_| {}).await, server(|_| {}).await);
    for n in 0..50 {
        from.state().put("data", &format!("{n:03}"), format!("body {n}"));
    }
    let (text, directory) = (one_dataset(&["a", "b"], ""), tempdir().unwrap());
    let empty = local_cloud::S3Server::start(local_cloud::S3ServerConfig::new(super::s3::ID, super::s3::SECRET));
    let empty = empty.await.unwrap();
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &empty)]).await, directory.path());
    let refused = rig.try_run(Goal::Verified).await.unwrap_err().to_string();
    assert!(refused.contains("s3://b/data"), "{refused}");
    assert!(rig.ledger.meaning(&rig.plan.phases[0].datasets[0].name).await.unwrap().is_none(), "nothing was begun");
    drop(rig);

    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b)]).await, directory.path());
    rig.run().await;
    drop(rig);
    from.state().put("data", "new", "new");
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &empty)]).await, directory.path());
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(
        matches!(&outcome.datasets[0].waits_for, Some(WaitsFor::Targets(down)) if bare(&down[0].0) == "s3://b/data")
    );
    assert_servers_equal(&from, &a);
}

/// `verify` names the differences of the others, and never calls equal what it has not seen. What a follower did not
/// show is not kept as seen: the next verification looks there.
#[tokio::test(start_paused = true)]
async fn a_verification_goes_on_without_a_follower_that_is_not_listed() {
    let faults = Arc::new(Faults::none());
    let memories = Memories::new(3000, &["a", "b"], &[("b", &faults)]);
    memories.rig().run().await;
    memories.stores["a"].put_raw("0001", "changed", Properties::default());
    memories.stores["b"].put_raw("2999", "changed", Properties::default());
    let verify = async || {
        let mut rig = memories.rig();
        // One listing, so that it is known which page fails.
        rig.limits.split_rows_min = u64::MAX;
        let file = Ledger::open(&memories.directory.path().join("verification.sqlite"), &rig.plan.name).unwrap();
        let options = VerifyOptions { progress: Some(Arc::new(file)), ..rig.verify_options(Level::Listing) };
        rig.inspection(Sink::none(), Shutdown::new()).verify(&options).await.map(|mut all| all.remove(0))
    };
    let after_a_page = (2..2000).map(|page| FaultRule::new(Fault::InternalError, When::Only(page)).on(LIST));
    faults.set_rules(1, after_a_page.collect());
    let first = verify().await.unwrap();
    assert!(first.verified.is_none() && !first.interrupted);
    assert_eq!(found(&first), ["different 0001"]);
    assert_eq!(first.targets[0].counts.compared, 3000, "the other is compared to its end");
    assert!(first.targets[0].unlisted.is_none());
    let b = &first.targets[1];
    assert!((1..3000).contains(&b.counts.compared) && !b.is_equal(), "{}", b.counts.compared);
    assert!(b.unlisted.as_ref().is_some_and(|why| why.contains("list") && why.contains("s3://b/data")), "{b:?}");

    faults.set_rules(1, Vec::new());
    let second = verify().await.unwrap();
    assert_eq!(found(&second), ["different 0001"]);
    assert_eq!(second.targets[1].differences.len(), 1, "it was not seen before");
    assert_eq!(second.targets.iter().map(|found| found.counts.compared).collect::<Vec<_>>(), [3000, 3000]);

    // With none to compare there is nothing to go on with.
    let both = failing(Fault::Unreachable, &LIST);
    let memories = Memories::new(10, &["a"], &[("a", &both)]);
    let alone = memories.rig();
    let options = alone.verify_options(Level::Listing);
    let refused = alone.inspection(Sink::none(), Shutdown::new()).verify(&options).await.unwrap_err().to_string();
    assert!(refused.contains("s3://a/data"), "{refused}");
}

/// A run proves all targets or says why not: its verification does not go on without one.
#[tokio::test(start_paused = true)]
async fn a_run_proves_nothing_while_a_target_is_not_listed() {
    let faults = Arc::new(Faults::none());
    let memories = Memories::new(100, &["a", "b"], &[("b", &faults)]);
    memories.rig().try_run(Goal::Copied).await.unwrap();
    let mut rig = memories.rig();
    rig.limits.split_rows_min = u64::MAX;
    // The pass lists it once, and then the verification cannot.
    let later = (3..2000).map(|page| FaultRule::new(Fault::InternalError, When::Only(page)).on(LIST));
    faults.set_rules(1, later.collect());
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(outcome.stopped.is_some_and(|error| error.to_string().contains("s3://b/data")));
    assert!(matches!(outcome.datasets[0].state, State::Copied { pass: 2 }), "{:?}", outcome.datasets[0].state);
    assert!(outcome.datasets[0].verified.is_none());
}
