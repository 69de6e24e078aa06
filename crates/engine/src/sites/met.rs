//! The directories that a migration has opened, and what operators said about its claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use migrate_core::model::DatasetName;
use migrate_store::file::Identity;

/// What operators said about claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// The operator, as `user@machine`.
    pub(crate) by: Option<String>,
    /// Datasets to take over from the ledgers that drive them.
    pub(crate) take_over: BTreeSet<DatasetName>,
}

/// The directories that a migration has opened, by resolved path.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// The directories in the ledger.
    pub(crate) known: BTreeMap<String, Identity>,
    /// The directories that this process has opened and that the ledger does not hold yet.
    pub(crate) found: BTreeMap<String, Identity>,
    /// Whether the operator accepts the directories that are there now.
    pub(crate) accepted: bool,
    /// The migration that this process drives, if any.
    pub(crate) state: Option<Driven>,
}

/// The migration that a process drives.
#[derive(Debug)]
pub(crate) struct Driven {
    /// The directory of the ledger's file.
    pub(crate) directory: PathBuf,
    /// The ledger's id.
    pub(crate) ledger: String,
}

impl Met {
    /// The directory that must be at a path; `None` if any may be.
    pub(crate) fn expected(&self, path: &str) -> Option<&Identity> {
        if self.accepted { None } else { self.known.get(path) }
    }

    /// Notes a directory that was opened or made.
    pub(crate) fn note(&mut self, path: String, identity: &Identity) {
        if self.known.get(&path).is_none_or(|known| !known.agrees_with(identity)) {
            self.found.insert(path, identity.clone());
        }
    }
}
