//! A server that others wrote: the conformance suite, and a whole migration there and back.
//!
//! `MIGRATE_INTEROP_S3` names an endpoint, `MIGRATE_INTEROP_ACCESS_KEY_ID` and
//! `MIGRATE_INTEROP_SECRET_ACCESS_KEY` the identity, whose buckets may be made and are not removed.
//! `tests/interop/run` starts such a server. Without them the same tests run against our own server,
//! where they must pass too.
//!
//! No test here knows which server it is. A probe finds out what the server cannot do, and the suite asks
//! no more of it.

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use migrate::{
    aws::{
        AwsCredentials,
        s3::{S3Client, S3Config, S3Endpoint, S3Store},
    },
    digest::Body,
    local_cloud::S3Server,
    plan::Level,
    store::{Capabilities, Condition, ErrorKind, Header, ObjectStore, Properties, Retry, file::FileStore},
};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use tempfile::tempdir;

use crate::{
    conformance::{Holds, NASTY_KEYS, conforms},
    migration::{Rig, Stores, found, one_dataset, s3},
};

mod tables;

/// An endpoint and an identity that may make buckets.
struct Endpoint {
    client: S3Client,
    buckets: aws_sdk_s3::Client,
    /// The server of these tests, if the environment names no other.
    own: Option<S3Server>,
    /// Separates what several runs leave on one server.
    run: u64,
    made: AtomicU32,
}

impl Endpoint {
    async fn new() -> Self {
        let (url, id, secret, own) = if let Ok(url) = env::var("MIGRATE_INTEROP_S3") {
            let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} must be set, too"));
            (url, of("MIGRATE_INTEROP_ACCESS_KEY_ID"), of("MIGRATE_INTEROP_SECRET_ACCESS_KEY"), None)
        } else {
            let server = s3::server(|config| config.part_size_min = 1).await;
            (server.endpoint(), s3::ID.to_owned(), s3::SECRET.to_owned(), Some(server))
        };
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new(&id, &secret, None, None, "test"))
            .endpoint_url(&url)
            .force_path_style(true)
            .build();
        let client = S3Client::connect(S3Config {
            site: "interop".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(S3Endpoint { url, path_style: true, ca_pem: None }),
            credentials: AwsCredentials::Keys { id, secret, session_token: None },
            expected_bucket_owner: None,
        });
        let (client, run) = (client.await.unwrap(), StdRng::from_os_rng().next_u64());
        Self { client, buckets: aws_sdk_s3::Client::from_conf(config), own, run, made: 0.into() }
    }

    /// A new bucket.
    async fn bucket(&self) -> String {
        let name = format!("interop-{:08x}-{}", self.run >> 32, self.made.fetch_add(1, Ordering::Relaxed));
        self.buckets.create_bucket().bucket(&name).send().await.unwrap_or_else(|error| panic!("{error:?}"));
        name
    }

    /// A store that is read only, as the tool opens one.
    fn source(&self, bucket: &str, prefix: &str) -> S3Store {
        let source = self.client.store(bucket, prefix);
        source.adopt(Capabilities { properties: true, tags: true, ..Capabilities::unproved() });
        source
    }

    /// Whether the list of an upload's parts can be understood. Seen on a server that calls the document
    /// `ListPartsResponse` instead of `ListPartsResult`, which the SDK does not take.
    async fn lists_parts(&self) -> bool {
        let store = self.client.store(&self.bucket().await, "");
        let upload = store.begin_upload(&"k".into(), &Properties::default(), &()).await.unwrap();
        let listed = store.list_parts(&upload).await;
        store.abort_upload(&upload).await.unwrap();
        match listed {
            Err(error) if error.kind() == ErrorKind::Garbled => false,
            listed => listed.unwrap().is_empty(),
        }
    }

    async fn stop(self) {
        if let Some(server) = self.own {
            server.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_conforms() {
    let endpoint = Endpoint::new().await;
    // Ours takes small parts, which is quicker; S3 and others want 5 MiB.
    let part_min = if endpoint.own.is_some() { 1 } else { 5 << 20 };
    let lists_parts = endpoint.lists_parts().await;
    let holds = Holds { key: |key| !key.is_empty(), foreign: true, lists_parts, part_min, ..Holds::ALL };
    let make = async || {
        let bucket = endpoint.bucket().await;
        Arc::new(endpoint.client.store(&bucket, "")) as Arc<dyn ObjectStore>
    };
    conforms(holds, make).await;
    endpoint.stop().await;
}

/// Files of all sizes; one that goes in parts.
fn plant(tree: &Path) {
    let mut random = StdRng::seed_from_u64(1);
    let mut noise = |size: usize| {
        let mut bytes = vec![0; size];
        random.fill_bytes(&mut bytes);
        bytes
    };
    for folder in ["a", "a/b", "a-b", "a b+c", "ünï\u{1f980}"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
        for n in 0..8 {
            fs::write(tree.join(folder).join(format!("file {n} & 100%.txt")), noise(n * n * 500)).unwrap();
        }
    }
    fs::write(tree.join("large.bin"), noise((12 << 20) + 345)).unwrap();
}

/// The files below a directory, with their bytes, except the tool's own.
fn files(root: &Path) -> Vec<(String, Bytes)> {
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, Bytes::from(fs::read(path).unwrap())));
            }
        }
    }
    found.sort();
    found
}

/// A migration from one store to another, run twice and proved at every level.
async fn migrated(
    from: Arc<dyn ObjectStore>,
    to: Arc<dyn ObjectStore>,
    more: &str,
    records: u64,
    ledger: &Path,
) -> Rig {
    let stores = Stores::from([("src".to_owned(), from), ("to".to_owned(), to)]);
    let mut rig = Rig::new(&one_dataset(&["to"], more), stores, ledger);
    rig.plan.phases[0].datasets[0].targets[0].part_size = Some(5 << 20);
    rig.run().await;
    assert_eq!(rig.last_pass()[0].copied, records);
    rig.run().await;
    assert_eq!((rig.last_pass()[0].copied, rig.last_pass()[0].same), (0, records), "a second run finds all of it");
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        assert!(verification.verified.is_some(), "{level:?}: {:?}", verification.targets);
    }
    rig
}

fn directory(path: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(FileStore::open_or_create(path.to_owned(), "file://interop".into()).unwrap())
}

/// Objects under odd keys, with headers, metadata and tags if the server keeps them.
async fn enrich(store: &S3Store) -> u64 {
    let can = store.probe().await.unwrap();
    let mut properties = Properties::default();
    if can.properties {
        properties.headers.insert(Header::ContentType, "text/html; charset=utf-8".into());
        properties.headers.insert(Header::CacheControl, "max-age=60".into());
        properties.metadata.insert("author".into(), "L\u{ed} B\u{e1}i".into());
    }
    if can.tags {
        properties.tags.insert("team".into(), "shop + site: a/b".into());
    }
    let mut held = 0;
    for key in NASTY_KEYS.iter().filter(|key| !key.is_empty()) {
        let body = Body::new(format!("the body of {key:?}").into());
        match store.put(&(*key).into(), &body, &properties, &Condition::None).await {
            Ok(_) => held += 1,
            // Not every server holds every key: the suite checks that it refuses such a key for good.
            Err(error) => assert_eq!(error.kind().retry(), Retry::Permanent, "{error}"),
        }
    }
    assert!(held > 30, "only {held} odd keys are held");
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_goes_there_and_comes_back_and_damage_is_noticed() {
    let endpoint = Endpoint::new().await;
    let (here, back, ledgers) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let ledger = |name| {
        let path = ledgers.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    plant(here.path());
    let count = files(here.path()).len() as u64;
    let (first, second) = (endpoint.bucket().await, endpoint.bucket().await);

    let there = Arc::new(endpoint.client.store(&first, "data/tree/"));
    migrated(directory(here.path()), there, "", count, &ledger("up")).await;
    let odd = enrich(&endpoint.client.store(&first, "data/odd/")).await;
    let (from, to) = (endpoint.source(&first, "data/"), endpoint.client.store(&second, ""));
    let rig = migrated(Arc::new(from), Arc::new(to), "", count + odd, &ledger("across")).await;
    let there = Arc::new(endpoint.source(&second, "tree/"));
    migrated(there, directory(back.path()), "waive = [\"properties\"]", count, &ledger("back")).await;
    assert!(files(here.path()) == files(back.path()), "the tree that came back is the tree that went out");

    // One bit, behind the tool's back: the same size, under the same key.
    let damaged = endpoint.client.store(&second, "");
    let key = "tree/a/file 3 & 100%.txt".into();
    let mut bytes = damaged.read(&key, None, None).await.unwrap().bytes.to_vec();
    bytes[100] ^= 1;
    damaged.put(&key, &Body::new(bytes.into()), &Properties::default(), &Condition::None).await.unwrap();
    let expected = ["different tree/a/file 3 & 100%.txt"];
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        assert_eq!(found(&rig.verify(level).await), expected, "{level:?}");
    }
    let (mended, count) = rig.repair(Level::Bytes).await;
    assert_eq!((mended.verified.is_some(), count), (true, 1));
    endpoint.stop().await;
}
