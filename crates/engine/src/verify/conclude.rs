//! The end of a verification: what the ledger adds to what was seen, and the witness.

use std::collections::BTreeSet;

use crate::{
    error::EngineError,
    seen::{self, Seen},
    verify::{
        findings,
        found::Found,
        row::Part,
        verifier::{Learns, Verifier},
        witness::{Verification, Verified},
    },
};
use migrate_core::{model::Timestamp, plan::Level, report::DifferenceKind};
use migrate_ledger::Open;

/// Records known to be damaged that are read from the ledger at once.
const DAMAGED_PAGE: usize = 256;

impl Verifier {
    /// What was found, with a witness if everything was seen and is equal.
    pub(crate) async fn conclude(
        &self,
        since: Option<Timestamp>,
        seen: Vec<Seen>,
        mut targets: Vec<Found>,
    ) -> Result<Verification, EngineError> {
        self.recall_damage(&mut targets).await?;
        for (place, found) in targets.iter_mut().enumerate() {
            if found.unlisted.is_none() {
                found.blind_spots = self.blind_spots(place, found);
            }
            found.list();
        }
        // A stop also cuts long comparisons short.
        let interrupted = !seen::covers_all(&seen) || self.shutdown.is_draining();
        let verified = if interrupted { None } else { Verified::of(&self.inputs.dataset, self.level, &seen, &targets) };
        Ok(Verification { targets, verified, interrupted, since, seen })
    }

    /// Lists the records that an earlier look at the bytes found damaged and that no copy has mended: a
    /// level that reads no bytes would find them equal.
    async fn recall_damage(&self, targets: &mut [Found]) -> Result<(), EngineError> {
        let Some(ledger) = self.inputs.ledger.as_ref().filter(|_| self.level < Level::Bytes) else { return Ok(()) };
        // They are marked already.
        let verifier = self.clone().learning(Learns::Nothing);
        for (place, found) in targets.iter_mut().enumerate() {
            let at = self.sides.star.followers[place];
            let named: BTreeSet<_> = found.differences.iter().map(|difference| difference.key.clone()).collect();
            let mut after = None;
            loop {
                let dataset = &self.inputs.dataset;
                let page = ledger.open_records(dataset, at, Open::Damaged, after.as_ref(), DAMAGED_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                let mut part = Part::default();
                for row in page.into_iter().filter(|row| !named.contains(&row.key)) {
                    let detail = "an earlier verification found it damaged, and it is not mended".to_owned();
                    verifier.differs(&mut part, place, &row.key, DifferenceKind::Different, detail);
                }
                let part = part.at(place);
                found.add(part);
                for (difference, kept) in &part.differences {
                    findings::tell(self, &found.target, difference, *kept);
                }
            }
        }
        Ok(())
    }
}
