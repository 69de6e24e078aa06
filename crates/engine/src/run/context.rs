//! The shared parts of a run.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use futures::future::{self, Either};
use tokio::sync::{Mutex, mpsc};

use crate::{
    asked::{AbortOptions, RunOptions},
    budget::Budget,
    clock::{before, now},
    copy::{
        copier::{Copier, Follower},
        lane::TargetLane,
    },
    error::EngineError,
    journal::{Journal, Report},
    lease::{self, Lease},
    lifecycle::lifecycle_of,
    meaning::{meaning_of, same_meaning},
    migration::Migration,
    route::RouteStore,
    routed::Router,
    scribe::{self, Board},
    shutdown::Shutdown,
    sink::Sink,
    sites::opening::{DatasetStores, Probing, Sites},
    star::Star,
    tables::work::TableWork,
    writes::Writes,
};
use migrate_core::{
    lifecycle::{Goal, Lifecycle, Moving},
    model::{Aspects, DatasetName, PhaseName, PlaceIndex, Timestamp},
    plan::{self, Dataset, Plan},
    report::Redactor,
};
use migrate_ledger::{LedgerError, Record};
use migrate_store::ErrorKind;

/// The parts that all tasks of a run share.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) sites: &'a Sites,
    pub(crate) options: &'a RunOptions,
    pub(crate) journal: Journal,
    pub(crate) board: Board,
    pub(crate) budget: Budget,
    pub(crate) sink: Sink,
    pub(crate) shutdown: Shutdown,
    /// The abort that another command has asked for, if any.
    pub(crate) abort: AbortAsked,
    /// The phase whose leads are being moved, if any.
    pub(crate) moving: MovingPhase,
    /// Phases whose approval another command withdrew or forbade beforehand while this run works: only
    /// another command can approve them. Locked during a withdrawal, and while a lead begins to move.
    pub(crate) withdrawn: Mutex<BTreeSet<PhaseName>>,
    /// Live tables whose streams are read until the run ends.
    pub(crate) following: Mutex<Vec<Arc<TableWork>>>,
    /// Leases to keep.
    pub(crate) leases: mpsc::UnboundedSender<Arc<Lease>>,
}

/// An abort that a run was asked for: the run stops, and then carries it out.
#[derive(Debug, Default)]
pub(crate) struct AbortAsked(Lock<Option<(String, AbortOptions)>>);

impl AbortAsked {
    /// Takes the abort, with the id of its request.
    pub(crate) fn take(&self) -> Option<(String, AbortOptions)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether this request is the abort to carry out.
    pub(crate) fn is(&self, id: &str) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.as_ref().is_some_and(|(asked, _)| asked == id)
    }

    /// Sets the abort to carry out; `false` if there is already another one.
    pub(crate) fn ask(&self, id: &str, options: AbortOptions) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get_or_insert((id.to_owned(), options)).0 == id
    }
}

/// The phase whose leads a run is moving or about to move.
#[derive(Debug, Default)]
pub(crate) struct MovingPhase(Lock<Option<PhaseName>>);

impl MovingPhase {
    /// Sets the phase, or none.
    pub(crate) fn set(&self, phase: Option<&PhaseName>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase.cloned();
    }

    pub(crate) fn is(&self, phase: &PhaseName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(phase)
    }
}

/// Does work with a run, and writes its records by a scribe until the work ends.
pub(crate) async fn with_run<T>(
    migration: &Migration<'_>,
    options: &RunOptions,
    work: impl AsyncFnOnce(&Run<'_>) -> Result<T, EngineError>,
) -> (Result<T, EngineError>, Result<(), LedgerError>) {
    let Migration { plan, sites, ledger, sink, shutdown } = migration;
    let (reports, queue) = mpsc::channel::<Report>(scribe::REPORTS_QUEUED);
    let board = Board::default();
    let scribe = scribe::write(Arc::clone(ledger), queue, board.clone(), shutdown.clone());
    let work = async {
        let (began, last) = (now(), ledger.last_drive().await?);
        let writes = Writes::after(last, ledger.unknown(Timestamp(0)).await?, began);
        let journal = Journal::new(Arc::clone(ledger), reports, shutdown.clone()).with_writes(writes);
        let budget = Budget::of(&options.limits, sites);
        let (abort, moving, withdrawn) = (AbortAsked::default(), MovingPhase::default(), Mutex::default());
        let (leases, taken) = mpsc::unbounded_channel();
        let (sink, shutdown) = (sink.clone(), shutdown.clone());
        let run = Run {
            plan,
            sites,
            options,
            journal,
            board,
            budget,
            sink,
            shutdown,
            abort,
            moving,
            withdrawn,
            following: Mutex::default(),
            leases,
        };
        run.sites.adopt_limits(plan, &run.journal.ledger).await?;
        run.sites.adopt_places(Some(&run.journal.ledger)).await?;
        run.sites.drive(&run.journal.ledger).await?;
        run.commit(vec![Record::DriveBegan { at: began, forget: before(began, forgotten_after(plan)) }]).await?;
        // The future of a whole run is large, so it goes to the heap once.
        let work = not_until_hours_begin(sites, &run.shutdown, Box::pin(work(&run)));
        let done = lease::keeping(taken, work).await;
        if run.journal.writes.end() {
            // If it cannot be written, the next process waits once more.
            let _ = run.journal.note(vec![Record::DriveEnded]).await;
        }
        done
    };
    // `work` owns the journal, and the scribe ends when the journal's last sender is gone.
    futures::join!(work, scribe)
}

/// How long what is in flight may wait for working hours once the run is to stop.
const HOURS_TIME: Duration = Duration::from_secs(5);

/// Does the work. If it is to stop and what is in flight waits for working hours, which may begin in a day, requests are
/// dropped as by a second request to stop: those were not sent.
async fn not_until_hours_begin<T>(sites: &Sites, shutdown: &Shutdown, work: impl Future<Output = T>) -> T {
    let given_up = async {
        shutdown.draining().await;
        loop {
            tokio::time::sleep(HOURS_TIME).await;
            if sites.limits.waits_for_hours() {
                shutdown.ask();
                return future::pending::<Infallible>().await;
            }
        }
    };
    match future::select(pin!(work), pin!(given_up)).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}

/// How old a write without an answer is when it is forgotten: no cutover of the plan waits for one of that age.
fn forgotten_after(plan: &Plan) -> Duration {
    const LEAST: Duration = Duration::from_hours(24);
    let settles = plan.datasets().filter_map(|dataset| dataset.cutover.as_ref()).map(|cutover| cutover.settle);
    settles.fold(LEAST, Duration::max)
}

impl Run<'_> {
    /// How far this run is to take a dataset.
    pub(crate) fn goal_of(&self, dataset: &Dataset) -> Goal {
        crate::asked::goal_of(dataset, self.options.goal)
    }

    pub(crate) async fn lifecycle(&self, dataset: &DatasetName) -> Result<Lifecycle, EngineError> {
        lifecycle_of(&self.journal.ledger, dataset).await
    }

    /// Refuses a dataset whose meaning has changed since it began.
    pub(crate) async fn check_meaning(&self, dataset: &Dataset) -> Result<(), EngineError> {
        match self.journal.ledger.meaning(&dataset.name).await? {
            Some(begun) => same_meaning(&dataset.name, &begun, &meaning_of(self.plan, dataset)),
            None => Ok(()),
        }
    }

    /// Begins a dataset in the ledger, unless it has begun.
    pub(crate) async fn begin(&self, dataset: &Dataset) -> Result<(), EngineError> {
        if self.journal.ledger.meaning(&dataset.name).await?.is_some() {
            return Ok(());
        }
        let meaning = meaning_of(self.plan, dataset).to_string();
        self.commit(vec![Record::DatasetBegun { dataset: dataset.name.clone(), meaning }]).await
    }

    /// The star by which a dataset's stores are opened. The watch after a switch also looks at a place that is not to
    /// follow.
    pub(crate) fn star_of(&self, dataset: &Dataset, lifecycle: &Lifecycle) -> Result<Star, EngineError> {
        match lifecycle.moving {
            Moving::Watching { .. } => Star::of_all(dataset, lifecycle),
            _ => Star::of(self.plan, dataset, lifecycle),
        }
    }

    /// Opens a dataset's stores by the star of its ledger; followers are probed unless the ledger knows them. If the
    /// dataset has a route, no write is admitted before [`Run::claim`](Run::claim).
    pub(crate) async fn open(&self, dataset: &Dataset) -> Result<DatasetStores, EngineError> {
        let star = self.star_of(dataset, &self.lifecycle(&dataset.name).await?)?;
        self.sites.open(self.plan, dataset, star, Some((&self.journal, &self.shutdown)), &self.sink).await
    }

    /// Opens a dataset's lead, and its followers as far as they can be opened: one that cannot stops only itself.
    ///
    /// # Errors
    ///
    /// If the lead cannot be opened, or, before that has moved, no follower can. A dataset that has not begun is not bound to a place that is not
    /// there, so a missing container is an error then.
    pub(crate) async fn open_some(&self, dataset: &Dataset) -> Result<DatasetStores, EngineError> {
        let writes = Some((&self.journal, &self.shutdown));
        let lifecycle = self.lifecycle(&dataset.name).await?;
        let star = self.star_of(dataset, &lifecycle)?;
        let mut stores = self.sites.open_some(self.plan, dataset, star, writes, &self.sink).await?;
        let has_begun = self.journal.ledger.meaning(&dataset.name).await?.is_some();
        let is_missing =
            |error: &EngineError| matches!(error, EngineError::Store(error) if error.kind() == ErrorKind::NoContainer);
        let missing = stores.unopened.iter().position(|(_, error)| !has_begun && is_missing(error));
        // Applications use a lead that has moved: what follows it may be down, and stops nothing else.
        let must_follow = lifecycle.moved_to().is_none();
        let none = (must_follow && stores.unopened.len() == stores.star.followers.len()).then_some(0);
        match missing.or(none).filter(|_| !stores.unopened.is_empty()) {
            Some(place) => Err(stores.unopened.swap_remove(place).1),
            None => Ok(stores),
        }
    }

    /// The copier from the lead of these stores to its followers.
    pub(crate) fn copier(&self, dataset: &Dataset, stores: &DatasetStores) -> Copier {
        let star = &stores.star;
        let target = |place: PlaceIndex| dataset.numbered_targets().find(|(of, _)| *of == place);
        let waived = |place| target(place).map_or(Aspects::NONE, |(_, target)| dataset.waived_at(target));
        Copier {
            dataset: dataset.name.clone(),
            lead: star.lead,
            source: Arc::clone(stores.lead()),
            router: Router::new(&stores.routing, stores.lead()),
            followers: star
                .followers
                .iter()
                .map(|place| Follower {
                    place: *place,
                    at: dataset.location(*place).to_string(),
                    store: Arc::clone(stores.at(*place)),
                    part_size: target(*place).and_then(|(_, target)| target.part_size),
                    // A lead may lack what was waived there.
                    waived: waived(star.lead).with(waived(*place)),
                    has_led: *place == PlaceIndex::SOURCE,
                    in_flight: 0.into(),
                    crowded_since: std::sync::Mutex::default(),
                    lane: TargetLane::open(self.options.limits.silence_max),
                })
                .collect(),
            budget: self.budget.clone(),
            shutdown: stores.shutdown(&self.shutdown),
            journal: self.journal.clone(),
            sink: self.sink.clone(),
            redactor: Redactor::new(self.plan.redact_keys),
            failures_told: 0.into(),
        }
    }

    /// Opens the route of a dataset; its store is probed unless the ledger knows it.
    pub(crate) async fn open_route(&self, dataset: &Dataset, route: &plan::Route) -> Result<RouteStore, EngineError> {
        self.sites.open_route(self.plan, dataset, route, Probing::Record(&self.journal), &self.sink).await
    }

    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), EngineError> {
        Ok(self.journal.commit(records).await?)
    }
}
