//! The move of a dataset's lead in the plan.

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
    /// The site that leads after the switch.
    pub to: SiteName,
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
        let to = dataset.lead.as_ref().or(sites().next())?.clone();
        let others = sites().filter(|site| **site != to).cloned();
        let followers = std::iter::once(dataset.source.site.clone()).chain(others).collect();
        Some(Self {
            dataset: dataset.name.clone(),
            from: dataset.source.site.clone(),
            to,
            followers,
            level: dataset.verify,
            is_table: dataset.is_table(),
            accept_empty: dataset.accept_empty,
            cutover,
        })
    }

    /// The sites that hold the dataset before the switch, beside the lead.
    pub(crate) fn followers_before(&self) -> Vec<SiteName> {
        self.followers.iter().chain([&self.to]).filter(|site| **site != self.from).cloned().collect()
    }
}
