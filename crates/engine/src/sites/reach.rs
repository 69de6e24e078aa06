//! Which places of a plan cannot be asked at all: nothing answers there, or there is nothing to sign with.
//!
//! One such place breaks a command off, and a person who mends it alone only learns of the next one. So all servers of
//! a plan are asked at the same time, and one that is not reached once more.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde::Serialize;

use super::{
    connect::{Opened, Role},
    opening::Sites,
};
use crate::{asked::asked, error::EngineError};
use migrate_core::{
    model::{DatasetName, KeyRange, SiteName},
    plan::{Dataset, Location, Plan, Scheme},
    report::Redactor,
};
use migrate_store::ErrorKind;

/// After how long a server that was not reached is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A server that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreached {
    /// The site's name in the plan.
    pub site: SiteName,
    /// The endpoint's address, or the AWS region.
    pub at: String,
    /// Why, for people.
    pub reason: String,
    /// The datasets that need it.
    pub datasets: Vec<DatasetName>,
}

impl EngineError {
    /// Whether a place could not be asked at all, so that this says nothing of the plan or of the data.
    pub fn is_unreached(&self) -> bool {
        match self {
            Self::Site { .. } => true,
            Self::Store(error) | Self::Route(crate::route::RouteError::Store(error)) => {
                matches!(error.kind(), ErrorKind::Credentials | ErrorKind::Unreachable | ErrorKind::TimedOut)
            }
            _ => false,
        }
    }
}

impl Sites {
    /// The servers that these datasets need (all of the plan if none is named) and that cannot be asked, by site.
    /// Directories are not asked.
    pub async fn unreached(&self, plan: &Plan, datasets: &[DatasetName]) -> Vec<Unreached> {
        let mut servers: BTreeMap<(SiteName, Scheme), (Location, Vec<DatasetName>)> = BTreeMap::new();
        for dataset in asked(plan, &[], datasets) {
            for at in places(dataset).filter(|at| at.scheme != Scheme::File) {
                let server = servers.entry((at.site.clone(), at.scheme)).or_insert_with(|| (at, Vec::new()));
                if server.1.last() != Some(&dataset.name) {
                    server.1.push(dataset.name.clone());
                }
            }
        }
        let looks = servers.into_values().map(|(at, datasets)| async move {
            let mut asked = self.ask_once(plan, &at).await;
            if matches!(&asked, Err(EngineError::Store(error)) if error.kind() == ErrorKind::Unreachable) {
                // A server that restarts, or a name that is looked up for the first time.
                tokio::time::sleep(AGAIN_AFTER).await;
                asked = self.ask_once(plan, &at).await;
            }
            let error = asked.err().filter(EngineError::is_unreached)?;
            let reason = match &error {
                EngineError::Site { detail, .. } => detail.clone(),
                EngineError::Store(error) => error.detail().to_owned(),
                other => other.shown(Redactor::new(plan.redact_keys)),
            };
            let address = plan.place_of(&at).unwrap_or_default();
            Some(Unreached { site: at.site, at: address, reason, datasets })
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Sends one request that changes nothing. That a place is missing or refuses is an answer.
    async fn ask_once(&self, plan: &Plan, at: &Location) -> Result<(), EngineError> {
        let site = Self::site(plan, at)?;
        match self.connect.open(plan, site, at, Role::Look, None).await? {
            Opened::Store(store) => _ = store.list(KeyRange::all()).next().await?,
            Opened::Table(table) => _ = table.describe().await?,
            Opened::Directory => {}
        }
        Ok(())
    }
}

/// Where the data of a dataset is, and its route.
fn places(dataset: &Dataset) -> impl Iterator<Item = Location> {
    let route = dataset.cutover.as_ref().map(|cutover| cutover.route.folder_and_name().0);
    let data = std::iter::once(&dataset.source).chain(dataset.targets.iter().map(|target| &target.at));
    data.cloned().chain(route)
}
