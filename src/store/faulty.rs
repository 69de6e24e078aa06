//! A decorator that fails on purpose, for tests: seeded, replayable, and able to crash.
//!
//! The fate of an operation is a function of the seed and of how many operations came before it,
//! so a sequential test replays exactly; every error names the seed. A *crash* stops the world at
//! the n-th durable write: this write and everything after it fails, as if the process had died,
//! either just before the write acted or just after. A test that makes its decorated stores and
//! its ledger count in one [`Faults`] can so sweep over every write of a run.

// A method that is added to the trait must be thought of here.
#![deny(clippy::missing_trait_methods)]

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    store::{
        ByteRange, Capabilities, Condition, Entry, ErrorKind, Head, Listing, ObjectStore, Part, Properties, Read,
        Result, StoreError, Upload,
    },
};

/// How the text of an error after a crash begins.
const CRASHED: &str = "crashed on purpose";

/// Where a run crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Right before the n-th durable write, counted from 1, acts.
    Before(u64),
    /// Right after it acted; its answer is lost.
    After(u64),
}

/// What goes wrong when; shared by the stores of one run.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    rate_permille: u16,
    crash: Option<Crash>,
    operations: AtomicU64,
    writes: AtomicU64,
    crashed: AtomicBool,
}

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    FailBefore,
    /// It acts, and its answer is lost.
    FailAfter,
    Throttled,
    /// A body arrives damaged, which the store notices; on anything else a failure before acting.
    Corrupt,
}

impl Faults {
    /// Fails `rate_permille` of a thousand operations, picked by `seed`.
    pub fn new(seed: u64, rate_permille: u16) -> Self {
        Self {
            seed,
            rate_permille,
            crash: None,
            operations: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
        }
    }

    /// Fails nothing, and counts durable writes.
    pub fn none() -> Self {
        Self::new(0, 0)
    }

    /// Crashes at a write.
    #[must_use]
    pub fn with_crash(mut self, crash: Crash) -> Self {
        self.crash = Some(crash);
        self
    }

    /// How many durable writes came by.
    pub fn writes(&self) -> u64 {
        self.writes.load(SeqCst)
    }

    /// Whether the crash has come.
    pub fn crashed(&self) -> bool {
        self.crashed.load(SeqCst)
    }

    /// Counts a durable write that is not a store's (a ledger commit); the error says that the
    /// process is dead. `act` is the write itself.
    pub fn durable_write<T>(&self, act: impl FnOnce() -> T) -> Result<T, StoreError> {
        let after = self.begin_write("write", "elsewhere", None)?;
        let done = act();
        if after { Err(self.crash_now("write", "elsewhere", None)) } else { Ok(done) }
    }

    fn fate(&self) -> Fate {
        let operation = self.operations.fetch_add(1, SeqCst);
        // Mixed by an odd constant, so that neighbouring operations have unrelated fates.
        let mut random = SmallRng::seed_from_u64(self.seed ^ operation.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if random.random_range(0..1000) >= self.rate_permille {
            return Fate::Fine;
        }
        match random.random_range(0..4) {
            0 => Fate::FailBefore,
            1 => Fate::FailAfter,
            2 => Fate::Throttled,
            _ => Fate::Corrupt,
        }
    }

    /// Counts a write; whether the crash comes right after it.
    fn begin_write(&self, operation: &'static str, location: &str, key: Option<&Key>) -> Result<bool> {
        self.check_alive(operation, location, key)?;
        let number = self.writes.fetch_add(1, SeqCst) + 1;
        match self.crash {
            Some(Crash::Before(at)) if number >= at => Err(self.crash_now(operation, location, key)),
            Some(Crash::After(at)) if number > at => Err(self.crash_now(operation, location, key)),
            Some(Crash::After(at)) => Ok(number == at),
            _ => Ok(false),
        }
    }

    fn check_alive(&self, operation: &'static str, location: &str, key: Option<&Key>) -> Result<()> {
        if self.crashed() { Err(self.crash_now(operation, location, key)) } else { Ok(()) }
    }

    fn crash_now(&self, operation: &'static str, location: &str, key: Option<&Key>) -> StoreError {
        self.crashed.store(true, SeqCst);
        let detail = format!("{CRASHED} ({:?})", self.crash);
        with_key(StoreError::new(ErrorKind::Other, operation, location, detail), key)
    }

    fn fault(&self, kind: ErrorKind, operation: &'static str, location: &str, key: Option<&Key>) -> StoreError {
        let detail = format!("failed on purpose (seed {})", self.seed);
        with_key(StoreError::new(kind, operation, location, detail), key)
    }
}

fn with_key(error: StoreError, key: Option<&Key>) -> StoreError {
    match key {
        Some(key) => error.on(key),
        None => error,
    }
}

/// Whether an error is that of a crash on purpose.
pub fn is_crash(error: &StoreError) -> bool {
    error.detail().starts_with(CRASHED)
}

/// A store that fails on purpose.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl Faulty {
    /// Makes a store fail as `faults` says.
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    async fn reading<T>(
        &self,
        operation: &'static str,
        key: Option<&Key>,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        reading(&self.faults, self.inner.location(), operation, key, act).await
    }

    async fn writing<T>(&self, operation: &'static str, key: &Key, act: impl Future<Output = Result<T>>) -> Result<T> {
        let (faults, location, key) = (&self.faults, self.inner.location(), Some(key));
        faults.check_alive(operation, location, key)?;
        let fate = faults.fate();
        match fate {
            Fate::Throttled => return Err(faults.fault(ErrorKind::Throttled, operation, location, key)),
            Fate::FailBefore | Fate::Corrupt => {
                // It never reached the store, but whoever asked cannot know.
                return Err(faults.fault(ErrorKind::Unavailable, operation, location, key).with_unknown_outcome());
            }
            Fate::Fine | Fate::FailAfter => {}
        }
        let crash_after = faults.begin_write(operation, location, key)?;
        let done = act.await;
        if crash_after {
            return Err(faults.crash_now(operation, location, key).with_unknown_outcome());
        }
        if fate == Fate::FailAfter {
            return Err(faults.fault(ErrorKind::Unavailable, operation, location, key).with_unknown_outcome());
        }
        done
    }
}

async fn reading<T>(
    faults: &Faults,
    location: &str,
    operation: &'static str,
    key: Option<&Key>,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    faults.check_alive(operation, location, key)?;
    let kind = match faults.fate() {
        Fate::Fine => return act.await,
        Fate::FailBefore => ErrorKind::TimedOut,
        Fate::FailAfter => ErrorKind::Unavailable,
        Fate::Throttled => ErrorKind::Throttled,
        Fate::Corrupt if operation == "read" => ErrorKind::Corrupt,
        Fate::Corrupt => ErrorKind::Unreachable,
    };
    Err(faults.fault(kind, operation, location, key))
}

struct FaultyListing {
    inner: Box<dyn Listing>,
    faults: Arc<Faults>,
    location: Box<str>,
}

#[async_trait]
impl Listing for FaultyListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        reading(&self.faults, &self.location, "list", None, self.inner.next()).await
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn probe(&self) -> Result<Capabilities> {
        self.reading("probe", None, self.inner.probe()).await
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.inner.adopt(capabilities);
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        let (inner, location) = (self.inner.list(range), self.inner.location().into());
        Box::new(FaultyListing { inner, faults: self.faults.clone(), location })
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.reading("look at", Some(key), self.inner.head(key)).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.reading("read tags of", Some(key), self.inner.tags(key)).await
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        self.reading("read", Some(key), self.inner.read(key, range, pin)).await
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        self.writing("write", key, self.inner.put(key, body, properties, condition)).await
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties) -> Result<Upload> {
        self.writing("begin upload of", key, self.inner.begin_upload(key, properties)).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.writing("write part of", &upload.key, self.inner.put_part(upload, number, offset, body)).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.reading("list parts of", Some(&upload.key), self.inner.list_parts(upload)).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        condition: &Condition,
    ) -> Result<Token> {
        let act = self.inner.finish_upload(upload, parts, evidence, condition);
        self.writing("finish upload of", &upload.key, act).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.writing("abort upload of", &upload.key, self.inner.abort_upload(upload)).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.reading("list uploads of", Some(key), self.inner.list_uploads(key)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.writing("delete", key, self.inner.delete(key, condition)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    async fn put(store: &Faulty, key: &str) -> Result<Token> {
        store.put(&key.into(), &Body::new("x".into()), &Properties::default(), &Condition::None).await
    }

    #[tokio::test]
    async fn the_same_seed_fails_the_same_operations_and_says_so() {
        let run = async |seed| {
            let store = Faulty::new(Arc::new(MemoryStore::new("memory")), Arc::new(Faults::new(seed, 300)));
            let mut outcomes = Vec::new();
            for n in 0..100 {
                outcomes.push(put(&store, &n.to_string()).await.map(|_| ()).map_err(|error| error.to_string()));
            }
            outcomes
        };
        let first = run(7).await;
        assert_eq!(first, run(7).await);
        assert_ne!(first, run(8).await);
        let failures: Vec<_> = first.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!((15..50).contains(&failures.len()), "{} of 100 failed", failures.len());
        assert!(failures.iter().all(|text| text.contains("seed 7")));
        assert!(format!("{:?}", Faults::new(7, 300)).contains("seed: 7"));
    }

    #[tokio::test]
    async fn a_crash_before_a_write_keeps_it_out_and_ends_everything() {
        let memory = MemoryStore::new("memory");
        let faults = Arc::new(Faults::none().with_crash(Crash::Before(2)));
        let store = Faulty::new(Arc::new(memory.clone()), faults.clone());
        put(&store, "a").await.unwrap();
        assert!(!faults.crashed());
        assert!(is_crash(&put(&store, "b").await.unwrap_err()));
        assert!(is_crash(&store.head(&"a".into()).await.unwrap_err()));
        assert!(is_crash(&store.list(KeyRange::all()).next().await.unwrap_err()));
        assert!(faults.durable_write(|| panic!("the dead do not write")).is_err());
        assert!(faults.crashed() && memory.bytes("b").is_none());
    }

    #[tokio::test]
    async fn a_crash_after_a_write_lets_it_in_and_loses_the_answer() {
        let memory = MemoryStore::new("memory");
        let faults = Arc::new(Faults::none().with_crash(Crash::After(2)));
        let store = Faulty::new(Arc::new(memory.clone()), faults.clone());
        faults.durable_write(|| ()).unwrap();
        let error = put(&store, "b").await.unwrap_err();
        assert!(is_crash(&error) && error.outcome_unknown());
        assert!(is_crash(&put(&store, "c").await.unwrap_err()));
        assert!(memory.bytes("b").is_some() && memory.bytes("c").is_none());
        assert_eq!(faults.writes(), 2);
    }
}
