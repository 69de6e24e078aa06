//! Opens the stores that a plan names: connections, credentials, limits, residency, retries.
//!
//! Each store is wrapped, from the inside out: counted ([`Metered`]), held to the conditions that it ignores
//! ([`Conditional`]), limited ([`Limited`], by its site and by its dataset), retried ([`Retrying`]), and, where a residency rule forbids the place,
//! guarded ([`Guarded`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::connect::{Connect, Opened, Role};
use crate::sink::Sink;
use crate::{
    clock::now,
    error::EngineError,
    journal::Journal,
    meaning::place_of,
    route::RouteStore,
    sites::{limits::LimitBook, met::Met},
};
use migrate_core::{
    plan::{self, Dataset, Location, Plan, Scheme, Site, policy},
    report::{Event, Redactor},
};
use migrate_ledger::{Ledger, LimitsOf, Record};
use migrate_store::{
    Capabilities, Honoured, KeyRules, MetadataForm, ObjectStore, Proof, UploadTags,
    conditional::Conditional,
    guard::Guarded,
    limit::{Limited, SiteLimits},
    meter::{Meter, Metered, Waiting},
    retry::{RetryPolicy, Retrying},
};

/// How long what a probe found is relied on.
const PROBE_HOLDS_MS: i64 = 24 * 60 * 60 * 1000;

/// Where what an endpoint can do is taken from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probing<'a> {
    /// The ledger, or a probe whose answer is recorded.
    Record(&'a Journal),
    /// The ledger, or where allowed a probe that nobody records.
    Look {
        /// The ledger, where there is one.
        ledger: Option<&'a Ledger>,
        /// Whether endpoints may be asked.
        probe: bool,
    },
}

/// The sites of a plan: one connection and one set of limits each, shared by all datasets.
pub struct Sites {
    connect: Arc<dyn Connect>,
    pub(crate) limits: LimitBook,
    /// What endpoints said when they were asked for a look, which nobody has recorded.
    pub(crate) asked: Mutex<BTreeMap<String, Capabilities>>,
    /// The directories of the migration.
    pub(crate) met: Mutex<Met>,
    retry: RetryPolicy,
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sites").field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// A dataset's stores, decorated and ready.
#[derive(Debug)]
pub struct DatasetStores {
    /// The source.
    pub source: Arc<dyn ObjectStore>,
    /// The targets, in the plan's order.
    pub targets: Vec<Arc<dyn ObjectStore>>,
    /// What the source was asked.
    pub source_meter: Arc<Meter>,
    /// What the targets were asked.
    pub target_meters: Vec<Arc<Meter>>,
    limits: Vec<Arc<SiteLimits>>,
    /// Under what names the ledger keeps what probes of the targets found.
    probe_names: Vec<String>,
}

impl DatasetStores {
    /// What is taken of a store that is only read and was never probed: that it shows what it has.
    pub const ASSUMED: Capabilities = Capabilities { properties: true, tags: true, ..Capabilities::unproved() };

    /// Takes what earlier probes found, as far as the ledger knows.
    pub(crate) async fn adopt_known(&self, ledger: &Ledger) -> Result<(), EngineError> {
        for (store, name) in self.targets.iter().zip(&self.probe_names) {
            match known(ledger, name).await? {
                Some(known) => store.adopt(known),
                None => readable(&**store),
            }
        }
        Ok(())
    }

    /// Nothing is known of the targets, and they are only to be read.
    pub(crate) fn assume(&self) {
        self.targets.iter().for_each(|store| readable(&**store));
    }

    /// Why requests wait, where they do: for a limit, or because a store has failed them again and again.
    pub(crate) fn waits_for(&self, redactor: Redactor) -> Option<String> {
        let meters = std::iter::once(&self.source_meter).chain(&self.target_meters);
        let failing = meters.filter_map(|meter| meter.waiting()).max_by_key(|waiting| waiting.attempt);
        let failing = failing.map(|waiting| {
            let Waiting { key, failure, attempt, attempts_max } = waiting;
            let failure = key.map_or(failure.clone(), |key| redactor.text(&failure, &key));
            format!("attempt {attempt} of {attempts_max}: {failure}")
        });
        failing.or_else(|| self.limits.iter().find_map(|limits| limits.reason()))
    }
}

impl Sites {
    /// Sites whose places are opened by `connect`. If `retry` brings a meter, repeated attempts of all stores
    /// are counted there.
    pub fn new(connect: Arc<dyn Connect>, retry: RetryPolicy) -> Self {
        let (limits, asked, met) = (LimitBook::default(), Mutex::default(), Mutex::default());
        Self { connect, limits, asked, met, retry }
    }

    /// Opens a dataset's stores. With a journal, targets are probed unless the ledger knows them.
    pub(crate) async fn open(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        journal: Option<&Journal>,
        sink: &Sink,
    ) -> Result<DatasetStores, EngineError> {
        let source_meter = Arc::new(Meter::default());
        let mut limits = Vec::new();
        let (source, used) = self.store(plan, dataset, &dataset.source, Role::Source, &source_meter).await?;
        limits.extend(used);
        let (mut targets, mut target_meters) = (Vec::new(), Vec::new());
        for target in &dataset.targets {
            let meter = Arc::new(Meter::default());
            let role = if journal.is_some() { Role::Target } else { Role::Look };
            let (store, used) = self.target(plan, dataset, target, role, &meter).await?;
            limits.extend(used);
            if let Some(journal) = journal {
                self.known_or_probed(&*store, &probe_name(plan, &target.at), journal, sink).await?;
            }
            targets.push(store);
            target_meters.push(meter);
        }
        if let Some(journal) = journal {
            self.record_places(journal).await?;
        }
        let probe_names = dataset.targets.iter().map(|target| probe_name(plan, &target.at)).collect();
        Ok(DatasetStores { source, targets, source_meter, target_meters, limits, probe_names })
    }

    /// Opens a dataset's stores for a look: what is known of the targets is taken from the ledger,
    /// what is not is asked where `probe` allows it, and nothing is recorded.
    pub(crate) async fn open_to_look(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        ledger: Option<&Arc<Ledger>>,
        probe: bool,
        sink: &Sink,
    ) -> Result<DatasetStores, EngineError> {
        let stores = self.open(plan, dataset, None, sink).await?;
        if let Some(ledger) = ledger {
            stores.adopt_known(ledger).await?;
        }
        for (store, name) in stores.targets.iter().zip(&stores.probe_names) {
            let known = store.capabilities();
            if known != Capabilities::unproved() && known != DatasetStores::ASSUMED {
                continue;
            }
            if probe {
                let found = self.ask(&**store, name).await?;
                let location = store.location().to_owned();
                sink.tell(Event::Probed { location, proof: found.proof, lacks: lacks(&found) });
            } else {
                readable(&**store);
            }
        }
        Ok(stores)
    }

    /// Opens the route of a dataset. With a journal its store is probed unless the ledger knows it; for
    /// a look, what is known is taken and nothing is made.
    pub(crate) async fn open_route(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        route: &plan::Route,
        asked: Probing<'_>,
        sink: &Sink,
    ) -> Result<RouteStore, EngineError> {
        let (at, _) = route.folder_and_name();
        let role = Role::Route { writes: matches!(asked, Probing::Record(_)) };
        // No limits: a switch that waits for working hours, or behind a queue, would be made on a proof
        // that is old by then.
        let (_, bare) = self.bare(plan, &at, role).await?;
        if let Probing::Record(journal) = asked {
            self.record_places(journal).await?;
        }
        let kept = Arc::new(Conditional::new(bare));
        let store: Arc<dyn ObjectStore> = Arc::new(Retrying::new(kept, self.retry.clone()));
        let name = probe_name(plan, &at);
        if at.scheme == Scheme::File && !matches!(asked, Probing::Look { probe: false, .. }) {
            // Whether this file system refuses what it must: nothing of it holds for another, so it is not kept.
            store.probe().await?;
        }
        match asked {
            Probing::Record(journal) => self.known_or_probed(&*store, &name, journal, sink).await?,
            Probing::Look { ledger, probe } => self.known_or_asked(&*store, &name, ledger, probe).await?,
        }
        let place = place_of(plan, &at).unwrap_or_default();
        Ok(RouteStore::of(store, route, dataset.name.clone()).at_place(&place))
    }

    /// Opens the route of a dataset to read it, and records nothing.
    pub(crate) async fn open_route_to_look(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        route: &plan::Route,
        ledger: Option<&Ledger>,
        probe: bool,
    ) -> Result<RouteStore, EngineError> {
        self.open_route(plan, dataset, route, Probing::Look { ledger, probe }, &Sink::none()).await
    }

    /// Opens one target, guarded where a policy forbids it.
    pub(crate) async fn target(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        target: &plan::Target,
        role: Role,
        meter: &Arc<Meter>,
    ) -> Result<(Arc<dyn ObjectStore>, Vec<Arc<SiteLimits>>), EngineError> {
        let (mut store, used) = self.store(plan, dataset, &target.at, role, meter).await?;
        // The plan's check has refused this already; if code ever gets this far, so does the store.
        if let Err(reason) = policy::verdict(plan, dataset, target) {
            store = Arc::new(Guarded::new(store, &reason));
        }
        Ok((store, used))
    }

    /// What the ledger knows of an endpoint, or what it says now.
    async fn known_or_probed(
        &self,
        store: &dyn ObjectStore,
        name: &str,
        journal: &Journal,
        sink: &Sink,
    ) -> Result<(), EngineError> {
        let location = store.location().to_owned();
        if let Some(known) = known(&journal.ledger, name).await? {
            store.adopt(known);
            return Ok(());
        }
        // A store that was asked already in this process need not be asked again; what a look found is
        // good for one record of it, since a later one would make it seem younger than it is.
        let looked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(found) = looked {
            store.adopt(found);
        }
        let mut found = store.capabilities();
        if found == Capabilities::unproved() {
            found = store.probe().await?;
        }
        sink.tell(Event::Probed { location, proof: found.proof, lacks: lacks(&found) });
        let capabilities = serde_json::to_string(&found).expect("capabilities are plain data");
        let probed = Record::Probed { location: name.to_owned(), capabilities, at: now() };
        Ok(journal.commit(vec![probed]).await?)
    }

    pub(crate) async fn store(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        at: &Location,
        role: Role,
        meter: &Arc<Meter>,
    ) -> Result<(Arc<dyn ObjectStore>, Vec<Arc<SiteLimits>>), EngineError> {
        let (site, bare) = self.bare(plan, at, role).await?;
        let metered = Arc::new(Metered::new(bare, Arc::clone(meter)));
        let mut store: Arc<dyn ObjectStore> = Arc::new(Conditional::new(metered));
        let mut used = Vec::new();
        // A dataset has limits of its own even where the plan sets none: they may be set later.
        for of in [LimitsOf::Site(site.name.clone()), LimitsOf::Dataset(dataset.name.clone())] {
            let limits = self.limits.of(plan, &of)?;
            used.push(Arc::clone(&limits));
            store = Arc::new(Limited::new(store, limits));
        }
        let retries = self.retry.meter.as_ref().unwrap_or(meter);
        let retry = RetryPolicy { meter: Some(Arc::clone(retries)), ..self.retry.clone() };
        Ok((Arc::new(Retrying::new(store, retry)), used))
    }

    async fn bare<'p>(
        &self,
        plan: &'p Plan,
        at: &Location,
        role: Role,
    ) -> Result<(&'p Site, Arc<dyn ObjectStore>), EngineError> {
        let site = plan.sites.get(&at.site).ok_or_else(|| EngineError::Site {
            site: at.site.to_string(),
            detail: "the plan does not describe it".to_owned(),
        })?;
        let migration = self.migration();
        let store = match self.connect.open(plan, site, at, role, migration.as_deref()).await? {
            Opened::Store(store) => store,
            Opened::Directory => self.directory(plan, site, at, role)?,
        };
        if role == Role::Source {
            // A source is never written, so it is never probed: its answers tell the rest.
            readable(&*store);
        }
        Ok((site, store))
    }

    /// Takes the limits that an operator has set in place of the plan's.
    pub(crate) async fn adopt_limits(&self, plan: &Plan, ledger: &Ledger) -> Result<(), EngineError> {
        self.limits.set(plan, ledger.limits().await?)
    }
}

/// Under what name the ledger keeps what a probe found: another server is another place, whatever
/// its site is called.
pub(crate) fn probe_name(plan: &Plan, at: &Location) -> String {
    format!("{at} ({})", place_of(plan, at).unwrap_or_default())
}

/// What the ledger knows, unless it is old: servers are upgraded. What an older build wrote may lack
/// a field; then the endpoint is asked again too.
pub(crate) async fn known(ledger: &Ledger, name: &str) -> Result<Option<Capabilities>, EngineError> {
    let found = ledger.capabilities(name).await?;
    let fresh = found.filter(|(_, at)| now().0 - at.0 < PROBE_HOLDS_MS);
    Ok(fresh.and_then(|(known, _)| serde_json::from_str(&known).ok()))
}

/// What an endpoint cannot do and this tool makes up for.
pub(crate) fn lacks(found: &Capabilities) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    let all = |honoured: Honoured| honoured.absent && honoured.matches.is_honoured();
    if !all(found.on_put()) {
        lacks.push("conditional writes");
    }
    if !all(found.on_finish()) {
        lacks.push("conditional writes in parts");
    }
    if !found.delete_if_matches.is_honoured() {
        lacks.push("conditional deletes");
    }
    if !found.keeps_crc64nvme && !matches!(found.proof, Proof::Fsynced) {
        lacks.push("CRC-64/NVME checksums");
    }
    if !found.tags {
        lacks.push("tags");
    }
    if found.tags && found.upload_tags == UploadTags::Lost {
        lacks.push("tags of objects in parts");
    }
    if !found.properties {
        lacks.push("properties");
    }
    if found.properties && found.metadata == MetadataForm::Ascii {
        lacks.push("metadata that is not ASCII");
    }
    if found.keys != KeyRules::ALL {
        lacks.push("some shapes of keys");
    }
    lacks
}

fn readable(store: &dyn ObjectStore) {
    if store.capabilities() == Capabilities::unproved() {
        store.adopt(DatasetStores::ASSUMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sites::connect::Given;
    use migrate_store::memory::MemoryStore;

    /// A look that stands above the limits or the retries would lie hours before the write that it is for.
    #[tokio::test]
    async fn a_store_looks_below_its_limits_and_its_retries() {
        let text = "name = \"p\"\n[sites.a]\ndirectory = \"a\"\n[sites.b]\ndirectory = \"b\"\n[[phase]]\nname = \"f\"\n\
                    [[phase.dataset]]\nname = \"d\"\nsource = \"file://a/x\"\ntargets = [\"file://b/x\"]\n\
                    waive = [\"properties\"]\n";
        let plan = plan::parse(text, std::path::Path::new("plan.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let given = Given::new(|_, _| Some(Arc::new(MemoryStore::new("file://b/x/")) as Arc<dyn ObjectStore>));
        let sites = Sites::new(Arc::new(given), RetryPolicy::default());
        let dataset = &plan.phases[0].datasets[0];
        let (store, _) =
            sites.store(&plan, dataset, &dataset.targets[0].at, Role::Target, &Arc::default()).await.unwrap();
        let text = format!("{store:?}");
        let layers: Vec<_> = text.split(" { inner: ").take(5).collect();
        assert_eq!(layers, ["Retrying", "Limited", "Limited", "Conditional", "Metered"], "{text}");
    }
}
