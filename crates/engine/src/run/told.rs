//! What a pass tells of how far it is.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    run::{
        active::{Active, Data, ObjectWork},
        context::Run,
    },
    scribe::Board,
    tables::work::TableWork,
};
use migrate_core::{
    lifecycle::Stage,
    model::{DatasetName, KeyRange, PlaceIndex},
    plan::select::Select,
    report::{Advance, EventKind, Pace, Redactor, TargetProgress, Work},
    shard::Tally,
};
use migrate_ledger::{Ledger, LedgerError};
use migrate_store::ObjectStore;

/// How much a dataset holds, once that is known.
type Totals = Arc<OnceLock<Total>>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Total {
    records: u64,
    bytes: u64,
}

/// What the passes of a phase tell, dataset by dataset.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    datasets: Vec<OfPass>,
    /// What is being counted.
    counting: JoinSet<()>,
}

/// What one pass tells.
#[derive(Debug, Default)]
struct OfPass {
    total: Totals,
    /// What was told last.
    told: Advance,
    /// What the pass had copied to each follower, and how much this process had written there, when this began.
    before: Vec<(u64, u64)>,
    at: Vec<AtFollower>,
    /// The pace of a table, of which all followers are written together.
    pace: Pace,
}

/// How far a pass is at one follower.
#[derive(Debug, Default)]
struct AtFollower {
    pace: Pace,
    /// The most records and bytes that were told as done. A record that is deferred is known to be that before its shard
    /// counts it as seen.
    done: (u64, u64),
}

impl Progress {
    /// Begins to learn how much each dataset holds whose pass is under way.
    pub(super) fn new(run: &Run<'_>, active: &[Active]) -> Self {
        let (mut datasets, mut counting) = (Vec::new(), JoinSet::new());
        for active in active {
            let mut of = OfPass::default();
            if let (Stage::Copying, Data::Objects(objects)) = (&active.lifecycle.syncing.stage, &active.data) {
                of.before =
                    counted(objects, &run.board).iter().map(|one| (one.tally.copied_bytes, one.written)).collect();
                // Where a record belongs takes a look at it: nobody knows how many belong to one target.
                if objects.stores.routing.is_open() {
                    let source = source(run, active, objects);
                    let total = Arc::clone(&of.total);
                    counting.spawn(async move {
                        if let Some(counted) = source.total().await {
                            total.get_or_init(|| counted);
                        }
                    });
                }
            }
            datasets.push(of);
        }
        Self { began: Instant::now(), datasets, counting }
    }

    /// Stops to count what is not counted yet, once nothing more is told.
    pub(super) async fn end(&mut self) {
        self.counting.shutdown().await;
    }

    /// What to tell of each dataset whose pass is under way.
    pub(super) fn tell(&mut self, run: &Run<'_>, active: &[Active]) {
        let now = self.began.elapsed();
        for (active, of) in active.iter().zip(&mut self.datasets) {
            if active.lifecycle.syncing.stage == Stage::Copying {
                run.sink.tell(of.told(run, active, now));
            }
        }
    }
}

impl OfPass {
    fn told(&mut self, run: &Run<'_>, active: &Active, now: Duration) -> EventKind {
        let (dataset, redactor) = (active.plan.name.clone(), Redactor::new(run.plan.redact_keys));
        match &active.data {
            Data::Objects(objects) => EventKind::Progress {
                dataset,
                targets: objects.progress(&run.board),
                advance: self.of_objects(&counted(objects, &run.board), now),
                source_bytes_read: objects.reads.of(objects.source_bytes_read()),
                target_bytes_written: objects.stores.bytes_written(),
                waits_for: objects.stores.waits_for(redactor),
                requests_at_once: objects.stores.widths.told(),
            },
            Data::Table(table) => {
                let targets = table.sides.progress();
                EventKind::Progress {
                    dataset,
                    advance: self.of_table(table, &targets, now),
                    targets,
                    source_bytes_read: table.sides.source_bytes_read(),
                    target_bytes_written: table.sides.stores.bytes_written(),
                    waits_for: table.sides.stores.waits_for(redactor),
                    requests_at_once: table.sides.stores.widths.told(),
                }
            }
        }
    }

    /// How far the follower is that is least far, of those that take part.
    fn of_objects(&mut self, followers: &[Counted], now: Duration) -> Advance {
        let total = self.total.get();
        self.at.resize_with(followers.len(), AtFollower::default);
        let at = self.at.iter_mut().zip(followers).zip(&self.before);
        let advances = at.filter(|((_, follower), _)| !follower.is_down).map(|((at, follower), before)| {
            let (records, bytes) = follower.done();
            at.done = (at.done.0.max(records), at.done.1.max(bytes));
            let copied = follower.tally.copied_bytes.saturating_sub(before.0);
            let work = Work {
                records: at.done.0,
                records_total: total.map(|total| total.records),
                bytes: at.done.1,
                bytes_total: total.map(|total| total.bytes),
                written: follower.written,
                under_way: follower.written.saturating_sub(before.1).saturating_sub(copied),
            };
            at.pace.advance(now, work)
        });
        // Each pace takes what is done now, whichever is told.
        let advances: Vec<_> = advances.collect();
        let told = advances.into_iter().min_by_key(|one| (one.records_done, one.bytes_done));
        // Once all are down, nothing moves any more.
        self.told = told.unwrap_or(Advance { rate_bytes_per_second: None, eta_seconds: None, ..self.told });
        self.told
    }

    /// Of a table the server estimates how many items it holds.
    fn of_table(&mut self, table: &TableWork, targets: &[TargetProgress], now: Duration) -> Advance {
        let sides = &table.sides;
        let expected = Some(sides.counted.expected.load(Relaxed)).filter(|expected| *expected > 0);
        let copied = targets.iter().map(|target| target.tally.copied_bytes);
        let written = sides.open().map(|follower| sides.stores.bytes_written_at(follower.place));
        let work = Work {
            records: sides.counted.seen.load(Relaxed),
            records_total: expected,
            bytes: copied.min().unwrap_or(0),
            written: written.max().unwrap_or(0),
            ..Work::default()
        };
        self.pace.advance(now, work)
    }
}

/// What was counted at one follower.
struct Counted {
    tally: Tally,
    /// Records that were seen and are deferred, so that they are not there.
    behind: u64,
    /// Bytes that this process has written there.
    written: u64,
    is_down: bool,
}

impl Counted {
    /// Records, and their bytes, that need no further copy. Of deferred records the board keeps no bytes: they count as
    /// large as the others.
    fn done(&self) -> (u64, u64) {
        let Tally { records, bytes, .. } = self.tally;
        let done = records.saturating_sub(self.behind);
        let share = u128::from(bytes) * u128::from(done) / u128::from(records.max(1));
        (done, u64::try_from(share).unwrap_or(bytes))
    }
}

fn counted(objects: &ObjectWork, board: &Board) -> Vec<Counted> {
    let progress = objects.progress(board);
    let followers = objects.copier.followers.iter().zip(progress);
    followers
        .map(|(follower, target)| Counted {
            tally: target.tally,
            behind: board
                .read(&objects.copier.dataset, |standing| standing.behind.get(&follower.place).copied())
                .flatten()
                .unwrap_or(0),
            written: objects.stores.bytes_written_at(follower.place),
            is_down: follower.lane.is_down(),
        })
        .collect()
}

/// Who knows how much a dataset holds.
enum Source {
    /// An earlier pass has seen all of it, and the ledger counts what it found.
    Ledger(Arc<Ledger>, DatasetName, Arc<[PlaceIndex]>),
    /// A listing of the lead beside the copy.
    Listing(Arc<dyn ObjectStore>, Select),
    Nobody,
}

fn source(run: &Run<'_>, active: &Active, objects: &ObjectWork) -> Source {
    if active.lifecycle.syncing.pass > 1 {
        let (ledger, followers) = (Arc::clone(&run.journal.ledger), Arc::clone(&objects.stores.star.followers));
        return Source::Ledger(ledger, active.plan.name.clone(), followers);
    }
    if !run.options.counts {
        return Source::Nobody;
    }
    Source::Listing(Arc::clone(objects.stores.lead()), active.plan.select.clone())
}

impl Source {
    /// How much there is; `None` if that cannot be learned. The pass meets the same errors and tells them.
    async fn total(self) -> Option<Total> {
        match self {
            Self::Ledger(ledger, dataset, followers) => known(&ledger, &dataset, &followers).await.ok(),
            Self::Listing(lead, select) => listed(&*lead, &select).await,
            Self::Nobody => None,
        }
        .filter(|total| total.records > 0)
    }
}

async fn known(ledger: &Ledger, dataset: &DatasetName, followers: &[PlaceIndex]) -> Result<Total, LedgerError> {
    let mut most = Total::default();
    for place in followers {
        let counts = ledger.counts(dataset, *place).await?;
        most.records = most.records.max(counts.paired);
        most.bytes = most.bytes.max(counts.paired_bytes);
    }
    Ok(most)
}

async fn listed(lead: &dyn ObjectStore, select: &Select) -> Option<Total> {
    let (mut listing, mut total) = (lead.list(KeyRange::all()), Total::default());
    while let Some(page) = listing.next().await.ok()? {
        for entry in page.iter().filter(|entry| select.holds(&entry.key)) {
            total.records += 1;
            total.bytes += entry.token.size;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::{Properties, memory::MemoryStore};

    #[tokio::test]
    async fn a_listing_counts_what_the_plan_selects() {
        let store = MemoryStore::new("s3://a/data/").with_page_size(3);
        for n in 0..10 {
            store.put_raw(&format!("{n}"), "four", Properties::default());
        }
        let total = listed(&store, &Select::default()).await;
        assert_eq!(total, Some(Total { records: 10, bytes: 40 }));
    }

    #[test]
    fn the_target_that_is_least_far_counts_and_one_that_is_down_does_not() {
        let mut of = OfPass { before: vec![(0, 0), (0, 0), (0, 0)], ..OfPass::default() };
        of.total.get_or_init(|| Total { records: 10, bytes: 100 });
        let follower = |records, is_down| Counted {
            tally: Tally { records, bytes: records * 10, copied_bytes: records * 10, ..Tally::default() },
            behind: 0,
            written: records * 10 + 5,
            is_down,
        };
        let advance = of.of_objects(&[follower(6, false), follower(4, false), follower(1, true)], Duration::ZERO);
        assert_eq!((advance.records_done, advance.bytes_done, advance.fraction), (4, 40, Some(0.4)));
        assert_eq!((advance.records_total, advance.bytes_total), (Some(10), Some(100)));
        // What was deferred has been seen, and is not there.
        let slow = Counted { behind: 2, ..follower(4, false) };
        let mut of = OfPass { before: vec![(0, 0), (0, 0)], ..OfPass::default() };
        let advance = of.of_objects(&[follower(6, false), slow], Duration::from_secs(1));
        assert_eq!((advance.records_done, advance.bytes_done), (2, 20));
        let advance = of.of_objects(&[follower(6, false), follower(1, false)], Duration::from_secs(2));
        assert_eq!((advance.records_done, advance.bytes_done), (2, 20), "it never falls");
    }

    #[test]
    fn the_rate_is_that_of_the_target_whose_records_are_told() {
        let mut of = OfPass { before: vec![(0, 0), (0, 0)], ..OfPass::default() };
        of.total.get_or_init(|| Total { records: 1_000, bytes: 1_000 });
        let follower = |records| Counted {
            tally: Tally { records, bytes: records, copied_bytes: records, ..Tally::default() },
            behind: 0,
            written: records,
            is_down: false,
        };
        let mut told = Advance::default();
        for second in 0..=20 {
            told = of.of_objects(&[follower(30 * second), follower(10 * second)], Duration::from_secs(second));
        }
        assert_eq!((told.records_done, told.rate_bytes_per_second), (200, Some(10)));
        assert_eq!(told.eta_seconds, Some(80));
    }
}
