//! What operators say to a migration: approvals, requests to the process that drives it, and limits
//! that hold in place of the plan's.
//!
//! A request is the one thing that a process without the lock writes. It carries a name of its own, so
//! that whoever left it finds its answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use migrate_core::model::{DatasetName, Key, PhaseName, SiteName, Timestamp};

/// The word of an operator that a phase may be cut over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The phase.
    pub phase: PhaseName,
    /// What was approved, as a digest: where the plan's cutover changes, it no longer holds.
    pub binds: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What a command asks of the process that drives the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// The phase may be cut over.
    Approve {
        /// The phase.
        phase: PhaseName,
        /// What is approved, as a digest of the plan that the operator has before him.
        binds: String,
    },
    /// The approval of the phase no longer holds.
    Withdraw {
        /// The phase.
        phase: PhaseName,
    },
    /// Other limits are to hold.
    Limits {
        /// Whose.
        of: LimitsOf,
        /// What, by key.
        settings: BTreeMap<String, Setting>,
    },
    /// Late writes need no further attention.
    Resolve {
        /// Which, by dataset; all that are open of one where no keys are named.
        late: Vec<(DatasetName, Option<Vec<Key>>)>,
        /// Why, where it was said.
        reason: Option<String>,
    },
    /// These datasets are given up.
    Abort {
        /// Which, and what each means in the plan that the operator has before him.
        datasets: BTreeMap<DatasetName, Value>,
        /// Delete what was written at their targets.
        discard: bool,
    },
}

/// Whose limits they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsOf {
    /// A site's, for everything that is done there.
    Site(SiteName),
    /// A dataset's.
    Dataset(DatasetName),
}

impl std::fmt::Display for LimitsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Site(site) => write!(f, "site {site}"),
            Self::Dataset(dataset) => write!(f, "dataset {dataset}"),
        }
    }
}

/// One limit, in place of the plan's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// What the plan says.
    Plan,
    /// No limit.
    Unlimited,
    /// This, as a plan would write it.
    To(String),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plan => "plan",
            Self::Unlimited => "none",
            Self::To(value) => value,
        })
    }
}

/// A request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// Its name, unique in the ledger.
    pub id: String,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub request: Request,
    /// The answer, once there is one.
    pub answer: Option<Answer>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// It was carried out.
    pub done: bool,
    /// What was done, or why it was not.
    pub detail: String,
}
