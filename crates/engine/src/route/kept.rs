//! [`Kept`]: where a route is kept.

use std::fmt;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    document::RouteDocument,
    error::RouteError,
    shown::{Shown, Version},
};
use migrate_store::Conditions;

/// A place that keeps the route of one dataset.
#[async_trait]
pub(super) trait Kept: fmt::Debug + Send + Sync {
    /// Reads the route; `None` if it is certain that there is none.
    async fn read(&self) -> Result<Option<Shown>, RouteError>;

    /// What its server calls the place among all others, if the location in the plan does not tell.
    ///
    /// # Errors
    ///
    /// If the place is not there, or cannot hold a route, as far as opening it shows.
    async fn met(&self) -> Result<Option<String>, RouteError> {
        Ok(None)
    }

    /// Writes a document under the condition that the route still is the version that was read (`None`: that there is
    /// no route).
    ///
    /// Fails with a [`StoreError`](migrate_store::StoreError) of the kind
    /// [`Precondition`](migrate_store::ErrorKind::Precondition) if it is another one. A request whose outcome is unknown
    /// is not repeated.
    async fn write(&self, from: Option<&Version>, to: &RouteDocument) -> Result<(), RouteError>;

    /// Finds out whether the conditions of writes are honoured there: with a write whose condition does not hold, and
    /// with one whose condition holds.
    async fn probe(&self) -> Result<(), RouteError>;

    /// Whether a swap is atomic there, as far as a probe has shown.
    fn is_atomic(&self) -> bool;

    /// The conditions that must be honoured for that, for people.
    fn needs(&self) -> &'static str;

    /// How the conditions of writes are kept, as far as a probe has shown.
    fn conditions(&self) -> Conditions;

    /// All that a probe has found, as plain data.
    fn found(&self) -> Value;
}
