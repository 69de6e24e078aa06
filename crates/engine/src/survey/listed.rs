//! [`Listed`]: one record that a run would touch, for a person or a program that wants to see each.

use serde::Serialize;
use tokio::sync::mpsc;

use migrate_core::{
    diff::Change,
    model::{DatasetName, Key},
    plan::Extra,
};

/// Records that are listed and not yet taken. A listing waits for its reader, so that memory stays bounded.
pub const LISTED_WAITING_MAX: usize = 1024;

/// One record that a run would touch at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The dataset's name in the plan.
    pub dataset: DatasetName,
    /// The target's location.
    pub target: String,
    /// The record's key, hidden if the plan says so.
    pub key: Key,
    /// What a run would do with it.
    pub does: Does,
    /// The bytes to write, at most; 0 of a deletion.
    pub bytes: u64,
}

/// What a run would do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Write it: the target lacks it.
    Create,
    /// Write over another version.
    Replace,
    /// Compare it first; copy it if it differs or cannot be compared.
    Compare,
    /// Delete it.
    Delete,
}

impl Does {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Replace, Self::Compare, Self::Delete];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Compare => "compare",
            Self::Delete => "delete",
        }
    }

    /// What a run would do about a change; `None` if it leaves the record as it is.
    pub(super) fn about(change: Change, extra: Extra) -> Option<Self> {
        match change {
            Change::Create => Some(Self::Create),
            Change::Replace => Some(Self::Replace),
            Change::Look | Change::Review => Some(Self::Compare),
            Change::Delete => Some(Self::Delete),
            Change::Extra if extra == Extra::Delete => Some(Self::Delete),
            Change::Same | Change::Extra | Change::Stray | Change::Absent | Change::Gone => None,
        }
    }
}

/// Where the records go that a survey lists; nowhere if nobody asked for them.
#[derive(Debug, Clone, Default)]
pub(super) struct List(pub(super) Option<mpsc::Sender<Listed>>);

impl List {
    /// Hands records on, and waits for the reader.
    pub(super) async fn hand_on(&self, listed: Vec<Listed>) {
        let Some(list) = &self.0 else { return };
        for one in listed {
            // A reader that has gone wants no more.
            if list.send(one).await.is_err() {
                return;
            }
        }
    }
}
