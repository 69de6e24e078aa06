//! Listing a directory tree in byte order of the full key, in bounded memory.
//!
//! In that order a directory sorts as `name/`, so its keys come at their place: `a-b`, `a/x`, `a0`. Of each
//! directory on the path at most [`WINDOW_NAMES`] names are held. A first scan keeps the smallest ones and drops
//! the others: most directories are smaller, and a caller that asks for one page should not pay for all. When these
//! are used up and there are more, a second scan sorts all the others in a file without a name
//! ([`spill`](super::spill)). So a directory of any size is read once or twice. The scan skips names outside the
//! range; it neither holds nor looks at them.
//!
//! A listing under way may or may not show files that come or go meanwhile, as with any store.

use std::{ffi::CStr, io, os::fd::OwnedFd, path::Path, sync::Arc};

use async_trait::async_trait;
use rustix::{
    fs::{AtFlags, Dir, FileType, statat},
    io::Errno,
};

use super::{
    directory::{Directory, entry_of, open_directory, run_blocking},
    path::{RESERVED, is_staging},
    spill::{Name, Sorted, Sorter},
    write::sweep_staged,
};
use crate::{
    error::{ErrorKind, StoreError},
    object::{Entry, Listing, Result},
};
use migrate_core::{
    model::{Key, KeyRange},
    shard,
};

/// The most names held per directory (twice as many during a scan): at some 48 bytes each, 6 MB; at worst 35 MB.
const WINDOW_NAMES: usize = 131_072;

/// Entries in a page.
const PAGE_ENTRIES: usize = 1_000;

/// A listing of a directory.
pub(super) struct FileListing {
    directory: Arc<Directory>,
    range: KeyRange,
    window: usize,
    /// Absent at the start, after an error and after a cancelled call; then rebuilt from the last key that was
    /// handed out.
    walk: Option<Walk>,
    ended: bool,
}

impl FileListing {
    pub(super) fn new(directory: Arc<Directory>, range: KeyRange) -> Self {
        Self { directory, range, window: WINDOW_NAMES, walk: None, ended: false }
    }

    /// The key, if the range holds only one: the walk then looks at this name, not at the whole directory, which
    /// may be very large.
    fn name(&self) -> Option<Key> {
        self.range.until.clone().filter(|key| shard::only(key) == self.range)
    }
}

#[async_trait]
impl Listing for FileListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        if self.ended {
            return Ok(None);
        }
        if let Some(key) = self.name() {
            let directory = self.directory.clone();
            let entry = run_blocking(&self.directory, "list", 0, move || directory.entry(&key)).await?;
            self.ended = true;
            return Ok(entry.map(|entry| vec![entry]));
        }
        let walk = self.walk.take();
        let (directory, range, window) = (self.directory.clone(), self.range.clone(), self.window);
        let (page, walk) = run_blocking(&self.directory, "list", 0, move || {
            let mut walk = match walk {
                Some(walk) => walk,
                None => Walk::new(directory, range, window)?,
            };
            let page = walk.page()?;
            Ok((page, walk))
        })
        .await?;
        // After an error within the page, the entries before it are handed out first.
        self.walk = if walk.failed { None } else { Some(walk) };
        let Some(last) = page.last() else {
            self.ended = true;
            return Ok(None);
        };
        self.range.after = Some(last.key.clone());
        Ok(Some(page))
    }
}

/// The position of a walk: the directories from the root to the one being listed.
struct Walk {
    directory: Arc<Directory>,
    range: KeyRange,
    window: usize,
    levels: Vec<Level>,
    failed: bool,
}

/// A directory on the path.
struct Level {
    fd: OwnedFd,
    /// Its path as a prefix of keys: empty, or ending in `/`.
    prefix: String,
    names: Names,
    /// Names up to and including this one are done.
    floor: Option<Box<[u8]>>,
}

/// The remaining names of a directory.
enum Names {
    /// The directory was not read yet.
    Unread,
    /// The smallest ones, descending, so the next one is at the end; and whether there are more.
    Window(Vec<Name>, bool),
    /// All names after the first window.
    Spilled(Sorted),
}

/// Why a directory could not be read.
enum Unread {
    Directory(Errno),
    Spill(io::Error),
}

impl From<Errno> for Unread {
    fn from(errno: Errno) -> Self {
        Self::Directory(errno)
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Spill(error)
    }
}

impl Walk {
    fn new(directory: Arc<Directory>, range: KeyRange, window: usize) -> Result<Self> {
        let fd = directory.open("").map_err(|errno| directory.failed("list", None, errno))?;
        if directory.sweeps() {
            directory.sweep_uploads();
        }
        let root = Level { fd, prefix: String::new(), names: Names::Unread, floor: None };
        Ok(Self { directory, range, window, levels: vec![root], failed: false })
    }

    /// The next page; empty at the end.
    fn page(&mut self) -> Result<Vec<Entry>> {
        let mut page = Vec::new();
        while page.len() < PAGE_ENTRIES && !self.levels.is_empty() {
            match self.step() {
                Ok(Some(entry)) => page.push(entry),
                Ok(None) => {}
                Err(error) if page.is_empty() => return Err(error),
                Err(_) => {
                    self.failed = true;
                    break;
                }
            }
        }
        Ok(page)
    }

    /// Goes forward by one name.
    fn step(&mut self) -> Result<Option<Entry>> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let name = match level.next(&self.range, self.window, &self.directory) {
            Ok(Some(name)) => name,
            Ok(None) => {
                self.levels.pop();
                return Ok(None);
            }
            Err(Unread::Directory(errno)) => return Err(self.failed_in_top(errno)),
            Err(Unread::Spill(error)) => return Err(self.not_sorted(error)),
        };
        level.floor = Some(name.0.clone());
        let bare = name.bare();
        let Ok(text) = std::str::from_utf8(bare) else {
            let shown = Key::new(format!("{}{}", level.prefix, String::from_utf8_lossy(bare)));
            let detail = "the file name is not UTF-8 and cannot be a key; rename or exclude it";
            return Err(self.directory.error(ErrorKind::Other, "list", Some(&shown), detail));
        };
        if name.is_directory() {
            match open_directory(&level.fd, text) {
                Ok(fd) => {
                    let prefix = format!("{}{text}/", level.prefix);
                    self.levels.push(Level { fd, prefix, names: Names::Unread, floor: None });
                }
                // The directory vanished, or is no directory any more.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => {
                    let path = Key::new(format!("{}{text}/", level.prefix));
                    return Err(self.directory.failed("list", Some(&path), errno));
                }
            }
            return Ok(None);
        }
        let key = Key::new(format!("{}{text}", level.prefix));
        match statat(&level.fd, text, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(entry_of(key, &stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.directory.failed("list", Some(&key), errno)),
        }
    }

    /// The names of a directory could not be sorted on disk.
    fn not_sorted(&self, error: io::Error) -> StoreError {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let (kind, why) =
            if full { (ErrorKind::Full, "no room is left there") } else { (ErrorKind::Other, "it failed") };
        let detail = format!(
            "a directory has more names than are held in memory, and {} is to sort them on disk, but {why}: \
             make room there, or name another directory (--state of a run, TMPDIR of a look)",
            self.directory.spill.display()
        );
        self.directory.error(kind, "list", None, detail).because(error)
    }

    fn failed_in_top(&self, errno: Errno) -> StoreError {
        let path = self.levels.last().map(|level| Key::new(level.prefix.as_str()));
        self.directory.failed("list", path.as_ref().filter(|path| !path.as_str().is_empty()), errno)
    }
}

impl Level {
    /// The next name in the range.
    fn next(&mut self, range: &KeyRange, window: usize, of: &Directory) -> Result<Option<Name>, Unread> {
        loop {
            self.names = match &mut self.names {
                Names::Unread => self.first_window(range, window, of.sweeps())?,
                Names::Window(names, more) => match names.pop() {
                    None if *more => Names::Spilled(self.sort_rest(range, window, &of.spill)?),
                    name => return Ok(name),
                },
                Names::Spilled(sorted) => return Ok(sorted.next()?),
            };
        }
    }

    /// The smallest names in the range.
    fn first_window(&self, range: &KeyRange, window: usize, sweeps: bool) -> Result<Names, Unread> {
        let (mut names, mut ceiling): (Vec<Name>, Option<Name>) = (Vec::new(), None);
        self.scan(range, sweeps, |name| {
            if ceiling.as_ref().is_some_and(|ceiling| *name > *ceiling.0) {
                return Ok(());
            }
            names.push(Name(name.into()));
            // Cut at twice the window, so the cost per name is constant.
            if names.len() >= window * 2 {
                ceiling = Some(cut(&mut names, window));
            }
            Ok(())
        })?;
        let more = ceiling.is_some() || names.len() > window;
        if names.len() > window {
            cut(&mut names, window);
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Names::Window(names, more))
    }

    /// All remaining names in the range.
    fn sort_rest(&self, range: &KeyRange, window: usize, spill: &Path) -> Result<Sorted, Unread> {
        let mut sorter = Sorter::new(spill, window)?;
        self.scan(range, false, |name| Ok(sorter.push(Name(name.into()))?))?;
        Ok(sorter.finish()?)
    }

    /// Reads the directory: every name above the floor that lies in the range, in no order.
    fn scan(
        &self,
        range: &KeyRange,
        sweeps: bool,
        mut take: impl FnMut(&[u8]) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        #[cfg(test)]
        tests::count_read();
        // The loop drops most names of a large directory, so it is kept cheap.
        let mut name = Vec::new();
        for found in Dir::read_from(&self.fd)? {
            let found = match found {
                // The directory itself was removed.
                Err(Errno::NOENT) => break,
                found => found?,
            };
            if self.take_name(found.file_name(), found.file_type(), sweeps, &mut name)? && self.wanted(&name, range) {
                take(&name)?;
            }
        }
        Ok(())
    }

    /// Puts a name into `name` in the form that sorts; `false` if a listing must not show it.
    fn take_name(&self, found: &CStr, kind: FileType, sweeps: bool, name: &mut Vec<u8>) -> Result<bool, Errno> {
        let bytes = found.to_bytes();
        if bytes == b"." || bytes == b".." {
            return Ok(false);
        }
        if bytes.starts_with(RESERVED.as_bytes()) {
            if sweeps
                && is_staging(bytes)
                && let Ok(staged) = found.to_str()
                && sweep_staged(&self.fd, staged)
            {
                tracing::debug!(directory = self.prefix, "removed what a process that is gone had staged");
            }
            return Ok(false);
        }
        let kind = match kind {
            // Some file systems do not tell the type in the directory itself.
            FileType::Unknown => match statat(&self.fd, found, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => return Ok(false),
                Err(errno) => return Err(errno),
            },
            kind => kind,
        };
        name.clear();
        name.extend_from_slice(bytes);
        if kind == FileType::Directory {
            name.push(b'/');
        }
        Ok(true)
    }

    /// Whether a name is above the floor and the range may hold it or anything below it.
    fn wanted(&self, name: &[u8], range: &KeyRange) -> bool {
        if self.floor.as_ref().is_some_and(|floor| *name <= **floor) {
            return false;
        }
        let prefix = self.prefix.as_bytes();
        let above = range.after.as_ref().is_none_or(|after| match after.as_str().as_bytes().strip_prefix(prefix) {
            // `after` lies below this directory: names above it, or directories on the way to it.
            Some(rest) => name > rest || (name.ends_with(b"/") && rest.starts_with(name)),
            None => prefix > after.as_str().as_bytes(),
        });
        let below = range.until.as_ref().is_none_or(|until| match until.as_str().as_bytes().strip_prefix(prefix) {
            Some(rest) => name <= rest,
            None => prefix < until.as_str().as_bytes(),
        });
        above && below
    }
}

/// Keeps the `window` smallest names and returns the largest of them.
fn cut(names: &mut Vec<Name>, window: usize) -> Name {
    let (_, largest, _) = names.select_nth_unstable(window - 1);
    let largest = largest.clone();
    names.truncate(window);
    largest
}

/// All keys.
#[cfg(test)]
pub(super) fn keys_of(directory: &Arc<Directory>) -> Vec<String> {
    let mut walk = Walk::new(Arc::clone(directory), KeyRange::all(), WINDOW_NAMES).expect("it can be listed");
    let page = walk.page().expect("it can be listed");
    page.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// How often this thread has read a directory.
        static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    pub(super) fn count_read() {
        READS.set(READS.get() + 1);
    }

    #[test]
    fn a_flat_directory_is_read_twice_however_many_names_it_has() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3_000).map(|n| format!("{n:05}")).collect();
        for name in &names {
            fs::write(root.path().join(name), "").unwrap();
        }
        for (window, reads) in [(4_000, 1), (3_000, 1), (2_999, 2), (100, 2), (7, 2)] {
            READS.set(0);
            assert!(keys(root.path(), KeyRange::all(), window) == names, "a window of {window}");
            assert_eq!(READS.get(), reads, "a window of {window}");
        }
        READS.set(0);
        let fd = fs::File::open(root.path()).unwrap().into();
        let mut walk = Walk::new(Arc::new(Directory::new(fd, "test".into())), KeyRange::all(), 2_000).unwrap();
        assert_eq!(walk.page().unwrap().len(), PAGE_ENTRIES);
        assert_eq!(READS.get(), 1, "who asks for one page does not pay for all");
    }

    #[tokio::test]
    async fn whether_one_name_is_there_is_not_asked_of_the_whole_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("here"), "").unwrap();
        let directory = Arc::new(Directory::new(fs::File::open(root.path()).unwrap().into(), "test".into()));
        for (key, there) in [("here", true), ("gone", false)] {
            let mut listing = FileListing::new(directory.clone(), shard::only(&key.into()));
            assert_eq!(listing.name(), Some(key.into()));
            let found = listing.next().await.unwrap().map(|page| page.into_iter().map(|entry| entry.key).collect());
            assert_eq!(found, there.then(|| vec![Key::from(key)]));
            assert_eq!(listing.next().await.unwrap(), None);
        }
        let between = KeyRange { after: None, until: Some("here".into()) };
        assert_eq!(FileListing::new(directory, between).name(), None);
    }

    #[test]
    fn a_place_to_sort_that_is_not_there_is_named() {
        let root = tempfile::tempdir().unwrap();
        for n in 0..10 {
            fs::write(root.path().join(n.to_string()), "").unwrap();
        }
        let mut directory = Directory::new(fs::File::open(root.path()).unwrap().into(), "test".into());
        directory.spill = root.path().join("not there");
        let mut walk = Walk::new(Arc::new(directory), KeyRange::all(), 4).unwrap();
        assert_eq!(walk.page().unwrap().len(), 4, "what came before is handed out");
        let error = walk.page().unwrap_err();
        assert!(error.detail().contains("not there") && error.detail().contains("TMPDIR"), "{error}");
    }

    fn listing(root: &Path, range: KeyRange, window: usize) -> FileListing {
        let fd = fs::File::open(root).unwrap().into();
        let directory = Arc::new(Directory::new(fd, "test".into()));
        FileListing { window, ..FileListing::new(directory, range) }
    }

    fn keys(root: &Path, range: KeyRange, window: usize) -> Vec<String> {
        let fd = fs::File::open(root).unwrap().into();
        let mut walk = Walk::new(Arc::new(Directory::new(fd, "test".into())), range, window).unwrap();
        let mut keys = Vec::new();
        loop {
            let page = walk.page().unwrap();
            if page.is_empty() {
                return keys;
            }
            let held = |level: &Level| match &level.names {
                Names::Window(names, _) => names.len(),
                Names::Unread | Names::Spilled(_) => 0,
            };
            assert!(walk.levels.iter().all(|level| held(level) <= window), "the window is bounded");
            keys.extend(page.into_iter().map(|entry| entry.key.as_str().to_owned()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// For any names, range and window, the walk lists what a sorted set would.
        #[test]
        fn a_walk_lists_the_range_in_byte_order(
            made in proptest::collection::btree_set("[a-c!0é]{1,2}(/[a-c!0é]{1,2}){0,3}", 0..40),
            after in proptest::option::of("[a-c!0é/]{0,5}"),
            until in proptest::option::of("[a-c!0é/]{0,5}"),
            window in 1_usize..5,
        ) {
            let root = tempfile::tempdir().unwrap();
            let mut held = Vec::new();
            for key in &made {
                let path = root.path().join(key);
                // `a` and `a/b` cannot coexist; the first one stays.
                if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() && fs::write(&path, "x").is_ok() {
                    held.push(key.clone());
                }
            }
            held.sort();
            let range = KeyRange { after: after.map(Key::new), until: until.map(Key::new) };
            held.retain(|key| range.contains(&Key::new(key.as_str())));
            prop_assert_eq!(keys(root.path(), range, window), held);
        }
    }

    #[tokio::test]
    async fn links_and_pipes_are_shown_with_their_problem_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        let page = listing(root.path(), KeyRange::all(), 8).next().await.unwrap().unwrap();
        let shown: Vec<_> = page.iter().map(|e| (e.key.as_str(), e.problem.as_deref().unwrap())).collect();
        assert_eq!(shown.iter().map(|s| s.0).collect::<Vec<_>>(), ["dangling", "link", "socket"]);
        assert!(shown[0].1.contains("symbolic link") && shown[2].1.contains("socket"), "{shown:?}");
    }

    #[tokio::test]
    async fn a_name_that_is_not_utf8_stops_the_listing_after_what_came_before() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "x").unwrap();
        fs::write(root.path().join(OsStr::from_bytes(b"b\xff")), "x").unwrap();
        fs::write(root.path().join("c"), "x").unwrap();
        let mut listed = listing(root.path(), KeyRange::all(), 8);
        assert_eq!(listed.next().await.unwrap().unwrap().len(), 1);
        for _ in 0..2 {
            let error = listed.next().await.unwrap_err();
            assert!(error.detail().contains('b') && error.kind().retry() == crate::error::Retry::Permanent, "{error}");
        }
        // Outside the range the name does no harm.
        assert_eq!(keys(root.path(), KeyRange { until: Some("a".into()), after: None }, 8), ["a"]);
        assert!(keys(root.path(), KeyRange { until: None, after: Some("c".into()) }, 8).is_empty());
    }

    #[test]
    fn reserved_names_and_empty_directories_are_not_listed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("empty/deep")).unwrap();
        fs::create_dir_all(root.path().join(RESERVED)).unwrap();
        fs::write(root.path().join(RESERVED).join("x.data"), "x").unwrap();
        fs::write(root.path().join(format!("{RESERVED}0123")), "x").unwrap();
        fs::write(root.path().join("kept"), "x").unwrap();
        assert_eq!(keys(root.path(), KeyRange::all(), 8), ["kept"]);
    }

    #[tokio::test]
    async fn a_listing_goes_on_when_files_vanish_between_pages() {
        let root = tempfile::tempdir().unwrap();
        for n in 0..2_500 {
            fs::write(root.path().join(format!("{n:05}")), "x").unwrap();
        }
        let mut listed = listing(root.path(), KeyRange::all(), 600);
        let first = listed.next().await.unwrap().unwrap();
        assert_eq!(first.len(), PAGE_ENTRIES);
        for n in 1_000..1_100 {
            fs::remove_file(root.path().join(format!("{n:05}"))).unwrap();
        }
        let mut rest = Vec::new();
        while let Some(page) = listed.next().await.unwrap() {
            rest.extend(page);
        }
        assert_eq!(rest.len(), 1_400);
        assert_eq!(rest[0].key.as_str(), "01100");
        assert!(listed.next().await.unwrap().is_none(), "the end stays the end");
    }
}
