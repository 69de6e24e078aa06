//! Numbers with a unit: places, shards, epochs, moments, bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers a place of a dataset: 0 is the plan's source, 1 its first target, and so on. A number never changes its
/// meaning, whichever place leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaceIndex(pub u16);

impl PlaceIndex {
    /// The plan's source.
    pub const SOURCE: Self = Self(0);

    /// The place with this number, of at most 65,535.
    pub fn at(number: usize) -> Self {
        Self(u16::try_from(number).expect("a dataset has few places"))
    }

    /// The number as a `usize`, to index a list of all places.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// The position among the plan's targets, from 0, to index a list of them.
    ///
    /// # Panics
    ///
    /// Panics for the source.
    pub fn as_target(self) -> usize {
        self.get().checked_sub(1).expect("the source is no target")
    }
}

/// Numbers a shard within its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u64);

/// Counts how often the lead of a dataset has moved: 0 while the plan's source leads.
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

/// A moment, in milliseconds since 1970 UTC. Shown as RFC 3339 with three digits of the second, wherever it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
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
    fn a_moment_has_a_fixed_number_of_digits() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_500).to_string(), "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        assert_eq!(ByteCount(1023).to_string(), "1023 B");
        assert_eq!(ByteCount(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteCount(3 << 40).to_string(), "3.0 TiB");
    }
}
