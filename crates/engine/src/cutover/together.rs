//! Cuts over the datasets of a phase together.

use std::pin::pin;

use futures::future::{Either, join_all, select};

use migrate_core::{
    lifecycle::{Mark, MoveId, StepName, Transition},
    model::DatasetName,
};

use crate::cutover::{
    halt::Halt,
    hand::Cut,
    steps::{Carried, Step, steps},
    switch,
};

/// One step of a dry run.
#[derive(Debug)]
pub struct CheckedStep {
    /// The step's name.
    pub name: &'static str,
    /// What the step would do, as text.
    pub describe: String,
    /// Why the step would halt, if it would.
    pub checked: Result<(), Halt>,
}

/// Checks every step that is left of a cutover, and changes nothing.
pub async fn dry_run(cut: Cut<'_>) -> Vec<CheckedStep> {
    let mut checked = Vec::new();
    for step in steps(cut.what) {
        if !step.is_behind(&cut.hand.lifecycle()) {
            let describe = step.describe(cut.what);
            checked.push(CheckedStep { name: step.name().as_str(), describe, checked: step.check(cut).await });
        }
    }
    checked
}

/// Cuts the datasets over, step by step: none begins a step before all have finished the one before
/// it. If one halts before the switch, or the run is to stop, all take back what they did; from the
/// switch on, each goes on by itself. The results are in the order of `cuts`.
pub async fn together(cuts: &[Cut<'_>]) -> Vec<Result<(), Halt>> {
    let lists: Vec<_> = cuts.iter().map(|cut| steps(cut.what)).collect();
    let mut carried: Vec<_> = cuts.iter().map(|_| Carried::default()).collect();
    let mut ended = join_all(cuts.iter().map(|cut| begin(*cut))).await;
    let mut final_step_began = cuts.iter().any(|cut| cut.hand.lifecycle().moved_to().is_some());
    for name in StepName::ALL {
        // Asked once for all: a stop between two switches would separate the leads of the phase.
        if !final_step_began && cuts.iter().any(|cut| cut.hand.stops()) {
            ended.fill_with(|| Err(Halt::Interrupted));
        }
        let taken = cuts.iter().zip(&lists).zip(carried.iter_mut()).zip(&ended).map(
            |(((cut, list), carried), ended)| async move {
                let step = list.iter().find(|step| step.name() == name && !step.is_behind(&cut.hand.lifecycle()));
                match step.filter(|_| ended.is_ok()) {
                    Some(step) => take(*cut, &**step, carried).await,
                    None => Ok(()),
                }
            },
        );
        let taken = join_all(taken).await;
        for (ended, taken) in ended.iter_mut().zip(taken) {
            if ended.is_ok() {
                *ended = taken;
            }
        }
        final_step_began |= name == StepName::Switch;
        if !final_step_began && ended.iter().any(Result::is_err) {
            halt_with_others(cuts.iter().map(|cut| &cut.what.dataset), &mut ended);
            break;
        }
    }
    for (cut, ended) in cuts.iter().zip(&mut ended) {
        // If this fails, it is more urgent than the reason of the halt.
        if let Err(halt) = ended
            && let Err(urgent) = take_back(*cut, &halt.to_string()).await
        {
            *ended = Err(urgent);
        }
    }
    ended
}

/// Records that the move begins, unless the lead has moved.
async fn begin(cut: Cut<'_>) -> Result<(), Halt> {
    if !cut.hand.lifecycle().moving.is_at_rest() {
        return Ok(());
    }
    let (id, to) = (MoveId(cut.hand.attempt()), cut.what.to.clone());
    cut.hand.happened(Transition::MoveBegun { id, to }).await
}

/// Takes a step. Before the switch it is in the ledger before it acts, and once more when it has acted; the switch and
/// what follows it have events of their own.
async fn take(cut: Cut<'_>, step: &dyn Step, carried: &mut Carried) -> Result<(), Halt> {
    let name = step.name();
    cut.hand.tell(name.as_str(), &step.describe(cut.what));
    if name >= StepName::Switch {
        let applied = step.apply(cut, carried);
        // Only the switch is not cancelled: the outcome of a half would have to be found out.
        return if name == StepName::Switch { applied.await } else { unless_cancelled(cut, applied).await };
    }
    mark(cut, name, Mark::Intended).await?;
    unless_cancelled(cut, step.apply(cut, carried)).await?;
    mark(cut, name, Mark::Applied).await
}

async fn mark(cut: Cut<'_>, step: StepName, mark: Mark) -> Result<(), Halt> {
    let lifecycle = cut.hand.lifecycle();
    let Some(open) = lifecycle.moving.open() else { return Ok(()) };
    cut.hand.happened(Transition::Step { id: open.id.clone(), step, mark }).await
}

/// Takes back a move that is open: settles its switch if one was intended, then undoes the steps that stand by the
/// ledger, the last one first. Does nothing if no move is open, or if its switch has happened: that stays.
pub(crate) async fn take_back(cut: Cut<'_>, reason: &str) -> Result<(), Halt> {
    switch::settle(cut).await?;
    let steps = steps(cut.what);
    while let Some(open) = cut.hand.lifecycle().moving.open() {
        let Some((name, _)) = open.steps.last() else {
            let (id, reason) = (open.id.clone(), reason.to_owned());
            return cut.hand.happened(Transition::MoveEnded { id, reason }).await;
        };
        if let Some(step) = steps.iter().find(|step| step.name() == *name) {
            step.undo(cut).await?;
        }
        mark(cut, *name, Mark::Undone).await?;
    }
    Ok(())
}

/// Halts the datasets that finished a step too, because of the first one that did not.
fn halt_with_others<'a>(names: impl Iterator<Item = &'a DatasetName>, ended: &mut [Result<(), Halt>]) {
    let first = names.zip(ended.iter()).find(|(_, ended)| ended.is_err()).map(|(name, _)| name.clone());
    let Some(first) = first else { return };
    for ended in ended.iter_mut().filter(|ended| ended.is_ok()) {
        *ended = Err(Halt::WithOthers(first.clone()));
    }
}

/// Applies a step, unless requests are to be dropped before it ends.
async fn unless_cancelled(cut: Cut<'_>, apply: impl Future<Output = Result<(), Halt>>) -> Result<(), Halt> {
    match select(pin!(apply), cut.hand.cancelled()).await {
        Either::Left((applied, _)) => applied,
        Either::Right(((), _)) => Err(Halt::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_halts_halts_those_that_came_through_and_no_other() {
        let names = ["a", "b", "c", "d"].map(|name| DatasetName::new(name).unwrap());
        let moved_on = || Err(Halt::MovedOn("2 records".to_owned()));
        let mut ended = [Ok(()), moved_on(), Ok(()), Err(Halt::Interrupted)];
        halt_with_others(names.iter(), &mut ended);
        let with_b = |ended: &Result<(), Halt>| matches!(ended, Err(Halt::WithOthers(name)) if *name == names[1]);
        assert!(with_b(&ended[0]) && with_b(&ended[2]), "{ended:?}");
        assert!(matches!(ended[1], Err(Halt::MovedOn(_))) && matches!(ended[3], Err(Halt::Interrupted)), "{ended:?}");

        let mut ended = [Ok(()), Ok(())];
        halt_with_others(names.iter(), &mut ended);
        assert!(ended.iter().all(Result::is_ok));
    }
}
