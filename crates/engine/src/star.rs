//! [`Star`]: which place of a dataset leads, and which follow it.

use std::sync::Arc;

use crate::error::EngineError;
use migrate_core::{
    lifecycle::{Lead, Lifecycle},
    model::PlaceIndex,
    plan::{Dataset, Plan, policy},
};

/// A lead and its followers, ascending by place; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Star {
    pub(crate) lead: PlaceIndex,
    pub(crate) followers: Arc<[PlaceIndex]>,
}

impl Star {
    /// The star by which a dataset is copied and proved, by its ledger. Until its lead moves, its source leads and its
    /// targets follow. Afterwards all places follow the new lead, but not the source if the plan says so, if a
    /// policy forbids what would be written there, or if another dataset is there too; and none if the plan no longer has the cutover.
    ///
    /// # Errors
    ///
    /// If the plan no longer has the lead among its targets.
    pub(crate) fn of(plan: &Plan, dataset: &Dataset, lifecycle: &Lifecycle) -> Result<Self, EngineError> {
        let mut star = Self::of_all(dataset, lifecycle)?;
        if star.lead != PlaceIndex::SOURCE && dataset.cutover.is_none() {
            // The plan no longer has its route, which would tell who leads and who may write.
            star.followers = Arc::default();
        } else if star.lead != PlaceIndex::SOURCE && policy::stays(plan, dataset).is_some() {
            star.followers = star.followers.iter().copied().filter(|place| *place != PlaceIndex::SOURCE).collect();
        }
        Ok(star)
    }

    /// The lead of a dataset, and all other places.
    ///
    /// # Errors
    ///
    /// If the plan no longer has the lead among its targets.
    pub(crate) fn of_all(dataset: &Dataset, lifecycle: &Lifecycle) -> Result<Self, EngineError> {
        let lead = match lifecycle.moved_to() {
            None => PlaceIndex::SOURCE,
            Some(Lead { lead, epoch }) => dataset.target_at(lead).ok_or_else(|| EngineError::LeadMoved {
                dataset: dataset.name.clone(),
                lead: lead.clone(),
                epoch: *epoch,
                refused: "the plan has no target at that site; put the plan back",
            })?,
        };
        if lead != PlaceIndex::SOURCE && dataset.is_partitioned() {
            // Each target leads its own part, and the source holds the whole.
            return Ok(Self { lead, followers: Arc::new([PlaceIndex::SOURCE]) });
        }
        Ok(Self::new(lead, 1 + dataset.targets.len()))
    }

    /// The star of a dataset of this many places, all of which follow this lead.
    pub(crate) fn new(lead: PlaceIndex, places: usize) -> Self {
        let followers = (0..places).map(PlaceIndex::at).filter(|place| *place != lead).collect();
        Self { lead, followers }
    }

    /// Which follower a place is, counted from 0.
    ///
    /// # Panics
    ///
    /// Panics if the place does not follow.
    pub(crate) fn position(&self, place: PlaceIndex) -> usize {
        self.find(place).expect("the place follows")
    }

    /// The same; `None` if the place does not follow.
    pub(crate) fn find(&self, place: PlaceIndex) -> Option<usize> {
        self.followers.iter().position(|follower| *follower == place)
    }
}
