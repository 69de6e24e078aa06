//! Syncing, and what a failed sync means for everything that comes after it.
//!
//! The kernel reports a failed sync once. It may then mark the pages clean: a second sync succeeds although nothing
//! was written, and a read shows the memory, not the disk (<https://wiki.postgresql.org/wiki/Fsync_Errors>). So
//! neither a look nor a retry settles anything: after the first failed sync this process writes nothing more to
//! that file system, through any store. The next process looks afresh.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustix::{
    fs::{fdatasync, fsync},
    io::Errno,
};

/// The file systems that this process writes to, by device number.
static DISKS: Mutex<BTreeMap<u64, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// One file system, and whether its syncs can still be trusted.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// The first sync that failed.
    failed: OnceLock<Errno>,
    /// The sync with this number fails, counted from 1.
    #[cfg(test)]
    pub(super) fails_at: std::sync::atomic::AtomicU64,
    /// Called before every sync.
    #[cfg(test)]
    pub(super) watch: Watch,
    /// Nothing is synced: for tests that end without a crash of the machine.
    #[cfg(test)]
    pretends: bool,
}

/// What a test does before every sync.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Watch(pub(super) Mutex<Option<Box<dyn FnMut() + Send>>>);

#[cfg(test)]
impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Disk {
    /// The file system with this device number. Two mounted file systems never share a number.
    pub(super) fn of(device: u64) -> Arc<Self> {
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(disks.entry(device).or_default())
    }

    /// Why nothing more is written to this file system.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.failed.get().copied()
    }

    /// Syncs a file or directory.
    pub(super) fn sync(&self, fd: impl AsFd) -> Result<(), Errno> {
        self.noted(|| fsync(&fd))
    }

    /// Syncs what is needed to read a file's bytes again.
    pub(super) fn sync_data(&self, fd: impl AsFd) -> Result<(), Errno> {
        self.noted(|| fdatasync(&fd))
    }

    fn noted(&self, sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        if let Some(errno) = self.failure() {
            return Err(errno);
        }
        #[cfg(test)]
        if let Some(watch) = &mut *self.watch.0.lock().unwrap_or_else(PoisonError::into_inner) {
            watch();
        }
        #[cfg(test)]
        let sync = || match (self.strikes(), self.pretends) {
            (true, _) => Err(Errno::IO),
            (false, true) => Ok(()),
            (false, false) => sync(),
        };
        let synced = sync();
        // A file that cannot be synced at all has lost nothing by the failure.
        if let Err(errno) = synced
            && !matches!(errno, Errno::INVAL | Errno::ROFS)
        {
            // The first failure is kept; later ones have the same cause.
            let _ = self.failed.set(errno);
        }
        synced
    }

    #[cfg(test)]
    fn strikes(&self) -> bool {
        use std::sync::atomic::Ordering::Relaxed;

        let left = self.fails_at.load(Relaxed);
        self.fails_at.store(left.saturating_sub(1), Relaxed);
        left == 1
    }

    /// A disk that syncs nothing.
    #[cfg(test)]
    pub(super) fn pretending() -> Arc<Self> {
        Arc::new(Self { pretends: true, ..Self::default() })
    }

    /// A disk whose sync with this number fails.
    #[cfg(test)]
    pub(super) fn failing_at(number: u64) -> Arc<Self> {
        Arc::new(Self { fails_at: number.into(), ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use bytes::Bytes;

    use super::*;
    use crate::{
        error::{ErrorKind, Retry},
        file::{directory::Directory, identity::Identity, store::FileStore},
        object::{ObjectStore as _, Properties},
        retry::{RetryPolicy, Retrying},
    };
    use migrate_core::capability::Condition;
    use migrate_core::{
        digest::Body,
        model::{Key, KeyRange},
    };

    fn store(root: &std::path::Path, disk: &Arc<Disk>) -> FileStore {
        let file = File::open(root).unwrap();
        let identity = Identity::of(&file).unwrap();
        let mut directory = Directory::new(file.into(), "test".into());
        directory.disk = Arc::clone(disk);
        FileStore { directory: Arc::new(directory), identity, replaces: false.into() }
    }

    fn body(text: &'static str) -> Body {
        Body::new(Bytes::from_static(text.as_bytes()))
    }

    /// A write at the root syncs the staged file, then the directory.
    const OF_THE_DIRECTORY: u64 = 2;

    #[tokio::test]
    async fn after_a_failed_sync_nothing_more_is_written_and_reading_goes_on() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join("old"), "old").unwrap();
        let disk = Disk::failing_at(OF_THE_DIRECTORY);
        let (store, beside) = (store(root.path(), &disk), store(other.path(), &disk));
        let none = Properties::default();
        let upload = beside.begin_upload(&"open".into(), &none, &()).await;
        assert!(upload.is_err(), "the second sync of this disk is that of the new upload's directory");

        let refused = store.put(&"new".into(), &body("new"), &none, &Condition::None).await.unwrap_err();
        assert!(refused.detail().contains("a sync failed"), "{refused}");
        for refused in [
            refused,
            store.delete(&"old".into(), &Condition::None).await.unwrap_err(),
            store.begin_upload(&"k".into(), &none, &()).await.unwrap_err(),
            beside.put(&"k".into(), &body("k"), &none, &Condition::Absent).await.unwrap_err(),
        ] {
            assert_eq!((refused.kind(), refused.kind().retry()), (ErrorKind::Unsynced, Retry::Permanent), "{refused}");
            assert!(refused.kind().mend().is_some());
        }
        assert!(root.path().join("old").exists() && !root.path().join("new").exists());
        assert!(store.head(&"old".into()).await.unwrap().is_some());
        assert_eq!(store.list(KeyRange::all()).next().await.unwrap().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_write_whose_directory_was_not_synced_is_not_settled_by_looking() {
        let root = tempfile::tempdir().unwrap();
        let store =
            Retrying::new(Arc::new(store(root.path(), &Disk::failing_at(OF_THE_DIRECTORY))), RetryPolicy::default());
        let (key, none) = (Key::from("k"), Properties::default());
        let failed = store.put(&key, &body("new"), &none, &Condition::Absent).await.unwrap_err();
        assert!(failed.outcome_unknown(), "it may be there after a crash, or not: {failed}");
        assert_eq!(failed.kind(), ErrorKind::Unsynced);
        // In memory the object is there and equals the body of the write.
        assert_eq!(fs::read(root.path().join("k")).unwrap(), b"new");
        let again = store.put(&key, &body("new"), &none, &Condition::Absent).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Unsynced, "{again}");
    }

    #[tokio::test]
    async fn a_file_that_was_not_synced_gets_no_name() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path(), &Disk::failing_at(1));
        let none = Properties::default();
        let failed = store.put(&"k".into(), &body("new"), &none, &Condition::None).await.unwrap_err();
        assert_eq!((failed.kind(), failed.outcome_unknown()), (ErrorKind::Unsynced, false), "{failed}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left over");
    }

    #[tokio::test]
    async fn a_part_that_was_not_synced_is_not_written() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::failing_at(u64::MAX);
        let store = store(root.path(), &disk);
        let (key, data) = (Key::from("k"), body("part"));
        let upload = store.begin_upload(&key, &Properties::default(), &()).await.unwrap();
        disk.fails_at.store(1, std::sync::atomic::Ordering::Relaxed);
        let failed = store.put_part(&upload, 1, 0, &data).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unsynced, "{failed}");
        assert!(store.list_parts(&upload).await.unwrap().is_empty());
        let refused = store
            .finish_upload(&upload, &[], &data.evidence(), &Properties::default(), &Condition::None)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsynced, "{refused}");
        assert_eq!(store.abort_upload(&upload).await.unwrap_err().kind(), ErrorKind::Unsynced);
    }

    #[test]
    fn stores_on_one_file_system_share_its_failure() {
        assert!(Arc::ptr_eq(&Disk::of(7), &Disk::of(7)));
        assert!(!Arc::ptr_eq(&Disk::of(7), &Disk::of(8)));
    }
}
