//! The seam to the world: who opens the places of a plan.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::error::EngineError;
use migrate_core::plan::{Location, Plan, Site};
use migrate_store::ObjectStore;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is read; nothing is ever written there.
    Source,
    /// It is written.
    Target,
    /// It is a target, but only looked at: nothing is made there.
    Look,
    /// It holds a route. It must be there, also for a look: where it is not, nothing can be said of who
    /// leads, and one that was made would say that no lead has moved.
    Route {
        /// A switch may come of it, not only a look.
        writes: bool,
    },
}

/// A place as whoever connects to places answers for it.
#[derive(Debug)]
pub enum Opened {
    /// A store.
    Store(Arc<dyn ObjectStore>),
    /// A directory of this machine. The sites open it themselves: they know which one was met there.
    Directory,
}

/// Opens the places of a plan: the real ones, those of a local cloud, or those of a test.
///
/// It answers for every place or fails. Nothing stands behind it: a place that it does not know is an error, and
/// never the real place of that name.
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync {
    /// Opens a place, bare: without limits, retries or guards. Scratch objects are named after `migration`, if this
    /// process drives one.
    async fn open(
        &self,
        plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
        migration: Option<&str>,
    ) -> Result<Opened, EngineError>;
}

/// Finds a store by its location.
type Open = dyn Fn(&Location, Role) -> Option<Arc<dyn ObjectStore>> + Send + Sync;

/// Stores that a test gives, by location.
pub struct Given(Box<Open>);

impl Given {
    /// Stores from a function; a place for which it has none cannot be opened.
    pub fn new(open: impl Fn(&Location, Role) -> Option<Arc<dyn ObjectStore>> + Send + Sync + 'static) -> Self {
        Self(Box::new(open))
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
        self.0(at, role).map(Opened::Store).ok_or_else(unknown)
    }
}
