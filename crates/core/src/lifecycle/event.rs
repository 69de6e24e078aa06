//! [`Transition`]: a durable event of a dataset, and what it names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Decided, Epoch, PlaceIndex, SiteName};

/// The name of a move of a lead: no two moves have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MoveId(pub String);

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A step of a move, in the order in which the datasets of a phase take them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// All is proved, and the route can be switched and shows the lead that moves.
    Gate,
    /// Nothing is to be written at the old lead for some time.
    Quiet,
    /// The stream of a table's old lead shows nothing more, and what it showed was brought over.
    Drain,
    /// Both sides are compared in full.
    FinalVerify,
    /// Both leads are looked at once more.
    LastLook,
    /// The route shows the new lead.
    Switch,
    /// Every client has read the route again, and the old lead was looked at.
    Watch,
}

impl StepName {
    /// All steps, in their order.
    pub const ALL: [Self; 7] =
        [Self::Gate, Self::Quiet, Self::Drain, Self::FinalVerify, Self::LastLook, Self::Switch, Self::Watch];

    /// The step's name, as in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Quiet => "quiet",
            Self::Drain => "drain",
            Self::FinalVerify => "final verify",
            Self::LastLook => "last look",
            Self::Switch => "switch",
            Self::Watch => "watch",
        }
    }
}

/// What happens to a step of a move. Each is in the ledger before what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It is about to act.
    Intended,
    /// It has acted.
    Applied,
    /// It was taken back.
    Undone,
}

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
    /// A follower takes no part in the pass under way any more: the pass goes on for the others, and does not end before
    /// it has caught up.
    TargetDown {
        /// Its place.
        place: PlaceIndex,
        /// Why, for people; its keys are hidden if the plan says so.
        reason: String,
        /// What the operator can do about it, if that is known.
        help: Option<String>,
    },
    /// A follower that was down takes part again.
    TargetUp {
        /// Its place.
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
        /// Kinds of properties that could be lost at each target, as numbers of [`Aspects`](crate::model::Aspects).
        waived: Vec<u8>,
        /// The epoch of the lead that was compared with.
        epoch: Epoch,
        /// The move that it was made for; `None` if for none.
        of: Option<MoveId>,
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
        /// Followers that were not looked through to their end, each with the reason, for people: nothing is known of
        /// what they were not seen to hold.
        unlisted: Vec<(String, String)>,
    },
    /// A move of the lead begins.
    MoveBegun {
        /// The move's name, which no other move has.
        id: MoveId,
        /// The site that is to lead.
        to: SiteName,
    },
    /// A step of the open move is about to act, has acted, or was taken back. The marks of the step `switch` are the
    /// three events below, which hold what settling and undoing it need.
    Step {
        /// The move.
        id: MoveId,
        /// The step.
        step: StepName,
        /// What happens to it.
        mark: Mark,
    },
    /// The open move ended without a switch, and none of its steps stands.
    MoveEnded {
        /// The move.
        id: MoveId,
        /// Why, for people.
        reason: String,
    },
    /// The route is about to be switched. Recorded before its store gets the request.
    SwitchIntended {
        /// The move.
        id: MoveId,
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
pub fn last_level<'a>(events: impl DoubleEndedIterator<Item = &'a Transition>) -> Option<(&'a str, &'a [u8])> {
    events.rev().find_map(|event| match event {
        Transition::Verified { level, waived, .. } => Some(Some((level.as_str(), waived.as_slice()))),
        Transition::Differed { .. } | Transition::PassBegun { .. } => Some(None),
        _ => None,
    })?
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
