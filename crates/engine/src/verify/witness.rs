//! The proof that followers equal their lead.

use crate::{
    seen::{self, Seen},
    verify::found::Found,
};
use migrate_core::{
    lifecycle::{Lifecycle, MoveId, OpenMove},
    model::{DatasetName, Decided, Epoch, Timestamp},
    plan::Level,
};

/// Proof that a verification found every follower equal to its lead. Its fields are private, so
/// that only [`Verified::of`] can make one.
#[derive(Debug, Clone)]
pub struct Verified {
    dataset: DatasetName,
    level: Level,
    compared: u64,
    decided: Decided,
    blind_spots: Vec<String>,
}

impl Verified {
    /// The proof, if every key was seen at every target, and every record was found equal there.
    pub(crate) fn of(dataset: &DatasetName, level: Level, seen: &[Seen], targets: &[Found]) -> Option<Self> {
        if !seen::is_whole(seen, targets.len()) || !targets.iter().all(Found::is_equal) {
            return None;
        }
        let compared = targets.iter().map(|found| found.counts.compared).sum();
        let (mut decided, mut blind_spots) = (Decided::default(), Vec::new());
        for found in targets {
            decided += found.counts.decided;
            for spot in &found.blind_spots {
                if !blind_spots.contains(spot) {
                    blind_spots.push(spot.clone());
                }
            }
        }
        Some(Self { dataset: dataset.clone(), level, compared, decided, blind_spots })
    }

    /// The dataset that was verified.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// How thoroughly the records were compared.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Records compared, over all targets.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// How many records were found equal, by what decided it, over all targets.
    pub fn decided(&self) -> Decided {
        self.decided
    }

    /// What was not compared at a target and why, as texts.
    pub fn blind_spots(&self) -> &[String] {
        &self.blind_spots
    }

    /// The proof that a lead may move by the move that is open; `None` if none is, or if nothing was compared and the
    /// plan does not accept that.
    pub fn for_switch(self, accept_empty: bool, lifecycle: &Lifecycle) -> Option<SwitchProof> {
        let (epoch, id) = (lifecycle.leading.epoch(), lifecycle.moving.open()?.id.clone());
        (self.compared > 0 || accept_empty).then_some(SwitchProof { dataset: self.dataset, epoch, id })
    }
}

/// Proof that suffices for one move of a lead, away from the lead of one epoch; only [`Verified::for_switch`] can make
/// one.
#[derive(Debug)]
pub struct SwitchProof {
    dataset: DatasetName,
    epoch: Epoch,
    id: MoveId,
}

impl SwitchProof {
    /// Whether it was made for this move of this dataset.
    pub(crate) fn is_for(&self, dataset: &DatasetName, lifecycle: &Lifecycle, open: &OpenMove) -> bool {
        self.dataset == *dataset && self.epoch == lifecycle.leading.epoch() && self.id == open.id
    }
}

/// The outcome of the verification of one dataset.
#[derive(Debug)]
pub struct Verification {
    /// What was found, per target.
    pub targets: Vec<Found>,
    /// The witness, if everything was seen and is equal.
    pub verified: Option<Verified>,
    /// Whether it was stopped before its end: records that are not listed may not have been compared.
    pub interrupted: bool,
    /// When it began, if an earlier process began it: what that one has compared counts as of then.
    pub since: Option<Timestamp>,
    /// The ranges that were seen to their end.
    pub(crate) seen: Vec<Seen>,
}

impl Verification {
    /// The followers that were not looked through to their end, each with the reason.
    pub(crate) fn unlisted(&self) -> Vec<(String, String)> {
        let unlisted = |found: &Found| Some((found.target.clone(), found.unlisted.clone()?));
        self.targets.iter().filter_map(unlisted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::{
        lifecycle::Transition,
        model::{KeyRange, ShardId, SiteName},
        shard::Cursor,
    };
    use migrate_ledger::VerifiedShard;

    #[test]
    fn nothing_is_proved_while_a_range_or_a_follower_is_unseen() {
        let name = DatasetName::new("d").unwrap();
        let proof = |seen: &[Seen], followers| {
            Verified::of(&name, Level::Listing, seen, &vec![Found::default(); followers]).is_some()
        };
        let seen = |after: Option<&str>, until: Option<&str>, followers| {
            let range = KeyRange { after: after.map(Into::into), until: until.map(Into::into) };
            Seen::recorded(&VerifiedShard { id: ShardId(1), range, cursor: Cursor::End }, followers).unwrap()
        };
        let (lower, upper) = (seen(None, Some("m"), 2), seen(Some("m"), None, 2));
        assert!(proof(&[upper.clone(), lower.clone()], 2));
        assert!(!proof(&[], 2), "nothing was seen");
        assert!(!proof(std::slice::from_ref(&lower), 2), "the upper part was not seen");
        assert!(!proof(&[lower.clone(), upper], 3), "a follower was not compared");
        assert!(!proof(&[lower, seen(Some("m"), None, 1)], 2), "a follower was not compared everywhere");
        let open = VerifiedShard { id: ShardId(1), range: KeyRange::all(), cursor: Cursor::At("z".into()) };
        assert!(Seen::recorded(&open, 2).is_none(), "it did not come to its end");
    }

    #[test]
    fn a_proof_of_nothing_moves_no_lead_unless_the_plan_accepts_it() {
        let name = DatasetName::new("d").unwrap();
        let verified = |compared| Verified {
            dataset: name.clone(),
            level: Level::Bytes,
            compared,
            decided: Decided::default(),
            blind_spots: Vec::new(),
        };
        let move_of = |id: &str| {
            let (id, to) = (MoveId(id.into()), SiteName::new("there").unwrap());
            Lifecycle::default().apply(&Transition::MoveBegun { id, to }).unwrap()
        };
        let (first, second) = (move_of("first"), move_of("second"));
        assert!(verified(1).for_switch(true, &Lifecycle::default()).is_none(), "no move is open");
        assert!(verified(0).for_switch(false, &first).is_none());
        assert!(verified(0).for_switch(true, &first).is_some());
        let proof = verified(1).for_switch(false, &first).unwrap();
        assert!(proof.is_for(&name, &first, first.moving.open().unwrap()));
        assert!(!proof.is_for(&name, &second, second.moving.open().unwrap()), "another move");
        assert!(!proof.is_for(&DatasetName::new("e").unwrap(), &first, first.moving.open().unwrap()));
    }
}
