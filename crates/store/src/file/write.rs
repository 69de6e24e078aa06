//! Writing and deleting files so that a crash at any instant leaves the old file or the new one.
//!
//! A file is staged under a reserved name in its own directory, synced, renamed, and its directory synced, in this
//! order: when `put` returns, data and name are on disk. If possible, the rename itself is the condition of the
//! write (`RENAME_NOREPLACE`, or a hard link, which never replaces): a probe tests whether the file system keeps
//! that, see [`Directory::refuses_to_replace`]. Then the staged file also has a name of its own, so nothing depends
//! on a lock. For [`Condition::Matches`] the condition is a look right before the rename. Writers of this process
//! exclude each other by a lock on the key, and other processes of this tool by `flock` on the staged file. One
//! race is left: a foreign program, or a machine that shares no locks, writes between look and rename.
//!
//! # Leftovers
//!
//! A killed process leaves staged files. The writer holds `flock` on the file it stages, so a file that can be
//! locked has no writer any more: listings of a store that [sweeps](super::FileStore::sweeping) remove it in
//! passing. If the file system has no locks, a writer cannot be detected and nothing is removed.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, ftruncate, linkat, openat,
        renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    directory::{Directory, absent_is_none, token_of},
    path,
};
use crate::{error::ErrorKind, object::Result};
use migrate_core::{
    capability::Condition,
    digest::Body,
    model::{Key, Token},
};

/// How often a step is repeated because another process came in between.
const ROUNDS_MAX: usize = 16;

/// One lock per class of keys: few enough classes to be cheap, and enough that two keys in flight seldom share one.
static KEY_LOCKS: [Mutex<()>; 1024] = [const { Mutex::new(()) }; 1024];

pub(super) fn lock_key(key: &Key) -> MutexGuard<'static, ()> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let class = hasher.finish() % KEY_LOCKS.len() as u64;
    let class = usize::try_from(class).expect("it is below the number of locks");
    KEY_LOCKS[class].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a staged file did not get its final name.
enum Refused {
    Condition,
    DirectoryInTheWay,
    Errno(Errno),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Directory {
    /// Writes a whole file.
    pub(super) fn put(&self, key: &Key, body: &Body, condition: &Condition) -> Result<Token> {
        self.must_be_trusted("write", key)?;
        self.check_key("write", key)?;
        let (directory, name) = path::split(key.as_str());
        let failed = |errno| self.failed("write", Some(key), errno);
        let _lock = lock_key(key);
        let staging = if *condition == Condition::Absent {
            path::staging_alone().map_err(|cause| failed(Errno::from_io_error(&cause).unwrap_or(Errno::AGAIN)))?
        } else {
            path::staging(name)
        };
        for _ in 0..ROUNDS_MAX {
            let fd = self.make(directory).map_err(failed)?;
            // The rename checks again; this look avoids writing a large body in vain.
            if !holds(&fd, name, condition).map_err(failed)? {
                return Err(self.precondition("write", key));
            }
            match self.stage(&fd, &staging, body.bytes()) {
                Ok(file) => {
                    let named = self.name_staged("write", key, (&fd, &staging), (&fd, name), condition);
                    if named.as_ref().is_err_and(|error| !error.outcome_unknown()) {
                        let _ = unlinkat(&fd, &staging, AtFlags::empty());
                    }
                    return named.and_then(|()| self.token_of_named("write", key, &file));
                }
                // A delete pruned the directory right after it was opened.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(self.error(ErrorKind::Conflict, "write", Some(key), "the directory keeps vanishing"))
    }

    /// Whether the file system creates a new name and refuses to replace an existing one: three files test both ways.
    pub(super) fn refuses_to_replace(&self) -> Result<bool> {
        self.refuses_to_replace_by(rename_new)
    }

    fn refuses_to_replace_by(
        &self,
        rename: impl Fn((&OwnedFd, &str), (&OwnedFd, &str)) -> Result<(), Errno>,
    ) -> Result<bool> {
        let failed = |errno| self.failed("probe", None, errno);
        let name = || path::staging_alone().map_err(|cause| failed(Errno::from_io_error(&cause).unwrap_or(Errno::IO)));
        let (first, second, named) = (name()?, name()?, name()?);
        let root = self.open("").map_err(failed)?;
        let tried = || {
            let ours = self.stage(&root, &first, b"first")?;
            let _theirs = self.stage(&root, &second, b"second")?;
            let made = rename((&root, &first), (&root, &named));
            let refused = rename((&root, &second), (&root, &named)) == Err(Errno::EXIST);
            let shown = absent_is_none(statat(&root, &named, AtFlags::SYMLINK_NOFOLLOW))?;
            let ours = fstat(&ours)?;
            let kept = shown.is_some_and(|shown| (shown.st_dev, shown.st_ino) == (ours.st_dev, ours.st_ino));
            Ok(made.is_ok() && refused && kept)
        };
        let answer = tried();
        for name in [&first, &second, &named] {
            absent_is_none(unlinkat(&root, name, AtFlags::empty())).map_err(failed)?;
        }
        answer.map_err(failed)
    }

    /// Writes and syncs a staged file.
    fn stage(&self, directory: &OwnedFd, staging: &str, bytes: &[u8]) -> Result<File, Errno> {
        let mut file = open_staged(directory, staging)?;
        let written = file
            .write_all(bytes)
            .map_err(|cause| Errno::from_io_error(&cause).unwrap_or(Errno::IO))
            .and_then(|()| self.disk.sync_data(&file));
        if let Err(errno) = written {
            let _ = unlinkat(directory, staging, AtFlags::empty());
            return Err(errno);
        }
        Ok(file)
    }

    /// Gives a staged and synced file its final name, durably. If this fails with a known outcome, the staged file
    /// is still there.
    pub(super) fn name_staged(
        &self,
        operation: &'static str,
        key: &Key,
        from: (&OwnedFd, &str),
        to: (&OwnedFd, &str),
        condition: &Condition,
    ) -> Result<()> {
        rename(from, to, condition).map_err(|refused| match refused {
            Refused::Condition => self.precondition(operation, key),
            Refused::DirectoryInTheWay => self.failed(operation, Some(key), Errno::ISDIR),
            Refused::Errno(errno) => self.failed(operation, Some(key), errno),
        })?;
        self.disk.sync(to.0).map_err(|errno| self.failed(operation, Some(key), errno).with_unknown_outcome())
    }

    /// The token of a file right after its rename, which changed its inode's time.
    pub(super) fn token_of_named(&self, operation: &'static str, key: &Key, file: &File) -> Result<Token> {
        let stat = fstat(file).map_err(|errno| self.failed(operation, Some(key), errno).with_unknown_outcome())?;
        Ok(token_of(&stat))
    }

    /// Deletes a file and the directories that become empty.
    pub(super) fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.must_be_trusted("delete", key)?;
        let failed = |errno| self.failed("delete", Some(key), errno);
        if path::unholdable(key.as_str()).is_some() {
            return Ok(());
        }
        let (directory, name) = path::split(key.as_str());
        let _lock = lock_key(key);
        let Some(fd) = absent_is_none(self.open(directory)).map_err(failed)? else { return Ok(()) };
        let found = absent_is_none(statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)).map_err(failed)?;
        let Some(stat) = found else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Ok(());
        }
        let held = match condition {
            Condition::None => true,
            Condition::Absent => false,
            Condition::Matches(token) => token.agrees_with(&token_of(&stat)),
        };
        if !held {
            return Err(self.precondition("delete", key));
        }
        match unlinkat(&fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        self.disk.sync(&fd).map_err(|errno| failed(errno).with_unknown_outcome())?;
        drop(fd);
        self.prune(directory);
        Ok(())
    }

    /// Removes a directory and its parents as long as they are empty; never the root. `rmdir` itself refuses a
    /// directory that just got a file. After a failure the directory stays: an empty directory is no object.
    fn prune(&self, directory: &str) {
        let mut directory = directory;
        while !directory.is_empty() {
            let (parent, name) = path::split(directory);
            let Ok(fd) = self.open(parent) else { return };
            self.forget(directory);
            if unlinkat(&fd, name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
            self.forget(directory);
            directory = parent;
        }
    }

    pub(super) fn check_key(&self, operation: &'static str, key: &Key) -> Result<()> {
        match path::unholdable(key.as_str()) {
            Some(reason) => Err(self.error(ErrorKind::KeyUnholdable, operation, Some(key), reason)),
            None => Ok(()),
        }
    }

    pub(super) fn precondition(&self, operation: &'static str, key: &Key) -> crate::error::StoreError {
        self.error(ErrorKind::Precondition, operation, Some(key), "the file there is not the one that was expected")
    }
}

/// Opens a staged file for this process alone, empty, even if a dead process left one.
pub(super) fn open_staged(directory: &OwnedFd, staging: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..ROUNDS_MAX {
        let fd = openat(directory, staging, flags, Mode::from_raw_mode(0o666))?;
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            // Some network file systems have no locks; then writers in other processes go unnoticed.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
        let opened = fstat(&fd)?;
        // Between open and lock its last owner may have renamed it: then it is a finished file.
        let same = absent_is_none(statat(directory, staging, AtFlags::SYMLINK_NOFOLLOW))?
            .is_some_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino));
        if !same {
            continue;
        }
        // A second link: its last owner died after linking the file to its final name.
        if opened.st_nlink > 1 || FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
            unlinkat(directory, staging, AtFlags::empty())?;
            continue;
        }
        if opened.st_size > 0 {
            ftruncate(&fd, 0)?;
        }
        return Ok(fd.into());
    }
    Err(Errno::AGAIN)
}

/// Whether the condition holds now. A directory counts as no object.
fn holds(directory: &OwnedFd, name: &str, condition: &Condition) -> Result<bool, Errno> {
    if *condition == Condition::None {
        return Ok(true);
    }
    let shown = absent_is_none(statat(directory, name, AtFlags::SYMLINK_NOFOLLOW))?
        .filter(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
        .map(|stat| token_of(&stat));
    Ok(match condition {
        Condition::None => true,
        Condition::Absent => shown.is_none(),
        Condition::Matches(token) => shown.is_some_and(|shown| token.agrees_with(&shown)),
    })
}

/// Renames a staged file under a condition. Removes an empty directory in the way, because it is no object.
fn rename(from: (&OwnedFd, &str), to: (&OwnedFd, &str), condition: &Condition) -> Result<(), Refused> {
    for _ in 0..ROUNDS_MAX {
        let renamed = match condition {
            Condition::Absent => rename_new(from, to),
            Condition::None => renameat(from.0, from.1, to.0, to.1),
            Condition::Matches(_) => {
                if !holds(to.0, to.1, condition)? {
                    return Err(Refused::Condition);
                }
                renameat(from.0, from.1, to.0, to.1)
            }
        };
        match renamed {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => {
                let shown = absent_is_none(statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW))?;
                let Some(shown) = shown else { continue };
                if FileType::from_raw_mode(shown.st_mode) != FileType::Directory {
                    return Err(Refused::Condition);
                }
                if unlinkat(to.0, to.1, AtFlags::REMOVEDIR).is_err() {
                    return Err(Refused::DirectoryInTheWay);
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Refused::Errno(Errno::AGAIN))
}

/// Renames without replacing.
fn rename_new(from: (&OwnedFd, &str), to: (&OwnedFd, &str)) -> Result<(), Errno> {
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        // Some file systems lack the flag. A hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        renamed => renamed,
    }
}

fn link_new(from: (&OwnedFd, &str), to: (&OwnedFd, &str)) -> Result<(), Errno> {
    match linkat(from.0, from.1, to.0, to.1, AtFlags::empty()) {
        // Over NFS a repeated request finds the link of the first one.
        Err(Errno::EXIST) if is_same(from, to)? => {}
        linked => linked?,
    }
    unlinkat(from.0, from.1, AtFlags::empty())
}

/// Whether two names belong to one file.
fn is_same(one: (&OwnedFd, &str), other: (&OwnedFd, &str)) -> Result<bool, Errno> {
    let of = |at: (&OwnedFd, &str)| absent_is_none(statat(at.0, at.1, AtFlags::SYMLINK_NOFOLLOW));
    let (one, other) = (of(one)?, of(other)?);
    Ok(one.zip(other).is_some_and(|(a, b)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)))
}

/// Removes a staged file that has no writer; `true` if it did. A file that is being written is locked.
pub(super) fn sweep_staged(directory: &OwnedFd, name: &str) -> bool {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = openat(directory, name, flags, Mode::empty()) else { return false };
    // Only a granted lock proves that there is no writer; a file system without locks proves nothing.
    if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    let named = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let same = named.and_then(|named| {
        let opened = fstat(&fd)?;
        Ok((named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
            && FileType::from_raw_mode(opened.st_mode) == FileType::RegularFile)
    });
    same == Ok(true) && unlinkat(directory, name, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let fd = File::open(root.path()).unwrap();
        (root, Directory::new(fd.into(), "test".into()))
    }

    fn body(text: &'static str) -> Body {
        Body::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_probe_tells_a_file_system_that_replaces_or_cannot_make_a_new_name() {
        let (root, store) = directory();
        assert!(store.refuses_to_replace().unwrap());
        assert!(store.refuses_to_replace_by(link_new).unwrap(), "the fallback does not replace either");
        let replaces = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| renameat(from.0, from.1, to.0, to.1);
        assert!(!store.refuses_to_replace_by(replaces).unwrap());
        assert!(!store.refuses_to_replace_by(|_, _| Err(Errno::EXIST)).unwrap(), "it refuses what is right, too");
        assert!(!store.refuses_to_replace_by(|_, _| Err(Errno::NOTSUP)).unwrap());
        // Both the answer and the effect must be right.
        let renamed = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| rename_new(from, to).is_ok();
        assert!(!store.refuses_to_replace_by(|from, to| Ok(_ = renamed(from, to))).unwrap(), "nothing is refused");
        let exists = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| renamed(from, to).then_some(()).ok_or(Errno::EXIST);
        let never = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| exists(from, to).and(Err(Errno::EXIST));
        assert!(!store.refuses_to_replace_by(never).unwrap(), "a name that was made is told as one that was there");
        let lies = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| {
            let there = statat(to.0, to.1, AtFlags::empty()).is_ok();
            renameat(from.0, from.1, to.0, to.1)?;
            if there { Err(Errno::EXIST) } else { Ok(()) }
        };
        assert!(!store.refuses_to_replace_by(lies).unwrap(), "it says that it refuses, and replaces");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left over");
    }

    #[test]
    fn what_a_dead_writer_has_staged_is_swept_and_nothing_else() {
        let (root, mut store) = directory();
        store.sweeps = true;
        let store = std::sync::Arc::new(store);
        std::fs::create_dir(root.path().join("d")).unwrap();
        let (dead, alone) = (path::staging("k"), path::staging_alone().unwrap());
        let (held, other) = (path::staging("held"), format!("{}not ours", path::RESERVED));
        for name in [&dead, &alone, &held, &other] {
            std::fs::write(root.path().join("d").join(name), "half").unwrap();
        }
        std::fs::write(root.path().join("d/kept"), "kept").unwrap();
        let writer = File::open(root.path().join("d").join(&held)).unwrap();
        flock(&writer, FlockOperation::LockExclusive).unwrap();
        let left = |root: &std::path::Path| {
            let names = std::fs::read_dir(root.join("d")).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let mut expected = vec!["kept".to_owned(), held, other];
        expected.sort();
        assert_eq!(super::super::walk::keys_of(&store), ["d/kept"]);
        assert_eq!(left(root.path()), expected);
        drop(writer);
        assert_eq!(super::super::walk::keys_of(&store), ["d/kept"]);
        assert_eq!(left(root.path()).len(), 2, "its writer is gone by now");
    }

    #[test]
    fn a_store_that_is_only_looked_at_sweeps_nothing() {
        let (root, store) = directory();
        std::fs::write(root.path().join(path::staging("k")), "half").unwrap();
        assert!(super::super::walk::keys_of(&std::sync::Arc::new(store)).is_empty());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_of_a_dead_writer_is_taken_up_and_renamed_away() {
        let (root, store) = directory();
        std::fs::write(root.path().join(path::staging("k")), "half of an old bo").unwrap();
        store.put(&"k".into(), &body("new"), &Condition::None).unwrap();
        assert_eq!(std::fs::read(root.path().join("k")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_leftover_that_is_linked_to_a_finished_file_does_not_harm_it() {
        let (root, store) = directory();
        std::fs::write(root.path().join("k"), "finished").unwrap();
        std::fs::hard_link(root.path().join("k"), root.path().join(path::staging("k"))).unwrap();
        let refused = store.put(&"k".into(), &body("other"), &Condition::Absent).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Precondition);
        std::fs::rename(root.path().join("k"), root.path().join("kept")).unwrap();
        store.put(&"k".into(), &body("new"), &Condition::None).unwrap();
        assert_eq!(std::fs::read(root.path().join("kept")).unwrap(), b"finished");
        assert_eq!(std::fs::read(root.path().join("k")).unwrap(), b"new");
    }

    #[test]
    fn another_process_writing_the_same_key_is_a_conflict() {
        let (root, store) = directory();
        let other = File::create(root.path().join(path::staging("k"))).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let refused = store.put(&"k".into(), &body("new"), &Condition::None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        drop(other);
        store.put(&"k".into(), &body("new"), &Condition::None).unwrap();
    }

    #[test]
    fn a_new_name_depends_on_no_lock() {
        let (root, store) = directory();
        let other = File::create(root.path().join(path::staging("k"))).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        store.put(&"k".into(), &body("first"), &Condition::Absent).unwrap();
        let second = store.put(&"k".into(), &body("second"), &Condition::Absent).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Precondition);
        assert_eq!(std::fs::read(root.path().join("k")).unwrap(), b"first");
    }

    #[test]
    fn the_fallback_without_noreplace_does_not_replace_either() {
        let (root, _) = directory();
        let fd: OwnedFd = File::open(root.path()).unwrap().into();
        std::fs::write(root.path().join("new"), "new").unwrap();
        std::fs::write(root.path().join("old"), "old").unwrap();
        assert_eq!(link_new((&fd, "new"), (&fd, "old")), Err(Errno::EXIST));
        assert_eq!(std::fs::read(root.path().join("old")).unwrap(), b"old");
        // A request that the network repeated finds its own link.
        std::fs::hard_link(root.path().join("new"), root.path().join("free")).unwrap();
        link_new((&fd, "new"), (&fd, "free")).unwrap();
        assert!(!root.path().join("new").exists() && root.path().join("free").exists());
    }

    #[test]
    fn a_full_or_read_only_file_system_is_told_apart() {
        let (_root, store) = directory();
        assert_eq!(store.failed("write", None, Errno::NOSPC).kind(), ErrorKind::Full);
        assert_eq!(store.failed("write", None, Errno::ROFS).kind(), ErrorKind::Denied);
        assert_eq!(store.failed("write", None, Errno::ACCESS).kind(), ErrorKind::Denied);
    }

    #[test]
    fn empty_directories_give_way_and_full_ones_do_not() {
        let (root, store) = directory();
        std::fs::create_dir_all(root.path().join("a")).unwrap();
        store.put(&"a".into(), &body("x"), &Condition::Absent).unwrap();
        store.delete(&"a".into(), &Condition::None).unwrap();
        store.put(&"a/b/c".into(), &body("x"), &Condition::Absent).unwrap();
        for condition in [Condition::None, Condition::Absent] {
            let refused = store.put(&"a".into(), &body("x"), &condition).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::KeyUnholdable, "{refused}");
        }
        store.delete(&"a/b/c".into(), &Condition::None).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "empty directories are pruned");
        assert!(root.path().exists(), "the root stays");
    }
}
