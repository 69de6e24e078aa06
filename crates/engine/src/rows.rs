//! The inputs of a merge-join: listings of a dataset's places and holdings of the ledger, fetched ahead.

use std::sync::Arc;

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    control::Control,
    error::{EngineError, is_fatal},
    failed::Failed,
    routed::{Goes, Router},
    shutdown::Shutdown,
    sites::{opening::DatasetStores, widths::Widths},
    star::Star,
};
use migrate_core::{
    diff::{Input, Join, Pull},
    model::{Aspects, DatasetName, Key, KeyRange, PlaceIndex},
    plan::{Dataset, select::Select},
    routing::Destination,
};
use migrate_ledger::{HeldRow, Ledger};
use migrate_store::{Entry, ErrorKind, ObjectStore};

/// Pages that may queue per input, beside the one that is being fetched; each holds about 1,000 entries.
const PAGES_AHEAD: usize = 1;
/// Holdings per page.
const HELD_PAGE: usize = 1000;

/// The page with which a listing tells its end. An input that ends without an empty page was cut off,
/// and records that it did not show may exist.
const END: Vec<Entry> = Vec::new();

type Pages<T> = mpsc::Receiver<Result<Vec<T>, EngineError>>;

/// Rows that are looked at ahead, to learn where their objects belong.
const LOOKS_AHEAD: usize = 32;

/// One row of the join: a key with the entry of each listed place, what the ledger knows of each follower, and where the
/// lead's object belongs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// By place.
    pub(crate) shown: Vec<Option<Entry>>,
    /// By place.
    pub(crate) held: Vec<Option<HeldRow>>,
    /// Everywhere if the lead shows nothing.
    pub(crate) goes: Goes,
}

type Joined = migrate_core::diff::Joined<Entry, HeldRow>;

/// A merge-join over a range of a dataset, whose tasks fetch its inputs ahead.
#[derive(Debug)]
pub(crate) struct Rows {
    join: Join<Entry, HeldRow>,
    lead: PlaceIndex,
    /// By place; `None` for a place that is not listed.
    listings: Vec<Option<Pages<Entry>>>,
    holdings: Option<Pages<HeldRow>>,
    router: Router,
    /// Rows that are joined already, in order: the first of them waits for a look.
    looks: FuturesOrdered<BoxFuture<'static, Result<Row, EngineError>>>,
    /// The tasks, which end when the set is dropped.
    _tasks: JoinSet<()>,
}

/// What a walk of a shard takes next.
#[derive(Debug)]
pub(crate) enum Within {
    Row(Row),
    /// The listings have ended, or what is left was given away.
    End,
    /// The work is to stop.
    Stop,
}

/// The inputs of a dataset's rows.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) dataset: DatasetName,
    /// The store of each place.
    pub(crate) stores: Vec<Arc<dyn ObjectStore>>,
    pub(crate) star: Star,
    /// The properties that the plan waives at each place; none at its source.
    pub(crate) waived: Arc<[Aspects]>,
    pub(crate) select: Arc<Select>,
    /// The ledger with the holdings; a verification can do without.
    pub(crate) ledger: Option<Arc<Ledger>>,
    pub(crate) router: Router,
    /// The sites of the stores.
    pub(crate) widths: Widths,
    /// Whether the followers are listed.
    lists_followers: bool,
}

impl Inputs {
    /// The inputs of a dataset, by the star of its stores.
    pub(crate) fn new(dataset: &Dataset, stores: &DatasetStores, ledger: Option<&Arc<Ledger>>) -> Self {
        let waived = dataset.targets.iter().map(|target| dataset.waived_at(target));
        Self {
            dataset: dataset.name.clone(),
            stores: stores.places.clone(),
            star: stores.star.clone(),
            waived: std::iter::once(Aspects::NONE).chain(waived).collect(),
            select: Arc::new(dataset.select.clone()),
            ledger: ledger.cloned(),
            router: Router::new(&stores.routing, stores.lead()),
            widths: stores.widths.clone(),
            lists_followers: true,
        }
    }

    /// The same inputs with another lead and one follower.
    pub(crate) fn led_by(mut self, lead: PlaceIndex, follower: PlaceIndex) -> Self {
        self.star.lead = lead;
        self.router = self.router.led_by(&self.stores[lead.get()]);
        self.with_only(follower)
    }

    /// The properties that need not be equal at a place: a lead may lack what was waived there, so its followers need
    /// not have it.
    pub(crate) fn waived_at(&self, place: PlaceIndex) -> Aspects {
        self.waived[self.star.lead.get()].with(self.waived[place.get()])
    }

    /// The same inputs with one follower: the others are not listed, so it does not matter whether they answer.
    pub(crate) fn with_only(mut self, follower: PlaceIndex) -> Self {
        self.star.followers = Arc::from([follower]);
        self
    }

    /// The same, but the followers are not listed: only what the ledger knows of them counts.
    pub(crate) fn by_holdings(self) -> Self {
        Self { lists_followers: false, ..self }
    }

    /// The lead's store.
    pub(crate) fn lead(&self) -> &Arc<dyn ObjectStore> {
        &self.stores[self.star.lead.get()]
    }

    /// Begins to list a range.
    pub(crate) fn rows(&self, range: &KeyRange) -> Rows {
        self.rows_of(range, if self.lists_followers { &self.star.followers } else { &[] })
    }

    /// Begins to list a range at the lead and these followers. The rows tell nothing of what the others show.
    pub(crate) fn rows_of(&self, range: &KeyRange, followers: &[PlaceIndex]) -> Rows {
        let mut tasks = JoinSet::new();
        let mut join = Join::new(range.clone(), self.stores.len());
        let is_listed = |place| place == self.star.lead || followers.contains(&place);
        let mut listings = Vec::new();
        for (place, store) in (0..).map(PlaceIndex::at).zip(&self.stores) {
            listings.push(is_listed(place).then(|| self.listing(store, range, &mut tasks)));
            if !is_listed(place) {
                join.end(Input::Place(place));
            }
        }
        let holdings = self.ledger.clone().map(|ledger| {
            let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
            tasks.spawn(read_holdings(ledger, self.dataset.clone(), self.star.lead, range.clone(), sender));
            receiver
        });
        if holdings.is_none() {
            join.end(Input::Holdings);
        }
        let (router, looks) = (self.router.clone(), FuturesOrdered::new());
        Rows { join, lead: self.star.lead, listings, holdings, router, looks, _tasks: tasks }
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

async fn read_holdings(
    ledger: Arc<Ledger>,
    dataset: DatasetName,
    lead: PlaceIndex,
    mut range: KeyRange,
    sender: mpsc::Sender<Result<Vec<HeldRow>, EngineError>>,
) {
    loop {
        let page = ledger.held(&dataset, lead, &range, HELD_PAGE).await.map_err(EngineError::from);
        let last = page.as_ref().ok().and_then(|page| page.last()).map(|row| row.key.clone());
        // An empty page tells the end, so it is sent like any other.
        if sender.send(page).await.is_err() || last.is_none() {
            return;
        }
        range.after = last;
    }
}

/// What comes next in a join.
#[derive(Debug)]
pub(crate) enum Next {
    /// A key.
    Row(Row),
    /// Every input has ended.
    End,
    /// The listing of this follower failed: from here on the rows tell nothing of what it shows.
    Lost(PlaceIndex, EngineError),
}

impl Rows {
    /// The next row of a shard that other tasks may cut.
    pub(crate) async fn next_within(&mut self, control: &Control, shutdown: &Shutdown) -> Result<Within, EngineError> {
        if shutdown.is_draining() {
            return Ok(Within::Stop);
        }
        let mut row = self.ready();
        if row.is_none() {
            row = tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(Within::Stop),
                row = self.next() => row?,
            };
        }
        Ok(row.filter(|row| control.admit(&row.key)).map_or(Within::End, Within::Row))
    }

    /// The next row, if nothing must be awaited for it: of a thousand rows, nearly all. So what else the caller waits for
    /// need not be asked at each row.
    pub(crate) fn ready(&mut self) -> Option<Row> {
        if !self.looks.is_empty() {
            return None;
        }
        match self.join.next() {
            Pull::Row(row) => self.route(row),
            Pull::End | Pull::Need(_) => None,
        }
    }

    /// The next row; `None` at the end. Waits for a page if the join needs one. Every listing must come to its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, EngineError> {
        match self.advance().await? {
            Next::Row(row) => Ok(Some(row)),
            Next::End => Ok(None),
            Next::Lost(_, error) => Err(error),
        }
    }

    /// The next row, or the follower whose listing failed: the join goes on without it. An error of any other input
    /// ends the join.
    pub(crate) async fn advance(&mut self) -> Result<Next, EngineError> {
        loop {
            if self.looks.len() >= LOOKS_AHEAD
                && let Some(row) = self.looks.next().await
            {
                return Ok(Next::Row(row?));
            }
            match self.join.next() {
                Pull::Row(row) => {
                    if let Some(row) = self.route(row) {
                        return Ok(Next::Row(row));
                    }
                }
                // What is joined already comes before the end, and before a page is awaited or a listing lost.
                Pull::End | Pull::Need(_) if !self.looks.is_empty() => {
                    if let Some(row) = self.looks.next().await {
                        return Ok(Next::Row(row?));
                    }
                }
                Pull::End => return Ok(Next::End),
                Pull::Need(Input::Holdings) => {
                    let page = next_page(self.holdings.as_mut()).await?;
                    if page.is_empty() {
                        self.join.end(Input::Holdings);
                    } else {
                        self.join.feed_holdings(page)?;
                    }
                }
                Pull::Need(Input::Place(place)) => match self.feed(place).await {
                    Ok(()) => {}
                    Err(error @ (EngineError::Store(_) | EngineError::Listing(_))) if place != self.lead => {
                        self.leave(place);
                        return Ok(Next::Lost(place, error));
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Learns where a row's object belongs. Returns the row if that is known and no row before it waits for a look.
    fn route(&mut self, row: Joined) -> Option<Row> {
        let Joined { key, shown, held } = row;
        let goes = match &shown[self.lead.get()] {
            None => Some(Goes::To(Destination::Everywhere)),
            Some(entry) => {
                let listed = self.router.listed(&key, entry.token.size);
                // What cannot be read cannot be looked at either: it fails everywhere.
                let unread = entry.problem.as_ref().map(|_| Goes::To(Destination::Everywhere));
                listed.or(unread).or_else(|| self.router.known(entry, &held))
            }
        };
        let row = Row { key, shown, held, goes: goes.clone().unwrap_or(Goes::Vanished) };
        match goes {
            Some(_) if self.looks.is_empty() => return Some(row),
            Some(_) => self.looks.push_back(Box::pin(std::future::ready(Ok(row)))),
            None => {
                // In a task of its own: it holds, or is next for, a slot of the lead's site. Whoever takes the rows may wait
                // for a record that waits for that slot, and would not go on with the look.
                let looking = AbortOnDropHandle::new(tokio::spawn(look(self.router.clone(), self.lead, row)));
                self.looks.push_back(Box::pin(async move { looking.await? }));
            }
        }
        None
    }

    /// Lists a follower no further: from here on the rows tell nothing reliable of what it shows.
    pub(crate) fn leave(&mut self, place: PlaceIndex) {
        self.join.end(Input::Place(place));
        self.listings[place.get()] = None;
    }

    /// Feeds the next page of a listing.
    async fn feed(&mut self, place: PlaceIndex) -> Result<(), EngineError> {
        let page = next_page(self.listings[place.get()].as_mut()).await?;
        if page.is_empty() {
            self.join.end(Input::Place(place));
        } else {
            self.join.feed(place, page)?;
        }
        Ok(())
    }
}

/// Looks at a row's object at the lead. The row then shows the version that was looked at.
async fn look(router: Router, lead: PlaceIndex, mut row: Row) -> Result<Row, EngineError> {
    match router.look(&row.key).await {
        Ok(Some((token, goes))) => {
            row.goes = goes;
            if let Some(entry) = row.shown[lead.get()].as_mut().filter(|entry| !entry.token.agrees_with(&token)) {
                entry.token = token;
            }
        }
        Ok(None) => row.goes = Goes::Vanished,
        Err(error) if is_fatal(&error) || error.kind() == ErrorKind::Unreachable => return Err(error.into()),
        Err(error) => row.goes = Goes::Unknown(Failed::by(&error, "")),
    }
    Ok(row)
}

/// The next page of an input; what is not fetched was ended before the first row.
async fn next_page<T>(pages: Option<&mut Pages<T>>) -> Result<Vec<T>, EngineError> {
    let page = pages.expect("an input that is not fetched has ended").recv().await;
    page.ok_or(EngineError::ListingLost)?
}
