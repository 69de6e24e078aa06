//! The kinds of properties beside the bytes, as a set.

use std::fmt;

use serde::{Serialize, Serializer};

/// A set of kinds of properties: what an object carries beside its bytes.
///
/// Ledgers keep the numbers of the kinds, which never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Aspects(u8);

impl Aspects {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Content-Type and the other content headers.
    pub const HEADERS: Self = Self(1);
    /// User metadata.
    pub const METADATA: Self = Self(1 << 1);
    /// Tags.
    pub const TAGS: Self = Self(1 << 2);
    /// Object Lock modes, dates and legal holds.
    pub const OBJECT_LOCK: Self = Self(1 << 3);
    /// A storage class other than the standard one.
    pub const STORAGE_CLASS: Self = Self(1 << 4);
    /// Website redirects.
    pub const REDIRECT: Self = Self(1 << 5);
    /// Every kind.
    pub const ALL: Self = Self((1 << 6) - 1);

    /// Each kind with its name in a plan's `waive`.
    const NAMES: [(Self, &'static str); 6] = [
        (Self::HEADERS, "content-headers"),
        (Self::METADATA, "metadata"),
        (Self::TAGS, "tags"),
        (Self::OBJECT_LOCK, "object-lock"),
        (Self::STORAGE_CLASS, "storage-class"),
        (Self::REDIRECT, "redirect"),
    ];

    /// The kind with this name; the empty set if there is none.
    pub fn named(name: &str) -> Self {
        Self::NAMES.iter().find(|(_, known)| *known == name).map_or(Self::NONE, |(kind, _)| *kind)
    }

    /// The names of the kinds in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(kind, _)| self.holds(*kind)).map(|(_, name)| name)
    }

    /// Whether the set contains all of `other`; always true for an empty `other`.
    pub const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The union of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds in both sets.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The kinds in the set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set as a number, for ledgers.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with this number; `None` if it contains a kind that this build does not know.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.holds(Self(bits)).then_some(Self(bits))
    }
}

impl FromIterator<Aspects> for Aspects {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, Self::with)
    }
}

/// The names, with commas.
impl fmt::Display for Aspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.names().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Aspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aspects({self})")
    }
}

impl Serialize for Aspects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = Aspects::TAGS.with(Aspects::REDIRECT);
        assert!(set.holds(Aspects::TAGS) && set.holds(Aspects::NONE) && !set.holds(Aspects::ALL));
        assert_eq!(set.without(Aspects::TAGS), Aspects::REDIRECT);
        assert_eq!(set.to_string(), "tags, redirect");
        assert_eq!((Aspects::named("tags"), Aspects::named("etag")), (Aspects::TAGS, Aspects::NONE));
        assert_eq!(Aspects::from_bits(set.bits()), Some(set));
        assert_eq!(Aspects::from_bits(1 << 6), None, "a later build wrote it");
        assert_eq!(Aspects::ALL.names().map(Aspects::named).collect::<Aspects>(), Aspects::ALL);
    }
}
