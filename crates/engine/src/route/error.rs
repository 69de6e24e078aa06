//! [`RouteError`]: why a route cannot be used.

use migrate_core::model::DatasetName;
use migrate_store::StoreError;

/// Why a route cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not keep the conditions of writes: it ignores them, or refuses those that hold.
    #[error(
        "the route {location} cannot be switched safely: its store ignores conditional writes, or refuses those \
         whose condition holds; keep the route in a store that honours {needed}"
    )]
    NoConditions {
        /// The route's location.
        location: String,
        /// The conditions that its kind of store must honour, as text.
        needed: &'static str,
    },
    /// The table of the route cannot hold it.
    #[error("the table of the route {location} cannot hold it: {detail}")]
    Unfit {
        /// The route's location.
        location: String,
        /// What is wrong, and how to mend it, as text.
        detail: String,
    },
    /// What is at the route's location is no route of the dataset.
    #[error(
        "what is at {location} is not a route of dataset {dataset}: {detail}; correct the plan's route, or move it away"
    )]
    Foreign {
        /// The route's location.
        location: String,
        /// The dataset whose route was expected.
        dataset: DatasetName,
        /// What is wrong, as text.
        detail: String,
    },
}

impl RouteError {
    /// Whether the route may have been written in spite of the error.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.outcome_unknown())
    }
}
