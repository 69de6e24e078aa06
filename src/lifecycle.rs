//! The state machine of a dataset: which events are legal when, and what is due next.
//!
//! The ledger stores events, never states; a run loads them, folds them with [`State::apply`] and
//! asks [`State::next_step`] what to do. So there is no recovery code: going on after a crash and
//! starting afresh are the same thing.

use serde::{Deserialize, Serialize};

/// Something that happened to a dataset, durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A pass over all keys began: both sides are listed and what differs is copied.
    PassBegun {
        /// Counts passes from 1.
        pass: u64,
    },
    /// Every shard of the pass came to its end, and so did what it had deferred.
    PassEnded {
        /// The pass.
        pass: u64,
        /// Records that could not be brought over.
        failed: u64,
    },
    /// A verification found every follower equal to its lead.
    Verified {
        /// `listing`, `checksum` or `bytes`.
        level: String,
        /// Records compared, over all targets.
        compared: u64,
    },
    /// A verification found differences, or could not read everything.
    Differed {
        /// `listing`, `checksum` or `bytes`.
        level: String,
        /// Differences found, over all targets.
        differences: u64,
        /// Records that could not be read, which makes them unproved, not equal.
        unreadable: u64,
    },
}

/// Where a dataset stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nothing has begun.
    #[default]
    Pending,
    /// A pass is under way.
    Copying {
        /// The pass.
        pass: u64,
    },
    /// A pass ended, but some records failed.
    Incomplete {
        /// The pass.
        pass: u64,
        /// Records that failed.
        failed: u64,
    },
    /// A pass ended and everything it saw was brought over.
    Copied {
        /// The pass.
        pass: u64,
    },
    /// The last verification after the pass found differences.
    Different {
        /// The pass.
        pass: u64,
        /// Differences and unreadable records.
        differences: u64,
    },
    /// The last verification after the pass found every follower equal to its lead.
    Verified {
        /// The pass.
        pass: u64,
        /// The level of that verification.
        level: String,
    },
}

/// How far a run is to take a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Copied, not proved.
    Copied,
    /// Proved equal.
    Verified,
}

/// What a run does next with a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Begin this pass.
    BeginPass(u64),
    /// Go on with this pass.
    ResumePass(u64),
    /// Verify.
    Verify,
}

/// An event that the state does not allow: a defect of this tool or a damaged ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not legal in state {state:?}")]
pub struct IllegalEvent {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

impl State {
    /// The state after `event`.
    pub fn apply(&self, event: &Event) -> Result<State, IllegalEvent> {
        let illegal = || IllegalEvent { state: self.clone(), event: event.clone() };
        match (self, event) {
            (State::Copying { .. }, Event::PassBegun { .. }) => Err(illegal()),
            (state, Event::PassBegun { pass }) if *pass == state.pass() + 1 => Ok(State::Copying { pass: *pass }),
            (State::Copying { pass }, Event::PassEnded { pass: ended, failed }) if pass == ended => Ok(match failed {
                0 => State::Copied { pass: *pass },
                _ => State::Incomplete { pass: *pass, failed: *failed },
            }),
            (
                State::Copied { pass } | State::Verified { pass, .. } | State::Different { pass, .. },
                Event::Verified { level, .. },
            ) => Ok(State::Verified { pass: *pass, level: level.clone() }),
            (
                State::Copied { pass } | State::Verified { pass, .. } | State::Different { pass, .. },
                Event::Differed { differences, unreadable, .. },
            ) => Ok(State::Different { pass: *pass, differences: differences + unreadable }),
            _ => Err(illegal()),
        }
    }

    /// Folds events into the state that they lead to.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<State, IllegalEvent> {
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
            | State::Verified { pass, .. } => *pass,
        }
    }

    /// Whether `goal` is reached.
    pub fn reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Copied => matches!(self, State::Copied { .. } | State::Different { .. } | State::Verified { .. }),
            Goal::Verified => matches!(self, State::Verified { .. }),
        }
    }

    /// What a new run starts with. A pass that was cut short goes on; otherwise a new pass begins,
    /// because the source may have changed since the last one and paired records cost only their
    /// listing.
    pub fn first_step(&self) -> Step {
        match self {
            State::Copying { pass } => Step::ResumePass(*pass),
            state => Step::BeginPass(state.pass() + 1),
        }
    }

    /// What comes after a step, within the same run; `None` where this run has done what it can.
    pub fn next_step(&self, goal: Goal) -> Option<Step> {
        match self {
            State::Copied { .. } if goal > Goal::Copied => Some(Step::Verify),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0_u64..4).prop_map(|pass| Event::PassBegun { pass }),
            (0_u64..4, 0_u64..2).prop_map(|(pass, failed)| Event::PassEnded { pass, failed }),
            Just(Event::Verified { level: "bytes".into(), compared: 1 }),
            (0_u64..2, 0_u64..2).prop_map(|(differences, unreadable)| Event::Differed {
                level: "bytes".into(),
                differences,
                unreadable
            }),
        ]
    }

    proptest! {
        /// Whatever is thrown at the machine, `Verified` follows only a pass that ended clean and a
        /// verification after it.
        #[test]
        fn verified_needs_a_clean_pass_and_a_verification(
            events in proptest::collection::vec(any_event(), 0..40),
        ) {
            let mut state = State::default();
            let mut clean_since_pass = false;
            for event in &events {
                let Ok(next) = state.apply(event) else { continue };
                match event {
                    Event::PassBegun { .. } => clean_since_pass = false,
                    Event::PassEnded { failed, .. } => clean_since_pass = *failed == 0,
                    Event::Verified { .. } | Event::Differed { .. } => prop_assert!(clean_since_pass),
                }
                if next.reached(Goal::Verified) {
                    prop_assert!(clean_since_pass, "verified without a clean pass: {events:?}");
                }
                state = next;
            }
        }
    }

    #[test]
    fn a_cut_pass_goes_on_and_an_ended_one_is_followed_by_a_new_one() {
        let begun = [Event::PassBegun { pass: 1 }];
        assert_eq!(State::replay(&begun).unwrap().first_step(), Step::ResumePass(1));
        let ended = [Event::PassBegun { pass: 1 }, Event::PassEnded { pass: 1, failed: 2 }];
        assert_eq!(State::replay(&ended).unwrap().first_step(), Step::BeginPass(2));
        assert!(State::replay(&[Event::PassBegun { pass: 2 }]).is_err(), "passes count from 1");
    }
}
