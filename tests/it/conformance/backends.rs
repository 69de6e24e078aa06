//! The backends that must conform: one line each, plain, decorated and behind faults.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use migrate::{
    local_cloud::{Fault, FaultRule, Faults as ServerFaults, Quirks, When},
    store::{
        ObjectStore,
        conditional::Conditional,
        faulty::{Faults, Faulty},
        file::FileStore,
        limit::{Limited, Quota, SiteLimits},
        memory::MemoryStore,
        meter::{Meter, Metered},
        retry::{RetryPolicy, Retrying},
    },
};

use super::{Holds, conforms};
use crate::migration::s3;

/// Puts every decorator around a store, as the tool does.
fn decorated(store: Arc<dyn ObjectStore>, faults: Option<Faults>, meter: &Arc<Meter>) -> Arc<dyn ObjectStore> {
    let store = match faults {
        Some(faults) => Arc::new(Faulty::new(store, Arc::new(faults))),
        None => store,
    };
    let store = Arc::new(Conditional::new(Arc::new(Metered::new(store, meter.clone()))));
    let limits = Quota { bandwidth: Some(1 << 40), requests_per_second: Some(10_000_000), ..Quota::default() };
    let store = Arc::new(Limited::new(store, SiteLimits::new("test", limits, Arc::new(jiff::Timestamp::now))));
    let pause = Duration::from_micros(10);
    let policy = RetryPolicy {
        attempts_max: 30,
        pause,
        pause_throttled: pause,
        pause_max: pause,
        meter: Some(meter.clone()),
        ..RetryPolicy::default()
    };
    Arc::new(Retrying::new(store, policy))
}

/// A suite behind faults proves nothing unless a fault struck.
fn assert_faults_came(meter: &Meter) {
    let counts = meter.snapshot();
    assert!(counts.retries > counts.requests / 20, "{counts:?}");
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new("memory://test").with_page_size(7))
}

/// A root for the whole test of a store, and a fresh directory in it for each call.
struct Directories(tempfile::TempDir, std::sync::atomic::AtomicUsize);

impl Directories {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"), 0.into())
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = self.0.path().join(number.to_string());
        Arc::new(FileStore::open_or_create(root, "file://test".into()).expect("it is made"))
    }

    /// No file with one of our own names is left in any root.
    fn assert_no_leftovers(&self) {
        let mut open = vec![self.0.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("it is read") {
                let path = entry.expect("it is read").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                assert!(!name.starts_with(".migrate-partial~"), "{} is left over", path.display());
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_conforms() {
    conforms(Holds::ALL, async || memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_conforms_decorated() {
    conforms(Holds::ALL, async || decorated(memory(), None, &Arc::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_conforms_behind_faults() {
    for seed in 1..=5 {
        let meter = Arc::default();
        let make = async || decorated(memory(), Some(Faults::new(seed, 100)), &meter);
        conforms(Holds { orphans: true, ..Holds::ALL }, make).await;
        assert_faults_came(&meter);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms() {
    let directories = Directories::new();
    conforms(Holds::DIRECTORY, async || directories.store()).await;
    directories.assert_no_leftovers();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms_decorated() {
    let directories = Directories::new();
    conforms(Holds::DIRECTORY, async || decorated(directories.store(), None, &Arc::default())).await;
    directories.assert_no_leftovers();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms_behind_faults() {
    let directories = Directories::new();
    let meter = Arc::default();
    let make = async || decorated(directories.store(), Some(Faults::new(1, 100)), &meter);
    conforms(Holds { orphans: true, ..Holds::DIRECTORY }, make).await;
    assert_faults_came(&meter);
}

/// One server, and a fresh bucket for each call.
async fn s3_conforms(holds: Holds, quirks: Quirks) {
    let server = s3::server(|config| {
        config.part_size_min = 1;
        config.quirks = quirks;
    })
    .await;
    let number = AtomicUsize::new(0);
    let make = async || {
        let bucket = format!("bucket-{}", number.fetch_add(1, Ordering::Relaxed));
        server.state().create_bucket(&bucket);
        Arc::new(s3::client(&server, "test", s3::SECRET).await.store(&bucket, "")) as Arc<dyn ObjectStore>
    };
    conforms(holds, make).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms_over_http() {
    s3_conforms(Holds { key: |key| !key.is_empty(), ..Holds::ALL }, Quirks::default()).await;
}

/// Every XML answer of every operation may be cut, and framed as if it were whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms_behind_cut_documents() {
    let kinds = [Fault::CutXml, Fault::CutEntry, Fault::UnclosedXml, Fault::LostEntry];
    let server = s3::server(|config| {
        config.part_size_min = 1;
        let rules = kinds.map(|fault| FaultRule::new(fault, When::Probability(0.1)));
        config.faults = ServerFaults { seed: 1, rules: rules.into() };
    })
    .await;
    let (number, meter) = (AtomicUsize::new(0), Arc::default());
    let make = async || {
        let bucket = format!("bucket-{}", number.fetch_add(1, Ordering::Relaxed));
        server.state().create_bucket(&bucket);
        let store = s3::client(&server, "test", s3::SECRET).await.store(&bucket, "");
        decorated(Arc::new(store), None, &meter)
    };
    conforms(Holds { key: |key| !key.is_empty(), orphans: true, ..Holds::ALL }, make).await;
    assert!(meter.snapshot().retries > 20, "{:?}", meter.snapshot());
    let struck = server.stats().faults_by_kind;
    assert!(kinds.iter().all(|kind| struck.contains_key(kind.name())), "{struck:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_checks_conforms_by_reading_back() {
    let quirks = Quirks {
        ignore_payload_hash: true,
        ignore_checksums: true,
        etag_not_md5: true,
        empty_etag_on_complete: true,
        no_get_object_attributes: true,
        no_tag_count: true,
        ..Quirks::default()
    };
    s3_conforms(Holds { key: |key| !key.is_empty(), ..Holds::ALL }, quirks).await;
}
