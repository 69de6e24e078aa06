//! How values become columns.
//!
//! - A key is a BLOB of its UTF-8 bytes: BLOBs compare by bytes, as keys do, and hold NUL.
//! - A tag is a TEXT as it is, except the usual S3 `ETag`, 32 hexadecimal digits with or without a part count: it
//!   is a BLOB of 16 digest bytes and the count's bytes. A tag in quotation marks has a zero between the two; no
//!   count begins with one.
//! - Evidence is a BLOB: the CRC-64/NVME (8 bytes, big-endian), then for each part its SHA-256 (32 bytes) and its
//!   size (LEB128). So the SHA-256 of an object of one part stands at byte 9.
//! - Unsigned numbers are SQLite's signed ones; a number that does not fit is refused.

use std::fmt::Write as _;

use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef},
};

use super::failure::Failure;
use migrate_core::{
    model::{Evidence, Key, Sha256},
    shard::{Cursor, Tally},
};

/// A key as a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn(pub(super) Key);

impl FromSql for KeyColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = std::str::from_utf8(value.as_blob()?).map_err(|error| FromSqlError::Other(error.into()))?;
        Ok(Self(text.into()))
    }
}

/// The bytes of a key's column.
pub(super) fn key(key: &Key) -> &[u8] {
    key.as_str().as_bytes()
}

/// A count or size that SQLite can hold.
pub(super) fn number(value: u64) -> Result<i64, Failure> {
    i64::try_from(value).map_err(|_| Failure::Illegal(format!("{value} is more than a ledger can count")))
}

/// A tag as a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'a>(pub(super) &'a str);

impl ToSql for Tag<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match pack(self.0) {
            Some(packed) => ToSqlOutput::Owned(Value::Blob(packed)),
            None => ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_bytes())),
        })
    }
}

/// A tag read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagColumn(pub(super) Box<str>);

impl FromSql for TagColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(_) => Ok(Self(value.as_str()?.into())),
            ValueRef::Blob(packed) => unpack(packed).map(Self).ok_or(FromSqlError::InvalidType),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// Stands after the digest of a tag in quotation marks.
const QUOTED: u8 = 0;

/// A tag as packed bytes; `None` if only its text will do.
pub(super) fn pack(tag: &str) -> Option<Vec<u8>> {
    let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let inner = quoted.unwrap_or(tag);
    let (digest, parts) = match inner.split_once('-') {
        Some((digest, parts)) => (digest, Some(parts)),
        None => (inner, None),
    };
    if digest.len() != 32 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut packed = Vec::with_capacity(18);
    packed.resize(16, 0);
    hex::decode_to_slice(digest, &mut packed).ok()?;
    packed.extend(quoted.map(|_| QUOTED));
    if let Some(parts) = parts {
        let count: u32 = parts.parse().ok()?;
        // Only the form that would be written again: no "+5", "05" or "0".
        if count == 0 || count.to_string() != parts {
            return None;
        }
        packed.extend(count.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
    }
    Some(packed)
}

/// The tag that was packed; `None` if none was.
pub(super) fn unpack(packed: &[u8]) -> Option<Box<str>> {
    let (digest, parts) = packed.split_at_checked(16)?;
    let (quoted, parts) = match parts.strip_prefix(&[QUOTED]) {
        Some(parts) => (true, parts),
        None => (false, parts),
    };
    let mark = if quoted { "\"" } else { "" };
    let mut tag = String::with_capacity(32 + 2 * mark.len() + if parts.is_empty() { 0 } else { 11 });
    tag.push_str(mark);
    let mut digits = [0; 32];
    hex::encode_to_slice(digest, &mut digits).ok()?;
    tag.push_str(std::str::from_utf8(&digits).ok()?);
    if !parts.is_empty() {
        let mut count = [0; 4];
        count[4_usize.checked_sub(parts.len())?..].copy_from_slice(parts);
        write!(tag, "-{}", u32::from_be_bytes(count)).ok()?;
    }
    tag.push_str(mark);
    Some(tag.into())
}

/// Evidence as a BLOB.
pub(super) fn evidence(evidence: &Evidence) -> Vec<u8> {
    let mut coded = Vec::with_capacity(8 + 36 * evidence.parts.len());
    coded.extend(evidence.crc64nvme.to_be_bytes());
    for (size, sha256) in &evidence.parts {
        coded.extend(sha256.0);
        put_number(&mut coded, *size);
    }
    coded
}

/// Evidence read back; `None` if `coded` is not evidence.
pub(super) fn read_evidence(coded: &[u8]) -> Option<Evidence> {
    let (crc, mut rest) = coded.split_first_chunk::<8>()?;
    let mut parts = Vec::with_capacity(rest.len() / 33);
    while !rest.is_empty() {
        let (sha256, mut after) = rest.split_first_chunk::<32>()?;
        parts.push((take_number(&mut after)?, Sha256(*sha256)));
        rest = after;
    }
    Some(Evidence { crc64nvme: u64::from_be_bytes(*crc), parts })
}

/// Appends a number in LEB128: seven bits a byte, lowest first.
pub(super) fn put_number(coded: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        coded.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    coded.push(number.to_le_bytes()[0]);
}

/// Takes a number off the front; `None` if none stands there.
pub(super) fn take_number(coded: &mut &[u8]) -> Option<u64> {
    // Most numbers are small.
    if let [digit @ ..0x80, rest @ ..] = *coded {
        *coded = rest;
        return Some(u64::from(*digit));
    }
    let length = coded.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = coded.split_at(length);
    let mut number = 0_u64;
    for (place, digit) in digits.iter().enumerate() {
        let digit = u64::from(digit & 0x7f);
        let shift = u32::try_from(place * 7).ok()?;
        number |= digit.checked_shl(shift).filter(|shifted| shifted >> shift == digit)?;
    }
    *coded = rest;
    Some(number)
}

/// Texts as one column; `None` is NULL.
pub(super) fn texts(texts: Option<&[String]>) -> Option<String> {
    texts.map(|texts| serde_json::to_string(texts).expect("texts are JSON"))
}

/// Reads a column of texts.
pub(super) fn read_texts(row: &Row<'_>, at: usize) -> Result<Option<Vec<String>>, Failure> {
    let coded: Option<String> = row.get(at)?;
    let read =
        |coded: String| serde_json::from_str(&coded).map_err(|error| Failure::Damaged(format!("texts: {error}")));
    coded.map(read).transpose()
}

/// The columns of a tally.
pub(super) const TALLY: &str = "records, bytes, same, copied, copied_bytes, deleted, extra, repeated, repeated_bytes";

/// The numbers of a tally, in the order of [`TALLY`].
pub(super) fn tally(tally: &Tally) -> Result<[i64; 9], Failure> {
    let Tally { records, bytes, same, copied, copied_bytes, deleted, extra, repeated, repeated_bytes } = *tally;
    let mut numbers = [0; 9];
    let values = [records, bytes, same, copied, copied_bytes, deleted, extra, repeated, repeated_bytes];
    for (column, value) in numbers.iter_mut().zip(values) {
        *column = number(value)?;
    }
    Ok(numbers)
}

/// Reads a tally from the columns [`TALLY`], the first of which is `at`.
pub(super) fn read_tally(row: &Row<'_>, at: usize) -> rusqlite::Result<Tally> {
    Ok(Tally {
        records: row.get(at)?,
        bytes: row.get(at + 1)?,
        same: row.get(at + 2)?,
        copied: row.get(at + 3)?,
        copied_bytes: row.get(at + 4)?,
        deleted: row.get(at + 5)?,
        extra: row.get(at + 6)?,
        repeated: row.get(at + 7)?,
        repeated_bytes: row.get(at + 8)?,
    })
}

/// A cursor as two columns: `stands` (0 start, 1 at a key, 2 end) and `key`.
pub(super) fn cursor(cursor: &Cursor) -> (u8, Option<&[u8]>) {
    match cursor {
        Cursor::Start => (0, None),
        Cursor::At(at) => (1, Some(key(at))),
        Cursor::End => (2, None),
    }
}

/// Reads a cursor from its two columns, the first of which is `at`.
pub(super) fn read_cursor(row: &Row<'_>, at: usize) -> Result<Cursor, Failure> {
    match (row.get::<_, u8>(at)?, row.get::<_, Option<KeyColumn>>(at + 1)?) {
        (0, None) => Ok(Cursor::Start),
        (1, Some(KeyColumn(key))) => Ok(Cursor::At(key)),
        (2, None) => Ok(Cursor::End),
        (other, _) => Err(Failure::Damaged(format!("a cursor stands at {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(tag: &str) -> String {
        let bound = Tag(tag);
        let ToSqlOutput::Owned(Value::Blob(packed)) = bound.to_sql().unwrap() else { return tag.to_owned() };
        TagColumn::column_result(ValueRef::Blob(&packed)).unwrap().0.into()
    }

    #[test]
    fn usual_etags_are_packed_and_all_tags_come_back() {
        let digest = "d41d8cd98f00b204e9800998ecf8427e";
        for (tag, size) in [
            (digest.to_owned(), Some(16)),
            (format!("{digest}-1"), Some(17)),
            (format!("{digest}-256"), Some(18)),
            (format!("{digest}-10000"), Some(18)),
            (format!("{digest}-0"), None),
            (format!("{digest}-05"), None),
            (format!("\"{digest}\""), Some(17)),
            (format!("\"{digest}-1\""), Some(18)),
            (format!("\"{digest}-10000\""), Some(19)),
            (format!("\"{digest}"), None),
            (format!("{digest}\""), None),
            (format!("\"{digest}-0\""), None),
            (format!("\"{digest}-05\""), None),
            (format!("\"{digest}-+5\""), None),
            (format!("\"{digest}-\""), None),
            (format!("\"{digest}-4294967296\""), None),
            (format!("\"{}\"", digest.to_uppercase()), None),
            (String::new(), None),
            ("\"".to_owned(), None),
            ("a\0b".to_owned(), None),
        ] {
            assert_eq!(pack(&tag).map(|packed| packed.len()), size, "{tag}");
            assert_eq!(round_trip(&tag), tag);
        }
    }

    #[test]
    fn damaged_columns_are_refused() {
        assert!(TagColumn::column_result(ValueRef::Blob(&[0; 15])).is_err());
        assert!(TagColumn::column_result(ValueRef::Blob(&[1; 21])).is_err());
        assert!(KeyColumn::column_result(ValueRef::Blob(&[0xff])).is_err());
        let coded = evidence(&Evidence { crc64nvme: 1, parts: vec![(300, Sha256([7; 32]))] });
        for cut in (0..coded.len()).filter(|cut| *cut != 8) {
            assert_eq!(read_evidence(&coded[..cut]), None, "cut at {cut}");
        }
        let overflowing = [&coded[..40], &[0xff; 9][..], &[0x7f]].concat();
        assert_eq!(read_evidence(&overflowing), None);
        assert!(number(u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn tags_come_back(tag in "\"?[0-9a-fA-F]{30,33}(-[0-9]{1,3})?\"?|.*") {
            prop_assert_eq!(round_trip(&tag), tag);
        }

        #[test]
        fn evidence_comes_back(
            crc64nvme in any::<u64>(),
            parts in proptest::collection::vec((any::<u64>(), any::<[u8; 32]>()), 0..6),
        ) {
            let parts = parts.into_iter().map(|(size, sha256)| (size, Sha256(sha256))).collect();
            let given = Evidence { crc64nvme, parts };
            prop_assert_eq!(read_evidence(&evidence(&given)), Some(given));
        }
    }
}
