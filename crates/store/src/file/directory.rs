//! The directory itself: opening without following links, looking, reading, and the meaning of errors.
//!
//! Everything here blocks and runs on tokio's blocking threads.

use std::{
    collections::HashSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, mkdirat, openat, statat},
    io::Errno,
};

use super::{disk::Disk, path};
use crate::{
    buffers::Buffer,
    error::{ErrorKind, StoreError},
    object::{ByteRange, Checksums, Entry, Head, Properties, Read, Result},
    requests,
};
use migrate_core::model::{Key, Modified, Token};

/// How many durable directories are remembered. Beyond it the set starts afresh, at the cost of one more sync per
/// directory.
const DURABLE_MAX: usize = 65_536;

/// An open root directory.
#[derive(Debug)]
pub(super) struct Directory {
    /// Held open: if the root is renamed or unmounted, writes go to the old directory or fail. They never go to a
    /// new one at its path.
    pub(super) root: OwnedFd,
    pub(super) location: Box<str>,
    /// Directories whose own entries, up to the root, are known to be on disk.
    durable: Mutex<HashSet<Box<str>>>,
    /// The file system of the root.
    pub(super) disk: Arc<Disk>,
    /// The directory for sorting names that do not fit into memory.
    pub(super) spill: PathBuf,
    /// Whether listings remove the leftovers of dead processes.
    pub(super) sweeps: bool,
}

impl Directory {
    pub(super) fn new(root: OwnedFd, location: Box<str>) -> Self {
        let disk = rustix::fs::fstat(&root).map(|stat| Disk::of(stat.st_dev)).unwrap_or_default();
        Self { root, location, durable: Mutex::default(), disk, spill: std::env::temp_dir(), sweeps: false }
    }

    /// Whether leftovers are removed: never on a file system with a failed sync.
    pub(super) fn sweeps(&self) -> bool {
        self.sweeps && self.disk.failure().is_none()
    }

    /// Opens a directory below the root (`""` is the root). No symbolic link is followed on the way.
    pub(super) fn open(&self, directory: &str) -> Result<OwnedFd, Errno> {
        let mut fd = open_directory(&self.root, ".")?;
        for segment in directory.split('/').filter(|segment| !segment.is_empty()) {
            fd = open_directory(&fd, segment)?;
        }
        Ok(fd)
    }

    /// Opens a directory below the root. Creates it and its parents if they are missing. The result is linked
    /// durably: the first time this process meets a directory, it syncs the parent, even if the directory exists,
    /// because its creator may have died before the sync.
    pub(super) fn make(&self, directory: &str) -> Result<OwnedFd, Errno> {
        let mut fd = open_directory(&self.root, ".")?;
        let mut end = 0;
        for segment in directory.split('/').filter(|segment| !segment.is_empty()) {
            end += segment.len() + usize::from(end > 0);
            let (child, made) = match open_directory(&fd, segment) {
                Err(Errno::NOENT) => {
                    match mkdirat(&fd, segment, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    (open_directory(&fd, segment)?, true)
                }
                found => (found?, false),
            };
            if made || !self.durable().contains(&directory[..end]) {
                self.disk.sync(&fd)?;
                let mut durable = self.durable();
                if durable.len() >= DURABLE_MAX {
                    durable.clear();
                }
                durable.insert(directory[..end].into());
            }
            fd = child;
        }
        Ok(fd)
    }

    /// Forgets that a directory is durable, before its removal.
    pub(super) fn forget(&self, directory: &str) {
        self.durable().remove(directory);
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one object.
    pub(super) fn head(&self, key: &Key) -> Result<Option<Head>> {
        let Some(stat) = self.stat(key).map_err(|errno| self.failed("look at", Some(key), errno))? else {
            return Ok(None);
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Some(head_of(&stat))),
            FileType::Directory => Ok(None),
            kind => Err(self.error(ErrorKind::Other, "look at", Some(key), problem(kind))),
        }
    }

    /// What a listing shows of one key.
    pub(super) fn entry(&self, key: &Key) -> Result<Option<Entry>> {
        let stat = self.stat(key).map_err(|errno| self.failed("list", Some(key), errno))?;
        Ok(stat.and_then(|stat| entry_of(key.clone(), &stat)))
    }

    /// What is at a key, without following a link; `None` if nothing is there.
    fn stat(&self, key: &Key) -> Result<Option<Stat>, Errno> {
        if path::unholdable(key.as_str()).is_some() {
            return Ok(None);
        }
        let (directory, name) = path::split(key.as_str());
        let found = self.open(directory).and_then(|fd| statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW));
        absent_is_none(found)
    }

    /// Reads an object or a range of it, all from one version.
    pub(super) fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let failed = |errno| self.failed("read", Some(key), errno);
        let changed = |detail: &str| self.error(ErrorKind::Changed, "read", Some(key), detail);
        let file = self.open_file(key)?;
        let before = rustix::fs::fstat(&file).map_err(failed)?;
        let token = token_of(&before);
        if pin.is_some_and(|pin| !pin.agrees_with(&token)) {
            return Err(changed("the file is no longer the version that was seen first"));
        }
        let range = range.unwrap_or(ByteRange { start: 0, end: token.size });
        if range.end > token.size || range.start > range.end {
            return Err(changed("the file is shorter than the range that was asked for"));
        }
        let length = usize::try_from(range.end - range.start)
            .map_err(|_| self.error(ErrorKind::Other, "read", Some(key), "the range does not fit into memory"))?;
        let mut bytes = Buffer::with_capacity(length);
        let mut rest = &file;
        let came =
            rest.seek(SeekFrom::Start(range.start)).and_then(|_| rest.take(length as u64).read_to_end(&mut bytes));
        let came = came.map_err(|cause| failed(Errno::from_io_error(&cause).unwrap_or(Errno::IO)))?;
        if came < length {
            return Err(changed("the file was cut while it was read"));
        }
        let head = self.still(key, &file, &token)?;
        Ok(Read { head, bytes: bytes.freeze() })
    }

    /// Looks again at a file after reading it. A write changes the times, so with equal times all bytes are of one
    /// version.
    fn still(&self, key: &Key, file: &File, token: &Token) -> Result<Head> {
        let stat = rustix::fs::fstat(file).map_err(|errno| self.failed("read", Some(key), errno))?;
        if token_of(&stat) == *token {
            Ok(head_of(&stat))
        } else {
            Err(self.error(ErrorKind::Changed, "read", Some(key), "the file changed while it was read"))
        }
    }

    fn open_file(&self, key: &Key) -> Result<File> {
        let not_found = || self.error(ErrorKind::NotFound, "read", Some(key), "there is no such file");
        if path::unholdable(key.as_str()).is_some() {
            return Err(not_found());
        }
        let (directory, name) = path::split(key.as_str());
        // Without NONBLOCK, opening a named pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.open(directory).and_then(|fd| openat(&fd, name, flags, Mode::empty()));
        if matches!(opened, Err(Errno::LOOP | Errno::NXIO)) {
            // A link or a socket: report its kind.
            self.head(key)?;
        }
        let fd = absent_is_none(opened).map_err(|errno| self.failed("read", Some(key), errno))?;
        let fd = fd.ok_or_else(not_found)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.failed("read", Some(key), errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(fd.into()),
            FileType::Directory => Err(not_found()),
            kind => Err(self.error(ErrorKind::Other, "read", Some(key), problem(kind))),
        }
    }

    /// An error of this directory.
    pub(super) fn error(
        &self,
        kind: ErrorKind,
        operation: &'static str,
        key: Option<&Key>,
        detail: impl Into<Box<str>>,
    ) -> StoreError {
        let error = StoreError::new(kind, operation, &self.location, detail);
        match key {
            Some(key) => error.on(key),
            None => error,
        }
    }

    /// Refuses a write to a file system with a failed sync.
    pub(super) fn must_be_trusted(&self, operation: &'static str, key: &Key) -> Result<()> {
        match self.disk.failure() {
            Some(errno) => Err(self.failed(operation, Some(key), errno)),
            None => Ok(()),
        }
    }

    /// A failed system call as an error. If a sync has failed, that is the reason.
    pub(super) fn failed(&self, operation: &'static str, key: Option<&Key>, errno: Errno) -> StoreError {
        let (kind, detail) = match self.disk.failure() {
            Some(failure) if failure == errno => (
                ErrorKind::Unsynced,
                "a sync failed: what is on the disk is not known, and nothing more is written to it by this process",
            ),
            _ => meaning(errno),
        };
        self.error(kind, operation, key, detail).because(std::io::Error::from(errno))
    }
}

/// Opens a directory in another, unless it is a symbolic link.
pub(super) fn open_directory(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Turns an error that says "nothing has this path" into `None`. A file or a link on the way means that nothing
/// lies below it.
pub(super) fn absent_is_none<T>(found: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What an error number means for the operator and for a retry.
fn meaning(errno: Errno) -> (ErrorKind, &'static str) {
    match errno {
        Errno::NOENT => (ErrorKind::NotFound, "it is not there"),
        Errno::ACCESS | Errno::PERM => (ErrorKind::Denied, "the file system denies it"),
        Errno::ROFS => (ErrorKind::Denied, "the file system is mounted read-only"),
        Errno::NOSPC => (ErrorKind::Full, "no room is left on the file system"),
        Errno::DQUOT => (ErrorKind::Full, "the disk quota is used up"),
        Errno::NOTDIR | Errno::LOOP => {
            (ErrorKind::KeyUnholdable, "a file or symbolic link is where a directory is needed")
        }
        Errno::ISDIR => (ErrorKind::KeyUnholdable, "a directory is where the file would be"),
        Errno::NAMETOOLONG => (ErrorKind::KeyUnholdable, "a segment is too long for this file system"),
        Errno::ILSEQ | Errno::INVAL => (ErrorKind::KeyUnholdable, "the file system does not take this name"),
        Errno::XDEV => (ErrorKind::Unsupported, "the path lies on another file system than the root directory"),
        Errno::AGAIN => (ErrorKind::Conflict, "another process is writing the same key"),
        Errno::STALE | Errno::IO | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::BUSY => {
            (ErrorKind::Unavailable, "the file system failed")
        }
        Errno::TIMEDOUT => (ErrorKind::TimedOut, "the file system did not answer in time"),
        _ => (ErrorKind::Other, "the file system failed"),
    }
}

/// A file's version token: size, times of last change of content and inode, and the inode itself.
///
/// The kernel's clock ticks every few milliseconds: within one tick, two writes in place of equal size cannot be
/// told apart. A program that replaces files by renaming gives them a new inode.
pub(super) fn token_of(stat: &Stat) -> Token {
    let nanoseconds = |seconds: i128, rest: i128| seconds * 1_000_000_000 + rest;
    let modified = nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into());
    let changed = nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into());
    Token {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        tag: format!("{modified}-{changed}-{}", stat.st_ino).into(),
        modified: Modified::Unknown,
    }
}

fn head_of(stat: &Stat) -> Head {
    Head {
        token: token_of(stat),
        properties: Properties::default(),
        tag_count: Some(0),
        checksums: Checksums::default(),
        part_size: None,
        left_behind: Vec::new(),
        archived: false,
    }
}

/// A file as a listing shows it; `None` for a directory.
pub(super) fn entry_of(key: Key, stat: &Stat) -> Option<Entry> {
    let token = token_of(stat);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(Entry { key, token, problem: None }),
        FileType::Directory => None,
        kind => Some(Entry { key, token, problem: Some(problem(kind).into()) }),
    }
}

/// Why a non-regular file cannot be copied.
pub(super) fn problem(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "is a symbolic link; links are not followed, and an object cannot be one",
        FileType::Fifo => "is a named pipe, not a file",
        FileType::Socket => "is a socket, not a file",
        FileType::BlockDevice | FileType::CharacterDevice => "is a device, not a file",
        _ => "is not a regular file",
    }
}

/// Runs blocking work on tokio's blocking threads, and logs it; `bytes` are those that it writes. A panic of the work
/// goes on in the caller.
pub(super) async fn run_blocking<T: Send + 'static>(
    directory: &Directory,
    operation: &'static str,
    bytes: u64,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let began = Instant::now();
    let done = match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(directory.error(ErrorKind::Unavailable, operation, None, "the runtime is shutting down")),
        },
    };
    requests::log(operation, &directory.location, bytes, began.elapsed(), done.as_ref().err());
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::new(File::open(root.path()).unwrap().into(), "test".into());
        let key = Key::from("k");
        std::fs::write(root.path().join("k"), "one").unwrap();
        let token = store.head(&key).unwrap().unwrap().token;
        let file = store.open_file(&key).unwrap();
        store.still(&key, &file, &token).unwrap();
        std::fs::write(root.path().join("k"), "longer").unwrap();
        assert_eq!(store.still(&key, &file, &token).unwrap_err().kind(), ErrorKind::Changed);
    }

    #[test]
    fn a_directory_that_was_pruned_is_made_durable_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::new(File::open(root.path()).unwrap().into(), "test".into());
        store.make("a/b").unwrap();
        let remembered = || {
            let mut remembered: Vec<_> = store.durable().iter().cloned().collect();
            remembered.sort();
            remembered
        };
        assert_eq!(remembered(), ["a".into(), "a/b".into()] as [Box<str>; 2]);
        store.forget("a/b");
        assert_eq!(remembered(), ["a".into()] as [Box<str>; 1]);
        store.make("a/b").unwrap();
        assert_eq!(remembered().len(), 2);
    }
}
