//! [`Star`]: which place of a dataset leads, and which follow it.

use std::sync::Arc;

use migrate_core::model::PlaceIndex;

/// A lead and its followers, ascending by place; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Star {
    pub(crate) lead: PlaceIndex,
    pub(crate) followers: Arc<[PlaceIndex]>,
}

impl Star {
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
        self.followers.iter().position(|follower| *follower == place).expect("the place follows")
    }
}
