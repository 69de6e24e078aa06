//! The findings of a verification.

use serde::Serialize;

use migrate_core::{model::Counted, report::Difference};
use migrate_ledger::PartFound;

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
    /// Whether the lead has moved, so that its followers are as they were after the last run.
    #[serde(skip)]
    pub moved: bool,
    /// Why the follower was not listed to its end, if it was not: nothing is known of what it was not seen to hold.
    pub unlisted: Option<String>,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counted,
    /// Whether the plan keeps extra records.
    #[serde(skip)]
    pub(crate) extra_is_kept: bool,
    /// Whether a repair deletes extra records, as it does in tables if the plan says so: of objects, only a pass deletes.
    #[serde(skip)]
    pub(crate) extra_is_repaired: bool,
    /// At most 10,000 differences, in key order; those that break equality, or may do so, take precedence.
    pub differences: Vec<Difference>,
    /// Extra records that the plan keeps. They are apart, so that they crowd out no difference that counts.
    #[serde(skip)]
    pub(crate) kept: Vec<Difference>,
    /// Differences that break equality, or may do so, but are not listed; known once they are [`list`](Self::list)ed.
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
        self.broken() == 0 && self.untold() == 0 && self.unlisted.is_none()
    }

    /// Records that could not be found equal or different.
    pub fn untold(&self) -> u64 {
        self.counts.unreadable + self.counts.unstable + self.counts.undecided
    }

    /// The number of all differences, also of extra records that the plan keeps.
    pub(crate) fn counted(&self) -> u64 {
        self.counts.missing + self.counts.different + self.counts.extra + self.untold()
    }

    /// Adds what a part was found to be: all of its counts, and its differences as far as there is room. Leaves in
    /// the part only the differences that it keeps.
    pub(crate) fn add(&mut self, part: &mut PartFound) {
        self.counts += part.counts;
        part.differences.retain(|(difference, kept)| {
            let listed = if *kept { &mut self.kept } else { &mut self.differences };
            let has_room = listed.len() < DIFFERENCES_KEPT;
            if has_room {
                listed.push(difference.clone());
            }
            has_room
        });
    }

    /// Completes the listed differences, in key order, as far as there is room.
    pub(crate) fn list(&mut self) {
        let kept = if self.extra_is_kept { self.counts.extra - self.counts.stale } else { 0 };
        self.broken_omitted = (self.counted() - kept).saturating_sub(self.differences.len() as u64);
        self.kept.sort_by(|a, b| a.key.cmp(&b.key));
        let room = DIFFERENCES_KEPT.saturating_sub(self.differences.len());
        self.differences.extend(self.kept.iter().take(room).cloned());
        self.differences.sort_by(|a, b| a.key.cmp(&b.key));
        self.differences_omitted = self.counted().saturating_sub(self.differences.len() as u64);
    }

    /// The number of differences that a repair mends.
    pub fn repairable(&self) -> u64 {
        let extra = if self.extra_is_repaired { self.counts.extra } else { 0 };
        self.counts.missing + self.counts.different + extra
    }

    /// The number of differences that break equality.
    pub fn broken(&self) -> u64 {
        let extra = if self.extra_is_kept { self.counts.stale } else { self.counts.extra };
        self.counts.missing + self.counts.different + extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::{model::Key, report::DifferenceKind};

    fn difference(key: String, kind: DifferenceKind) -> Difference {
        Difference { key: Key::new(key), kind, detail: String::new() }
    }

    #[test]
    fn what_the_plan_keeps_crowds_out_no_difference() {
        let counts = Counted { extra: 12_000, missing: 1, ..Counted::default() };
        let mut found = Found { extra_is_kept: true, ..Found::default() };
        let extra = (0..12_000).map(|n| (difference(format!("{n:06}"), DifferenceKind::Extra), true)).collect();
        found.add(&mut PartFound { counts, differences: extra });
        let missing = (difference("z".to_owned(), DifferenceKind::Missing), false);
        found.add(&mut PartFound { differences: vec![missing], ..PartFound::default() });
        found.list();
        assert_eq!(found.differences.len(), DIFFERENCES_KEPT);
        assert_eq!(found.differences.last().unwrap().key, "z".into(), "it is listed, in its place");
        assert_eq!((found.differences_omitted, found.broken_omitted), (2_001, 0));
    }

    #[test]
    fn parts_add_up_in_any_order_and_only_what_is_kept_is_left_in_them() {
        let part = |keys: std::ops::Range<u32>| {
            let differences: Vec<_> =
                keys.map(|n| (difference(format!("{n:06}"), DifferenceKind::Missing), false)).collect();
            let counts = Counted { missing: differences.len() as u64, ..Counted::default() };
            PartFound { counts, differences }
        };
        let mut found = Found::default();
        let (mut upper, mut lower) = (part(6_000..12_000), part(0..6_000));
        found.add(&mut upper);
        found.add(&mut lower);
        assert_eq!((upper.differences.len(), lower.differences.len()), (6_000, 4_000));
        found.list();
        assert_eq!((found.counts.missing, found.broken_omitted, found.differences_omitted), (12_000, 2_000, 2_000));
        assert!(found.differences.is_sorted_by(|a, b| a.key < b.key));
    }
}
