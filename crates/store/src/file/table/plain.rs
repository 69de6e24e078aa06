//! Plain directories: which files hold the items, and reading them.
//!
//! An export by AWS is known by its `manifest-files.json`, which names the data files and how many items each has. It
//! is found at the root, or as the only one below `AWSDynamoDB/`. Without a manifest, every file with a name that ends
//! in `.json`, `.ndjson` or `.jsonl`, also compressed (`.gz`), at any depth, holds items.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use migrate_core::{
    item::Item,
    model::{Key, Token},
    report,
};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use serde::Deserialize;

use super::{
    description,
    leaves::names,
    lines::{self, Keys},
    sorted::{Page, Part, Sorted, Sorter, Twice},
};
use crate::{
    error::{ErrorKind, StoreError},
    file::{directory::Directory, path},
    object::Result,
};

const MANIFEST: &str = "manifest-files.json";
const SUMMARY: &str = "manifest-summary.json";
const EXPORTS: &str = "AWSDynamoDB";
/// The longest line: an item of 400 KB in which every byte is escaped.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// A file with items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    key: Key,
    /// How many items it has, if a manifest says so.
    items: Option<u64>,
    /// Which version of it was seen.
    token: Token,
}

/// A line of `manifest-files.json`.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "itemCount")]
    items: u64,
    #[serde(rename = "dataFileS3Key")]
    key: String,
}

/// The parts of `manifest-summary.json` that decide whether this is a table.
#[derive(Deserialize)]
struct Summary {
    #[serde(rename = "outputFormat")]
    format: Option<String>,
    #[serde(rename = "exportType")]
    kind: Option<String>,
}

/// The files with items of a directory, in a fixed order.
pub(super) fn find(directory: &Directory) -> Result<Vec<Source>> {
    if let Some(export) = export(directory)? {
        return listed(directory, &export);
    }
    let mut found = Vec::new();
    walk(directory, "", &mut found)?;
    found.into_iter().map(|key| source(directory, key, None)).collect()
}

/// Whether no file with items holds anything: there is no table yet.
pub(super) fn is_empty(sources: &[Source]) -> bool {
    sources.iter().all(|source| source.token.size == 0 && source.items.is_none())
}

fn source(directory: &Directory, key: Key, items: Option<u64>) -> Result<Source> {
    let missing = || wrong(directory, format!("the file {key} is missing"));
    let token = directory.head(&key)?.ok_or_else(missing)?.token;
    Ok(Source { key, items, token })
}

fn wrong(directory: &Directory, detail: impl Into<Box<str>>) -> StoreError {
    directory.error(ErrorKind::Other, "read", None, detail)
}

/// The directory of the export by AWS, if there is one.
fn export(directory: &Directory) -> Result<Option<String>> {
    let failed = |errno| directory.failed("list", None, errno);
    let root = directory.open("").map_err(failed)?;
    let all = names(&root).map_err(failed)?;
    if all.iter().any(|name| name == MANIFEST) {
        return Ok(Some(String::new()));
    }
    if !all.iter().any(|name| name == EXPORTS) {
        return Ok(None);
    }
    let exports = names(&directory.open(EXPORTS).map_err(failed)?).map_err(failed)?;
    match exports.as_slice() {
        [one] => {
            let export = format!("{EXPORTS}/{one}");
            let files = names(&directory.open(&export).map_err(failed)?).map_err(failed)?;
            if files.iter().any(|name| name == MANIFEST) {
                return Ok(Some(export));
            }
            Err(wrong(directory, format!("the export {export} has no {MANIFEST}: it is not complete")))
        }
        [] => Err(wrong(directory, format!("there is no export in {EXPORTS}"))),
        several => {
            let several = several.join(", ");
            Err(wrong(directory, format!("there are several exports: name the directory of one of them ({several})")))
        }
    }
}

fn listed(directory: &Directory, export: &str) -> Result<Vec<Source>> {
    let at = |name: &str| Key::new(if export.is_empty() { name.to_owned() } else { format!("{export}/{name}") });
    if directory.head(&at(SUMMARY))?.is_some() {
        let text = directory.read(&at(SUMMARY), None, None)?.bytes;
        let summary: Summary = serde_json::from_slice(&text)
            .map_err(|error| wrong(directory, format!("{SUMMARY} is not understood: {error}")))?;
        if let Some(format) = summary.format.filter(|format| format != "DYNAMODB_JSON") {
            return Err(wrong(directory, format!("the export is in the format {format}: export it as DYNAMODB_JSON")));
        }
        if summary.kind.is_some_and(|kind| kind != "FULL_EXPORT") {
            return Err(wrong(directory, "the export is incremental, and holds changes and no table: make a full one"));
        }
    }
    let text = directory.read(&at(MANIFEST), None, None)?.bytes;
    let mut found = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let listed: Listed = serde_json::from_slice(line)
            .map_err(|error| wrong(directory, format!("{MANIFEST}, line {}: {error}", number + 1)))?;
        let (_, name) = path::split(&listed.key);
        found.push(source(directory, at(&format!("data/{name}")), Some(listed.items))?);
    }
    Ok(found)
}

fn walk(directory: &Directory, folder: &str, found: &mut Vec<Key>) -> Result<()> {
    let failed = |errno| directory.failed("list", None, errno);
    let fd = directory.open(folder).map_err(failed)?;
    for name in names(&fd).map_err(failed)? {
        let key = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let stat = statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if !name.starts_with('.') {
                walk(directory, &key, found)?;
            }
        } else if description::may_hold_items(&name) {
            found.push(Key::new(key));
        }
    }
    Ok(())
}

/// The items of a plain directory, as they were when it was read.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) keys: Keys,
    pub(super) sorted: Sorted,
    sources: Vec<Source>,
}

impl Plain {
    /// Reads and sorts all files. Fails, with file and line, at the first line that is no item of the table.
    pub(super) fn read(directory: &Directory, mut keys: Keys, spill: &Path) -> Result<Self> {
        let sources = find(directory)?;
        let failed = |cause: io::Error| wrong(directory, "the lines could not be sorted").because(cause);
        let mut sorter = Sorter::new(spill).map_err(failed)?;
        for (number, source) in sources.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let mut lines = Lines::open(directory, source)?;
            let mut count = 0;
            while let Some((line, text)) = lines.next(directory)? {
                let bad = |detail: String| wrong(directory, format!("{}, line {line}: {detail}", source.key));
                let item = lines::read(text).map_err(bad)?;
                keys.learn(&item);
                let digest = keys.digest_of(&item).map_err(bad)?;
                sorter.add(digest, number, line, text.trim_ascii_end()).map_err(failed)?;
                count += 1;
            }
            if let Some(expected) = source.items.filter(|expected| *expected != count) {
                let detail = format!(
                    "{} has {}, and {MANIFEST} says {expected}",
                    source.key,
                    report::count(count, "item", "items")
                );
                return Err(wrong(directory, detail));
            }
        }
        let merged = sorter.finish().map_err(failed)?.map_err(|Twice(one, other)| {
            let place = |(file, line): (u32, u64)| {
                let key = sources.get(file as usize).map_or("?", |source| source.key.as_str());
                format!("{key}, line {line}")
            };
            wrong(directory, format!("two items have one key: {} and {}", place(one), place(other)))
        })?;
        let plain = Self { keys, sorted: merged, sources };
        plain.must_be_unchanged(directory)?;
        Ok(plain)
    }

    /// Fails if a file was changed, added or removed since it was read.
    pub(super) fn must_be_unchanged(&self, directory: &Directory) -> Result<()> {
        if find(directory)? == self.sources {
            return Ok(());
        }
        let detail = "files with items changed since they were read: run the same command again";
        Err(directory.error(ErrorKind::Changed, "read", None, detail))
    }

    /// The item with one key.
    pub(super) fn find(&self, directory: &Directory, digest: &lines::Digest) -> Result<Option<Item>> {
        let failed = |cause: io::Error| wrong(directory, "the sorted lines could not be read").because(cause);
        let line = self.sorted.find(digest).map_err(failed)?;
        line.map(|line| lines::read(&line).map_err(|detail| wrong(directory, detail))).transpose()
    }

    /// Items of a part.
    pub(super) fn page(&self, directory: &Directory, part: Part) -> Result<Page> {
        let failed = |cause: io::Error| wrong(directory, "the sorted lines could not be read").because(cause);
        let (lines, more) = self.sorted.page(part).map_err(failed)?;
        let items = lines.iter().map(|line| lines::read(line).map_err(|detail| wrong(directory, detail)));
        Ok(Page { items: items.collect::<Result<_>>()?, more })
    }
}

/// The lines of one file.
struct Lines<'a> {
    source: &'a Source,
    reader: Box<dyn BufRead>,
    line: u64,
    text: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn open(directory: &Directory, source: &'a Source) -> Result<Self> {
        let failed = |errno| directory.failed("read", Some(&source.key), errno);
        let (folder, name) = path::split(source.key.as_str());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let folder = directory.open(folder).map_err(failed)?;
        let file = File::from(openat(&folder, name, flags, Mode::empty()).map_err(failed)?);
        let reader: Box<dyn BufRead> = if Path::new(name).extension().is_some_and(|end| end == "gz") {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::with_capacity(1 << 17, file))
        };
        Ok(Self { source, reader, line: 0, text: Vec::new() })
    }

    /// The next line that is not empty, with its number.
    fn next(&mut self, directory: &Directory) -> Result<Option<(u64, &[u8])>> {
        loop {
            self.text.clear();
            self.line += 1;
            let bad = |detail: &str| wrong(directory, format!("{}, line {}: {detail}", self.source.key, self.line));
            let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.text);
            let count = read.map_err(|cause| match cause.kind() {
                io::ErrorKind::UnexpectedEof => bad("the compressed file is cut").because(cause),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    bad("it is not compressed by gzip, or damaged").because(cause)
                }
                _ => bad("it could not be read").because(cause),
            })?;
            if count == 0 {
                return Ok(None);
            }
            if count as u64 == LINE_BYTES_MAX {
                return Err(bad("the line is longer than any item"));
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(Some((self.line, &self.text)));
            }
        }
    }
}
