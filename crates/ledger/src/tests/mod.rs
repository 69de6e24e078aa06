//! Tests of the ledger as its callers see it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::*;
use migrate_core::{
    lifecycle::Transition,
    model::{
        Aspects, DatasetName, Decided, Epoch, Evidence, Key, KeyRange, Modified, PlaceIndex, PlanName, Sha256, ShardId,
        Timestamp, Token,
    },
};

mod file;
mod model;
mod records;
mod runs;
mod tables;
mod unknown;
mod verifications;
mod writing;

/// A ledger in a directory of its own.
struct Bench {
    directory: tempfile::TempDir,
    ledger: Arc<Ledger>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_with(&directory.path().join("ledger.sqlite"), &plan(), options).unwrap();
        Self { directory, ledger: Arc::new(ledger) }
    }

    /// A bench that has begun the datasets `d` and `e`.
    async fn begun() -> Self {
        let bench = Self::new();
        bench.ledger.append(vec![begin("d"), begin("e")]).await.unwrap();
        bench
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite")
    }

    async fn append(&self, batch: Vec<Record>) {
        self.ledger.append(batch).await.unwrap();
    }

    /// Appends a batch that must be refused; returns why it was.
    async fn refused(&self, batch: Vec<Record>) -> String {
        let error = self.ledger.append(batch).await.unwrap_err();
        let LedgerError::Other { action: "write", source, .. } = error else { panic!("{error:?}") };
        source.to_string()
    }

    /// Closes the ledger and opens it again.
    async fn reopened(self) -> Self {
        let path = self.path();
        Arc::into_inner(self.ledger).unwrap().close().await.unwrap();
        Self { ledger: Arc::new(Ledger::open(&path, &plan()).unwrap()), directory: self.directory }
    }
}

fn plan() -> PlanName {
    PlanName::new("global").unwrap()
}

fn name(text: &str) -> DatasetName {
    DatasetName::new(text).unwrap()
}

fn begin(dataset: &str) -> Record {
    Record::DatasetBegun { dataset: name(dataset), meaning: "{}".into() }
}

fn token(size: u64, tag: &str) -> Token {
    Token { size, tag: tag.into(), modified: Modified::At(1_700_000_000) }
}

fn pair_of(size: u64) -> Pair {
    Pair {
        lead: token(size, "\"d41d8cd98f00b204e9800998ecf8427e-12\""),
        follower: Token {
            modified: Modified::By(1_700_000_001),
            ..token(size, "\"0123456789abcdef0123456789abcdef\"")
        },
        evidence: Some(Evidence { crc64nvme: u64::MAX - size, parts: vec![(size, Sha256([7; 32]))] }),
        waived: Aspects::NONE,
        written: true,
    }
}

/// The place that leads in these tests.
const LEAD: PlaceIndex = PlaceIndex::SOURCE;

/// A fact at a target, numbered from 0.
fn at(dataset: &str, target: u16, key: &str, fact: Fact) -> Record {
    Record::at(&name(dataset), PlaceIndex(target + 1), &key.into(), fact)
}

fn paired(dataset: &str, target: u16, key: &str, size: u64) -> Record {
    at(dataset, target, key, Fact::Paired { lead: LEAD, pair: pair_of(size) })
}

fn waits(dataset: &str, target: u16, key: &str, why: Open) -> Record {
    at(dataset, target, key, Fact::Waits(why))
}

fn deferred(dataset: &str, target: u16, key: &str) -> Record {
    waits(dataset, target, key, Open::Deferred)
}

fn failed(dataset: &str, target: u16, key: &str) -> Record {
    at(dataset, target, key, Fact::Failed { reason: format!("{key} is \0 odd"), at: Timestamp(5) })
}

fn range(after: Option<&str>, until: Option<&str>) -> KeyRange {
    KeyRange { after: after.map(Key::from), until: until.map(Key::from) }
}

async fn keys(ledger: &Ledger, range: &KeyRange, limit: usize) -> Vec<(String, u16)> {
    let rows = ledger.held(&name("d"), LEAD, range, limit).await.unwrap();
    rows.into_iter().map(|row| (row.key.as_str().to_owned(), row.place.0 - 1)).collect()
}

/// Copies a ledger as a crash would leave it: the file and its log, unclosed.
fn crash_copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let of = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(of(from), of(to)).unwrap();
    }
}
