//! The proof that followers equal their lead.

use crate::verify::found::Found;
use migrate_core::{
    model::{DatasetName, Decided},
    plan::Level,
};

/// Proof that a verification found every follower equal to its lead. Its fields are private, so
/// that only what follows a whole verification can make one.
#[derive(Debug, Clone)]
pub struct Verified {
    dataset: DatasetName,
    level: Level,
    compared: u64,
    decided: Decided,
    blind_spots: Vec<String>,
}

impl Verified {
    /// The proof, where everything was seen at every target and all of it is equal.
    pub(crate) fn of(dataset: &DatasetName, level: Level, targets: &[Found]) -> Option<Self> {
        if !targets.iter().all(Found::is_equal) {
            return None;
        }
        let compared = targets.iter().map(|found| found.compared).sum();
        let (mut decided, mut blind_spots) = (Decided::default(), Vec::new());
        for found in targets {
            decided += found.decided;
            for spot in &found.blind_spots {
                if !blind_spots.contains(spot) {
                    blind_spots.push(spot.clone());
                }
            }
        }
        Some(Self { dataset: dataset.clone(), level, compared, decided, blind_spots })
    }

    /// The dataset.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// How thoroughly it was looked at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Records compared, over all targets.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// What decided that they are equal, over all targets.
    pub fn decided(&self) -> Decided {
        self.decided
    }

    /// What was not compared at some target, and why.
    pub fn blind_spots(&self) -> &[String] {
        &self.blind_spots
    }

    /// The proof that a lead may move; `None` where nothing was compared and the plan does not accept that.
    pub fn for_switch(self, accept_empty: bool) -> Option<SwitchProof> {
        (self.compared > 0 || accept_empty).then_some(SwitchProof(self))
    }
}

/// Proof that is good enough to move a lead; only [`Verified::for_switch`] can make one.
#[derive(Debug)]
pub struct SwitchProof(Verified);

impl SwitchProof {
    /// The dataset.
    pub fn dataset(&self) -> &DatasetName {
        self.0.dataset()
    }
}

/// The outcome of a verification.
#[derive(Debug)]
pub struct Verification {
    /// What was found, per target.
    pub targets: Vec<Found>,
    /// The witness, where everything is equal and everything was seen.
    pub verified: Option<Verified>,
    /// It was stopped before its end: what is not listed was not compared.
    pub interrupted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_of_nothing_moves_no_lead_unless_the_plan_accepts_it() {
        let verified = |compared| Verified {
            dataset: DatasetName::new("d").unwrap(),
            level: Level::Bytes,
            compared,
            decided: Decided::default(),
            blind_spots: Vec::new(),
        };
        assert!(verified(0).for_switch(false).is_none());
        assert!(verified(0).for_switch(true).is_some() && verified(1).for_switch(false).is_some());
    }
}
