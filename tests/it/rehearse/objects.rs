//! Whole objects: conditions, checksums, properties, versions, identities.

use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{
        BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, MetadataDirective, ObjectAttributes, Tag, Tagging,
        VersioningConfiguration,
    },
};
use migrate::local_cloud::{Operation, S3Server};

use super::{BUCKET, checksumming, client_as, code, config, start};

fn body(text: &'static str) -> ByteStream {
    ByteStream::from_static(text.as_bytes())
}

#[tokio::test]
async fn buckets_come_and_go() {
    let (server, client) = start(config()).await;
    client.create_bucket().bucket("second").send().await.unwrap();
    assert_eq!(code(client.create_bucket().bucket("second").send().await), "BucketAlreadyOwnedByYou");
    let names = client.list_buckets().send().await.unwrap();
    assert_eq!(names.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), ["second", BUCKET]);
    server.state().put("second", "k", "");
    assert_eq!(code(client.delete_bucket().bucket("second").send().await), "BucketNotEmpty");
    assert!(server.state().delete("second", "k"));
    client.delete_bucket().bucket("second").send().await.unwrap();
    let gone = client.head_bucket().bucket("second").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_not_found());
    let location = client.get_bucket_location().bucket(BUCKET).send().await.unwrap();
    assert_eq!(location.location_constraint().map_or("", |region| region.as_str()), "");
    server.stop().await;
}

#[tokio::test]
async fn only_known_identities_get_in() {
    let (server, client) = start(config()).await;
    let wrong_secret = client_as(&server, "AKIDREHEARSAL", "guessed");
    assert_eq!(code(wrong_secret.list_objects_v2().bucket(BUCKET).send().await), "SignatureDoesNotMatch");
    let unknown = client_as(&server, "AKIDUNKNOWN", super::SECRET);
    assert_eq!(code(unknown.list_objects_v2().bucket(BUCKET).send().await), "InvalidAccessKeyId");
    let list = || client.list_objects_v2().bucket(BUCKET);
    assert_eq!(code(list().expected_bucket_owner("999999999999").send().await), "AccessDenied");
    list().expected_bucket_owner("111122223333").send().await.unwrap();
    assert!(!format!("{server:?}").contains(super::SECRET));
    server.stop().await;
}

#[tokio::test]
async fn conditions_hold_on_reads_writes_and_deletes() {
    let (server, client) = start(config()).await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(body("one"));
    let wrong = "\"0123456789abcdef0123456789abcdef\"";
    assert_eq!(code(put().if_match(wrong).send().await), "NoSuchKey");
    let written = put().if_none_match("*").send().await.unwrap();
    let etag = written.e_tag().unwrap();
    assert_eq!(etag, "\"f97c5d29941bfb1b2fdab0874906ab82\"", "the MD5 of `one`, quoted");
    assert_eq!(code(put().if_none_match("*").send().await), "PreconditionFailed");
    assert_eq!(code(put().if_match(wrong).send().await), "PreconditionFailed");
    put().if_match(etag).send().await.unwrap();

    let get = || client.get_object().bucket(BUCKET).key("k");
    get().if_match(etag).send().await.unwrap();
    assert_eq!(code(get().if_match(wrong).send().await), "PreconditionFailed");
    let unchanged = get().if_none_match(etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    let head = client.head_object().bucket(BUCKET).key("k").if_match(wrong).send().await.unwrap_err();
    assert_eq!(head.raw_response().unwrap().status().as_u16(), 412);

    let delete = || client.delete_object().bucket(BUCKET).key("k");
    assert_eq!(code(delete().if_match(wrong).send().await), "PreconditionFailed");
    assert_eq!(server.state().count(BUCKET), 1);
    delete().if_match(etag).send().await.unwrap();
    assert_eq!(server.state().count(BUCKET), 0);
    delete().send().await.expect("deleting what is gone is no error");
    assert_eq!(code(get().send().await), "NoSuchKey");
    let gone = client.head_object().bucket(BUCKET).key("k").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_not_found());
    server.stop().await;
}

#[tokio::test]
async fn wrong_checksums_are_refused_and_right_ones_kept() {
    let (server, client) = start(config()).await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(body("123456789"));
    assert_eq!(code(put().checksum_crc32("AAAAAA==").send().await), "BadDigest");
    assert_eq!(code(put().checksum_crc64_nvme("AAAAAAAAAAA=").send().await), "BadDigest");
    assert_eq!(code(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await), "BadDigest");
    assert_eq!(code(put().content_md5("short").send().await), "InvalidDigest");
    assert_eq!(server.state().count(BUCKET), 0);

    for algorithm in ChecksumAlgorithm::values().iter().map(|name| ChecksumAlgorithm::from(*name)) {
        if !["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"].contains(&algorithm.as_str()) {
            continue;
        }
        let put = checksumming(&server).put_object().bucket(BUCKET).key("k").body(body("123456789"));
        put.checksum_algorithm(algorithm.clone()).send().await.unwrap();
        let head = client.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled);
        let head = head.send().await.unwrap();
        let kept = [
            ("CRC32", head.checksum_crc32()),
            ("CRC32C", head.checksum_crc32_c()),
            ("CRC64NVME", head.checksum_crc64_nvme()),
            ("SHA1", head.checksum_sha1()),
            ("SHA256", head.checksum_sha256()),
        ];
        let shown: Vec<_> = kept.into_iter().filter_map(|(name, value)| value.map(|_| name)).collect();
        assert_eq!(shown, [algorithm.as_str()]);
        assert_eq!(head.checksum_type().unwrap().as_str(), "FULL_OBJECT");
    }
    put().send().await.unwrap();
    let get = client.get_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(get.checksum_crc64_nvme(), Some("rosUhgp5mIg="), "the default, with its published check value");
    server.stop().await;
}

/// A streamed body travels as `aws-chunked` with its checksum in the trailer.
#[tokio::test]
async fn chunked_bodies_are_unwrapped_and_checked() {
    let (server, _) = start(config()).await;
    let client = checksumming(&server);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("body");
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &bytes).unwrap();
    let stream = ByteStream::from_path(&path).await.unwrap();
    let put = client.put_object().bucket(BUCKET).key("k").content_encoding("gzip").body(stream);
    put.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), bytes);
    let head = client.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert!(head.checksum_sha256().is_some());
    assert_eq!(head.content_encoding(), Some("gzip"), "aws-chunked does not leak");
    server.stop().await;
}

#[tokio::test]
async fn ranges_are_exact() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "k", "0123456789");
    server.state().put(BUCKET, "empty", "");
    for (range, expected, shown) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
    ] {
        let got = client.get_object().bucket(BUCKET).key("k").range(range).send().await.unwrap();
        assert_eq!(got.content_range(), Some(shown));
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected);
    }
    let beyond = client.get_object().bucket(BUCKET).key("k").range("bytes=10-").send().await;
    assert_eq!(code(beyond), "InvalidRange");
    let empty = client.get_object().bucket(BUCKET).key("empty").send().await.unwrap();
    assert_eq!(empty.content_length(), Some(0));
    assert_eq!(code(client.get_object().bucket(BUCKET).key("empty").range("bytes=0-").send().await), "InvalidRange");
    server.stop().await;
}

async fn put_with_properties(client: &Client) {
    client
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .body(body("body"))
        .cache_control("max-age=7")
        .content_disposition("attachment; filename=\"a b\"")
        .content_encoding("gzip")
        .content_language("de")
        .content_type("text/plain")
        .metadata("plain", "ascii value")
        .metadata("town", "Z\u{fc}rich \u{1f600}")
        .tagging("team=a%20b&e%C3%A9=1%2B1")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn properties_come_back_and_copies_keep_or_replace_them() {
    let (server, client) = start(config()).await;
    put_with_properties(&client).await;
    let stored = server.state().get_object(BUCKET, "k").unwrap();
    assert_eq!(stored.metadata["town"], "Z\u{fc}rich \u{1f600}");
    assert_eq!(stored.tags["e\u{e9}"], "1+1");
    for key in ["k", "copy"] {
        if key == "copy" {
            let copy = client.copy_object().bucket(BUCKET).key(key).copy_source(format!("{BUCKET}/k"));
            copy.send().await.unwrap();
        }
        let head = client.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(head.cache_control(), Some("max-age=7"));
        assert_eq!(head.content_disposition(), Some("attachment; filename=\"a b\""));
        assert_eq!(head.content_encoding(), Some("gzip"));
        assert_eq!(head.content_language(), Some("de"));
        assert_eq!(head.content_type(), Some("text/plain"));
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata["plain"], "ascii value");
        assert!(metadata["town"].starts_with("=?UTF-8?"), "encoded as S3 does: {}", metadata["town"]);
        let get = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(get.tag_count(), Some(2));
        let tags = client.get_object_tagging().bucket(BUCKET).key(key).send().await.unwrap();
        assert!(tags.tag_set().iter().any(|tag| (tag.key(), tag.value()) == ("team", "a b")));
    }
    let replacing = client.copy_object().bucket(BUCKET).key("k").copy_source(format!("{BUCKET}/k"));
    replacing.metadata_directive(MetadataDirective::Replace).metadata("new", "1").send().await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.metadata().unwrap().keys().collect::<Vec<_>>(), ["new"]);
    assert_eq!(head.content_type(), Some("binary/octet-stream"));
    let onto_itself = client.copy_object().bucket(BUCKET).key("k").copy_source(format!("{BUCKET}/k"));
    assert_eq!(code(onto_itself.send().await), "InvalidRequest");
    let pinned = client.copy_object().bucket(BUCKET).key("c").copy_source(format!("{BUCKET}/k"));
    assert_eq!(code(pinned.copy_source_if_match("\"00\"").send().await), "PreconditionFailed");

    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    client.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging).send().await.unwrap();
    assert_eq!(server.state().get_object(BUCKET, "k").unwrap().tags.len(), 1);
    client.delete_object_tagging().bucket(BUCKET).key("k").send().await.unwrap();
    assert!(server.state().get_object(BUCKET, "k").unwrap().tags.is_empty());
    server.stop().await;
}

async fn enable_versions(client: &Client) {
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(versioning).send().await.unwrap();
}

#[tokio::test]
async fn versions_and_markers_are_kept_and_listed_newest_first() {
    let (server, client) = start(config()).await;
    let status = client.get_bucket_versioning().bucket(BUCKET).send().await.unwrap();
    assert_eq!(status.status(), None);
    client.put_object().bucket(BUCKET).key("k").body(body("null")).send().await.unwrap();
    enable_versions(&client).await;
    let one = client.put_object().bucket(BUCKET).key("k").body(body("one")).send().await.unwrap();
    let two = client.put_object().bucket(BUCKET).key("k").body(body("two")).send().await.unwrap();
    let marker = client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    let marker_id = marker.version_id().unwrap();
    let of_marker = client.get_object().bucket(BUCKET).key("k").version_id(marker_id).send().await;
    assert_eq!(code(of_marker), "MethodNotAllowed");
    let old = client.get_object().bucket(BUCKET).key("k").version_id(one.version_id().unwrap()).send().await.unwrap();
    assert_eq!(old.body.collect().await.unwrap().into_bytes(), "one");

    let mut listed = Vec::new();
    let (mut key, mut version) = (None, None);
    loop {
        let page = client.list_object_versions().bucket(BUCKET).max_keys(1);
        let page = page.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
        listed.extend(page.delete_markers().iter().map(|marker| marker.version_id().unwrap().to_owned()));
        listed.extend(page.versions().iter().map(|version| version.version_id().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            break;
        }
        key = page.next_key_marker().map(str::to_owned);
        version = page.next_version_id_marker().map(str::to_owned);
    }
    assert_eq!(listed, [marker_id, two.version_id().unwrap(), one.version_id().unwrap(), "null"]);

    client.delete_object().bucket(BUCKET).key("k").version_id(marker_id).send().await.unwrap();
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "two", "without its marker it is back");
    server.stop().await;
}

#[tokio::test]
async fn attributes_say_what_was_asked() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "k", "123456789");
    let ask = client.get_object_attributes().bucket(BUCKET).key("k");
    let ask = ask.object_attributes(ObjectAttributes::Checksum).object_attributes(ObjectAttributes::ObjectSize);
    let attributes = ask.send().await.unwrap();
    assert_eq!(attributes.object_size(), Some(9));
    assert_eq!(attributes.e_tag(), None);
    assert_eq!(attributes.checksum().unwrap().checksum_crc64_nvme(), Some("rosUhgp5mIg="));
    server.stop().await;
}

#[tokio::test]
async fn two_endpoints_may_share_their_data_and_requests_are_counted() {
    let (server, client) = start(config()).await;
    let second = S3Server::start_with(config(), server.state().clone()).await.unwrap();
    client.put_object().bucket(BUCKET).key("k").body(body("shared")).send().await.unwrap();
    let other = super::client(&second);
    other.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!((server.stats().of(Operation::PutObject), server.stats().bytes_in), (1, 6));
    assert_eq!((second.stats().of(Operation::GetObject), second.stats().bytes_out), (1, 6));
    assert_eq!(second.stats().total(), 1);
    second.stop().await;
    assert_eq!(code(other.get_object().bucket(BUCKET).key("k").send().await), "dispatch failure");
    server.stop().await;
}
