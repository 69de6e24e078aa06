//! Moves the leads of a phase whose datasets are all proved.
//!
//! The steps themselves are those of [`cutover`](crate::cutover). Here it is decided when they may begin,
//! and what follows from how they ended.

use std::sync::Arc;

use super::{DatasetStores, EngineError, RunOutcome, dispatcher::Run, floor::Active, hand::EngineHand};
use crate::{
    cutover::{Cut, Halt, switch, together},
    lifecycle::{Goal, State},
    model::DatasetName,
    plan::{Dataset, Phase},
};

impl Run<'_> {
    /// Cuts over what of the phase is ready; the places of those datasets that have moved on since they
    /// were verified, and must be copied and proved once more before the next attempt.
    pub(super) async fn cut_over(
        &self,
        phase: &Phase,
        active: &mut [Active],
        outcome: &mut RunOutcome,
    ) -> Result<Vec<usize>, EngineError> {
        let nothing = Ok(Vec::new());
        let moves = |active: &Active| active.plan.cutover.is_some() && !active.state.reached(Goal::CutOver);
        if self.options.goal < Goal::CutOver || self.shutdown.is_draining() || !active.iter().any(moves) {
            return nothing;
        }
        if let Some(other) = self.not_ready(phase, active).await? {
            for active in active.iter_mut().filter(|active| moves(active) && active.state.reached(Goal::Verified)) {
                active.waits_for = Some(format!("dataset {other}, which moves together with it"));
            }
            return nothing;
        }
        if !self.is_approved(phase).await? {
            for active in active.iter_mut().filter(|active| moves(active)) {
                active.waits_for = Some(format!("the approval of phase {}", phase.name));
                active.needs_approval = true;
            }
            return nothing;
        }
        let mut hands = Vec::new();
        for (place, active) in active.iter().enumerate().filter(|(_, active)| moves(active)) {
            if let Some(hand) = EngineHand::take(self, &active.plan, &active.stores, active.state.clone()).await? {
                hands.push((place, hand));
            }
        }
        let cuts: Vec<_> = hands.iter().map(|(_, hand)| cut(hand)).collect();
        let ends = together(&cuts).await;
        let mut again = Vec::new();
        for ((place, hand), end) in hands.iter().zip(ends) {
            let active = &mut active[*place];
            active.state = cut(hand).hand.state();
            active.verified = hand.verified().or(active.verified.take());
            if let Err(halt) = end {
                if matches!(halt, Halt::MovedOn(_)) {
                    again.push(*place);
                }
                active.waits_for = Some(reason(&halt, &hand.what.from.to_string()));
                if let Some(error) = error(halt, &active.plan.name) {
                    outcome.stopped.get_or_insert(error);
                }
            }
        }
        Ok(if outcome.stopped.is_none() { again } else { Vec::new() })
    }

    /// A dataset of the phase that is not proved, or not part of this run and not where it is to be.
    async fn not_ready(&self, phase: &Phase, active: &[Active]) -> Result<Option<DatasetName>, EngineError> {
        for dataset in &phase.datasets {
            let ready = match active.iter().find(|active| active.plan.name == dataset.name) {
                Some(active) => active.ended && active.state.reached(Goal::Verified),
                None => self.state(&dataset.name).await?.reached(self.goal_of(dataset)),
            };
            if !ready {
                return Ok(Some(dataset.name.clone()));
            }
        }
        Ok(None)
    }

    /// Finds out whether a switch that an earlier run intended has happened.
    pub(super) async fn settle_switch(
        &self,
        dataset: &Dataset,
        stores: &Arc<DatasetStores>,
        state: State,
    ) -> Result<State, EngineError> {
        let Some(hand) = EngineHand::take(self, dataset, stores, state.clone()).await? else {
            return Err(EngineError::NotCutOver {
                dataset: dataset.name.clone(),
                reason: "its switch was begun, and the plan no longer says where the lead moves: put the \
                         cutover back"
                    .to_owned(),
            });
        };
        match switch::settle(cut(&hand)).await {
            Ok(()) => Ok(cut(&hand).hand.state()),
            Err(halt) => Err(error(halt, &dataset.name).unwrap_or(EngineError::Cancelled)),
        }
    }
}

fn cut<'a>(hand: &'a EngineHand<'_>) -> Cut<'a> {
    Cut { what: &hand.what, route: &hand.route, hand }
}

/// What a dataset waits for whose cutover has halted.
fn reason(halt: &Halt, from: &str) -> String {
    match halt {
        Halt::MovedOn(detail) => format!("{from} to be at rest: {detail}"),
        Halt::WithOthers(other) => format!("dataset {other}, which moves together with it"),
        Halt::Interrupted => "the next run: this one was stopped".to_owned(),
        other => other.to_string(),
    }
}

/// What stops the run; `None` where nothing failed.
fn error(halt: Halt, dataset: &DatasetName) -> Option<EngineError> {
    match halt {
        Halt::Refused(reason) => Some(EngineError::NotCutOver { dataset: dataset.clone(), reason }),
        Halt::Unsettled(route) => Some(EngineError::Unsettled { route }),
        Halt::Failed(error) => Some(error),
        Halt::MovedOn(_) | Halt::WithOthers(_) | Halt::Interrupted => None,
    }
}
