//! The inputs of a verification of one dataset.

use crate::{budget::Budget, rows::Inputs, shutdown::Shutdown, sink::Sink, verify::sides::Sides};
use migrate_core::{
    plan::{Dataset, Extra, Level},
    report::Redactor,
};

/// Verifies one dataset.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    pub(crate) inputs: Inputs,
    pub(crate) sides: Sides,
    pub(crate) level: Level,
    pub(crate) extra: Extra,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
    pub(crate) sink: Sink,
    /// What it learns of records for the ledger.
    pub(crate) learns: Learns,
    /// Whether it goes on without a follower whose listing fails: then how to show the reason. Without it, such an error
    /// ends the verification.
    pub(crate) goes_on: Option<Redactor>,
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
    /// A verification whose findings are not recorded.
    pub(crate) fn new(
        dataset: &Dataset,
        inputs: Inputs,
        level: Level,
        budget: Budget,
        shutdown: Shutdown,
        sink: Sink,
    ) -> Self {
        let sides = Sides::new(&inputs);
        let (extra, learns) = (dataset.extra, Learns::Nothing);
        Self { inputs, sides, level, extra, budget, shutdown, sink, learns, goes_on: None }
    }

    /// The same, but it goes on without a follower whose listing fails, and says why.
    pub(crate) fn going_on(mut self, shown: Redactor) -> Self {
        self.goes_on = Some(shown);
        self
    }

    /// The same, but it learns this.
    pub(crate) fn learning(mut self, learns: Learns) -> Self {
        self.learns = learns;
        self
    }
}
