//! What is due for a dataset: [`Goal`] and [`Action`].

use serde::{Deserialize, Serialize};

use crate::lifecycle::{event::Lead, moving::Moving, syncing::Stage, whole::Lifecycle};

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
    /// Compare every follower with its lead.
    Verify,
    /// Cut over, once the phase is approved.
    CutOver,
    /// Find out whether the route was switched.
    SettleSwitch,
    /// Take back the steps of a move that was cut off before its switch.
    UndoMove,
    /// Wait until every client has read the route again, then look at the old lead.
    Watch,
}

impl Lifecycle {
    /// The new lead, once the route shows it.
    pub fn moved_to(&self) -> Option<&Lead> {
        self.leading.moved.as_ref()
    }

    /// Whether `goal` is reached. A lead that has moved is beyond every other goal.
    pub fn reached(&self, goal: Goal) -> bool {
        let is_switching = matches!(self.moving, Moving::Switching { .. });
        let has_moved = self.moved_to().is_some();
        match goal {
            _ if is_switching => false,
            Goal::Copied => {
                has_moved
                    || matches!(self.syncing.stage, Stage::Copied | Stage::Different { .. } | Stage::Verified { .. })
            }
            Goal::Verified => has_moved || matches!(self.syncing.stage, Stage::Verified { .. }),
            Goal::CutOver => has_moved && self.moving.is_at_rest(),
        }
    }

    /// Whether the followers of a lead that has moved are as far as `goal` asks, by the last pass from it; also before
    /// the first one.
    pub fn follows(&self, goal: Goal) -> bool {
        match &self.syncing.stage {
            _ if self.moved_to().is_none() => true,
            Stage::Unseen | Stage::Verified { .. } => true,
            Stage::Copied | Stage::Different { .. } => goal == Goal::Copied,
            Stage::Copying | Stage::Incomplete { .. } | Stage::GivenUp => false,
        }
    }

    /// Whether the last verification found every follower equal to the lead that leads now.
    pub fn is_verified(&self) -> bool {
        matches!(self.syncing.stage, Stage::Verified { .. }) && !matches!(self.moving, Moving::Switching { .. })
    }

    /// The first step of a new run; `None` if nothing is left to do. A move that was cut off is settled or taken back
    /// first. An interrupted pass goes on; otherwise a new pass begins, because the lead may have changed since the
    /// last one and paired records cost only their listing. `has_followers` tells whether any place is to follow a lead
    /// that has moved.
    pub fn first_step(&self, has_followers: bool) -> Option<Action> {
        match (&self.moving, &self.syncing.stage) {
            (Moving::Switching { .. }, _) => Some(Action::SettleSwitch),
            (Moving::Open(_), _) => Some(Action::UndoMove),
            (Moving::Watching { .. }, _) => Some(Action::Watch),
            (Moving::AtRest, _) if self.moved_to().is_some() && !has_followers => None,
            (Moving::AtRest, Stage::Copying) => Some(Action::ResumePass(self.syncing.pass)),
            (Moving::AtRest, _) => Some(Action::BeginPass(self.syncing.pass + 1)),
        }
    }

    /// The next step within the same run; `None` if this run can do no more.
    pub fn next_step(&self, goal: Goal) -> Option<Action> {
        match (&self.moving, &self.syncing.stage) {
            (Moving::Watching { .. }, _) if goal > Goal::Verified => Some(Action::Watch),
            (Moving::AtRest, Stage::Copied) if goal > Goal::Copied => Some(Action::Verify),
            (Moving::AtRest, Stage::Verified { .. }) if goal > Goal::Verified && self.moved_to().is_none() => {
                Some(Action::CutOver)
            }
            _ => None,
        }
    }
}
