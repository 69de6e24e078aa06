//! A dataset's places: which they are, whether each is there, and what its endpoint can do.
//!
//! # Which directory it is
//!
//! A directory is named by its resolved path: absolute, every symbolic link followed. So one plan file in two
//! folders means two bodies of data, whatever its text says. A path alone tells little, though: a disk that
//! is not mounted leaves an empty folder there, or none. So the ledger also keeps the [`Identity`] of every
//! directory that a run has opened, before anything is written there. One that is another now, or gone, is
//! refused by every command, as a source and as a target, and is not made anew, unless the operator says
//! that it is meant (`--accept-places`).
//!
//! # Looking
//!
//! Nothing is made and nothing is recorded; at most a scratch key is written where there is a bucket, and
//! cleaned up. Opening a dataset's stores to look at its records is another thing: there a directory that
//! a run would make stands in as an empty one, which hides just what is asked here.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

use crate::{
    clock::now,
    error::EngineError,
    journal::Journal,
    sites::{
        connect::Role,
        opening::{Sites, known, probe_name},
    },
};
use crate::{
    meaning::{base_of, directory_of, shown},
    sites::met::{Driven, Met},
};
use migrate_core::{
    model::KeyRange,
    plan::{Dataset, Location, Plan, Scheme, Site, Target},
};
use migrate_ledger::{Ledger, Record};
use migrate_store::{
    Capabilities, ErrorKind, ObjectStore, StoreError,
    file::{FileStore, Identity},
    memory::MemoryStore,
};

/// A bucket or directory that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// Which directory it is; `None` for a bucket.
    pub(crate) identity: Option<Identity>,
}

impl Sites {
    /// Takes what is where the ledger has seen it as what must be there.
    pub(crate) async fn adopt_places(&self, ledger: Option<&Ledger>) -> Result<(), EngineError> {
        let Some(ledger) = ledger else { return Ok(()) };
        for (path, identity) in ledger.places().await? {
            // What this build cannot read was written by a later one, which is refused as a whole.
            if let Ok(identity) = serde_json::from_str(&identity) {
                self.met().known.insert(path, identity);
            }
        }
        Ok(())
    }

    /// Takes the migration of a ledger for the one that this process drives: its state directory for what has
    /// to be put on disk, and its name for scratch keys.
    pub(crate) async fn drive(&self, ledger: &Ledger) -> Result<(), EngineError> {
        let directory = ledger.path().parent().unwrap_or(Path::new(".")).to_owned();
        let state = Driven { directory, ledger: ledger.id().await? };
        self.met().state = Some(state);
        Ok(())
    }

    /// The migration that this process drives, if it does: scratch objects are named after it, so that a later run
    /// removes what an earlier one had to leave.
    pub(crate) fn migration(&self) -> Option<String> {
        self.met().state.as_ref().map(|state| state.ledger.clone())
    }

    /// Takes the directories that are there for those that are meant, whatever was met before.
    pub fn accept_places(&self) {
        self.met().accepted = true;
    }

    /// Records the directories that were met for the first time: before anything is written there.
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
        let seen = |(path, identity)| Record::PlaceSeen {
            path,
            identity: serde_json::to_string(&identity).expect("an identity is plain data"),
            at: now(),
        };
        let mut records: Vec<_> = found.into_iter().map(seen).collect();
        if other {
            // What was approved was another directory's cutover.
            let approvals = journal.ledger.approvals().await?;
            records.extend(approvals.into_iter().map(|one| Record::ApprovalWithdrawn { phase: one.phase }));
        }
        Ok(journal.commit(records).await?)
    }

    /// Opens a directory, if it is the one that was met there before; makes it where nothing was met there
    /// and it is to be written.
    pub(crate) fn directory(
        &self,
        plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
    ) -> Result<Arc<dyn ObjectStore>, EngineError> {
        let no_directory =
            || EngineError::Site { site: site.name.to_string(), detail: "it has no directory in the plan".to_owned() };
        let base = base_of(plan, at).ok_or_else(no_directory)?;
        let root = directory_of(plan, at).ok_or_else(no_directory)?;
        // A disk that is not mounted takes all along that was on it, also what was never met: nothing new is to be
        // made in its place.
        match self.must_be_met(&base, at) {
            // One that may be passed through and not read cannot be told from another.
            Err(EngineError::Store(error)) if error.kind() == ErrorKind::Denied => {}
            met => _ = met?,
        }
        let location = at.to_string();
        let store = match self.must_be_met(&root, at)? {
            // Who made it may have died before it was durable.
            Some(_) if matches!(role, Role::Target) => FileStore::open_or_create(root.clone(), location)?,
            Some(store) => store,
            None => match role {
                Role::Source | Role::Route { .. } => FileStore::open(root.clone(), location)?,
                Role::Target => FileStore::open_or_create(root.clone(), location)?,
                // A directory that a run would make is as good as an empty one.
                Role::Look => {
                    return Ok(Arc::new(MemoryStore::new(&location).with_capabilities(FileStore::CAPABILITIES)));
                }
            },
        };
        let store = if matches!(role, Role::Target | Role::Route { writes: true }) { store.sweeping() } else { store };
        let base_there = FileStore::open(base.clone(), at.to_string());
        let mut met = self.met();
        if let Ok(base_there) = base_there {
            met.note(shown(&base), base_there.identity());
        }
        met.note(shown(&root), store.identity());
        Ok(match &met.state {
            Some(state) => Arc::new(store.sorting_in(&state.directory)),
            None => Arc::new(store),
        })
    }

    /// Opens the directory at a path, which must be the one that was met there; `None` where none is there, and
    /// none was met.
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

    /// Whether the bucket or directory of a location is there.
    pub(crate) async fn find(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        at: &Location,
    ) -> Result<Option<Present>, EngineError> {
        let no_container = |error: &StoreError| error.kind() == ErrorKind::NoContainer;
        let opened = match self.store(plan, dataset, at, Role::Source, &Arc::default()).await {
            // A directory that opens is there; a bucket opens always, and only a request tells.
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

    /// Which directory was met at a location.
    fn identity_of(&self, plan: &Plan, at: &Location) -> Option<Identity> {
        let path = shown(&directory_of(plan, at)?);
        let met = self.met();
        met.found.get(&path).or_else(|| met.known.get(&path)).cloned()
    }

    /// What the endpoint of a target can do: as the ledger knows it, or as it says now.
    pub(crate) async fn capabilities_of(
        &self,
        plan: &Plan,
        dataset: &Dataset,
        target: &Target,
        ledger: Option<&Ledger>,
    ) -> Result<Capabilities, EngineError> {
        let (store, _) = self.target(plan, dataset, target, Role::Look, &Arc::default()).await?;
        self.known_or_asked(&*store, &probe_name(plan, &target.at), ledger, true).await?;
        Ok(store.capabilities())
    }

    /// Takes what the ledger knows, or where allowed what the endpoint says; records nothing.
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

    /// What an endpoint says; it is asked once, however often it is looked at.
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
