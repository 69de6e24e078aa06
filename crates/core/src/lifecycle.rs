//! The state machine of a dataset: which events are legal when, and what is due next.
//!
//! The ledger stores events, never states; a run loads them, folds them with [`State::apply`] and asks
//! [`State::first_step`] and [`State::next_step`] what to do. So there is no recovery code: going on after a crash
//! and starting afresh are the same thing.
//!
//! ```text
//! pending ─▶ copying ─▶ copied ─▶ verified ─▶ switching ─▶ switched ─▶ cut_over
//!              │ ▲         │ ▲                   │
//!              ▼ │         ▼ │                   ▼
//!          incomplete   different             copied        (the switch did not happen)
//! ```
//!
//! A new pass may begin anywhere up to *verified*, also while one is under way that a target holds up. From *switching* on, the targets are no longer to equal the
//! source, and no pass begins again. Only *verified* leads to a switch.

use serde::{Deserialize, Serialize};

use crate::model::{Decided, Epoch, PlaceIndex, SiteName, Timestamp};

/// A durable event of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Transition {
    /// A pass over all keys began: both sides are listed and what differs is copied.
    PassBegun {
        /// Number of the pass, from 1.
        pass: u64,
    },
    /// Every shard of the pass and all its deferred records are done.
    PassEnded {
        /// Number of the pass, from 1.
        pass: u64,
        /// How many records could not be copied.
        failed: u64,
    },
    /// A target takes no part in the pass under way any more: the pass goes on for the others, and does not end before
    /// the target has caught up.
    TargetDown {
        /// The target's place.
        place: PlaceIndex,
        /// Why, for people; its keys are hidden if the plan says so.
        reason: String,
        /// What the operator can do about it, if that is known.
        help: Option<String>,
    },
    /// A target that was down takes part again.
    TargetUp {
        /// The target's place.
        place: PlaceIndex,
    },
    /// A verification found every follower equal to its lead.
    Verified {
        /// `listing`, `checksum` or `bytes`.
        level: String,
        /// Records compared, over all targets.
        compared: u64,
        /// How many records were found equal, by what.
        decided: Decided,
        /// What was not compared at some target, and why, for people.
        blind_spots: Vec<String>,
        /// Kinds of properties that could be lost at each target, as numbers of [`Aspects`](crate::model::Aspects);
        /// `None` if that is not known.
        waived: Option<Vec<u8>>,
    },
    /// A verification found differences, or could not decide about every record.
    Differed {
        /// `listing`, `checksum` or `bytes`.
        level: String,
        /// Differences found, over all targets.
        differences: u64,
        /// Records that could not be judged and so are unproved: unreadable, unstable, or beyond what the level can
        /// see.
        unreadable: u64,
        /// Differences that neither a pass nor a repair removes: copies that another writer changed, and whose
        /// record the lead has deleted.
        strays: u64,
    },
    /// The route is about to be switched. Recorded before its store gets the request.
    SwitchIntended {
        /// The future lead.
        #[serde(flatten)]
        lead: Lead,
        /// Name of the attempt: a route that shows it was switched by this attempt.
        attempt: String,
        /// The route and the place of its site: only there can the answer be found.
        route: String,
        /// Seconds until every client has read the route again, by the current and the future maximum age.
        max_age_s: u64,
    },
    /// The route shows the new lead: from here on the dataset only goes forward.
    Switched {
        /// The current lead.
        #[serde(flatten)]
        lead: Lead,
    },
    /// The switch did not happen, and can no longer happen.
    SwitchAbandoned {
        /// Why, for people.
        reason: String,
    },
    /// Every client has read the route again, and the old lead was looked at once more.
    CutOver {
        /// How many records were written at the old lead after the final verification.
        late: u64,
    },
    /// The operator gave the dataset up: what was added for it is taken back, and the next run begins anew.
    Aborted,
}

/// What the last verification relied on, if it was clean: what decided, and what it did not compare.
pub fn last_proof<'a>(events: impl DoubleEndedIterator<Item = &'a Transition>) -> Option<(Decided, &'a [String])> {
    events.rev().find_map(|event| match event {
        Transition::Verified { decided, blind_spots, .. } => Some(Some((*decided, blind_spots.as_slice()))),
        Transition::Differed { .. } | Transition::PassBegun { .. } => Some(None),
        _ => None,
    })?
}

/// The level of the last verification, if it was clean, and the kinds of properties that could be lost at each
/// target then.
pub fn last_level<'a>(events: impl DoubleEndedIterator<Item = &'a Transition>) -> Option<(&'a str, Option<&'a [u8]>)> {
    events.rev().find_map(|event| match event {
        Transition::Verified { level, waived, .. } => Some(Some((level.as_str(), waived.as_deref()))),
        Transition::Differed { .. } | Transition::PassBegun { .. } => Some(None),
        _ => None,
    })?
}

/// A target that takes no part in the pass under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Down {
    /// The target's place.
    #[serde(skip)]
    pub place: PlaceIndex,
    /// The time since which it is down.
    pub since: Timestamp,
    /// Why, for people, as it was told last.
    pub reason: String,
    /// What the operator can do about it, if that is known.
    pub help: Option<String>,
}

/// The targets that take no part in the pass under way.
pub fn down<'a>(events: impl IntoIterator<Item = &'a (Transition, Timestamp)>) -> Vec<Down> {
    let mut down: Vec<Down> = Vec::new();
    for (event, at) in events {
        match event {
            Transition::TargetDown { place, reason, help } => {
                let known = down.iter().position(|known| known.place == *place).map(|known| down.swap_remove(known));
                let since = known.map_or(*at, |known| known.since);
                down.push(Down { place: *place, since, reason: reason.clone(), help: help.clone() });
            }
            Transition::TargetUp { place } => down.retain(|known| known.place != *place),
            Transition::PassEnded { .. } | Transition::Aborted => down.clear(),
            _ => {}
        }
    }
    down.sort_by_key(|down| down.place);
    down
}

/// How many late writes are reported by key.
pub const LATE_KEYS_MAX: usize = 100;

/// The leading site and its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// How often the lead has moved.
    pub epoch: Epoch,
    /// The leading site's name in the plan.
    pub lead: SiteName,
}

/// The state of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nothing has begun.
    #[default]
    Pending,
    /// A pass is under way.
    Copying {
        /// Number of the pass, from 1.
        pass: u64,
    },
    /// A pass ended, but some records failed.
    Incomplete {
        /// Number of the pass, from 1.
        pass: u64,
        /// How many records failed.
        failed: u64,
    },
    /// A pass ended, and everything it saw is at the targets.
    Copied {
        /// Number of the pass, from 1.
        pass: u64,
    },
    /// The last verification after the pass found differences.
    Different {
        /// Number of the pass, from 1.
        pass: u64,
        /// Differences, plus records that could not be judged.
        differences: u64,
    },
    /// The last verification after the pass found every follower equal to its lead.
    Verified {
        /// Number of the pass, from 1.
        pass: u64,
        /// The level of that verification.
        level: String,
        /// Records that it compared, over all targets: if there were none, it proved nothing.
        compared: u64,
    },
    /// The route is being switched; only the route itself shows whether it was.
    Switching {
        /// Number of the pass, from 1.
        pass: u64,
        /// The future lead.
        #[serde(flatten)]
        lead: Lead,
        /// Name of the attempt.
        attempt: String,
        /// The route and the place of its site.
        route: String,
        /// Seconds until every client has read the route again.
        max_age_s: u64,
    },
    /// The route shows the new lead; clients may still act on the older one.
    Switched {
        /// Number of the pass, from 1.
        pass: u64,
        /// The current lead.
        #[serde(flatten)]
        lead: Lead,
        /// Seconds until every client has read the route again.
        max_age_s: u64,
    },
    /// The lead has moved.
    CutOver {
        /// Number of the pass, from 1.
        pass: u64,
        /// The current lead.
        #[serde(flatten)]
        lead: Lead,
        /// How many records were written at the old lead too late to be copied.
        late: u64,
    },
    /// The operator gave it up; it begins anew with the next run.
    Aborted {
        /// Number of the last pass; 0 if none had begun.
        pass: u64,
    },
}

/// How far a run takes a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Copied, not proved.
    Copied,
    /// Proved equal.
    Verified,
    /// The lead has moved, if the plan says that it moves.
    CutOver,
}

/// The next action of a run for a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin the pass with this number.
    BeginPass(u64),
    /// Go on with the pass with this number.
    ResumePass(u64),
    /// Compare every target with the source.
    Verify,
    /// Cut over, once the phase is approved.
    CutOver,
    /// Find out whether the route was switched.
    SettleSwitch,
    /// Wait until every client has read the route again, then look at the old lead.
    Watch,
}

/// An event that the state does not allow: a bug of this tool or a damaged ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not legal in state {state:?}")]
pub struct IllegalTransition {
    /// The state before the event.
    pub state: Box<State>,
    /// The refused event.
    pub event: Box<Transition>,
}

impl State {
    /// The state after `event`; an error if the state does not allow it.
    pub fn apply(&self, event: &Transition) -> Result<State, IllegalTransition> {
        let illegal = || IllegalTransition { state: Box::new(self.clone()), event: Box::new(event.clone()) };
        match (self, event) {
            (state, Transition::PassBegun { pass }) if state.may_begin() && *pass == state.pass() + 1 => {
                Ok(State::Copying { pass: *pass })
            }
            // It walks every key anew at every target, so nothing of the pass under way is missed.
            (State::Copying { pass: under_way }, Transition::PassBegun { pass }) if *pass == under_way + 1 => {
                Ok(State::Copying { pass: *pass })
            }
            (State::Copying { pass }, Transition::PassEnded { pass: ended, failed }) if pass == ended => {
                Ok(match failed {
                    0 => State::Copied { pass: *pass },
                    _ => State::Incomplete { pass: *pass, failed: *failed },
                })
            }
            (
                State::Copied { pass } | State::Verified { pass, .. } | State::Different { pass, .. },
                Transition::Verified { level, compared, .. },
            ) => Ok(State::Verified { pass: *pass, level: level.clone(), compared: *compared }),
            (
                State::Copied { pass } | State::Verified { pass, .. } | State::Different { pass, .. },
                Transition::Differed { differences, unreadable, .. },
            ) => Ok(State::Different { pass: *pass, differences: differences + unreadable }),
            (State::Copying { pass }, Transition::TargetDown { .. } | Transition::TargetUp { .. }) => {
                Ok(State::Copying { pass: *pass })
            }
            // The only way to a switch.
            (State::Verified { pass, .. }, Transition::SwitchIntended { lead, attempt, route, max_age_s }) => {
                Ok(State::Switching {
                    pass: *pass,
                    lead: lead.clone(),
                    attempt: attempt.clone(),
                    route: route.clone(),
                    max_age_s: *max_age_s,
                })
            }
            (State::Switching { pass, lead, max_age_s, .. }, Transition::Switched { lead: shown }) if lead == shown => {
                Ok(State::Switched { pass: *pass, lead: lead.clone(), max_age_s: *max_age_s })
            }
            (State::Switching { pass, .. }, Transition::SwitchAbandoned { .. }) => Ok(State::Copied { pass: *pass }),
            (State::Switched { pass, lead, .. }, Transition::CutOver { late, .. }) => {
                Ok(State::CutOver { pass: *pass, lead: lead.clone(), late: *late })
            }
            (state, Transition::Aborted) if state.may_begin() || matches!(state, State::Copying { .. }) => {
                Ok(State::Aborted { pass: state.pass() })
            }
            _ => Err(illegal()),
        }
    }

    /// Folds events, in order, into the resulting state.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Transition>) -> Result<State, IllegalTransition> {
        events.into_iter().try_fold(State::default(), |state, event| state.apply(event))
    }

    /// The pass that began last; 0 before the first.
    pub fn pass(&self) -> u64 {
        match self {
            State::Pending => 0,
            State::Copying { pass }
            | State::Incomplete { pass, .. }
            | State::Copied { pass }
            | State::Different { pass, .. }
            | State::Verified { pass, .. }
            | State::Switching { pass, .. }
            | State::Switched { pass, .. }
            | State::CutOver { pass, .. }
            | State::Aborted { pass } => *pass,
        }
    }

    /// Whether a new pass may begin: none is under way, and the source still leads.
    fn may_begin(&self) -> bool {
        !matches!(self, State::Copying { .. } | State::Switching { .. }) && self.moved_to().is_none()
    }

    /// Whether `goal` is reached. A lead that has moved is beyond every other goal.
    pub fn reached(&self, goal: Goal) -> bool {
        let verified = matches!(self, State::Verified { .. }) || self.moved_to().is_some();
        match goal {
            Goal::Copied => verified || matches!(self, State::Copied { .. } | State::Different { .. }),
            Goal::Verified => verified,
            Goal::CutOver => matches!(self, State::CutOver { .. }),
        }
    }

    /// The new lead, once the route shows it.
    pub fn moved_to(&self) -> Option<&Lead> {
        match self {
            State::Switched { lead, .. } | State::CutOver { lead, .. } => Some(lead),
            _ => None,
        }
    }

    /// The first step of a new run; `None` if nothing is left to do. An interrupted pass goes on; otherwise a new
    /// pass begins, because the source may have changed since the last one and paired records cost only their
    /// listing.
    pub fn first_step(&self) -> Option<Action> {
        match self {
            State::Copying { pass } => Some(Action::ResumePass(*pass)),
            State::Switching { .. } => Some(Action::SettleSwitch),
            State::Switched { .. } => Some(Action::Watch),
            State::CutOver { .. } => None,
            state => Some(Action::BeginPass(state.pass() + 1)),
        }
    }

    /// The next step within the same run; `None` if this run can do no more.
    pub fn next_step(&self, goal: Goal) -> Option<Action> {
        match self {
            State::Copied { .. } if goal > Goal::Copied => Some(Action::Verify),
            State::Verified { .. } if goal > Goal::Verified => Some(Action::CutOver),
            State::Switched { .. } if goal > Goal::Verified => Some(Action::Watch),
            _ => None,
        }
    }

    /// The state's name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Copying { .. } => "copying",
            State::Incomplete { .. } => "incomplete",
            State::Copied { .. } => "copied",
            State::Different { .. } => "different",
            State::Verified { .. } => "verified",
            State::Switching { .. } => "switching",
            State::Switched { .. } => "switched",
            State::CutOver { .. } => "cut_over",
            State::Aborted { .. } => "aborted",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lead(epoch: u64) -> Lead {
        Lead { epoch: Epoch(epoch), lead: SiteName::new("there").unwrap() }
    }

    fn intent(epoch: u64) -> Transition {
        Transition::SwitchIntended { lead: lead(epoch), attempt: "a".into(), route: "s3://c/r".into(), max_age_s: 1 }
    }

    fn down_at(place: u16, reason: &str) -> Transition {
        Transition::TargetDown { place: PlaceIndex(place), reason: reason.to_owned(), help: None }
    }

    fn verified() -> Transition {
        let (decided, blind_spots) = (Decided { bytes: 1, ..Decided::default() }, Vec::new());
        Transition::Verified { level: "bytes".into(), compared: 1, decided, blind_spots, waived: None }
    }

    fn any_event() -> impl Strategy<Value = Transition> {
        prop_oneof![
            (0_u64..4).prop_map(|pass| Transition::PassBegun { pass }),
            (0_u64..4, 0_u64..2).prop_map(|(pass, failed)| Transition::PassEnded { pass, failed }),
            Just(verified()),
            (0_u64..2, 0_u64..2).prop_map(|(differences, unreadable)| Transition::Differed {
                level: "bytes".into(),
                differences,
                unreadable,
                strays: 0
            }),
            (0_u64..2).prop_map(intent),
            Just(down_at(1, "denied")),
            Just(Transition::TargetUp { place: PlaceIndex(1) }),
            (0_u64..2).prop_map(|epoch| Transition::Switched { lead: lead(epoch) }),
            Just(Transition::SwitchAbandoned { reason: "no".into() }),
            (0_u64..2).prop_map(|late| Transition::CutOver { late }),
            Just(Transition::Aborted),
        ]
    }

    proptest! {
        /// For any events: `Verified` follows only a pass that ended clean and a verification after it, the route
        /// is switched only from there, and once the lead has moved no pass begins again.
        #[test]
        fn no_way_leads_around_the_verification(events in proptest::collection::vec(any_event(), 0..60)) {
            let mut state = State::default();
            let (mut clean_pass, mut proved, mut moved) = (false, false, false);
            for event in &events {
                let Ok(next) = state.apply(event) else { continue };
                match event {
                    Transition::PassBegun { .. } => {
                        prop_assert!(!moved, "a pass after the lead has moved: {events:?}");
                        (clean_pass, proved) = (false, false);
                    }
                    Transition::PassEnded { failed, .. } => clean_pass = *failed == 0,
                    Transition::Verified { .. } => {
                        prop_assert!(clean_pass);
                        proved = true;
                    }
                    Transition::Differed { .. } => {
                        prop_assert!(clean_pass);
                        proved = false;
                    }
                    Transition::SwitchIntended { .. } => {
                        prop_assert!(proved, "a switch without a verification: {events:?}");
                        // The next attempt needs a proof of its own.
                        proved = false;
                    }
                    Transition::Switched { .. } => moved = true,
                    Transition::SwitchAbandoned { .. } | Transition::Aborted => prop_assert!(!moved),
                    Transition::CutOver { .. } => prop_assert!(moved),
                    // Only within a pass, which must still end.
                    Transition::TargetDown { .. } | Transition::TargetUp { .. } => prop_assert!(!clean_pass),
                }
                if next.reached(Goal::Verified) {
                    prop_assert!(clean_pass, "verified without a clean pass: {events:?}");
                }
                state = next;
            }
            prop_assert_eq!(moved, state.moved_to().is_some());
        }
    }

    #[test]
    fn a_cut_pass_goes_on_and_an_ended_one_is_followed_by_a_new_one() {
        let begun = [Transition::PassBegun { pass: 1 }];
        assert_eq!(State::replay(&begun).unwrap().first_step(), Some(Action::ResumePass(1)));
        let ended = [Transition::PassBegun { pass: 1 }, Transition::PassEnded { pass: 1, failed: 2 }];
        assert_eq!(State::replay(&ended).unwrap().first_step(), Some(Action::BeginPass(2)));
        assert!(State::replay(&[Transition::PassBegun { pass: 2 }]).is_err(), "passes count from 1");
    }

    #[test]
    fn a_target_is_down_since_it_went_down_until_it_is_up_or_the_pass_has_ended() {
        let at = |event: Transition, ms: i64| (event, Timestamp(ms));
        let mut events = vec![
            at(Transition::PassBegun { pass: 1 }, 1),
            at(down_at(2, "denied"), 2),
            at(down_at(1, "silent"), 3),
            at(down_at(2, "still denied"), 4),
        ];
        let shown = |events: &[(Transition, Timestamp)]| -> Vec<_> {
            down(events).into_iter().map(|down| (down.place.0, down.since.0, down.reason)).collect()
        };
        assert_eq!(shown(&events), [(1, 3, "silent".to_owned()), (2, 2, "still denied".to_owned())]);
        events.push(at(Transition::TargetUp { place: PlaceIndex(1) }, 5));
        events.push(at(down_at(1, "silent"), 6));
        assert_eq!(shown(&events)[0], (1, 6, "silent".to_owned()));
        let state = State::replay(events.iter().map(|(event, _)| event)).unwrap();
        assert_eq!(state.first_step(), Some(Action::ResumePass(1)), "the pass goes on with them");
        events.push(at(Transition::PassBegun { pass: 2 }, 7));
        assert_eq!(shown(&events)[1], (2, 2, "still denied".to_owned()), "a pass for the others");
        events.push(at(Transition::PassEnded { pass: 2, failed: 0 }, 8));
        assert_eq!(shown(&events), []);
    }

    #[test]
    fn a_cut_switch_is_settled_first_and_a_moved_lead_stays() {
        let mut events = vec![
            Transition::PassBegun { pass: 1 },
            Transition::PassEnded { pass: 1, failed: 0 },
            verified(),
            intent(1),
        ];
        let switching = State::replay(&events).unwrap();
        assert_eq!(switching.first_step(), Some(Action::SettleSwitch));
        assert!(!switching.reached(Goal::Copied), "whether it was switched is not known");
        assert!(switching.apply(&Transition::Aborted).is_err(), "it must be settled first");
        assert!(switching.apply(&Transition::Switched { lead: lead(2) }).is_err(), "another epoch is another switch");
        let abandoned = switching.apply(&Transition::SwitchAbandoned { reason: "no".into() }).unwrap();
        assert_eq!(abandoned.first_step(), Some(Action::BeginPass(2)));
        events.push(Transition::Switched { lead: lead(1) });
        assert_eq!(State::replay(&events).unwrap().first_step(), Some(Action::Watch));
        events.push(Transition::CutOver { late: 0 });
        let over = State::replay(&events).unwrap();
        assert_eq!((over.first_step(), over.reached(Goal::CutOver)), (None, true));
        assert!(over.apply(&Transition::Aborted).is_err(), "there is no way back before the switch");
    }
}
