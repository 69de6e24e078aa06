//! Tables as a whole: everything that was asked for is made, and is described as it was asked for.

use migrate::{
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, When},
    store::{
        ErrorKind,
        table::{ItemWrite, TableState, TableStore as _},
    },
};
use migrate_core::table::{
    Billing, Encryption, Index, KeyType, Projection, StreamView, Structure, TableAbilities, TableClass, Throughput,
};

use super::{ID, SECRET, client_of, item, server, table};

/// A table with everything but an expiry and a key of its own.
pub(crate) fn rich() -> Structure {
    let mut structure = Structure::plain(("id", KeyType::Text), Some(("at", KeyType::Number)));
    structure.key_types.insert("email".to_owned(), KeyType::Text);
    structure.key_types.insert("blob".to_owned(), KeyType::Binary);
    let throughput = Some(Throughput { read: 2, write: 3 });
    structure.local_indexes.insert(
        "by-email".to_owned(),
        Index {
            partition_key: "id".to_owned(),
            sort_key: Some("email".to_owned()),
            projection: Projection::Keys,
            throughput: None,
        },
    );
    let include = Projection::Include(["name".to_owned(), "size".to_owned()].into());
    structure.global_indexes.insert(
        "all".to_owned(),
        Index {
            partition_key: "email".to_owned(),
            sort_key: Some("blob".to_owned()),
            projection: Projection::All,
            throughput,
        },
    );
    structure.global_indexes.insert(
        "some".to_owned(),
        Index { partition_key: "blob".to_owned(), sort_key: None, projection: include, throughput },
    );
    Structure {
        billing: Billing::Provisioned(Throughput { read: 5, write: 6 }),
        stream: Some(StreamView::NewAndOld),
        tags: [("team".to_owned(), "shop: a/b".to_owned())].into(),
        point_in_time_recovery: true,
        deletion_protection: true,
        class: TableClass::InfrequentAccess,
        ..structure
    }
}

#[tokio::test]
async fn a_table_is_made_with_everything_and_described_the_same() {
    let server = server(|_| {}).await;
    let table = client_of(server.endpoint(), ID, SECRET).await.table("rich");
    assert_eq!(table.create(&rich()).await.unwrap(), Vec::<&str>::new());
    let described = table.describe().await.unwrap().unwrap();
    assert_eq!(described.structure, rich());
    assert_eq!((described.state, described.items), (TableState::Active, Some(0)));
    assert!(described.stream.unwrap().contains("/rich/stream/"));

    table.set_ttl(Some("expires")).await.unwrap();
    table.set_ttl(Some("expires")).await.unwrap();
    assert_eq!(server.stats().of(DynamoOperation::UpdateTimeToLive), 1, "it is there already");
    assert_eq!(table.describe().await.unwrap().unwrap().structure.ttl.as_deref(), Some("expires"));
    table.set_ttl(None).await.unwrap();
    assert_eq!(table.describe().await.unwrap().unwrap().structure.ttl, None);
    server.stop().await;
}

#[tokio::test]
async fn a_key_of_the_customer_and_a_policy_are_told() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let arn = DynamoServer::table_arn("data");
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": "*",
            "Action": "dynamodb:GetItem", "Resource": "{arn}"}}}}"#
    );
    server.set_policy(&arn, Some(&policy)).unwrap();
    let described = table.describe().await.unwrap().unwrap().structure;
    assert_eq!(described.reported, ["a resource policy".to_owned()].into());
    assert_eq!(described.encryption, Encryption::Owned);

    let kept =
        Structure { encryption: Encryption::Customer("k".to_owned()), ..Structure::plain(("id", KeyType::Text), None) };
    let other = client_of(server.endpoint(), ID, SECRET).await.table("kept");
    assert_eq!(other.create(&kept).await.unwrap(), Vec::<&str>::new());
    let found = other.describe().await.unwrap().unwrap().structure.encryption;
    assert!(matches!(&found, Encryption::Customer(arn) if arn.ends_with("/k")), "{found:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_probe_finds_all_abilities_and_leaves_nothing() {
    let server = server(|_| {}).await;
    let client = client_of(server.endpoint(), ID, SECRET).await;
    let table = client.table("data").probing_for("a migration");
    let all = TableAbilities {
        strong_reads: true,
        conditions: true,
        numeric_keys: true,
        empty_values: true,
        streams: true,
        ttl: true,
    };
    for _ in 0..2 {
        assert_eq!(table.probe().await.unwrap(), all);
    }
    let stats = server.stats();
    assert_eq!(stats.of(DynamoOperation::CreateTable), 2);
    assert!(table.describe().await.unwrap().is_none(), "the table itself is not touched");
    let missing = table.write(&[ItemWrite::Put(item("a", "x"))]).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NoContainer, "{missing}");
    server.stop().await;
}

/// Servers that refuse what `DynamoDB` takes, or hold something else.
#[tokio::test]
async fn a_probe_finds_what_a_server_does_not_hold_as_it_was_sent() {
    let all = TableAbilities {
        strong_reads: true,
        conditions: true,
        numeric_keys: true,
        empty_values: true,
        streams: true,
        ttl: true,
    };
    let no_empty_values = TableAbilities { empty_values: false, ..all };
    for (from, to, expected) in [
        (r#"{"S":""}"#, r#"{"NULL":true}"#, no_empty_values),
        (r#"{"S":""}"#, r#"{"S":1}"#, no_empty_values),
        (r#"{"B":""}"#, r#"{"B":"AA=="}"#, no_empty_values),
        (r#"{"N":"1e3"}"#, r#"{"N":"a thousand"}"#, TableAbilities { numeric_keys: false, ..all }),
    ] {
        let server = server(|_| {}).await;
        let bent = DynamoFaultRule::new(DynamoFault::Bent { from, to }, When::Every(1));
        server.set_faults(DynamoFaults::one(1, bent.on([DynamoOperation::PutItem, DynamoOperation::BatchWriteItem])));
        let table = client_of(server.endpoint(), ID, SECRET).await.table("data").probing_for("a migration");
        assert_eq!(table.probe().await.unwrap(), expected, "{to} for {from}");
        server.stop().await;
    }
}

/// No condition of an expression can speak of an attribute that nobody names.
#[tokio::test]
async fn an_item_with_more_than_was_expected_is_another_one() {
    let server = server(|_| {}).await;
    let table = table(&server).await;
    let mut more = item("a", "old");
    more.insert("select".to_owned(), super::text("reserved"));
    table.put_if(&more, None).await.unwrap();
    let refused = table.put_if(&item("a", "new"), Some(&item("a", "old"))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Precondition, "{refused}");
    assert!(refused.to_string().contains(r#"{"id":{"S":"a"}}"#), "{refused}");
    table.put_if(&item("a", "new"), Some(&more)).await.unwrap();
    server.stop().await;
}
