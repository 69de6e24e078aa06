//! Whether a lead has moved on, that is, was written to: since a verification, by listings alone; or since a pass, by
//! the findings of a later verification.
//!
//! # Since a verification
//!
//! Only the two sites between which the lead moves are listed: other followers decide nothing about the move, even
//! if they do not answer. Both are compared with the recorded pairs. A listing of
//! hundreds of millions of keys takes hours, so a look is made in shards, and ends at once if the run is to stop.
//!
//! # Since a pass
//!
//! Another pass helps only if the lead shows another version than the one that the pass has paired. If the lead
//! shows the paired version, another pass would find the difference again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};

use crate::{
    budget::ShardSlots,
    control::Control,
    cutover::{
        halt::Halt,
        hand::{Changes, Written},
    },
    error::EngineError,
    journal::Journal,
    routed::{AtLead, Router},
    rows::{Inputs, Row, Within},
    run::{context::Run, walks},
    seen::{self, Seen},
    shutdown::Shutdown,
    sites::opening::DatasetStores,
    verify::{found::Found, progress::first_cut, witness::Verification},
    waits::WaitsFor,
    walk::Walk,
};
use migrate_core::{
    model::{Key, PlaceIndex, Token},
    plan::{Dataset, Extra},
    report::{Difference, Redactor},
};
use migrate_ledger::{Fact, Held, Record, VerifiedShard};
use migrate_store::Entry;

/// Records whose versions are looked at together.
const LOOKS: usize = 64;
/// Late writes that go to the ledger together.
const LATE_BATCH: usize = 256;
/// The sides of a look that count for it: the two leads together.
const SIDES: usize = 1;

/// Finds the records at the old lead and the new one whose versions are not those that were compared.
pub(crate) async fn between(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    (old, new): (PlaceIndex, PlaceIndex),
) -> Result<Changes, Halt> {
    let inputs = Inputs::new(dataset, stores, Some(&run.journal.ledger)).led_by(old, new);
    look(run, dataset, inputs, Wanted::Changes, stores.shutdown(&run.shutdown)).await
}

/// Finds the records at the old lead whose versions are not those that were compared, and writes each to the ledger.
/// The new lead is not listed: applications write there by now.
pub(crate) async fn at_old_lead(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    (old, new): (PlaceIndex, PlaceIndex),
) -> Result<Written, Halt> {
    let inputs = Inputs::new(dataset, stores, Some(&run.journal.ledger)).led_by(old, new).by_holdings();
    run.commit(vec![Record::LateLookBegan { dataset: dataset.name.clone() }]).await?;
    // The lease was given back before the switch; nothing is written at the dataset's places any more.
    let wanted = Wanted::LateWrites(run.journal.clone());
    let late = look(run, dataset, inputs, wanted, run.shutdown.clone()).await?;
    run.commit(Vec::new()).await?;
    Ok(late.old)
}

/// Walks the listings in the shards of the last pass, split while workers are idle, until `stops` asks to stop.
async fn look(
    run: &Run<'_>,
    dataset: &Dataset,
    inputs: Inputs,
    wanted: Wanted,
    stops: Shutdown,
) -> Result<Changes, Halt> {
    let shards = run.journal.ledger.shards(&dataset.name).await.map_err(EngineError::from)?;
    let source = Arc::clone(inputs.lead());
    let (extra, slots) = (dataset.extra, run.budget.shard_slots());
    let look = Arc::new(Look { inputs, wanted, extra, slots, shutdown: stops.clone(), found: Mutex::default() });
    let shards = first_cut(&shards);
    let seen = walks::walk(&look, source, SIDES, shards, &run.options.limits, &stops).await?;
    if !seen::is_whole(&seen, SIDES) {
        let dataset = dataset.name.clone();
        return Err(if stops.is_draining() { Halt::Interrupted } else { EngineError::Unfinished { dataset }.into() });
    }
    let found = look.found().clone();
    Ok(found)
}

/// What a look is for.
#[derive(Debug)]
enum Wanted {
    /// What changed at the old lead, or else at the new one.
    Changes,
    /// What was written at the old lead, which goes to the ledger.
    LateWrites(Journal),
}

/// A look at the versions that listings show, against the recorded pairs.
#[derive(Debug)]
struct Look {
    inputs: Inputs,
    wanted: Wanted,
    extra: Extra,
    slots: ShardSlots,
    shutdown: Shutdown,
    found: Mutex<Changes>,
}

impl Look {
    fn found(&self) -> MutexGuard<'_, Changes> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row; returns it as a late write if it was written at the old lead.
    fn take(&self, mut row: Row) -> Option<(Key, Option<Token>)> {
        if !self.is_as_paired(&row) {
            self.found().old.add(row.key.clone());
            let shown = row.shown[self.inputs.star.lead.get()].take();
            return Some((row.key, shown.map(|entry| entry.token)));
        }
        if matches!(self.wanted, Wanted::Changes) && !self.target_is_as_paired(&row) {
            self.found().new.add(row.key);
        }
        None
    }

    /// What the new lead shows, and what the ledger knows of it.
    fn new_lead<'a>(&self, row: &'a Row) -> (Option<&'a Entry>, Option<&'a Held>) {
        let place = self.inputs.star.followers[0].get();
        (row.shown[place].as_ref(), row.held[place].as_ref().map(|row| &row.held))
    }

    /// Whether the old lead shows the paired version, or neither an object nor a pair exists.
    fn is_as_paired(&self, row: &Row) -> bool {
        match (&row.shown[self.inputs.star.lead.get()], self.new_lead(row).1) {
            (None, None) => true,
            (Some(shown), Some(held)) => held.lead.as_ref().is_some_and(|paired| paired.agrees_with(&shown.token)),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The same for the new lead, which may hold objects without a pair if the plan keeps them.
    fn target_is_as_paired(&self, row: &Row) -> bool {
        match self.new_lead(row) {
            (None, None) => true,
            (Some(shown), Some(held)) => held.here.agrees_with(&shown.token),
            (Some(_), None) => self.extra == Extra::Keep,
            (None, Some(_)) => false,
        }
    }

    async fn record(&self, written: Vec<(Key, Option<Token>)>) -> Result<(), EngineError> {
        let Wanted::LateWrites(journal) = &self.wanted else { return Ok(()) };
        if written.is_empty() {
            return Ok(());
        }
        let (dataset, old) = (&self.inputs.dataset, self.inputs.star.lead);
        let late = |(key, shown)| Record::at(dataset, old, &key, Fact::Late { shown });
        Ok(journal.commit(written.into_iter().map(late).collect()).await?)
    }
}

#[async_trait]
impl Walk for Look {
    async fn walk(&self, shard: VerifiedShard, control: Arc<Control>) -> Result<Option<Seen>, EngineError> {
        let _slot = self.slots.slot().await;
        let mut rows = self.inputs.rows(&shard.range);
        let mut written = Vec::new();
        loop {
            let row = match rows.next_within(&control, &self.shutdown).await? {
                Within::Row(row) => row,
                Within::End => break,
                Within::Stop => return Ok(None),
            };
            written.extend(self.take(row));
            if written.len() >= LATE_BATCH {
                self.record(std::mem::take(&mut written)).await?;
            }
        }
        self.record(written).await?;
        Ok(Some(Seen::to_the_end(&control, SIDES)))
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
    /// Followers that were not looked through to their end, each with the reason.
    unlisted: Vec<(String, String)>,
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
        if differences + unreadable == 0 && !self.unlisted.is_empty() {
            return WaitsFor::Targets(self.unlisted.clone());
        }
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
    let found = stores
        .star
        .followers
        .iter()
        .copied()
        .zip(targets)
        .flat_map(|(target, found)| found.differences.iter().map(move |difference| (target, difference)));
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
        strays: of(|found| found.counts.strays),
        untold: of(Found::untold),
        unlisted: verification.unlisted(),
        lead_moved,
        repairable: of(Found::repairable) > 0,
        first: first.map(|first| redactor.difference(first)),
    })
}

/// Judges the findings of the verification of a table. What has changed was brought over before a difference was
/// believed, so no other pass mends it, unless passes compare all items.
pub(crate) fn judge_table(verification: &Verification, compares: bool, redactor: Redactor) -> Differs {
    let targets = &verification.targets;
    let of = |count: fn(&Found) -> u64| targets.iter().map(count).sum::<u64>();
    let first = targets.iter().find_map(|found| found.differences.first());
    let mendable = of(Found::repairable);
    Differs {
        differences: of(Found::broken),
        strays: of(|found| found.counts.strays),
        untold: of(Found::untold),
        unlisted: verification.unlisted(),
        lead_moved: compares && mendable > 0,
        repairable: mendable > 0,
        first: first.map(|first| redactor.difference(first)),
    }
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
    target: PlaceIndex,
    key: &Key,
) -> Result<WhyDifferent, EngineError> {
    // A late write stays until it is settled: then the next pass may write over it.
    let late = run.journal.ledger.late_at(&dataset.name, key).await?;
    if target == PlaceIndex::SOURCE && late.is_some_and(|late| late.is_open) {
        return Ok(WhyDifferent::Stays);
    }
    let held = run.journal.ledger.held_at(&dataset.name, stores.star.lead, target, key).await?;
    let router = Router::new(&stores.routing, stores.lead());
    let shown = match router.at_lead(target, key).await {
        Ok(AtLead::Version(token)) => Some(token),
        Ok(AtLead::Absent) => None,
        // It stays there unless a pass wrote it and deletes it again.
        Ok(AtLead::Elsewhere) if held.is_some() => None,
        Ok(AtLead::Elsewhere | AtLead::Unknown(_)) | Err(_) => return Ok(WhyDifferent::Stays),
    };
    let moved = match (held, shown) {
        (None, None) if dataset.extra == Extra::Keep => return Ok(WhyDifferent::Kept),
        (None, shown) => shown.is_some(),
        (Some(held), Some(shown)) => !held.lead.is_some_and(|paired| paired.agrees_with(&shown)),
        // The lead has deleted it. A pass follows if the target still shows the written version, and never
        // if another writer has replaced it.
        (Some(held), None) => matches!(
            stores.at(target).head(key).await,
            Ok(Some(shown)) if held.here.covers(&shown.token)
        ),
    };
    Ok(if moved { WhyDifferent::LeadMoved } else { WhyDifferent::Stays })
}
