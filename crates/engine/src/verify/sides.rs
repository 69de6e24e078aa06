//! The lead of a dataset and its followers, as a verification compares them.
//!
//! Until its cutover a dataset's source leads. Afterwards one of its targets leads; the old lead and the
//! other targets are its followers.

use std::sync::Arc;

use crate::{
    routed::Goes,
    rows::{Inputs, Row},
    star::Star,
};
use migrate_core::model::{Aspects, Key, PlaceIndex};
use migrate_ledger::Held;
use migrate_store::{
    Entry, ObjectStore,
    survive::{self, Scope},
};

/// A lead and its followers; a follower has the same position in every list.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    pub(crate) lead: Arc<dyn ObjectStore>,
    pub(crate) followers: Vec<Arc<dyn ObjectStore>>,
    /// The places of all these.
    pub(crate) star: Star,
    /// The waived properties, per follower.
    pub(crate) waived: Vec<Aspects>,
    /// Properties that a follower cannot hold, per follower; empty except for an old lead, which nothing was copied to.
    pub(crate) cannot: Vec<Aspects>,
}

/// A row from the side of the lead.
pub(crate) struct Compared {
    pub(crate) key: Key,
    pub(crate) lead: Option<Entry>,
    /// What each follower shows, and what the ledger knows of it.
    pub(crate) followers: Vec<(Option<Entry>, Option<Held>)>,
    /// Where the lead's record belongs.
    pub(crate) goes: Goes,
}

impl Sides {
    pub(crate) fn new(inputs: &Inputs) -> Self {
        let star = inputs.star.clone();
        let places = Arc::clone(&star.followers);
        let store = |place: &PlaceIndex| Arc::clone(&inputs.stores[place.get()]);
        let cannot = |place: &PlaceIndex| match *place {
            PlaceIndex::SOURCE => Aspects::ALL.without(survive::held(&store(place).capabilities())),
            _ => Aspects::NONE,
        };
        Self {
            lead: Arc::clone(inputs.lead()),
            followers: places.iter().map(store).collect(),
            waived: places.iter().map(|place| inputs.waived_at(*place)).collect(),
            cannot: places.iter().map(cannot).collect(),
            star,
        }
    }

    /// Whether the lead has moved.
    pub(crate) fn has_moved(&self) -> bool {
        self.star.lead != PlaceIndex::SOURCE
    }

    /// Whether a follower led before.
    pub(crate) fn has_led(&self, follower: usize) -> bool {
        self.star.followers[follower] == PlaceIndex::SOURCE
    }

    /// The properties that must be equal at a follower.
    pub(crate) fn scope(&self, follower: usize) -> Scope {
        let out = self.waived[follower].with(self.cannot[follower]);
        Scope::new(&self.lead.capabilities(), &self.followers[follower].capabilities(), out)
    }

    /// A row from the side of the lead.
    pub(crate) fn row(&self, row: Row) -> Compared {
        let Row { key, mut shown, mut held, goes } = row;
        let followers = self
            .star
            .followers
            .iter()
            .map(|place| (shown[place.get()].take(), held[place.get()].take().map(|row| row.held)));
        let followers = followers.collect();
        Compared { key, lead: shown[self.star.lead.get()].take(), followers, goes }
    }
}
