//! What a verification counts at one follower.

use std::ops::AddAssign;

use serde::Serialize;

use super::decided::Decided;

/// Counts of a verification at one follower, or of a part of it: parts add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counted {
    /// Records of the lead that were compared.
    pub compared: u64,
    /// Records that the lead has and the target lacks.
    pub missing: u64,
    /// Records that only the target has. If the plan keeps them, they do not break equality.
    pub extra: u64,
    /// Records that both sides have and that are not equal.
    pub different: u64,
    /// Records that could not be read, so they are unknown.
    pub unreadable: u64,
    /// Records that differ at some looks only.
    pub unstable: u64,
    /// Records that this level cannot decide.
    pub undecided: u64,
    /// How many records were found equal, by what decided it.
    pub decided: Decided,
    /// Extra records that break equality whatever the plan keeps: they were copied from the lead, which has deleted them
    /// since, or the lead has them for other places.
    #[serde(skip)]
    pub stale: u64,
    /// Stale records that no pass deletes: another writer has replaced them since, or brought them there.
    #[serde(skip)]
    pub strays: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.compared += other.compared;
        self.missing += other.missing;
        self.extra += other.extra;
        self.different += other.different;
        self.unreadable += other.unreadable;
        self.unstable += other.unstable;
        self.undecided += other.undecided;
        self.decided += other.decided;
        self.stale += other.stale;
        self.strays += other.strays;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let part = Counted {
            compared: 1,
            missing: 2,
            extra: 3,
            different: 4,
            unreadable: 5,
            unstable: 6,
            undecided: 7,
            decided: Decided { digests: 8, versions: 9, bytes: 10 },
            stale: 11,
            strays: 12,
        };
        let mut sum = part;
        sum += part;
        let twice = Counted {
            compared: 2,
            missing: 4,
            extra: 6,
            different: 8,
            unreadable: 10,
            unstable: 12,
            undecided: 14,
            decided: Decided { digests: 16, versions: 18, bytes: 20 },
            stale: 22,
            strays: 24,
        };
        assert_eq!(sum, twice);
    }
}
