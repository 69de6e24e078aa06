//! Changes that were acknowledged and are not in their files yet, as batches in a file that only grows.
//!
//! A batch is one line `#<bytes> <sha256>` and then one line for each change: `+` and the line of an item, or `-` and
//! the key attributes as an item. It is written with one append and synced before the next one begins. So a batch that
//! is not whole was not acknowledged, and it is the last one. If a whole one follows, something else has damaged
//! the file, and that is an error.

use std::{collections::BTreeMap, io::Write as _, os::fd::OwnedFd};

use migrate_core::{digest::sha256, item::ItemKey};
use rustix::{
    fs::{AtFlags, Mode, OFlags, ftruncate, openat, unlinkat},
    io::Errno,
};

use super::lines::{self, Digest, Keys};
use crate::file::directory::absent_is_none;

/// One change: the line of an item, or the key of one that was deleted. Kept as texts, which are smaller than values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put(Box<[u8]>),
    Delete(Box<[u8]>),
}

impl Change {
    pub(super) fn put(item: &migrate_core::item::Item) -> Self {
        let mut line = Vec::new();
        lines::write(item, &mut line);
        Self::Put(line.into())
    }

    pub(super) fn delete(keys: &Keys, key: &ItemKey) -> Self {
        let mut line = Vec::new();
        lines::write(&keys.names.attributes(key), &mut line);
        Self::Delete(line.into())
    }

    fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Put(line) => (b'+', line),
            Self::Delete(line) => (b'-', line),
        }
    }
}

/// The last change of each key.
pub(super) type Changes = BTreeMap<Digest, Change>;

/// A batch as it is appended.
pub(super) fn batch<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<u8> {
    let mut body = Vec::new();
    for (sign, line) in changes.into_iter().map(Change::parts) {
        body.push(sign);
        body.extend_from_slice(line);
    }
    let mut text = format!("#{} {}\n", body.len(), sha256(&body)).into_bytes();
    text.append(&mut body);
    text
}

/// What a journal holds: its changes, and how many of its bytes are whole batches.
pub(super) struct Read {
    pub(super) changes: Changes,
    pub(super) whole: usize,
}

/// Reads a journal; the error is a phrase.
pub(super) fn read(text: &[u8], keys: &Keys) -> Result<Read, String> {
    let (mut changes, mut whole) = (Changes::new(), 0);
    while let Some(body) = next(&text[whole..]) {
        whole += body.skipped + body.bytes.len();
        for line in body.bytes.split_inclusive(|byte| *byte == b'\n') {
            let (digest, change) = change(line, keys)?;
            changes.insert(digest, change);
        }
    }
    let rest = &text[whole..];
    let damaged = (1..rest.len()).any(|at| rest[at] == b'#' && next(&rest[at..]).is_some());
    if damaged { Err(format!("it is damaged after byte {whole}")) } else { Ok(Read { changes, whole }) }
}

struct Body<'a> {
    skipped: usize,
    bytes: &'a [u8],
}

/// The batch at the beginning of a text, if it is whole.
fn next(text: &[u8]) -> Option<Body<'_>> {
    let head = text.iter().take(96).position(|byte| *byte == b'\n')?;
    let (length, digest) = std::str::from_utf8(&text[..head]).ok()?.strip_prefix('#')?.split_once(' ')?;
    let length: usize = length.parse().ok()?;
    let skipped = head + 1;
    let bytes = text.get(skipped..skipped.checked_add(length)?)?;
    (sha256(bytes).to_string() == digest).then_some(Body { skipped, bytes })
}

fn change(line: &[u8], keys: &Keys) -> Result<(Digest, Change), String> {
    let (sign, text) = line.split_first().ok_or("a line is empty")?;
    let item = lines::read(text.trim_ascii_end())?;
    match sign {
        b'+' => Ok((keys.digest_of(&item)?, Change::Put(text.into()))),
        b'-' => Ok((keys.digest_of(&item)?, Change::Delete(text.into()))),
        _ => Err("a line is neither a put nor a delete".to_owned()),
    }
}

/// Appends to a file of a directory, which is made if it is missing. The caller syncs. Returns the open file.
pub(super) fn append(directory: &OwnedFd, name: &str, at: usize, text: &[u8]) -> Result<std::fs::File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(directory, name, flags, Mode::from_raw_mode(0o666))?);
    // What is behind was never acknowledged: a crash, or a full disk, tore it.
    ftruncate(&file, at as u64)?;
    let errno = |cause: std::io::Error| Errno::from_io_error(&cause).unwrap_or(Errno::IO);
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at as u64)).map_err(errno)?;
    file.write_all(text).map_err(errno)?;
    Ok(file)
}

/// Removes a file of a directory; a missing one is no error.
pub(super) fn remove(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    absent_is_none(unlinkat(directory, name, AtFlags::empty())).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::item::{KeyNames, Value, item_from_json};

    fn keys() -> Keys {
        Keys::named(KeyNames { partition: "id".into(), sort: None })
    }

    fn put(id: &str) -> Change {
        Change::put(&item_from_json(format!(r#"{{"id":{{"S":"{id}"}}}}"#).as_bytes()).unwrap())
    }

    fn texts(changes: &Changes) -> Vec<String> {
        let mut texts: Vec<_> = changes
            .values()
            .map(|change| {
                let (sign, line) = change.parts();
                format!("{}{}", char::from(sign), String::from_utf8_lossy(line).trim_end())
            })
            .collect();
        texts.sort();
        texts
    }

    #[test]
    fn a_torn_batch_was_not_acknowledged_and_one_before_others_is_damage() {
        let one = batch([&put("a"), &put("b")]);
        let key = ItemKey { partition: Value::Text("a".into()), sort: None };
        let two = batch([&Change::delete(&keys(), &key)]);
        let both = [one.clone(), two.clone()].concat();
        let read_whole = read(&both, &keys()).unwrap();
        assert_eq!(read_whole.whole, both.len());
        assert_eq!(texts(&read_whole.changes), [r#"+{"Item":{"id":{"S":"b"}}}"#, r#"-{"Item":{"id":{"S":"a"}}}"#]);
        for cut in 0..two.len() {
            let torn = read(&both[..one.len() + cut], &keys()).unwrap();
            assert_eq!((torn.whole, torn.changes.len()), (one.len(), 2), "cut after {cut} bytes");
        }
        for at in 0..one.len() {
            let mut damaged = both.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged, &keys()).is_err(), "byte {at}");
        }
    }
}
