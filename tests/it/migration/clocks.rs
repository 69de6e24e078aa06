//! A server whose clock is an hour ahead of ours. It refuses what is signed by ours, and says its own.

use std::{sync::Arc, time::Duration};

use migrate::{
    aws::s3::S3Wire,
    digest::Body,
    local_cloud::{Operation, S3Server},
    model::KeyRange,
    plan::Level,
    store::{
        Condition, ErrorKind, ObjectStore, Properties,
        retry::{RetryPolicy, Retrying},
    },
};

use tempfile::tempdir;

use super::{
    Rig, one_dataset,
    s3::{SECRET, assert_servers_equal, client_by, server, stores},
};

async fn ahead() -> S3Server {
    let server = server(|config| config.quirks.clock_ahead = true).await;
    server.state().put("data", "k", "v");
    server
}

async fn store(server: &S3Server, wire: S3Wire) -> Arc<dyn ObjectStore> {
    Arc::new(client_by(server, "t", SECRET, wire).await.store("data", ""))
}

/// What the store itself says, without a layer that tries again.
async fn put(store: &dyn ObjectStore, key: &str) -> Result<(), ErrorKind> {
    let body = Body::new("body".into());
    let written = store.put(&key.into(), &body, &Properties::default(), &Condition::Absent).await;
    written.map(|_| ()).map_err(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_sent_again_with_the_time_of_the_server() {
    let server = ahead().await;
    let store = store(&server, S3Wire::Own).await;
    assert!(store.head(&"k".into()).await.unwrap().is_some());
    assert_eq!(server.stats().of(Operation::HeadObject), 2, "refused, and sent again");
    assert!(store.list(KeyRange::all()).next().await.unwrap().is_some());
    assert_eq!(server.stats().of(Operation::ListObjectsV2), 1, "the time is known by now");
    assert_eq!(put(&*store, "new").await, Ok(()));
    assert_eq!(server.stats().of(Operation::PutObject), 1);
    server.stop().await;
}

/// Whether this process may still write is asked above, so what writes goes back there first.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_sent_again_only_by_who_asked_for_it() {
    for wire in [S3Wire::Own, S3Wire::Sdk] {
        let server = ahead().await;
        let store = store(&server, wire).await;
        assert_eq!(put(&*store, "new").await, Err(ErrorKind::ClockSkew), "{wire:?}");
        assert_eq!((server.stats().of(Operation::PutObject), server.state().count("data")), (1, 1), "{wire:?}");
        assert_eq!(put(&*store, "new").await, Ok(()), "{wire:?}");
        assert_eq!((server.stats().of(Operation::PutObject), server.state().count("data")), (2, 2), "{wire:?}");
        server.stop().await;
    }
}

/// A machine that wakes up with an old clock writes first, and all writes under way are refused.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_fails_because_a_clock_was_wrong() {
    for wire in [S3Wire::Own, S3Wire::Sdk] {
        let server = ahead().await;
        let policy = RetryPolicy { pause: Duration::from_millis(1), ..RetryPolicy::default() };
        let store = Retrying::new(store(&server, wire).await, policy);
        let all = ["a", "b", "c", "d"].map(|key| put(&store, key));
        assert_eq!(futures::future::join_all(all).await, vec![Ok(()); 4], "{wire:?}");
        assert_eq!(server.state().count("data"), 5, "{wire:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_between_servers_with_another_clock_is_proved() {
    let (from, to) = (ahead().await, server(|config| config.quirks.clock_ahead = true).await);
    let directory = tempdir().unwrap();
    let stores = stores(&from, &[("to", &to)]).await;
    let rig = Rig::new(&one_dataset(&["to"], ""), stores, directory.path());
    rig.run().await;
    assert_servers_equal(&from, &to);
    assert!(rig.verify(Level::Bytes).await.verified.is_some());
    for server in [from, to] {
        server.stop().await;
    }
}
