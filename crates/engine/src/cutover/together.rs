//! Cuts over the datasets of a phase together.

use std::pin::pin;

use futures::future::{Either, join_all, select};

use migrate_core::model::DatasetName;

use crate::cutover::{
    halt::Halt,
    hand::Cut,
    moves::Move,
    steps::{Carried, Step, steps, steps_after_switch},
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
    for step in steps(&cut.what.cutover) {
        if !step.is_behind(&cut.hand.state()) {
            let describe = step.describe(cut.what);
            checked.push(CheckedStep { name: step.name(), describe, checked: step.check(cut).await });
        }
    }
    checked
}

/// The steps that are left for a dataset.
fn left(cut: &Cut<'_>) -> Vec<Box<dyn Step>> {
    let Move { cutover, .. } = cut.what;
    if cut.hand.state().moved_to().is_some() { steps_after_switch(cutover) } else { steps(cutover) }
}

/// Cuts the datasets over, step by step: none begins a step before all have finished the one before
/// it. If one halts before the switch, or the run is to stop, all take back what they did; from the
/// switch on, each goes on by itself. The results are in the order of `cuts`.
pub async fn together(cuts: &[Cut<'_>]) -> Vec<Result<(), Halt>> {
    let lists: Vec<_> = cuts.iter().map(left).collect();
    let mut carried: Vec<_> = cuts.iter().map(|_| Carried::default()).collect();
    let mut ended: Vec<Result<(), Halt>> = cuts.iter().map(|_| Ok(())).collect();
    let mut final_step_began = cuts.iter().any(|cut| cut.hand.state().moved_to().is_some());
    for number in 0..lists.iter().map(Vec::len).max().unwrap_or(0) {
        // Asked once for all: a stop between two switches would separate the leads of the phase.
        if !final_step_began && cuts.iter().any(|cut| cut.hand.stops()) {
            ended.fill_with(|| Err(Halt::Interrupted));
            undo(cuts, number, &mut ended).await;
            return ended;
        }
        let applied = cuts.iter().zip(&lists).zip(carried.iter_mut()).zip(&ended).map(
            |(((cut, list), carried), ended)| async move {
                match list.get(number).filter(|step| ended.is_ok() && !step.is_behind(&cut.hand.state())) {
                    Some(step) => {
                        cut.hand.tell(step.name(), &step.describe(cut.what));
                        let applied = step.apply(*cut, carried);
                        // Only the switch is not cancelled: the outcome of a half would have to be found out.
                        if step.is_final() { applied.await } else { unless_cancelled(*cut, applied).await }
                    }
                    None => Ok(()),
                }
            },
        );
        let applied = join_all(applied).await;
        for (ended, applied) in ended.iter_mut().zip(applied) {
            if ended.is_ok() {
                *ended = applied;
            }
        }
        final_step_began |= lists.iter().any(|list| list.get(number).is_some_and(|step| step.is_final()));
        if !final_step_began && ended.iter().any(Result::is_err) {
            undo(cuts, number, &mut ended).await;
            halt_with_others(cuts.iter().map(|cut| &cut.what.dataset), &mut ended);
            return ended;
        }
    }
    ended
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

/// Takes back the steps up to this one, the last one first. If an undo fails, its error replaces the reason of the
/// halt, because it is more urgent.
async fn undo(cuts: &[Cut<'_>], number: usize, ended: &mut [Result<(), Halt>]) {
    for (cut, ended) in cuts.iter().zip(ended) {
        for step in steps(&cut.what.cutover).iter().take(number + 1).rev() {
            if let Err(halt) = step.undo(*cut).await {
                *ended = Err(halt);
            }
        }
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
