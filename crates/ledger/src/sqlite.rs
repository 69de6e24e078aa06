//! [`Ledger`]: the door to the threads that write and read.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    failure::Failure,
    known::{self, Known},
    late,
    query::{self, Uploads},
    reader::Readers,
    request_rows, run_rows,
    schema::{self, Access},
    table_rows,
    unknown::{self, LastDrive, Unknown},
    verification_rows,
    writer::{CommitHook, Job, Place, Writer},
};
use crate::{
    error::LedgerError,
    late::{Late, LateCounts, Resolved},
    record::Record,
    request::{Answer, Approval, LimitsOf, RequestRow, Setting},
    rows::{Counts, Held, HeldRow, Open, OpenRow, ShardRow, UnclaimedRow, UploadRow},
    run::RunRow,
    table::{CaptureRow, DirtyRow, Owed, SegmentRow, StreamShardRow, WrittenBack},
    verification::VerificationRow,
};
use migrate_core::{
    lifecycle::Transition,
    model::{DatasetName, Key, KeyRange, PlaceIndex, PlanName, ShardId, Timestamp},
    report::RequestsAtOnce,
};

/// Number of reading threads.
const READERS: usize = 2;

/// Batches that may wait for the writer. Beyond it, callers that append wait, so memory stays bounded.
const BATCHES_WAITING_MAX: usize = 256;

/// The ledger of one migration. Shared behind an `Arc`.
///
/// Dropping it writes what was appended and joins its threads, as [`close`](Self::close) does, but returns no error
/// and blocks meanwhile.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    shard_next: Arc<AtomicU64>,
    /// `None` if it was opened to be read only, and once it is closed.
    jobs: Option<mpsc::Sender<Job>>,
    /// Dropped before the writer, which must be the last one to leave the file, to tidy up.
    readers: Option<Readers>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
}

/// Unusual behaviour of a ledger, for tests of its failures.
#[derive(Clone, Default)]
pub struct Options {
    /// Simulates a full disk: the file grows to this many pages of 4,096 bytes and no further.
    pub pages_max: Option<u32>,
    /// Called before every commit.
    pub on_commit: Option<CommitHook>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = self.on_commit.as_ref().map(|_| "CommitHook");
        f.debug_struct("Options").field("pages_max", &self.pages_max).field("on_commit", &hook).finish()
    }
}

impl Ledger {
    /// Opens the ledger of `plan` at `path`, or creates it in an existing directory.
    ///
    /// Blocks for as long as a few reads take.
    pub fn open(path: &Path, plan: &PlanName) -> Result<Self, LedgerError> {
        Self::open_with(path, plan, Options::default())
    }

    /// [`open`](Self::open), with options.
    pub fn open_with(path: &Path, plan: &PlanName, options: Options) -> Result<Self, LedgerError> {
        let failed = |failure: Failure| failure.into_error(path, "open");
        schema::create_file(path).map_err(|error| io_error(path, error))?;
        let mut connection = schema::connect(path, Access::Write).map_err(failed)?;
        schema::prepare(&mut connection, path, plan)?;
        if let Some(pages) = options.pages_max {
            let sql = format!("PRAGMA max_page_count = {pages}");
            connection.query_row(&sql, [], |_| Ok(())).map_err(|error| failed(error.into()))?;
        }
        let mut ledger = Self::with_readers(path, &connection, Access::Read)?;

        let (jobs, waiting) = mpsc::channel(BATCHES_WAITING_MAX);
        let place = Place::of(path).map_err(|error| io_error(path, error))?;
        let writer = Writer::new(connection, place, Arc::clone(&ledger.shard_next), options.on_commit);
        let thread = std::thread::Builder::new().name("ledger-writer".into()).spawn(move || writer.run(waiting));
        ledger.writer = Some(thread.map_err(|error| io_error(path, error))?);
        ledger.jobs = Some(jobs);
        Ok(ledger)
    }

    /// Opens the ledger at `path` to be read only, beside a process that may write it; `None` if there is none.
    ///
    /// Writes nothing except what SQLite needs to share its log. If the directory cannot be written and the ledger
    /// was closed cleanly, it writes nothing at all.
    pub fn open_read_only(path: &Path, plan: &PlanName) -> Result<Option<Self>, LedgerError> {
        if !path.try_exists().map_err(|error| io_error(path, error))? {
            return Ok(None);
        }
        let (connection, access) = connect_read_only(path).map_err(|failure| failure.into_error(path, "open"))?;
        if !schema::inspect(&connection, path, plan)? {
            return Ok(None);
        }
        Self::with_readers(path, &connection, access).map(Some)
    }

    fn with_readers(path: &Path, connection: &Connection, access: Access) -> Result<Self, LedgerError> {
        let failed = |failure: Failure| failure.into_error(path, "open");
        let connections = (0..READERS).map(|_| schema::connect(path, access)).collect::<Result<_, _>>();
        let readers = Readers::start(connections.map_err(failed)?).map_err(|error| io_error(path, error))?;
        let last = query::shard_last(connection).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            shard_next: Arc::new(AtomicU64::new(last.saturating_add(1))),
            jobs: None,
            readers: Some(readers),
            writer: None,
        })
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a batch, all of it or nothing; returns once it is on the disk.
    ///
    /// An acknowledged batch comes before batches appended afterwards; simultaneous appends may change places. A
    /// batch with an illegal record fails alone. If the caller stops waiting for the answer, the batch is still
    /// written.
    pub async fn append(&self, batch: Vec<Record>) -> Result<(), LedgerError> {
        let failed = |failure: Failure| failure.into_error(&self.path, "write");
        let stopped = || failed(Failure::Stopped("the thread that writes the ledger has stopped"));
        if batch.is_empty() {
            return Ok(());
        }
        let Some(jobs) = &self.jobs else { return Err(failed(Failure::Stopped("it was opened to be read only"))) };
        let (done, answered) = oneshot::channel();
        jobs.send(Job { batch, done }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?.map_err(failed)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let readers = self.readers.as_ref().expect("only close and drop, which own the ledger, take the readers");
        readers.ask(question).await.map_err(|failure| failure.into_error(&self.path, "read"))
    }

    /// Asks about a dataset; before its begin the answer is the default.
    async fn ask_of<T: Default + Send + 'static>(
        &self,
        dataset: &DatasetName,
        question: impl FnOnce(&Connection, i64) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let dataset = dataset.clone();
        self.ask(move |connection| match query::dataset(connection, &dataset)? {
            Some(id) => question(connection, id),
            None => Ok(T::default()),
        })
        .await
    }

    /// What the dataset meant when it began; `None` if it has not.
    pub async fn meaning(&self, dataset: &DatasetName) -> Result<Option<String>, LedgerError> {
        self.ask_of(dataset, |connection, id| query::meaning(connection, id).map(Some)).await
    }

    /// The dataset's events with their times, in order.
    pub async fn events(&self, dataset: &DatasetName) -> Result<Vec<(Transition, Timestamp)>, LedgerError> {
        self.ask_of(dataset, query::events).await
    }

    /// The shards of the dataset's last pass, ascending by range.
    pub async fn shards(&self, dataset: &DatasetName) -> Result<Vec<ShardRow>, LedgerError> {
        self.ask_of(dataset, query::shards).await
    }

    /// How many records and, if they are known, bytes the pass under way will see at its lead; `None` if nothing has
    /// counted them.
    pub async fn counted(&self, dataset: &DatasetName) -> Result<Option<(u64, Option<u64>)>, LedgerError> {
        self.ask_of(dataset, query::counted).await
    }

    /// An id for a new shard. No two calls return the same one, even if it is never used.
    #[expect(clippy::unused_async, reason = "one of the ledger's questions, which may have to read one day")]
    pub async fn next_shard_id(&self) -> Result<ShardId, LedgerError> {
        Ok(ShardId(self.shard_next.fetch_add(1, Ordering::Relaxed)))
    }

    /// What the followers of `lead` hold of the first records of a range, ascending by key and place: about `limit`
    /// rows. The places of one key always come together; only the end of the range returns nothing.
    pub async fn held(
        &self,
        dataset: &DatasetName,
        lead: PlaceIndex,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<HeldRow>, LedgerError> {
        let range = range.clone();
        self.ask_of(dataset, move |connection, id| query::held(connection, id, lead, &range, limit)).await
    }

    /// What a follower of `lead` holds of one record.
    pub async fn held_at(
        &self,
        dataset: &DatasetName,
        lead: PlaceIndex,
        place: PlaceIndex,
        key: &Key,
    ) -> Result<Option<Held>, LedgerError> {
        let key = key.clone();
        self.ask_of(dataset, move |connection, id| query::held_at(connection, id, lead, place, &key)).await
    }

    /// The first `limit` records after a key that wait for `which`, ascending by key.
    pub async fn open_records(
        &self,
        dataset: &DatasetName,
        place: PlaceIndex,
        which: Open,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<OpenRow>, LedgerError> {
        let after = after.cloned();
        self.ask_of(dataset, move |connection, id| {
            query::open_records(connection, id, place, which, after.as_ref(), limit)
        })
        .await
    }

    /// How many records of a place are paired and how many wait; takes the same time for any number of records.
    pub async fn counts(&self, dataset: &DatasetName, place: PlaceIndex) -> Result<Counts, LedgerError> {
        self.ask_of(dataset, move |connection, id| query::counts(connection, id, place)).await
    }

    /// How many objects this migration has written at a place, and their bytes; takes longer for more records.
    pub async fn written(&self, dataset: &DatasetName, place: PlaceIndex) -> Result<(u64, u64), LedgerError> {
        self.ask_of(dataset, move |connection, id| query::written(connection, id, place)).await
    }

    /// The current upload of one record.
    pub async fn upload(
        &self,
        dataset: &DatasetName,
        place: PlaceIndex,
        key: &Key,
    ) -> Result<Option<UploadRow>, LedgerError> {
        let key = key.clone();
        self.ask_of(dataset, move |connection, id| Ok(query::uploads(connection, id, Uploads::One(place, &key))?.pop()))
            .await
    }

    /// The dataset's current uploads, ascending by place and key.
    pub async fn uploads(&self, dataset: &DatasetName) -> Result<Vec<UploadRow>, LedgerError> {
        self.ask_of(dataset, |connection, id| query::uploads(connection, id, Uploads::All)).await
    }

    /// The uploads of a place whose record waits for nothing that would go on with them.
    pub async fn idle_uploads(&self, dataset: &DatasetName, place: PlaceIndex) -> Result<Vec<UploadRow>, LedgerError> {
        self.ask_of(dataset, move |connection, id| query::uploads(connection, id, Uploads::Idle(place))).await
    }

    /// The dataset's uploads that were requested and never named, ascending by place and key.
    pub async fn unclaimed(&self, dataset: &DatasetName) -> Result<Vec<UnclaimedRow>, LedgerError> {
        self.ask_of(dataset, query::unclaimed).await
    }

    /// The result of the last probe of the store at `location`, as JSON, and when it was.
    pub async fn capabilities(&self, location: &str) -> Result<Option<(String, Timestamp)>, LedgerError> {
        let location = location.to_owned();
        self.ask(move |connection| query::capabilities(connection, &location)).await
    }

    /// Path and identity of each directory that was met.
    pub async fn directories(&self) -> Result<Vec<(String, String)>, LedgerError> {
        self.ask(query::directories).await
    }

    /// Distinguishes this ledger from every other one: 32 hexadecimal digits.
    pub async fn id(&self) -> Result<String, LedgerError> {
        self.ask(query::id).await
    }

    /// The current approvals, by phase.
    pub async fn approvals(&self) -> Result<Vec<Approval>, LedgerError> {
        self.ask(request_rows::approvals).await
    }

    /// The unanswered requests, in order of arrival.
    pub async fn open_requests(&self) -> Result<Vec<RequestRow>, LedgerError> {
        self.ask(request_rows::open_requests).await
    }

    /// Whether a request is being carried out: taken and not yet answered.
    pub async fn request_taken(&self, id: &str) -> Result<bool, LedgerError> {
        let id = id.to_owned();
        self.ask(move |connection| request_rows::is_taken(connection, &id)).await
    }

    /// The answer to a request; `None` while there is none.
    pub async fn answer_to(&self, id: &str) -> Result<Option<Answer>, LedgerError> {
        let id = id.to_owned();
        self.ask(move |connection| request_rows::answer_to(connection, &id)).await
    }

    /// The open late writes of a dataset, ascending by key: at most `limit` of those after a key.
    pub async fn late_open(
        &self,
        dataset: &DatasetName,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, LedgerError> {
        let after = after.cloned();
        self.ask_of(dataset, move |connection, id| late::open(connection, id, after.as_ref(), limit)).await
    }

    /// The late write of this key, if there is one.
    pub async fn late_at(&self, dataset: &DatasetName, key: &Key) -> Result<Option<Late>, LedgerError> {
        let key = key.clone();
        self.ask_of(dataset, move |connection, id| late::find(connection, id, &key)).await
    }

    /// How many late writes a dataset has, by their outcome.
    pub async fn late_counts(&self, dataset: &DatasetName) -> Result<LateCounts, LedgerError> {
        self.ask_of(dataset, late::counts).await
    }

    /// The latest decisions about late writes, at most `limit`.
    pub async fn late_resolved(&self, dataset: &DatasetName, limit: usize) -> Result<Vec<Resolved>, LedgerError> {
        self.ask_of(dataset, move |connection, id| late::resolved(connection, id, limit)).await
    }

    /// A number that rises with whatever makes an earlier verification of the dataset worthless: a record that was
    /// written or deleted, another version that was paired, a lead that moves, an abort. A pass that finds nothing to
    /// do leaves it.
    pub async fn changes(&self, dataset: &DatasetName) -> Result<u64, LedgerError> {
        self.ask_of(dataset, query::changes).await
    }

    /// The verification of a dataset that is under way, if any, with what it found so far.
    pub async fn verification(&self, dataset: &DatasetName) -> Result<Option<VerificationRow>, LedgerError> {
        self.ask_of(dataset, verification_rows::verification).await
    }

    /// How far the segments of a table are, ascending by segment and place.
    pub async fn segments(&self, dataset: &DatasetName) -> Result<Vec<SegmentRow>, LedgerError> {
        self.ask_of(dataset, table_rows::segments).await
    }

    /// The stream of a place that is read; `None` if none is.
    pub async fn capture(&self, dataset: &DatasetName, at: PlaceIndex) -> Result<Option<CaptureRow>, LedgerError> {
        self.ask_of(dataset, move |connection, id| table_rows::capture(connection, id, at)).await
    }

    /// The shards of the stream of a place, as far as they were read.
    pub async fn stream_shards(
        &self,
        dataset: &DatasetName,
        at: PlaceIndex,
    ) -> Result<Vec<StreamShardRow>, LedgerError> {
        self.ask_of(dataset, move |connection, id| table_rows::stream_shards(connection, id, at)).await
    }

    /// The changed keys that some place owes since `until` or longer, ascending by key: at most `limit` of those after
    /// a key.
    pub async fn dirty(
        &self,
        dataset: &DatasetName,
        after: Option<&Key>,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DirtyRow>, LedgerError> {
        let after = after.cloned();
        self.ask_of(dataset, move |connection, id| table_rows::dirty(connection, id, after.as_ref(), until, limit))
            .await
    }

    /// The places of which all items are to be compared, because nothing tells what had changed there before.
    pub async fn uncompared(&self, dataset: &DatasetName) -> Result<Vec<PlaceIndex>, LedgerError> {
        self.ask_of(dataset, table_rows::uncompared).await
    }

    /// Those of these keys that a place owes, in their order.
    pub async fn are_dirty(
        &self,
        dataset: &DatasetName,
        place: PlaceIndex,
        keys: Vec<Key>,
    ) -> Result<Vec<Key>, LedgerError> {
        self.ask_of(dataset, move |connection, id| table_rows::are_dirty(connection, id, place, &keys)).await
    }

    /// What the old lead of a table was last given of a key; `None` if it was given nothing.
    pub async fn written_back(&self, dataset: &DatasetName, key: &Key) -> Result<Option<WrittenBack>, LedgerError> {
        let key = key.clone();
        self.ask_of(dataset, move |connection, id| table_rows::written_back(connection, id, &key)).await
    }

    /// The keys that a place owes, each with its mark, ascending by key: at most `limit` of those after a key.
    pub async fn owed_keys(
        &self,
        dataset: &DatasetName,
        place: PlaceIndex,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, u64)>, LedgerError> {
        let after = after.cloned();
        self.ask_of(dataset, move |connection, id| table_rows::owed_keys(connection, id, place, after.as_ref(), limit))
            .await
    }

    /// What each place owes; a place that owes nothing is not listed.
    pub async fn owed(&self, dataset: &DatasetName) -> Result<Vec<Owed>, LedgerError> {
        self.ask_of(dataset, table_rows::owed).await
    }

    /// The writes without an answer that were given up no earlier than `since`, by dataset.
    pub async fn unknown(&self, since: Timestamp) -> Result<Vec<Unknown>, LedgerError> {
        self.ask(move |connection| unknown::unknown(connection, since)).await
    }

    /// How the processes that drove the migration have ended.
    pub async fn last_drive(&self) -> Result<LastDrive, LedgerError> {
        self.ask(unknown::last_drive).await
    }

    /// All that is known of one record.
    pub async fn known(&self, dataset: &DatasetName, key: &Key) -> Result<Known, LedgerError> {
        let key = key.clone();
        self.ask_of(dataset, move |connection, id| known::known(connection, id, &key)).await
    }

    /// The first key of a dataset for which `is_it` holds; looks through all that is known, so it takes longer for more
    /// records.
    pub async fn find_key(
        &self,
        dataset: &DatasetName,
        is_it: impl Fn(&Key) -> bool + Send + 'static,
    ) -> Result<Option<Key>, LedgerError> {
        self.ask_of(dataset, move |connection, id| known::find(connection, id, is_it)).await
    }

    /// The latest runs, the latest first, at most `limit`.
    pub async fn runs(&self, limit: usize) -> Result<Vec<RunRow>, LedgerError> {
        self.ask(move |connection| run_rows::runs(connection, limit)).await
    }

    /// How many requests a run has last said to send at once, by site, and when it said so; `None` if that is not known.
    pub async fn at_once(&self, run: &str) -> Result<Option<(Vec<RequestsAtOnce>, Timestamp)>, LedgerError> {
        let run = run.to_owned();
        self.ask(move |connection| run_rows::at_once(connection, &run)).await
    }

    /// How many runs there were.
    pub async fn runs_total(&self) -> Result<u64, LedgerError> {
        self.ask(run_rows::runs_total).await
    }

    /// The limits that replace the plan's.
    pub async fn limits(&self) -> Result<Vec<(LimitsOf, String, Setting)>, LedgerError> {
        self.ask(request_rows::limits).await
    }

    /// Writes what was appended, moves the log into the file and joins the threads.
    pub async fn close(mut self) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let joined = tokio::task::spawn_blocking(move || self.join()).await;
        joined
            .unwrap_or(Err(Failure::Stopped("closing it was cut short")))
            .map_err(|failure| failure.into_error(&path, "write"))
    }

    fn join(&mut self) -> Result<(), Failure> {
        self.jobs = None;
        self.readers = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_panic)) => Err(Failure::Stopped("the thread that writes the ledger panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // A caller that wants the error calls `close`; what was acknowledged is safe anyway.
        let _told_by_close = self.join();
    }
}

/// Opens a connection that can read at once. Sharing the log needs a file beside the ledger. If none can be made
/// and there is no log to share, the ledger is read as it is.
fn connect_read_only(path: &Path) -> Result<(Connection, Access), Failure> {
    let probe = |access| {
        let connection = schema::connect(path, access)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok((connection, access))
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let logged = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    match probe(Access::Read) {
        Err(failure) if Failure::cannot_open(&failure) && !logged => probe(Access::Immutable),
        outcome => outcome,
    }
}

fn io_error(path: &Path, error: std::io::Error) -> LedgerError {
    let path = path.to_owned();
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => LedgerError::Full { path },
        _ => LedgerError::Other { path, action: "open", source: error.into() },
    }
}
