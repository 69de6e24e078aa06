//! [`Leading`]: who leads a dataset, and since which epoch.

use crate::{lifecycle::event::Lead, model::Epoch};

/// The lead of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leading {
    /// The lead, once it has moved; until then the site of the plan's source leads.
    pub moved: Option<Lead>,
    /// How many records were written at the lead before it after its last comparison.
    pub late: u64,
}

impl Leading {
    /// How often the lead has moved.
    pub fn epoch(&self) -> Epoch {
        self.moved.as_ref().map_or(Epoch(0), |lead| lead.epoch)
    }

    /// Another lead; `None` unless its epoch is a later one: one epoch has one lead.
    pub(super) fn led_by(&self, lead: &Lead) -> Option<Self> {
        (lead.epoch > self.epoch()).then(|| Self { moved: Some(lead.clone()), late: 0 })
    }
}
