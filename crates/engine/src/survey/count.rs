//! Joins both sides' listings with the ledger's pairs, and counts what a run would do with each record.

use std::sync::Arc;

use crate::{
    error::EngineError,
    layout,
    rows::{Inputs, Row},
    sites::opening::DatasetStores,
    survey::{
        preview::{DatasetPreview, TargetPreview},
        surveyor::Surveyor,
    },
};
use migrate_core::{
    diff::{Change, decide},
    model::KeyRange,
    plan::{Dataset, Extra},
    report::{EventKind, Redactor},
    shard::{self, Cursor},
};
use migrate_ledger::Ledger;
use migrate_store::PartRules;

/// Keys that one request of a listing returns: S3 returns at most 1,000.
const KEYS_PER_PAGE: u64 = 1000;
/// Problems that are shown with their keys; the rest are counted.
const PROBLEMS_SHOWN: u64 = 20;
/// Keys between two progress events.
const TELL_EVERY: u64 = 5000;

impl Surveyor<'_> {
    /// Counts every record of a dataset; stops early if the survey is to stop.
    pub(super) async fn count(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        known: Option<&Arc<Ledger>>,
        seen: &mut DatasetPreview,
    ) -> Result<(), EngineError> {
        let inputs = Inputs::new(dataset, stores, known);
        let redactor = Redactor::new(self.inspection.plan.redact_keys);
        let mut rows = inputs.rows(&KeyRange::all());
        let (mut problems, mut count) = (0, 0_u64);
        while let Some(row) = rows.next().await? {
            count += 1;
            if self.inspection.shutdown.is_draining() {
                return Ok(());
            }
            let (records, bytes) = (seen.records.get_or_insert(0), seen.bytes.get_or_insert(0));
            if count.is_multiple_of(TELL_EVERY) {
                let fraction = shard::progress(&KeyRange::all(), &Cursor::At(row.key.clone()));
                let event = EventKind::Surveying { dataset: dataset.name.clone(), records: *records, fraction };
                self.inspection.sink.tell(event);
            }
            if let Some(entry) = &row.shown[inputs.star.lead.get()] {
                *records += 1;
                *bytes += entry.token.size;
            }
            if let Some(problem) = row.shown[inputs.star.lead.get()].as_ref().and_then(|entry| entry.problem.as_deref())
            {
                problems += 1;
                if problems <= PROBLEMS_SHOWN {
                    seen.blocks.push(format!("{} {}", redactor.key(&row.key), redactor.text(problem, &row.key)));
                }
                continue;
            }
            count_row(&row, &inputs, dataset.extra, seen);
        }
        if problems > PROBLEMS_SHOWN {
            let more = problems - PROBLEMS_SHOWN;
            seen.blocks.push(format!("... and {more} more records that cannot be copied"));
        }
        seen.complete = true;
        seen.bytes.get_or_insert(0);
        let pages = |records: u64| records.div_ceil(KEYS_PER_PAGE).max(1);
        seen.source_requests += pages(*seen.records.get_or_insert(0));
        for target in &mut seen.targets {
            target.requests += pages(target.skip + target.replace + target.compare + target.delete + target.extra);
        }
        Ok(())
    }
}

/// Counts what a run would do with one record at each target.
fn count_row(row: &Row, inputs: &Inputs, extra: Extra, seen: &mut DatasetPreview) {
    let source = row.shown[inputs.star.lead.get()].as_ref().map(|entry| &entry.token);
    let mut read = false;
    for (place, target) in inputs.star.followers.iter().map(|place| place.get()).zip(&mut seen.targets) {
        if source.is_some()
            && let Some(reason) = inputs.stores[place].refuses(&row.key)
        {
            target.unholdable += 1;
            target.first_unholdable.get_or_insert_with(|| (row.key.clone(), reason));
            continue;
        }
        let shown = row.shown[place].as_ref().map(|entry| &entry.token);
        let pair = row.held[place].as_ref().map(|row| row.held.paired(inputs.waived[place]));
        read |= add(target, decide(source, shown, pair), source.map_or(0, |token| token.size), extra);
    }
    if read {
        seen.source_requests += source.map_or(0, |token| parts_of(token.size));
    }
}

/// Adds one record's change; returns whether the source must be read for it.
fn add(target: &mut TargetPreview, change: Change, size: u64, extra: Extra) -> bool {
    match change {
        Change::Create => target.create += 1,
        Change::Replace => target.replace += 1,
        Change::Look | Change::Review => {
            target.compare += 1;
            target.requests += 1;
        }
        Change::Same => target.skip += 1,
        Change::Delete => target.delete += 1,
        Change::Extra if extra == Extra::Delete => target.delete += 1,
        Change::Extra | Change::Stray => target.extra += 1,
        Change::Absent | Change::Gone => {}
    }
    let writes = matches!(change, Change::Create | Change::Replace | Change::Look);
    if writes {
        target.bytes += size;
        // An upload in parts takes three requests more: to look for it, to begin it, to finish it.
        let parts = parts_of(size);
        target.requests += if parts > 1 { parts + 3 } else { 1 };
    }
    if matches!(change, Change::Delete) {
        target.requests += 1;
    }
    writes
}

/// Requests that reading or writing an object takes if the source's part size is unknown.
fn parts_of(size: u64) -> u64 {
    layout::part_size(size, None, None, PartRules::S3).map_or(1, |part| size.div_ceil(part))
}
