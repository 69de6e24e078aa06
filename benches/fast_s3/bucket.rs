//! A bucket: objects by key, and uploads that are not finished.
//!
//! One lock for all keys is enough: it is held for a microsecond, or for the while that a page of a listing takes.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    answer::Failure,
    formula::Formula,
    guard::Guard,
    object::{Head, Object},
};

/// A bucket.
#[derive(Default)]
pub(crate) struct Bucket {
    formula: Option<Formula>,
    written: Mutex<BTreeMap<Box<str>, Arc<Object>>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
}

/// An upload that is not finished.
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) head: Head,
    pub(crate) begun_s: u64,
    pub(crate) parts: BTreeMap<u32, PartHeld>,
}

/// A part.
#[derive(Clone)]
pub(crate) struct PartHeld {
    pub(crate) size: u64,
    pub(crate) tag: Box<str>,
    pub(crate) crc64: u64,
    /// `None` if they were discarded.
    pub(crate) pieces: Option<Vec<Bytes>>,
}

/// One row of a listing.
pub(crate) enum Row {
    Object(String, Arc<Object>),
    /// All keys that begin so.
    Prefix(String),
}

/// What a listing asks for.
pub(crate) struct Asked<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: &'a str,
    /// Rows after this key or prefix.
    pub(crate) after: &'a str,
    pub(crate) most: usize,
}

impl Bucket {
    pub(crate) fn of(formula: Formula) -> Self {
        Self { formula: Some(formula), ..Self::default() }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<Object>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_formula(&self, key: &str) -> Option<Arc<Object>> {
        self.formula.as_ref()?.get(key)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Arc<Object>, Failure> {
        let written = self.written().get(key).cloned();
        written.or_else(|| self.by_formula(key)).ok_or(Failure::NO_KEY)
    }

    /// Writes an object under a condition; returns whether there was none.
    pub(crate) fn put(&self, key: &str, object: Object, guard: &Guard) -> Result<bool, Failure> {
        let mut written = self.written();
        let before = written.get(key).cloned().or_else(|| self.by_formula(key));
        guard.check_write(before.as_deref())?;
        written.insert(key.into(), Arc::new(object));
        Ok(before.is_none())
    }

    /// Deletes an object under a condition. Those of a formula stay.
    pub(crate) fn delete(&self, key: &str, guard: &Guard) -> Result<(), Failure> {
        let mut written = self.written();
        if let Some(object) = written.get(key) {
            guard.check_write(Some(object))?;
            written.remove(key);
        } else if self.by_formula(key).is_some() {
            return Err(Failure::DENIED);
        } else if guard.if_match.is_some() {
            return Err(Failure::NO_KEY);
        }
        Ok(())
    }

    /// A page of a listing, and whether more follows.
    pub(crate) fn list(&self, asked: &Asked<'_>) -> (Vec<Row>, bool) {
        let from = asked.after.max(asked.prefix);
        let written = self.written();
        let mut held = written.range::<str, _>((Bound::Included(from), Bound::Unbounded)).peekable();
        let mut computed = self.formula.iter().flat_map(|formula| formula.range(from)).peekable();
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let held_first = match (held.peek(), computed.peek()) {
                (None, None) => return (rows, false),
                (Some((key, _)), Some((other, _))) if ***key == **other => {
                    computed.next();
                    true
                }
                (Some((key, _)), Some((other, _))) => ***key < **other,
                (one, _) => one.is_some(),
            };
            let next = if held_first {
                held.next().map(|(key, object)| (key.to_string(), Arc::clone(object)))
            } else {
                computed.next()
            };
            let Some((key, object)) = next else { return (rows, false) };
            let Some(rest) = key.strip_prefix(asked.prefix) else { return (rows, false) };
            let row = match rest.find(asked.delimiter).filter(|_| !asked.delimiter.is_empty()) {
                Some(at) => Row::Prefix(key[..asked.prefix.len() + at + asked.delimiter.len()].to_owned()),
                None => Row::Object(key, object),
            };
            let (Row::Prefix(name) | Row::Object(name, _)) = &row;
            let is_old = name.as_str() <= asked.after && !asked.after.is_empty();
            if is_old || matches!(rows.last(), Some(Row::Prefix(last)) if last == name) {
                continue;
            }
            if rows.len() == asked.most {
                return (rows, true);
            }
            rows.push(row);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Content;

    fn object() -> Object {
        Object { size: 0, tag: "t".into(), modified_s: 0, content: Content::Discarded, head: None }
    }

    fn names(bucket: &Bucket, prefix: &str, delimiter: &str, after: &str, most: usize) -> (Vec<String>, bool) {
        let (rows, more) = bucket.list(&Asked { prefix, delimiter, after, most });
        let name = |row| match row {
            Row::Object(key, _) => key,
            Row::Prefix(prefix) => format!("[{prefix}]"),
        };
        (rows.into_iter().map(name).collect(), more)
    }

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let bucket = Bucket::of(Formula::parse("5x16").unwrap());
        for key in ["a", "object-0000000001", "object-00000000015", "z"] {
            bucket.put(key, object(), &Guard::default()).unwrap();
        }
        let (all, more) = names(&bucket, "", "", "", 1000);
        assert_eq!(all.len(), 8);
        assert!(!more && all.is_sorted());
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let (page, more) = names(&bucket, "", "", &after, 3);
            after = page.last().unwrap().clone();
            paged.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(paged, all);
    }

    #[test]
    fn a_delimiter_folds_keys() {
        let bucket = Bucket::default();
        for key in ["a/1", "a/2", "b", "c/1"] {
            bucket.put(key, object(), &Guard::default()).unwrap();
        }
        assert_eq!(names(&bucket, "", "/", "", 10).0, ["[a/]", "b", "[c/]"]);
        assert_eq!(names(&bucket, "", "/", "a/", 10).0, ["b", "[c/]"]);
        assert_eq!(names(&bucket, "a/", "/", "", 10).0, ["a/1", "a/2"]);
        assert_eq!(names(&bucket, "", "/", "", 1), (vec!["[a/]".to_owned()], true));
    }
}
