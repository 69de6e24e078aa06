//! Opens the tables that a plan names.
//!
//! Each is wrapped, from the inside out: counted ([`MeteredTable`]), asked for the dataset's lease before each write
//! ([`LeasedTable`], if its route says who may write), limited ([`LimitedTable`], by its site and by the capacity that
//! the dataset may take there), retried and noted ([`RetryingTable`]), and, if a residency rule forbids the place, guarded
//! ([`GuardedTable`]).

use std::sync::Arc;

use crate::{
    error::EngineError,
    journal::Journal,
    shutdown::Shutdown,
    sites::{
        connect::{Opened, Role},
        leased::LeasedTable,
        noted::Noted,
        opening::{DatasetStores, Sites, lease_of, stops_one, wrong_kind},
        unopened::Unopened,
        widths::Widths,
    },
    star::Star,
};
use migrate_core::{
    item::KeyNames,
    model::PlaceIndex,
    plan::{self, Dataset, Location, Plan, Scheme, policy},
    routing::Routing,
    table::{Billing, Structure, Throughput},
};
use migrate_ledger::LimitsOf;
use migrate_store::{
    guard::GuardedTable,
    limit::{Capacity, CapacityLimits, LimitedTable},
    meter::{Meter, MeteredTable},
    retry::{RetryPolicy, RetryingTable},
    table::TableStore,
};

/// What the tables of one dataset are opened for.
#[derive(Clone, Copy)]
pub(crate) struct TablesOf<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) dataset: &'a Dataset,
    /// With a journal, followers are written once the lease is held.
    pub(crate) writes: Option<(&'a Journal, &'a Shutdown)>,
}

impl Sites {
    /// Opens a dataset's tables. In place of a follower that cannot be opened is one that fails with the reason.
    pub(crate) async fn open_tables(
        &self,
        of: TablesOf<'_>,
        star: Star,
    ) -> Result<DatasetStores<dyn TableStore>, EngineError> {
        let lease = of.writes.and_then(|(_, shutdown)| lease_of(of.dataset, shutdown));
        let mut stores = DatasetStores {
            routing: Routing::new(of.plan, of.dataset),
            places: Vec::new(),
            meters: Vec::new(),
            star,
            lease,
            unopened: Vec::new(),
            limits: Vec::new(),
            widths: Widths::default(),
            probe_names: Vec::new(),
        };
        let described = self.described(of, stores.star.lead).await?;
        let names = described.as_ref().map(Structure::key_names);
        for (place, at) in of.dataset.places() {
            let meter = Arc::new(Meter::default());
            let store = match self.table(of, &mut stores, (place, at), &meter, names.clone()).await {
                Ok(store) => {
                    if place == stores.star.lead || stores.star.followers.contains(&place) {
                        stores.widths.add(&at.site, self.limits.of(of.plan, &LimitsOf::Site(at.site.clone()))?);
                    }
                    self.limited(of, &mut stores, at, store, described.as_ref())?
                }
                Err(error) if place != stores.star.lead && stops_one(&error) => {
                    Arc::new(Unopened::new(at.to_string(), &error))
                }
                Err(error) => return Err(error),
            };
            stores.places.push(self.finished(of, (place, at), store, &meter, names.as_ref()));
            stores.meters.push(meter);
        }
        if let Some((journal, _)) = of.writes {
            self.record_places(journal).await?;
        }
        Ok(stores)
    }

    /// A table that leads by now, to be given what it may have only then. No lease is asked: that was given back before the
    /// switch.
    pub(crate) async fn new_lead(&self, of: TablesOf<'_>, at: &Location) -> Result<RetryingTable, EngineError> {
        let bare = self.bare_table(of, at, Role::Target, None).await?;
        Ok(RetryingTable::new(bare, self.retry.clone()))
    }

    /// The structure of the lead's table, or, if that is a directory that does not tell its keys, of the first table
    /// that does.
    async fn described(&self, of: TablesOf<'_>, lead: PlaceIndex) -> Result<Option<Structure>, EngineError> {
        let mut places: Vec<_> = of.dataset.places().filter(|(_, at)| at.scheme != Scheme::File).collect();
        places.sort_by_key(|(place, _)| *place != lead);
        for (place, at) in places {
            let table = self.bare_table(of, at, Role::Source, None).await?;
            let described = RetryingTable::new(table, self.retry.clone()).describe().await;
            match described {
                Ok(Some(described)) => return Ok(Some(described.structure)),
                Ok(None) => {}
                Err(error) if place == lead => return Err(error.into()),
                Err(_unreachable) => {}
            }
        }
        Ok(None)
    }

    /// Opens one place, counted, and asked for its lease if it is written.
    async fn table(
        &self,
        of: TablesOf<'_>,
        stores: &mut DatasetStores<dyn TableStore>,
        (place, at): (PlaceIndex, &Location),
        meter: &Arc<Meter>,
        names: Option<KeyNames>,
    ) -> Result<Arc<dyn TableStore>, EngineError> {
        let role = match (place == stores.star.lead, of.writes) {
            (true, _) => Role::Source,
            (false, Some(_)) => Role::Target,
            (false, None) => Role::Look,
        };
        let bare = self.bare_table(of, at, role, names).await?;
        let metered: Arc<dyn TableStore> = Arc::new(MeteredTable::new(bare, Arc::clone(meter)));
        Ok(match &stores.lease {
            Some(lease) if role == Role::Target => Arc::new(LeasedTable::new(metered, Arc::clone(lease))),
            _ => metered,
        })
    }

    async fn bare_table(
        &self,
        of: TablesOf<'_>,
        at: &Location,
        role: Role,
        names: Option<KeyNames>,
    ) -> Result<Arc<dyn TableStore>, EngineError> {
        let (site, migration) = (Self::site(of.plan, at)?, self.migration());
        match self.connect.open(of.plan, site, at, role, migration.as_deref()).await? {
            Opened::Table(table) => Ok(table),
            Opened::Directory => self.table_directory(of.plan, at, role, names),
            Opened::Store(_) => Err(wrong_kind(at, "no table")),
        }
    }

    /// A place under the limits of its site and of the dataset.
    fn limited(
        &self,
        of: TablesOf<'_>,
        stores: &mut DatasetStores<dyn TableStore>,
        at: &Location,
        mut store: Arc<dyn TableStore>,
        described: Option<&Structure>,
    ) -> Result<Arc<dyn TableStore>, EngineError> {
        // The capacity is charged once.
        let site = (LimitsOf::Site(at.site.clone()), Capacity::default());
        let dataset = (LimitsOf::Dataset(of.dataset.name.clone()), capacity(of.dataset, described)?);
        for (limits, capacity) in [site, dataset] {
            let limits = self.limits.of(of.plan, &limits)?;
            stores.limits.push(Arc::clone(&limits));
            store = Arc::new(LimitedTable::new(store, limits, CapacityLimits::new(&at.to_string(), capacity)));
        }
        Ok(store)
    }

    /// A place that is retried, noted if it is written, and guarded if a policy forbids it.
    fn finished(
        &self,
        of: TablesOf<'_>,
        (place, at): (PlaceIndex, &Location),
        store: Arc<dyn TableStore>,
        meter: &Arc<Meter>,
        names: Option<&KeyNames>,
    ) -> Arc<dyn TableStore> {
        let retries = self.retry.meter.as_ref().unwrap_or(meter);
        let policy = RetryPolicy { meter: Some(Arc::clone(retries)), ..self.retry.clone() };
        let mut retrying = RetryingTable::new(store, policy);
        if let Some(((journal, _), names)) = of.writes.zip(names) {
            retrying = retrying.tracked_by(Arc::new(Noted::new(journal, &of.dataset.name, place)), names.clone());
        }
        // The plan's check refuses such a target; if one passes it, the guard refuses its writes.
        match policy::verdict(of.plan, of.dataset, &at.site) {
            Err(reason) if place != PlaceIndex::SOURCE => Arc::new(GuardedTable::new(Arc::new(retrying), &reason)),
            _ => Arc::new(retrying),
        }
    }
}

/// The capacity that a dataset may take at a table.
pub(crate) fn capacity(dataset: &Dataset, described: Option<&Structure>) -> Result<Capacity, EngineError> {
    let provisioned = described.and_then(|structure| match structure.billing {
        Billing::Provisioned(throughput) => Some(throughput),
        Billing::OnDemand => None,
    });
    let units = |limit: Option<plan::Capacity>, of: fn(&Throughput) -> u64| match limit {
        None => Ok(None),
        Some(plan::Capacity::Units(units)) => Ok(Some(f64::from(units))),
        Some(plan::Capacity::SharePermille(permille)) => match &provisioned {
            #[expect(clippy::cast_precision_loss, reason = "capacities are far below 2^53")]
            Some(throughput) => Ok(Some(of(throughput) as f64 * f64::from(permille) / 1000.0)),
            None => Err(EngineError::TableUnfit {
                dataset: dataset.name.clone(),
                reason: "a share of the capacity needs a table with provisioned capacity: give a number of units"
                    .to_owned(),
            }),
        },
    };
    Ok(Capacity {
        read: units(dataset.limits.read_capacity, |throughput| throughput.read)?,
        write: units(dataset.limits.write_capacity, |throughput| throughput.write)?,
    })
}
