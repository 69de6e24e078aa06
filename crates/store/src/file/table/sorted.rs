//! The lines of a plain directory, sorted by the digests of their keys.
//!
//! The lines are copied once to a file that has no name, and an index of them is sorted in runs and merged, into
//! others. So reading by key and in segments needs no memory that grows with the table, no end of the process leaves
//! anything behind, and two lines of one key meet. What it takes is room for one copy of the lines.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use migrate_core::item::Item;

use super::lines::Digest;
use crate::{file::spill, table::Segment};

/// Entries in memory before a run is written: 14 MB.
const RUN_ENTRIES: usize = 256 << 10;
/// Entries of one run that are read at once during a merge.
const BUFFER_ENTRIES: usize = 256;
/// Bytes of lines after which a page ends.
const PAGE_BYTES: u64 = 1 << 20;

/// A part of all digests, from one on and up to another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The first digest.
    pub(super) from: Digest,
    /// Whether the first one itself is left out: it was the last one of the page before.
    pub(super) without_first: bool,
    /// The first digest after it, if it is not the last part.
    pub(super) until: Option<Digest>,
}

impl Part {
    /// The digests of a segment, after one of them.
    pub(super) fn of(segment: Segment, after: Option<Digest>) -> Self {
        let start = |index: u32| {
            let first = (u64::from(index) << 32).div_ceil(u64::from(segment.of.max(1)));
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&u32::try_from(first).unwrap_or(u32::MAX).to_be_bytes());
            digest
        };
        let until = (segment.index + 1 < segment.of).then(|| start(segment.index + 1));
        let begin = start(segment.index);
        let after = after.filter(|after| *after >= begin);
        Self { from: after.unwrap_or(begin), without_first: after.is_some(), until }
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        let from = if self.without_first { *digest > self.from } else { *digest >= self.from };
        from && self.until.is_none_or(|until| *digest < until)
    }
}

/// Items of a part, in the order of their digests.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// Whether the part may go on after them.
    pub(super) more: bool,
}

/// Where a line came from, and where its copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    digest: Digest,
    /// Which file, by its number.
    file: u32,
    line: u64,
    at: u64,
    length: u32,
}

impl Entry {
    const BYTES: usize = 56;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.digest);
        bytes[32..40].copy_from_slice(&self.line.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.at.to_be_bytes());
        bytes[48..52].copy_from_slice(&self.file.to_be_bytes());
        bytes[52..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let long = |from: usize| u64::from_be_bytes(std::array::from_fn(|at| bytes[from + at]));
        let short = |from: usize| u32::from_be_bytes(std::array::from_fn(|at| bytes[from + at]));
        let digest = std::array::from_fn(|at| bytes[at]);
        Self { digest, line: long(32), at: long(40), file: short(48), length: short(52) }
    }
}

/// Two lines of one key: the number of the file and of the line, for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twice(pub(super) (u32, u64), pub(super) (u32, u64));

/// Lines that come in.
pub(super) struct Sorter {
    lines: BufWriter<File>,
    at: u64,
    entries: Vec<Entry>,
    runs: BufWriter<File>,
    /// First entry and count of each run.
    written: Vec<(u64, u64)>,
    count: u64,
    spill: File,
}

impl Sorter {
    /// Sorts in files of this directory.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let file = || spill::nameless(directory);
        let (lines, runs) = (BufWriter::new(file()?), BufWriter::new(file()?));
        Ok(Self { lines, at: 0, entries: Vec::new(), runs, written: Vec::new(), count: 0, spill: file()? })
    }

    /// Takes a line.
    pub(super) fn add(&mut self, digest: Digest, file: u32, line: u64, text: &[u8]) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.lines.write_all(text)?;
        self.entries.push(Entry { digest, file, line, at: self.at, length });
        self.at += u64::from(length);
        if self.entries.len() >= RUN_ENTRIES { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> io::Result<()> {
        self.entries.sort_unstable();
        for entry in &self.entries {
            self.runs.write_all(&entry.to_bytes())?;
        }
        let count = self.entries.len() as u64;
        self.written.push((self.count, count));
        self.count += count;
        self.entries.clear();
        Ok(())
    }

    /// Merges all, unless two lines have one key.
    pub(super) fn finish(mut self) -> io::Result<Result<Sorted, Twice>> {
        self.end_run()?;
        let lines = self.lines.into_inner().map_err(io::IntoInnerError::into_error)?;
        let runs = self.runs.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut open: Vec<_> = self.written.iter().map(|(first, count)| Run::new(*first, *count)).collect();
        let mut heads = BinaryHeap::new();
        for (number, run) in open.iter_mut().enumerate() {
            heads.extend(run.next(&runs)?.map(|entry| Reverse((entry, number))));
        }
        let mut index = BufWriter::new(self.spill);
        let mut before: Option<Entry> = None;
        while let Some(Reverse((entry, number))) = heads.pop() {
            if let Some(before) = before.filter(|before| before.digest == entry.digest) {
                return Ok(Err(Twice((before.file, before.line), (entry.file, entry.line))));
            }
            index.write_all(&entry.to_bytes())?;
            before = Some(entry);
            heads.extend(open[number].next(&runs)?.map(|entry| Reverse((entry, number))));
        }
        let index = index.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Ok(Sorted { lines, index, count: self.count, bytes: self.at }))
    }
}

/// A run during a merge.
struct Run {
    next: u64,
    left: u64,
    buffer: std::vec::IntoIter<Entry>,
}

impl Run {
    fn new(next: u64, left: u64) -> Self {
        Self { next, left, buffer: Vec::new().into_iter() }
    }

    fn next(&mut self, runs: &File) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.buffer.next() {
            return Ok(Some(entry));
        }
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(BUFFER_ENTRIES);
        let entries = entries(runs, self.next, count)?;
        self.next += count as u64;
        self.left -= count as u64;
        self.buffer = entries.into_iter();
        Ok(self.buffer.next())
    }
}

fn entries(of: &File, first: u64, count: usize) -> io::Result<Vec<Entry>> {
    let mut bytes = vec![0; count * Entry::BYTES];
    of.read_exact_at(&mut bytes, first * Entry::BYTES as u64)?;
    let (chunks, _) = bytes.as_chunks();
    Ok(chunks.iter().map(Entry::from_bytes).collect())
}

/// Lines in the order of the digests of their keys.
#[derive(Debug)]
pub(super) struct Sorted {
    lines: File,
    index: File,
    /// How many lines there are.
    pub(super) count: u64,
    /// How many bytes they have.
    pub(super) bytes: u64,
}

impl Sorted {
    fn entry(&self, number: u64) -> io::Result<Entry> {
        let mut bytes = [0; Entry::BYTES];
        self.index.read_exact_at(&mut bytes, number * Entry::BYTES as u64)?;
        Ok(Entry::from_bytes(&bytes))
    }

    /// The number of the first line that is not before a digest.
    fn first(&self, digest: &Digest) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.digest < *digest {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn line(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut line = vec![0; entry.length as usize];
        self.lines.read_exact_at(&mut line, entry.at)?;
        Ok(line)
    }

    /// The line of one key.
    pub(super) fn find(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        let number = self.first(digest)?;
        if number == self.count {
            return Ok(None);
        }
        let entry = self.entry(number)?;
        if entry.digest == *digest { self.line(&entry).map(Some) } else { Ok(None) }
    }

    /// Lines of a part, and whether it may go on after them.
    pub(super) fn page(&self, part: Part) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let (mut number, mut bytes, mut page) = (self.first(&part.from)?, 0, Vec::new());
        while number < self.count {
            let entry = self.entry(number)?;
            number += 1;
            if part.until.is_some_and(|until| entry.digest >= until) {
                return Ok((page, false));
            }
            if part.holds(&entry.digest) {
                page.push(self.line(&entry)?);
                bytes += u64::from(entry.length);
            }
            if bytes >= PAGE_BYTES {
                return Ok((page, number < self.count));
            }
        }
        Ok((page, false))
    }
}
