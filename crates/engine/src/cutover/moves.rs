//! The move of a dataset's lead in the plan.

use crate::route::Partition;
use migrate_core::{
    lifecycle::{Lifecycle, Stage},
    model::{DatasetName, SiteName},
    plan::{self, Dataset, Level},
};

/// The move of one dataset's lead.
#[derive(Debug, Clone)]
pub struct Move {
    /// The dataset's name.
    pub dataset: DatasetName,
    /// The site that leads before the switch.
    pub from: SiteName,
    /// The site that leads after the switch; if the records are split, one of those that do.
    pub to: SiteName,
    /// If the records are split: which site leads which of them after the switch.
    pub partitions: Vec<Partition>,
    /// The other sites that hold the dataset, the old lead first.
    pub followers: Vec<SiteName>,
    /// How thoroughly both sides are compared.
    pub level: Level,
    /// Whether it is a table, which is followed by its stream of changes.
    pub is_table: bool,
    /// Whether the plan accepts that there is nothing to compare.
    pub accept_empty: bool,
    /// The plan's settings of the cutover.
    pub cutover: plan::Cutover,
}

/// The message for a verification that had nothing to compare, and the remedy: a missing mount
/// and a mistyped prefix look just like an empty source.
pub const NOTHING_COMPARED: &str = "0 records: nothing was compared, and so nothing is proved; look whether the \
     source is there and is the right one, and at include and exclude; if it is meant to be empty, set \
     accept_empty = true";

impl Move {
    /// Whether the last verification compared nothing, and the plan does not accept that.
    pub fn lacks_proof(&self, lifecycle: &Lifecycle) -> bool {
        matches!(lifecycle.syncing.stage, Stage::Verified { compared: 0, .. }) && !self.accept_empty
    }

    /// The move that the plan describes; `None` if the dataset's lead stays.
    pub fn of(dataset: &Dataset) -> Option<Self> {
        let cutover = dataset.cutover.clone()?;
        let sites = || dataset.targets.iter().map(|target| &target.at.site);
        // The plan's check ensures that the plan names the lead if there is a choice.
        let to = dataset.first_lead()?.clone();
        let partition = |target: &plan::Target| {
            let filter = target.filter.as_ref()?.as_str().to_owned();
            Some(Partition { filter, lead: target.at.site.clone() })
        };
        let partitions: Vec<_> = dataset.targets.iter().filter_map(partition).collect();
        let others = sites().filter(|site| **site != to && partitions.is_empty()).cloned();
        let followers = std::iter::once(dataset.source.site.clone()).chain(others).collect();
        Some(Self {
            dataset: dataset.name.clone(),
            from: dataset.source.site.clone(),
            to,
            partitions,
            followers,
            level: dataset.verify,
            is_table: dataset.is_table(),
            accept_empty: dataset.accept_empty,
            cutover,
        })
    }

    /// The sites that hold the dataset before the switch, beside the lead.
    pub(crate) fn followers_before(&self) -> Vec<SiteName> {
        let partitions = self.partitions.iter().map(|partition| &partition.lead);
        let all = self.followers.iter().chain([&self.to]).chain(partitions).filter(|site| **site != self.from);
        let mut followers: Vec<SiteName> = Vec::new();
        for site in all {
            if !followers.contains(site) {
                followers.push(site.clone());
            }
        }
        followers
    }

    /// Who leads after the switch, as a phrase: "oregon leads", or "oregon and singapore lead, each its part".
    pub(crate) fn lead_to(&self) -> String {
        match &self.partitions[..] {
            [] => format!("{} leads", self.to),
            _ => format!("{} lead, each its part", self.new_leads()),
        }
    }

    /// The sites that lead after the switch.
    pub fn new_leads(&self) -> String {
        let mut sites: Vec<_> = self.partitions.iter().map(|partition| partition.lead.to_string()).collect();
        sites.dedup();
        if sites.is_empty() { self.to.to_string() } else { sites.join(" and ") }
    }
}
