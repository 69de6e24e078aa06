//! [`Halt`]: why a cutover halted.

use crate::{error::EngineError, route::RouteError};
use migrate_core::model::DatasetName;

/// Why a cutover halted.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A step refused; another try would fail alike.
    #[error("{0}")]
    Refused(String),
    /// The old lead was written to, so the comparison is outdated.
    #[error("the data moved on: {0}")]
    MovedOn(String),
    /// Another dataset of the phase halted.
    #[error("it moves together with {0}, which did not come through")]
    WithOthers(DatasetName),
    /// It is unknown whether the route was switched; the next run finds out first.
    #[error("whether the route {0} was switched is not known yet: run again to find out")]
    Unsettled(String),
    /// The run is to stop.
    #[error("the run was stopped")]
    Interrupted,
    /// A request, a task or the ledger failed.
    #[error(transparent)]
    Failed(#[from] EngineError),
}

impl From<RouteError> for Halt {
    fn from(error: RouteError) -> Self {
        Self::Failed(error.into())
    }
}
