//! Verifications in the ledger.

use crate::verify::{found::Found, witness::Verification};
use migrate_core::{
    lifecycle::{Lifecycle, Transition, last_level},
    model::Aspects,
    plan::{Dataset, Level, Target},
};

/// Whether the plan asks for more than its last verification has proved: for a higher level, or for
/// properties that were waived then.
pub(crate) fn asks_more<'a>(dataset: &Dataset, events: impl DoubleEndedIterator<Item = &'a Transition>) -> bool {
    let Some((level, waived)) = last_level(events) else { return false };
    let levels = [Level::Listing, Level::Checksum, Level::Bytes];
    let is_higher = levels.into_iter().find(|known| known.as_str() == level).is_none_or(|then| then < dataset.verify);
    let was_waived = |(target, bits): (&Target, &u8)| {
        Aspects::from_bits(*bits).is_none_or(|then| !dataset.waived_at(target).holds(then))
    };
    is_higher || dataset.targets.iter().zip(waived).any(was_waived)
}

/// The lifecycle event of a verification: it is bound to the epoch of the lead that it compared with, and to the move
/// that is open.
pub(crate) fn ended(dataset: &Dataset, level: Level, verification: &Verification, lifecycle: &Lifecycle) -> Transition {
    let level = level.as_str().to_owned();
    match &verification.verified {
        Some(verified) => Transition::Verified {
            level,
            compared: verified.compared(),
            decided: verified.decided(),
            blind_spots: verified.blind_spots().to_vec(),
            waived: dataset.targets.iter().map(|target| dataset.waived_at(target).bits()).collect(),
            epoch: lifecycle.leading.epoch(),
            of: lifecycle.moving.id().cloned(),
        },
        None => Transition::Differed {
            level,
            differences: verification.targets.iter().map(Found::broken).sum(),
            unreadable: verification.targets.iter().map(Found::untold).sum(),
            strays: verification.targets.iter().map(|found| found.counts.strays).sum(),
            unlisted: verification.unlisted(),
        },
    }
}
