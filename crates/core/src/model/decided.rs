//! What decided that records are equal.

use std::{fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// How many records were found equal, by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decided {
    /// Records with equal digests of one kind that both stores keep.
    pub digests: u64,
    /// Records whose both sides show the paired versions, from the copy or the last comparison; no bytes were read now.
    pub versions: u64,
    /// Records whose bytes were read on both sides.
    pub bytes: u64,
}

/// What decided that one record is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// Equal stored digests.
    Digests,
    /// Equal recorded versions.
    Versions,
    /// The bytes of both sides.
    Bytes,
}

impl Decided {
    /// Counts one record.
    pub fn count(&mut self, by: Decider) {
        match by {
            Decider::Digests => self.digests += 1,
            Decider::Versions => self.versions += 1,
            Decider::Bytes => self.bytes += 1,
        }
    }
}

impl AddAssign for Decided {
    fn add_assign(&mut self, other: Self) {
        self.digests += other.digests;
        self.versions += other.versions;
        self.bytes += other.bytes;
    }
}

/// Completes "equal by ...": with counts only if more than one thing decided.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digests, versions, bytes } = *self;
        let parts = [(digests, "stored digests"), (versions, "recorded versions"), (bytes, "bytes")];
        let parts: Vec<_> = parts.into_iter().filter(|(count, _)| *count > 0).collect();
        match parts.as_slice() {
            [] => f.write_str("default, as there was nothing to compare"),
            [(_, what)] => f.write_str(what),
            several => {
                let several: Vec<_> = several.iter().map(|(count, what)| format!("{what} ({count})")).collect();
                f.write_str(&several.join(" and "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decided_is_named_and_counted_where_it_is_more_than_one_thing() {
        let mut decided = Decided::default();
        decided.count(Decider::Versions);
        assert_eq!(decided.to_string(), "recorded versions");
        decided += Decided { digests: 2, ..Decided::default() };
        assert_eq!(decided.to_string(), "stored digests (2) and recorded versions (1)");
    }
}
