//! Opens the tables that a plan names.

use std::sync::Arc;

use crate::{
    error::EngineError,
    journal::Journal,
    shutdown::Shutdown,
    sites::{
        connect::{Opened, Role},
        opening::{DatasetStores, Sites, lease_of, wrong_kind},
    },
    star::Star,
};
use migrate_core::{
    model::PlaceIndex,
    plan::{Dataset, Location, Plan},
    routing::Routing,
};
use migrate_store::{meter::Meter, table::TableStore};

impl Sites {
    /// Opens a dataset's tables: the lead's and all others. With `writes`, its followers are written once the lease is
    /// held.
    pub(crate) async fn open_tables(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        star: Star,
        writes: Option<(&Journal, &Shutdown)>,
    ) -> Result<DatasetStores<dyn TableStore>, EngineError> {
        let lease = writes.and_then(|(_, shutdown)| lease_of(dataset, shutdown));
        let mut stores = DatasetStores {
            routing: Routing::new(plan, dataset),
            places: Vec::new(),
            meters: Vec::new(),
            star,
            lease,
            unopened: Vec::new(),
            limits: Vec::new(),
            probe_names: Vec::new(),
        };
        for (place, at) in dataset.places() {
            let role = match place {
                PlaceIndex::SOURCE => Role::Source,
                _ if writes.is_some() => Role::Target,
                _ => Role::Look,
            };
            let meter = Arc::new(Meter::default());
            stores.places.push(self.table(plan, at, role).await?);
            stores.meters.push(meter);
        }
        Ok(stores)
    }

    async fn table(&self, plan: &Plan, at: &Location, role: Role) -> Result<Arc<dyn TableStore>, EngineError> {
        let site = Self::site(plan, at)?;
        match self.connect.open(plan, site, at, role, None).await? {
            Opened::Table(table) => Ok(table),
            Opened::Store(_) | Opened::Directory => Err(wrong_kind(at, "no table")),
        }
    }
}
