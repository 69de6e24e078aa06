//! The settlement of late writes, once the lead has moved.
//!
//! A run compares each late write at both leads, and settles those that are equal by now: an operator carried them
//! over by hand, or the application wrote the same at the new lead. All others stay open. A newer
//! write at the new lead may or may not replace the late one, which only a person can tell; that
//! decision is recorded with the person's name and the time. This module copies and deletes nothing.

use std::sync::Arc;

use futures::{StreamExt as _, stream};

use crate::{clock::now, error::EngineError, rows::Inputs, run::context::Run, verify::verifier::Verifier};
use migrate_core::{
    model::{DatasetName, Key, PlaceIndex, Timestamp},
    plan::{Dataset, Level},
};
use migrate_ledger::{LateCounts, Ledger, Record};

/// Late writes read from the ledger at once.
const PAGE: usize = 256;
/// Late writes compared at once.
const LOOKS: usize = 16;

impl Run<'_> {
    /// Settles those late writes of a dataset that both leads hold alike by now.
    pub(crate) async fn settle_late(&self, dataset: &Dataset) -> Result<(), EngineError> {
        let ledger = &self.journal.ledger;
        let lifecycle = self.lifecycle(&dataset.name).await?;
        let lead = lifecycle.moved_to().and_then(|moved| dataset.target_at(&moved.lead));
        let mut page = ledger.late_open(&dataset.name, None, PAGE).await?;
        let (Some(lead), false) = (lead, page.is_empty()) else { return Ok(()) };
        if dataset.is_table() {
            return self.settle_late_items(dataset, page).await;
        }
        let stores = self.open_some(dataset).await?;
        // What was not looked at stays open; an old lead that is out of reach stops nothing else.
        if stores.unopened.iter().any(|(place, _)| *place == PlaceIndex::SOURCE) {
            return Ok(());
        }
        let (budget, shutdown, sink) = (self.budget.clone(), self.shutdown.clone(), self.sink.clone());
        // Listings alone decide nothing, since no pair is compared here.
        let level = dataset.verify.max(Level::Checksum);
        let inputs = Inputs::new(dataset, &stores, None).led_by(lead, PlaceIndex::SOURCE);
        let verifier = Verifier::new(dataset, inputs, level, budget, shutdown, sink);
        while let Some(last) = page.last().cloned() {
            let looks = page.into_iter().map(|key| {
                let verifier = verifier.clone();
                async move {
                    // If the comparison fails, the late write stays open.
                    let equal = verifier.are_equal(PlaceIndex::SOURCE, &key).await.unwrap_or(false);
                    equal.then_some(key)
                }
            });
            let looks: Vec<_> = stream::iter(looks.collect::<Vec<_>>()).buffered(LOOKS).collect().await;
            // A stop cuts comparisons short, which must not pass for equality.
            if self.shutdown.is_draining() {
                break;
            }
            let keys = Some(looks.into_iter().flatten().collect());
            let name = dataset.name.clone();
            self.commit(vec![Record::LateSettled { dataset: name, keys, by: None, reason: None, at: now() }]).await?;
            page = ledger.late_open(&dataset.name, Some(&last), PAGE).await?;
        }
        Ok(())
    }

    /// The same for the items of a table.
    async fn settle_late_items(&self, dataset: &Dataset, mut page: Vec<Key>) -> Result<(), EngineError> {
        let stores = Arc::new(self.open_tables(dataset).await?);
        let table = self.table_work(dataset, &stores).await?;
        while let Some(last) = page.last().cloned() {
            // What was not looked at stays open; an old lead that is out of reach stops nothing else.
            let alike = match table.held_alike((PlaceIndex::SOURCE, &table.sides.leads), &page).await {
                Err(EngineError::Store(error)) if error.location() == stores.at(PlaceIndex::SOURCE).location() => break,
                alike => Some(alike?),
            };
            if self.shutdown.is_draining() {
                break;
            }
            let name = dataset.name.clone();
            let settled = Record::LateSettled { dataset: name, keys: alike, by: None, reason: None, at: now() };
            self.commit(vec![settled]).await?;
            page = self.journal.ledger.late_open(&dataset.name, Some(&last), PAGE).await?;
        }
        Ok(())
    }
}

/// A person's decision on late writes: how many it settles, and the records to write.
pub async fn resolution(
    ledger: &Ledger,
    late: Vec<(DatasetName, Option<Vec<Key>>)>,
    by: &str,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<(u64, Vec<Record>), EngineError> {
    let (mut count, mut records) = (0, Vec::new());
    for (dataset, keys) in late {
        match &keys {
            None => {
                let LateCounts { open, .. } = ledger.late_counts(&dataset).await?;
                if open == 0 {
                    continue;
                }
                count += open;
            }
            Some(keys) => {
                for key in keys {
                    count += u64::from(ledger.late_at(&dataset, key).await?.is_some_and(|late| late.is_open));
                }
            }
        }
        let (by, reason) = (Some(by.to_owned()), reason.map(str::to_owned));
        records.push(Record::LateSettled { dataset, keys, by, reason, at });
    }
    Ok((count, records))
}
