//! The words of the domain as types: names, keys, versions, digests.
//!
//! Everything here is a plain value. Nothing reads a clock, a file or a socket, so every other room
//! can use these types and every rule that stands on them can be tested without a runtime.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

mod aspects;
mod decided;

pub use aspects::Aspects;
pub use decided::{Decided, Decider};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: 1 to 64 letters, digits, '-' or '_', starting with a letter or digit")]
pub struct NameError {
    text: String,
}

fn check_name(text: &str) -> Result<(), NameError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= 64 && text.chars().all(legal) {
        Ok(())
    } else {
        Err(NameError { text: text.to_owned() })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that is 1 to 64 letters, digits, `-` or `_`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A plan's name; it names the state directory too.
    PlanName
);
name!(
    /// A place that holds data.
    SiteName
);
name!(
    /// A group of datasets that move and cut over together.
    PhaseName
);
name!(
    /// One body of data: objects under a prefix or directory, or one table.
    DatasetName
);

/// An object's key, relative to its dataset's prefix.
///
/// Ordered by the bytes of its UTF-8 form, which is the order in which S3 lists. No path library
/// ever touches a key: `a//b`, `/a` and `a/../b` are three keys like any others. The empty key is
/// legal: it is the object whose full key is the dataset's prefix itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// Wraps a key.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The key as text.
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

/// Shows the key on one line: control characters and the like are escaped.
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

/// The keys `k` with `after < k <= until`, in byte order; an absent bound does not bind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    /// Exclusive lower bound.
    pub after: Option<Key>,
    /// Inclusive upper bound.
    pub until: Option<Key>,
}

impl KeyRange {
    /// Every key there is.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether the range holds `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| key > after) && self.until.as_ref().is_none_or(|until| key <= until)
    }
}

/// What one side's listing shows of one version of an object: its *version token*.
///
/// Tokens of two sides are never compared with each other. What `tag` means is the store's own
/// affair: an `ETag` on S3, change time and inode in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Size in bytes.
    pub size: u64,
    /// What the store shows to tell versions apart, beside size and time.
    pub tag: Box<str>,
    /// Last modification, in seconds since 1970 (S3's HEAD shows no finer), where the store shows
    /// one. `None` right after a write, because S3's PUT does not return it: the next listing
    /// teaches it.
    pub modified_s: Option<i64>,
}

impl Token {
    /// Whether `shown`, a token that the same side shows now, is still this version.
    ///
    /// A time that was never learned agrees with any.
    pub fn agrees_with(&self, shown: &Token) -> bool {
        let same_time = match (self.modified_s, shown.modified_s) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        same_time && self.size == shown.size && self.tag == shown.tag
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The evidence about one object's bytes: what was read at the source and proved at the target.
///
/// `crc64nvme` covers the whole object; `parts` holds the SHA-256 of each part in order, with
/// its size. An object copied whole has one part, so its SHA-256 is that part's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// CRC-64/NVME of the whole object.
    pub crc64nvme: u64,
    /// Size in bytes and SHA-256 of each part, in order.
    pub parts: Vec<(u64, Sha256)>,
}

/// Numbers a target of a dataset: its place in the plan, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetIndex(pub u16);

impl TargetIndex {
    /// The index as a `usize`, to index a list of targets.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Numbers a shard within its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u64);

/// Counts how often the lead of a dataset has moved: 0 while it leads where the plan found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after the lead has moved once more.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A moment, in milliseconds since 1970 UTC. Shown as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A count of bytes. Shown to people in binary units, in JSON as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(SiteName::new("us-west_1").is_ok());
        for bad in ["", "-a", "a/b", "..", "a b", &"x".repeat(65)] {
            assert!(SiteName::new(bad).is_err(), "{bad:?} was taken as a name");
        }
    }

    #[test]
    fn a_range_excludes_after_and_includes_until() {
        let range = KeyRange { after: Some("b".into()), until: Some("d".into()) };
        let held: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().filter(|k| range.contains(&(*k).into())).collect();
        assert_eq!(held, ["c", "d"]);
        assert!(KeyRange::all().contains(&"".into()));
    }

    #[test]
    fn a_token_without_time_agrees_with_any_time_but_not_another_tag() {
        let written = Token { size: 3, tag: "\"e\"".into(), modified_s: None };
        let listed = Token { modified_s: Some(7), ..written.clone() };
        assert!(written.agrees_with(&listed));
        let later = Token { modified_s: Some(8), ..listed.clone() };
        assert!(!listed.agrees_with(&later));
        let other = Token { tag: "\"f\"".into(), ..listed };
        assert!(!written.agrees_with(&other));
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        assert_eq!(ByteCount(1023).to_string(), "1023 B");
        assert_eq!(ByteCount(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteCount(3 << 40).to_string(), "3.0 TiB");
    }

    #[test]
    fn keys_are_shown_on_one_line() {
        assert_eq!(Key::from("a\nb\u{1}é").to_string(), "a\\nb\\u{1}é");
    }
}
