//! The switch: the one instant at which the lead moves.
//!
//! # A crash, or a lost answer
//!
//! The ledger holds the intent, with the attempt's name, before the route's store gets the request. The
//! next process reads the route ([`settle`]): if it shows the attempt, the switch has happened. If
//! not, the request may still be on its way, and must not take effect later, when its proof
//! is outdated. So the route is written once more with the same lead, under a new attempt's name: the
//! store then refuses the late request, because the version that it names is gone.

use crate::{
    cutover::{halt::Halt, hand::Cut},
    driver::Driver,
    error::EngineError,
    route::{RouteDocument, RouteStore, Shown, Swapped, differs},
    verify::witness::SwitchProof,
};
use migrate_core::{
    lifecycle::{Lead, Lifecycle, Moving, Transition},
    model::{Epoch, SiteName},
};

/// Switches the route of a dataset that was just verified, from the version that the gate saw.
pub(crate) async fn switch(cut: Cut<'_>, proof: &SwitchProof, shown: Option<&Shown>) -> Result<(), Halt> {
    let lifecycle = cut.hand.lifecycle();
    let Some(open) = lifecycle.moving.open().filter(|open| proof.is_for(&cut.what.dataset, &lifecycle, open)) else {
        return Err(Halt::Refused(format!("the proof is another one: {proof:?}")));
    };
    let epoch = shown.map_or(Epoch(0), |shown| shown.document.epoch).next();
    let lead = Lead { epoch, lead: cut.what.to.clone() };
    let attempt = cut.hand.attempt();
    // The claim ends with the switch: from here on nothing is written for the dataset.
    let mut to = document(cut, lead.clone(), &cut.what.followers, &attempt, None);
    to.partitions.clone_from(&cut.what.partitions);
    // Clients obey the maximum age in the document that they have read.
    let max_age_s = shown.map_or(0, |shown| shown.document.max_age_s).max(to.max_age_s);
    let route = cut.route.place().to_owned();
    cut.hand
        .happened(Transition::SwitchIntended { id: open.id.clone(), lead: lead.clone(), attempt, route, max_age_s })
        .await?;
    match cut.route.swap(shown, &to).await {
        Ok(Swapped::Done) => {
            cut.hand.tell("switch", &format!("{} since epoch {epoch}", cut.what.lead_to()));
            cut.hand.happened(Transition::Switched { lead }).await
        }
        Ok(Swapped::Lost(now)) => {
            let reason = lost(cut, shown, now.as_deref());
            cut.hand.happened(Transition::SwitchAbandoned { reason: reason.clone() }).await?;
            Err(Halt::Refused(reason))
        }
        Ok(Swapped::Unsettled) => Err(Halt::Unsettled(cut.route.location().to_owned())),
        // The store refused it, so no request is on its way.
        Err(error) if !error.outcome_unknown() => {
            let reason = error.to_string();
            cut.hand.happened(Transition::SwitchAbandoned { reason }).await?;
            Err(error.into())
        }
        // The intent stays: the next run first finds out whether the store acted.
        Err(error) => Err(error.into()),
    }
}

/// Finds out whether an intended switch has happened, and if not, makes sure that it cannot happen
/// later. Does nothing if none was intended.
pub async fn settle(cut: Cut<'_>) -> Result<(), Halt> {
    let Moving::Switching { lead, attempt, route, .. } = cut.hand.lifecycle().moving else { return Ok(()) };
    is_same_route(&route, cut.route)?;
    let shown = cut.route.read().await?;
    if shown.as_ref().is_some_and(|shown| shown.document.attempt == attempt) {
        return cut.hand.happened(Transition::Switched { lead }).await;
    }
    let abandoned = Transition::SwitchAbandoned { reason: "it was cut off before the route was switched".to_owned() };
    if shown.as_ref().is_some_and(|shown| shown.document.epoch >= lead.epoch) {
        // Another process has moved the lead on: the version that our request names is gone.
        return cut.hand.happened(abandoned).await;
    }
    let (old, followers) = if let Some(Shown { document, .. }) = &shown {
        (Lead { epoch: document.epoch, lead: document.lead.clone() }, document.followers.clone())
    } else {
        (Lead { epoch: Epoch(0), lead: cut.what.from.clone() }, cut.what.followers_before())
    };
    let driver = shown.as_ref().and_then(|shown| shown.document.driver.clone());
    let mut seal = document(cut, old, &followers, &cut.hand.attempt(), driver);
    if let Some(shown) = &shown {
        seal.partitions.clone_from(&shown.document.partitions);
    }
    seal.max_age_s = shown.as_ref().map_or(0, |shown| shown.document.max_age_s).max(seal.max_age_s);
    match cut.route.swap(shown.as_ref(), &seal).await? {
        Swapped::Lost(Some(now)) if now.document.attempt == attempt => {
            cut.hand.happened(Transition::Switched { lead }).await
        }
        // The version that the late request names is still there, so the store may still accept the request.
        Swapped::Lost(now) if differs(shown.as_ref(), now.as_deref()).is_none() => {
            Err(Halt::Refused(lost(cut, shown.as_ref(), now.as_deref())))
        }
        Swapped::Done | Swapped::Lost(_) => cut.hand.happened(abandoned).await,
        Swapped::Unsettled => Err(Halt::Unsettled(cut.route.location().to_owned())),
    }
}

/// Where a dataset will stand once a switch that was intended is settled, as far as its route shows by now: the switch has
/// happened, or the lead is at rest and moves from the first step on. Changes nothing.
///
/// # Errors
///
/// What [`settle`] would fail with before it writes.
pub(crate) async fn foreseen(lifecycle: &Lifecycle, route: &RouteStore) -> Result<Lifecycle, Halt> {
    let Moving::Switching { lead, attempt, route: begun, .. } = &lifecycle.moving else { return Ok(lifecycle.clone()) };
    is_same_route(begun, route)?;
    let shown = route.read().await?;
    if shown.is_some_and(|shown| shown.document.attempt == *attempt) {
        return Ok(lifecycle.apply(&Transition::Switched { lead: lead.clone() }).map_err(EngineError::from)?);
    }
    Ok(Lifecycle { moving: Moving::AtRest, ..lifecycle.clone() })
}

/// Fails if a switch was begun at another route than that of the plan.
fn is_same_route(begun: &str, route: &RouteStore) -> Result<(), Halt> {
    if begun == route.place() {
        return Ok(());
    }
    Err(Halt::Refused(format!(
        "its switch was begun at the route {begun}, and the plan names {} now: only the first tells whether it happened; \
         put it back",
        route.place()
    )))
}

/// Why a swap was refused, as far as the route itself shows.
fn lost(cut: Cut<'_>, read: Option<&Shown>, now: Option<&Shown>) -> String {
    let location = cut.route.location();
    match differs(read, now) {
        Some(changed) => format!("the route {location} is no longer what was read: {changed}"),
        None => format!(
            "the store of the route {location} refused the switch, and the route still shows just what was read: its \
             lead, epoch and attempt; look whether the store honours If-Match"
        ),
    }
}

fn document(cut: Cut<'_>, lead: Lead, followers: &[SiteName], attempt: &str, driver: Option<Driver>) -> RouteDocument {
    RouteDocument {
        dataset: cut.what.dataset.clone(),
        epoch: lead.epoch,
        attempt: attempt.to_owned(),
        lead: lead.lead,
        partitions: Vec::new(),
        followers: followers.to_vec(),
        max_age_s: cut.what.cutover.route_max_age.as_secs(),
        since: RouteDocument::moment(cut.hand.now()),
        driver,
    }
}
