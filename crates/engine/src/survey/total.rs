//! Adds up what a run would do in all.

use std::collections::BTreeMap;

use crate::survey::preview::{DatasetPreview, TotalPreview};
use migrate_core::{
    model::SiteName,
    plan::{Dataset, Location},
};

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

    /// The sum. `seconds` are the least that the limits of a site allow for so many bytes and requests: the datasets of a
    /// plan share them, whether they are copied at once or not.
    pub(super) fn sum(self, seconds: impl Fn(&SiteName, u64, u64) -> Option<u64>) -> TotalPreview {
        let of_site = |(site, (bytes, requests)): (&SiteName, &(u64, u64))| seconds(site, *bytes, *requests);
        let seconds_min = self.sites.iter().filter_map(of_site).max().max(self.seconds);
        TotalPreview { seconds_min, complete: !self.incomplete, ..self.total }
    }
}

/// The place of a dataset that is at this location.
pub(super) fn place_of<'a>(dataset: &'a Dataset, location: &str) -> Option<&'a Location> {
    dataset.places().map(|(_, at)| at).find(|at| at.to_string() == location)
}
