//! The files that hold the items of our own directories, and their logs.

use std::{collections::BTreeMap, io::Read as _, os::fd::OwnedFd};

use migrate_core::{capability::Condition, digest::Body, item::Item, model::Key};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, statat},
    io::Errno,
};

use super::{
    journal::{self, Change, Changes},
    lines::{self, Digest, Keys},
};
use crate::{
    error::{ErrorKind, StoreError},
    file::{
        directory::{Directory, absent_is_none},
        path,
    },
    object::Result,
};

/// How large files become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Beyond this many bytes the changes of the journal are moved to the logs of their files.
    pub(super) journal: usize,
    /// A log up to this many bytes is not folded before the end.
    pub(super) log: usize,
    /// A file whose items have more bytes is split.
    pub(super) split: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { journal: 16 << 20, log: 256 << 10, split: 1 << 20 }
    }
}

/// Digits after which a file is missing and not only split.
const DEPTH_MAX: usize = 16;
const DIGITS: &str = "0123456789abcdef";

/// Where the files with items are.
const DATA: &str = "data";

/// Items by the digests of their keys.
pub(super) type Items = BTreeMap<Digest, Item>;

/// The name of the directory for what is not in its file yet.
pub(super) fn work() -> String {
    format!("{}table", path::RESERVED)
}

fn data_key(prefix: &str) -> Key {
    Key::new(format!("{DATA}/{prefix}.json"))
}

/// The first digits of a digest, as text.
fn digits(digest: &Digest) -> String {
    hex::encode(&digest[..DEPTH_MAX / 2])
}

/// Whether the items under a digest are in this file.
pub(super) fn is_of(digest: &Digest, leaf: &str) -> bool {
    digits(digest).starts_with(leaf)
}

/// The first digest of a file.
pub(super) fn first_of(leaf: &str) -> Digest {
    let mut first = [0; 32];
    for (at, digit) in leaf.chars().take(2 * first.len()).enumerate() {
        let digit = digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
        first[at / 2] |= if at % 2 == 0 { digit << 4 } else { digit };
    }
    first
}

/// The first digest after those of a file; `None` after the last one.
pub(super) fn after(leaf: &str) -> Option<Digest> {
    let stem = leaf.trim_end_matches('f');
    let last = stem.chars().last()?.to_digit(16)?;
    Some(first_of(&format!("{}{:x}", &stem[..stem.len() - 1], last + 1)))
}

/// The files of one directory.
#[derive(Debug)]
pub(super) struct Leaves<'a> {
    pub(super) directory: &'a Directory,
    pub(super) keys: &'a Keys,
    pub(super) sizes: Sizes,
}

impl Leaves<'_> {
    /// Makes the files of a new table, all empty.
    pub(super) fn make(&self) -> Result<()> {
        for digit in DIGITS.chars() {
            self.write(&digit.to_string(), &Items::new())?;
        }
        Ok(())
    }

    /// The file that holds the items under a digest.
    pub(super) fn leaf(&self, digest: &Digest) -> Result<String> {
        let all = digits(digest);
        for length in 1..=DEPTH_MAX {
            if self.exists(&all[..length])? {
                return Ok(all[..length].to_owned());
            }
        }
        let detail = format!("the file {DATA}/{}.json is missing, and so are those that it was split into", &all[..1]);
        Err(self.error("read", detail))
    }

    fn exists(&self, prefix: &str) -> Result<bool> {
        let failed = |errno| self.directory.failed("look at", Some(&data_key(prefix)), errno);
        let Some(data) = absent_is_none(self.directory.open(DATA)).map_err(failed)? else { return Ok(false) };
        let found = absent_is_none(statat(&data, format!("{prefix}.json"), AtFlags::SYMLINK_NOFOLLOW));
        Ok(found.map_err(failed)?.is_some())
    }

    /// The items of a file and its log. Fails, with file and line, if a line is none of this file.
    pub(super) fn load(&self, leaf: &str) -> Result<Items> {
        let mut items = self.base(leaf)?;
        for (digest, change) in self.log(leaf)?.changes {
            apply(&mut items, digest, &change).map_err(|detail| self.error("read", detail))?;
        }
        Ok(items)
    }

    fn base(&self, leaf: &str) -> Result<Items> {
        let bytes = self.directory.read(&data_key(leaf), None, None)?.bytes;
        let mut items = Items::new();
        let mut at: BTreeMap<Digest, usize> = BTreeMap::new();
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let number = number + 1;
            let wrong = |detail: String| self.error("read", format!("{DATA}/{leaf}.json, line {number}: {detail}"));
            if line.trim_ascii().is_empty() {
                continue;
            }
            let item = lines::read(line).map_err(wrong)?;
            let digest = self.keys.digest_of(&item).map_err(wrong)?;
            if !is_of(&digest, leaf) {
                let place = self.leaf(&digest)?;
                return Err(wrong(format!(
                    "the digest of its key says that the item belongs into {DATA}/{place}.json; without {}, all files \
                     are read as plain lines",
                    super::description::NAME
                )));
            }
            if let Some(before) = at.insert(digest, number) {
                return Err(wrong(format!("the item of line {before} has the same key")));
            }
            items.insert(digest, item);
        }
        Ok(items)
    }

    fn log(&self, leaf: &str) -> Result<journal::Read> {
        let bytes = self.work_file(leaf)?;
        let log = journal::read(&bytes, self.keys);
        log.map_err(|detail| self.error("read", format!("the log of {DATA}/{leaf}.json: {detail}")))
    }

    /// The bytes of a file beside the files with items; none if there is no such file.
    pub(super) fn work_file(&self, name: &str) -> Result<Vec<u8>> {
        let failed = |errno| self.directory.failed("read", None, errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.directory.open(&work()).and_then(|work| openat(&work, name, flags, Mode::empty()));
        let Some(file) = absent_is_none(opened).map_err(failed)? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file).read_to_end(&mut bytes);
        read.map_err(|cause| failed(Errno::from_io_error(&cause).unwrap_or(Errno::IO)))?;
        Ok(bytes)
    }

    /// Replaces a file.
    fn write(&self, leaf: &str, items: &Items) -> Result<()> {
        let mut text = Vec::new();
        for item in items.values() {
            lines::write(item, &mut text);
        }
        self.directory.put(&data_key(leaf), &Body::new(text.into()), &Condition::None).map(|_| ())
    }

    /// Moves changes to the logs of their files, durably. Folds the logs that have become as large as their files.
    pub(super) fn take(&self, changes: &Changes) -> Result<()> {
        let failed = |errno| self.directory.failed("write", None, errno);
        let mut large = Vec::new();
        let work = self.directory.make(&work()).map_err(failed)?;
        let mut rest = changes.iter().peekable();
        while let Some((first, _)) = rest.peek() {
            let leaf = self.leaf(first)?;
            let ours = std::iter::from_fn(|| rest.next_if(|(digest, _)| is_of(digest, &leaf)));
            let text = journal::batch(ours.map(|(_, change)| change));
            let log = self.work_file(&leaf)?;
            // A torn batch at its end is still in the journal.
            let at = journal::read(&log, self.keys).map_err(|detail| self.error("write", detail))?.whole;
            let file = journal::append(&work, &leaf, at, &text).map_err(failed)?;
            self.directory.disk.sync_data(&file).map_err(failed)?;
            let size = absent_is_none(self.size(&data_key(&leaf))).map_err(failed)?.unwrap_or(0);
            if at + text.len() > size.max(self.sizes.log) {
                large.push(leaf);
            }
        }
        self.directory.disk.sync(&work).map_err(failed)?;
        large.iter().try_for_each(|leaf| self.fold(leaf))
    }

    fn size(&self, key: &Key) -> Result<usize, Errno> {
        let (directory, name) = path::split(key.as_str());
        let directory = self.directory.open(directory)?;
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(usize::try_from(stat.st_size).unwrap_or(usize::MAX))
    }

    /// Folds the log of a file into it, and splits it if it is large.
    fn fold(&self, leaf: &str) -> Result<()> {
        let failed = |errno| self.directory.failed("write", Some(&data_key(leaf)), errno);
        let items = self.load(leaf)?;
        let bytes: usize = items.values().map(migrate_core::item::item_size).sum();
        if bytes > self.sizes.split && leaf.len() < DEPTH_MAX {
            for digit in DIGITS.chars() {
                let child = format!("{leaf}{digit}");
                let ours = items.iter().filter(|(digest, _)| is_of(digest, &child));
                self.write(&child, &ours.map(|(digest, item)| (*digest, item.clone())).collect())?;
            }
            let data = self.directory.open(DATA).map_err(failed)?;
            self.forget(&data, &format!("{leaf}.json")).map_err(failed)?;
        } else {
            self.write(leaf, &items)?;
        }
        let work = self.directory.make(&work()).map_err(failed)?;
        self.forget(&work, leaf).map_err(failed)
    }

    fn forget(&self, directory: &OwnedFd, name: &str) -> Result<(), Errno> {
        journal::remove(directory, name)?;
        self.directory.disk.sync(directory)
    }

    /// Folds every log.
    pub(super) fn fold_all(&self) -> Result<()> {
        for leaf in self.names(&work())? {
            if leaf.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                self.fold(&leaf)?;
            }
        }
        Ok(())
    }

    /// Removes what a split that was cut off left behind.
    pub(super) fn mend(&self) -> Result<()> {
        let failed = |errno| self.directory.failed("open", None, errno);
        for name in self.names(DATA)? {
            let Some(leaf) = name.strip_suffix(".json") else { continue };
            for length in 1..leaf.len() {
                if leaf.is_char_boundary(length) && self.exists(&leaf[..length])? {
                    // The file that was to be split is still there, and it is the one that counts.
                    let data = self.directory.open(DATA).map_err(failed)?;
                    self.forget(&data, &name).map_err(failed)?;
                    break;
                }
            }
        }
        for leaf in self.names(&work())? {
            let hexadecimal = leaf.bytes().all(|byte| byte.is_ascii_hexdigit());
            if hexadecimal && !self.exists(&leaf)? {
                // Its file was split, and what the log holds is in the new ones; if they are missing, this fails.
                self.leaf(&first_of(&leaf))?;
                let work = self.directory.open(&work()).map_err(failed)?;
                self.forget(&work, &leaf).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The names in a directory; none if it is not there.
    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let failed = |errno| self.directory.failed("list", None, errno);
        let Some(fd) = absent_is_none(self.directory.open(directory)).map_err(failed)? else { return Ok(Vec::new()) };
        names(&fd).map_err(failed)
    }

    pub(super) fn error(&self, operation: &'static str, detail: impl Into<Box<str>>) -> StoreError {
        self.directory.error(ErrorKind::Other, operation, None, detail)
    }
}

/// The names in an open directory, sorted. Names that are no text are left out: none of ours is.
pub(super) fn names(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Carries out one change; the error is a phrase.
pub(super) fn apply(items: &mut Items, digest: Digest, change: &Change) -> Result<(), String> {
    match change {
        Change::Put(line) => items.insert(digest, lines::read(line.trim_ascii_end())?),
        Change::Delete(_) => items.remove(&digest),
    };
    Ok(())
}
