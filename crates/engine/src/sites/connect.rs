//! Connections to the places of a plan.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::error::EngineError;
use migrate_core::plan::{Location, Plan, Site};
use migrate_store::{ObjectStore, table::TableStore};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is only read.
    Source,
    /// It is written; a directory that is missing is made.
    Target,
    /// It led before and follows: it is written, and never made.
    OldLead,
    /// It is a target that is only looked at: nothing is made there.
    Look,
    /// It holds a route. It must exist, also for a look: without it the lead is unknown, and a new
    /// place would say that no lead has moved.
    Route {
        /// Whether the route may be switched, not only read.
        writes: bool,
    },
}

/// What [`Connect::open`] answers for a place.
#[derive(Debug)]
pub enum Opened {
    /// A store of objects.
    Store(Arc<dyn ObjectStore>),
    /// A table.
    Table(Arc<dyn TableStore>),
    /// A directory of this machine. [`Sites`](crate::Sites) opens it: it knows which directory must be there.
    Directory,
}

/// Opens the places of a plan: real ones, those of a local cloud, or those of a test.
///
/// It opens a place or fails. There is no fallback: a place that it does not know is an error, and
/// never the real place of that name.
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync {
    /// Opens a place without limits, retries or guards. `migration` is the one that this process drives, if any:
    /// scratch objects are named after it.
    async fn open(
        &self,
        plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
        migration: Option<&str>,
    ) -> Result<Opened, EngineError>;
}

/// Finds a place by its location.
type Open = dyn Fn(&Location, Role) -> Option<Opened> + Send + Sync;

/// Stores that a test provides, by location.
pub struct Given(Box<Open>);

impl Given {
    /// Takes stores from a function; a place for which it returns `None` cannot be opened.
    pub fn new(open: impl Fn(&Location, Role) -> Option<Arc<dyn ObjectStore>> + Send + Sync + 'static) -> Self {
        Self(Box::new(move |at, role| open(at, role).map(Opened::Store)))
    }

    /// Takes places of any kind from a function; a place for which it returns `None` cannot be opened.
    pub fn places(open: impl Fn(&Location, Role) -> Option<Opened> + Send + Sync + 'static) -> Self {
        Self(Box::new(open))
    }

    /// Takes tables from a function; a place for which it returns `None` cannot be opened.
    pub fn tables(open: impl Fn(&Location, Role) -> Option<Arc<dyn TableStore>> + Send + Sync + 'static) -> Self {
        Self(Box::new(move |at, role| open(at, role).map(Opened::Table)))
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

#[async_trait]
impl Connect for Given {
    async fn open(
        &self,
        _plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
        _migration: Option<&str>,
    ) -> Result<Opened, EngineError> {
        let unknown =
            || EngineError::Site { site: site.name.to_string(), detail: format!("no store was given for {at}") };
        self.0(at, role).ok_or_else(unknown)
    }
}
