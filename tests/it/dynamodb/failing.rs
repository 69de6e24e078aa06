//! Requests that fail: what is known afterwards, and what is never believed.

use std::{sync::Arc, time::Duration};

use migrate::{
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, When},
    store::{
        ErrorKind,
        conformance::tables::{Suite, conforms},
        table::{ItemWrite, TableStore as _},
    },
};

use super::{WHOLE, client_of, ids, item, key, puts, server, table};

/// The next request of this operation fails.
fn next(server: &DynamoServer, fault: DynamoFault, operation: DynamoOperation) {
    server.set_faults(DynamoFaults::one(1, DynamoFaultRule::new(fault, When::Only(1)).on([operation])));
}

#[tokio::test]
async fn a_write_that_fails_says_whether_it_may_have_happened() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    for (number, (fault, kind, unknown, happened)) in [
        (DynamoFault::Throttle, ErrorKind::Throttled, false, false),
        (DynamoFault::ExpiredToken, ErrorKind::Credentials, false, false),
        (DynamoFault::InternalError, ErrorKind::Unavailable, true, false),
        (DynamoFault::InternalErrorAfter, ErrorKind::Unavailable, true, true),
        (DynamoFault::ResetBefore, ErrorKind::Unavailable, true, false),
        (DynamoFault::ResetAfter, ErrorKind::Unavailable, true, true),
        (DynamoFault::CutAnswer, ErrorKind::Unavailable, true, true),
        (DynamoFault::EmptyAnswer, ErrorKind::Unavailable, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        next(&server, fault, DynamoOperation::BatchWriteItem);
        let id = format!("{number}");
        let error = table.write(&[ItemWrite::Put(item(&id, "x"))]).await.unwrap_err();
        assert!(matches!(error.kind(), k if k == kind) || fault == DynamoFault::CutAnswer, "{fault:?}: {error}");
        assert_eq!(error.outcome_unknown(), unknown, "{fault:?}: {error}");
        assert_eq!(ids(&table).await.contains(&id), happened, "{fault:?}");
    }
    server.stop().await;
}

/// An answer that is not whole would end a scan early, or say that a key is absent.
#[tokio::test]
async fn an_answer_that_is_not_whole_is_never_believed() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    table.write(&puts(0..20)).await.unwrap();
    for fault in [DynamoFault::CutAnswer, DynamoFault::EmptyAnswer, DynamoFault::FlipBit] {
        next(&server, fault, DynamoOperation::Scan);
        let error = table.scan(WHOLE, None, true).await.expect_err(fault.name());
        assert!(error.kind().retry() != migrate::store::Retry::Permanent, "{fault:?}: {error}");
        next(&server, fault, DynamoOperation::BatchGetItem);
        table.get(&[key("1"), key("missing")]).await.expect_err(fault.name());
    }
    assert_eq!(ids(&table).await.len(), 20);
    server.stop().await;
}

#[tokio::test]
async fn what_a_batch_leaves_is_named_by_its_place() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    table.write(&puts(0..3)).await.unwrap();
    next(&server, DynamoFault::Unprocessed, DynamoOperation::BatchWriteItem);
    let writes = [puts(10..13), vec![ItemWrite::Delete(key("0")), ItemWrite::Delete(key("1"))]].concat();
    let mut left = table.write(&writes).await.unwrap().left;
    left.sort_unstable();
    let left: Vec<_> = left.into_iter().map(|at| writes[at].clone()).collect();
    assert!(!left.is_empty() && left.len() < writes.len(), "{left:?}");
    let done: Vec<_> = writes.iter().filter(|write| !left.contains(write)).cloned().collect();
    let shown = ids(&table).await;
    let is_done = |write: &ItemWrite| match write {
        ItemWrite::Put(item) => shown.iter().any(|id| item["id"] == super::text(id)),
        ItemWrite::Delete(key) => !shown.iter().any(|id| key.partition == super::text(id)),
    };
    assert!(done.iter().all(is_done) && !left.iter().any(is_done), "{shown:?}");
    assert_eq!(table.write(&left).await.unwrap().left, Vec::<usize>::new());

    next(&server, DynamoFault::Unprocessed, DynamoOperation::BatchGetItem);
    let keys = [key("10"), key("missing"), key("11"), key("0")];
    let got = table.get(&keys).await.unwrap();
    assert_eq!((got.found.len() + got.absent.len(), got.left.len()), (2, 2), "{got:?}");
    let got = table.get(&keys).await.unwrap();
    assert_eq!((got.found.len(), got.absent.len(), got.left.len()), (2, 2, 0), "{got:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_for_load_names_what_is_at_its_limit() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    next(&server, DynamoFault::Throttle, DynamoOperation::BatchWriteItem);
    let error = table.write(&puts(0..1)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("TableWriteProvisionedThroughputExceeded of table/data"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn capacity_is_told_and_a_late_answer_counts() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    next(&server, DynamoFault::Delay(Duration::from_millis(50)), DynamoOperation::BatchWriteItem);
    let written = table.write(&puts(0..5)).await.unwrap();
    assert_eq!((written.left.len(), written.consumed), (0, Some(5.0)));
    assert!(table.scan(WHOLE, None, true).await.unwrap().consumed.is_some());
    assert!(table.get(&[key("1")]).await.unwrap().consumed.is_some());
    let stats = server.stats();
    assert_eq!(stats.of(DynamoOperation::BatchWriteItem), 1);
    assert_eq!(stats.faults_by_kind["delay"], 1);
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_gets_nothing() {
    let server = server(|_| {}).await;
    let url = server.endpoint();
    let table = table(&server).await;
    server.stop().await;
    let error = table.write(&puts(0..1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Unavailable), "{error}");
    let fresh = client_of(url, super::ID, super::SECRET).await.table("data");
    let error = fresh.describe().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unreachable, false), "{error}");
}

/// Every second batch is done in half, and answers come late: the suite sends what is left again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_part_of_its_batches_conforms() {
    let server = server(|config| {
        let late = DynamoFault::Delay(Duration::from_millis(5));
        config.faults = DynamoFaults {
            seed: 1,
            rules: vec![
                DynamoFaultRule::new(DynamoFault::Unprocessed, When::Every(2)),
                DynamoFaultRule::new(late, When::Probability(0.1)),
            ],
        };
    })
    .await;
    let client = client_of(server.endpoint(), super::ID, super::SECRET).await;
    let open = |name: &str| Arc::new(client.table(name)) as _;
    let mut suite = Suite::new(&open);
    suite.depth_max = 31;
    conforms(&suite).await;
    assert!(server.stats().faults_by_kind["unprocessed"] > 20, "{:?}", server.stats());
    server.stop().await;
}
