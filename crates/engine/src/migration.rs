//! A migration, as its two kinds of callers hold it: [`Inspection`] looks at it, [`Migration`] drives it.
//!
//! Their methods stand in the files that do the work; this file holds what they work with. Only a caller that has
//! opened a ledger for writing can make a [`Migration`], so a run without a ledger does not compile.

use std::sync::Arc;

use crate::{
    error::EngineError,
    lifecycle::lifecycle_of,
    meaning::{meaning_of, same_meaning},
    route::RouteStore,
    shutdown::Shutdown,
    sink::Sink,
    sites::opening::Sites,
};
use migrate_core::{
    lifecycle::Lifecycle,
    model::DatasetName,
    plan::{Dataset, Plan, Route},
};
use migrate_ledger::Ledger;

/// What drives a migration: it writes the ledger and the targets.
///
/// The caller holds the lock of the ledger's state directory. Each method ends with the ledger written.
#[derive(Debug)]
pub struct Migration<'a> {
    /// What must be where.
    pub plan: &'a Plan,
    /// The sites of the plan.
    pub sites: &'a Sites,
    /// The ledger, open for writing.
    pub ledger: Arc<Ledger>,
    /// Takes the events.
    pub sink: Sink,
    /// Stops the work.
    pub shutdown: Shutdown,
}

/// What only looks at a migration: it writes no data and no ledger, at most the scratch key of a probe.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// What must be where.
    pub plan: &'a Plan,
    /// The sites of the plan.
    pub sites: &'a Sites,
    /// The ledger, which is only read; `None` if nothing has begun.
    pub ledger: Option<Arc<Ledger>>,
    /// Takes the events.
    pub sink: Sink,
    /// Stops the work.
    pub shutdown: Shutdown,
}

impl Inspection<'_> {
    /// Takes the directories in the ledger as those that must be at their paths.
    pub(crate) async fn adopt_places(&self) -> Result<(), EngineError> {
        self.sites.adopt_places(self.ledger.as_deref()).await
    }

    /// Where a dataset stands, by the ledger.
    pub(crate) async fn lifecycle(&self, dataset: &DatasetName) -> Result<Lifecycle, EngineError> {
        match &self.ledger {
            Some(ledger) => lifecycle_of(ledger, dataset).await,
            None => Ok(Lifecycle::default()),
        }
    }

    /// The ledger, if the dataset has begun in it: otherwise it knows nothing of the dataset. A dataset that means
    /// something else now is refused: what the ledger knows is true of another body of data.
    pub(crate) async fn begun(&self, dataset: &Dataset) -> Result<Option<&Arc<Ledger>>, EngineError> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let Some(begun) = ledger.meaning(&dataset.name).await? else { return Ok(None) };
        same_meaning(&dataset.name, &begun, &meaning_of(self.plan, dataset))?;
        Ok(Some(ledger))
    }

    /// The id under which the ledger drives datasets; `None` without a ledger.
    pub(crate) async fn driver_id(&self) -> Result<Option<String>, EngineError> {
        match &self.ledger {
            Some(ledger) => Ok(Some(ledger.id().await?)),
            None => Ok(None),
        }
    }

    /// Opens the route of a dataset and records nothing. A store that the ledger does not know is probed if `probe`
    /// allows it.
    pub(crate) async fn open_route(
        &self,
        dataset: &Dataset,
        route: &Route,
        probe: bool,
    ) -> Result<RouteStore, EngineError> {
        self.sites.open_route_to_look(self.plan, dataset, route, self.ledger.as_deref(), probe).await
    }
}
