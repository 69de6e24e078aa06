//! [`Lifecycle`]: the three machines of a dataset together, and what each event does to them.

use crate::lifecycle::{
    event::Transition,
    leading::Leading,
    moving::{Moving, OpenMove},
    syncing::{Stage, Syncing},
};

/// Where a dataset stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    /// Who leads.
    pub leading: Leading,
    /// How far its followers are.
    pub syncing: Syncing,
    /// Which move is open.
    pub moving: Moving,
}

/// An event that the lifecycle does not allow: a bug of this tool or a damaged ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not legal after {before:?}")]
pub struct IllegalTransition {
    /// Where the dataset stood before the event.
    pub before: Box<Lifecycle>,
    /// The refused event.
    pub event: Box<Transition>,
}

impl Lifecycle {
    /// The lifecycle after `event`; an error if it is not legal now.
    pub fn apply(&self, event: &Transition) -> Result<Self, IllegalTransition> {
        let after = match event {
            Transition::PassBegun { .. }
            | Transition::PassEnded { .. }
            | Transition::TargetDown { .. }
            | Transition::TargetUp { .. }
            | Transition::Verified { .. }
            | Transition::Differed { .. }
            | Transition::Aborted => self.syncing_after(event).map(|syncing| Self { syncing, ..self.clone() }),
            Transition::MoveBegun { .. } | Transition::Step { .. } | Transition::MoveEnded { .. } => {
                self.moving_after(event).map(|moving| Self { moving, ..self.clone() })
            }
            Transition::SwitchIntended { .. }
            | Transition::Switched { .. }
            | Transition::SwitchAbandoned { .. }
            | Transition::CutOver { .. } => self.switched_after(event),
        };
        let illegal = || IllegalTransition { before: Box::new(self.clone()), event: Box::new(event.clone()) };
        after.ok_or_else(illegal)
    }

    /// Folds events, in order, into what results.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Transition>) -> Result<Self, IllegalTransition> {
        events.into_iter().try_fold(Self::default(), |lifecycle, event| lifecycle.apply(event))
    }

    /// What becomes of the followers. While a move is open only a verification for it says anything of them.
    fn syncing_after(&self, event: &Transition) -> Option<Syncing> {
        let (syncing, at_rest) = (&self.syncing, self.moving.is_at_rest());
        let may_compare = at_rest || self.moving.open().is_some();
        match event {
            Transition::PassBegun { pass } if at_rest => syncing.begin(*pass),
            Transition::PassEnded { pass, failed } if at_rest => syncing.end(*pass, *failed),
            Transition::TargetDown { .. } | Transition::TargetUp { .. } => {
                (syncing.stage == Stage::Copying).then(|| syncing.clone())
            }
            Transition::Verified { level, compared, epoch, of, .. } if may_compare => {
                let is_ours = *epoch == self.leading.epoch() && of.as_ref() == self.moving.id();
                let (level, compared, epoch, of) = (level.clone(), *compared, *epoch, of.clone());
                is_ours.then(|| syncing.compared(Stage::Verified { level, compared, epoch, of }))?
            }
            Transition::Differed { differences, unreadable, .. } if may_compare => {
                syncing.compared(Stage::Different { differences: differences + unreadable })
            }
            // Applications use the followers of a dataset whose lead has moved.
            Transition::Aborted if at_rest && self.leading.moved.is_none() => {
                (syncing.stage != Stage::GivenUp).then(|| syncing.at(Stage::GivenUp))
            }
            _ => None,
        }
    }

    fn moving_after(&self, event: &Transition) -> Option<Moving> {
        match (&self.moving, event) {
            (Moving::AtRest, Transition::MoveBegun { id, to }) if self.syncing.stage != Stage::Copying => {
                Some(Moving::Open(OpenMove { id: id.clone(), to: to.clone(), steps: Vec::new() }))
            }
            (Moving::Open(open), Transition::Step { id, step, mark }) if open.id == *id => {
                open.marked(*step, *mark).map(Moving::Open)
            }
            (Moving::Open(open), Transition::MoveEnded { id, .. }) if open.id == *id && open.steps.is_empty() => {
                Some(Moving::AtRest)
            }
            _ => None,
        }
    }

    /// The switch changes all three machines.
    fn switched_after(&self, event: &Transition) -> Option<Self> {
        let Self { leading, syncing, moving } = self;
        match (moving, event) {
            // The only way to a switch: a proof of this epoch, made for this move.
            (Moving::Open(open), Transition::SwitchIntended { id, lead, attempt, route, max_age_s })
                if open.id == *id && open.to == lead.lead && self.is_proved_for(open) =>
            {
                leading.led_by(lead)?;
                let (open, lead, attempt, route) = (open.clone(), lead.clone(), attempt.clone(), route.clone());
                let moving = Moving::Switching { open, lead, attempt, route, max_age_s: *max_age_s };
                Some(Self { moving, ..self.clone() })
            }
            (Moving::Switching { open, lead, max_age_s, .. }, Transition::Switched { lead: shown })
                if lead == shown =>
            {
                // Its followers were equal at the switch, and nothing has looked at them since.
                Some(Self {
                    leading: leading.led_by(lead)?,
                    syncing: syncing.at(Stage::Unseen),
                    moving: Moving::Watching { id: open.id.clone(), max_age_s: *max_age_s },
                })
            }
            // The next attempt needs a proof of its own.
            (Moving::Switching { open, .. }, Transition::SwitchAbandoned { .. }) => {
                let moving = Moving::Open(open.clone());
                Some(Self { syncing: syncing.at(Stage::Copied), moving, ..self.clone() })
            }
            (Moving::Watching { .. }, Transition::CutOver { late }) => {
                let leading = Leading { late: *late, ..leading.clone() };
                Some(Self { leading, moving: Moving::AtRest, ..self.clone() })
            }
            _ => None,
        }
    }

    fn is_proved_for(&self, open: &OpenMove) -> bool {
        let Stage::Verified { epoch, of, .. } = &self.syncing.stage else { return false };
        *epoch == self.leading.epoch() && of.as_ref() == Some(&open.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        lifecycle::{
            event::{Lead, Mark, MoveId, StepName},
            goal::{Action, Goal},
            state::State,
        },
        model::{Decided, Epoch, PlaceIndex, SiteName},
    };

    fn site() -> SiteName {
        SiteName::new("there").unwrap()
    }

    fn lead(epoch: u64) -> Lead {
        Lead { epoch: Epoch(epoch), lead: site() }
    }

    fn id(number: u64) -> MoveId {
        MoveId(number.to_string())
    }

    fn begun(number: u64) -> Transition {
        Transition::MoveBegun { id: id(number), to: site() }
    }

    fn step(number: u64, step: StepName, mark: Mark) -> Transition {
        Transition::Step { id: id(number), step, mark }
    }

    fn ended(number: u64) -> Transition {
        Transition::MoveEnded { id: id(number), reason: "no".into() }
    }

    fn intent(number: u64, epoch: u64) -> Transition {
        let (attempt, route) = ("a".into(), "s3://c/r".into());
        Transition::SwitchIntended { id: id(number), lead: lead(epoch), attempt, route, max_age_s: 1 }
    }

    fn verified(epoch: u64, of: Option<u64>) -> Transition {
        Transition::Verified {
            level: "bytes".into(),
            compared: 1,
            decided: Decided { bytes: 1, ..Decided::default() },
            blind_spots: Vec::new(),
            waived: Vec::new(),
            epoch: Epoch(epoch),
            of: of.map(id),
        }
    }

    /// Events of which every second one or so is legal in its place; `at` is where the dataset stands.
    fn event(at: &Lifecycle, choice: u8, number: u64) -> Transition {
        let (pass, epoch) = (at.syncing.pass, at.leading.epoch().0);
        let open = at.moving.id().map_or(number, |id| id.0.parse().unwrap());
        match choice % 17 {
            0 => Transition::PassBegun { pass: pass + number % 2 },
            1 | 2 => Transition::PassBegun { pass: pass + 1 },
            3 | 4 => Transition::PassEnded { pass, failed: number % 2 },
            5 => verified(number % 3, Some(number % 3)),
            6 => verified(epoch, at.moving.id().map(|_| open)),
            7 => Transition::Differed {
                level: "bytes".into(),
                differences: number % 2,
                unreadable: 0,
                strays: 0,
                unlisted: Vec::new(),
            },
            8 => begun(number),
            9 => step(open, StepName::ALL[usize::try_from(number % 6).unwrap()], Mark::Intended),
            10 => {
                let standing =
                    at.moving.open().and_then(|open| open.steps.last()).map_or(StepName::Gate, |(step, _)| *step);
                step(open, standing, if number.is_multiple_of(2) { Mark::Applied } else { Mark::Undone })
            }
            11 => ended(open),
            12 => intent(open, epoch + number % 3),
            13 => match &at.moving {
                Moving::Switching { lead, .. } if !number.is_multiple_of(3) => {
                    Transition::Switched { lead: lead.clone() }
                }
                _ => Transition::Switched { lead: lead(number % 3) },
            },
            16 => Transition::TargetUp { place: PlaceIndex(1) },
            14 => Transition::SwitchAbandoned { reason: "no".into() },
            _ if number.is_multiple_of(2) => Transition::CutOver { late: number },
            _ => Transition::Aborted,
        }
    }

    proptest! {
        /// For any events: the route is switched only by a proof of the epoch and of the move; one epoch has one lead;
        /// nothing is copied while a move is open; and no step of a move is forgotten.
        #[test]
        fn no_way_leads_around_the_verification(choices in proptest::collection::vec((any::<u8>(), 0_u64..6), 0..200)) {
            let mut at = Lifecycle::default();
            let (mut clean_pass, mut proof, mut epochs) = (false, None, vec![Epoch(0)]);
            let mut standing: Vec<StepName> = Vec::new();
            for (choice, number) in choices {
                let event = event(&at, choice, number);
                let Ok(next) = at.apply(&event) else { continue };
                match &event {
                    Transition::PassBegun { .. } => {
                        prop_assert!(at.moving.is_at_rest(), "a pass while a move is open");
                        (clean_pass, proof) = (false, None);
                    }
                    Transition::PassEnded { failed, .. } => clean_pass = *failed == 0,
                    // Only within a pass, which must still end.
                    Transition::TargetDown { .. } | Transition::TargetUp { .. } => prop_assert!(!clean_pass),
                    Transition::Verified { epoch, of, .. } => {
                        prop_assert!(clean_pass, "a proof without a clean pass from this lead");
                        proof = Some((*epoch, of.clone()));
                    }
                    Transition::Differed { .. } => {
                        prop_assert!(clean_pass);
                        proof = None;
                    }
                    Transition::MoveBegun { .. } => prop_assert!(standing.is_empty()),
                    Transition::Step { step, mark: Mark::Intended, .. } => standing.push(*step),
                    Transition::Step { mark: Mark::Applied, .. } => {}
                    Transition::Step { step, mark: Mark::Undone, .. } => prop_assert_eq!(standing.pop(), Some(*step)),
                    Transition::MoveEnded { .. } => prop_assert!(standing.is_empty(), "a step was forgotten"),
                    Transition::SwitchIntended { id, .. } => {
                        prop_assert_eq!(proof.take(), Some((*epochs.last().unwrap(), Some(id.clone()))));
                    }
                    Transition::Switched { lead } => {
                        prop_assert!(lead.epoch > *epochs.last().unwrap(), "two leads of one epoch");
                        epochs.push(lead.epoch);
                        (clean_pass, standing) = (false, Vec::new());
                    }
                    Transition::SwitchAbandoned { .. } => prop_assert!(!at.reached(Goal::Copied), "the outcome was not known"),
                    Transition::Aborted => {
                        prop_assert_eq!(epochs.len(), 1, "given up although applications use its targets");
                        clean_pass = false;
                    }
                    Transition::CutOver { .. } => prop_assert!(epochs.len() > 1),
                }
                if next.is_verified() {
                    prop_assert!(clean_pass, "verified without a clean pass from this lead");
                }
                prop_assert_eq!(next.leading.epoch(), *epochs.last().unwrap());
                at = next;
            }
        }
    }

    #[test]
    fn a_cut_pass_goes_on_and_an_ended_one_is_followed_by_a_new_one() {
        let begun = [Transition::PassBegun { pass: 1 }];
        assert_eq!(Lifecycle::replay(&begun).unwrap().first_step(true), Some(Action::ResumePass(1)));
        let ended = [Transition::PassBegun { pass: 1 }, Transition::PassEnded { pass: 1, failed: 2 }];
        assert_eq!(Lifecycle::replay(&ended).unwrap().first_step(true), Some(Action::BeginPass(2)));
        assert!(Lifecycle::replay(&[Transition::PassBegun { pass: 2 }]).is_err(), "passes count from 1");
    }

    #[test]
    fn a_cut_switch_is_settled_first_its_move_is_taken_back_and_a_moved_lead_is_followed() {
        let mut events = vec![
            Transition::PassBegun { pass: 1 },
            Transition::PassEnded { pass: 1, failed: 0 },
            verified(0, None),
            begun(1),
            step(1, StepName::Gate, Mark::Intended),
            step(1, StepName::Gate, Mark::Applied),
            step(1, StepName::FinalVerify, Mark::Intended),
        ];
        let open = Lifecycle::replay(&events).unwrap();
        assert_eq!((open.first_step(true), open.state().name()), (Some(Action::UndoMove), "verified"));
        assert!(open.apply(&intent(1, 1)).is_err(), "the proof was not made for this move");
        assert!(open.apply(&verified(0, Some(2))).is_err() && open.apply(&verified(1, Some(1))).is_err());
        assert!(open.apply(&ended(1)).is_err(), "steps stand");
        assert!(open.apply(&step(1, StepName::Gate, Mark::Undone)).is_err(), "the last one is taken back first");
        assert!(open.apply(&Transition::Aborted).is_err(), "it is taken back first");
        events.extend([verified(0, Some(1)), step(1, StepName::FinalVerify, Mark::Applied), intent(1, 1)]);
        let switching = Lifecycle::replay(&events).unwrap();
        assert_eq!(switching.first_step(true), Some(Action::SettleSwitch));
        assert!(!switching.reached(Goal::Copied), "whether it was switched is not known");
        assert!(switching.apply(&Transition::Aborted).is_err(), "it must be settled first");
        assert!(switching.apply(&Transition::Switched { lead: lead(2) }).is_err(), "another epoch is another switch");
        let abandoned = switching.apply(&Transition::SwitchAbandoned { reason: "no".into() }).unwrap();
        assert_eq!(abandoned.first_step(true), Some(Action::UndoMove));
        assert!(abandoned.apply(&intent(1, 1)).is_err(), "the next attempt needs a proof of its own");
        events.push(Transition::Switched { lead: lead(1) });
        assert_eq!(Lifecycle::replay(&events).unwrap().first_step(true), Some(Action::Watch));
        events.push(Transition::CutOver { late: 0 });
        let over = Lifecycle::replay(&events).unwrap();
        assert_eq!((over.first_step(false), over.reached(Goal::CutOver)), (None, true));
        assert!(over.apply(&Transition::Aborted).is_err(), "there is no way back before the switch");
        assert_eq!(over.first_step(true), Some(Action::BeginPass(2)));
        let following = over.apply(&Transition::PassBegun { pass: 2 }).unwrap();
        let State::CutOver { following: Some(word), .. } = following.state() else { panic!("{following:?}") };
        assert_eq!((word.name(), following.follows(Goal::Copied)), ("copying", false));
        let ended = following.apply(&Transition::PassEnded { pass: 2, failed: 0 }).unwrap();
        assert!(ended.apply(&verified(0, None)).is_err(), "it compared with the lead before");
        let proved = ended.apply(&verified(1, None)).unwrap();
        assert!(proved.is_verified() && proved.follows(Goal::CutOver));
        assert_eq!(proved.next_step(Goal::CutOver), None, "its lead is where it was to be");
        assert!(proved.apply(&begun(2)).is_ok(), "and it can be moved again");
    }
}
