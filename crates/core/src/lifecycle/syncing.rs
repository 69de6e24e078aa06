//! [`Syncing`]: how far the copy from the current lead to its followers is.

use crate::{lifecycle::event::MoveId, model::Epoch};

/// How far the followers are, by the passes from the current lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Syncing {
    /// The pass that began last, counted from 1 over all leads; 0 before the first.
    pub pass: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far the last pass from the current lead is, and what is known after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stage {
    /// No pass has begun since this lead leads.
    #[default]
    Unseen,
    /// The operator gave the dataset up; it begins anew with the next run.
    GivenUp,
    /// A pass is under way.
    Copying,
    /// The pass ended, but some records failed.
    Incomplete {
        /// How many records failed.
        failed: u64,
    },
    /// The pass ended, and everything it saw is at the followers.
    Copied,
    /// The last verification after the pass found differences.
    Different {
        /// Differences, plus records that could not be judged.
        differences: u64,
    },
    /// The last verification after the pass found every follower equal to its lead.
    Verified {
        /// The level of that verification.
        level: String,
        /// Records that it compared, over all followers: if there were none, it proved nothing.
        compared: u64,
        /// The epoch of the lead that it compared with.
        epoch: Epoch,
        /// The move that it was made for, if any: it proves nothing for another move.
        of: Option<MoveId>,
    },
}

impl Syncing {
    /// The next pass begins; `None` if it is not the next one. It may begin while one is under way that a follower holds
    /// up: it walks every key anew at every follower, so nothing is missed.
    pub(super) fn begin(&self, pass: u64) -> Option<Self> {
        (pass == self.pass + 1).then_some(Self { pass, stage: Stage::Copying })
    }

    /// The pass under way ends.
    pub(super) fn end(&self, pass: u64, failed: u64) -> Option<Self> {
        (self.stage == Stage::Copying && pass == self.pass)
            .then(|| self.at(if failed == 0 { Stage::Copied } else { Stage::Incomplete { failed } }))
    }

    /// A verification ends; `None` unless a pass has ended clean before it.
    pub(super) fn compared(&self, found: Stage) -> Option<Self> {
        matches!(self.stage, Stage::Copied | Stage::Different { .. } | Stage::Verified { .. }).then(|| self.at(found))
    }

    /// The same passes at another stage.
    pub(super) fn at(&self, stage: Stage) -> Self {
        Self { pass: self.pass, stage }
    }
}
