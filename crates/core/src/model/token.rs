//! Version tokens.

use serde::{Deserialize, Serialize};

/// What one side's listing shows of one version of an object: its *version token*.
///
/// Tokens of two sides are never compared with each other. The meaning of `tag` is the store's own: an `ETag` on
/// S3, change time and inode in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Size in bytes.
    pub size: u64,
    /// The store's mark of a version, beside size and time.
    pub tag: Box<str>,
    /// When it was last modified.
    pub modified: Modified,
}

/// Seconds from the time of an object to the answer to its write, beyond which the answer says nothing of the object.
const WRITE_MAX_S: i64 = 10;

/// When a version was last modified, in seconds since 1970 (S3's HEAD shows no finer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Modified {
    /// The store shows no time, or the answer to the write told none.
    #[default]
    Unknown,
    /// Then or before: the answer to the write came then at the latest, by the store's clock. S3's PUT tells no more than its
    /// `Date`, which servers keep for a second. A write of an earlier pass or process that acts after it is later all the same,
    /// and counts as another writer's.
    By(i64),
    /// Then, as the store shows it.
    At(i64),
}

impl Modified {
    /// The time that the store shows, if it is known.
    pub fn at(self) -> Option<i64> {
        match self {
            Self::At(second) => Some(second),
            Self::By(_) | Self::Unknown => None,
        }
    }

    /// What is known of one time from two sources. Of two bounds, the newer source's counts.
    #[must_use]
    pub fn or(self, known: Self) -> Self {
        match (self, known) {
            (Self::At(_), _) | (Self::By(_), Self::By(_) | Self::Unknown) => self,
            (Self::By(_), Self::At(_)) | (Self::Unknown, _) => known,
        }
    }
}

/// As a store shows a time, or none.
impl From<Option<i64>> for Modified {
    fn from(shown: Option<i64>) -> Self {
        shown.map_or(Self::Unknown, Self::At)
    }
}

impl Token {
    /// Whether `shown`, a token that the same side shows now, is still this version.
    ///
    /// An unknown time agrees with any, and so does one that a bound contradicts, as clocks differ:
    /// [`Self::leaves_open`] tells when that must not be believed, [`Self::covers`] what may be deleted.
    pub fn agrees_with(&self, shown: &Token) -> bool {
        let same_time = match (self.modified, shown.modified) {
            (Modified::At(ours), Modified::At(theirs)) => ours == theirs,
            _ => true,
        };
        same_time && self.size == shown.size && self.tag == shown.tag
    }

    /// Whether `shown`, which agrees, is later than the answer to the write that made this version.
    pub fn is_before(&self, shown: &Token) -> bool {
        matches!((self.modified, shown.modified), (Modified::By(bound), Modified::At(at)) if at > bound)
    }

    /// Whether `shown` may be taken for this version where that deletes it: it agrees, and its time is not later than the
    /// answer to the write that made this version. If nothing tells when that was, any time may be later.
    pub fn covers(&self, shown: &Token) -> bool {
        let is_untimed = matches!((self.modified, shown.modified), (Modified::Unknown, Modified::At(_)));
        self.agrees_with(shown) && !self.is_before(shown) && !is_untimed
    }

    /// Whether `shown`, which agrees, may still be another version: the same bytes, perhaps with other properties, under
    /// the same tag. It may have been written later, or have been there before, as where a server has lost a write, or lists
    /// what was. What was written within the second that a store shows, or between a write and the bound that its answer
    /// gave, is not told apart.
    pub fn leaves_open(&self, shown: &Token) -> bool {
        match (self.modified, shown.modified) {
            (Modified::Unknown, Modified::At(_)) => true,
            (Modified::By(bound), Modified::At(at)) => !(bound.saturating_sub(WRITE_MAX_S)..=bound).contains(&at),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(modified: Modified) -> Token {
        Token { size: 3, tag: "\"e\"".into(), modified }
    }

    #[test]
    fn a_token_without_time_agrees_with_any_time_but_not_another_tag() {
        let (written, listed) = (at(Modified::Unknown), at(Modified::At(7)));
        assert!(written.agrees_with(&listed));
        assert!(!listed.agrees_with(&at(Modified::At(8))));
        let other = Token { tag: "\"f\"".into(), ..listed };
        assert!(!written.agrees_with(&other));
    }

    #[test]
    fn only_a_time_shows_that_nothing_was_written_since() {
        use Modified::{At, By, Unknown};
        for (recorded, shown, may) in [
            (Unknown, At(7), true),
            (By(7), At(8), true),
            (By(7), At(7), false),
            (By(7), At(7 - WRITE_MAX_S), false),
            // It was there before.
            (By(7), At(6 - WRITE_MAX_S), true),
            (At(7), At(7), false),
            // A store without times has told its versions apart by the tag.
            (Unknown, Unknown, false),
            (By(7), Unknown, false),
        ] {
            let (recorded, shown) = (at(recorded), at(shown));
            assert!(recorded.agrees_with(&shown));
            assert_eq!(recorded.leaves_open(&shown), may, "{recorded:?} {shown:?}");
            let is_later = matches!((recorded.modified, shown.modified), (By(7), At(8)) | (Unknown, At(_)));
            assert_eq!(recorded.covers(&shown), !is_later, "{recorded:?} {shown:?}");
        }
    }

    #[test]
    fn a_time_stays_known() {
        use Modified::{At, By, Unknown};
        for (new, known, both) in [
            (Unknown, At(1), At(1)),
            (Unknown, By(1), By(1)),
            (By(2), At(1), At(1)),
            (By(2), By(1), By(2)),
            (By(2), Unknown, By(2)),
            (At(2), At(1), At(2)),
            (At(2), By(1), At(2)),
        ] {
            assert_eq!(new.or(known), both);
        }
    }
}
