//! The inputs of a verification of one dataset.

use crate::{budget::Budget, rows::Inputs, shutdown::Shutdown, sink::Sink, verify::star::Star};
use migrate_core::{
    model::TargetIndex,
    plan::{Dataset, Extra, Level},
};

/// Verifies one dataset.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    pub(crate) inputs: Inputs,
    pub(crate) star: Star,
    pub(crate) level: Level,
    pub(crate) extra: Extra,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
    pub(crate) sink: Sink,
    /// What it learns of records for the ledger.
    pub(crate) learns: Learns,
}

/// What a verification learns of records for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Learns {
    /// Nothing.
    Nothing,
    /// Pairs that a look completed. So a record about which the listing cannot decide is looked at.
    Pairs,
    /// These, and which records are to be copied again.
    PairsAndDamage,
}

impl Verifier {
    /// A verification of a dataset whose source leads, and whose findings are not recorded.
    pub(crate) fn new(
        dataset: &Dataset,
        inputs: Inputs,
        level: Level,
        budget: Budget,
        shutdown: Shutdown,
        sink: Sink,
    ) -> Self {
        let star = Star::new(&inputs, None);
        Self { inputs, star, level, extra: dataset.extra, budget, shutdown, sink, learns: Learns::Nothing }
    }

    /// The same, but it learns this.
    pub(crate) fn learning(mut self, learns: Learns) -> Self {
        self.learns = learns;
        self
    }

    /// The same, but with a target as the lead, if one is given.
    pub(crate) fn led_by(mut self, target: Option<TargetIndex>) -> Self {
        self.star = Star::new(&self.inputs, target);
        self
    }
}
