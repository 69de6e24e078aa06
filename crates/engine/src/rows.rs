//! The inputs of a merge-join: listings of both sides and pairs of the ledger, fetched ahead.

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinSet};

use crate::{error::EngineError, sites::opening::DatasetStores};
use migrate_core::{
    diff::{Input, Join, Pull},
    model::{Aspects, DatasetName, KeyRange, TargetIndex},
    plan::{Dataset, select::Select},
};
use migrate_ledger::{Ledger, PairRow};
use migrate_store::{Entry, ObjectStore};

/// Pages that may queue per input; each holds about 1,000 entries.
const PAGES_AHEAD: usize = 2;
/// Pairs per page.
const PAIRS_PAGE: usize = 1000;

/// The page with which a listing tells its end. An input that ends without an empty page was cut off,
/// and records that it did not show may exist.
const END: Vec<Entry> = Vec::new();

type Pages<T> = mpsc::Receiver<Result<Vec<T>, EngineError>>;

/// One row of the join: a key with its entry on each side and its pairs in the ledger.
pub(crate) type Row = migrate_core::diff::Joined<Entry, PairRow>;

/// A merge-join over a range of a dataset, whose tasks fetch its inputs ahead.
#[derive(Debug)]
pub(crate) struct Rows {
    join: Join<Entry, PairRow>,
    source: Pages<Entry>,
    targets: Vec<Pages<Entry>>,
    pairs: Option<Pages<PairRow>>,
    /// The tasks, which end when the set is dropped.
    _tasks: JoinSet<()>,
}

/// The inputs of a dataset's rows.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) dataset: DatasetName,
    pub(crate) source: Arc<dyn ObjectStore>,
    pub(crate) targets: Vec<Arc<dyn ObjectStore>>,
    /// The waived properties, per target.
    pub(crate) waived: Arc<[Aspects]>,
    pub(crate) select: Arc<Select>,
    /// The ledger with the pairs; a verification can do without.
    pub(crate) ledger: Option<Arc<Ledger>>,
    /// The only target whose pairs are read; `None` for all targets.
    only: Option<TargetIndex>,
}

impl Inputs {
    /// All inputs of a dataset.
    pub(crate) fn new(dataset: &Dataset, stores: &DatasetStores, ledger: Option<&Arc<Ledger>>) -> Self {
        Self {
            dataset: dataset.name.clone(),
            source: Arc::clone(&stores.source),
            targets: stores.targets.clone(),
            waived: dataset.targets.iter().map(|target| dataset.waived_at(target)).collect(),
            select: Arc::new(dataset.select.clone()),
            ledger: ledger.cloned(),
            only: None,
        }
    }

    /// The waived properties, per target.
    pub(crate) fn waived(&self) -> Arc<[Aspects]> {
        Arc::clone(&self.waived)
    }

    /// The same inputs with one target, the only one of each row: the others are not listed, so it does not
    /// matter whether they answer.
    pub(crate) fn with_only(mut self, target: TargetIndex) -> Self {
        self.targets = vec![self.targets.swap_remove(target.get())];
        self.only = Some(target);
        self
    }

    /// The source and the pairs of one target, which is not listed itself.
    pub(crate) fn against_pairs_of(mut self, target: TargetIndex) -> Self {
        self.targets.clear();
        self.only = Some(target);
        self
    }

    /// Begins to list a range.
    pub(crate) fn rows(&self, range: &KeyRange) -> Rows {
        let mut tasks = JoinSet::new();
        let source = self.listing(&self.source, range, &mut tasks);
        let targets: Vec<_> = self.targets.iter().map(|target| self.listing(target, range, &mut tasks)).collect();
        let pairs = self.ledger.clone().map(|ledger| {
            let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
            tasks.spawn(read_pairs(ledger, self.dataset.clone(), range.clone(), self.only, sender));
            receiver
        });
        let columns = if self.only.is_some() { 1 } else { targets.len() };
        let mut join = Join::new(range.clone(), columns);
        if targets.len() < columns {
            join.end(Input::Target(TargetIndex(0)));
        }
        if pairs.is_none() {
            join.end(Input::Pairs);
        }
        Rows { join, source, targets, pairs, _tasks: tasks }
    }

    fn listing(&self, store: &Arc<dyn ObjectStore>, range: &KeyRange, tasks: &mut JoinSet<()>) -> Pages<Entry> {
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let mut listing = store.list(range.clone());
        let select = Arc::clone(&self.select);
        tasks.spawn(async move {
            loop {
                let page = match listing.next().await {
                    Ok(Some(mut page)) => {
                        page.retain(|entry| select.holds(&entry.key));
                        if page.is_empty() {
                            continue;
                        }
                        Ok(page)
                    }
                    Ok(None) => Ok(END),
                    Err(error) => Err(error.into()),
                };
                let last = page.as_ref().map_or(true, Vec::is_empty);
                if sender.send(page).await.is_err() || last {
                    return;
                }
            }
        });
        receiver
    }
}

async fn read_pairs(
    ledger: Arc<Ledger>,
    dataset: DatasetName,
    mut range: KeyRange,
    only: Option<TargetIndex>,
    sender: mpsc::Sender<Result<Vec<PairRow>, EngineError>>,
) {
    loop {
        let mut page = ledger.pairs(&dataset, &range, PAIRS_PAGE).await.map_err(EngineError::from);
        let last = page.as_ref().ok().and_then(|page| page.last()).map(|row| row.key.clone());
        if let (Ok(page), Some(only)) = (&mut page, only) {
            page.retain(|row| row.target == only);
            for row in page.iter_mut() {
                row.target = TargetIndex(0);
            }
            if page.is_empty() && last.is_some() {
                range.after = last;
                continue;
            }
        }
        // An empty page tells the end, so it is sent like any other.
        if sender.send(page).await.is_err() || last.is_none() {
            return;
        }
        range.after = last;
    }
}

impl Rows {
    /// The next row; `None` at the end. Waits for a page if the join needs one.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, EngineError> {
        loop {
            match self.join.next() {
                Pull::Row(row) => return Ok(Some(row)),
                Pull::End => return Ok(None),
                Pull::Need(Input::Pairs) => {
                    let pages = self.pairs.as_mut().expect("pairs are ended where there are none");
                    let page = pages.recv().await.ok_or(EngineError::ListingLost)??;
                    if page.is_empty() {
                        self.join.end(Input::Pairs);
                    } else {
                        self.join.feed_pairs(page)?;
                    }
                }
                Pull::Need(input) => {
                    let pages = match input {
                        Input::Target(target) => &mut self.targets[target.get()],
                        _ => &mut self.source,
                    };
                    let page = pages.recv().await.ok_or(EngineError::ListingLost)??;
                    if page.is_empty() {
                        self.join.end(input);
                    } else {
                        self.join.feed(input, page)?;
                    }
                }
            }
        }
    }
}
