//! A dataset's places looked at one by one: whether each is there, and what its endpoint can do.
//!
//! Nothing is made and nothing is recorded; at most a scratch key is written where there is a bucket, and
//! cleaned up. Opening a dataset's stores to look at its records is another thing: there a directory that
//! a run would make stands in as an empty one, which hides just what is asked here.

use std::sync::{Arc, PoisonError};

use super::{
    EngineError, Sites,
    sites::{Role, known, probe_name},
};
use crate::{
    ledger::Ledger,
    model::KeyRange,
    plan::{Dataset, Location, Plan, Scheme, Target},
    store::{Capabilities, ErrorKind, ObjectStore},
};

impl Sites {
    /// Whether the bucket or directory of a location is there.
    pub(crate) async fn is_there(&self, plan: &Plan, dataset: &Dataset, at: &Location) -> Result<bool, EngineError> {
        let opened = match self.store(plan, dataset, at, Role::Source, &Arc::default()).await {
            // A directory that opens is there; a bucket opens always, and only a request tells.
            Ok(_) if at.scheme == Scheme::File => return Ok(true),
            Ok((store, _)) => store.list(KeyRange::all()).next().await.map(drop).map_err(EngineError::from),
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => Ok(true),
            Err(EngineError::Store(error)) if error.kind() == ErrorKind::NoContainer => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the endpoint of a target can do: as the ledger knows it, or as it says now.
    pub(crate) async fn capabilities_of(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        target: &Target,
        ledger: Option<&Ledger>,
    ) -> Result<Capabilities, EngineError> {
        let (store, _) = self.target(plan, dataset, target, Role::Look, &Arc::default()).await?;
        self.known_or_asked(&*store, &probe_name(plan, &target.at), ledger, true).await?;
        Ok(store.capabilities())
    }

    /// Takes what the ledger knows, or where allowed what the endpoint says; records nothing.
    pub(super) async fn known_or_asked(
        &self,
        store: &dyn ObjectStore,
        name: &str,
        ledger: Option<&Ledger>,
        probe: bool,
    ) -> Result<(), EngineError> {
        let known = match ledger {
            Some(ledger) => known(ledger, name).await?,
            None => None,
        };
        match known {
            Some(known) => store.adopt(known),
            None if probe && store.capabilities() == Capabilities::unproved() => {
                self.ask(store, name).await?;
            }
            None => {}
        }
        Ok(())
    }

    /// What an endpoint says; it is asked once, however often it is looked at.
    pub(super) async fn ask(&self, store: &dyn ObjectStore, name: &str) -> Result<Capabilities, EngineError> {
        let said = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(said) = said {
            store.adopt(said.clone());
            return Ok(said);
        }
        let found = store.probe().await?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), found.clone());
        Ok(found)
    }
}
