//! The runs: the commands that drove the migration, as they are written and returned.

use migrate_core::{
    model::Timestamp,
    report::{RequestsAtOnce, RunWork},
};

/// One durable fact of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The run's id, unique in the ledger.
    pub id: String,
    /// What happened.
    pub step: RunStep,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStep {
    /// It begins.
    Began {
        /// The command as an operator types it; no secrets.
        command: String,
        /// The operator.
        by: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// It has done so much by now. A run that has ended does no more.
    Progressed {
        /// What it has done since it began.
        work: RunWork,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// So many requests run at once at the sites that it uses. Only the last word of the last run is kept.
    AtOnce {
        /// By site.
        sites: Vec<RequestsAtOnce>,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// It ends.
    Ended {
        /// How, in a word.
        how: String,
        /// What it has done since it began.
        work: RunWork,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Counts the runs of the ledger, from 1.
    pub number: u64,
    /// The run's id, unique in the ledger.
    pub id: String,
    /// The command as an operator types it.
    pub command: String,
    /// The operator.
    pub by: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub began: Timestamp,
    /// What it has done, by the last time that it said so.
    pub work: RunWork,
    /// When it last said so: once it has ended, its end. Milliseconds since 1970 UTC.
    pub seen: Timestamp,
    /// How it ended, in a word; `None` if it has not said: it is under way, or its process was killed or crashed.
    pub ended: Option<String>,
}
