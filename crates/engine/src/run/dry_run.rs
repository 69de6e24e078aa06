//! A dry run of a cutover: it checks each of the real steps.

use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use futures::future::{Either, select};
use serde::Serialize;

use crate::{
    asked::refuse_unsupported,
    clock::now,
    cutover::{
        halt::Halt,
        hand::{Changes, Cut, Hand, OpenWrites, Written},
        moves::Move,
        switch,
        together::{self, CheckedStep},
    },
    driver::Driver,
    error::EngineError,
    migration::Inspection,
    sites::{opening::DatasetStores, tables::TablesOf},
    star::Star,
    tables::{readiness::Leads, structure},
    verify::{recorded::asks_more, witness::Verified},
};
use migrate_core::{
    lifecycle::{Goal, Lifecycle, Moving, Transition, last_proof},
    model::{DatasetName, Decided, Key, KeyRange, PhaseName, Timestamp},
    plan::{Dataset, Scheme},
};
use migrate_store::table::TableStore;

/// The words for a proof that is weaker than the plan now asks for.
pub const LESS: &str = "less than the plan asks for now";

/// What a cutover of one dataset would do.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// The dataset's name.
    pub name: DatasetName,
    /// The name of its state.
    pub state: &'static str,
    /// How many records the last proof found equal, by what decided it.
    pub decided: Decided,
    /// What that proof did not compare and why, as texts.
    pub blind_spots: Vec<String>,
    /// The steps that are left, in their order; empty if no lead moves.
    pub steps: Vec<DryStep>,
    /// Whether the checks found no obstacle.
    pub ready: bool,
}

/// One step of a cutover, checked.
#[derive(Debug, Clone, Serialize)]
pub struct DryStep {
    /// The step's name.
    pub step: &'static str,
    /// What the step would do, as text.
    pub detail: String,
    /// Why the step would be refused; `None` if it would not.
    pub refused: Option<String>,
}

impl Inspection<'_> {
    /// Checks the cutover of a phase, step by step; writes only what a probe removes again. The first request to stop
    /// ends it.
    pub async fn dry_run(&self, phase: &PhaseName) -> Result<Vec<DryRun>, EngineError> {
        match select(pin!(self.checked(phase)), pin!(self.shutdown.draining())).await {
            Either::Left((runs, _)) => runs,
            Either::Right(((), _)) => Err(EngineError::Cancelled),
        }
    }

    async fn checked(&self, phase: &PhaseName) -> Result<Vec<DryRun>, EngineError> {
        let mut runs = Vec::new();
        self.adopt_places().await?;
        for dataset in self.plan.phases.iter().filter(|one| one.name == *phase).flat_map(|phase| &phase.datasets) {
            refuse_unsupported(dataset, true)?;
            // A proof of another body of data does not hold for this one.
            let events = match self.begun(dataset).await? {
                Some(ledger) => ledger.events(&dataset.name).await?,
                None => Vec::new(),
            };
            let happened = || events.iter().map(|(event, _)| event);
            let lifecycle = Lifecycle::replay(happened())?;
            let has_moved = lifecycle.moved_to().is_some();
            let switching = matches!(lifecycle.moving, Moving::Switching { .. });
            let is_proved = lifecycle.reached(Goal::Verified) || switching;
            let tables = if has_moved { None } else { self.look_at_places(dataset, is_proved).await? };
            // A lead that has moved needs no other proof, as the standing has it.
            let less = !has_moved && lifecycle.is_verified() && asks_more(dataset, happened());
            let ready = is_proved && !less;
            let (decided, blind_spots) = last_proof(happened()).unwrap_or_default();
            let (name, blind_spots) = (dataset.name.clone(), blind_spots.to_vec());
            let state = lifecycle.state().name();
            let mut run = DryRun { name, state, decided, blind_spots, steps: Vec::new(), ready };
            if let Some(what) = Move::of(dataset) {
                run.steps = self.checked_steps(dataset, &what, lifecycle, tables).await?;
                if let Some(gate) = run.steps.first_mut().filter(|_| less) {
                    gate.refused.get_or_insert_with(|| format!("{} was verified by {LESS}", run.name));
                }
                run.ready &= run.steps.iter().all(|step| step.refused.is_none());
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// The steps that are left of a move, each with the result of its check.
    async fn checked_steps(
        &self,
        dataset: &Dataset,
        what: &Move,
        lifecycle: Lifecycle,
        tables: Option<DatasetStores<dyn TableStore>>,
    ) -> Result<Vec<DryStep>, EngineError> {
        let route = self.open_route(dataset, &what.cutover.route, true).await?;
        let tables = tables.map(|tables| (Leads::of(self.plan, dataset), tables));
        let (lifecycle, unsettled) = match switch::foreseen(&lifecycle, &route).await {
            Ok(foreseen) => (foreseen, None),
            Err(halt) => (lifecycle, Some(halt)),
        };
        let hand = Looking { lifecycle, ledger: self.driver_id().await?, tables };
        let mut steps = together::dry_run(Cut { what, route: &route, hand: &hand }).await;
        if let (Some(halt), Some(first)) = (unsettled, steps.first_mut()) {
            first.checked = Err(halt);
        }
        let step = |CheckedStep { name, describe, checked }| DryStep {
            step: name,
            detail: describe,
            refused: checked.err().map(|halt| halt.to_string()),
        };
        Ok(steps.into_iter().map(step).collect())
    }

    /// Checks that source and targets exist and are those that the migration has used so far, and that tables that
    /// are proved are there still, and fit. Returns the tables.
    async fn look_at_places(
        &self,
        dataset: &Dataset,
        is_proved: bool,
    ) -> Result<Option<DatasetStores<dyn TableStore>>, EngineError> {
        let star = Star::of_all(dataset, &Lifecycle::default())?;
        if dataset.is_table() {
            let of = TablesOf { plan: self.plan, dataset, writes: None };
            let tables = self.sites.open_tables(of, star).await?;
            if !is_proved {
                for table in &tables.places {
                    table.describe().await?;
                }
                return Ok(Some(tables));
            }
            let lead = structure::for_followers(dataset, &**tables.lead()).await?;
            for place in &*tables.star.followers {
                let follower = &**tables.at(*place);
                let found = structure::must_be_there(follower).await?;
                structure::is_fit(dataset, *place, follower, &found, &lead)?;
            }
            return Ok(Some(tables));
        }
        let stores = self.sites.open(self.plan, dataset, star, None, &self.sink).await?;
        for ((_, at), store) in dataset.places().zip(&stores.places) {
            // A directory that opens exists; a bucket always opens, and only a request shows whether it exists.
            if at.scheme == Scheme::S3 {
                store.list(KeyRange::all()).next().await?;
            }
        }
        Ok(None)
    }
}

/// A [`Hand`] that does nothing: checks ask only for the dataset's lifecycle and driver, and for its tables.
#[derive(Debug)]
struct Looking {
    lifecycle: Lifecycle,
    /// The id of the ledger, if there is one.
    ledger: Option<String>,
    /// The dataset's tables, if it is one of tables and its lead has not moved.
    tables: Option<(Leads, DatasetStores<dyn TableStore>)>,
}

impl Looking {
    fn refuse<T>() -> Result<T, Halt> {
        Err(Halt::Refused("a dry run does nothing".to_owned()))
    }
}

#[async_trait]
impl Hand for Looking {
    fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.clone()
    }

    async fn happened(&self, _event: Transition) -> Result<(), Halt> {
        Self::refuse()
    }

    async fn check_ready(&self) -> Result<(), Halt> {
        match &self.tables {
            Some((leads, tables)) => leads.check(tables).await,
            None => Ok(()),
        }
    }

    async fn make_ready(&self) -> Result<(), Halt> {
        Self::refuse()
    }

    async fn drain(&self) -> Result<(), Halt> {
        Self::refuse()
    }

    async fn verify(&self) -> Result<Verified, Halt> {
        Self::refuse()
    }

    fn drives(&self, driver: Option<&Driver>) -> bool {
        driver.is_none_or(|driver| Some(&driver.ledger) == self.ledger.as_ref())
    }

    fn stops(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending::<()>().await;
    }

    async fn changes(&self) -> Result<Changes, Halt> {
        Self::refuse()
    }

    async fn complete_lead(&self) -> Result<(), Halt> {
        Self::refuse()
    }

    async fn late(&self) -> Result<Written, Halt> {
        Self::refuse()
    }

    fn tell_late(&self, _late: &Written) {}

    fn shown(&self, key: &Key) -> Key {
        key.clone()
    }

    async fn open_writes(&self, _settle: Duration) -> Result<Option<OpenWrites>, Halt> {
        Self::refuse()
    }

    async fn wait(&self, _time: Duration, _reason: &str) -> Result<(), Halt> {
        Self::refuse()
    }

    async fn switched_at(&self) -> Result<Option<Timestamp>, Halt> {
        Ok(None)
    }

    fn tell(&self, _step: &'static str, _detail: &str) {}

    fn now(&self) -> Timestamp {
        now()
    }

    fn attempt(&self) -> String {
        "dry-run".to_owned()
    }
}
