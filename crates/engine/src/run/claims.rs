//! Claims a dataset in its route before anything is written for it, and releases it.
//!
//! See [`driver`](crate::driver) for what a claim is, and [`lease`](crate::lease) for how long it lets this process
//! write.

use std::{
    path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rand::{RngCore as _, SeedableRng as _};

use crate::{
    clock::{Moment, now},
    cutover::moves::Move,
    driver::Driver,
    error::EngineError,
    lease::{Expected, Lease},
    route::{RouteDocument, RouteError, RouteStore, Shown, Swapped},
    run::context::Run,
};
use migrate_core::{
    lifecycle::Lead,
    model::{DatasetName, Epoch},
    plan::Dataset,
    report::EventKind,
};
use migrate_store::{ErrorKind, StoreError};

/// How often a claim is tried while other processes change the route.
const TRIES_MAX: u32 = 8;

/// What the route showed, or shows after the claim.
struct Claimed {
    document: Option<RouteDocument>,
    /// When the request was sent that showed it.
    seen: Moment,
}

impl Run<'_> {
    /// Claims a dataset for this ledger, so that its stores may be written under their lease; does nothing if no route
    /// says who may.
    ///
    /// Where a store ignores the conditions of writes, no claim is exclusive, so none is made. No lead can be moved
    /// there either; the route is only watched.
    ///
    /// # Errors
    ///
    /// If the route shows another lead than that of the stores, or another driver that is not to be replaced.
    pub(crate) async fn claim(&self, dataset: &Dataset, lease: Option<&Arc<Lease>>) -> Result<(), EngineError> {
        let (Some(lease), Some(what)) = (lease, Move::of(dataset)) else { return Ok(()) };
        if let Some(lost) = lease.lost() {
            return Err(lost);
        }
        let route = Arc::new(self.open_route(dataset, &what.cutover.route).await?);
        let ledger = self.journal.ledger.id().await?;
        let moved = self.lifecycle(&dataset.name).await?.leading.moved;
        let Claimed { document, seen } = self.claimed(&route, &what, moved.as_ref(), &ledger).await?;
        let plan_s = what.cutover.route_max_age;
        let (expected, max_age) = match &document {
            Some(document) => (Expected::of(document), plan_s.min(Duration::from_secs(document.max_age_s))),
            None => (Expected::unwritten(&what.from), plan_s),
        };
        if lease.hold(Arc::clone(&route), expected, max_age, seen) {
            // The receiver lives as long as the run.
            let _ = self.leases.send(Arc::clone(lease));
        }
        let former =
            |document: &RouteDocument| document.driver.as_ref().is_some_and(|driver| driver.instead_of.is_some());
        if let Some(document) = document.filter(former) {
            let time = Duration::from_secs(document.max_age_s) + what.cutover.settle;
            self.wait_for_former(&dataset.name, lease, time).await?;
            forget_former(&route, &ledger).await?;
        }
        Ok(())
    }

    /// Waits until the driver that was replaced writes no more.
    async fn wait_for_former(&self, dataset: &DatasetName, lease: &Lease, time: Duration) -> Result<(), EngineError> {
        if time.is_zero() {
            return Ok(());
        }
        let reason = "the migration that drove it before to write no more".to_owned();
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.sink.tell(EventKind::Waiting { dataset: dataset.clone(), reason, seconds });
        match tokio::time::timeout(time, lease.shutdown.draining()).await {
            Err(_elapsed) => Ok(()),
            Ok(()) => Err(lease.lost().unwrap_or(EngineError::Cancelled)),
        }
    }

    /// Makes the route show this ledger as the driver, unless it does already.
    async fn claimed(
        &self,
        route: &RouteStore,
        what: &Move,
        moved: Option<&Lead>,
        ledger: &str,
    ) -> Result<Claimed, EngineError> {
        for _ in 0..TRIES_MAX {
            let seen = Moment::now();
            let shown = route.read().await?;
            let document = shown.as_ref().map(|shown| &shown.document);
            leads_as_recorded(route, what, moved, document)?;
            let driver = document.and_then(|document| document.driver.as_ref());
            let is_ours = driver.is_some_and(|driver| driver.ledger == ledger);
            if is_ours {
                return Ok(Claimed { document: document.cloned(), seen });
            }
            if let Some(driver) = driver.filter(|_| !self.takes_over(&what.dataset)) {
                return Err(EngineError::Driven { dataset: what.dataset.clone(), driver: Box::new(driver.clone()) });
            }
            if route.check().is_err() {
                return Ok(Claimed { document: document.cloned(), seen });
            }
            let to = self.claim_of(what, ledger, shown.as_ref());
            let seen = Moment::now();
            match route.swap(shown.as_ref(), &to).await? {
                Swapped::Done => return Ok(Claimed { document: Some(to), seen }),
                // Another process was faster, or the answer was lost: the next read tells.
                Swapped::Lost(_) | Swapped::Unsettled => {}
            }
        }
        let (dataset, route) = (what.dataset.clone(), route.location().to_owned());
        let detail = "it could not be claimed: other processes change it, or its answers are lost".to_owned();
        Err(EngineError::ClaimLost { dataset, route, detail })
    }

    fn takes_over(&self, dataset: &DatasetName) -> bool {
        self.sites.claims.lock().unwrap_or_else(PoisonError::into_inner).take_over.contains(dataset)
    }

    /// The route with this ledger as the driver: its lead and epoch stay.
    fn claim_of(&self, what: &Move, ledger: &str, shown: Option<&Shown>) -> RouteDocument {
        let at = RouteDocument::moment(now());
        let directory = self.journal.ledger.path().parent().and_then(|directory| path::absolute(directory).ok());
        let former = shown.and_then(|shown| shown.document.driver.as_ref());
        let driver = Driver {
            ledger: ledger.to_owned(),
            since: at.clone(),
            by: self.sites.claims.lock().unwrap_or_else(PoisonError::into_inner).by.clone(),
            state: directory.map(|directory| directory.display().to_string()),
            instead_of: former.map(|former| former.ledger.clone()),
        };
        let plan_s = what.cutover.route_max_age.as_secs();
        let (attempt, driver) = (attempt(), Some(driver));
        match shown.map(|shown| shown.document.clone()) {
            // Clients obey the maximum age that they have read, so a smaller one waits for the switch.
            Some(document) => {
                RouteDocument { attempt, driver, max_age_s: document.max_age_s.max(plan_s), since: at, ..document }
            }
            None => RouteDocument {
                dataset: what.dataset.clone(),
                epoch: Epoch(0),
                attempt,
                lead: what.from.clone(),
                partitions: Vec::new(),
                followers: what.followers_before(),
                max_age_s: plan_s,
                since: at,
                driver,
            },
        }
    }

    /// Takes this ledger's claim out of the route, once nothing more is to be written for the dataset.
    pub(crate) async fn release(&self, dataset: &Dataset, lease: Option<&Arc<Lease>>) -> Result<(), EngineError> {
        let (Some(lease), Some(what)) = (lease, Move::of(dataset)) else { return Ok(()) };
        lease.give_back();
        let route = self.open_route(dataset, &what.cutover.route).await?;
        let ledger = self.journal.ledger.id().await?;
        for _ in 0..TRIES_MAX {
            let Some(shown) = route.read().await? else { return Ok(()) };
            if shown.document.driver.as_ref().is_none_or(|driver| driver.ledger != ledger) {
                return Ok(());
            }
            let since = RouteDocument::moment(now());
            let to = RouteDocument { attempt: attempt(), driver: None, since, ..shown.document.clone() };
            if route.swap(Some(&shown), &to).await? == Swapped::Done {
                return Ok(());
            }
        }
        let detail = "whether its claim was released is unknown: run again";
        Err(RouteError::from(StoreError::new(ErrorKind::Unavailable, "write route", route.location(), detail)).into())
    }
}

/// Refuses to write at the followers of another lead than the one of the route: what the lead before it holds would be
/// written over what applications write.
fn leads_as_recorded(
    route: &RouteStore,
    what: &Move,
    moved: Option<&Lead>,
    shown: Option<&RouteDocument>,
) -> Result<(), EngineError> {
    let as_recorded = match (moved, shown) {
        (None, None) => true,
        (None, Some(shown)) => shown.lead == what.from,
        (Some(moved), Some(shown)) => (&shown.lead, shown.epoch) == (&moved.lead, moved.epoch),
        (Some(_), None) => {
            let (dataset, route) = (what.dataset.clone(), route.location().to_owned());
            let detail = "its lead has moved, and the route is gone: put it back".to_owned();
            return Err(EngineError::ClaimLost { dataset, route, detail });
        }
    };
    match shown {
        Some(shown) if !as_recorded => Err(EngineError::LeadMoved {
            dataset: what.dataset.clone(),
            lead: shown.lead.clone(),
            epoch: shown.epoch,
            refused: "its route says so, and what the lead before holds would be written over what applications \
                      write there; correct the plan, or the route",
        }),
        _ => Ok(()),
    }
}

/// Takes out of the route that its driver has replaced another one, which writes no more. If the route has changed
/// meanwhile it stays, and the next claim waits once more.
async fn forget_former(route: &RouteStore, ledger: &str) -> Result<(), RouteError> {
    let Some(shown) = route.read().await? else { return Ok(()) };
    let ours = shown.document.driver.clone().filter(|driver| driver.ledger == ledger);
    let Some(driver) = ours else { return Ok(()) };
    let driver = Some(Driver { instead_of: None, ..driver });
    let to = RouteDocument { attempt: attempt(), driver, ..shown.document.clone() };
    route.swap(Some(&shown), &to).await.map(drop)
}

/// A new name for an attempt.
fn attempt() -> String {
    format!("{:016x}", rand::rngs::StdRng::from_os_rng().next_u64())
}
