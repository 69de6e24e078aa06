//! A move of a dataset's lead, as the plan describes it.

use migrate_core::{
    lifecycle::State,
    model::{DatasetName, SiteName},
    plan::{self, Dataset, Level},
};

/// What a cutover does to one dataset.
#[derive(Debug, Clone)]
pub struct Move {
    /// The dataset.
    pub dataset: DatasetName,
    /// The site that leads until then.
    pub from: SiteName,
    /// The site that leads from then on.
    pub to: SiteName,
    /// The other sites that hold the dataset then, the old lead first.
    pub followers: Vec<SiteName>,
    /// How thoroughly both sides are compared.
    pub level: Level,
    /// Whether the plan accepts that there is nothing to compare.
    pub accept_empty: bool,
    /// How the plan wants it.
    pub cutover: plan::Cutover,
}

/// What is said where a verification had nothing to compare, with what can be done about it: a mount that
/// is not there and a prefix with a typing error look just like an empty source.
pub const NOTHING_COMPARED: &str = "0 records: nothing was compared, and so nothing is proved; look whether the \
     source is there and is the right one, and at include and exclude; if it is meant to be empty, set \
     accept_empty = true";

impl Move {
    /// Whether the last verification compared nothing, and the plan does not accept that.
    pub fn lacks_proof(&self, state: &State) -> bool {
        matches!(state, State::Verified { compared: 0, .. }) && !self.accept_empty
    }

    /// The move that the plan describes; `None` where the dataset's lead stays.
    pub fn of(dataset: &Dataset) -> Option<Self> {
        let cutover = dataset.cutover.clone()?;
        let sites = || dataset.targets.iter().map(|target| &target.at.site);
        // The check has seen to it that the plan names the lead where there is a choice.
        let to = dataset.lead.as_ref().or(sites().next())?.clone();
        let others = sites().filter(|site| **site != to).cloned();
        let followers = std::iter::once(dataset.source.site.clone()).chain(others).collect();
        Some(Self {
            dataset: dataset.name.clone(),
            from: dataset.source.site.clone(),
            to,
            followers,
            level: dataset.verify,
            accept_empty: dataset.accept_empty,
            cutover,
        })
    }
}
