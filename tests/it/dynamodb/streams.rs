//! The stream of a table: what a tail of it must know.

use migrate::{
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, When},
    store::{
        ErrorKind,
        table::{Position, TableStore as _},
    },
};

use super::{key, puts, server, table};

#[tokio::test]
async fn an_iterator_that_has_expired_is_asked_for_again_and_nothing_is_lost() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let changes = table.changes().unwrap();
    let (stream, enabled) = changes.enable().await.unwrap();
    assert!(enabled);
    let shard = changes.shards(&stream).await.unwrap().pop().unwrap().id;
    table.write(&puts(0..2)).await.unwrap();
    let iterator = changes.iterator(&stream, &shard, &Position::Oldest).await.unwrap();
    let first = changes.read(iterator).await.unwrap();
    assert_eq!(first.records.len(), 2);
    assert!(first.records.iter().all(|change| change.at.is_some()));
    table.write(&puts(2..3)).await.unwrap();
    server.expire_iterators();
    let expired = changes.read(first.next.unwrap()).await.unwrap_err();
    assert_eq!(expired.kind(), ErrorKind::Precondition, "{expired}");
    let last = Position::After(first.records.last().unwrap().sequence.clone());
    let iterator = changes.iterator(&stream, &shard, &last).await.unwrap();
    let again = changes.read(iterator).await.unwrap();
    assert_eq!(again.records.iter().map(|change| &change.key).collect::<Vec<_>>(), [&key("2")]);
    let quiet = changes.read(again.next.unwrap()).await.unwrap();
    assert!(quiet.records.is_empty() && quiet.next.is_some(), "no records are not the end");
    server.stop().await;
}

#[tokio::test]
async fn a_trimmed_stream_and_another_stream_are_loud() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let changes = table.changes().unwrap();
    let (stream, _) = changes.enable().await.unwrap();
    let shard = changes.shards(&stream).await.unwrap().pop().unwrap().id;
    let trims = || DynamoFaults::one(1, DynamoFaultRule::new(DynamoFault::TrimmedData, When::Only(1)));
    server.set_faults(trims());
    let trimmed = changes.iterator(&stream, &shard, &Position::Oldest).await.unwrap_err();
    assert_eq!(trimmed.kind(), ErrorKind::Changed, "{trimmed}");
    let iterator = changes.iterator(&stream, &shard, &Position::Oldest).await.unwrap();
    server.set_faults(trims());
    assert_eq!(changes.read(iterator.clone()).await.unwrap_err().kind(), ErrorKind::Changed);

    changes.disable(&stream).await.unwrap();
    changes.disable(&stream).await.unwrap();
    assert_eq!(table.describe().await.unwrap().unwrap().stream, None);
    let (other, enabled) = changes.enable().await.unwrap();
    assert!(enabled && other != stream);
    for error in [
        changes.shards(&stream).await.unwrap_err(),
        changes.iterator(&stream, &shard, &Position::Oldest).await.unwrap_err(),
        changes.read(iterator).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    changes.disable(&stream).await.unwrap();
    assert_eq!(table.describe().await.unwrap().unwrap().stream, Some(other), "only the named one is disabled");
    server.stop().await;
}
