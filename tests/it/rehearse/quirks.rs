//! Every quirk, switched on.

use aws_sdk_s3::{
    error::ProvideErrorMetadata as _,
    primitives::ByteStream,
    types::{ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectAttributes},
};
use migrate::local_cloud::{Fault, FaultRule, IfMatchQuirk, MetadataQuirk, NewObject, Quirks, Untyped, When};

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

#[tokio::test]
async fn quoted_tags_never_match_and_bare_ones_do() {
    let (server, client) = start_with(Quirks { if_match: IfMatchQuirk::BareOnly, ..Quirks::default() }).await;
    let tag = client.put_object().bucket(BUCKET).key("k").body(body("old")).send().await.unwrap();
    let quoted = tag.e_tag().unwrap();
    let bare = quoted.trim_matches('"');
    let put = |tag: &str| client.put_object().bucket(BUCKET).key("k").body(body("old")).if_match(tag).send();
    assert_eq!(code(put(quoted).await), "PreconditionFailed");
    assert_eq!(code(put("00000000000000000000000000000000").await), "PreconditionFailed");
    put(bare).await.unwrap();
    let delete = |tag: &str| client.delete_object().bucket(BUCKET).key("k").if_match(tag).send();
    assert_eq!(code(delete(quoted).await), "PreconditionFailed");
    delete(bare).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn no_tag_ever_matches() {
    let (server, client) = start_with(Quirks { if_match: IfMatchQuirk::NeverMatches, ..Quirks::default() }).await;
    let tag = client.put_object().bucket(BUCKET).key("k").body(body("old")).send().await.unwrap();
    let quoted = tag.e_tag().unwrap();
    for tag in [quoted, quoted.trim_matches('"')] {
        let put = client.put_object().bucket(BUCKET).key("k").body(body("new")).if_match(tag).send().await;
        assert_eq!(code(put), "PreconditionFailed");
    }
    server.stop().await;
}

/// Uploads `k` in one part, with a tag, under a condition if there is one.
async fn upload(client: &aws_sdk_s3::Client, condition: Option<&str>) -> String {
    let begun = client.create_multipart_upload().bucket(BUCKET).key("k").tagging("a=b").send().await.unwrap();
    let id = begun.upload_id().unwrap();
    let part = client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(1).body(body("body"));
    let part = part.send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let upload = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id).multipart_upload(upload);
    match complete.set_if_match(condition.map(ToOwned::to_owned)).send().await {
        Ok(_) => "done".to_owned(),
        failed => code(failed),
    }
}

#[tokio::test]
async fn conditions_ignored_on_complete_alone() {
    let (server, client) = start_with(Quirks { ignore_conditions_on_complete: true, ..Quirks::default() }).await;
    server.state().put(BUCKET, "k", "old");
    assert_eq!(upload(&client, Some("\"00\"")).await, "done");
    let put = client.put_object().bucket(BUCKET).key("k").body(body("new")).if_none_match("*").send().await;
    assert_eq!(code(put), "PreconditionFailed");
    server.stop().await;
}

#[tokio::test]
async fn tags_dropped_when_an_upload_begins() {
    let quirks = Quirks { drop_upload_tags: true, no_put_tagging: true, ..Quirks::default() };
    let (server, client) = start_with(quirks).await;
    assert_eq!(upload(&client, None).await, "done");
    assert_eq!(server.state().get_object(BUCKET, "k").unwrap().tags, [].into());
    client.put_object().bucket(BUCKET).key("k").body(body("body")).tagging("a=b").send().await.unwrap();
    assert_eq!(server.state().get_object(BUCKET, "k").unwrap().tags.len(), 1);
    let tag = aws_sdk_s3::types::Tag::builder().key("a").value("c").build().unwrap();
    let tagging = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().unwrap();
    let put = client.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging).send().await;
    assert_eq!(code(put), "NotImplemented");
    server.stop().await;
}

#[tokio::test]
async fn metadata_shown_as_it_was_sent_or_refused() {
    const WORD: &str = "=?UTF-8?Q?caf=C3=A9?=";
    for (metadata, raw, word) in [
        (MetadataQuirk::None, Some("=?UTF-8?"), "=?UTF-8?"),
        (MetadataQuirk::Raw, Some("café"), WORD),
        (MetadataQuirk::AsciiOnly, None, WORD),
    ] {
        let (server, client) = start_with(Quirks { metadata, ..Quirks::default() }).await;
        for (sent, shown) in [("café", raw), (WORD, Some(word)), ("plain", Some("plain"))] {
            let put =
                client.put_object().bucket(BUCKET).key("k").body(body("body")).metadata("drink", sent).send().await;
            let Some(shown) = shown else {
                assert_eq!(code(put), "InvalidArgument");
                continue;
            };
            put.unwrap();
            let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
            let found = &head.metadata().unwrap()["drink"];
            assert!(found.starts_with(shown), "{metadata:?}: {sent} is shown as {found}");
            let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
            assert_eq!(get.metadata().unwrap()["drink"], *found);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn the_type_of_what_has_none() {
    for (untyped, shown) in [
        (Untyped::BinaryOctetStream, Some("binary/octet-stream")),
        (Untyped::ApplicationOctetStream, Some("application/octet-stream")),
        (Untyped::None, None),
        (Untyped::Empty, Some("")),
    ] {
        let (server, client) = start_with(Quirks { untyped, ..Quirks::default() }).await;
        let put = client.put_object().bucket(BUCKET).key("k").body(body("body"));
        put.customize()
            .mutate_request(|request| drop(request.headers_mut().remove("content-type")))
            .send()
            .await
            .unwrap();
        let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
        assert_eq!(head.content_type(), shown, "{untyped:?}");
        let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
        assert_eq!(get.content_type(), shown, "{untyped:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn keys_bent_and_keys_that_are_busy_for_ever() {
    let quirks = Quirks { swallow_leading_slash: true, busy_above_511_bytes: true, ..Quirks::default() };
    let (server, client) = start_with(quirks).await;
    client.put_object().bucket(BUCKET).key("/x").body(body("body")).send().await.unwrap();
    assert_eq!(server.state().keys(BUCKET), ["x"]);
    client.head_object().bucket(BUCKET).key("/x").send().await.unwrap();
    let (fits, long) = ("k".repeat(511), "k".repeat(512));
    client.put_object().bucket(BUCKET).key(&fits).body(body("body")).send().await.unwrap();
    let put = client.put_object().bucket(BUCKET).key(&long).body(body("body")).send().await;
    assert_eq!(code(put), "ServiceUnavailable");
    server.stop().await;
}

#[tokio::test]
async fn errors_come_without_a_message_and_attributes_fail() {
    let quirks = Quirks { errors_without_message: true, failing_get_object_attributes: true, ..Quirks::default() };
    let (server, client) = start_with(quirks).await;
    server.state().put(BUCKET, "k", "body");
    let ask = client.get_object_attributes().bucket(BUCKET).key("k").object_attributes(ObjectAttributes::Etag);
    assert_eq!(code(ask.send().await), "InternalError");
    let missing = client.get_object().bucket(BUCKET).key("missing").send().await.unwrap_err();
    assert_eq!(missing.message().unwrap_or_default(), "");
    server.stop().await;
}
