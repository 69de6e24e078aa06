//! [`RouteStore`]: reads the route of one dataset, and moves it.

use std::sync::Arc;

use serde_json::Value;

use super::{
    document::RouteDocument,
    error::RouteError,
    item::{CONDITIONS, ItemRoute},
    kept::Kept,
    name::RouteName,
    object::ObjectRoute,
    series::SeriesRoute,
    shown::{Shown, Swapped},
};
use migrate_core::{
    model::{DatasetName, Key},
    plan::{self, Scheme},
};
use migrate_store::{Conditions, ErrorKind, ObjectStore, table::TableStore};

/// Reads and writes the route of one dataset.
#[derive(Debug, Clone)]
pub struct RouteStore {
    kept: Arc<dyn Kept>,
    location: String,
    /// The location, and the endpoint's address or the directory that it stands for.
    place: String,
}

impl RouteStore {
    /// The route of a dataset as a single object under a key of a store. `location` names it for people.
    pub fn new(store: Arc<dyn ObjectStore>, key: Key, location: String, dataset: DatasetName) -> Self {
        let name = RouteName { location, dataset };
        Self::kept_by(name.location.clone(), Arc::new(ObjectRoute { store, key, name }))
    }

    /// The route that the plan names, in the store of its folder: one object, or a series of files.
    pub fn of(store: Arc<dyn ObjectStore>, route: &plan::Route, dataset: DatasetName) -> Self {
        let (_, key) = route.folder_and_name();
        let name = RouteName { location: route.to_string(), dataset };
        let kept: Arc<dyn Kept> = if route.scheme == Scheme::File {
            Arc::new(SeriesRoute { store, key, name })
        } else {
            Arc::new(ObjectRoute { store, key, name })
        };
        Self::kept_by(route.to_string(), kept)
    }

    /// The route that the plan names, as an item of its table. A probe makes an item with the key `scratch` beside it;
    /// `found` is what an earlier one has found ([`found`](Self::found)).
    pub fn in_table(
        table: Arc<dyn TableStore>,
        route: &plan::Route,
        dataset: DatasetName,
        scratch: String,
        found: Option<&Value>,
    ) -> Self {
        let name = RouteName { location: route.to_string(), dataset };
        let keeps_conditions = found.is_some_and(|found| found[CONDITIONS] == true);
        Self::kept_by(route.to_string(), Arc::new(ItemRoute::new(table, name, scratch, keeps_conditions)))
    }

    pub(super) fn kept_by(location: String, kept: Arc<dyn Kept>) -> Self {
        Self { kept, place: location.clone(), location }
    }

    /// The same route, whose location stands for this place.
    ///
    /// # Errors
    ///
    /// If the place is not there, or cannot hold a route, as far as opening it shows.
    pub async fn at_place(mut self, place: &str) -> Result<Self, RouteError> {
        self.place = match self.kept.met().await? {
            Some(met) => format!("{} ({place}; {met})", self.location),
            None => format!("{} ({place})", self.location),
        };
        Ok(self)
    }

    /// The location with the place that it stands for: a route of the same name at another place is another route.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The location in the plan, for people.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// How the route's store keeps the conditions of writes, as far as a probe has shown.
    pub fn conditions(&self) -> Conditions {
        self.kept.conditions()
    }

    /// All that a probe has found of the route's store, as plain data.
    pub fn found(&self) -> Value {
        self.kept.found()
    }

    /// Refuses a store on which a swap is not atomic, as far as a probe has shown.
    pub fn check(&self) -> Result<(), RouteError> {
        if self.kept.is_atomic() {
            return Ok(());
        }
        Err(RouteError::NoConditions { location: self.location.clone(), needed: self.kept.needs() })
    }

    /// Probes the store anew, beside the route, and checks that a swap works: the result
    /// of an earlier probe may no longer hold, and the switch would find out too late.
    pub async fn prove(&self) -> Result<(), RouteError> {
        self.probe().await?;
        self.check()
    }

    /// Finds out anew how the conditions of writes are kept.
    pub(crate) async fn probe(&self) -> Result<(), RouteError> {
        self.kept.probe().await
    }

    /// Reads the route; `None` if there is none yet: then the site of the plan's source leads. Every
    /// look at the lead uses this function.
    ///
    /// # Errors
    ///
    /// If it is unknown whether there is a route: its bucket, directory or table is missing, or cannot be
    /// looked at. "Not found" alone is no answer.
    pub async fn read(&self) -> Result<Option<Shown>, RouteError> {
        self.kept.read().await
    }

    /// Writes `to` if the route still is `from`. A second call with the same `to` changes nothing.
    pub async fn swap(&self, from: Option<&Shown>, to: &RouteDocument) -> Result<Swapped, RouteError> {
        self.check()?;
        let error = match self.kept.write(from.map(|shown| &shown.version), to).await {
            Ok(()) => return Ok(Swapped::Done),
            Err(RouteError::Store(error)) => error,
            Err(error) => return Err(error),
        };
        let unknown = error.outcome_unknown();
        if !unknown && error.kind() != ErrorKind::Precondition {
            return Err(error.into());
        }
        let shown = match self.read().await {
            Ok(shown) => shown,
            // Without this read the outcome stays unknown.
            Err(RouteError::Store(error)) if unknown => return Err(error.with_unknown_outcome().into()),
            Err(error) => return Err(error),
        };
        match shown {
            Some(shown) if shown.document.attempt == to.attempt => Ok(Swapped::Done),
            _ if unknown => Ok(Swapped::Unsettled),
            shown => Ok(Swapped::Lost(shown.map(Box::new))),
        }
    }
}
