//! Runs one shard: joins both sides' listings, and copies what differs.
//!
//! Records finish in any order; a cursor per target moves only over the gapless prefix of the finished
//! ones, and goes to the ledger in one batch with the records it passes. So after a
//! crash at most the records in flight and those of one unsent batch are done again.
//!
//! A target whose listing fails, or whose lane closes, takes no part in the rest of the shard: its cursor stays where
//! it is, and the others go on.
//!
//! A shard gives work away while it runs: [`Control::cut`](crate::control::Control::cut) lowers its end to a key
//! that it has not reached.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    control::Control,
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want},
    error::EngineError,
    failed::Failed,
    journal::ROWS_PER_RECORD,
    routed::Goes,
    rows::{Inputs, Next, Row, Rows},
    scribe::Board,
};
use migrate_core::{
    diff::{Change, Lead, decide},
    model::{Key, PlaceIndex},
    plan::Extra,
    shard::{Cursor, Frontier, Room, Tally, Ticket},
};
use migrate_ledger::{Fact, HeldRow, Open, Record, ShardRow};
use migrate_store::Entry;

/// Most records from the first open one to the last begun one.
const FRONTIER_MAX: usize = 4096;
/// The age at which a batch goes to the ledger, however small it is.
const BATCH_AGE: Duration = Duration::from_millis(250);

/// How a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardEnd {
    /// Every key of its range was handled at every target: written, kept, deferred, doomed or failed.
    Done,
    /// Some targets did not come to its end: their listing failed, or their lane is down.
    Short,
    /// The run was asked to stop.
    Interrupted,
}

/// Runs shards of one dataset, one in each clone.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) copier: Arc<Copier>,
    pub(crate) inputs: Inputs,
    pub(crate) extra: Extra,
    /// Whether the pass was interrupted before: the interrupted process has probably written the objects that are
    /// found without a pair.
    pub(crate) resumed: bool,
    /// Most rows whose records go to the ledger together.
    pub(crate) batch_rows: usize,
    /// Where it tells what the ledger cannot know yet.
    pub(crate) board: Board,
}

/// The tickets of a record under way, one per target.
type Tickets = Vec<(PlaceIndex, Ticket, Tally)>;

struct Running {
    worker: Worker,
    shard: ShardRow,
    cursors: Vec<Cursor>,
    frontiers: Vec<Frontier>,
    /// The targets that take part, and have not come to the shard's end before.
    taking_part: Vec<bool>,
    /// What the cursors have passed since this worker began.
    passed: BTreeMap<PlaceIndex, Tally>,
    jobs: JoinSet<(Key, Tickets, Outcomes)>,
    records: Vec<Record>,
    rows: usize,
    flushed: Instant,
    /// Whether the run was asked to stop before the listing had ended.
    stopped: bool,
}

impl Worker {
    /// Runs the shard to its end, or until the run is asked to stop.
    pub(crate) async fn run(self, shard: ShardRow, control: Arc<Control>) -> Result<ShardEnd, EngineError> {
        let targets = self.copier.followers.len();
        let mut cursors = vec![Cursor::Start; targets];
        for (place, cursor, _) in &shard.places {
            // A place that followed when the pass began may follow no longer.
            if let Some(position) = self.inputs.star.find(*place) {
                cursors[position] = cursor.clone();
            }
        }
        if cursors.iter().all(|cursor| *cursor == Cursor::End) {
            return Ok(ShardEnd::Done);
        }
        let takes_part = |(cursor, follower): (&Cursor, &Follower)| *cursor != Cursor::End && !follower.lane.is_down();
        let taking_part: Vec<_> = cursors.iter().zip(&self.copier.followers).map(takes_part).collect();
        let mut range = shard.range.clone();
        match chosen(&cursors, &taking_part).min() {
            None => return Ok(ShardEnd::Short),
            Some(Cursor::At(key)) => range.after = Some(key.clone()),
            Some(_) => {}
        }
        let listed: Vec<_> = chosen(&self.inputs.star.followers, &taking_part).copied().collect();
        let mut rows = self.inputs.rows_of(&range, &listed);
        self.board.begin(&self.copier.dataset, shard.id);
        let mut running = Running {
            frontiers: (0..targets).map(|_| Frontier::new(FRONTIER_MAX)).collect(),
            taking_part,
            passed: BTreeMap::new(),
            jobs: JoinSet::new(),
            records: Vec::new(),
            rows: 0,
            flushed: Instant::now(),
            stopped: false,
            worker: self,
            shard,
            cursors,
        };
        while !running.stopping() {
            let row = match rows.advance().await? {
                Next::Row(row) => row,
                Next::End => break,
                Next::Lost(target, error) => {
                    running.lose(target, error);
                    continue;
                }
            };
            if !control.admit(&row.key) || !running.make_room().await? {
                break;
            }
            running.leave_closed(&mut rows);
            running.take(row).await?;
        }
        drop(rows);
        control.close();
        running.end().await
    }
}

impl Running {
    fn stopping(&mut self) -> bool {
        self.stopped |= self.worker.copier.shutdown.is_draining();
        self.stopped || self.room() == Room::Closed
    }

    /// Whether another record may begin, at all of the targets that take part.
    fn room(&mut self) -> Room {
        for (takes_part, follower) in self.taking_part.iter_mut().zip(&self.worker.copier.followers) {
            *takes_part &= !follower.lane.is_down();
        }
        // As many as the budget that all shards share: each shard has work at hand for whatever another leaves free.
        let jobs = if self.jobs.len() < self.worker.copier.budget.records().given() { Room::Free } else { Room::Full };
        let rooms = chosen(&self.frontiers, &self.taking_part).map(Frontier::room);
        rooms.reduce(Ord::max).map_or(Room::Closed, |room| room.max(jobs))
    }

    /// Goes on without a target whose listing failed.
    fn lose(&mut self, target: PlaceIndex, error: EngineError) {
        self.taking_part[self.worker.inputs.star.position(target)] = false;
        let copier = &self.worker.copier;
        copier.unlisted(copier.follower(target), error);
    }

    /// Lists no further the targets whose lanes have closed.
    fn leave_closed(&self, rows: &mut Rows) {
        let followers = self.worker.copier.followers.iter();
        followers.filter(|follower| follower.lane.is_down()).for_each(|follower| rows.leave(follower.place));
    }

    async fn end(mut self) -> Result<ShardEnd, EngineError> {
        while self.settle_one().await? {}
        // It also finds which lanes have closed meanwhile. If a target that takes part has no room, the run stops.
        let closed = self.room() == Room::Closed && self.taking_part.contains(&true);
        if self.stopped || closed {
            self.flush().await?;
            return Ok(ShardEnd::Interrupted);
        }
        for (frontier, takes_part) in self.frontiers.iter_mut().zip(&self.taking_part) {
            if *takes_part {
                frontier.end();
            }
        }
        self.flush().await?;
        let ended = |(cursor, takes_part): (&Cursor, &bool)| *takes_part || *cursor == Cursor::End;
        let all = self.cursors.iter().zip(&self.taking_part).all(ended);
        Ok(if all { ShardEnd::Done } else { ShardEnd::Short })
    }

    /// Decides what each target needs for a row, and begins it. The caller must have made room.
    async fn take(&mut self, row: Row) -> Result<(), EngineError> {
        let Row { key, mut shown, mut held, goes } = row;
        let star = self.worker.inputs.star.clone();
        let source = shown[star.lead.get()].take();
        let (mut wants, mut disputed, mut open): (Vec<_>, Vec<_>, Tickets) = (Vec::new(), Vec::new(), Vec::new());
        for (position, target) in star.followers.iter().copied().enumerate() {
            let (shown, held) = (shown[target.get()].take(), held[target.get()].take());
            if !self.taking_part[position] || passed(&self.cursors[position], &key) {
                continue;
            }
            let lead = goes.shows(target, source.as_ref().map(|source| &source.token));
            let source = source.as_ref().filter(|_| lead != Lead::Elsewhere);
            let mut tally = Tally::default();
            if let Some(source) = source {
                tally.records = 1;
                tally.bytes = source.token.size;
            }
            let ticket = self.frontiers[position].begin(key.clone());
            if source.is_some() && !matches!(goes, Goes::To(_)) {
                self.leave(target, &key, &goes);
                self.frontiers[position].finish(ticket, tally);
                continue;
            }
            if self.is_disputed(target, source, shown.as_ref(), held.as_ref()) {
                disputed.push((target, shown.map(|shown| shown.token)));
                open.push((target, ticket, tally));
                continue;
            }
            let problem = source.and_then(|source| source.problem.as_deref());
            let want = match problem {
                Some(problem) => {
                    self.fail(target, &key, Failed::not_copyable(problem));
                    None
                }
                None => self.decide(target, &key, lead, shown, held, &mut tally),
            };
            match want {
                Some(want) => {
                    wants.push((target, want));
                    open.push((target, ticket, tally));
                }
                None => self.frontiers[position].finish(ticket, tally),
            }
        }
        if let (Some(source), false) = (source, open.is_empty()) {
            let copier = Arc::clone(&self.worker.copier);
            let job = Job { key: key.clone(), source: source.token, wants, disputed, last_chance: false };
            self.jobs.spawn(async move { (key, open, copier.bring(job).await) });
        }
        self.rows += 1;
        // A row without a record costs the ledger almost nothing.
        let batch_rows = self.worker.batch_rows;
        let is_full = self.records.len() >= batch_rows.div_ceil(ROWS_PER_RECORD) || self.rows >= batch_rows;
        if is_full || self.flushed.elapsed() >= BATCH_AGE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Leaves a record alone about which it is not known where it belongs.
    fn leave(&mut self, target: PlaceIndex, key: &Key, goes: &Goes) {
        match goes {
            Goes::Unknown(failed) => self.fail(target, key, failed.clone()),
            // The leftovers ask the listing, and look again.
            Goes::Vanished | Goes::To(_) => self.tell(target, key, Fact::Waits(Open::Deferred)),
        }
    }

    /// Whether the lead has a record that a follower shows otherwise than it held when it led itself.
    fn is_disputed(
        &self,
        target: PlaceIndex,
        source: Option<&Entry>,
        shown: Option<&Entry>,
        held: Option<&HeldRow>,
    ) -> bool {
        let follower = self.worker.copier.follower(target);
        source.is_some_and(|source| source.problem.is_none())
            && follower.is_disputed(shown.map(|shown| &shown.token), held.map(|row| &row.held))
    }

    /// What to copy, if anything; a row that needs no copy is settled here.
    fn decide(
        &mut self,
        target: PlaceIndex,
        key: &Key,
        lead: Lead<'_>,
        shown: Option<Entry>,
        held: Option<HeldRow>,
        tally: &mut Tally,
    ) -> Option<Want> {
        let shown = shown.map(|shown| shown.token);
        let waived = self.worker.inputs.waived_at(target);
        let paired = held.as_ref().map(|row| row.held.paired(waived));
        match (decide(lead, shown.as_ref(), paired), shown) {
            (Change::Create, _) => return Some(Want::Create),
            (Change::Replace, Some(shown)) => return Some(Want::Replace(shown)),
            (Change::Look, Some(shown)) => return Some(Want::Look(shown)),
            (Change::Same, _) => tally.same = 1,
            (Change::Review, _) => return held.and_then(|row| row.held.pair()).map(Want::Review),
            (Change::Gone, _) => self.tell(target, key, Fact::Unpaired),
            // Deleted once all listings have ended and the share of deletions is known.
            (Change::Delete, _) => self.tell(target, key, Fact::Waits(Open::Doomed)),
            // The place led before, and what another writer has written there since is not ours to judge.
            (Change::Extra | Change::Stray, shown) if self.worker.copier.follower(target).has_led => {
                tally.extra = 1;
                self.tell(target, key, Fact::Late { shown });
            }
            (Change::Extra, _) => match self.worker.extra {
                Extra::Keep => tally.extra = 1,
                Extra::Delete => self.tell(target, key, Fact::Waits(Open::Doomed)),
                Extra::Refuse => {
                    tally.extra = 1;
                    self.fail(target, key, Failed::extra());
                }
            },
            (Change::Stray, _) => tally.extra = 1,
            // `decide` gives `Replace` and `Look` only if the target shows a version.
            (Change::Absent | Change::Replace | Change::Look, _) => {}
        }
        None
    }

    fn tell(&mut self, target: PlaceIndex, key: &Key, fact: Fact) {
        self.records.push(Record::at(&self.worker.copier.dataset, target, key, fact));
    }

    fn fail(&mut self, target: PlaceIndex, key: &Key, failed: Failed) {
        self.worker.copier.tell_failed(target, key, &failed);
        self.tell(target, key, failed.into_fact());
    }

    /// Waits until another record may begin; `false` if none may any more.
    async fn make_room(&mut self) -> Result<bool, EngineError> {
        while let Some(done) = self.jobs.try_join_next() {
            self.settle(done?);
        }
        loop {
            match self.room() {
                Room::Free => match self.suspended_until() {
                    None => return Ok(true),
                    Some(until) if self.wait(until).await? => {}
                    Some(_) => return Ok(false),
                },
                Room::Closed => return Ok(false),
                Room::Full if self.settle_one().await? => {}
                // No ticket is out and none was dropped, so all are finished, and the cursors can move over them.
                Room::Full => self.flush().await?,
            }
        }
    }

    /// The time at which a lane opens again, if all are suspended: until then nothing is read from the lead.
    fn suspended_until(&self) -> Option<Instant> {
        let lanes = chosen(&self.worker.copier.followers, &self.taking_part);
        let until: Option<Vec<_>> = lanes.map(|follower| follower.lane.suspended_until()).collect();
        until?.into_iter().min()
    }

    /// Waits until a lane may have opened; `false` if the run is to stop.
    async fn wait(&mut self, until: Instant) -> Result<bool, EngineError> {
        let copier = Arc::clone(&self.worker.copier);
        tokio::select! {
            Some(done) = self.jobs.join_next() => self.settle(done?),
            () = tokio::time::sleep_until(until) => {}
            () = copier.shutdown.draining() => self.stopped = true,
        }
        Ok(!self.stopped)
    }

    /// Waits for a record under way to end; `false` if there is none.
    async fn settle_one(&mut self) -> Result<bool, EngineError> {
        let Some(done) = self.jobs.join_next().await else { return Ok(false) };
        self.settle(done?);
        if self.flushed.elapsed() >= BATCH_AGE || self.room() == Room::Full {
            self.flush().await?;
        }
        Ok(true)
    }

    fn settle(&mut self, (key, mut open, outcomes): (Key, Tickets, Outcomes)) {
        for (target, outcome) in outcomes {
            let place = open.iter().position(|(opened, ..)| *opened == target);
            let (_, ticket, mut tally) = open.swap_remove(place.expect("each target has one outcome"));
            match outcome {
                // Its ticket is dropped unfinished, which closes its frontier.
                Outcome::Held | Outcome::Interrupted => continue,
                Outcome::Same(pair) => {
                    tally.same = 1;
                    self.tell(target, &key, Fact::Learned { lead: self.worker.copier.lead, pair });
                }
                Outcome::Copied { pair, over_unknown } => {
                    tally.copied = 1;
                    tally.copied_bytes = pair.lead.size;
                    if over_unknown && self.worker.resumed {
                        tally.repeated = 1;
                        tally.repeated_bytes = pair.lead.size;
                    }
                    self.tell(target, &key, Fact::Paired { lead: self.worker.copier.lead, pair });
                }
                // If a source answers "not found" for a record that it has just listed, only a later look at its
                // listing decides.
                Outcome::Deferred | Outcome::Gone => self.tell(target, &key, Fact::Waits(Open::Deferred)),
                Outcome::Failed(failed) => self.fail(target, &key, failed),
                Outcome::Late(shown) => {
                    tally.extra = 1;
                    self.tell(target, &key, Fact::Late { shown });
                }
            }
            let position = self.worker.inputs.star.position(target);
            self.frontiers[position].finish(ticket, tally);
        }
    }

    /// Sends the finished records to the ledger, with the cursors that they allow.
    async fn flush(&mut self) -> Result<(), EngineError> {
        let mut records = std::mem::take(&mut self.records);
        let lanes = self.worker.inputs.star.followers.iter().zip(&mut self.frontiers).zip(&self.cursors);
        for ((place, frontier), begun) in lanes {
            let moved = frontier.advance();
            let passed = self.passed.entry(*place).or_default();
            *passed += moved.as_ref().map(|(_, done)| *done).unwrap_or_default();
            let mut finished = frontier.ahead();
            finished += *passed;
            self.worker.board.set_finished(&self.worker.copier.dataset, self.shard.id, *place, finished);
            if let Some((cursor, done)) = moved
                && *begun != Cursor::End
            {
                records.push(Record::CursorMoved { shard: self.shard.id, place: *place, cursor, done });
            }
        }
        self.rows = 0;
        self.flushed = Instant::now();
        if records.is_empty() {
            return Ok(());
        }
        Ok(self.worker.copier.journal.note(records).await?)
    }
}

/// The items of the targets that are chosen.
fn chosen<'a, T>(items: &'a [T], chosen: &'a [bool]) -> impl Iterator<Item = &'a T> {
    items.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(item, _)| item)
}

/// Whether a target is already done with a key.
fn passed(cursor: &Cursor, key: &Key) -> bool {
    match cursor {
        Cursor::Start => false,
        Cursor::At(done) => key <= done,
        Cursor::End => true,
    }
}
