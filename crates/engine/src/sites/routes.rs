//! Opens the routes that a plan names.
//!
//! A route is held to conditions and retried, and has no limits: a switch that waits for working hours, or in a queue,
//! would rest on an outdated proof.

use std::sync::Arc;

use rand::{RngCore as _, SeedableRng as _};
use serde_json::Value;

use super::{
    connect::{Opened, Role},
    opening::{Probing, Sites, wrong_kind},
    probed::{known, probe_name},
};
use crate::{clock::now, error::EngineError, meaning::place_of, route::RouteStore, sink::Sink};
use migrate_core::{
    digest::sha256,
    model::DatasetName,
    plan::{Dataset, Location, Plan, Route, Scheme},
};
use migrate_ledger::{Ledger, Record};
use migrate_store::{
    ObjectStore,
    conditional::Conditional,
    retry::{Retrying, RetryingTable},
    table::TableStore,
};

/// The beginning of the key of a probe's item; 16 hexadecimal digits follow.
const SCRATCH: &str = ".migrate-probe-";

impl Sites {
    /// Opens the route of a dataset. With a journal its store is probed unless the ledger knows it; for
    /// a look, nothing is made or recorded.
    pub(crate) async fn open_route(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        route: &Route,
        asked: Probing<'_>,
        sink: &Sink,
    ) -> Result<RouteStore, EngineError> {
        let (at, _) = route.folder_and_name();
        if at.scheme == Scheme::DynamoDb {
            return self.open_item(plan, dataset, route, asked).await;
        }
        let (_, bare) = self.bare(plan, &at, role(asked)).await?;
        if let Probing::Record(journal) = asked {
            self.record_places(journal).await?;
        }
        let kept = Arc::new(Conditional::new(bare));
        let store: Arc<dyn ObjectStore> = Arc::new(Retrying::new(kept, self.retry.clone()));
        let name = probe_name(plan, &at, store.endpoint());
        if at.scheme == Scheme::File && !matches!(asked, Probing::Look { probe: false, .. }) {
            // Whether this file system refuses what it must; the result holds for no other, so it is not kept.
            store.probe().await?;
        }
        match asked {
            Probing::Record(journal) => self.known_or_probed(&*store, &name, journal, sink).await?,
            Probing::Look { ledger, probe } => self.known_or_asked(&*store, &name, ledger, probe).await?,
        }
        let place = place_of(plan, &at).unwrap_or_default();
        Ok(RouteStore::of(store, route, dataset.name.clone()).at_place(&place).await?)
    }

    /// Opens a route in a table, which must be there and be able to hold it. A look writes nothing but the scratch item
    /// of a probe.
    async fn open_item(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        route: &Route,
        asked: Probing<'_>,
    ) -> Result<RouteStore, EngineError> {
        let (at, _) = route.folder_and_name();
        let table = self.route_table(plan, &at, role(asked)).await?;
        let name = probe_name(plan, &at, table.endpoint());
        let ledger = match asked {
            Probing::Record(journal) => Some(&*journal.ledger),
            Probing::Look { ledger, .. } => ledger,
        };
        let known: Option<Value> = match ledger {
            Some(ledger) => known(ledger, &name).await?,
            None => None,
        };
        let scratch = self.scratch_of(&dataset.name, &at);
        let opened = RouteStore::in_table(table, route, dataset.name.clone(), scratch, known.as_ref());
        let opened = opened.at_place(&place_of(plan, &at).unwrap_or_default()).await?;
        if known.is_some() || matches!(asked, Probing::Look { probe: false, .. }) {
            return Ok(opened);
        }
        opened.probe().await?;
        if let Probing::Record(journal) = asked {
            let capabilities = opened.found().to_string();
            journal.commit(vec![Record::Probed { location: name, capabilities, at: now() }]).await?;
        }
        Ok(opened)
    }

    /// Opens the route of a dataset for a look, and records nothing.
    pub(crate) async fn open_route_to_look(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        route: &Route,
        ledger: Option<&Ledger>,
        probe: bool,
    ) -> Result<RouteStore, EngineError> {
        self.open_route(plan, dataset, route, Probing::Look { ledger, probe }, &Sink::none()).await
    }

    /// Opens the table of a route.
    pub(super) async fn route_table(
        &self,
        plan: &Plan,
        at: &Location,
        role: Role,
    ) -> Result<Arc<dyn TableStore>, EngineError> {
        let migration = self.migration();
        match self.connect.open(plan, Self::site(plan, at)?, at, role, migration.as_deref()).await? {
            Opened::Table(table) => Ok(Arc::new(RetryingTable::new(table, self.retry.clone()))),
            Opened::Store(_) | Opened::Directory => Err(wrong_kind(at, "no table")),
        }
    }

    /// The key of the item that probes make beside a route. Of the migration that this process drives, so that a later
    /// probe removes what a killed one left, and of one dataset, so that two never meet; random for a look, which may be
    /// beside a run.
    fn scratch_of(&self, dataset: &DatasetName, at: &Location) -> String {
        let Some(migration) = self.migration() else {
            return format!("{SCRATCH}{:016x}", rand::rngs::StdRng::from_os_rng().next_u64());
        };
        let digest = sha256(format!("{migration} {dataset} {at}").as_bytes()).to_string();
        format!("{SCRATCH}{}", &digest[..16])
    }
}

fn role(asked: Probing<'_>) -> Role {
    Role::Route { writes: matches!(asked, Probing::Record(_)) }
}
