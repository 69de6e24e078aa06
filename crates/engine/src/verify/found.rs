//! What a verification found.

use serde::Serialize;

use migrate_core::{
    model::{Decided, Key, TargetIndex},
    report::Difference,
};
use migrate_ledger::Pair;

/// Differences that are kept per target; more are counted, and told as events.
pub(crate) const DIFFERENCES_KEPT: usize = 10_000;

/// What a verification found at one target.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Found {
    /// The dataset.
    pub name: String,
    /// The target's location.
    pub target: String,
    /// The lead's location.
    pub lead: String,
    /// The lead has moved: nothing keeps its followers equal to it.
    #[serde(skip)]
    pub moved: bool,
    /// Records compared.
    pub compared: u64,
    /// Records that the lead has and the target lacks.
    pub missing: u64,
    /// Records that only the target has. Those that the plan keeps do not break equality.
    pub extra: u64,
    /// Records that both have and that are not equal.
    pub different: u64,
    /// Records that could not be read, so that nothing is known of them.
    pub unreadable: u64,
    /// Records that differ at some looks and not at others.
    pub unstable: u64,
    /// Records of which this level can tell nothing.
    pub undecided: u64,
    /// What decided that the others are equal.
    pub decided: Decided,
    /// Those of the extra records that were copied from the lead, which has deleted them since.
    #[serde(skip)]
    pub(crate) stale: u64,
    /// Those of these that somebody has written over since: whose they are nobody can tell, so no pass
    /// deletes them.
    #[serde(skip)]
    pub strays: u64,
    /// The extra records are as the plan wants them.
    #[serde(skip)]
    pub(crate) extra_is_kept: bool,
    /// The first differences, in key order, at most 10,000: before all those that break equality, or may do so.
    pub differences: Vec<Difference>,
    /// Extra records that the plan keeps. They stand apart, so that however many there are, none is in the way
    /// of a difference that counts.
    #[serde(skip)]
    pub(crate) kept: Vec<Difference>,
    /// Differences that break equality, or may do so, and are not listed.
    #[serde(skip)]
    pub(crate) broken_omitted: u64,
    /// Differences that are counted above but not listed.
    pub differences_omitted: u64,
    /// What was not compared, and why, for people.
    pub blind_spots: Vec<String>,
}

impl Found {
    /// Whether the target equals its lead.
    pub fn is_equal(&self) -> bool {
        self.broken() == 0 && self.untold() == 0
    }

    /// Records of which it cannot be said whether they are equal.
    pub fn untold(&self) -> u64 {
        self.unreadable + self.unstable + self.undecided
    }

    /// All differences, whatever the plan makes of them.
    pub(crate) fn counted(&self) -> u64 {
        self.missing + self.different + self.extra + self.untold()
    }

    /// Lists what is to be listed, in key order.
    pub(crate) fn list(&mut self) {
        let room = DIFFERENCES_KEPT.saturating_sub(self.differences.len());
        self.differences.extend(self.kept.iter().take(room).cloned());
        self.differences.sort_by(|a, b| a.key.cmp(&b.key));
        self.differences_omitted = self.counted().saturating_sub(self.differences.len() as u64);
    }

    /// Differences that break equality.
    pub fn broken(&self) -> u64 {
        let extra = if self.extra_is_kept { self.stale } else { self.extra };
        self.missing + self.different + extra
    }
}

/// Something that a verification found in passing and the ledger should know.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A look at a record that is equal taught what its pair lacked.
    Learned(TargetIndex, Key, Pair),
    /// The target lacks the record or holds another one.
    Broken(TargetIndex, Key),
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::report::DifferenceKind;

    #[test]
    fn what_the_plan_keeps_crowds_out_no_difference() {
        let difference = |key: String, kind| Difference { key: Key::new(key), kind, detail: String::new() };
        let kept = |n| difference(format!("{n:06}"), DifferenceKind::Extra);
        let mut found = Found { extra: 12_000, missing: 1, extra_is_kept: true, ..Found::default() };
        found.kept = (0..DIFFERENCES_KEPT).map(kept).collect();
        found.differences.push(difference("z".to_owned(), DifferenceKind::Missing));
        found.list();
        assert_eq!(found.differences.len(), DIFFERENCES_KEPT);
        assert_eq!(found.differences.last().unwrap().key, "z".into(), "it is listed, in its place");
        assert_eq!((found.differences_omitted, found.broken_omitted), (2_001, 0));
    }
}
