//! The directories that a migration has met.

use std::{collections::BTreeMap, path::PathBuf};

use migrate_store::file::Identity;

/// The directories that a migration has met, by resolved path.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// As the ledger knows them.
    pub(crate) known: BTreeMap<String, Identity>,
    /// As this process has found them, where the ledger does not say so yet.
    pub(crate) found: BTreeMap<String, Identity>,
    /// The operator says that the directories that are there are meant.
    pub(crate) accepted: bool,
    /// What this process drives, if it does.
    pub(crate) state: Option<Driven>,
}

/// The migration that a process drives.
#[derive(Debug)]
pub(crate) struct Driven {
    /// The state directory.
    pub(crate) directory: PathBuf,
    /// The name of the ledger.
    pub(crate) ledger: String,
}

impl Met {
    /// The directory that must be at a path.
    pub(crate) fn expected(&self, path: &str) -> Option<&Identity> {
        if self.accepted { None } else { self.known.get(path) }
    }

    /// Notes a directory that was opened, or made.
    pub(crate) fn note(&mut self, path: String, identity: &Identity) {
        if self.known.get(&path).is_none_or(|known| !known.agrees_with(identity)) {
            self.found.insert(path, identity.clone());
        }
    }
}
