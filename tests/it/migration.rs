//! Whole migrations, in process: plan text in, proved followers out.

mod claims;
mod clocks;
mod conditions;
mod crash;
mod cutover;
mod dates;
mod directories;
mod faults;
mod following;
mod lanes;
mod large;
mod lifecycle;
mod routed;
pub(crate) mod s3;
mod surveys;
mod table_cutover;
mod table_expiry;
mod table_old_lead;
mod table_troubles;
mod unknown;
mod verifying;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use migrate::engine::sites::Given;
use migrate::{
    engine::{
        self, AbortOptions, ByFlag, Clock, InFlightMax, Inspection, Migration, RunOptions, RunOutcome, Shutdown, Sites,
        Verification, VerifyOptions,
    },
    ledger::{Ledger, Options},
    lifecycle::Goal,
    model::DatasetName,
    plan::{self, Level, Location, Plan},
    report::{EventKind, Sink},
    store::{ObjectStore, memory::MemoryStore, retry::RetryPolicy},
    survey::SurveyOptions,
};

/// Stores by site name.
pub(crate) type Stores = BTreeMap<String, Arc<dyn ObjectStore>>;

/// One migration: a plan, its stores, its ledger.
pub(crate) struct Rig {
    pub(crate) plan: Plan,
    pub(crate) sites: Sites,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) limits: InFlightMax,
    pub(crate) force: bool,
    /// Whether every cutover is approved.
    pub(crate) approves: bool,
    pub(crate) shutdown: Shutdown,
    pub(crate) events: Arc<Mutex<Vec<EventKind>>>,
}

/// Retries without waits.
pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy {
        pause: Duration::from_millis(1),
        pause_throttled: Duration::from_millis(1),
        pause_max: Duration::from_millis(2),
        seed: Some(1),
        ..RetryPolicy::default()
    }
}

/// A plan of one dataset from `src` to these sites, with more lines for the dataset.
pub(crate) fn one_dataset(targets: &[&str], more: &str) -> String {
    let site = |site: &str| {
        format!(
            "[sites.{site}]\ns3 = {{ endpoint = \"https://{site}.example.com\", region = \"r\", path_style = true }}\n\
             credentials = {{ env = \"UNUSED\" }}\n"
        )
    };
    let sites: String = std::iter::once(&"src").chain(targets).map(|name| site(name)).collect();
    let targets: Vec<_> = targets.iter().map(|site| format!("\"s3://{site}/data/\"")).collect();
    format!(
        "name = \"test\"\n{sites}[[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"things\"\nsource = \"s3://src/data/\"\n\
         targets = [{}]\n{more}\n",
        targets.join(", ")
    )
}

pub(crate) fn parse(text: &str) -> Plan {
    plan::parse(text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

impl Rig {
    /// A rig over stores that stand in for the sites, with its ledger in `directory`.
    pub(crate) fn new(text: &str, stores: Stores, directory: &Path) -> Self {
        Self::with_ledger(text, stores, directory, Options::default())
    }

    pub(crate) fn with_ledger(text: &str, stores: Stores, directory: &Path, options: Options) -> Self {
        let plan = parse(text);
        let open = move |at: &Location, _role| stores.get(at.site.as_str()).cloned();
        let path = directory.join("ledger.sqlite");
        let ledger = Ledger::open_with(&path, &plan.name, options).expect("the ledger opens");
        Self {
            plan,
            sites: Sites::new(Arc::new(Given::new(open)), quick()),
            ledger: Arc::new(ledger),
            // A target that is silent on purpose is silent for good, unless a test says otherwise.
            limits: InFlightMax { silence_max: Duration::ZERO, ..InFlightMax::default() },
            force: false,
            approves: true,
            shutdown: Shutdown::new(),
            events: Arc::default(),
        }
    }

    fn listen(&self) -> (Sink, tokio::task::JoinHandle<()>) {
        let (sink, mut heard) = Sink::new(Clock::start());
        let events = Arc::clone(&self.events);
        let task = tokio::spawn(async move {
            let mut last = Duration::ZERO;
            while let Some(event) = heard.recv().await {
                assert!(event.elapsed >= last, "{event:?} after {last:?}");
                last = event.elapsed;
                events.lock().unwrap().push(event.kind);
            }
        });
        (sink, task)
    }

    fn migration(&self, sink: Sink, shutdown: Shutdown) -> Migration<'_> {
        Migration { plan: &self.plan, sites: &self.sites, ledger: Arc::clone(&self.ledger), sink, shutdown }
    }

    fn inspection(&self, sink: Sink, shutdown: Shutdown) -> Inspection<'_> {
        let ledger = Some(Arc::clone(&self.ledger));
        Inspection { plan: &self.plan, sites: &self.sites, ledger, sink, shutdown }
    }

    pub(crate) async fn try_run(&self, goal: Goal) -> Result<RunOutcome, engine::EngineError> {
        let options = RunOptions {
            goal,
            phases: Vec::new(),
            datasets: Vec::new(),
            force: self.force,
            follow: false,
            counts: false,
            limits: self.limits,
            approver: Arc::new(ByFlag { all: self.approves, by: "the test".into(), ..ByFlag::default() }),
        };
        let (sink, task) = self.listen();
        let outcome = self.migration(sink, self.shutdown.clone()).run(&options).await;
        task.await.unwrap();
        outcome
    }

    /// Runs to a clean verification, or panics with what stands in the way.
    pub(crate) async fn run(&self) -> RunOutcome {
        let outcome = self.try_run(Goal::Verified).await.unwrap_or_else(|error| panic!("{error}"));
        if let Some(error) = &outcome.stopped {
            panic!("the run stopped: {error}");
        }
        for dataset in &outcome.datasets {
            let failures = self.failures();
            assert!(dataset.reached, "{}: {:?} {:?} {failures:?}", dataset.dataset, dataset.state, dataset.waits_for);
        }
        outcome
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let failed = events.iter().filter_map(|event| match event {
            EventKind::RecordFailed { key, reason, .. } => Some(format!("{key}: {reason}")),
            EventKind::Differs { difference, .. } => Some(format!("{difference:?}")),
            _ => None,
        });
        failed.collect()
    }

    /// What the last pass did at each target: copied, same, deleted, repeated records.
    pub(crate) fn last_pass(&self) -> Vec<migrate::shard::Tally> {
        let events = self.events.lock().unwrap();
        let ended = events.iter().rev().find_map(|event| match event {
            EventKind::DatasetEnded { targets, .. } => Some(targets.iter().map(|target| target.tally).collect()),
            _ => None,
        });
        ended.expect("a pass ended")
    }

    pub(crate) fn source_bytes_read(&self) -> u64 {
        let events = self.events.lock().unwrap();
        let read = events.iter().rev().find_map(|event| match event {
            EventKind::DatasetEnded { source_bytes_read, .. } => Some(*source_bytes_read),
            _ => None,
        });
        read.expect("a pass ended")
    }

    /// Lets a survey probe the targets before faults begin.
    pub(crate) async fn sites_probe(&self) -> bool {
        let inspection = self.inspection(Sink::none(), self.shutdown.clone());
        inspection.survey(&self.survey_options()).await.expect("the survey is made").runnable
    }

    fn survey_options(&self) -> SurveyOptions {
        SurveyOptions { datasets: Vec::new(), probe: true, limits: self.limits }
    }

    fn verify_options(&self, level: Level) -> VerifyOptions {
        VerifyOptions { datasets: Vec::new(), level: Some(level), limits: self.limits, progress: None, anew: false }
    }

    pub(crate) async fn verify(&self, level: Level) -> Verification {
        let verified = self.inspection(Sink::none(), Shutdown::new()).verify(&self.verify_options(level)).await;
        verified.unwrap_or_else(|error| panic!("{error}")).remove(0)
    }

    pub(crate) async fn try_repair(
        &self,
        level: Level,
        datasets: &[&str],
    ) -> Result<(Vec<Verification>, u64), engine::EngineError> {
        let datasets = datasets.iter().map(|name| DatasetName::new(name).unwrap()).collect();
        let options = VerifyOptions { datasets, ..self.verify_options(level) };
        self.migration(Sink::none(), Shutdown::new()).repair(&options).await
    }

    /// Gives one dataset up, and deletes nothing.
    pub(crate) async fn abort(&self, dataset: &str) -> engine::Aborted {
        let options = AbortOptions { datasets: vec![DatasetName::new(dataset).unwrap()], discard: false };
        let migration = self.migration(Sink::none(), self.shutdown.clone());
        migration.abort(&options, self.limits).await.unwrap().remove(0)
    }

    pub(crate) async fn discard(&self) -> Vec<engine::Aborted> {
        let options = AbortOptions { datasets: Vec::new(), discard: true };
        let ends = self.migration(Sink::none(), Shutdown::new()).abort(&options, self.limits).await;
        ends.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn repair(&self, level: Level) -> (Verification, u64) {
        let (mut verifications, mended) = self.try_repair(level, &[]).await.unwrap_or_else(|error| panic!("{error}"));
        (verifications.remove(0), mended)
    }
}

/// What a verification found at its first target: "kind key", in key order.
pub(crate) fn found(verification: &Verification) -> Vec<String> {
    let differences = &verification.targets[0].differences;
    differences.iter().map(|difference| format!("{} {}", difference.kind.as_str(), difference.key)).collect()
}

/// Memory stores by site name.
pub(crate) fn memory(sites: &[&str]) -> BTreeMap<String, Arc<MemoryStore>> {
    sites.iter().map(|site| ((*site).to_owned(), Arc::new(MemoryStore::new(&format!("s3://{site}/data/"))))).collect()
}

pub(crate) fn dynamic(stores: &BTreeMap<String, Arc<MemoryStore>>) -> Stores {
    stores.iter().map(|(site, store)| (site.clone(), Arc::clone(store) as Arc<dyn ObjectStore>)).collect()
}

/// Asserts that a target holds the same keys and bytes as the source.
pub(crate) fn assert_equal(source: &MemoryStore, target: &MemoryStore) {
    let (ours, theirs) = (source.snapshot(), target.snapshot());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (key, object) in &ours {
        assert_eq!(object.bytes, theirs[key].bytes, "{key}");
        assert_eq!(object.properties, theirs[key].properties, "{key}");
    }
}
