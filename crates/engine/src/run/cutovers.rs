//! Moves the leads of a phase whose datasets are all proved.
//!
//! The steps are those of [`cutover`](crate::cutover). This module decides when they may begin,
//! and what follows from their end.

use crate::{
    asked::RunOutcome,
    clock::now,
    cutover::{
        halt::Halt,
        hand::Cut,
        moves::{Move, NOTHING_COMPARED},
        together::{take_back, together},
    },
    error::EngineError,
    run::{active::Active, context::Run, means::EngineHand, moved_data::MovedData},
    shutdown,
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{Goal, Lead, Lifecycle, Mark, Moving, Transition},
    model::{DatasetName, SiteName},
    plan::{Dataset, Phase},
    report::Redactor,
};
use migrate_ledger::Record;

impl Run<'_> {
    /// Cuts over the datasets of a ready phase. Returns the places of those whose lead has moved on since they were
    /// verified: they must be copied and proved once more before the next attempt.
    pub(crate) async fn cut_over(
        &self,
        phase: &Phase,
        active: &mut [Active],
        outcome: &mut RunOutcome,
    ) -> Result<Vec<usize>, EngineError> {
        let nothing = Ok(Vec::new());
        let moves = |active: &Active| active.plan.cutover.is_some() && !active.lifecycle.reached(Goal::CutOver);
        if self.options.goal < Goal::CutOver || self.shutdown.is_draining() || !active.iter().any(moves) {
            return nothing;
        }
        // Datasets that an earlier run has switched are watched, even if the others are not ready.
        let switched = |active: &Active| matches!(active.lifecycle.moving, Moving::Watching { .. });
        self.take_through(active, &switched, outcome).await?;
        if outcome.stopped.is_some() || !active.iter().any(moves) {
            return nothing;
        }
        if let Some(other) = self.not_ready(phase, active).await? {
            for active in active.iter_mut().filter(|active| moves(active) && active.lifecycle.reached(Goal::Verified)) {
                active.waits_for = Some(WaitsFor::With(other.clone()));
            }
            return nothing;
        }
        if refuse_empty(active, &moves, outcome) {
            return nothing;
        }
        // Set before the approval is read: a withdrawal from here on stops the run.
        self.moving.set(Some(&phase.name));
        let approved = self.is_approved(phase).await?;
        // A run that is to stop goes no further, even if the phase is approved.
        if self.shutdown.is_draining() {
            self.moving.set(None);
            return nothing;
        }
        if !approved {
            self.moving.set(None);
            for active in active.iter_mut().filter(|active| moves(active)) {
                active.waits_for = Some(WaitsFor::Approval(phase.name.clone()));
            }
            return nothing;
        }
        let again = self.take_through(active, &moves, outcome).await;
        self.moving.set(None);
        again
    }

    /// Takes these datasets together through the rest of their cutover. Returns the places of those whose lead has
    /// moved on.
    async fn take_through(
        &self,
        active: &mut [Active],
        which: &(dyn Fn(&Active) -> bool + Sync),
        outcome: &mut RunOutcome,
    ) -> Result<Vec<usize>, EngineError> {
        let mut hands = Vec::new();
        for (place, active) in active.iter().enumerate().filter(|(_, active)| which(active)) {
            let hand = EngineHand::take(self, &active.plan, active.moved_data(), active.lifecycle.clone());
            if let Some(hand) = shutdown::cancellable(&self.shutdown, hand).await? {
                hands.push((place, hand));
            }
        }
        let cuts: Vec<_> = hands.iter().map(|(_, hand)| cut(hand)).collect();
        let ends = together(&cuts).await;
        let mut again = Vec::new();
        for ((place, hand), end) in hands.iter().zip(ends) {
            let active = &mut active[*place];
            active.lifecycle = cut(hand).hand.lifecycle();
            active.verified = hand.verified().or(active.verified.take());
            if let Err(halt) = end {
                // Without its lease the dataset was stopped like a run that is to stop; this is why.
                let halt = active.lost().map_or(halt, Halt::Failed);
                if matches!(halt, Halt::MovedOn(_)) {
                    again.push(*place);
                }
                active.waits_for = Some(self.waits_for(&halt, &hand.what.from));
                if let Some(error) = error(halt, &active.plan.name) {
                    outcome.stopped.get_or_insert(error);
                }
            }
        }
        Ok(if outcome.stopped.is_none() { again } else { Vec::new() })
    }

    /// What a dataset with a halted cutover waits for.
    fn waits_for(&self, halt: &Halt, from: &SiteName) -> WaitsFor {
        match halt {
            Halt::MovedOn(detail) => WaitsFor::Rest { site: from.clone(), detail: detail.clone() },
            Halt::WithOthers(other) => WaitsFor::With(other.clone()),
            Halt::Interrupted => WaitsFor::NextRun,
            Halt::Failed(error) => WaitsFor::Failure(error.reason(Redactor::new(self.plan.redact_keys))),
            Halt::Refused(_) | Halt::Unsettled(_) => WaitsFor::Failure(halt.to_string()),
        }
    }

    /// A dataset of the phase that is not proved, or that is not part of this run and has not reached its goal.
    async fn not_ready(&self, phase: &Phase, active: &[Active]) -> Result<Option<DatasetName>, EngineError> {
        for dataset in &phase.datasets {
            let ready = match active.iter().find(|active| active.plan.name == dataset.name) {
                Some(active) => active.ended && active.lifecycle.reached(Goal::Verified),
                None => self.lifecycle(&dataset.name).await?.reached(self.goal_of(dataset)),
            };
            if !ready {
                return Ok(Some(dataset.name.clone()));
            }
        }
        Ok(None)
    }

    /// Refuses a plan that wants another lead than the one that has moved: no run can move it on.
    pub(crate) fn leads_as_planned(&self, dataset: &Dataset, moved: &Lead) -> Result<(), EngineError> {
        match Move::of(dataset) {
            Some(what) if what.to == moved.lead => Ok(()),
            None if self.goal_of(dataset) < Goal::CutOver && dataset.target_at(&moved.lead).is_some() => Ok(()),
            _ => Err(EngineError::LeadMoved {
                dataset: dataset.name.clone(),
                lead: moved.lead.clone(),
                epoch: moved.epoch,
                refused: "the plan wants another lead, and moving it on is not supported yet; put the plan back",
            }),
        }
    }

    /// Closes a move that an earlier run has left open: finds out whether its switch happened, and if not, takes its
    /// steps back. Does nothing if there is none, or if its switch has happened.
    pub(crate) async fn close_move(
        &self,
        dataset: &Dataset,
        data: MovedData,
        lifecycle: Lifecycle,
    ) -> Result<Lifecycle, EngineError> {
        if matches!(lifecycle.moving, Moving::AtRest | Moving::Watching { .. }) {
            return Ok(lifecycle);
        }
        let Some(hand) = EngineHand::take(self, dataset, data, lifecycle.clone()).await? else {
            if lifecycle.moving.open().is_some() {
                return self.forget_move(dataset, lifecycle).await;
            }
            return Err(EngineError::NotCutOver {
                dataset: dataset.name.clone(),
                reason: "a move of its lead was begun, and the plan no longer says where the lead moves: put the \
                         cutover back"
                    .to_owned(),
            });
        };
        match take_back(cut(&hand), "the run that began it was cut off").await {
            Ok(()) => {
                let lifecycle = cut(&hand).hand.lifecycle();
                // Its switch may have happened, and the plan may have been changed since.
                lifecycle.moved_to().map_or(Ok(()), |moved| self.leads_as_planned(dataset, moved))?;
                Ok(lifecycle)
            }
            Err(halt) => Err(error(halt, &dataset.name).unwrap_or(EngineError::Cancelled)),
        }
    }
}

impl Run<'_> {
    /// Takes back a move whose cutover the plan no longer has: the steps before the switch leave nothing behind.
    async fn forget_move(&self, dataset: &Dataset, mut lifecycle: Lifecycle) -> Result<Lifecycle, EngineError> {
        while let Some(open) = lifecycle.moving.open() {
            let (id, reason) = (open.id.clone(), "the plan no longer has its cutover".to_owned());
            let event = match open.steps.last() {
                Some((step, _)) => Transition::Step { id, step: *step, mark: Mark::Undone },
                None => Transition::MoveEnded { id, reason },
            };
            lifecycle = lifecycle.apply(&event)?;
            self.commit(vec![Record::Happened { dataset: dataset.name.clone(), event, at: now() }]).await?;
        }
        Ok(lifecycle)
    }
}

/// Refuses the phase if one of its datasets had nothing to compare: no operator is asked to approve that.
fn refuse_empty(active: &mut [Active], moves: &dyn Fn(&Active) -> bool, outcome: &mut RunOutcome) -> bool {
    let lacks = |active: &Active| Move::of(&active.plan).is_some_and(|what| what.lacks_proof(&active.lifecycle));
    let Some(empty) = active.iter().find(|active| moves(active) && lacks(active)) else { return false };
    let dataset = empty.plan.name.clone();
    for active in active.iter_mut().filter(|active| moves(active)) {
        let is_empty = active.plan.name == dataset;
        active.waits_for = Some(if is_empty { WaitsFor::Proof } else { WaitsFor::With(dataset.clone()) });
    }
    outcome.stopped.get_or_insert(EngineError::NotCutOver { dataset, reason: NOTHING_COMPARED.to_owned() });
    true
}

fn cut<'a>(hand: &'a EngineHand<'_>) -> Cut<'a> {
    Cut { what: &hand.what, route: &hand.route, hand }
}

/// The error that stops the run; `None` if the halt is none.
fn error(halt: Halt, dataset: &DatasetName) -> Option<EngineError> {
    match halt {
        Halt::Refused(reason) => Some(EngineError::NotCutOver { dataset: dataset.clone(), reason }),
        Halt::Unsettled(route) => Some(EngineError::Unsettled { route }),
        Halt::Failed(error) => Some(error),
        Halt::MovedOn(_) | Halt::WithOthers(_) | Halt::Interrupted => None,
    }
}
