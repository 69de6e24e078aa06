//! Datasets, their targets and cutovers, as checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::plan::choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions};
use crate::{
    expression::Expression,
    model::{Aspects, DatasetName, PhaseName, PlaceIndex, SiteName},
    plan::{
        diagnostics::Diagnostic,
        location::{Location, Route, Scheme},
        select::Select,
        site::Credentials,
        syntax,
    },
};

/// Datasets that move and cut over together.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Unique in the plan.
    pub name: PhaseName,
    /// The phases that must come first.
    pub after: Vec<PhaseName>,
    /// The datasets in the order of the plan file.
    pub datasets: Vec<Dataset>,
}

/// One body of data, its source and its targets.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Unique in the plan.
    pub name: DatasetName,
    /// Data class, for the residency rules.
    pub class: Option<String>,
    /// The parent dataset, which this one is a part of.
    pub part_of: Option<DatasetName>,
    /// The current lead's location.
    pub source: Location,
    /// The new locations; never empty.
    pub targets: Vec<Target>,
    /// The site that leads after the cutover, if the plan names it.
    pub lead: Option<SiteName>,
    /// Globs for the keys of the dataset.
    pub select: Select,
    /// A CEL expression for the records of the dataset; absent for all.
    pub filter: Option<Expression>,
    /// Whether old versions are copied too.
    pub versions: Versions,
    /// What happens to records that only a target has and that were never paired.
    pub extra: Extra,
    /// Properties that need not survive at any target.
    pub waive: BTreeSet<Property>,
    /// How thoroughly a run verifies it.
    pub verify: Level,
    /// What `complete` does with the old lead's copy.
    pub retire: Retire,
    /// Whether changes are followed while copying.
    pub live: bool,
    /// Whether the old lead follows the new one until `complete`.
    pub follow_back: bool,
    /// Another dataset that reads or writes where this one's source lies.
    pub source_shared_with: Option<DatasetName>,
    /// Limits for this dataset alone.
    pub limits: DatasetLimits,
    /// How objects in cold storage are restored.
    pub restore: Option<Restore>,
    /// The most that may be deleted at a target without `--force`, as a share of what it holds, in thousandths.
    pub delete_share_permille: u16,
    /// Whether a verification that found nothing to compare is good enough to move the lead.
    pub accept_empty: bool,
    /// How the lead moves; absent if it does not.
    pub cutover: Option<Cutover>,
    /// The keys that this build cannot carry out: `run` refuses them.
    pub unsupported: Vec<Unsupported>,
}

impl Dataset {
    /// Whether it is a table: one of its places is.
    pub fn is_table(&self) -> bool {
        self.places().any(|(_, at)| at.scheme == Scheme::DynamoDb)
    }

    /// Whether each record goes to one of the targets, by their `where`.
    pub fn is_partitioned(&self) -> bool {
        self.targets.iter().any(|target| target.filter.is_some())
    }

    /// The places that lead once the lead has moved: each partition leads its own records; otherwise one target leads all.
    pub fn new_leads(&self) -> Vec<PlaceIndex> {
        if self.is_partitioned() {
            return self.numbered_targets().map(|(place, _)| place).collect();
        }
        self.first_lead().and_then(|site| self.target_at(site)).into_iter().collect()
    }

    /// The site that stands for those that lead once the lead has moved: that of the target that the plan names, or that
    /// takes the rest of the records, or else of the first one.
    pub fn first_lead(&self) -> Option<&SiteName> {
        let rest = || self.targets.iter().find(|target| target.filter == Some(Filter::Otherwise));
        let target = || rest().or(self.targets.first()).map(|target| &target.at.site);
        self.lead.as_ref().or_else(target)
    }

    /// The first target at a site.
    pub fn target_at(&self, site: &SiteName) -> Option<PlaceIndex> {
        self.numbered_targets().find(|(_, target)| target.at.site == *site).map(|(place, _)| place)
    }

    /// The targets, each with its place.
    pub fn numbered_targets(&self) -> impl Iterator<Item = (PlaceIndex, &Target)> {
        (1..).map(PlaceIndex::at).zip(&self.targets)
    }

    /// All places, each with its location.
    pub fn places(&self) -> impl Iterator<Item = (PlaceIndex, &Location)> {
        let targets = self.numbered_targets().map(|(place, target)| (place, &target.at));
        std::iter::once((PlaceIndex::SOURCE, &self.source)).chain(targets)
    }

    /// The location of a place.
    ///
    /// # Panics
    ///
    /// Panics if the dataset has no such place.
    pub fn location(&self, place: PlaceIndex) -> &Location {
        if place == PlaceIndex::SOURCE { &self.source } else { &self.targets[place.as_target()].at }
    }

    /// The kinds of properties that may be lost at a target: what the plan waives for all targets, and for this one.
    pub fn waived_at(&self, target: &Target) -> Aspects {
        self.waive.iter().chain(&target.waive).map(|property| property.aspects()).collect()
    }

    /// What the dataset means: source, targets in their order, selection and partitioning, in a form that does not
    /// depend on how the plan is written. If it changes, work done under the old meaning no longer counts.
    pub fn meaning(&self) -> Value {
        let globs = |globs: &[String]| globs.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect::<Vec<_>>();
        let targets = self.targets.iter().map(|target| match &target.filter {
            None => json!({"at": target.at.to_string()}),
            Some(filter) => json!({"at": target.at.to_string(), "where": filter.as_str()}),
        });
        let mut selection = json!({"include": globs(self.select.include()), "exclude": globs(self.select.exclude())});
        if let Some(filter) = &self.filter {
            selection["where"] = filter.text().into();
        }
        if self.versions == Versions::All {
            selection["versions"] = "all".into();
        }
        json!({
            "source": self.source.to_string(),
            "targets": targets.collect::<Vec<_>>(),
            "selection": selection,
        })
    }
}

/// One target of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Location of the target.
    pub at: Location,
    /// The records that go there; absent for all.
    pub filter: Option<Filter>,
    /// The KMS key that encrypts there, if the plan sets it.
    pub kms_key: Option<String>,
    /// The storage class of new objects, if the plan sets it.
    pub storage_class: Option<String>,
    /// Size of the parts of multipart uploads in bytes, if the plan sets it.
    pub part_size: Option<u64>,
    /// Properties that may be lost there, in addition to those waived for all targets.
    pub waive: BTreeSet<Property>,
}

/// The records of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Records for which this CEL expression is true.
    Rule(Expression),
    /// Records that go nowhere else.
    Otherwise,
}

impl Filter {
    /// The filter as a plan writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Filter::Rule(rule) => rule.text(),
            Filter::Otherwise => "otherwise",
        }
    }
}

/// Limits for one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatasetLimits {
    /// Read capacity of a table.
    pub read_capacity: Option<Capacity>,
    /// Write capacity of a table.
    pub write_capacity: Option<Capacity>,
    /// Bytes per second, read and written together.
    pub bandwidth: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u32>,
}

/// Capacity of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Units per second.
    Units(u32),
    /// A share of the provisioned capacity, in thousandths.
    SharePermille(u16),
}

/// How objects in cold storage are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    /// How many days the restored copy stays.
    pub days: u32,
    /// Speed and price of the restore.
    pub tier: Tier,
}

/// How the lead moves.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutover {
    /// What stops writes at the old lead.
    pub fence: Fence,
    /// The application's identity, which proves the fence; present for policy fences.
    pub canary: Option<Credentials>,
    /// Location of the route's document.
    pub route: Route,
    /// The age at which applications must have read the route again.
    pub route_max_age: Duration,
    /// How the data is proved equal behind the fence.
    pub final_verify: FinalVerify,
    /// How long a write whose answer was lost may still take effect.
    pub settle: Duration,
    /// The most that a follower may lag behind when the cutover begins.
    pub max_lag: Option<Duration>,
    /// How long the old lead must have seen no write, if nothing fences it.
    pub quiet: Duration,
    /// Argument lists by name: `fence`, `unfence`, `before_*`, `after_*`.
    pub hooks: BTreeMap<String, Vec<String>>,
    /// The content delivery network in front of the data.
    pub cdn: Option<syntax::Cdn>,
    /// URLs that are measured before and after the switch.
    pub probe: Vec<String>,
}

/// A key of the plan that checks but cannot be carried out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Path of the key, as `live` or `target.where`.
    pub key: String,
    /// Its place in the plan file, and what to do about it.
    pub problem: Diagnostic,
    /// Whether it matters only for the cutover, so that copying and verifying may go on.
    pub cutover_only: bool,
}
