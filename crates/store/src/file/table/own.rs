//! Our own directories: writes, reads and the journal.

use std::collections::{BTreeMap, BTreeSet};

use migrate_core::{
    item::{Item, ItemKey},
    table::Structure,
};

use super::{
    journal::{self, Change, Changes},
    leaves::{self, Items, Leaves, Sizes},
    lines::{self, Digest, Keys},
    sorted::{Page, Part},
};
use crate::{
    error::{ErrorKind, StoreError},
    file::directory::Directory,
    object::Result,
    table::{GET_MAX, ItemWrite, WRITE_MAX},
};

const JOURNAL: &str = "journal";

/// A directory that this tool made.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) structure: Structure,
    pub(super) keys: Keys,
    sizes: Sizes,
    /// What the journal holds.
    changes: Changes,
    /// How long the journal is, up to its last whole batch.
    journal_bytes: usize,
    /// Whether this process has mended what a crash left, which only a writer does.
    mended: bool,
}

impl Own {
    /// Opens a directory. Writes nothing.
    pub(super) fn open(directory: &Directory, structure: Structure, sizes: Sizes) -> Result<Self> {
        let keys = Keys::of(&structure);
        let text = Leaves { directory, keys: &keys, sizes }.work_file(JOURNAL)?;
        let journal = journal::read(&text, &keys);
        let journal = journal.map_err(|detail| {
            directory.error(ErrorKind::Other, "open", None, format!("the journal of the table: {detail}"))
        })?;
        let (changes, journal_bytes) = (journal.changes, journal.whole);
        Ok(Self { structure, keys, sizes, changes, journal_bytes, mended: false })
    }

    fn leaves<'a>(&'a self, directory: &'a Directory) -> Leaves<'a> {
        Leaves { directory, keys: &self.keys, sizes: self.sizes }
    }

    /// The digest of each write's key, with the change that it is. Fails if one cannot be held, or a key is there twice.
    fn checked(&self, directory: &Directory, writes: &[ItemWrite]) -> Result<Vec<(Digest, Change)>> {
        let wrong = |detail: String| directory.error(ErrorKind::Other, "write", None, detail);
        if writes.len() > WRITE_MAX {
            return Err(wrong(format!("a batch has at most {WRITE_MAX} writes")));
        }
        let mut seen = BTreeSet::new();
        let mut checked = Vec::new();
        for write in writes {
            let digest = match write {
                ItemWrite::Put(item) => self.keys.digest_of(item),
                ItemWrite::Delete(key) => self.keys.digest(key),
            };
            let digest = digest.map_err(wrong)?;
            if !seen.insert(digest) {
                return Err(wrong("a batch has one key twice".to_owned()));
            }
            let change = match write {
                ItemWrite::Put(item) => Change::put(item),
                ItemWrite::Delete(key) => Change::delete(&self.keys, key),
            };
            checked.push((digest, change));
        }
        Ok(checked)
    }

    /// Carries out a batch: all of it is on the disk when this returns.
    pub(super) fn write(&mut self, directory: &Directory, writes: &[ItemWrite]) -> Result<()> {
        let checked = self.checked(directory, writes)?;
        if checked.is_empty() {
            return Ok(());
        }
        self.must_be_writable(directory)?;
        if self.journal_bytes > self.sizes.journal {
            self.empty_journal(directory)?;
        }
        let failed = |errno| directory.failed("write", None, errno);
        let text = journal::batch(checked.iter().map(|(_, change)| change));
        let work = directory.make(&leaves::work()).map_err(failed)?;
        let file = journal::append(&work, JOURNAL, self.journal_bytes, &text).map_err(failed)?;
        let unknown = |errno| failed(errno).with_unknown_outcome();
        directory.disk.sync_data(&file).map_err(unknown)?;
        if self.journal_bytes == 0 {
            directory.disk.sync(&work).map_err(unknown)?;
        }
        self.journal_bytes += text.len();
        self.changes.extend(checked);
        Ok(())
    }

    fn must_be_writable(&mut self, directory: &Directory) -> Result<()> {
        if let Some(errno) = directory.disk.failure() {
            return Err(directory.failed("write", None, errno));
        }
        if !self.mended {
            self.leaves(directory).mend()?;
            self.mended = true;
        }
        Ok(())
    }

    /// Moves what the journal holds to the logs of its files.
    fn empty_journal(&mut self, directory: &Directory) -> Result<()> {
        self.leaves(directory).take(&self.changes)?;
        let failed = |errno| directory.failed("write", None, errno);
        let work = directory.make(&leaves::work()).map_err(failed)?;
        journal::remove(&work, JOURNAL).map_err(failed)?;
        directory.disk.sync(&work).map_err(failed)?;
        self.changes.clear();
        self.journal_bytes = 0;
        Ok(())
    }

    /// Folds everything into its files, and removes what is not needed any more.
    pub(super) fn close(&mut self, directory: &Directory) -> Result<()> {
        let failed = |errno| directory.failed("close", None, errno);
        if crate::file::directory::absent_is_none(directory.open(&leaves::work())).map_err(failed)?.is_none() {
            return Ok(());
        }
        self.must_be_writable(directory)?;
        if self.journal_bytes > 0 {
            self.empty_journal(directory)?;
        }
        self.leaves(directory).fold_all()?;
        let work = directory.open(&leaves::work()).map_err(failed)?;
        // A journal without a whole batch, if a crash left one.
        journal::remove(&work, JOURNAL).map_err(failed)?;
        drop(work);
        directory.forget(&leaves::work());
        rustix::fs::unlinkat(&directory.root, leaves::work(), rustix::fs::AtFlags::REMOVEDIR).map_err(failed)?;
        directory.disk.sync(&directory.root).map_err(failed)
    }

    fn load(&self, directory: &Directory, leaf: &str) -> Result<Items> {
        let leaves = self.leaves(directory);
        let mut items = leaves.load(leaf)?;
        let from = leaves::first_of(leaf);
        let ours = self.changes.range(from..).take_while(|(digest, _)| leaves::is_of(digest, leaf));
        for (digest, change) in ours {
            leaves::apply(&mut items, *digest, change).map_err(|detail| leaves.error("read", detail))?;
        }
        Ok(items)
    }

    /// The items of these keys, in their order.
    pub(super) fn get(&self, directory: &Directory, keys: &[ItemKey]) -> Result<Vec<Option<Item>>> {
        let digests = digests(directory, &self.keys, keys)?;
        let mut by_leaf: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut answers = vec![None; keys.len()];
        for (at, digest) in digests.iter().enumerate() {
            match self.changes.get(digest) {
                Some(Change::Put(line)) => {
                    let item = lines::read(line.trim_ascii_end());
                    let read = item.map_err(|detail| directory.error(ErrorKind::Other, "get", None, detail));
                    answers[at] = Some(read?);
                }
                Some(Change::Delete(_)) => {}
                None => by_leaf.entry(self.leaves(directory).leaf(digest)?).or_default().push(at),
            }
        }
        for (leaf, all) in by_leaf {
            let mut items = self.leaves(directory).load(&leaf)?;
            for at in all {
                answers[at] = items.remove(&digests[at]);
            }
        }
        Ok(answers)
    }

    /// The items of one file within a part of the digests.
    pub(super) fn page(&self, directory: &Directory, part: Part) -> Result<Page> {
        let mut from = part.from;
        loop {
            let leaf = self.leaves(directory).leaf(&from)?;
            let items = self.load(directory, &leaf)?;
            let items: Vec<_> = items.into_iter().filter(|(digest, _)| part.holds(digest)).collect();
            let next = leaves::after(&leaf).filter(|next| part.until.is_none_or(|until| *next < until));
            if !items.is_empty() || next.is_none() {
                let items = items.into_iter().map(|(_, item)| item).collect();
                return Ok(Page { items, more: next.is_some() });
            }
            from = next.unwrap_or(from);
        }
    }
}

/// The digests of keys that are to be read. Fails if there are too many, or two equal ones.
pub(super) fn digests(directory: &Directory, keys: &Keys, asked: &[ItemKey]) -> Result<Vec<Digest>, StoreError> {
    let wrong = |detail: String| directory.error(ErrorKind::Other, "get", None, detail);
    if asked.len() > GET_MAX {
        return Err(wrong(format!("a batch has at most {GET_MAX} keys")));
    }
    let digests = asked.iter().map(|key| keys.digest(key)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let distinct: BTreeSet<_> = digests.iter().collect();
    if distinct.len() < digests.len() { Err(wrong("a batch has one key twice".to_owned())) } else { Ok(digests) }
}
