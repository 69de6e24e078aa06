//! An application that goes on writing while its data moves.
//!
//! Every dataset that is `live` gets one. It writes numbered values over some of the dataset's objects and
//! deletes a few, first at the old lead: one half while everything is copied, the other when the phase is
//! about to be cut over, so that the migration must notice and bring them over too. Then it rests, as the
//! fence `none` demands, follows the route and goes on at the new lead. In the end the lead must hold the
//! last acknowledged operation for each key.
//!
//! Its operations depend on plan and seed, not on timing: so a rehearsal ends the same every time, although
//! writer and migration run side by side.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::{
    cloud::Cloud,
    sample::{self, SampleTable},
    written::{Items, Operation, Written},
};
use migrate_core::{
    item::Item,
    model::{DatasetName, Key, PlaceIndex, SiteName},
    plan::{Dataset, Plan},
    routing::Routing,
};
use migrate_engine::{
    cutover::{Move, RouteError, RouteStore},
    sites::Role,
};
use migrate_fault::mix;
use migrate_store::StoreError;

/// The most objects that a writer writes to.
const KEYS_MAX: usize = 12;
/// The number of writes at the old lead, and at the new one.
const BEFORE: usize = 40;
const AFTER: usize = 20;
/// A writer deletes one of this many objects of a dataset: far below any share that a plan allows.
const OBJECTS_PER_DELETE: usize = 50;
/// The time between two writes.
const PAUSE: Duration = Duration::from_millis(15);
/// The time between two looks at the route.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The writer of one dataset.
#[derive(Debug)]
pub struct Writer {
    dataset: DatasetName,
    old: Written,
    /// A store at each site that may lead.
    leads: BTreeMap<SiteName, Written>,
    /// If each site leads its own part of the records: which.
    parts: Option<Parts>,
    from: SiteName,
    route: Option<RouteStore>,
    operations: Vec<(Key, Operation)>,
    progress: watch::Sender<Progress>,
    told: watch::Sender<Told>,
}

/// What a writer was told, each more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// To write one half of its operations at the old lead.
    Begin,
    /// To write the other half there, too, and to go on once the lead has moved.
    Rest,
    /// To begin no other operation.
    Stop,
}

/// How far a writer has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The number of acknowledged operations.
    acknowledged: usize,
    /// Whether it has ended, at its last operation or before.
    ended: bool,
}

/// Which site leads which part of a table.
#[derive(Debug)]
struct Parts {
    routing: Routing,
    sites: BTreeMap<PlaceIndex, SiteName>,
}

/// The result of a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The dataset.
    pub dataset: DatasetName,
    /// Operations that were acknowledged at the old lead.
    pub before: usize,
    /// Operations that were acknowledged at the new one.
    pub after: usize,
    /// Keys at which the lead does not hold what was acknowledged last.
    pub broken: Vec<Key>,
}

impl Cloud {
    /// A writer for every live dataset whose source was filled.
    pub fn writers(&self, seed: u64, scale: f64) -> Vec<Writer> {
        let plan = self.plan();
        let live = sample::samples(plan, seed, scale).into_iter().filter(|(dataset, _)| dataset.live);
        let of_objects = live.filter_map(|(dataset, samples)| {
            let chosen = samples.filter(|sample| sample.selected && !sample.large).map(|sample| sample.key);
            let keys = chosen.filter(|key| !moves_on(plan, dataset, key)).collect();
            Writer::new(self, dataset, keys, seed)
        });
        let live = sample::tables(plan, seed, scale).into_iter().filter(|(dataset, _)| dataset.live);
        let of_tables = live.filter_map(|(dataset, sample)| Writer::of_table(self, dataset, &sample, seed));
        of_objects.chain(of_tables).collect()
    }
}

/// Whether a key also belongs to another dataset, which begins below a target of this one.
fn moves_on(plan: &Plan, dataset: &Dataset, key: &Key) -> bool {
    let others = plan.datasets().filter(|other| other.name != dataset.name);
    others.flat_map(|other| dataset.targets.iter().map(move |target| (target, other))).any(|(target, other)| {
        plan.below(&target.at, &other.source).is_some_and(|folder| key.as_str().starts_with(&folder))
    })
}

/// The route by which an application finds the lead of a dataset; `None` if its lead does not move.
fn route_of(cloud: &Cloud, dataset: &Dataset) -> Option<RouteStore> {
    let what = Move::of(dataset)?;
    let (route, name) = (&what.cutover.route, dataset.name.clone());
    let (at, _) = route.folder_and_name();
    if let Some(table) = cloud.table(&at) {
        // It only reads, so it never probes.
        return Some(RouteStore::in_table(table, route, name, String::new(), None));
    }
    Some(RouteStore::of(cloud.store(&at, Role::Look)?, route, name))
}

impl Writer {
    fn new(cloud: &Cloud, dataset: &Dataset, keys: Vec<Key>, seed: u64) -> Option<Self> {
        let objects = |at| cloud.store_to_write(at).map(Written::Objects);
        let old = objects(&dataset.source)?;
        let targets = dataset.targets.iter();
        let leads = targets.filter_map(|target| Some((target.at.site.clone(), objects(&target.at)?)));
        Some(Self::at(dataset, old, leads.collect(), route_of(cloud, dataset), operations(keys, seed)))
    }

    /// The writer of a table.
    fn of_table(cloud: &Cloud, dataset: &Dataset, sample: &SampleTable, seed: u64) -> Option<Self> {
        let (table, names) = (cloud.table(&dataset.source)?, sample.structure.key_names());
        let keyed = |item: &Item| Some((names.text(&names.key_of(item)?), item.clone()));
        let by_key: BTreeMap<_, _> =
            sample.items.iter().filter(|item| sample::is_written(item)).filter_map(keyed).collect();
        let operations = operations(by_key.keys().cloned().collect(), seed);
        let of = |table| Written::Table(Items { table, names: names.clone(), by_key: by_key.clone() });
        let targets = dataset.targets.iter().map(|target| &target.at);
        let leads = targets.filter_map(|at| Some((at.site.clone(), of(cloud.table(at)?)))).collect();
        let sites = dataset.numbered_targets().map(|(place, target)| (place, target.at.site.clone())).collect();
        let parts = dataset.is_partitioned().then(|| Parts { routing: Routing::new(cloud.plan(), dataset), sites });
        Some(Self { parts, ..Self::at(dataset, of(table), leads, route_of(cloud, dataset), operations) })
    }

    /// How many of its operations were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.progress.borrow().acknowledged
    }

    fn at(
        dataset: &Dataset,
        old: Written,
        leads: BTreeMap<SiteName, Written>,
        route: Option<RouteStore>,
        operations: Vec<(Key, Operation)>,
    ) -> Self {
        Self {
            dataset: dataset.name.clone(),
            old,
            leads,
            parts: None,
            from: dataset.source.site.clone(),
            route,
            operations,
            progress: watch::channel(Progress::default()).0,
            told: watch::channel(Told::Begin).0,
        }
    }

    /// The dataset.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    fn before(&self) -> usize {
        self.operations.len().min(BEFORE)
    }

    /// Writes at the old lead, then follows the route to the new one and goes on there. Never ends if the
    /// lead does not move and nobody stops it.
    pub async fn write(&self) -> Result<(), WriterError> {
        let written = self.write_all().await;
        self.progress.send_modify(|progress| progress.ended = true);
        written
    }

    async fn write_all(&self) -> Result<(), WriterError> {
        let (before, after) = self.operations.split_at(self.before());
        let (early, late) = before.split_at(before.len() / 2);
        self.apply(&self.old, early).await?;
        self.hears(Told::Rest).await;
        self.apply(&self.old, late).await?;
        if let Some(route) = &self.route {
            let Some(lead) = self.moved(route).await? else { return Ok(()) };
            for (key, operation) in after {
                if self.is_stopped() {
                    break;
                }
                for (site, operation) in self.where_to(&lead, key, operation) {
                    let at = self.leads.get(&site).ok_or(WriterError::NoSuchLead(site))?;
                    at.apply(key, &operation).await?;
                }
                self.acknowledge().await;
            }
        }
        Ok(())
    }

    /// Lets it write the rest at the old lead, and waits until it rests, or has broken off.
    pub async fn rest(&self) {
        self.tell(Told::Rest);
        let mut progress = self.progress.subscribe();
        let before = self.before();
        let rests = progress.wait_for(|progress| progress.ended || progress.acknowledged >= before).await.is_ok();
        debug_assert!(rests, "the sender is this writer's");
    }

    /// Lets it begin no other operation: then [`Self::write`] ends, and all that it wrote is acknowledged.
    pub fn stop(&self) {
        self.tell(Told::Stop);
    }

    fn tell(&self, what: Told) {
        self.told.send_modify(|told| *told = what.max(*told));
    }

    async fn hears(&self, what: Told) {
        let told = self.told.subscribe().wait_for(|told| *told >= what).await.is_ok();
        debug_assert!(told, "the sender is this writer's");
    }

    fn is_stopped(&self) -> bool {
        *self.told.borrow() == Told::Stop
    }

    /// Whether it rests, or has ended.
    pub fn is_at_rest(&self) -> bool {
        let progress = *self.progress.borrow();
        progress.ended || progress.acknowledged >= self.before()
    }

    async fn apply(&self, at: &Written, operations: &[(Key, Operation)]) -> Result<(), WriterError> {
        for (key, operation) in operations {
            if self.is_stopped() {
                break;
            }
            at.apply(key, operation).await?;
            self.acknowledge().await;
        }
        Ok(())
    }

    async fn acknowledge(&self) {
        self.progress.send_modify(|progress| progress.acknowledged += 1);
        tokio::time::sleep(PAUSE).await;
    }

    /// What an operation is at each site, the last one where the record belongs: an application that moves a record to
    /// another part deletes it where it was.
    fn where_to(&self, lead: &SiteName, key: &Key, operation: &Operation) -> Vec<(SiteName, Operation)> {
        let Some(Parts { routing, sites }) = &self.parts else { return vec![(lead.clone(), operation.clone())] };
        let item = self.old.item(key, operation);
        let belongs = |place: PlaceIndex| {
            let to = item.as_ref().and_then(|item| routing.route(item).ok());
            to.is_some_and(|to| to.holds(place))
        };
        let (mut there, mut elsewhere) = (Vec::new(), Vec::new());
        for (place, site) in sites {
            if belongs(*place) {
                there.push((site.clone(), operation.clone()));
            } else {
                elsewhere.push((site.clone(), Operation::Delete));
            }
        }
        elsewhere.append(&mut there);
        elsewhere
    }

    /// The new lead, once it leads; `None` if this writer is stopped before.
    async fn moved(&self, route: &RouteStore) -> Result<Option<SiteName>, WriterError> {
        while !self.is_stopped() {
            match route.read().await? {
                Some(shown) if shown.document.lead != self.from => return Ok(Some(shown.document.lead)),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Ok(None)
    }

    /// Compares what the lead holds with what was acknowledged, after [`Self::write`] has ended.
    pub async fn check(&self) -> Result<Promise, WriterError> {
        let done = self.acknowledged();
        let shown = match &self.route {
            Some(route) => route.read().await?,
            None => None,
        };
        let lead = shown.map_or_else(|| self.from.clone(), |shown| shown.document.lead);
        let last: BTreeMap<_, _> = self.operations[..done].iter().map(|(key, operation)| (key, operation)).collect();
        let mut broken = Vec::new();
        for (key, operation) in last {
            let is_held = if lead == self.from {
                self.old.holds(key, operation).await?
            } else {
                let mut is_held = true;
                for (site, operation) in self.where_to(&lead, key, operation) {
                    is_held &= self.leads[&site].holds(key, &operation).await?;
                }
                is_held
            };
            if !is_held {
                broken.push(key.clone());
            }
        }
        let before = done.min(self.before());
        Ok(Promise { dataset: self.dataset.clone(), before, after: done - before, broken })
    }
}

/// The operations of a writer, in order.
fn operations(mut keys: Vec<Key>, seed: u64) -> Vec<(Key, Operation)> {
    let mut deletes = keys.len() / OBJECTS_PER_DELETE;
    keys.truncate(KEYS_MAX);
    if keys.is_empty() {
        return Vec::new();
    }
    let count = keys.len() as u64;
    (0..BEFORE + AFTER)
        .map(|number| {
            let draw = mix(mix(seed) ^ number as u64);
            let key = keys[usize::try_from(draw % count).expect("keys are few")].clone();
            let deletes_now = deletes > 0 && draw.is_multiple_of(5);
            deletes -= usize::from(deletes_now);
            (key, if deletes_now { Operation::Delete } else { Operation::Put(number) })
        })
        .collect()
}

/// Why a writer could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The route.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The route names a site that has no target.
    #[error("the route says that {0} leads, and the plan has no target there")]
    NoSuchLead(SiteName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_everything_and_deletes_are_few() {
        let keys = |count: usize| (0..count).map(|n| Key::from(format!("k{n}").as_str())).collect::<Vec<_>>();
        let all = operations(keys(200), 7);
        assert_eq!(all, operations(keys(200), 7));
        assert_ne!(all, operations(keys(200), 8));
        assert_eq!(all.len(), BEFORE + AFTER);
        let deletes = all.iter().filter(|(_, operation)| *operation == Operation::Delete).count();
        assert!((1..=4).contains(&deletes), "{deletes}");
        assert!(operations(keys(10), 7).iter().all(|(_, operation)| *operation != Operation::Delete));
        assert!(operations(Vec::new(), 7).is_empty());
    }
}
