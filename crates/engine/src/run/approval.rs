//! Approvals: no lead moves until a person has approved its phase.
//!
//! An approval is recorded with the approver's name and the time, and binds the approved cutover: if the plan's
//! cutover of the phase changes afterwards, the approval no longer holds and must be given again.

use std::pin::pin;

use futures::future::{self, Either};
use serde_json::json;

use crate::{
    approver::Ready,
    clock::now,
    cutover::moves::Move,
    error::EngineError,
    meaning::{meaning_of, place_of},
    rules::rules_of,
    run::{context::Run, means::said},
};
use migrate_core::{
    digest::sha256,
    lifecycle::last_proof,
    plan::{Phase, Plan},
    report::{EventKind, Proved, ProvedDataset},
};
use migrate_ledger::{Approval, Record};

/// The digest of what an approval of this phase binds: which leads move to which site, and all that decides how safely.
pub fn binds(plan: &Plan, phase: &Phase) -> String {
    let moves =
        phase.datasets.iter().filter_map(|dataset| Some((dataset, Move::of(dataset)?))).map(|(dataset, what)| {
            let cutover = &what.cutover;
            let waits_ms = [cutover.quiet, cutover.settle, cutover.route_max_age].map(|wait| wait.as_millis());
            json!({
                "meaning": meaning_of(plan, dataset),
                "lead": what.to,
                "route": cutover.route.to_string(),
                "route_place": place_of(plan, &cutover.route.folder_and_name().0),
                "fence": cutover.fence,
                "final_verify": cutover.final_verify,
                "waits_ms": waits_ms,
                "verify": dataset.verify,
                "rules": rules_of(dataset),
            })
        });
    sha256(json!(moves.collect::<Vec<_>>()).to_string().as_bytes()).to_string()
}

impl Run<'_> {
    /// Whether the phase may be cut over: it was approved before, or the approver approves it now.
    pub(crate) async fn is_approved(&self, phase: &Phase) -> Result<bool, EngineError> {
        let binds = binds(self.plan, phase);
        if self.was_approved(phase, &binds).await? {
            return Ok(true);
        }
        let moves: Vec<_> = phase.datasets.iter().filter_map(Move::of).collect();
        let datasets = self.proofs(&moves).await?;
        let proofs = datasets.iter().map(|one| said(one.proved.decided, &one.proved.blind_spots)).collect();
        let ready = Ready { phase: phase.name.clone(), proofs, moves };
        self.sink.tell(EventKind::NeedsApproval { phase: phase.name.clone(), datasets });
        if self.withdrawn.lock().await.contains(&phase.name) {
            // It was withdrawn, and an approval from the start of this run would only be given again.
            return Ok(false);
        }
        // An approver may take hours to answer; a run that is to stop does not wait.
        let draining = pin!(self.shutdown.draining());
        let asked = match future::select(self.options.approver.approve(&ready), draining).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => None,
        };
        let Some(by) = asked else {
            // Another command may have approved it meanwhile.
            return self.was_approved(phase, &binds).await;
        };
        // The approval may have been withdrawn while the approver was asked.
        let withdrawn = self.withdrawn.lock().await;
        if withdrawn.contains(&phase.name) {
            return Ok(false);
        }
        self.sink.tell(EventKind::Approved { phase: phase.name.clone(), by: by.clone() });
        let approval = Approval { phase: phase.name.clone(), binds, by, at: now() };
        self.commit(vec![Record::Approved(approval)]).await?;
        Ok(true)
    }

    async fn proofs(&self, moves: &[Move]) -> Result<Vec<ProvedDataset>, EngineError> {
        let mut proofs = Vec::new();
        for what in moves {
            let events = self.journal.ledger.events(&what.dataset).await?;
            let (decided, blind_spots) = last_proof(events.iter().map(|(event, _)| event)).unwrap_or_default();
            let proved = Proved { decided, blind_spots: blind_spots.to_vec() };
            proofs.push(ProvedDataset { name: what.dataset.clone(), proved });
        }
        Ok(proofs)
    }

    async fn was_approved(&self, phase: &Phase, binds: &str) -> Result<bool, EngineError> {
        let given = self.journal.ledger.approvals().await?;
        Ok(given.iter().any(|approval| approval.phase == phase.name && approval.binds == binds))
    }
}
