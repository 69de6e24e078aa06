//! What operators say to a migration: approvals, requests to the process that drives it, and limits that replace
//! the plan's.
//!
//! A request is the only thing that a process without the lock writes. It carries an id of its own, so that the
//! command that left it finds its answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use migrate_core::model::{DatasetName, Key, PhaseName, SiteName, Timestamp};

/// An operator's approval to cut over a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The phase's name in the plan.
    pub phase: PhaseName,
    /// Digest of what was approved: if the plan's cutover changes, the approval no longer holds.
    pub binds: String,
    /// The operator who approved.
    pub by: String,
    /// Milliseconds since 1970 UTC.
    pub at: Timestamp,
}

/// What a command asks of the process that drives the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// The phase may be cut over.
    Approve {
        /// The phase's name in the plan.
        phase: PhaseName,
        /// Digest of what is approved, from the operator's plan.
        binds: String,
    },
    /// The approval of the phase no longer holds.
    Withdraw {
        /// The phase's name in the plan.
        phase: PhaseName,
    },
    /// Change limits.
    Limits {
        /// The site or dataset that they limit.
        of: LimitsOf,
        /// New values, by key of the plan's `limits`.
        settings: BTreeMap<String, Setting>,
    },
    /// Late writes need no further attention.
    Resolve {
        /// The late writes, by dataset; all open ones of a dataset without keys.
        late: Vec<(DatasetName, Option<Vec<Key>>)>,
        /// Why, if the operator gave a reason.
        reason: Option<String>,
    },
    /// Give up these datasets.
    Abort {
        /// The datasets, each with its meaning in the operator's plan.
        datasets: BTreeMap<DatasetName, Value>,
        /// Whether to delete what was written at their targets.
        discard: bool,
    },
}

/// The owner of limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsOf {
    /// A site: limits everything that is done there.
    Site(SiteName),
    /// One dataset.
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
    /// Back to the value in the plan.
    Plan,
    /// No limit.
    Unlimited,
    /// This value, in the form of the plan.
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

/// A request and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// Unique in the ledger.
    pub id: String,
    /// The operator who asked.
    pub by: String,
    /// Milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// What the operator asks for.
    pub request: Request,
    /// The answer, once there is one.
    pub answer: Option<Answer>,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was carried out.
    pub done: bool,
    /// What was done, or why it was not.
    pub detail: String,
}
