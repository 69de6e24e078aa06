//! Every quirk, switched on.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectAttributes},
};
use migrate::rehearse::{Fault, FaultRule, NewObject, Quirks, When};

use super::{BUCKET, code, start_with, strike};

fn body(text: &'static str) -> ByteStream {
    ByteStream::from_static(text.as_bytes())
}

#[tokio::test]
async fn conditions_ignored() {
    let (server, client) = start_with(Quirks { ignore_conditions: true, ..Quirks::default() }).await;
    server.state().put(BUCKET, "k", "old");
    client.put_object().bucket(BUCKET).key("k").body(body("new")).if_none_match("*").send().await.unwrap();
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "new");
    client.delete_object().bucket(BUCKET).key("k").if_match("\"00\"").send().await.unwrap();
    assert_eq!(server.state().count(BUCKET), 0);
    server.stop().await;
}

#[tokio::test]
async fn checksums_ignored() {
    let (server, client) = start_with(Quirks { ignore_checksums: true, ..Quirks::default() }).await;
    let put = client.put_object().bucket(BUCKET).key("k").body(body("body"));
    put.checksum_crc64_nvme("AAAAAAAAAAA=").send().await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_crc64_nvme(), None);
    server.stop().await;
}

#[tokio::test]
async fn payload_hash_ignored() {
    let (server, client) = start_with(Quirks { ignore_payload_hash: true, ..Quirks::default() }).await;
    strike(&server, FaultRule::new(Fault::FlipRequestBit, When::Every(1)));
    client.put_object().bucket(BUCKET).key("k").body(body("body")).send().await.unwrap();
    assert_ne!(server.state().get(BUCKET, "k").unwrap(), "body", "stored as it arrived, damaged");
    server.stop().await;
}

#[tokio::test]
async fn no_tags() {
    let (server, client) = start_with(Quirks { no_tags: true, ..Quirks::default() }).await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(body("body"));
    assert_eq!(code(put().tagging("a=b").send().await), "NotImplemented");
    put().send().await.unwrap();
    assert_eq!(code(client.get_object_tagging().bucket(BUCKET).key("k").send().await), "NotImplemented");
    server.stop().await;
}

#[tokio::test]
async fn no_attributes() {
    let (server, client) = start_with(Quirks { no_get_object_attributes: true, ..Quirks::default() }).await;
    server.state().put(BUCKET, "k", "body");
    let ask = client.get_object_attributes().bucket(BUCKET).key("k").object_attributes(ObjectAttributes::Etag);
    assert_eq!(code(ask.send().await), "NotImplemented");
    server.stop().await;
}

#[tokio::test]
async fn empty_etag_on_complete() {
    let (server, client) = start_with(Quirks { empty_etag_on_complete: true, ..Quirks::default() }).await;
    let begun = client.create_multipart_upload().bucket(BUCKET).key("k").send().await.unwrap();
    let id = begun.upload_id().unwrap();
    let part = client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(1).body(body("body"));
    let part = part.send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let upload = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id).multipart_upload(upload);
    assert_eq!(complete.send().await.unwrap().e_tag().unwrap_or_default(), "");
    let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert!(head.e_tag().unwrap().ends_with("-1\""));
    server.stop().await;
}

#[tokio::test]
async fn etag_not_md5() {
    let (server, client) = start_with(Quirks { etag_not_md5: true, ..Quirks::default() }).await;
    let put = client.put_object().bucket(BUCKET).key("k").body(body("one")).send().await.unwrap();
    assert_ne!(put.e_tag(), Some("\"f97c5d29941bfb1b2fdab0874906ab82\""));
    assert_eq!(put.e_tag().unwrap().len(), 34);
    server.stop().await;
}

#[tokio::test]
async fn no_tag_count() {
    let (server, client) = start_with(Quirks { no_tag_count: true, ..Quirks::default() }).await;
    let tags = [("a".to_owned(), "b".to_owned())].into();
    server.state().put_object(BUCKET, "k", NewObject { tags, ..NewObject::default() });
    let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(get.tag_count(), None);
    server.stop().await;
}

#[tokio::test]
async fn listing_unordered() {
    let (server, client) = start_with(Quirks { listing_unordered: true, ..Quirks::default() }).await;
    for key in ["a", "b", "c"] {
        server.state().put(BUCKET, key, "");
    }
    let page = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(page.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), ["c", "b", "a"]);
    server.stop().await;
}

#[tokio::test]
async fn clock_skew() {
    let (server, client) = start_with(Quirks { clock_skew: true, ..Quirks::default() }).await;
    assert_eq!(code(client.list_objects_v2().bucket(BUCKET).send().await), "RequestTimeTooSkewed");
    server.stop().await;
}
