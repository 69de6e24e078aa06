//! Storage classes: shown everywhere, and archived objects that are read only once restored.

use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{ObjectStorageClass, RestoreRequest, StorageClass},
};

use super::{BUCKET, code, config, start};

async fn put(client: &Client, key: &str, class: StorageClass) {
    let put = client.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(b"body"));
    put.storage_class(class).send().await.unwrap();
}

#[tokio::test]
async fn a_class_is_shown_by_heads_and_listings() {
    let (server, client) = start(config()).await;
    put(&client, "cold", StorageClass::StandardIa).await;
    put(&client, "plain", StorageClass::Standard).await;
    let class = |key: &'static str| client.head_object().bucket(BUCKET).key(key).send();
    assert_eq!(class("cold").await.unwrap().storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(class("plain").await.unwrap().storage_class(), None, "the standard one goes without saying");
    let page = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    let listed: Vec<_> = page.contents().iter().map(|object| object.storage_class().unwrap().clone()).collect();
    assert_eq!(listed, [ObjectStorageClass::StandardIa, ObjectStorageClass::Standard]);
    let held: Vec<_> = server.state().held(BUCKET).map(|object| object.versions[0].clone().unwrap()).collect();
    assert_eq!((&*held[0].storage_class, &*held[1].storage_class), ("STANDARD_IA", "STANDARD"));
    let unknown = client.put_object().bucket(BUCKET).key("k").storage_class("LUKEWARM".into());
    assert_eq!(code(unknown.send().await), "InvalidStorageClass");
    server.stop().await;
}

#[tokio::test]
async fn what_is_archived_is_read_after_it_was_restored() {
    let (server, client) = start(config()).await;
    put(&client, "ice", StorageClass::Glacier).await;
    put(&client, "plain", StorageClass::Standard).await;
    let get = || client.get_object().bucket(BUCKET).key("ice").send();
    let head = || client.head_object().bucket(BUCKET).key("ice").send();
    let copy = || client.copy_object().bucket(BUCKET).key("thawed").copy_source(format!("{BUCKET}/ice")).send();
    let restore = |key: &'static str, days| {
        let request = RestoreRequest::builder().days(days).build();
        client.restore_object().bucket(BUCKET).key(key).restore_request(request).customize()
    };
    let refused = get().await.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(code::<(), _>(Err(refused)), "InvalidObjectState");
    assert_eq!(code(copy().await), "InvalidObjectState");
    assert_eq!(head().await.unwrap().restore(), None, "a look needs no restoring");
    assert_eq!(code(restore("plain", 1).send().await), "InvalidObjectState");
    assert_eq!(code(restore("ice", 0).send().await), "MalformedXML");

    restore("ice", 2).send().await.unwrap();
    let shown = head().await.unwrap();
    let expiry = shown.restore().unwrap().strip_prefix("ongoing-request=\"false\", expiry-date=\"").unwrap();
    assert!(expiry.ends_with(" 00:00:00 GMT\""), "a midnight: {expiry}");
    assert_eq!(shown.storage_class(), Some(&StorageClass::Glacier));
    assert_eq!(get().await.unwrap().body.collect().await.unwrap().into_bytes(), "body");
    copy().await.unwrap();
    put(&client, "ice", StorageClass::DeepArchive).await;
    assert_eq!(code(get().await), "InvalidObjectState", "a new version was never restored");
    server.stop().await;
}
