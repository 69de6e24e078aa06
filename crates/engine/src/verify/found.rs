//! The findings of a verification.

use serde::Serialize;

use migrate_core::{
    model::{Decided, Key, TargetIndex},
    report::Difference,
};
use migrate_ledger::Pair;

/// Differences that are kept and told per target; more are only counted.
pub(crate) const DIFFERENCES_KEPT: usize = 10_000;

/// The findings of a verification at one target.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Found {
    /// The dataset's name.
    pub name: String,
    /// The location of the target, or of another follower of a moved lead.
    pub target: String,
    /// The lead's location.
    pub lead: String,
    /// Whether the lead has moved, so that its followers are no longer kept equal to it.
    #[serde(skip)]
    pub moved: bool,
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
    /// Extra records that were copied from the lead, which has deleted them since.
    #[serde(skip)]
    pub(crate) stale: u64,
    /// Stale records that another writer has replaced since: their owner is unknown, so no pass deletes them.
    #[serde(skip)]
    pub strays: u64,
    /// Whether the plan keeps extra records.
    #[serde(skip)]
    pub(crate) extra_is_kept: bool,
    /// At most 10,000 differences, in key order; those that break equality, or may do so, take precedence.
    pub differences: Vec<Difference>,
    /// Extra records that the plan keeps. They are apart, so that they crowd out no difference that counts.
    #[serde(skip)]
    pub(crate) kept: Vec<Difference>,
    /// Differences that break equality, or may do so, but are not listed.
    #[serde(skip)]
    pub(crate) broken_omitted: u64,
    /// Differences that are counted but not listed.
    pub differences_omitted: u64,
    /// What was not compared and why, as texts.
    pub blind_spots: Vec<String>,
}

impl Found {
    /// Whether every record was found equal at the target.
    pub fn is_equal(&self) -> bool {
        self.broken() == 0 && self.untold() == 0
    }

    /// Records that could not be found equal or different.
    pub fn untold(&self) -> u64 {
        self.unreadable + self.unstable + self.undecided
    }

    /// The number of all differences, also of extra records that the plan keeps.
    pub(crate) fn counted(&self) -> u64 {
        self.missing + self.different + self.extra + self.untold()
    }

    /// Completes the listed differences, in key order, as far as there is room.
    pub(crate) fn list(&mut self) {
        let room = DIFFERENCES_KEPT.saturating_sub(self.differences.len());
        self.differences.extend(self.kept.iter().take(room).cloned());
        self.differences.sort_by(|a, b| a.key.cmp(&b.key));
        self.differences_omitted = self.counted().saturating_sub(self.differences.len() as u64);
    }

    /// The number of differences that break equality.
    pub fn broken(&self) -> u64 {
        let extra = if self.extra_is_kept { self.stale } else { self.extra };
        self.missing + self.different + extra
    }
}

/// A finding of a verification that belongs in the ledger.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A look at an equal record completed its pair.
    Learned(TargetIndex, Key, Pair),
    /// The target lacks the record or holds a different one.
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
