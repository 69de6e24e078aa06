//! Opens the stores that a plan names, with limits, residency rules and retries.
//!
//! Each store is wrapped, from the inside out: counted ([`Metered`]), held to the conditions that it ignores
//! ([`Conditional`]), asked for the dataset's lease before each write ([`Leased`], if its route says who may write),
//! limited ([`Limited`], by its site and by its dataset), retried and noted ([`Retrying`], [`Noted`]), and, if a
//! residency rule forbids the place, guarded ([`Guarded`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::join_all;

use super::{
    connect::{Connect, Opened, Role},
    leased::Leased,
    noted::Noted,
    unopened::Unopened,
};
use crate::{
    clock::now,
    error::EngineError,
    journal::Journal,
    lease::Lease,
    routed::judge_of,
    shutdown::Shutdown,
    sink::Sink,
    sites::{
        limits::LimitBook,
        met::{Claims, Met},
        probed::{by_server, known, lacks, probe_name},
        widths::Widths,
    },
    star::Star,
};
use migrate_core::{
    model::{DatasetName, PlaceIndex},
    plan::{Dataset, Location, Plan, Site, policy},
    report::{EventKind, Redactor},
    routing::Routing,
};
use migrate_ledger::{Ledger, LimitsOf, Record};
use migrate_store::{
    Capabilities, ErrorKind, ObjectStore,
    conditional::Conditional,
    guard::Guarded,
    limit::{Limited, SiteLimits},
    meter::{Meter, Metered, Waiting},
    retry::{RetryPolicy, Retrying, TrackWrites},
};

/// How the capabilities of an endpoint are found out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probing<'a> {
    /// From the ledger, or by a probe that is recorded.
    Record(&'a Journal),
    /// From the ledger, or by a probe that is not recorded.
    Look {
        /// The ledger, if there is one.
        ledger: Option<&'a Ledger>,
        /// Whether endpoints may be probed.
        probe: bool,
    },
}

/// What the writes of a dataset at one place are asked and noted by.
#[derive(Debug)]
pub(crate) struct Writing {
    /// `None` if no route says who may write there.
    lease: Option<Arc<Lease>>,
    noted: Arc<dyn TrackWrites>,
}

/// The store of one place, with the limits that it keeps.
type OneOpened = (Arc<dyn ObjectStore>, Vec<Arc<SiteLimits>>);

/// The sites of a plan: one connection and one set of limits each, shared by all datasets.
pub struct Sites {
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) limits: Arc<LimitBook>,
    /// Results of probes that the ledger does not hold, by probe name.
    pub(crate) asked: Mutex<BTreeMap<String, Capabilities>>,
    /// The directories that the migration has opened.
    pub(crate) met: Mutex<Met>,
    /// What operators said about claims.
    pub(crate) claims: Mutex<Claims>,
    pub(crate) retry: RetryPolicy,
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sites").field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// A dataset's stores of one kind, wrapped and ready.
#[derive(Debug)]
pub struct DatasetStores<S: ?Sized = dyn ObjectStore> {
    /// By place: the source, then the targets in the plan's order.
    pub(crate) places: Vec<Arc<S>>,
    /// Count the requests to each place.
    pub(crate) meters: Vec<Arc<Meter>>,
    /// Which of them leads, and which may be written.
    pub(crate) star: Star,
    /// Where the records belong.
    pub(crate) routing: Routing,
    /// The lease that every write at a follower asks; `None` if no route says who may write there.
    pub(crate) lease: Option<Arc<Lease>>,
    /// The targets that could not be opened, and why; a store that always fails stands in for each.
    pub(crate) unopened: Vec<(PlaceIndex, EngineError)>,
    pub(crate) limits: Vec<Arc<SiteLimits>>,
    /// The sites that are asked for anything: those of the lead and of the followers.
    pub(crate) widths: Widths,
    /// The names under which the ledger keeps the probes of the places.
    pub(crate) probe_names: Vec<String>,
}

impl<S: ?Sized> DatasetStores<S> {
    /// What stops the work on the dataset: the loss of its lease does, and whatever stops the run.
    pub(crate) fn shutdown(&self, run: &Shutdown) -> Shutdown {
        self.lease.as_ref().map_or_else(|| run.clone(), |lease| lease.shutdown.clone())
    }

    /// Why the work on the dataset must stop, if its lease was lost.
    pub(crate) fn lost(&self) -> Option<EngineError> {
        self.lease.as_ref().and_then(|lease| lease.lost())
    }

    /// The store of the lead.
    pub(crate) fn lead(&self) -> &Arc<S> {
        self.at(self.star.lead)
    }

    /// The store of a place.
    pub(crate) fn at(&self, place: PlaceIndex) -> &Arc<S> {
        &self.places[place.get()]
    }

    /// Bytes read from the lead so far.
    pub(crate) fn lead_bytes_read(&self) -> u64 {
        self.meters[self.star.lead.get()].snapshot().bytes_read
    }

    /// Bytes written to all followers so far.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.star.followers.iter().map(|place| self.meters[place.get()].snapshot().bytes_written).sum()
    }

    /// Bytes written to one place so far.
    pub(crate) fn bytes_written_at(&self, place: PlaceIndex) -> u64 {
        self.meters[place.get()].snapshot().bytes_written
    }

    /// The places that may have been probed: a source that leads was never written.
    fn probed(&self) -> impl Iterator<Item = (&Arc<S>, &String)> {
        let unprobed = usize::from(self.star.lead == PlaceIndex::SOURCE);
        self.places.iter().zip(&self.probe_names).skip(unprobed)
    }

    /// Why requests wait, if they do: a store has failed them repeatedly, or a limit holds them.
    pub(crate) fn waits_for(&self, redactor: Redactor) -> Option<String> {
        let failing = self.meters.iter().filter_map(|meter| meter.waiting()).max_by_key(|waiting| waiting.attempt);
        let failing = failing.map(|waiting| {
            let Waiting { key, failure, attempt, attempts_max } = waiting;
            let failure = key.map_or(failure.clone(), |key| redactor.text(&failure, &key));
            let of = attempts_max.map_or_else(String::new, |attempts_max| format!(" of {attempts_max}"));
            format!("attempt {attempt}{of}: {failure}")
        });
        failing.or_else(|| self.limits.iter().find_map(|limits| limits.reason()))
    }
}

impl DatasetStores {
    /// What is assumed of a store that is only read and was never probed: it shows properties and tags.
    pub const ASSUMED: Capabilities = Capabilities { properties: true, tags: true, ..Capabilities::unproved() };

    /// Takes capabilities from the ledger, and assumes them for a place that it does not know.
    pub(crate) async fn adopt_known(&self, ledger: &Ledger) -> Result<(), EngineError> {
        for (store, name) in self.probed() {
            match known(ledger, name).await? {
                Some(known) => store.adopt(known),
                None => readable(&**store),
            }
        }
        Ok(())
    }

    /// Assumes the capabilities of places that are only read.
    pub(crate) fn assume(&self) {
        self.places.iter().for_each(|store| readable(&**store));
    }
}

impl Sites {
    /// Sites whose places `connect` opens. If `retry` has a meter, it counts the repeated attempts of all stores.
    pub fn new(connect: Arc<dyn Connect>, retry: RetryPolicy) -> Self {
        let (limits, asked, met) = (Arc::default(), Mutex::default(), Mutex::default());
        Self { connect, limits, asked, met, claims: Mutex::default(), retry }
    }

    /// Names the operator, as `user@machine`, in the claims that this process makes.
    pub fn claim_by(&self, operator: String) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).by = Some(operator);
    }

    /// Takes these datasets over from the ledgers that drive them. The operator must know that those have stopped for
    /// good.
    pub fn take_over(&self, datasets: impl IntoIterator<Item = DatasetName>) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).take_over.extend(datasets);
    }

    /// Opens a dataset's stores, as [`open_some`](Self::open_some); fails if one that leads or follows cannot be opened.
    pub(crate) async fn open(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        star: Star,
        writes: Option<(&Journal, &Shutdown)>,
        sink: &Sink,
    ) -> Result<DatasetStores, EngineError> {
        let mut stores = self.open_some(plan, dataset, star, writes, sink).await?;
        match stores.unopened.pop() {
            Some((_, error)) => Err(error),
            None => Ok(stores),
        }
    }

    /// Opens a dataset's lead, and its other places as far as they can be opened. With a journal, followers are probed
    /// unless the ledger knows them, and written once the lease is held; losing it drains a part of `shutdown`. All other
    /// places are only read.
    pub(crate) async fn open_some(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        star: Star,
        writes: Option<(&Journal, &Shutdown)>,
        sink: &Sink,
    ) -> Result<DatasetStores, EngineError> {
        let lease = writes.and_then(|(_, shutdown)| lease_of(dataset, shutdown));
        let journal = writes.map(|(journal, _)| journal);
        let (places, meters, limits) = (Vec::new(), Vec::new(), Vec::new());
        let (unopened, probe_names, widths) = (Vec::new(), Vec::new(), Widths::default());
        let routing = Routing::new(plan, dataset);
        let mut stores = DatasetStores { places, meters, star, routing, lease, unopened, limits, widths, probe_names };
        let mut opened = Vec::new();
        for (place, at) in dataset.places() {
            let meter = Arc::new(Meter::default());
            let one = if stores.star.followers.contains(&place) {
                let noted = journal.map(|journal| Arc::new(Noted::new(journal, &dataset.name, place)));
                let writing = noted.map(|noted| Writing { lease: stores.lease.clone(), noted });
                self.opened_follower(plan, dataset, at, &meter, writing.as_ref()).await
            } else {
                self.opened_to_read(plan, dataset, place, at, &meter, journal).await
            };
            match one {
                Err(error) if place == stores.star.lead || !stops_one(&error) => return Err(error),
                one => opened.push(one),
            }
            stores.meters.push(meter);
        }
        if let Some(journal) = journal {
            self.find_out(plan, dataset, &stores.star, &mut opened, journal, sink).await?;
        }
        for ((place, at), one) in dataset.places().zip(opened) {
            let follows = stores.star.followers.contains(&place);
            match one {
                Ok((store, used)) => {
                    stores.probe_names.push(probe_name(plan, at, store.endpoint()));
                    stores.places.push(store);
                    stores.limits.extend(used);
                    if follows || place == stores.star.lead {
                        stores.widths.add(&at.site, self.limits.of(plan, &LimitsOf::Site(at.site.clone()))?);
                    }
                }
                Err(error) => {
                    let store = Unopened::new(at.to_string(), &error);
                    stores.probe_names.push(probe_name(plan, at, ObjectStore::endpoint(&store)));
                    stores.places.push(Arc::new(store));
                    // Nothing is asked of a place that neither leads nor follows.
                    stores.unopened.extend(follows.then_some((place, error)));
                }
            }
        }
        if let Some(journal) = journal {
            self.record_places(journal).await?;
        }
        Ok(stores)
    }

    /// Opens a place that follows, to be written if anything asks and notes its writes.
    async fn opened_follower(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        at: &Location,
        meter: &Arc<Meter>,
        writing: Option<&Writing>,
    ) -> Result<OneOpened, EngineError> {
        let role = match writing {
            Some(_) if *at == dataset.source => Role::OldLead,
            Some(_) => Role::Target,
            None => Role::Look,
        };
        self.follower(plan, dataset, at, role, meter, writing).await
    }

    /// Finds out what the followers can do: all servers at the same time, so that a slow one holds up no other, and the
    /// places at one server one after the other. If one gives no answer, its error takes the place of its store.
    async fn find_out(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        star: &Star,
        opened: &mut [Result<OneOpened, EngineError>],
        journal: &Journal,
        sink: &Sink,
    ) -> Result<(), EngineError> {
        let stores = dataset.places().zip(opened.iter()).map(|((place, at), one)| {
            let (store, _) = one.as_ref().ok().filter(|_| star.followers.contains(&place))?;
            Some((store, probe_name(plan, at, store.endpoint())))
        });
        let stores: Vec<_> = stores.collect();
        let endpoints = stores.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?.0.endpoint())));
        let asked = by_server(endpoints).into_iter().map(async |at_one_server| {
            let mut failed = Vec::new();
            for at in at_one_server {
                let Some((store, name)) = &stores[at] else { continue };
                let found = self.known_or_probed(&***store, name, journal, sink).await;
                failed.extend(found.err().map(|error| (at, error)));
            }
            failed
        });
        for (at, error) in join_all(asked).await.into_iter().flatten() {
            if !stops_one(&error) {
                return Err(error);
            }
            opened[at] = Err(error);
        }
        Ok(())
    }

    /// Opens a place that is only read.
    async fn opened_to_read(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        place: PlaceIndex,
        at: &Location,
        meter: &Arc<Meter>,
        journal: Option<&Journal>,
    ) -> Result<OneOpened, EngineError> {
        let opened = self.store(plan, dataset, at, Role::Source, meter, None).await?;
        // A source was never written, so the ledger knows it only as what another dataset writes.
        if let Some(journal) = journal.filter(|_| place != PlaceIndex::SOURCE)
            && let Some(known) = known(&journal.ledger, &probe_name(plan, at, opened.0.endpoint())).await?
        {
            opened.0.adopt(known);
        }
        Ok(opened)
    }

    /// Opens a dataset's stores for a look and records nothing. Followers that the ledger does not know
    /// are probed if `probe` allows it.
    pub(crate) async fn open_to_look(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        star: Star,
        ledger: Option<&Ledger>,
        probe: bool,
        sink: &Sink,
    ) -> Result<DatasetStores, EngineError> {
        let stores = self.open(plan, dataset, star, None, sink).await?;
        if let Some(ledger) = ledger {
            stores.adopt_known(ledger).await?;
        }
        let is_new = |(store, _): &(&Arc<dyn ObjectStore>, _)| {
            let known = store.capabilities();
            known == Capabilities::unproved() || known == DatasetStores::ASSUMED
        };
        let new: Vec<_> = stores.probed().filter(is_new).collect();
        if !probe {
            for (store, _) in new {
                readable(&**store);
            }
            return Ok(stores);
        }
        let endpoints = new.iter().enumerate().map(|(at, (store, _))| (at, store.endpoint()));
        let asked = by_server(endpoints).into_iter().map(async |at_one_server| {
            for (store, name) in at_one_server.into_iter().map(|at| new[at]) {
                let found = self.ask(&**store, name).await?;
                let location = store.location().to_owned();
                sink.tell(EventKind::Probed { location, proof: found.proof, lacks: lacks(&found) });
            }
            Ok::<_, EngineError>(())
        });
        // All go on to their end, so that each removes what it has written.
        let asked: Result<Vec<()>, _> = join_all(asked).await.into_iter().collect();
        asked?;
        Ok(stores)
    }

    /// Opens one place that follows, guarded if a policy forbids it.
    pub(crate) async fn follower(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        at: &Location,
        role: Role,
        meter: &Arc<Meter>,
        writing: Option<&Writing>,
    ) -> Result<OneOpened, EngineError> {
        let (mut store, used) = self.store(plan, dataset, at, role, meter, writing).await?;
        // The plan's check refuses such a target; if one passes it, the guard refuses its writes.
        if let Err(reason) = policy::verdict(plan, dataset, &at.site) {
            store = Arc::new(Guarded::new(store, &reason));
        } else if let Some(judge) = judge_of(plan, dataset, at) {
            store = Arc::new(Guarded::judging(store, judge));
        }
        Ok((store, used))
    }

    /// Takes an endpoint's capabilities from the ledger, or from a probe that is then recorded.
    pub(super) async fn known_or_probed(
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
        // A store that this process has probed for a look is not probed again. That result is recorded
        // once only: a later record would make it seem younger than it is.
        let looked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(found) = looked {
            store.adopt(found);
        }
        let mut found = store.capabilities();
        if found == Capabilities::unproved() {
            found = store.probe().await?;
        }
        sink.tell(EventKind::Probed { location, proof: found.proof, lacks: lacks(&found) });
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
        writing: Option<&Writing>,
    ) -> Result<OneOpened, EngineError> {
        let (site, bare) = self.bare(plan, at, role).await?;
        let mut store: Arc<dyn ObjectStore> = Arc::new(Metered::new(bare, Arc::clone(meter)));
        match writing.and_then(|writing| writing.lease.as_ref()) {
            None => store = Arc::new(Conditional::new(store)),
            Some(lease) => {
                let kept = Conditional::new(Arc::new(Leased::at_once(store, Arc::clone(lease))));
                store = Arc::new(Leased::waiting(Arc::new(kept), Arc::clone(lease)));
            }
        }
        let mut used = Vec::new();
        // A dataset has limits of its own even if the plan sets none: an operator may set them later.
        for of in [LimitsOf::Site(site.name.clone()), LimitsOf::Dataset(dataset.name.clone())] {
            let limits = self.limits.of(plan, &of)?;
            used.push(Arc::clone(&limits));
            store = Arc::new(Limited::new(store, limits));
        }
        let retries = self.retry.meter.as_ref().unwrap_or(meter);
        let retry = RetryPolicy { meter: Some(Arc::clone(retries)), ..self.retry.clone() };
        let mut retrying = Retrying::new(store, retry);
        if let Some(writing) = writing {
            retrying = retrying.tracked_by(Arc::clone(&writing.noted));
        }
        Ok((Arc::new(retrying), used))
    }

    /// The site of a place.
    pub(crate) fn site<'p>(plan: &'p Plan, at: &Location) -> Result<&'p Site, EngineError> {
        plan.sites.get(&at.site).ok_or_else(|| EngineError::Site {
            site: at.site.to_string(),
            detail: "the plan does not describe it".to_owned(),
        })
    }

    pub(super) async fn bare<'p>(
        &self,
        plan: &'p Plan,
        at: &Location,
        role: Role,
    ) -> Result<(&'p Site, Arc<dyn ObjectStore>), EngineError> {
        let site = Self::site(plan, at)?;
        let migration = self.migration();
        let store = match self.connect.open(plan, site, at, role, migration.as_deref()).await? {
            Opened::Store(store) => store,
            Opened::Directory => self.directory(plan, site, at, role)?,
            Opened::Table(_) => return Err(wrong_kind(at, "a table, and objects are to be there")),
        };
        if role == Role::Source {
            // A source is never written, so it is never probed: it is assumed to show what it has.
            readable(&*store);
        }
        Ok((site, store))
    }

    /// Takes the limits that an operator has set in place of the plan's.
    pub(crate) async fn adopt_limits(&self, plan: &Plan, ledger: &Ledger) -> Result<(), EngineError> {
        self.limits.set(plan, ledger.limits().await?)
    }
}

/// The lease that the writes of a dataset ask, if a route says who may write.
pub(crate) fn lease_of(dataset: &Dataset, shutdown: &Shutdown) -> Option<Arc<Lease>> {
    let route = &dataset.cutover.as_ref()?.route;
    Some(Arc::new(Lease::new(dataset.name.clone(), route.to_string(), shutdown.child())))
}

/// The error of a place that holds another kind of data.
pub(crate) fn wrong_kind(at: &Location, what: &str) -> EngineError {
    EngineError::Site { site: at.site.to_string(), detail: format!("{at} is {what}") }
}

/// Whether an error at the opening of a target is the target's alone: it could not be reached, refused, or is not there.
/// What the plan or this tool says of it is not.
pub(crate) fn stops_one(error: &EngineError) -> bool {
    match error {
        EngineError::Store(error) => error.kind() != ErrorKind::Forbidden,
        EngineError::PlaceChanged { .. } => true,
        _ => false,
    }
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
    use migrate_core::{model::Key, plan};
    use migrate_store::memory::MemoryStore;

    #[derive(Debug)]
    struct Unnoted;

    #[async_trait::async_trait]
    impl TrackWrites for Unnoted {
        fn begins(&self) -> bool {
            true
        }
        async fn unknown(&self, _key: &Key) {}
        fn ended(&self) {}
        fn dropped(&self) {}
    }

    /// A look of [`Conditional`] above the limits or the retries could be hours older than the write that follows it.
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
            sites.store(&plan, dataset, &dataset.targets[0].at, Role::Target, &Arc::default(), None).await.unwrap();
        let layers = |store: &Arc<dyn ObjectStore>| {
            let text = format!("{store:?}");
            text.split(" { inner: ").map(str::to_owned).take(7).collect::<Vec<_>>()
        };
        assert_eq!(layers(&store)[..5], ["Retrying", "Limited", "Limited", "Conditional", "Metered"]);
        let lease = Arc::new(Lease::new(dataset.name.clone(), String::new(), Shutdown::new()));
        let at = &dataset.targets[0].at;
        let writing = Writing { lease: Some(lease), noted: Arc::new(Unnoted) };
        let (store, _) = sites.store(&plan, dataset, at, Role::Target, &Arc::default(), Some(&writing)).await.unwrap();
        let asked_twice = ["Retrying", "Limited", "Limited", "Leased", "Conditional", "Leased", "Metered"];
        assert_eq!(layers(&store), asked_twice);
    }
}
