//! One table at one endpoint: what is asked of it, within which time, and what a failure means.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::sdk::connect::Sdk;
use crate::{
    deadline::within,
    dynamodb::{error::DYNAMODB, keys::TableKeys},
    failed::Failed,
    operation::Operation,
};
use migrate_store::{ErrorKind, Result, Retry, StoreError, table::Described};

/// How long is waited for a table to become what it was asked to be. A new table takes seconds, one with indexes
/// and tables that are made beside it minutes.
const CHANGE_TIME_MAX: Duration = Duration::from_mins(15);
/// The pauses between two looks: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// One table at one endpoint.
#[derive(Clone)]
pub(in crate::dynamodb) struct Wire {
    pub(in crate::dynamodb) server: Sdk,
    pub(in crate::dynamodb) location: Arc<str>,
    /// What its keys look like, once the table was described: they are sent and found by their names.
    keys: Arc<RwLock<Option<Arc<TableKeys>>>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Wire {
    pub(in crate::dynamodb) fn new(server: Sdk, location: String) -> Self {
        Self { server, location: location.into(), keys: Arc::default() }
    }

    pub(in crate::dynamodb) fn reads(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: false, dialect: &DYNAMODB }
    }

    pub(in crate::dynamodb) fn writes(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: true, dialect: &DYNAMODB }
    }

    /// A request that carries no items.
    pub(in crate::dynamodb) async fn read<T>(
        &self,
        name: &'static str,
        request: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T> {
        within(self.reads(name), 0, request).await
    }

    /// A request that changes something, and carries no items.
    pub(in crate::dynamodb) async fn change(
        &self,
        name: &'static str,
        request: impl Future<Output = Result<(), Failed>>,
    ) -> Result<()> {
        within(self.writes(name), 0, request).await
    }

    /// The table, without what other requests tell, and its ARN; `None` if the server names it as missing.
    pub(in crate::dynamodb) async fn describe(&self) -> Result<Option<(Described, Option<String>)>> {
        match self.read("describe", self.server.describe()).await {
            Ok((described, arn)) => {
                self.remember(TableKeys::of(&described.structure));
                Ok(Some((described, arn)))
            }
            Err(error) if error.kind() == ErrorKind::NoContainer => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What keys of the table look like.
    pub(in crate::dynamodb) async fn keys(&self) -> Result<Arc<TableKeys>> {
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        match self.describe().await? {
            Some((described, _)) => Ok(self.remember(TableKeys::of(&described.structure))),
            None => Err(self.missing("describe")),
        }
    }

    fn remember(&self, keys: TableKeys) -> Arc<TableKeys> {
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if **known == keys => Arc::clone(known),
            _ => Arc::clone(known.insert(Arc::new(keys))),
        }
    }

    pub(in crate::dynamodb) fn missing(&self, operation: &'static str) -> StoreError {
        self.reads(operation).error(ErrorKind::NoContainer, "there is no such table")
    }

    /// Looks again and again until `look` returns something. A look that fails in passing is repeated.
    pub(in crate::dynamodb) async fn until<T, F: Future<Output = Result<Option<T>>> + Send>(
        &self,
        operation: &'static str,
        look: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let looking = async {
            let mut pause = PAUSES.0;
            loop {
                match look().await {
                    Ok(Some(found)) => return Ok(found),
                    Err(error) if error.kind().retry() == Retry::Permanent => return Err(error),
                    Ok(None) | Err(_) => {}
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        };
        let late = || {
            let detail = format!("it has not become so within {} s", CHANGE_TIME_MAX.as_secs());
            self.writes(operation).error(ErrorKind::TimedOut, detail).with_unknown_outcome()
        };
        tokio::time::timeout(CHANGE_TIME_MAX, looking).await.unwrap_or_else(|_| Err(late()))
    }
}
