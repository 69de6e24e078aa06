//! A second look, only at the records that a repair has written over.
//!
//! For all other records the first look counts: as in any verification, each was looked at in its own moment. The first
//! look's findings about the damaged records are dropped, and these records are compared anew, in the same way, each in
//! a listing of its own. So the proof at the end has seen every record, and each repaired record after its repair.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::{
    error::EngineError,
    journal::Journal,
    seen::Seen,
    verify::{findings, found::Found, look::Looked, row::Part, verifier::Verifier, witness::Verification},
};
use migrate_core::{
    model::{Key, PlaceIndex, Timestamp},
    report::DifferenceKind,
    shard,
};

/// Records looked up at once.
const LISTINGS_MAX: usize = 32;

/// A verification whose damaged records are compared again.
#[derive(Debug)]
pub(crate) struct Again {
    verifier: Verifier,
    journal: Journal,
    targets: Vec<Found>,
    since: Option<Timestamp>,
    seen: Vec<Seen>,
}

impl Again {
    /// Begins with the findings of a whole verification, without the damage that a repair is to mend.
    pub(crate) fn new(verifier: Verifier, journal: Journal, first: &Verification) -> Self {
        let mut targets = first.targets.clone();
        for found in &mut targets {
            let broken = |kind| matches!(kind, DifferenceKind::Missing | DifferenceKind::Different);
            let kept: BTreeSet<_> = found.kept.iter().map(|difference| &difference.key).collect();
            found.differences.retain(|difference| !broken(difference.kind) && !kept.contains(&difference.key));
            (found.counts.missing, found.counts.different) = (0, 0);
        }
        Self { verifier, journal, targets, since: first.since, seen: first.seen.clone() }
    }

    /// Compares records at one target again.
    pub(crate) async fn look(&mut self, place: PlaceIndex, keys: &[Key]) -> Result<(), EngineError> {
        let follower = self.verifier.sides.star.position(place);
        for keys in keys.chunks(LISTINGS_MAX) {
            let mut rows = JoinSet::new();
            for key in keys.iter().cloned() {
                let mut listing = self.verifier.inputs.rows(&shard::only(&key));
                rows.spawn(async move {
                    while let Some(row) = listing.next().await? {
                        if row.key == key {
                            return Ok(Some(row));
                        }
                    }
                    Ok::<_, EngineError>(None)
                });
            }
            let mut looks: JoinSet<Looked> = JoinSet::new();
            let mut part = Part::default();
            while let Some(row) = rows.join_next().await {
                // A record that neither side has any more is no difference.
                let Some(row) = row?? else { continue };
                let mut row = self.verifier.sides.row(row);
                let (shown, held) = row.followers.swap_remove(follower);
                // The first look has counted it as compared.
                let compared = part.at(follower).counts.compared;
                let lead = row.lead.as_ref().map(|lead| (lead, &row.goes));
                let look = self.verifier.judge_at(follower, &row.key, lead, shown, held, &mut part);
                part.at(follower).counts.compared = compared;
                if let Some(look) = look {
                    let verifier = self.verifier.clone();
                    looks.spawn(async move { verifier.look(look).await });
                }
            }
            while let Some(looked) = looks.join_next().await {
                self.verifier.settle(looked?, &mut part);
            }
            self.take(part).await?;
        }
        Ok(())
    }

    async fn take(&mut self, part: Part) -> Result<(), EngineError> {
        let Part { mut found, records } = part;
        for (target, part) in self.targets.iter_mut().zip(&mut found) {
            target.add(part);
            for (difference, kept) in &part.differences {
                findings::tell(&self.verifier, &target.target, difference, *kept);
            }
        }
        Ok(self.journal.note(records).await?)
    }

    /// The findings of both looks together.
    pub(crate) async fn conclude(self) -> Result<Verification, EngineError> {
        self.verifier.conclude(self.since, self.seen, self.targets).await
    }
}
