//! Keys and ranges of keys.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// An object's key, relative to its dataset's prefix.
///
/// Ordered by the bytes of its UTF-8 form, which is the order in which S3 lists. No path library ever touches a
/// key: `a//b`, `/a` and `a/../b` are three keys like any others. The empty key is legal: it is the object whose
/// full key is the dataset's prefix itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// Takes any text as a key, unchanged.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The key as text, unchanged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Shows the key on one line, with control characters and the like escaped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// The keys `k` with `after < k <= until`, in byte order; an absent bound does not limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    /// Exclusive lower bound.
    pub after: Option<Key>,
    /// Inclusive upper bound.
    pub until: Option<Key>,
}

impl KeyRange {
    /// The range of every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether `after < key <= until`.
    pub fn contains(&self, key: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| key > after) && self.until.as_ref().is_none_or(|until| key <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_excludes_after_and_includes_until() {
        let range = KeyRange { after: Some("b".into()), until: Some("d".into()) };
        let held: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().filter(|k| range.contains(&(*k).into())).collect();
        assert_eq!(held, ["c", "d"]);
        assert!(KeyRange::all().contains(&"".into()));
    }

    #[test]
    fn keys_are_shown_on_one_line() {
        assert_eq!(Key::from("a\nb\u{1}é").to_string(), "a\\nb\\u{1}é");
    }
}
