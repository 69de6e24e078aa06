//! [`TableDirectory`]: a directory as a table.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use async_trait::async_trait;
use migrate_core::{
    capability::Condition,
    item::{Item, ItemKey, KeyNames},
    table::{Structure, TableAbilities},
};
use rustix::{
    fs::{FlockOperation, flock, fstat},
    io::Errno,
};

use super::{
    description::{Description, Layout},
    leaves::{Leaves, Sizes},
    lines::Keys,
    own::{Own, digests},
    plain::{self, Plain},
    sorted::Part,
};
use crate::{
    both_ways::{OfTable, keeps_conditions},
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    file::{
        directory::{Directory, run_blocking},
        identity::Identity,
        store::FileStore,
    },
    object::Result,
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableState, TableStore, Written},
};

/// A directory as a table. See [the module](super) for what it holds.
#[derive(Clone)]
pub struct TableDirectory {
    shared: Arc<Shared>,
    identity: Identity,
    location: Arc<str>,
    given: Arc<Given>,
}

/// What a store was given to read a plain directory.
#[derive(Clone)]
struct Given {
    /// The key attributes, for a directory that does not name them.
    names: Option<KeyNames>,
    /// Where lines are sorted.
    spill: PathBuf,
}

/// What all stores of this process on one directory share.
struct Shared {
    directory: Directory,
    sizes: Sizes,
    held: RwLock<Held>,
}

/// What is known of the directory.
enum Held {
    /// Nothing yet.
    Unread,
    Own(Box<Own>),
    Plain(Box<Plain>),
}

/// The directories that are open in this process, by device and inode.
static OPEN: Mutex<BTreeMap<(u64, u64), Weak<Shared>>> = Mutex::new(BTreeMap::new());

impl fmt::Debug for TableDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDirectory").field("location", &self.location).finish_non_exhaustive()
    }
}

impl TableDirectory {
    /// Opens an existing directory, to read it. `location` names it for people. `names` are the key attributes, which
    /// an export does not tell; a `table.json` goes before them.
    ///
    /// Fails with [`ErrorKind::NoContainer`] if it does not exist or is no directory, with [`ErrorKind::Conflict`] if
    /// another process has it open to write it. Blocks for a few system calls.
    pub fn open(root: PathBuf, location: &str, names: Option<KeyNames>) -> Result<Self> {
        Self::of(
            FileStore::open(root, location.to_owned())?,
            location,
            names,
            Sizes::default(),
            FlockOperation::NonBlockingLockShared,
        )
    }

    /// Opens a directory to write it. Creates it and its parents if they are missing.
    ///
    /// Fails with [`ErrorKind::Conflict`] if another process has it open.
    pub fn open_or_create(root: PathBuf, location: &str, names: Option<KeyNames>) -> Result<Self> {
        let files = FileStore::open_or_create(root, location.to_owned())?;
        Self::of(files, location, names, Sizes::default(), FlockOperation::NonBlockingLockExclusive)
    }

    pub(super) fn of(
        files: FileStore,
        location: &str,
        names: Option<KeyNames>,
        sizes: Sizes,
        lock: FlockOperation,
    ) -> Result<Self> {
        let identity = files.identity().clone();
        let directory = Arc::try_unwrap(files.directory)
            .map_err(|shared| shared.error(ErrorKind::Other, "open", None, "the directory is in use"))?;
        let stat = fstat(&directory.root).map_err(|errno| directory.failed("open", None, errno))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, shared| shared.strong_count() > 0);
        let place = (stat.st_dev, stat.st_ino);
        // The lock belongs to the open directory, so that a reader becomes a writer by it.
        let shared = open
            .get(&place)
            .and_then(Weak::upgrade)
            .unwrap_or_else(|| Arc::new(Shared { directory, sizes, held: RwLock::new(Held::Unread) }));
        open.insert(place, Arc::downgrade(&shared));
        if lock == FlockOperation::NonBlockingLockExclusive || Arc::strong_count(&shared) == 1 {
            lock_directory(&shared.directory, lock)?;
        }
        Ok(Self {
            shared,
            identity,
            location: location.into(),
            given: Arc::new(Given { names, spill: std::env::temp_dir() }),
        })
    }

    /// Sorts the lines of a plain directory in files of this directory, not in the system's temporary one: they take
    /// as much room as the lines.
    #[must_use]
    pub fn sorting_in(self, directory: &Path) -> Self {
        Self { given: Arc::new(Given { spill: directory.to_owned(), ..(*self.given).clone() }), ..self }
    }

    /// The identity of the open directory.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Shared, &Given) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (shared, given) = (Arc::clone(&self.shared), Arc::clone(&self.given));
        run_blocking(&self.shared.directory, operation, 0, move || work(&shared, &given)).await
    }
}

fn lock_directory(directory: &Directory, lock: FlockOperation) -> Result<()> {
    match flock(&directory.root, lock) {
        // Some network file systems have no locks; then other processes go unnoticed.
        Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL | Errno::BADF) => Ok(()),
        Err(Errno::AGAIN) => {
            Err(directory.error(ErrorKind::Conflict, "open", None, "another process has this table open"))
        }
        Err(errno) => Err(directory.failed("open", None, errno)),
    }
}

impl Shared {
    /// Reads the directory, if nothing of it is known yet. `None` if there is no table.
    fn held<T>(&self, given: &Given, act: impl FnOnce(&Held) -> Result<T>) -> Result<Option<T>> {
        let known = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*known, Held::Unread) {
            return act(&known).map(Some);
        }
        drop(known);
        let mut known = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*known, Held::Unread) {
            *known = self.read(given)?;
        }
        if matches!(*known, Held::Unread) { Ok(None) } else { act(&known).map(Some) }
    }

    fn own<T>(&self, operation: &'static str, act: impl FnOnce(&mut Own, &Directory) -> Result<T>) -> Result<T> {
        let mut known = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*known, Held::Unread) {
            // Without names: a directory that needs them is not written.
            *known = match Description::read(&self.directory)? {
                Some(Description { layout: Some(Layout::Digests), structure }) => {
                    Held::Own(Box::new(Own::open(&self.directory, structure, self.sizes)?))
                }
                None if plain::is_empty(&plain::find(&self.directory)?) => return Err(self.missing(operation)),
                Some(_) | None => return Err(self.not_ours(operation)),
            };
        }
        match &mut *known {
            Held::Own(own) => act(own, &self.directory),
            Held::Plain(_) | Held::Unread => Err(self.not_ours(operation)),
        }
    }

    fn read(&self, given: &Given) -> Result<Held> {
        let keys = match Description::read(&self.directory)? {
            Some(Description { layout: Some(Layout::Digests), structure }) => {
                return Ok(Held::Own(Box::new(Own::open(&self.directory, structure, self.sizes)?)));
            }
            Some(described) => Keys::of(&described.structure),
            None if plain::is_empty(&plain::find(&self.directory)?) => return Ok(Held::Unread),
            None => match &given.names {
                Some(names) => Keys::named(names.clone()),
                None => return Err(self.nameless()),
            },
        };
        Ok(Held::Plain(Box::new(Plain::read(&self.directory, keys, &given.spill)?)))
    }

    fn nameless(&self) -> StoreError {
        let detail = "its items have no key that is known: name the key attributes in a file table.json beside them, \
                      {\"partition_key\":\"id\",\"key_types\":{\"id\":\"S\"}} for example";
        self.directory.error(ErrorKind::Other, "open", None, detail)
    }

    fn not_ours(&self, operation: &'static str) -> StoreError {
        let detail = "the directory holds files that this tool did not make as a table: it is only read";
        self.directory.error(ErrorKind::Unsupported, operation, None, detail)
    }

    fn missing(&self, operation: &'static str) -> StoreError {
        self.directory.error(ErrorKind::NoContainer, operation, None, "there is no table in the directory")
    }

    fn create(&self, structure: &Structure) -> Result<()> {
        let mut known = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let there = Description::read(&self.directory)?.is_some() || !plain::is_empty(&plain::find(&self.directory)?);
        if there {
            let detail = "there is a table in the directory, or files that may hold items";
            return Err(self.directory.error(ErrorKind::Conflict, "create", None, detail));
        }
        let structure = Structure { ttl: None, ..structure.clone() };
        Leaves { directory: &self.directory, keys: &Keys::of(&structure), sizes: self.sizes }.make()?;
        // The last step: without it there is no table.
        let described = Description { layout: Some(Layout::Digests), structure: structure.clone() };
        described.write(&self.directory, &Condition::Absent)?;
        *known = Held::Own(Box::new(Own::open(&self.directory, structure, self.sizes)?));
        Ok(())
    }
}

#[async_trait]
impl TableStore for TableDirectory {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        &EndpointId::Files
    }

    fn abilities(&self) -> TableAbilities {
        TableAbilities {
            strong_reads: true,
            conditions: true,
            numeric_keys: true,
            empty_values: true,
            streams: false,
            // The setting is kept, for a later copy; nothing expires in a directory.
            ttl: false,
        }
    }

    async fn probe(&self) -> Result<TableAbilities> {
        Ok(self.abilities())
    }

    fn adopt(&self, _abilities: TableAbilities) {}

    async fn describe(&self) -> Result<Option<Described>> {
        self.run("look at", |shared, given| {
            let described = shared.held(given, |held| {
                let (structure, items, bytes) = match held {
                    Held::Unread => (None, None, None),
                    Held::Own(own) => (Some(own.structure.clone()), None, None),
                    Held::Plain(plain) => {
                        let described = Description::read(&shared.directory)?.map(|described| described.structure);
                        let structure = described.or_else(|| plain.keys.structure());
                        (structure, Some(plain.sorted.count), Some(plain.sorted.bytes))
                    }
                };
                let described = |structure| Described {
                    structure,
                    state: TableState::Active,
                    items,
                    bytes,
                    stream: None,
                    arn: None,
                };
                Ok(structure.map(described))
            });
            described.map(Option::flatten)
        })
        .await
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        let structure = structure.clone();
        self.run("create", move |shared, _| shared.create(&structure)).await?;
        Ok(Vec::new())
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        let ttl = attribute.map(str::to_owned);
        self.run("set the expiry of", move |shared, _| {
            shared.own("set the expiry of", |own, directory| {
                let structure = Structure { ttl, ..own.structure.clone() };
                let described = Description { layout: Some(Layout::Digests), structure: structure.clone() };
                described.write(directory, &Condition::None)?;
                own.structure = structure;
                Ok(())
            })
        })
        .await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, _strong: bool) -> Result<Scanned> {
        let after = after.cloned();
        self.run("scan", move |shared, given| {
            let wrong = |detail: String| shared.directory.error(ErrorKind::Other, "scan", None, detail);
            if segment.index >= segment.of {
                return Err(wrong("there is no such segment".to_owned()));
            }
            let page = shared.held(given, |held| {
                let keys = match held {
                    Held::Own(own) => &own.keys,
                    Held::Plain(plain) => &plain.keys,
                    Held::Unread => return Ok(None),
                };
                let from = after.as_ref().map(|key| keys.digest(key)).transpose().map_err(wrong)?;
                let part = Part::of(segment, from);
                let page = match held {
                    Held::Own(own) => own.page(&shared.directory, part)?,
                    Held::Plain(plain) => {
                        if after.is_none() {
                            plain.must_be_unchanged(&shared.directory)?;
                        }
                        plain.page(&shared.directory, part)?
                    }
                    Held::Unread => return Ok(None),
                };
                let next = page.items.last().filter(|_| page.more).and_then(|item| keys.names.key_of(item));
                Ok(Some(Scanned { items: page.items, next, consumed: None }))
            })?;
            page.flatten().ok_or_else(|| shared.missing("scan"))
        })
        .await
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        let asked = keys.to_vec();
        self.run("get", move |shared, given| {
            let answers = shared.held(given, |held| match held {
                Held::Own(own) => own.get(&shared.directory, &asked).map(Some),
                Held::Plain(plain) => {
                    plain.must_be_unchanged(&shared.directory)?;
                    let digests = digests(&shared.directory, &plain.keys, &asked)?;
                    let answers = digests.iter().map(|digest| plain.find(&shared.directory, digest));
                    answers.collect::<Result<Vec<_>>>().map(Some)
                }
                Held::Unread => Ok(None),
            })?;
            let answers = answers.flatten().ok_or_else(|| shared.missing("get"))?;
            let mut got = Got::default();
            for (key, answer) in asked.into_iter().zip(answers) {
                match answer {
                    Some(item) => got.found.push((key, item)),
                    None => got.absent.push(key),
                }
            }
            Ok(got)
        })
        .await
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let writes = writes.to_vec();
        self.run("write", move |shared, _| shared.own("write", |own, directory| own.write(directory, &writes))).await?;
        Ok(Written::default())
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let (item, expected) = (item.clone(), expected.cloned());
        self.run("write", move |shared, _| {
            shared.own("write", |own, directory| {
                let missing = || directory.error(ErrorKind::Other, "write", None, "the item lacks a key attribute");
                let key = own.keys.names.key_of(&item).ok_or_else(missing)?;
                if own.get(directory, std::slice::from_ref(&key))?.pop().flatten() != expected {
                    let detail = "the item there is not the one that was expected";
                    return Err(directory.error(ErrorKind::Precondition, "write", None, detail));
                }
                own.write(directory, &[ItemWrite::Put(item)])
            })
        })
        .await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        keeps_conditions(&OfTable::at(self, key).await?).await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        None
    }

    async fn close(&self) -> Result<()> {
        self.run("close", |shared, _| {
            let mut known = shared.held.write().unwrap_or_else(PoisonError::into_inner);
            match &mut *known {
                Held::Own(own) => own.close(&shared.directory),
                Held::Plain(_) | Held::Unread => Ok(()),
            }
        })
        .await
    }
}
