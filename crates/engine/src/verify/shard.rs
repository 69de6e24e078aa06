//! One shard of a verification: joins the listings of all sides and compares row by row.
//!
//! Rows are compared in any order; the cursor moves only over the gapless prefix of those that are compared at every
//! follower. A row whose comparison was cut short by a stop closes the frontier, so that the next process compares it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    budget::{Records, ShardSlots, Slot},
    control::Control,
    error::EngineError,
    journal::ROWS_PER_RECORD,
    rows::{self, Row, Rows},
    seen::Seen,
    verify::{
        findings::Findings,
        look::{Look, Looked},
        row::Part,
        verifier::Verifier,
    },
    walk::{ShardsAt, Walk},
};
use migrate_core::{
    model::{Key, KeyRange, PlaceIndex, ShardId},
    report::{Advance, EventKind, Pace, Work},
    shard::{Cursor, Frontier, Room, Ticket},
};
use migrate_ledger::VerifiedShard;

/// Looks at once, over all shards of a verification, while no site is found to bear more requests than in any case.
const LOOKS: usize = 32;
/// Most rows from the first open one to the last begun one.
const FRONTIER_MAX: usize = 4096;
/// The age at which a shard's findings go to the ledger, however few they are.
const BATCH_AGE: Duration = Duration::from_millis(250);

/// The walk of one verification, over any of its shards.
#[derive(Debug)]
pub(crate) struct Compare {
    pub(crate) verifier: Verifier,
    pub(crate) findings: Findings,
    looks: Records,
    slots: ShardSlots,
    /// Rows after which a shard's findings go to the ledger.
    batch_rows: usize,
    /// Records that the ledger has paired, over all targets: about as many will be compared.
    expected: Option<u64>,
    began: Instant,
    pace: Mutex<Pace>,
}

impl Compare {
    pub(crate) fn new(verifier: Verifier, findings: Findings, batch_rows: usize, expected: Option<u64>) -> Self {
        let slots = verifier.budget.shard_slots();
        let (looks, pace) = (verifier.budget.looks(LOOKS), Mutex::default());
        Self { verifier, findings, looks, slots, batch_rows, expected, began: Instant::now(), pace }
    }
}

#[async_trait]
impl Walk for Compare {
    async fn walk(&self, shard: VerifiedShard, control: Arc<Control>) -> Result<Option<Seen>, EngineError> {
        let _slot = self.slots.slot().await;
        let VerifiedShard { id, range, cursor } = shard;
        let left = match cursor {
            Cursor::At(key) => KeyRange { after: Some(key), until: range.until },
            Cursor::Start | Cursor::End => range,
        };
        let is_listed = self.findings.listed();
        let followers = self.verifier.sides.star.followers.iter().zip(&is_listed);
        let listed: Vec<_> = followers.filter(|(_, listed)| **listed).map(|(place, _)| *place).collect();
        let mut rows = self.verifier.inputs.rows_of(&left, &listed);
        let frontier = Frontier::new(FRONTIER_MAX);
        let (looks, flushed) = (JoinSet::new(), Instant::now());
        let mut shard =
            Shard { of: self, id, is_listed, frontier, looks, rows: 0, records: 0, is_dirty: false, flushed };
        let listed = shard.list(&mut rows, &control).await;
        drop(rows);
        control.close();
        // What was compared before a listing failed is kept.
        let seen = shard.end(matches!(listed, Ok(true))).await?;
        listed?;
        Ok(seen.map(|followers| Seen::to_the_end(&control, followers)))
    }

    async fn split(&self, shard: ShardId, at: &Key, new: ShardId, control: &Control) -> Result<bool, EngineError> {
        self.findings.split(&self.verifier, shard, at, new, control).await
    }

    fn tell(&self, shards: ShardsAt) {
        let compared = self.findings.compared();
        let work = Work { records: compared, records_total: self.expected, ..Work::default() };
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let Advance { fraction, eta_seconds, .. } = pace.advance(self.began.elapsed(), work);
        self.verifier.sink.tell(EventKind::Verifying {
            dataset: self.verifier.inputs.dataset.clone(),
            compared,
            fraction,
            expected: self.expected,
            eta_seconds,
            shards_ended: shards.ended,
            shards: shards.all,
            requests_at_once: self.verifier.inputs.widths.told(),
        });
    }
}

/// A shard while it is walked.
struct Shard<'a> {
    of: &'a Compare,
    id: ShardId,
    /// Whether each follower is listed.
    is_listed: Vec<bool>,
    frontier: Frontier<Part>,
    /// Rows that are looked at; a row without a finding was cut short.
    looks: JoinSet<(Ticket, Option<Part>)>,
    /// Rows since the last batch, and records of them for the ledger.
    rows: usize,
    records: usize,
    /// Whether anything was settled since the last batch.
    is_dirty: bool,
    flushed: Instant,
}

/// What a shard waits for while it is listed.
enum Next {
    Row(Result<rows::Next, EngineError>),
    Looked(Result<(Ticket, Option<Part>), JoinError>),
    /// What was found is due in the ledger, although the next page has not come.
    Due,
    Stop,
}

impl Shard<'_> {
    /// Takes the rows of the shard; `false` if it stopped before their end.
    async fn list(&mut self, rows: &mut Rows, control: &Control) -> Result<bool, EngineError> {
        let shutdown = &self.of.verifier.shutdown;
        while !shutdown.is_draining() {
            // Nothing is done within the branches: one that is dropped must not have taken anything.
            let next = if let Some(row) = rows.ready() {
                Next::Row(Ok(rows::Next::Row(row)))
            } else {
                tokio::select! {
                    biased;
                    row = rows.advance() => Next::Row(row),
                    Some(looked) = self.looks.join_next() => Next::Looked(looked),
                    () = tokio::time::sleep_until(self.flushed + BATCH_AGE), if self.is_dirty => Next::Due,
                    () = shutdown.draining() => Next::Stop,
                }
            };
            match next {
                Next::Row(next) => match next? {
                    // What lies above was given away.
                    rows::Next::Row(row) if !control.admit(&row.key) => return Ok(true),
                    rows::Next::Row(row) if self.make_room().await? => self.take(row).await?,
                    rows::Next::Row(_) => return Ok(false),
                    rows::Next::End => return Ok(true),
                    rows::Next::Lost(place, error) => self.lose(place, error).await?,
                },
                Next::Looked(looked) => self.settle(looked?),
                Next::Due => self.flush().await?,
                Next::Stop => {}
            }
        }
        Ok(false)
    }

    /// Goes on without a follower whose listing failed, if the verification may and another one is left.
    async fn lose(&mut self, place: PlaceIndex, error: EngineError) -> Result<(), EngineError> {
        let follower = self.of.verifier.sides.star.position(place);
        let is_last = self.is_listed.iter().filter(|listed| **listed).count() == 1;
        let Some(redactor) = self.of.verifier.goes_on.filter(|_| !is_last) else { return Err(error) };
        // How far all of them were compared is kept.
        self.flush().await?;
        self.is_listed[follower] = false;
        self.of.findings.lose(follower, error.shown(redactor));
        Ok(())
    }

    /// Compares a row, or begins to. The caller must have made room.
    async fn take(&mut self, row: Row) -> Result<(), EngineError> {
        let ticket = self.frontier.begin(row.key.clone());
        let (part, looks) = self.of.verifier.judge(row, &self.is_listed);
        if looks.is_empty() {
            self.finish(ticket, part);
        } else {
            let permit = self.of.looks.slots(looks.len()).await;
            let verifier = self.of.verifier.clone();
            self.looks.spawn(async move { (ticket, look_at(&verifier, looks, part, permit).await) });
        }
        self.rows += 1;
        if self.is_due() {
            self.flush().await?;
        }
        Ok(())
    }

    fn finish(&mut self, ticket: Ticket, part: Part) {
        self.records += part.records.len();
        self.frontier.finish(ticket, part);
        self.is_dirty = true;
    }

    /// Whether what was found goes to the ledger now. Records come faster from listings than the ledger takes them, so
    /// batches are few and small enough to wait for it in memory.
    fn is_due(&self) -> bool {
        let is_full = self.rows >= self.of.batch_rows || self.records >= self.of.batch_rows.div_ceil(ROWS_PER_RECORD);
        is_full || self.flushed.elapsed() >= BATCH_AGE
    }

    /// Waits until another row may begin; `false` if none may any more.
    async fn make_room(&mut self) -> Result<bool, EngineError> {
        while let Some(looked) = self.looks.try_join_next() {
            self.settle(looked?);
        }
        loop {
            match self.frontier.room() {
                Room::Free => return Ok(true),
                Room::Closed => return Ok(false),
                Room::Full if self.settle_one().await? => {}
                // Every row is finished, so the cursor can move over them.
                Room::Full => self.flush().await?,
            }
        }
    }

    /// Waits for a look to end; `false` if none is under way.
    async fn settle_one(&mut self) -> Result<bool, EngineError> {
        let Some(looked) = self.looks.join_next().await else { return Ok(false) };
        self.settle(looked?);
        if self.is_due() || self.frontier.room() == Room::Full {
            self.flush().await?;
        }
        Ok(true)
    }

    fn settle(&mut self, (ticket, part): (Ticket, Option<Part>)) {
        // Without a finding the ticket is dropped unfinished, which closes the frontier.
        if let Some(part) = part {
            self.finish(ticket, part);
        }
    }

    /// Waits for all looks and hands over what was found. Returns at how many followers every row of the shard was
    /// compared, unless it was cut short.
    async fn end(mut self, all_listed: bool) -> Result<Option<usize>, EngineError> {
        while self.settle_one().await? {}
        let is_done = all_listed && self.frontier.room() != Room::Closed;
        if is_done {
            self.frontier.end();
        }
        self.flush().await?;
        Ok(is_done.then(|| self.is_listed.iter().filter(|listed| **listed).count()))
    }

    /// Hands over what was found up to the cursor.
    async fn flush(&mut self) -> Result<(), EngineError> {
        (self.rows, self.records, self.is_dirty, self.flushed) = (0, 0, false, Instant::now());
        match self.frontier.advance() {
            Some((cursor, part)) => {
                let is_whole = !self.is_listed.contains(&false);
                self.of.findings.take(&self.of.verifier, self.id, cursor, part, is_whole).await
            }
            None => Ok(()),
        }
    }
}

/// Looks at a row at every follower that needs it; `None` if a stop cut it short.
async fn look_at(verifier: &Verifier, looks: Vec<Look>, mut part: Part, _permit: Slot) -> Option<Part> {
    let looked: Vec<Looked> = futures::future::join_all(looks.into_iter().map(|look| verifier.look(look))).await;
    for looked in looked {
        if !verifier.settle(looked, &mut part) {
            return None;
        }
    }
    Some(part)
}
