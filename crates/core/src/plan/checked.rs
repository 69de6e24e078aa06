//! A checked plan, and what follows from it without a look at the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    model::{DatasetName, PlanName, SiteName},
    plan::{
        dataset::{Dataset, Phase},
        location::{Location, Place, Scheme},
        site::{Endpoint, Site},
    },
};

/// A checked plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// The directory of the plan file: relative paths in the plan start here.
    pub directory: PathBuf,
    /// Whether reports and logs show hashes in place of keys.
    pub redact_keys: bool,
    /// The sites, by name.
    pub sites: BTreeMap<SiteName, Site>,
    /// The residency rules.
    pub policies: Vec<Policy>,
    /// The phases; each comes after those that it names in `after`.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// A path of the plan, as seen from where the plan file's own path was given.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// What a location's site stands for, as the plan writes it: the endpoint's address, the AWS region, or the
    /// directory.
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

    /// The datasets that write where this one reads: they come first, and until they are done its
    /// source may not be there, or not hold everything.
    pub fn filled_by(&self, dataset: &Dataset) -> Vec<&DatasetName> {
        let place = |at: &Location| Some(Place::of(at, self.sites.get(&at.site)?, &self.directory));
        let Some(source) = place(&dataset.source) else { return Vec::new() };
        let writes_there = |other: &&Dataset| {
            other.name != dataset.name
                && other.targets.iter().filter_map(|target| place(&target.at)).any(|target| target.overlaps(&source))
        };
        self.datasets().filter(writes_there).map(|other| &other.name).collect()
    }

    /// What `inner` has below `outer`: the folders between the two, with a `/` after each, nothing
    /// where both are one place. `None` where it does not lie there, by whatever names its site and
    /// that of `outer` go.
    pub fn below(&self, outer: &Location, inner: &Location) -> Option<String> {
        let place = |at: &Location| Some(Place::of(at, self.sites.get(&at.site)?, &self.directory));
        place(outer)?.holds(&place(inner)?)
    }

    /// All datasets, phase by phase.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.phases.iter().flat_map(|phase| &phase.datasets)
    }

    /// The phase of a dataset.
    pub fn phase_of(&self, dataset: &DatasetName) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.datasets.iter().any(|one| one.name == *dataset))
    }
}

/// A residency rule: records of a class stay in these jurisdictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The class.
    pub class: String,
    /// Which records of the class; all where absent.
    pub filter: Option<String>,
    /// Where they may be.
    pub stays_in: BTreeSet<String>,
}
