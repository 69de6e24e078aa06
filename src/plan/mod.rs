//! The plan: what must be where, in which order, under which rules.
//!
//! ```text
//! text ─source→ spanned tree ─structure, against the schema→ PlanFile ─check→ Plan
//! ```
//!
//! [`Plan`] is what the rest of the tool works with: names resolved, sizes parsed, phases in an
//! order that respects `after`. A value of this type has passed every check that needs no network.
//! What fails comes back as [`Diagnostics`]: all problems of a file at once, each with its line,
//! column and, where the tool knows one, a mend.
//!
//! The language itself is defined once, by the types of [`syntax`]; see there. Nothing here reads a
//! file or a clock: the caller brings the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

pub use dataset::{
    Capacity, Cutover, Dataset, DatasetLimits, Extra, Fence, Filter, FinalVerify, Level, Phase, Property, Restore,
    Retire, Target, Tier, Unsupported, Versions,
};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use location::{Location, Route, Scheme};
pub use schema::schema;
pub use select::Select;

use crate::model::{DatasetName, PlanName, SiteName};

mod check;
mod dataset;
mod diagnostics;
pub mod graph;
pub mod limits;
mod location;
pub mod policy;
mod schema;
mod secrets;
pub mod select;
pub mod source;
mod structure;
pub mod syntax;
#[cfg(test)]
mod tests;
mod values;

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
        let place = |at: &Location| Some(location::Place::of(at, self.sites.get(&at.site)?, &self.directory));
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
        let place = |at: &Location| Some(location::Place::of(at, self.sites.get(&at.site)?, &self.directory));
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

/// A place that holds data.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub name: SiteName,
    /// Whose law holds there: an upper-case country code, usually.
    pub jurisdiction: Option<String>,
    /// The AWS region, for a site that is one.
    pub region: Option<String>,
    /// The S3-compatible endpoint, for a site that has one of its own.
    pub s3: Option<Endpoint>,
    /// The DynamoDB-compatible endpoint, for a site that has one of its own.
    pub dynamodb: Option<Endpoint>,
    /// The directory below which `file://` locations lie; absolute, or relative to the plan file.
    pub directory: Option<PathBuf>,
    /// Where its credentials come from.
    pub credentials: Credentials,
    /// What must not be exceeded there.
    pub limits: Limits,
    /// The AWS account that must own its buckets.
    pub expected_bucket_owner: Option<String>,
}

impl Site {
    /// A site of which nothing is known but its name.
    pub fn empty(name: SiteName) -> Self {
        Self {
            name,
            jurisdiction: None,
            region: None,
            s3: None,
            dynamodb: None,
            directory: None,
            credentials: Credentials::Ambient,
            limits: Limits::default(),
            expected_bucket_owner: None,
        }
    }
}

/// A compatible server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host[:port]`.
    pub url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket is in the path, not in the host name.
    pub path_style: bool,
    /// A PEM file with the authorities to trust instead of the system's; absolute, or relative to
    /// the plan file.
    pub ca_file: Option<PathBuf>,
}

/// Where a site's credentials come from; never the secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// AWS's usual chain; only for AWS's own endpoints.
    Ambient,
    /// `PREFIX_ACCESS_KEY_ID`, `PREFIX_SECRET_ACCESS_KEY` and, if set, `PREFIX_SESSION_TOKEN`.
    Env {
        /// The prefix.
        prefix: String,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// Its name.
        name: String,
    },
    /// A role that the ambient identity assumes.
    Role {
        /// The role.
        arn: String,
        /// The external id, if the role asks for one.
        external_id: Option<String>,
    },
}

/// What must not be exceeded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Bytes per second, read and written together.
    pub bandwidth: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u32>,
    /// The hours of the day when work may be done.
    pub window: Option<Window>,
}

/// Hours of the day in a time zone; where `start` is after `end` the window spans midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Minutes after midnight.
    pub start_min: u16,
    /// Minutes after midnight; up to 24 × 60.
    pub end_min: u16,
    /// IANA name.
    pub zone: String,
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

/// Reads and checks a plan: JSON if `file` ends in `.json` or the text begins with `{`, else TOML.
///
/// # Errors
///
/// Everything that is wrong, as far as it can be told without a network.
pub fn parse(text: &str, file: &Path) -> Result<Plan, Diagnostics> {
    let mut report = diagnostics::Report::default();
    let read = read_tree(text, file, &mut report);
    let plan = read.and_then(|(tree, plan)| check::check(text, file, &tree, &plan, &mut report));
    report.finish(text, file)?;
    Ok(plan.expect("a plan without problems was built"))
}

/// Reads a plan's structure, without checking what it means; the first half of [`parse`].
///
/// # Errors
///
/// Everything that is wrong with keys, types and choices.
pub fn read(text: &str, file: &Path) -> Result<syntax::PlanFile, Diagnostics> {
    let mut report = diagnostics::Report::default();
    let read = read_tree(text, file, &mut report);
    report.finish(text, file)?;
    Ok(read.expect("a tree without problems was read").1)
}

fn read_tree(text: &str, file: &Path, report: &mut diagnostics::Report) -> Option<(source::Node, syntax::PlanFile)> {
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let tree =
        if is_json || text.trim_start().starts_with('{') { source::from_json(text) } else { source::from_toml(text) };
    let tree = match tree {
        Ok(tree) => tree,
        Err(errors) => {
            for error in errors {
                report.syntax(error.span, error.message);
            }
            return None;
        }
    };
    let tree = structure::check(&tree, &schema::schema(), report)?;
    match serde_json::from_value(tree.to_json()) {
        Ok(plan) => Some((tree, plan)),
        Err(error) => {
            report.syntax(0..0, error.to_string());
            None
        }
    }
}
