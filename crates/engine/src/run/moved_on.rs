//! Whether a lead has moved on, that is, was written to: since a verification, by listings alone; or since a pass, by
//! the findings of a later verification.
//!
//! # Since a verification
//!
//! Only the two sites between which the lead moves are listed: other followers decide nothing about the move, even
//! if they do not answer. Both are compared with the recorded pairs. A listing of
//! hundreds of millions of keys takes hours, so each look ends at once if the run is to stop.
//!
//! # Since a pass
//!
//! Another pass helps only if the lead shows another version than the one that the pass has paired. If the lead
//! shows the paired version, another pass would find the difference again.

use futures::{StreamExt as _, stream};

use crate::{
    cutover::hand::{Changes, Halt, Written},
    error::EngineError,
    rows::{Inputs, Row, Rows},
    run::context::Run,
    shutdown::Shutdown,
    sites::opening::DatasetStores,
    verify::{found::Found, witness::Verification},
    waits::WaitsFor,
};
use migrate_core::{
    model::{Key, KeyRange, TargetIndex},
    plan::{Dataset, Extra},
    report::{Difference, Redactor},
};
use migrate_ledger::Record;

/// Records whose versions are looked at together.
const LOOKS: usize = 64;
/// Late writes that go to the ledger together.
const LATE_BATCH: usize = 256;

/// Finds the records at the old lead and the new one whose versions are not those that were compared.
pub(crate) async fn between(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    lead: TargetIndex,
) -> Result<Changes, Halt> {
    let inputs = Inputs::new(dataset, stores, Some(&run.journal.ledger)).with_only(lead);
    let (mut changes, mut rows) = (Changes::default(), inputs.rows(&KeyRange::all()));
    let stops = stores.shutdown(&run.shutdown);
    while let Some(row) = next(&stops, &mut rows).await? {
        if !is_as_paired(&row) {
            changes.old.add(row.key);
        } else if !target_is_as_paired(&row, dataset.extra) {
            changes.new.add(row.key);
        }
    }
    Ok(changes)
}

/// Finds the records at the old lead whose versions are not those that were compared, and writes each to the ledger.
/// The new lead is not listed: applications write there by now.
pub(crate) async fn at_old_lead(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    lead: TargetIndex,
) -> Result<Written, Halt> {
    let inputs = Inputs::new(dataset, stores, Some(&run.journal.ledger)).against_pairs_of(lead);
    let name = || dataset.name.clone();
    run.commit(vec![Record::LateLookBegan { dataset: name() }]).await?;
    let (mut late, mut rows) = (Written::default(), inputs.rows(&KeyRange::all()));
    let mut keys = Vec::new();
    while let Some(row) = next(&run.shutdown, &mut rows).await? {
        if !is_as_paired(&row) {
            keys.push(row.key.clone());
            late.add(row.key);
        }
        if keys.len() >= LATE_BATCH {
            run.commit(vec![Record::LateFound { dataset: name(), keys: std::mem::take(&mut keys) }]).await?;
        }
    }
    run.commit(vec![Record::LateFound { dataset: name(), keys }]).await?;
    Ok(late)
}

async fn next(stops: &Shutdown, rows: &mut Rows) -> Result<Option<Row>, Halt> {
    tokio::select! {
        biased;
        () = stops.draining() => Err(Halt::Interrupted),
        row = rows.next() => Ok(row?),
    }
}

/// Whether the old lead shows the paired version, or neither an object nor a pair exists.
fn is_as_paired(row: &Row) -> bool {
    match (&row.source, &row.pairs[0]) {
        (None, None) => true,
        (Some(shown), Some(paired)) => paired.pair.source.agrees_with(&shown.token),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The same for the new lead, which may hold objects without a pair if the plan keeps them.
fn target_is_as_paired(row: &Row, extra: Extra) -> bool {
    match (&row.targets[0], &row.pairs[0]) {
        (None, None) => true,
        (Some(shown), Some(paired)) => paired.pair.target.agrees_with(&shown.token),
        (Some(_), None) => extra == Extra::Keep,
        (None, Some(_)) => false,
    }
}

/// The differences that a verification found, and what can mend them.
#[derive(Debug)]
pub(crate) struct Differs {
    differences: u64,
    /// Those of them that neither a pass nor a repair removes.
    strays: u64,
    /// Records that could not be found equal or different.
    untold: u64,
    /// Whether the lead has moved on since the pass, so that another pass helps.
    pub(crate) lead_moved: bool,
    /// Whether a record is missing or different at a target, so that a repair helps.
    pub(crate) repairable: bool,
    /// The first difference that another pass would find again, redacted if the plan says so.
    first: Option<Difference>,
}

impl Differs {
    /// The differences as what the dataset waits for.
    pub(crate) fn waits_for(&self) -> WaitsFor {
        let Self { differences, strays, untold: unreadable, .. } = *self;
        WaitsFor::Differences {
            differences,
            strays,
            unreadable,
            first: self.first.clone().filter(|_| !self.lead_moved),
        }
    }
}

/// Judges the findings of a verification within a run: looks at the versions of differing records, until one shows
/// that the lead has moved on.
pub(crate) async fn judge(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    verification: &Verification,
) -> Result<Differs, EngineError> {
    let targets = &verification.targets;
    let of = |count: fn(&Found) -> u64| targets.iter().map(count).sum::<u64>();
    // Differences that are counted but not kept cannot be looked at, so the next pass must find out.
    let mut lead_moved = of(|found| found.broken_omitted) > 0;
    let mut first = None;
    let found = targets.iter().enumerate().flat_map(|(place, found)| {
        let target = TargetIndex::at(place);
        found.differences.iter().map(move |difference| (target, difference))
    });
    let looks = found.map(|(target, difference)| async move {
        (difference, standing_of(run, dataset, stores, target, &difference.key).await)
    });
    let mut looks = stream::iter(looks.collect::<Vec<_>>()).buffered(LOOKS);
    while let Some((difference, standing)) = looks.next().await {
        match standing? {
            WhyDifferent::LeadMoved => lead_moved = true,
            WhyDifferent::Stays => _ = first.get_or_insert(difference),
            WhyDifferent::Kept => {}
        }
        if lead_moved || run.shutdown.is_draining() {
            break;
        }
    }
    let redactor = Redactor::new(run.plan.redact_keys);
    Ok(Differs {
        differences: of(Found::broken),
        strays: of(|found| found.strays),
        untold: of(Found::untold),
        lead_moved,
        repairable: of(|found| found.missing + found.different) > 0,
        first: first.map(|first| redactor.difference(first)),
    })
}

/// What another pass would do about a difference.
enum WhyDifferent {
    /// Copy it: the lead shows another version than the one that the pass has paired.
    LeadMoved,
    /// Find it again.
    Stays,
    /// Nothing: the plan keeps it.
    Kept,
}

/// Looks at a differing record. If the look at the lead fails, the lead does not count as moved on.
async fn standing_of(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    target: TargetIndex,
    key: &Key,
) -> Result<WhyDifferent, EngineError> {
    let pair = run.journal.ledger.pair(&dataset.name, target, key).await?;
    let Ok(shown) = stores.source.head(key).await else { return Ok(WhyDifferent::Stays) };
    let moved = match (pair, shown) {
        (None, None) if dataset.extra == Extra::Keep => return Ok(WhyDifferent::Kept),
        (None, shown) => shown.is_some(),
        (Some(pair), Some(shown)) => !pair.source.agrees_with(&shown.token),
        // The lead has deleted it. A pass follows if the target still shows the written version, and never
        // if another writer has replaced it.
        (Some(pair), None) => matches!(
            stores.targets[target.get()].head(key).await,
            Ok(Some(shown)) if pair.target.agrees_with(&shown.token)
        ),
    };
    Ok(if moved { WhyDifferent::LeadMoved } else { WhyDifferent::Stays })
}
