//! A checked plan, and what follows from it alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    expression::Expression,
    model::{DatasetName, PlanName, SiteName},
    plan::{
        dataset::{Dataset, Phase},
        location::{Location, Place, Scheme},
        site::{Endpoint, Site},
    },
};

/// A plan that passed every check.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the plan; it names the state directory too.
    pub name: PlanName,
    /// The plan file, as it was named.
    pub file: PathBuf,
    /// The directory of the plan file: relative paths in the plan start here.
    pub directory: PathBuf,
    /// Whether reports and logs show hashes in place of keys.
    pub redact_keys: bool,
    /// The sites, by their names in the plan.
    pub sites: BTreeMap<SiteName, Site>,
    /// The residency rules.
    pub policies: Vec<Policy>,
    /// In an order in which each phase comes after those in its `after`.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// A path of the plan, seen from the directory in which the plan file's own path was given.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The place of a location's site, as the plan writes it: the endpoint's address, the AWS region, or the directory.
    pub fn place_of(&self, at: &Location) -> Option<String> {
        let site = self.sites.get(&at.site)?;
        let server =
            |endpoint: Option<&Endpoint>| endpoint.map(|endpoint| endpoint.url.clone()).or_else(|| site.region.clone());
        match at.scheme {
            Scheme::File => Some(site.directory.as_ref()?.display().to_string()),
            Scheme::S3 => server(site.s3.as_ref()),
            Scheme::DynamoDb => server(site.dynamodb.as_ref()),
        }
    }

    /// The datasets that write to this one's source. They come first; until they are done, the source may be
    /// missing or incomplete.
    pub fn filled_by(&self, dataset: &Dataset) -> Vec<&DatasetName> {
        let place = |at: &Location| Some(Place::of(at, self.sites.get(&at.site)?, &self.directory));
        let Some(source) = place(&dataset.source) else { return Vec::new() };
        let writes_there = |other: &&Dataset| {
            other.name != dataset.name
                && other.targets.iter().filter_map(|target| place(&target.at)).any(|target| target.overlaps(&source))
        };
        self.datasets().filter(writes_there).map(|other| &other.name).collect()
    }

    /// The folders from `outer` down to `inner`, with a `/` after each, empty if both are one place. `None` if
    /// `inner` does not lie in `outer`, whatever the names of their sites.
    pub fn below(&self, outer: &Location, inner: &Location) -> Option<String> {
        let place = |at: &Location| Some(Place::of(at, self.sites.get(&at.site)?, &self.directory));
        place(outer)?.holds(&place(inner)?)
    }

    /// All datasets, phase by phase.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.phases.iter().flat_map(|phase| &phase.datasets)
    }

    /// The phase of a dataset; `None` if the plan does not have the dataset.
    pub fn phase_of(&self, dataset: &DatasetName) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.datasets.iter().any(|one| one.name == *dataset))
    }
}

/// A residency rule: records of a class stay in these jurisdictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The class of datasets that it binds.
    pub class: String,
    /// A CEL expression for the records of the class; absent for all.
    pub filter: Option<Expression>,
    /// Allowed jurisdictions.
    pub stays_in: BTreeSet<String>,
}
