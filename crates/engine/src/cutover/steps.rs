//! The steps of a cutover, in their order.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{
    cutover::{
        halt::Halt,
        hand::{Changes, Cut},
        moves::{Move, NOTHING_COMPARED},
        switch,
    },
    driver::Driver,
    route::Shown,
    verify::witness::SwitchProof,
};
use migrate_core::{
    lifecycle::{Goal, Lifecycle, Moving, StepName, Transition},
    report::{count, records},
};

/// One step of a cutover. Every method may be called again after a crash.
#[async_trait]
pub trait Step: Debug + Send + Sync {
    /// The step's name.
    fn name(&self) -> StepName;

    /// What the step will do to this dataset, for people.
    fn describe(&self, what: &Move) -> String;

    /// Checks whether the step can work; changes nothing.
    async fn check(&self, cut: Cut<'_>) -> Result<(), Halt>;

    /// Does the step.
    async fn apply(&self, cut: Cut<'_>, carried: &mut Carried) -> Result<(), Halt>;

    /// Takes back what `apply` did, even if it was cut short; most steps do nothing that stays.
    async fn undo(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    /// Whether the dataset is already beyond this step.
    fn is_behind(&self, lifecycle: &Lifecycle) -> bool {
        lifecycle.reached(Goal::CutOver) || matches!(lifecycle.moving, Moving::Watching { .. })
    }

    /// Whether this step is the point of no return, after which a dataset only goes forward.
    fn is_final(&self) -> bool {
        false
    }
}

/// What one step leaves for later ones.
#[derive(Debug, Default)]
pub struct Carried {
    /// The route that the gate read.
    pub(crate) shown: Option<Shown>,
    /// The proof of the final verification.
    pub(crate) proof: Option<SwitchProof>,
}

/// The steps of a dataset's cutover, in their order.
pub fn steps(what: &Move) -> Vec<Box<dyn Step>> {
    let mut steps: Vec<Box<dyn Step>> = vec![Box::new(Gate), Box::new(Quiet { time: what.cutover.quiet })];
    if what.is_table {
        steps.push(Box::new(Drain));
    }
    steps.push(Box::new(FinalVerify));
    steps.push(Box::new(LastLook));
    steps.push(Box::new(Switch));
    steps.push(Box::new(Watch { max_age: what.cutover.route_max_age }));
    steps
}

/// Checks that the route can be switched safely and shows the lead that the plan moves.
#[derive(Debug)]
struct Gate;

impl Gate {
    async fn look(cut: Cut<'_>) -> Result<Option<Shown>, Halt> {
        let lifecycle = cut.hand.lifecycle();
        if !lifecycle.is_verified() {
            let state = lifecycle.state().name();
            return Err(Halt::Refused(format!("{} is {state}, not verified", cut.what.dataset)));
        }
        if cut.what.lacks_proof(&lifecycle) {
            return Err(Halt::Refused(NOTHING_COMPARED.to_owned()));
        }
        cut.route.prove().await?;
        let shown = cut.route.read().await?;
        if let Some(shown) = &shown
            && shown.document.lead != cut.what.from
        {
            return Err(Halt::Refused(format!(
                "the route {} says that {} leads since epoch {}, and the plan moves the lead from {}: \
                 somebody else has moved it; correct the plan, or the route",
                cut.route.location(),
                shown.document.lead,
                shown.document.epoch,
                cut.what.from
            )));
        }
        let driver = shown.as_ref().and_then(|shown| shown.document.driver.as_ref());
        if !cut.hand.drives(driver) {
            let driver = driver.map_or("no migration".to_owned(), Driver::to_string);
            return Err(Halt::Refused(format!("{driver} drives {}, as its route says", cut.what.dataset)));
        }
        Ok(shown)
    }
}

#[async_trait]
impl Step for Gate {
    fn name(&self) -> StepName {
        StepName::Gate
    }

    fn describe(&self, what: &Move) -> String {
        let (route, from) = (&what.cutover.route, &what.from);
        let more = if what.is_table { "; reads the streams of both leads from here on" } else { "" };
        format!(
            "checks that all is proved, and that the route {route} can be switched and shows that {from} leads{more}"
        )
    }

    async fn check(&self, cut: Cut<'_>) -> Result<(), Halt> {
        Self::look(cut).await?;
        cut.hand.check_ready().await
    }

    async fn apply(&self, cut: Cut<'_>, carried: &mut Carried) -> Result<(), Halt> {
        carried.shown = Self::look(cut).await?;
        cut.hand.make_ready().await
    }
}

/// Waits until each write of this migration at the dataset's places has come to rest, also those that got no answer:
/// only what was verified after that is what stays there. Nothing is written for the dataset from the quiet step on, but
/// for a table by its drain step.
async fn come_to_rest(cut: Cut<'_>) -> Result<(), Halt> {
    while let Some(open) = cut.hand.open_writes(cut.what.cutover.settle).await? {
        cut.hand.wait(open.left, &open.to_string()).await?;
    }
    Ok(())
}

/// Waits, since nothing fences the old lead: the final verification then shows whether it was at rest.
#[derive(Debug)]
struct Quiet {
    time: Duration,
}

#[async_trait]
impl Step for Quiet {
    fn name(&self) -> StepName {
        StepName::Quiet
    }

    fn describe(&self, what: &Move) -> String {
        format!(
            "waits {} s, in which {} must see no write: nothing fences it, as the plan accepts; longer only until each \
             write without an answer is {} s old",
            self.time.as_secs(),
            what.from,
            what.cutover.settle.as_secs()
        )
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, _carried: &mut Carried) -> Result<(), Halt> {
        let reason = format!("{} to be at rest: nothing fences it", cut.what.from);
        cut.hand.wait(self.time, &reason).await?;
        come_to_rest(cut).await
    }
}

/// Brings over what a table's stream has shown during the quiet time, until it shows nothing more for a while. A stream
/// has no end, so this is a necessary sign and no proof: that is the comparison.
#[derive(Debug)]
struct Drain;

#[async_trait]
impl Step for Drain {
    fn name(&self) -> StepName {
        StepName::Drain
    }

    fn describe(&self, what: &Move) -> String {
        format!("brings over what the stream of {} still shows, until it shows nothing more", what.from)
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, _carried: &mut Carried) -> Result<(), Halt> {
        cut.hand.drain().await
    }
}

/// Compares both sides in full, after the quiet time has passed: writes since the copy show as differences.
#[derive(Debug)]
struct FinalVerify;

#[async_trait]
impl Step for FinalVerify {
    fn name(&self) -> StepName {
        StepName::FinalVerify
    }

    fn describe(&self, what: &Move) -> String {
        format!("compares every record of {} by {}", what.dataset, what.level.as_str())
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, carried: &mut Carried) -> Result<(), Halt> {
        come_to_rest(cut).await?;
        // The source may have become empty since the gate.
        let verified = cut.hand.verify().await?;
        let proof = verified.for_switch(cut.what.accept_empty, &cut.hand.lifecycle());
        carried.proof = Some(proof.ok_or_else(|| Halt::Refused(NOTHING_COMPARED.to_owned()))?);
        Ok(())
    }
}

/// Looks at the old lead and the new one once more, right before the switch: the verification of a large dataset, or
/// of the phase's other datasets, may have taken long.
#[derive(Debug)]
struct LastLook;

#[async_trait]
impl Step for LastLook {
    fn name(&self) -> StepName {
        StepName::LastLook
    }

    fn describe(&self, what: &Move) -> String {
        let (looks, still) = if what.is_table {
            ("reads the streams of", "show no change since they were compared")
        } else {
            ("lists", "still show what was compared")
        };
        format!("{looks} {} and {} once more, which must {still}", what.from, what.new_leads())
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, _carried: &mut Carried) -> Result<(), Halt> {
        let Changes { old, new } = cut.hand.changes().await?;
        if old.count > 0 {
            return Err(Halt::MovedOn(format!(
                "{}{} changed since the comparison",
                old.at_least(),
                count(old.count, "record has", "records have")
            )));
        }
        if let Some(key) = new.keys.first() {
            return Err(Halt::Refused(format!(
                "{}{} at {} {} not what was compared, the first is {}: something else writes there, or the place lost what \
                 it held; look there, then run again",
                new.at_least(),
                records(new.count),
                cut.what.new_leads(),
                if new.count == 1 { "is" } else { "are" },
                cut.hand.shown(key)
            )));
        }
        Ok(())
    }
}

/// Makes the route show the new lead.
#[derive(Debug)]
struct Switch;

#[async_trait]
impl Step for Switch {
    fn name(&self) -> StepName {
        StepName::Switch
    }

    fn describe(&self, what: &Move) -> String {
        format!("makes the route show that {}: from here on there is no way but forward", what.lead_to())
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, carried: &mut Carried) -> Result<(), Halt> {
        let Some(proof) = carried.proof.take() else {
            return Err(Halt::Refused("nothing was verified".to_owned()));
        };
        switch::switch(cut, &proof, carried.shown.as_ref()).await
    }

    async fn undo(&self, cut: Cut<'_>) -> Result<(), Halt> {
        // A switch that has happened stays; one that was only intended is made impossible.
        switch::settle(cut).await
    }

    fn is_final(&self) -> bool {
        true
    }
}

/// Waits until every client has read the route again, then looks at the old lead once more.
#[derive(Debug)]
struct Watch {
    max_age: Duration,
}

#[async_trait]
impl Step for Watch {
    fn name(&self) -> StepName {
        StepName::Watch
    }

    fn describe(&self, what: &Move) -> String {
        format!(
            "waits {} s, until every client has read the route again, then looks whether {} was written to meanwhile",
            self.max_age.as_secs(),
            what.from
        )
    }

    async fn check(&self, _cut: Cut<'_>) -> Result<(), Halt> {
        Ok(())
    }

    async fn apply(&self, cut: Cut<'_>, _carried: &mut Carried) -> Result<(), Halt> {
        let passed = match cut.hand.switched_at().await? {
            Some(at) => Duration::from_millis(u64::try_from(cut.hand.now().0 - at.0).unwrap_or(0)),
            None => Duration::ZERO,
        };
        let max_age = match cut.hand.lifecycle().moving {
            Moving::Watching { max_age_s, .. } => self.max_age.max(Duration::from_secs(max_age_s)),
            _ => self.max_age,
        };
        let reason = format!("every client to have read {} again", cut.route.location());
        cut.hand.wait(max_age.saturating_sub(passed), &reason).await?;
        cut.hand.complete_lead().await?;
        let late = cut.hand.late().await?;
        if late.count > 0 {
            cut.hand.tell_late(&late);
        }
        cut.hand.happened(Transition::CutOver { late: late.count }).await
    }

    fn is_behind(&self, lifecycle: &Lifecycle) -> bool {
        lifecycle.reached(Goal::CutOver)
    }
}
