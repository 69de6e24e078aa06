//! A dataset's places: their identity, whether each exists, and what its endpoint can do.
//!
//! # The identity of a directory
//!
//! A directory is named by its resolved path: absolute, every symbolic link followed. So one plan file in two
//! folders means two bodies of data, although its text is the same. A path alone tells little: a disk that
//! is not mounted leaves an empty folder there, or none. So the ledger also keeps the [`Identity`] of every
//! directory that a run has opened, before anything is written there. If a path now leads to another directory, or
//! to none, every command refuses it, as a source and as a target, and makes no new one, unless the operator
//! accepts what is there (`--accept-places`).
//!
//! # Looks
//!
//! A look makes and records nothing; at most it writes a scratch key in a bucket and removes it. `Sites::find` opens
//! every place as a source: when records are looked at, an empty store stands in for a target directory that a
//! run would make, which would hide whether it exists.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use crate::{
    clock::now,
    error::EngineError,
    journal::Journal,
    meaning::{base_of, directory_of, shown},
    sites::{
        connect::Role,
        met::{Driven, Met},
        opening::Sites,
        probed::{known, probe_name},
    },
};
use migrate_core::{
    item::KeyNames,
    model::KeyRange,
    plan::{Dataset, Location, Plan, Scheme, Site, Target},
};
use migrate_ledger::{Ledger, Record};
use migrate_store::{
    Capabilities, ErrorKind, ObjectStore, StoreError,
    file::{FileStore, Identity, TableDirectory},
    memory::MemoryStore,
    memory_table::MemoryTable,
    table::TableStore,
};

/// A bucket, directory or table that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// The directory's identity; `None` for a bucket or table.
    pub(crate) identity: Option<Identity>,
}

impl Sites {
    /// Takes the directories in the ledger as those that must be at their paths.
    pub(crate) async fn adopt_places(&self, ledger: Option<&Ledger>) -> Result<(), EngineError> {
        let Some(ledger) = ledger else { return Ok(()) };
        for (path, identity) in ledger.directories().await? {
            // Only a later build writes an identity that this build cannot read, and its ledger is refused.
            if let Ok(identity) = serde_json::from_str(&identity) {
                self.met().known.insert(path, identity);
            }
        }
        Ok(())
    }

    /// Takes the migration of a ledger as the one that this process drives: listings are sorted in its state
    /// directory, and scratch keys get its id.
    pub(crate) async fn drive(&self, ledger: &Ledger) -> Result<(), EngineError> {
        let directory = ledger.path().parent().unwrap_or(Path::new(".")).to_owned();
        let state = Driven { directory, ledger: ledger.id().await? };
        self.met().state = Some(state);
        Ok(())
    }

    /// The id of the migration that this process drives, if any. Scratch objects are named after it, so that a later
    /// run removes those that an earlier one left.
    pub(crate) fn migration(&self) -> Option<String> {
        self.met().state.as_ref().map(|state| state.ledger.clone())
    }

    /// Accepts the directories that are there now, even if others were opened before.
    pub fn accept_places(&self) {
        self.met().accepted = true;
    }

    /// Records newly opened directories, before anything is written there.
    pub(crate) async fn record_places(&self, journal: &Journal) -> Result<(), EngineError> {
        let (found, other) = {
            let mut met = self.met();
            let found = std::mem::take(&mut met.found);
            if found.is_empty() {
                return Ok(());
            }
            let other = found.keys().any(|path| met.known.contains_key(path));
            met.known.extend(found.clone());
            (found, other)
        };
        let seen = |(path, identity)| Record::DirectorySeen {
            path,
            identity: serde_json::to_string(&identity).expect("an identity is plain data"),
            at: now(),
        };
        let mut records: Vec<_> = found.into_iter().map(seen).collect();
        if other {
            // The approvals were for another directory's cutover.
            let approvals = journal.ledger.approvals().await?;
            records.extend(approvals.into_iter().map(|one| Record::ApprovalWithdrawn { phase: one.phase }));
        }
        Ok(journal.commit(records).await?)
    }

    /// Opens a directory, if it is the one that is expected there; makes one only for a target, if none is expected.
    pub(crate) fn directory(
        &self,
        plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
    ) -> Result<Arc<dyn ObjectStore>, EngineError> {
        let (base, root) = self.paths(plan, site, at)?;
        let location = at.to_string();
        let store = match self.must_be_met(&root, at)? {
            // The process that made it may have died before it was durable.
            Some(_) if matches!(role, Role::Target) => FileStore::open_or_create(root.clone(), location)?,
            Some(store) => store,
            None => match role {
                Role::Source | Role::OldLead | Role::Route { .. } => FileStore::open(root.clone(), location)?,
                Role::Target => FileStore::open_or_create(root.clone(), location)?,
                // A directory that a run would make counts as empty.
                Role::Look => {
                    return Ok(Arc::new(MemoryStore::new(&location).with_capabilities(FileStore::CAPABILITIES)));
                }
            },
        };
        let store = if matches!(role, Role::Target | Role::OldLead | Role::Route { writes: true }) {
            store.sweeping()
        } else {
            store
        };
        self.note_met(at, &base, &root, store.identity());
        Ok(match &self.met().state {
            Some(state) => Arc::new(store.sorting_in(&state.directory)),
            None => Arc::new(store),
        })
    }

    /// Opens a directory that holds a table. `names` are its key attributes, if another place has told them.
    pub(crate) fn table_directory(
        &self,
        plan: &Plan,
        at: &Location,
        role: Role,
        names: Option<KeyNames>,
    ) -> Result<Arc<dyn TableStore>, EngineError> {
        let (base, root) = self.paths(plan, Self::site(plan, at)?, at)?;
        let location = at.to_string();
        let is_there = self.must_be_met(&root, at)?.is_some();
        let table = match role {
            Role::Target => TableDirectory::open_or_create(root.clone(), &location, names)?,
            // A directory that a run would make holds no table.
            Role::Look if !is_there => return Ok(Arc::new(MemoryTable::new(&location))),
            _ => TableDirectory::open(root.clone(), &location, names)?,
        };
        self.note_met(at, &base, &root, table.identity());
        Ok(Arc::new(table))
    }

    /// The paths of a site's base and of a place in it. The base must be the one that was met.
    fn paths(&self, plan: &Plan, site: &Site, at: &Location) -> Result<(PathBuf, PathBuf), EngineError> {
        let no_directory =
            || EngineError::Site { site: site.name.to_string(), detail: "it has no directory in the plan".to_owned() };
        let base = base_of(plan, at).ok_or_else(no_directory)?;
        let root = directory_of(plan, at).ok_or_else(no_directory)?;
        // If a disk is not mounted, all its directories are missing, also those that were never opened: the base is
        // checked first, so that no new one is made in their place.
        match self.must_be_met(&base, at) {
            // A base that may be passed but not read has no identity to compare.
            Err(EngineError::Store(error)) if error.kind() == ErrorKind::Denied => {}
            met => _ = met?,
        }
        Ok((base, root))
    }

    /// Notes which directories were opened.
    fn note_met(&self, at: &Location, base: &Path, root: &Path, identity: &Identity) {
        let base_there = FileStore::open(base.to_owned(), at.to_string());
        let mut met = self.met();
        if let Ok(base_there) = base_there {
            met.note(shown(base), base_there.identity());
        }
        met.note(shown(root), identity);
    }

    /// Opens the directory at a path, which must be the expected one; `None` if there is none and none is expected.
    fn must_be_met(&self, path: &Path, at: &Location) -> Result<Option<FileStore>, EngineError> {
        let known = self.met().expected(&shown(path)).cloned();
        let changed = |found: String, known: Identity| EngineError::PlaceChanged {
            location: at.to_string(),
            path: shown(path),
            found,
            known: known.to_string(),
        };
        match (FileStore::open(path.to_owned(), at.to_string()), known) {
            (Ok(store), Some(known)) if !known.agrees_with(store.identity()) => {
                Err(changed(format!("it is another one, {}", store.identity()), known))
            }
            (Err(error), Some(known)) if error.kind() == ErrorKind::NoContainer => {
                Err(changed("it is not there".to_owned(), known))
            }
            (Err(error), None) if error.kind() == ErrorKind::NoContainer => Ok(None),
            (opened, _) => Ok(Some(opened?)),
        }
    }

    fn met(&self) -> std::sync::MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket or directory of a location, or the table of a route; `None` if it does not exist.
    pub(crate) async fn find(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        at: &Location,
    ) -> Result<Option<Present>, EngineError> {
        if at.scheme == Scheme::DynamoDb {
            let described = self.route_table(plan, at, Role::Look).await?.describe().await?;
            return Ok(described.map(|_| Present { identity: None }));
        }
        let no_container = |error: &StoreError| error.kind() == ErrorKind::NoContainer;
        let opened = match self.store(plan, dataset, at, Role::Source, &Arc::default(), None).await {
            // A directory that opens exists; a bucket always opens, and only a request shows whether it exists.
            Ok(_) if at.scheme == Scheme::File => {
                return Ok(Some(Present { identity: self.identity_of(plan, at) }));
            }
            Ok((store, _)) => store.list(KeyRange::all()).next().await.map(drop).map_err(EngineError::from),
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => Ok(Some(Present { identity: None })),
            Err(EngineError::Store(error)) if no_container(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The identity of the directory that was opened at a location.
    pub(crate) fn identity_of(&self, plan: &Plan, at: &Location) -> Option<Identity> {
        let path = shown(&directory_of(plan, at)?);
        let met = self.met();
        met.found.get(&path).or_else(|| met.known.get(&path)).cloned()
    }

    /// What the endpoint of a target can do, by the ledger or by a probe.
    pub(crate) async fn capabilities_of(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        target: &Target,
        ledger: Option<&Ledger>,
    ) -> Result<Capabilities, EngineError> {
        let (store, _) = self.follower(plan, dataset, &target.at, Role::Look, &Arc::default(), None).await?;
        self.known_or_asked(&*store, &probe_name(plan, &target.at, store.endpoint()), ledger, true).await?;
        Ok(store.capabilities())
    }

    /// Takes capabilities from the ledger, or, if allowed, from a probe; records nothing.
    pub(crate) async fn known_or_asked(
        &self,
        store: &dyn ObjectStore,
        name: &str,
        ledger: Option<&Ledger>,
        probe: bool,
    ) -> Result<(), EngineError> {
        let known = match ledger {
            Some(ledger) => known(ledger, name).await?,
            None => None,
        };
        match known {
            Some(known) => store.adopt(known),
            None if probe && store.capabilities() == Capabilities::unproved() => {
                self.ask(store, name).await?;
            }
            None => {}
        }
        Ok(())
    }

    /// Probes an endpoint, at most once in this process until the result is recorded.
    pub(crate) async fn ask(&self, store: &dyn ObjectStore, name: &str) -> Result<Capabilities, EngineError> {
        let said = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(said) = said {
            store.adopt(said.clone());
            return Ok(said);
        }
        let found = store.probe().await?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), found.clone());
        Ok(found)
    }
}
