//! [`Tail`]: reads the stream of the lead, and keeps the changed keys in the ledger.
//!
//! All shards are read at once, parents and children: which key has changed matters, and not in which order. A shard
//! ends only if a read returns no further iterator. Shards are listed again and again, because a shard that splits has
//! children; a parent that is not listed has expired, and no one waits for it.
//!
//! Records that were trimmed before they were read are lost, and so is what they would have told. Then the capture is
//! *broken*: the ledger and the operator are told, and the next pass compares all items.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{clock::now, error::EngineError, journal::Journal};
use migrate_core::{
    item::KeyNames,
    model::{DatasetName, Key, PlaceIndex, Timestamp},
    report::count,
};
use migrate_ledger::{Record, StreamShardRow, TableRecord, TableStep};
use migrate_store::{
    ErrorKind, StoreError,
    table::{Change, ChangeStream, Position, StreamIterator, StreamShard, TableStore},
};

/// How often the shards are listed.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// The pause after a read without records. AWS takes five reads a second of a shard.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
const PAUSE: Duration = Duration::from_millis(250);
/// How long a stream may be unread until it counts as broken. AWS keeps records for a day, and then trims them without
/// a word to a reader that has not seen any record of the shard.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html#Streams.DataRetention>
const UNREAD_MAX: Duration = Duration::from_hours(20);
/// Reads without records in a row after which a shard counts as read up to its end. One alone says little: a read may
/// return no record although there are some further on. Under writes that never pause, a record that was made later, by
/// the server's own clock, says the same.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html>
const EMPTY_READS: usize = 3;

/// Changed keys that are kept to be told.
pub(super) const CHANGED_MAX: usize = 1000;

/// How much later, by its own clock, the server must have made such a record. It tells whole seconds, and its clock may
/// be ahead of ours by a little more than the records show.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html>
const CLOCKS_APART_MS: i64 = 2000;

/// Reads the stream of one place until it is dropped.
#[derive(Debug)]
pub(crate) struct Tail {
    state: Arc<State>,
    task: AbortHandle,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the reading is made from.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) dataset: DatasetName,
    pub(crate) names: KeyNames,
    pub(crate) store: Arc<dyn TableStore>,
    /// The place whose changes it shows.
    pub(crate) place: PlaceIndex,
    /// The places that owe each change.
    pub(crate) owed: Vec<PlaceIndex>,
    /// The name of the stream.
    pub(crate) name: String,
    /// What the expiry of an item means there, until [`Tail::set_expiry`].
    pub(crate) expiry: Expiry,
    pub(crate) journal: Journal,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Seen>,
    changed: Notify,
    /// Told if somebody waits for a listing.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the last listing of the shards began.
    listed: Option<Instant>,
    shards: BTreeMap<String, ShardSeen>,
    /// How far the server's clock is ahead of ours, in milliseconds, less the least time that a record took to be shown.
    ahead_ms: Option<i64>,
    /// The first keys that somebody has changed since that was last forgotten, at most [`CHANGED_MAX`].
    changed: BTreeSet<Key>,
    /// What it means here that an item was deleted because its time was over.
    expiry: Expiry,
    /// Why the reading has ended.
    ended: Option<Ended>,
}

/// What it means at a place that its server deletes an item because its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expiry {
    /// A change like any other: the place leads, or is about to.
    #[default]
    Changes,
    /// The place itself owes the key: it follows, and may lack an item whose time the lead has put off.
    Owes,
    /// Nothing: the place led, and does not follow.
    Nothing,
}

#[derive(Debug, Clone, Copy, Default)]
struct ShardSeen {
    ended: bool,
    /// When each of the last reads began, if they were without records; the last one first.
    empty: [Option<Instant>; EMPTY_READS],
    /// When the last record was made, by the server's clock.
    last: Option<Timestamp>,
}

#[derive(Debug)]
enum Ended {
    /// Changes were lost.
    Broken(String),
    /// It failed otherwise; the error is told once.
    Failed(Option<EngineError>),
}

/// Whether all changes up to a moment are in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// They are, as far as the stream shows them.
    Yes,
    /// Changes were lost.
    Broken(String),
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_waiters();
    }
}

impl Seen {
    /// Whether every shard was read beyond a moment, which is given by two clocks.
    fn is_caught_up(&self, since: Instant, wall: Timestamp) -> bool {
        // What the records tell of the clocks is too little by as long as they lay in the stream. So a clock that seems
        // to be behind ours may be right.
        let ahead = |ahead: i64| ahead.max(0).saturating_add(CLOCKS_APART_MS);
        let at_server = self.ahead_ms.map(|found| Timestamp(wall.0.saturating_add(ahead(found))));
        let read = |shard: &ShardSeen| {
            shard.ended
                || shard.empty.iter().all(|began| began.is_some_and(|began| began >= since))
                || shard.last.zip(at_server).is_some_and(|(last, moment)| last > moment)
        };
        self.listed.is_some_and(|listed| listed >= since) && self.shards.values().all(read)
    }
}

impl Tail {
    /// Begins to read, each shard after the record that the ledger knows.
    pub(crate) fn begin(stream: Stream) -> Self {
        let state = Arc::new(State::default());
        state.seen().expiry = stream.expiry;
        let of = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let ended = match read_all(&stream, &of).await {
                Ok(reason) => {
                    let broke = TableStep::CaptureBroke { place: stream.place, reason: reason.clone() };
                    match stream.journal.commit(vec![stream.record(broke)]).await {
                        Ok(()) => Ended::Broken(reason),
                        Err(error) => Ended::Failed(Some(error.into())),
                    }
                }
                Err(error) => Ended::Failed(Some(error)),
            };
            of.change(|seen| seen.ended = Some(ended));
        });
        Self { state, task: task.abort_handle() }
    }

    /// Waits until all changes that were made before the call are in the ledger.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read.
    pub(crate) async fn caught_up(&self) -> Result<CaughtUp, EngineError> {
        let (since, wall) = (Instant::now(), now());
        self.state.wanted.notify_one();
        loop {
            let changed = self.state.changed.notified();
            {
                let mut seen = self.state.seen();
                let is_caught_up = seen.is_caught_up(since, wall);
                match &mut seen.ended {
                    Some(Ended::Broken(reason)) => return Ok(CaughtUp::Broken(reason.clone())),
                    Some(Ended::Failed(error)) => return Err(error.take().unwrap_or(EngineError::Cancelled)),
                    None if is_caught_up => return Ok(CaughtUp::Yes),
                    None => {}
                }
            }
            changed.await;
        }
    }
}

impl Tail {
    /// The first keys that somebody has changed since [`forget_changed`](Self::forget_changed), ascending; at most 1,000.
    /// What the server deleted by itself, because its time was over, nobody has changed.
    pub(crate) fn changed(&self) -> Vec<Key> {
        self.state.seen().changed.iter().cloned().collect()
    }

    /// From here on, the expiry of an item means this.
    pub(crate) fn set_expiry(&self, expiry: Expiry) {
        self.state.seen().expiry = expiry;
    }

    /// Forgets which keys have changed so far.
    pub(crate) fn forget_changed(&self) {
        self.state.seen().changed.clear();
    }
}

impl Stream {
    fn record(&self, step: TableStep) -> Record {
        Record::Table(TableRecord { dataset: self.dataset.clone(), step })
    }

    /// The table's changes.
    fn changes(&self) -> Result<&dyn ChangeStream, EngineError> {
        self.store.changes().ok_or_else(|| {
            let detail = "this kind of place has no stream of changes";
            StoreError::new(ErrorKind::Unsupported, "read changes", self.store.location(), detail).into()
        })
    }
}

impl Stream {
    /// Its shards; `None` if the table has another stream, or none.
    async fn list(&self) -> Result<Option<Vec<StreamShard>>, EngineError> {
        // A stream that was disabled can still be read for a day, and no longer shows what changes.
        if self.store.describe().await?.and_then(|table| table.stream).as_ref() != Some(&self.name) {
            return Ok(None);
        }
        match self.changes()?.shards(&self.name).await {
            Ok(listed) => Ok(Some(listed)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads all shards until changes are lost; returns why they were.
async fn read_all(stream: &Stream, state: &Arc<State>) -> Result<String, EngineError> {
    let mut last = stream.journal.ledger.capture(&stream.dataset, stream.place).await?.map(|capture| capture.at);
    let known = stream.journal.ledger.stream_shards(&stream.dataset, stream.place).await?;
    let mut known: BTreeMap<_, _> = known.into_iter().map(|row| (row.shard.clone(), row)).collect();
    let mut is_first = true;
    let mut readers: JoinSet<Result<Option<String>, EngineError>> = JoinSet::new();
    loop {
        let began = Instant::now();
        // Also while it is read: a machine may be suspended.
        if let Some(reason) = last.and_then(|last| unread(last, now())) {
            return Ok(reason);
        }
        let Some(listed) = stream.list().await? else {
            return Ok("the table has another stream, or none".to_owned());
        };
        if std::mem::take(&mut is_first)
            && let Some(reason) = lost_meanwhile(&known, &listed)
        {
            return Ok(reason);
        }
        let new: Vec<_> = {
            let seen = state.seen();
            listed.into_iter().filter(|shard| !seen.shards.contains_key(&shard.id)).collect()
        };
        for shard in new {
            let row = known.remove(&shard.id).unwrap_or(StreamShardRow {
                shard: shard.id.clone(),
                sequence: None,
                ended: false,
            });
            let seen = ShardSeen { ended: row.ended, ..ShardSeen::default() };
            state.change(|all| _ = all.shards.insert(shard.id.clone(), seen));
            if !row.ended {
                let (stream, state) = (stream.clone(), Arc::clone(state));
                readers.spawn(async move { read_shard(&stream, &state, row).await });
            }
        }
        state.change(|seen| seen.listed = Some(began));
        let goes_on_at = now();
        last = Some(goes_on_at);
        let goes_on = TableStep::CaptureGoesOn { place: stream.place, at: goes_on_at };
        stream.journal.note(vec![stream.record(goes_on)]).await?;
        tokio::select! {
            // A shard that has ended may have children.
            Some(ended) = readers.join_next() => {
                if let Some(lost) = ended?? {
                    return Ok(lost);
                }
            }
            () = state.wanted.notified() => {}
            () = tokio::time::sleep(LIST_EVERY) => {}
        }
    }
}

/// Why changes may be lost if a stream was last read then.
fn unread(last: Timestamp, now: Timestamp) -> Option<String> {
    let unread = Duration::from_millis(u64::try_from(now.0 - last.0).unwrap_or(0));
    (unread > UNREAD_MAX).then(|| {
        let hours = unread.as_secs() / 3600;
        format!(
            "no process has read its stream for {}, and a stream keeps its records for a day",
            count(hours, "hour", "hours")
        )
    })
}

/// Why changes were lost since an earlier process read the stream, if they were.
fn lost_meanwhile(known: &BTreeMap<String, StreamShardRow>, listed: &[StreamShard]) -> Option<String> {
    let is_listed = |id: &str| listed.iter().any(|shard| shard.id == id);
    if let Some(gone) = known.values().find(|row| !row.ended && !is_listed(&row.shard)) {
        return Some(format!("shard {} of its stream has expired before its end was read", gone.shard));
    }
    // A shard that was never read lies between one that was, and its child.
    let is_known = |parent: &String| known.contains_key(parent) || is_listed(parent);
    let orphan = |shard: &&StreamShard| shard.parent.as_ref().is_some_and(|parent| !is_known(parent));
    let orphan = listed.iter().filter(|_| !known.is_empty()).find(orphan)?;
    Some(format!("the shard before {} of its stream has expired before it was read", orphan.id))
}

/// Reads one shard to its end; returns why changes were lost, if they were.
async fn read_shard(stream: &Stream, state: &State, row: StreamShardRow) -> Result<Option<String>, EngineError> {
    let StreamShardRow { shard, mut sequence, .. } = row;
    let changes = stream.changes()?;
    let mut iterator: Option<StreamIterator> = None;
    loop {
        let began = Instant::now();
        let at = if let Some(at) = iterator.take() {
            at
        } else {
            let from = sequence.clone().map_or(Position::Oldest, Position::After);
            match changes.iterator(&stream.name, &shard, &from).await {
                Ok(at) => at,
                Err(error) => return lost(&shard, sequence.as_deref(), error),
            }
        };
        let read = match changes.read(at).await {
            Ok(read) => read,
            // The iterator has expired: the next one begins after the last record.
            Err(error) if error.kind() == ErrorKind::Precondition => continue,
            Err(error) => return lost(&shard, sequence.as_deref(), error),
        };
        let ended = read.next.is_none();
        let is_empty = read.records.is_empty();
        let last = read.records.iter().filter_map(|change| change.at).max();
        let ahead = last.map(|last| last.0 - now().0);
        let mut shown = Vec::new();
        if !is_empty || ended {
            sequence = read.records.last().map(|change| change.sequence.clone()).or(sequence);
            let expiry = state.seen().expiry;
            let is_change = |change: &Change| expiry == Expiry::Changes || !change.expired;
            shown = by_somebody(&stream.names, &read.records);
            let (counted, expired): (Vec<_>, Vec<_>) = read.records.into_iter().partition(is_change);
            let keys = distinct(&stream.names, counted);
            let (place, owed, at) = (stream.place, stream.owed.clone(), now());
            let (shard, sequence) = (shard.clone(), sequence.clone());
            let mut steps = vec![TableStep::StreamRead { place, shard, sequence, ended, keys, owed, at }];
            if expiry == Expiry::Owes && !expired.is_empty() {
                let keys = distinct(&stream.names, expired);
                steps.push(TableStep::Dirtied { keys, owed: vec![place], at });
            }
            stream.journal.commit(steps.into_iter().map(|step| stream.record(step)).collect()).await?;
        }
        state.change(|seen| {
            seen.ahead_ms = seen.ahead_ms.max(ahead);
            let room = CHANGED_MAX.saturating_sub(seen.changed.len());
            seen.changed.extend(shown.into_iter().take(room));
            let shard = seen.shards.entry(shard.clone()).or_default();
            shard.ended = ended;
            shard.last = shard.last.max(last);
            shard.empty = if is_empty { [Some(began), shard.empty[0], shard.empty[1]] } else { Default::default() };
        });
        if ended {
            return Ok(None);
        }
        iterator = read.next;
        if is_empty {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What an error means for a shard that was read up to `sequence`.
fn lost(shard: &str, sequence: Option<&str>, error: StoreError) -> Result<Option<String>, EngineError> {
    match error.kind() {
        ErrorKind::Changed => Ok(Some(format!("shard {shard} of its stream was trimmed before it was read"))),
        // One that was never read, or not to its end, and is gone with what it held.
        ErrorKind::NotFound if sequence.is_none() => {
            Ok(Some(format!("shard {shard} of its stream has expired before it was read")))
        }
        ErrorKind::NotFound => Ok(Some(format!("shard {shard} of its stream has expired before its end was read"))),
        _ => Err(error.into()),
    }
}

/// The first keys that somebody has changed, each once; at most [`CHANGED_MAX`].
fn by_somebody(names: &KeyNames, records: &[Change]) -> Vec<Key> {
    let written = records.iter().filter(|change| !change.expired);
    distinct(names, written.take(CHANGED_MAX).cloned().collect())
}

/// The changed keys, each once.
fn distinct(names: &KeyNames, records: Vec<Change>) -> Vec<Key> {
    let mut keys: Vec<_> = records.into_iter().map(|change| names.text(&change.key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backlog: each record that is read lay in the stream for an hour, and there are more.
    #[test]
    fn records_that_were_made_before_the_question_do_not_answer_it() {
        let (began, wall) = (Instant::now(), 10_000_000);
        let seen = |ahead_ms, last| {
            let shard = ShardSeen { last: Some(Timestamp(last)), ..ShardSeen::default() };
            let shards = BTreeMap::from([("s".to_owned(), shard)]);
            let seen = Seen {
                listed: Some(began),
                shards,
                ahead_ms: Some(ahead_ms),
                changed: BTreeSet::new(),
                expiry: Expiry::Changes,
                ended: None,
            };
            seen.is_caught_up(began, Timestamp(wall))
        };
        let hour = 60 * 60 * 1000;
        assert!(!seen(-hour - 5, wall - hour));
        assert!(!seen(-5, wall));
        assert!(seen(-5, wall + 2001));
        assert!(!seen(hour - 5, wall + 2001), "the server's clock is ahead");
        assert!(seen(hour - 5, wall + hour + 2001));
    }

    #[test]
    fn a_stream_that_was_not_read_for_most_of_a_day_is_not_believed() {
        let hour = 60 * 60 * 1000;
        assert_eq!(unread(Timestamp(5 * hour), Timestamp(25 * hour)), None);
        assert!(unread(Timestamp(5 * hour), Timestamp(26 * hour)).unwrap().contains("for 21 hours"));
        assert_eq!(unread(Timestamp(5 * hour), Timestamp(4 * hour)), None, "the clock was set back");
    }
}
