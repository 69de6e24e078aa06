//! Keys of every kind, written, listed, read, copied and deleted.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, Delete, EncodingType, ObjectIdentifier},
};

use super::{BUCKET, code, config, start};

fn nasty() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/",
        "a//b",
        "a/b",
        "/leading",
        "//twice",
        "/",
        ".",
        "..",
        "./a",
        "a/./b",
        "a/../b",
        "../up",
        "trailing/",
        "trailing//",
        "dot.",
        " space ",
        "sp ace",
        "plus+",
        "per%cent",
        "%2F",
        "am&per",
        "que?ry",
        "ha#sh",
        "quote\"'<>",
        "back\\slash",
        "tab\there",
        "line\nfeed",
        "return\r",
        "bell\u{7}",
        "escape\u{1b}",
        "nfc \u{e9}",
        "nfd e\u{301}",
        "\u{1f600}",
        "=:;,@!$*()~^`{}|[]",
        "versioning",
        "a?versionId=null",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("x".repeat(1024));
    keys.push("\u{e9}".repeat(512));
    keys.sort();
    keys
}

/// Decodes as the tool must: `+` is a space.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn is_legal_in_xml(key: &str) -> bool {
    key.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

#[tokio::test]
async fn nasty_keys_keep_their_bytes() {
    let (server, client) = start(config()).await;
    for key in &nasty() {
        let body = ByteStream::from(key.clone().into_bytes());
        client.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
        assert_eq!(server.state().get(BUCKET, key).as_deref(), Some(key.as_bytes()), "put {key:?}");
        let read = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(read.body.collect().await.unwrap().into_bytes(), key.as_bytes(), "get {key:?}");
        let head = client.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(head.content_length(), Some(i64::try_from(key.len()).unwrap()), "head {key:?}");
        client.get_object_tagging().bucket(BUCKET).key(key).send().await.unwrap();
    }
    assert_eq!(server.state().keys(BUCKET), nasty());

    for page_size in [1, 7, 1000] {
        let mut pages = client
            .list_objects_v2()
            .bucket(BUCKET)
            .encoding_type(EncodingType::Url)
            .into_paginator()
            .page_size(page_size)
            .send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            assert_eq!(page.encoding_type(), Some(&EncodingType::Url), "the encoding is echoed");
            listed.extend(page.contents().iter().map(|object| decode(object.key().unwrap())));
        }
        assert_eq!(listed, nasty(), "pages of {page_size}");
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_come_back_unencoded_where_nobody_asked_for_encoding() {
    let (server, client) = start(config()).await;
    for key in &nasty() {
        server.state().put(BUCKET, key, "");
    }
    let page = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(page.encoding_type(), None);
    let listed: Vec<&str> = page.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!(listed, nasty());
    server.stop().await;
}

#[tokio::test]
async fn only_keys_that_xml_can_carry_delete_in_bulk() {
    let (server, client) = start(config()).await;
    for key in &nasty() {
        server.state().put(BUCKET, key, "");
    }
    let (legal, illegal): (Vec<_>, Vec<_>) = nasty().into_iter().partition(|key| is_legal_in_xml(key));
    let delete = |keys: &[String]| {
        let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
        let delete = Delete::builder().set_objects(Some(objects.collect())).build().unwrap();
        client.delete_objects().bucket(BUCKET).delete(delete).checksum_algorithm(ChecksumAlgorithm::Crc32).send()
    };
    assert_eq!(delete(&legal).await.unwrap().errors(), []);
    assert_eq!(code(delete(&illegal).await), "MalformedXML");
    assert_eq!(server.state().keys(BUCKET), illegal);
    server.stop().await;
}

#[tokio::test]
async fn copies_and_uploads_take_nasty_keys() {
    let (server, client) = start(config()).await;
    for key in &nasty() {
        server.state().put(BUCKET, key, key.clone());
        // Every byte encoded: the strictest form of the header.
        let encoded = key.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        let source = format!("{BUCKET}/{encoded}");
        client.copy_object().bucket(BUCKET).key("copy").copy_source(source).send().await.unwrap();
        assert_eq!(server.state().get(BUCKET, "copy").unwrap(), key.as_bytes(), "copy {key:?}");

        let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        let id = begun.upload_id().unwrap();
        let uploads = client.list_multipart_uploads().bucket(BUCKET).encoding_type(EncodingType::Url);
        let uploads = uploads.send().await.unwrap();
        assert_eq!(decode(uploads.uploads()[0].key().unwrap()), *key);
        client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
        client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(server.state().get(BUCKET, key), None, "delete {key:?}");
    }
    let too_long = client.put_object().bucket(BUCKET).key("x".repeat(1025)).send().await;
    assert_eq!(code(too_long), "KeyTooLongError");
    server.stop().await;
}

#[tokio::test]
async fn prefixes_delimiters_and_start_after() {
    let (server, client) = start(config()).await;
    for key in ["a/1", "a/2", "b/1", "c", "d e/1"] {
        server.state().put(BUCKET, key, "");
    }
    let page = client.list_objects_v2().bucket(BUCKET).delimiter("/").send().await.unwrap();
    let prefixes: Vec<_> = page.common_prefixes().iter().map(|prefix| prefix.prefix().unwrap()).collect();
    assert_eq!(prefixes, ["a/", "b/", "d e/"]);
    assert_eq!(page.key_count(), Some(4));
    let page = client.list_objects_v2().bucket(BUCKET).prefix("a/").start_after("a/1").send().await.unwrap();
    assert_eq!(page.contents()[0].key(), Some("a/2"));
    let page = client.list_objects_v2().bucket(BUCKET).start_after("b").max_keys(1).send().await.unwrap();
    assert_eq!((page.contents()[0].key(), page.is_truncated()), (Some("b/1"), Some(true)));
    let page = client.list_objects().bucket(BUCKET).delimiter("/").max_keys(1).send().await.unwrap();
    assert_eq!(page.next_marker(), Some("a/"));
    let page = client.list_objects().bucket(BUCKET).delimiter("/").marker("a/").send().await.unwrap();
    assert_eq!(page.common_prefixes()[0].prefix(), Some("b/"));
    assert_eq!(code(client.list_objects_v2().bucket(BUCKET).continuation_token("?").send().await), "InvalidArgument");
    assert_eq!(code(client.list_objects_v2().bucket("missing").send().await), "NoSuchBucket");
    server.stop().await;
}
