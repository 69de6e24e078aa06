//! The soak: whole migrations at many seeds, with faults of every kind, that must all end equal.
//!
//! A seed draws the place (stores in memory behind the decorator that fails, or S3 servers that fail, over
//! HTTP), the number of followers, the objects, the faults and their rates, the stops of runs, and the changes
//! by applications between them. Then the same command is given again and again, as an operator would: a
//! bounded number of tries must bring every follower to equality, and no run may ever say that it is there
//! when it is not.
//!
//! By default it tries a few seeds. `tests/soak/run` tries hundreds and prints the results:
//!
//! - `MIGRATE_SOAK_SEEDS`: how many seeds; `MIGRATE_SOAK_FIRST`: the first one, to replay a failure.
//! - `MIGRATE_SOAK_RACE_SEEDS` and `MIGRATE_SOAK_RACE_ITEMS`: the same for tables that are written to while they are
//!   copied.
//! - `MIGRATE_SOAK_TWENTIETH_SEEDS` and `MIGRATE_SOAK_OBJECTS`: the same for the migrations in which
//!   every 20th request of every server fails.

use std::{collections::BTreeMap, env, path::Path, sync::Arc};

use migrate::engine::sites::Given;
use migrate::{
    engine::{EngineError, RunOutcome, Shutdown, Sites},
    ledger::{CommitFate, Options},
    lifecycle::Goal,
    local_cloud::{Fault, FaultRule, Faults, When},
    plan::{Level, Location},
    store::{meter::Meter, retry::RetryPolicy},
};
use tempfile::tempdir;
use tokio::task::JoinSet;

mod draw;
mod place;
mod race;

use self::{
    draw::{Draw, Interruption, TARGETS},
    place::{Object, Place},
};
use crate::migration::{Rig, Stores, one_dataset, quick};

/// The most tries of the same command.
const TRIES_MAX: u32 = 40;
/// The number of migrations under way at once: they mostly wait.
const AT_ONCE: usize = 4;

/// The result of one or many migrations.
#[derive(Debug, Default)]
struct Totals {
    migrations: u64,
    targets: u64,
    objects: u64,
    requests: u64,
    faults: BTreeMap<&'static str, u64>,
    retries: u64,
    runs: BTreeMap<u32, u64>,
}

impl Totals {
    fn of(places: &[Place], runs: u32, retries: u64) -> Self {
        let mut totals = Self { migrations: 1, retries, ..Self::default() };
        totals.targets = places.len() as u64 - 1;
        totals.objects = totals.targets * places[0].objects().len() as u64;
        totals.requests = places.iter().map(Place::requests).sum();
        totals.runs.insert(runs, 1);
        for (kind, count) in places.iter().flat_map(Place::struck) {
            *totals.faults.entry(kind).or_default() += count;
        }
        totals
    }

    fn add(&mut self, other: Self) {
        self.migrations += other.migrations;
        self.targets += other.targets;
        self.objects += other.objects;
        self.requests += other.requests;
        self.retries += other.retries;
        other.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        other.runs.into_iter().for_each(|(runs, count)| *self.runs.entry(runs).or_default() += count);
    }

    #[expect(clippy::print_stdout, reason = "what the soak came to is its result")]
    fn print(&self, name: &str) {
        println!("soak: {name}");
        println!("  {} migrations to {} targets, {} objects", self.migrations, self.targets, self.objects);
        println!("  {} requests over HTTP, {} attempts repeated", self.requests, self.retries);
        println!("  {} faults", self.faults.values().sum::<u64>());
        self.faults.iter().for_each(|(kind, count)| println!("    {count:>8}  {kind}"));
        let runs = self.runs.iter().map(|(runs, count)| format!("{runs} ({count}x)")).collect::<Vec<_>>();
        println!("  runs that it took: {}", runs.join(", "));
    }
}

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// Tries seeds side by side; a failure does not stop the others, and says how to replay it.
async fn soak<F: Future<Output = Totals> + Send + 'static>(test: &str, count: (&str, u64), one: fn(u64) -> F) {
    let (seeds, first) = (setting(count.0, count.1), setting("MIGRATE_SOAK_FIRST", 1));
    let mut waiting = first..first + seeds;
    let (mut totals, mut failed, mut running) = (Totals::default(), Vec::new(), JoinSet::new());
    let mut names = BTreeMap::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(seed) = waiting.next()
        {
            names.insert(running.spawn(one(seed)).id(), seed);
        }
        match running.join_next_with_id().await {
            None => break,
            Some(Ok((_, ended))) => totals.add(ended),
            Some(Err(error)) => {
                let seed = names[&error.id()];
                failed.push((seed, panic_text(error.into_panic())));
            }
        }
    }
    totals.print(test);
    let setting = count.0;
    let replays: Vec<_> = failed.iter().map(|(seed, why)| {
        format!("{why}\n  MIGRATE_SOAK_FIRST={seed} {setting}=1 cargo test --test it soak::{test} -- --exact --nocapture")
    }).collect();
    assert!(replays.is_empty(), "these do not end as they must; to replay:\n{}", replays.join("\n"));
    assert!(seeds > 0 && totals.faults.values().sum::<u64>() > seeds, "faults came: {totals:?}");
}

/// The message of a task that panicked.
fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast::<String>().map(|text| *text);
    text.or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// A rig over the places, whose first run may be stopped on its way.
fn rig(places: &[Place], directory: &Path, retries: &Arc<Meter>, stop: Option<Interruption>) -> Rig {
    let sites = std::iter::once("src").chain(TARGETS);
    let stores: Stores = sites.zip(places).map(|(site, place)| (site.to_owned(), place.store())).collect();
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    let on_commit = move |number| {
        if let Some(stop) = stop.filter(|stop| stop.at_commit == number) {
            for _ in 0..stop.asks {
                asked.ask();
            }
        }
        CommitFate::Go
    };
    let options = Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() };
    let text = one_dataset(&TARGETS[..places.len() - 1], "extra = \"delete\"\ndelete_share = \"60%\"");
    let mut rig = Rig::with_ledger(&text, Stores::new(), directory, options);
    let retry = RetryPolicy { meter: Some(Arc::clone(retries)), ..quick() };
    let open = move |at: &Location, _| stores.get(at.site.as_str()).cloned();
    rig.sites = Sites::new(Arc::new(Given::new(open)), retry);
    rig.shutdown = shutdown;
    for target in &mut rig.plan.phases[0].datasets[0].targets {
        target.part_size = Some(places[0].part_size());
    }
    rig
}

/// Whether a run says that everything is there and equal. Only a cause that may pass may have stopped it: a
/// store that failed, or the operator.
fn reached(outcome: Result<RunOutcome, EngineError>) -> bool {
    let may_pass = |error: &EngineError| matches!(error, EngineError::Store(_) | EngineError::Cancelled);
    match outcome {
        Err(error) => {
            assert!(may_pass(&error), "{error}");
            false
        }
        Ok(outcome) => {
            assert!(outcome.stopped.as_ref().is_none_or(may_pass), "{:?}", outcome.stopped);
            assert_eq!(outcome.datasets.len(), 1, "also a run that was stopped says where the dataset stands");
            outcome.datasets.iter().all(|dataset| dataset.reached && dataset.verified.is_some())
        }
    }
}

fn assert_equal(places: &[Place]) {
    let ours = places[0].objects();
    for place in &places[1..] {
        let theirs = place.objects();
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (key, object) in &ours {
            let theirs = &theirs[key];
            assert!(object.bytes == theirs.bytes, "{key:?} has other bytes: {object:?} became {theirs:?}");
            assert_eq!(object, theirs, "{key:?}");
        }
    }
}

/// Gives the same command until it says that it is done and nothing more changes.
async fn run_until_equal(places: &[Place], draw: &mut Draw, directory: &Path, retries: &Arc<Meter>) -> u32 {
    let (interruptions, mut changes) = (draw.interruptions(), draw.changes());
    for run in 1..=TRIES_MAX {
        let stop = interruptions.get(run as usize - 1).copied().flatten();
        let rig = rig(places, directory, retries, stop);
        let done = reached(rig.try_run(Goal::Verified).await);
        if done {
            assert_equal(places);
        }
        if changes > 0 {
            changes -= 1;
            draw.change(&places[0]);
        } else if done {
            return run;
        } else if run == TRIES_MAX {
            panic!("not equal after {run} runs: {:?}", rig.failures());
        }
        places.iter().for_each(Place::renew);
    }
    unreachable!("the last try returns or panics")
}

/// The end, when nothing fails any more: proved byte by byte, and nothing is left behind.
async fn assert_proved(places: &[Place], directory: &Path, retries: &Arc<Meter>) {
    places.iter().for_each(Place::calm);
    let rig = rig(places, directory, retries, None);
    let verification = rig.verify(Level::Bytes).await;
    assert!(verification.verified.is_some(), "{:?}", verification.targets);
    assert_equal(places);
    let again = rig.try_run(Goal::Copied).await.unwrap();
    assert!(again.datasets[0].reached, "{:?} {:?}", again.datasets, again.stopped);
    assert!(rig.last_pass().iter().all(|tally| tally.copied == 0 && tally.deleted == 0), "{:?}", rig.last_pass());
    let left: Vec<_> = places.iter().map(Place::unfinished_uploads).collect();
    assert!(left.iter().all(|uploads| *uploads == 0), "uploads are left: {left:?}");
}

async fn places(over_http: bool, targets: usize) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, site) in std::iter::once("src").chain(TARGETS).take(targets + 1).enumerate() {
        places.push(if over_http { Place::server(site, number == 0).await } else { Place::memory(site, number == 0) });
    }
    places
}

/// One migration, all of it drawn from the seed.
async fn migrate_at(seed: u64) -> Totals {
    let mut draw = Draw::new(seed);
    let places = places(draw.one_in(3), draw.targets().len()).await;
    for (key, object) in draw.objects(places[0].part_size()) {
        places[0].put(&key, &object);
    }
    for place in &places {
        draw.trouble(place);
    }
    let (directory, retries) = (tempdir().unwrap(), Arc::new(Meter::default()));
    let runs = run_until_equal(&places, &mut draw, directory.path(), &retries).await;
    assert_proved(&places, directory.path(), &retries).await;
    Totals::of(&places, runs, retries.snapshot().retries)
}

/// One migration between servers that each fail every 20th request, and every 20th body and finish too.
async fn migrate_with_every_twentieth_failing(seed: u64) -> Totals {
    const GENERAL: [Fault; 4] = [Fault::InternalError, Fault::SlowDown, Fault::ResetBefore, Fault::ResetAfter];
    let mut draw = Draw::new(seed);
    let places = places(true, draw.targets().len()).await;
    for n in 0..setting("MIGRATE_SOAK_OBJECTS", 60) {
        let tags = if n % 50 == 0 { [("n".to_owned(), n.to_string())].into() } else { BTreeMap::new() };
        let (bytes, metadata) = (format!("object {n} of seed {seed}").into(), BTreeMap::new());
        places[0]
            .put(&format!("{}/{n:05}", n % 7), &Object { bytes, content_type: "text/plain".into(), metadata, tags });
    }
    for (number, place) in places.iter().enumerate() {
        let Place::Server { server, .. } = place else { unreachable!("all places are servers") };
        let body = if seed.is_multiple_of(2) { Fault::TruncateResponse } else { Fault::FlipResponseBit };
        let special = [body, Fault::FlipRequestBit, Fault::ErrorInside];
        let general = GENERAL[(usize::try_from(seed).unwrap_or(0) + number) % GENERAL.len()];
        let kinds = [general].into_iter().chain(special);
        let rules = kinds.map(|fault| FaultRule::new(fault, When::Every(20))).collect();
        server.set_faults(Faults { seed, rules });
    }
    let (directory, retries) = (tempdir().unwrap(), Arc::new(Meter::default()));
    for run in 1..=TRIES_MAX {
        let rig = rig(&places, directory.path(), &retries, None);
        if reached(rig.try_run(Goal::Verified).await) {
            assert_equal(&places);
            let requests: u64 = places.iter().map(Place::requests).sum();
            let struck: u64 = places.iter().flat_map(Place::struck).map(|(_, count)| count).sum();
            assert!(struck >= requests / 20 - places.len() as u64, "{struck} faults in {requests} requests");
            assert_proved(&places, directory.path(), &retries).await;
            return Totals::of(&places, run, retries.snapshot().retries);
        }
        assert!(run < TRIES_MAX, "not equal after {run} runs: {:?}", rig.failures());
    }
    unreachable!("the last try returns or panics")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_ends_equal() {
    soak("every_seed_ends_equal", ("MIGRATE_SOAK_SEEDS", 5), migrate_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_on_every_twentieth_request_ends_equal() {
    let (test, count) = ("a_fault_on_every_twentieth_request_ends_equal", ("MIGRATE_SOAK_TWENTIETH_SEEDS", 2));
    soak(test, count, migrate_with_every_twentieth_failing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_written_to_ends_with_each_last_write_in_its_partition() {
    let (test, count) =
        ("a_table_that_is_written_to_ends_with_each_last_write_in_its_partition", ("MIGRATE_SOAK_RACE_SEEDS", 2));
    soak(test, count, race::race_at).await;
}
