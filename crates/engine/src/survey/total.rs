//! What a run would do in all.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::survey::{preview::DatasetPreview, surveyor::Surveyor};
use migrate_core::{
    model::SiteName,
    plan::{Dataset, Location},
};

/// What a run would do in all, over all datasets and targets that were looked at. Tables are not in the counts of
/// records.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TotalPreview {
    /// Records to write because a target lacks them.
    pub create: u64,
    /// Records to write over another version.
    pub replace: u64,
    /// Records to compare first; copied if they differ or cannot be compared.
    pub compare: u64,
    /// Records that a target already holds.
    pub skip: u64,
    /// Records to delete.
    pub delete: u64,
    /// Most bytes to write.
    pub bytes: u64,
    /// Estimated requests, to sources and targets.
    pub requests: u64,
    /// Datasets that are tables: their items are not counted one by one.
    pub tables: u64,
    /// Datasets whose lead would move, once it is approved.
    pub moves: u64,
    /// Least seconds that the limits in the plan allow; `None` if they set none.
    pub seconds_min: Option<u64>,
    /// Whether both sides of every dataset were looked at to their end.
    pub complete: bool,
}

impl TotalPreview {
    /// Whether a run would write, delete or compare no record, as far as was looked.
    pub fn changes_nothing(&self) -> bool {
        self.create + self.replace + self.compare + self.delete == 0
    }
}

/// What is added up of the datasets of a plan.
#[derive(Debug, Default)]
pub(super) struct Adding {
    total: TotalPreview,
    /// Bytes and requests at each site, of which the limits are.
    sites: BTreeMap<SiteName, (u64, u64)>,
    /// The most seconds that one dataset takes.
    seconds: Option<u64>,
    incomplete: bool,
}

impl Adding {
    pub(super) fn add(&mut self, dataset: &Dataset, seen: &DatasetPreview) {
        let total = &mut self.total;
        total.tables += u64::from(dataset.is_table());
        total.moves += u64::from(seen.cutover.is_some());
        total.requests += seen.source_requests;
        self.incomplete |= !seen.complete;
        self.seconds = self.seconds.max(seen.seconds_min);
        for target in &seen.targets {
            total.create += target.create;
            total.replace += target.replace;
            total.compare += target.compare;
            total.skip += target.skip;
            total.delete += target.delete;
            total.bytes += target.bytes;
            total.requests += target.requests;
        }
        let read = seen.targets.iter().map(|target| target.bytes).max().unwrap_or(0);
        for target in &seen.targets {
            self.at(dataset, &target.target, target.bytes, target.requests);
        }
        self.at(dataset, &seen.source, read, seen.source_requests);
    }

    fn at(&mut self, dataset: &Dataset, location: &str, bytes: u64, requests: u64) {
        if let Some(at) = place_of(dataset, location) {
            let site = self.sites.entry(at.site.clone()).or_default();
            *site = (site.0 + bytes, site.1 + requests);
        }
    }

    /// The sum. The datasets of a plan share the limits of their sites, whether they are copied at once or not.
    pub(super) fn sum(self, surveyor: &Surveyor<'_>) -> TotalPreview {
        let of_site = |(site, (bytes, requests)): (&SiteName, &(u64, u64))| surveyor.seconds(site, *bytes, *requests);
        let seconds_min = self.sites.iter().filter_map(of_site).max().max(self.seconds);
        TotalPreview { seconds_min, complete: !self.incomplete, ..self.total }
    }
}

/// The place of a dataset that is at this location.
pub(super) fn place_of<'a>(dataset: &'a Dataset, location: &str) -> Option<&'a Location> {
    dataset.places().map(|(_, at)| at).find(|at| at.to_string() == location)
}
