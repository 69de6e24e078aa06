//! Requests that fail: what is known afterwards, and what is never believed.

use std::{sync::Arc, time::Duration};

use migrate::{
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, When},
    store::{
        ErrorKind,
        conformance::tables::{Suite, conforms},
        limit::{AtOnce, Capacity, CapacityLimits, LimitedTable, Quota, SiteLimits},
        meter::Meter,
        retry::{RetryPolicy, RetryingTable},
        table::{ItemWrite, TableStore as _},
    },
};

use jiff::Timestamp;

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
    assert_eq!(error.at_limit(), Some("the table data"));
    next(&server, DynamoFault::ThrottleIndex("by-date"), DynamoOperation::BatchWriteItem);
    let error = table.write(&puts(0..1)).await.unwrap_err();
    assert_eq!(error.at_limit(), Some("the index by-date of the table data"));
    next(&server, DynamoFault::InternalError, DynamoOperation::BatchWriteItem);
    assert_eq!(table.write(&puts(0..1)).await.unwrap_err().at_limit(), None);
    server.stop().await;
}

/// A person is told for what the requests wait: while they do, and as long as fewer are sent.
#[tokio::test]
async fn an_index_at_its_limit_is_told_as_what_is_waited_for() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let throttle = DynamoFaultRule::new(DynamoFault::ThrottleIndex("by-date"), When::Every(1));
    server.set_faults(DynamoFaults::one(1, throttle.on([DynamoOperation::BatchWriteItem])));
    let site =
        SiteLimits::new("oregon", Quota { at_once: AtOnce::fixed(2), ..Quota::default() }, Arc::new(Timestamp::now));
    let limited = LimitedTable::new(table.clone(), Arc::clone(&site), CapacityLimits::new("data", Capacity::default()));
    let meter = Arc::new(Meter::default());
    let pause = Duration::from_millis(10);
    let policy = RetryPolicy {
        pause_throttled: pause,
        pause_max: pause,
        meter: Some(Arc::clone(&meter)),
        ..RetryPolicy::default()
    };
    let retrying = Arc::new(RetryingTable::new(Arc::new(limited), policy));
    let write = |ids| {
        let retrying = Arc::clone(&retrying);
        tokio::spawn(async move { retrying.write(&puts(ids)).await })
    };
    let writes = [write(0..5), write(5..10), write(10..15)];
    let because = "asked for fewer requests because of the index by-date of the table data";
    let (mut paused, mut narrowed) = (None, None);
    while paused.is_none() || narrowed.is_none() {
        paused = paused.or_else(|| meter.waiting().map(|waiting| waiting.failure));
        narrowed = narrowed.or_else(|| site.reason());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(paused.unwrap(), format!("dynamodb://test/data {because}"));
    assert_eq!(narrowed.unwrap(), format!("oregon {because}"));
    server.set_faults(DynamoFaults::default());
    for write in writes {
        assert!(write.await.unwrap().unwrap().left.is_empty());
    }
    assert_eq!((site.reason(), ids(&table).await.len()), (None, 15));
    server.stop().await;
}

/// Not every server refuses such a batch, and of two writes under one key nobody could tell which came last.
#[tokio::test]
async fn a_batch_with_one_key_twice_is_not_sent() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    for twice in [
        [ItemWrite::Put(item("1", "x")), ItemWrite::Put(item("1", "y"))],
        [ItemWrite::Delete(key("1")), ItemWrite::Put(item("1", "y"))],
    ] {
        let refused = table.write(&twice).await.unwrap_err();
        assert!(
            !refused.outcome_unknown() && refused.to_string().contains("one key is in the batch twice"),
            "{refused}"
        );
    }
    let refused = table.get(&[key("1"), key("2"), key("1")]).await.unwrap_err();
    assert!(refused.to_string().contains("one key is in the batch twice"), "{refused}");
    let stats = server.stats();
    assert_eq!((stats.of(DynamoOperation::BatchWriteItem), stats.of(DynamoOperation::BatchGetItem)), (0, 0));
    server.stop().await;
}

/// Writes that are too long in JSON for one request: six bytes for each of their text.
fn in_two_requests() -> Vec<ItemWrite> {
    let of = |id: u32| ItemWrite::Put(item(&id.to_string(), &"\u{1}".repeat(390 << 10)));
    (0..9).map(of).collect()
}

#[tokio::test]
async fn what_the_second_request_of_a_batch_leaves_is_named_by_its_place_in_the_batch() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let second = DynamoFaultRule::new(DynamoFault::Unprocessed, When::Only(2)).on([DynamoOperation::BatchWriteItem]);
    server.set_faults(DynamoFaults::one(1, second));
    let writes = in_two_requests();
    let left = table.write(&writes).await.unwrap().left;
    assert_eq!(server.stats().of(DynamoOperation::BatchWriteItem), 2);
    let shown = ids(&table).await;
    let missing: Vec<_> = (0..writes.len()).filter(|at| !shown.contains(&at.to_string())).collect();
    assert!(!left.is_empty() && left == missing, "{left:?}, and {missing:?} are not there");
    server.stop().await;
}

#[tokio::test]
async fn a_batch_whose_second_request_is_refused_may_have_happened() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let second = DynamoFaultRule::new(DynamoFault::Throttle, When::Only(2)).on([DynamoOperation::BatchWriteItem]);
    server.set_faults(DynamoFaults::one(1, second));
    let error = table.write(&in_two_requests()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Throttled, true), "{error}");
    assert!(!ids(&table).await.is_empty());
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
