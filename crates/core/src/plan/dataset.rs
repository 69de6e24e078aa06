//! Datasets, their targets and cutovers, as checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::plan::choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions};
use crate::{
    model::{Aspects, DatasetName, PhaseName, SiteName, TargetIndex},
    plan::{
        location::{Location, Route},
        select::Select,
        site::Credentials,
        syntax,
    },
};

/// Datasets that move together.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Its name.
    pub name: PhaseName,
    /// The phases that come first.
    pub after: Vec<PhaseName>,
    /// Its datasets, as the plan lists them.
    pub datasets: Vec<Dataset>,
}

/// One body of data, its source and its targets.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its name.
    pub name: DatasetName,
    /// Its class, for the residency rules.
    pub class: Option<String>,
    /// The dataset that it is a part of.
    pub part_of: Option<DatasetName>,
    /// Where it leads now.
    pub source: Location,
    /// Where it is to be; never empty.
    pub targets: Vec<Target>,
    /// The site that leads after the cutover, where the plan names it.
    pub lead: Option<SiteName>,
    /// Which keys belong to it.
    pub select: Select,
    /// A CEL expression: which records of the source belong to it; all where absent.
    pub filter: Option<String>,
    /// Whether old versions are copied too.
    pub versions: Versions,
    /// What happens to records that only a target has and that were never paired.
    pub extra: Extra,
    /// Properties that need not survive at any target.
    pub waive: BTreeSet<Property>,
    /// How a run proves it.
    pub verify: Level,
    /// What `complete` does with the old lead's copy.
    pub retire: Retire,
    /// Whether changes are followed while copying.
    pub live: bool,
    /// Whether the old lead follows the new one until `complete`.
    pub follow_back: bool,
    /// What must not be exceeded for it.
    pub limits: DatasetLimits,
    /// How objects in cold storage are restored.
    pub restore: Option<Restore>,
    /// The most that may be deleted at a target without `--force`, as a share of what it holds,
    /// in thousandths.
    pub delete_share_permille: u16,
    /// Whether a verification that found nothing to compare is good enough to move the lead.
    pub accept_empty: bool,
    /// Whether, and how, the lead moves.
    pub cutover: Option<Cutover>,
    /// What the plan says of it that this build cannot carry out: refused by `run`.
    pub unsupported: Vec<Unsupported>,
}

impl Dataset {
    /// The first target at a site.
    pub fn target_at(&self, site: &SiteName) -> Option<TargetIndex> {
        let place = self.targets.iter().position(|target| target.at.site == *site)?;
        Some(TargetIndex::at(place))
    }

    /// The kinds of properties that need not survive at a target: what the plan waives for all of them, and
    /// for this one.
    pub fn waived_at(&self, target: &Target) -> Aspects {
        self.waive.iter().chain(&target.waive).map(|property| property.aspects()).collect()
    }

    /// What the dataset means: source, targets in their order, selection and partitioning, in a
    /// form that does not depend on how the plan is written. Where it changes, work that was done
    /// under the old meaning no longer counts.
    pub fn meaning(&self) -> Value {
        let globs = |globs: &[String]| globs.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect::<Vec<_>>();
        let targets = self.targets.iter().map(|target| match &target.filter {
            None => json!({"at": target.at.to_string()}),
            Some(filter) => json!({"at": target.at.to_string(), "where": filter.as_str()}),
        });
        let mut selection = json!({"include": globs(self.select.include()), "exclude": globs(self.select.exclude())});
        if let Some(filter) = &self.filter {
            selection["where"] = filter.trim().into();
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
    /// Where.
    pub at: Location,
    /// Which records go there; all where absent.
    pub filter: Option<Filter>,
    /// The KMS key that encrypts there, where the plan sets it.
    pub kms_key: Option<String>,
    /// The storage class of new objects, where the plan sets it.
    pub storage_class: Option<String>,
    /// Size of the parts of multipart uploads, where the plan sets it, in bytes.
    pub part_size: Option<u64>,
    /// Properties that need not survive there, beside those that the dataset waives for all its targets.
    pub waive: BTreeSet<Property>,
}

/// Which records go to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those for which this CEL expression is true.
    Rule(String),
    /// Those that go nowhere else.
    Otherwise,
}

impl Filter {
    /// The filter as in a plan.
    pub fn as_str(&self) -> &str {
        match self {
            Filter::Rule(rule) => rule,
            Filter::Otherwise => "otherwise",
        }
    }
}

/// What must not be exceeded for a dataset.
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
    /// A share of what is provisioned, in thousandths.
    SharePermille(u16),
}

/// How objects in cold storage are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    /// How many days the restored copy stays.
    pub days: u32,
    /// How fast.
    pub tier: Tier,
}

/// How the lead moves.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutover {
    /// What stops writes at the old lead.
    pub fence: Fence,
    /// The application's identity, which proves the fence; present for policy fences.
    pub canary: Option<Credentials>,
    /// Where the route is.
    pub route: Route,
    /// The age at which applications must have read the route again.
    pub route_max_age: Duration,
    /// How the data is proved equal behind the fence.
    pub final_verify: FinalVerify,
    /// The time to wait after the last write whose outcome is unknown.
    pub settle: Duration,
    /// The most that a follower may lag behind when the cutover begins.
    pub max_lag: Option<Duration>,
    /// How long the old lead must have seen no write, where nothing fences it.
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
    /// The key, as `live` or `target.where`.
    pub key: String,
    /// Where it stands in the plan file: line and column, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Whether it matters only for the cutover, so that copying and verifying may go ahead.
    pub cutover_only: bool,
}
