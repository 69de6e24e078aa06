//! The inputs of a verification of one dataset.

use crate::sink::Sink;
use crate::{
    budget::Budget,
    rows::Inputs,
    shutdown::Shutdown,
    verify::{found::Finding, star::Star},
};
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
    /// The receiver of findings; `None` if they are not recorded.
    pub(crate) findings: Option<tokio::sync::mpsc::Sender<Finding>>,
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
        Self { inputs, star, level, extra: dataset.extra, budget, shutdown, sink, findings: None }
    }

    /// The same, but with a target as the lead, if one is given.
    pub(crate) fn led_by(mut self, target: Option<TargetIndex>) -> Self {
        self.star = Star::new(&self.inputs, target);
        self
    }
}
