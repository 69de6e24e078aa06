//! A second look, only at the records that a repair has written over.
//!
//! For all other records the first look counts: as in any verification, each was looked at in its own moment. The first
//! look's findings about the damaged records are dropped, and these records are compared anew, in the same way, each in
//! a listing of its own. So the proof at the end has seen every record, and each repaired record after its repair.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::{
    error::EngineError,
    verify::{found::Found, look::Looked, verifier::Verifier, witness::Verification},
};
use migrate_core::{
    model::{Key, TargetIndex},
    report::DifferenceKind,
    shard,
};

/// Records looked up at once.
const LISTINGS_MAX: usize = 32;

/// A verification whose damaged records are compared again.
#[derive(Debug)]
pub(crate) struct Again {
    verifier: Verifier,
    targets: Vec<Found>,
}

impl Again {
    /// Begins with the findings of a whole verification, without the damage that a repair is to mend.
    pub(crate) fn new(verifier: Verifier, first: &Verification) -> Self {
        let mut targets = first.targets.clone();
        for found in &mut targets {
            let broken = |kind| matches!(kind, DifferenceKind::Missing | DifferenceKind::Different);
            let kept: BTreeSet<_> = found.kept.iter().map(|difference| &difference.key).collect();
            found.differences.retain(|difference| !broken(difference.kind) && !kept.contains(&difference.key));
            (found.missing, found.different) = (0, 0);
        }
        Self { verifier, targets }
    }

    /// Compares records at one target again.
    pub(crate) async fn look(&mut self, target: TargetIndex, keys: &[Key]) -> Result<(), EngineError> {
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
            while let Some(row) = rows.join_next().await {
                // A record that neither side has any more is no difference.
                let Some(row) = row?? else { continue };
                let mut row = self.verifier.star.row(row);
                let (shown, pair) = (row.targets.swap_remove(target.get()), row.pairs.swap_remove(target.get()));
                let (verifier, found) = (&self.verifier, &mut self.targets[target.get()]);
                if let Some(source) = &row.source {
                    verifier.both(target, &row.key, source, shown, pair, found, &mut looks).await;
                } else if let Some(shown) = shown {
                    verifier.extra(found, &row.key, &shown, pair.as_ref());
                }
            }
            while let Some(looked) = looks.join_next().await {
                self.verifier.settle(looked?, &mut self.targets).await;
            }
        }
        Ok(())
    }

    /// The findings of both looks together.
    pub(crate) async fn conclude(self) -> Result<Verification, EngineError> {
        self.verifier.conclude(self.targets, false).await
    }
}
