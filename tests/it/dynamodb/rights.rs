//! Who may do what: signatures, and the policies of tables.

use migrate::{
    local_cloud::DynamoServer,
    store::{
        ErrorKind,
        table::{ItemWrite, TableStore as _},
    },
};

use super::{ID, SECRET, WHOLE, client_of, ids, item, key, puts, server, table};

fn deny(actions: &str, who: &str, arn: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Deny", "Principal": {{"AWS": "{who}"}},
            "Action": {actions}, "Resource": "{arn}"}}]}}"#
    )
}

#[tokio::test]
async fn a_fence_stops_one_identity_at_one_table_and_no_other() {
    let server = server(|config| *config = config.clone().with_user("app", "AKIDAPP", "app-secret")).await;
    let root = table(&server).await;
    let app = client_of(server.endpoint(), "AKIDAPP", "app-secret").await;
    let (fenced, other) = (app.table("data"), app.table("other"));
    other
        .create(&migrate_core::table::Structure::plain(("id", migrate_core::table::KeyType::Text), None))
        .await
        .unwrap();
    fenced.write(&puts(0..1)).await.unwrap();

    let arn = DynamoServer::table_arn("data");
    let writes = r#"["dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]"#;
    server.set_policy(&arn, Some(&deny(writes, "arn:aws:iam::111122223333:user/app", &arn))).unwrap();
    for writes in [puts(1..2), vec![ItemWrite::Delete(key("0"))]] {
        let error = fenced.write(&writes).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Denied, false), "{error}");
    }
    assert_eq!(fenced.put_if(&item("5", "x"), None).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(fenced.scan(WHOLE, None, true).await.unwrap().items.len(), 1, "it may still read");
    other.write(&puts(0..1)).await.unwrap();
    root.write(&puts(1..2)).await.unwrap();

    server.set_policy(&arn, None).unwrap();
    fenced.write(&puts(2..3)).await.unwrap();
    assert_eq!(ids(&root).await, ["0", "1", "2"]);
    server.stop().await;
}

/// A fence that is half understood is no fence.
#[tokio::test]
async fn a_policy_that_is_not_understood_is_not_taken() {
    let server = server(|config| *config = config.clone().with_user("app", "AKIDAPP", "app-secret")).await;
    table(&server).await;
    let arn = DynamoServer::table_arn("data");
    let app = "arn:aws:iam::111122223333:user/app";
    for (policy, reason) in [
        (deny(r#""dynamodb:PutThing""#, app, &arn), "invalid action"),
        (deny(r#""dynamodb:PutItem""#, app, "arn:aws:dynamodb:dynoxide:000000000000:table/database"), "resource"),
        (deny(r#""dynamodb:PutItem""#, "arn:aws:iam::111122223333:user/nobody", &arn), "principal"),
        ("{}".to_owned(), "invalid Json"),
    ] {
        let refused = server.set_policy(&arn, Some(&policy)).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    server.set_policy(&arn, Some(&deny(r#""dynamodb:*Item""#, app, &arn))).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn only_a_right_signature_of_a_known_identity_passes() {
    let server = server(|_| {}).await;
    table(&server).await;
    for (id, secret) in [(ID, "wrong"), ("AKIDOTHER", SECRET)] {
        let table = client_of(server.endpoint(), id, secret).await.table("data");
        let error = table.write(&puts(0..1)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Credentials, false), "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_has_a_policy_of_its_own() {
    let server = server(|config| *config = config.clone().with_user("app", "AKIDAPP", "app-secret")).await;
    let table = table(&server).await;
    let (stream, _) = table.changes().unwrap().enable().await.unwrap();
    let app = client_of(server.endpoint(), "AKIDAPP", "app-secret").await.table("data");
    let changes = app.changes().unwrap();
    assert_eq!(changes.shards(&stream).await.unwrap().len(), 1);
    let policy = deny(r#""dynamodb:DescribeStream""#, "arn:aws:iam::111122223333:user/app", &stream);
    server.set_policy(&stream, Some(&policy)).unwrap();
    assert_eq!(changes.shards(&stream).await.unwrap_err().kind(), ErrorKind::Denied);
    server.stop().await;
}
