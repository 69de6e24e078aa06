//! [`State`]: the word for a dataset's lifecycle that people and scripts read.

use serde::Serialize;

use crate::lifecycle::{
    event::Lead,
    moving::Moving,
    syncing::{Stage, Syncing},
    whole::Lifecycle,
};

/// Where a dataset stands, in one word and its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
    /// A pass ended, and everything it saw is at the followers.
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
        /// Records that it compared, over all followers: if there were none, it proved nothing.
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
        /// How far its followers are, once a pass from this lead has begun.
        #[serde(skip_serializing_if = "Option::is_none")]
        following: Option<Box<State>>,
    },
    /// The operator gave it up; it begins anew with the next run.
    Aborted {
        /// Number of the last pass; 0 if none had begun.
        pass: u64,
    },
}

impl Lifecycle {
    /// The word for it.
    pub fn state(&self) -> State {
        let pass = self.syncing.pass;
        match (&self.moving, &self.leading.moved) {
            (Moving::Switching { lead, attempt, route, max_age_s, .. }, _) => State::Switching {
                pass,
                lead: lead.clone(),
                attempt: attempt.clone(),
                route: route.clone(),
                max_age_s: *max_age_s,
            },
            (Moving::Watching { max_age_s, .. }, Some(lead)) => {
                State::Switched { pass, lead: lead.clone(), max_age_s: *max_age_s }
            }
            (_, Some(lead)) => {
                let following = (self.syncing.stage != Stage::Unseen).then(|| Box::new(State::of(&self.syncing)));
                State::CutOver { pass, lead: lead.clone(), late: self.leading.late, following }
            }
            (_, None) => State::of(&self.syncing),
        }
    }
}

impl State {
    /// The word for how far followers are.
    pub fn of(syncing: &Syncing) -> Self {
        let pass = syncing.pass;
        match &syncing.stage {
            Stage::Unseen => Self::Pending,
            Stage::GivenUp => Self::Aborted { pass },
            Stage::Copying => Self::Copying { pass },
            Stage::Incomplete { failed } => Self::Incomplete { pass, failed: *failed },
            Stage::Copied => Self::Copied { pass },
            Stage::Different { differences } => Self::Different { pass, differences: *differences },
            Stage::Verified { level, compared, .. } => {
                Self::Verified { pass, level: level.clone(), compared: *compared }
            }
        }
    }

    /// How far the followers are, also once the lead has moved.
    pub fn of_followers(&self) -> &Self {
        match self {
            Self::CutOver { following: Some(following), .. } => following,
            state => state,
        }
    }

    /// The state's name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Copying { .. } => "copying",
            Self::Incomplete { .. } => "incomplete",
            Self::Copied { .. } => "copied",
            Self::Different { .. } => "different",
            Self::Verified { .. } => "verified",
            Self::Switching { .. } => "switching",
            Self::Switched { .. } => "switched",
            Self::CutOver { .. } => "cut_over",
            Self::Aborted { .. } => "aborted",
        }
    }
}
