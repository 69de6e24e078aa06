//! Multipart uploads.

use aws_sdk_s3::{
    Client,
    operation::{
        complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder, upload_part::UploadPartOutput,
    },
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectAttributes},
};

use super::{BUCKET, checksumming, code, config, start, start_with};

async fn begin(client: &Client, algorithm: Option<ChecksumAlgorithm>) -> String {
    let request = client.create_multipart_upload().bucket(BUCKET).key("k").metadata("from", "begin");
    let answer = request.set_checksum_algorithm(algorithm).send().await.unwrap();
    answer.upload_id().unwrap().to_owned()
}

async fn part(client: &Client, id: &str, number: i32, bytes: Vec<u8>) -> UploadPartOutput {
    let part = client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(number);
    part.body(ByteStream::from(bytes)).send().await.unwrap()
}

fn complete(client: &Client, id: &str, parts: &[(i32, &str)]) -> CompleteMultipartUploadFluentBuilder {
    let parts = parts.iter().map(|(number, etag)| CompletedPart::builder().part_number(*number).e_tag(*etag).build());
    let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
    client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id).multipart_upload(upload)
}

#[tokio::test]
async fn parts_become_an_object() {
    let (server, client) = start_with(migrate::local_cloud::Quirks::default()).await;
    let id = begin(&client, None).await;
    let two = part(&client, &id, 2, b"6789".to_vec()).await;
    let one = part(&client, &id, 1, b"12345".to_vec()).await;
    let listed = client.list_parts().bucket(BUCKET).key("k").upload_id(&id).send().await.unwrap();
    assert_eq!(listed.parts().iter().map(|part| part.size().unwrap()).collect::<Vec<_>>(), [5, 4]);
    let short = client.list_parts().bucket(BUCKET).key("k").upload_id(&id).max_parts(1).send().await.unwrap();
    assert_eq!((short.is_truncated(), short.next_part_number_marker()), (Some(true), Some("1")));
    assert_eq!(server.state().uploads(BUCKET)[0].parts, [(1, 5), (2, 4)]);

    let (one, two) = (one.e_tag().unwrap(), two.e_tag().unwrap());
    assert_eq!(code(complete(&client, &id, &[(2, two), (1, one)]).send().await), "InvalidPartOrder");
    assert_eq!(code(complete(&client, &id, &[(1, two)]).send().await), "InvalidPart");
    assert_eq!(code(complete(&client, &id, &[(1, one), (3, two)]).send().await), "InvalidPart");
    let right = || complete(&client, &id, &[(1, one), (2, two)]);
    assert_eq!(code(right().mpu_object_size(8).send().await), "InvalidRequest");
    assert_eq!(code(right().checksum_crc64_nvme("AAAAAAAAAAA=").send().await), "BadDigest");
    let done = right().checksum_crc64_nvme("rosUhgp5mIg=").if_none_match("*").send().await.unwrap();
    // MD5 of the two binary MD5s, worked out with md5sum.
    assert_eq!(done.e_tag(), Some("\"324730582f20c3f18cbb66d63a6137d2-2\""));
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "123456789");
    assert!(server.state().uploads(BUCKET).is_empty());
    assert_eq!(code(right().send().await), "NoSuchUpload");

    let second = client.head_object().bucket(BUCKET).key("k").part_number(2).send().await.unwrap();
    assert_eq!((second.parts_count(), second.content_length()), (Some(2), Some(4)));
    assert_eq!(second.e_tag(), done.e_tag(), "the whole object's");
    assert_eq!(second.metadata().unwrap()["from"], "begin");
    let got = client.get_object().bucket(BUCKET).key("k").part_number(1).send().await.unwrap();
    assert_eq!(got.content_range(), Some("bytes 0-4/9"));
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "12345");
    let beyond = client.get_object().bucket(BUCKET).key("k").part_number(3).send().await;
    assert_eq!(code(beyond), "InvalidPartNumber");
    let head = client.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_crc64_nvme(), Some("rosUhgp5mIg="));
    let across = client.get_object().bucket(BUCKET).key("k").range("bytes=3-6").send().await.unwrap();
    assert_eq!(across.body.collect().await.unwrap().into_bytes(), "4567");
    server.stop().await;
}

#[tokio::test]
async fn small_parts_do_not_complete_and_conditions_leave_the_upload() {
    let (server, client) = start(config()).await;
    let id = begin(&client, None).await;
    let one = part(&client, &id, 1, vec![1; (5 << 20) - 1]).await;
    let two = part(&client, &id, 2, vec![2; 1]).await;
    let parts = [(1, one.e_tag().unwrap()), (2, two.e_tag().unwrap())];
    assert_eq!(code(complete(&client, &id, &parts).send().await), "EntityTooSmall");
    let one = part(&client, &id, 1, vec![1; 5 << 20]).await;
    let parts = [(1, one.e_tag().unwrap()), (2, two.e_tag().unwrap())];
    server.state().put(BUCKET, "k", "in the way");
    let absent = complete(&client, &id, &parts).if_none_match("*").send().await;
    assert_eq!(code(absent), "PreconditionFailed");
    assert_eq!(server.state().uploads(BUCKET).len(), 1);
    complete(&client, &id, &parts).send().await.unwrap();
    assert_eq!(server.state().get(BUCKET, "k").unwrap().len(), (5 << 20) + 1);
    server.stop().await;
}

#[tokio::test]
async fn composite_checksums_need_those_of_the_parts() {
    let (server, _) = start(config()).await;
    let client = checksumming(&server);
    let id = begin(&client, Some(ChecksumAlgorithm::Sha256)).await;
    let upload = || {
        let upload = client.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(1);
        upload.body(ByteStream::from_static(b"123456789"))
    };
    let mixed = upload().checksum_algorithm(ChecksumAlgorithm::Crc32).send().await;
    assert_eq!(code(mixed), "InvalidRequest");
    let one = upload().checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let (etag, sha256) = (one.e_tag().unwrap(), one.checksum_sha256().unwrap());
    assert_eq!(code(complete(&client, &id, &[(1, etag)]).send().await), "InvalidRequest");
    let part = CompletedPart::builder().part_number(1).e_tag(etag).checksum_sha256(sha256).build();
    let upload = CompletedMultipartUpload::builder().parts(part).build();
    let done = client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).multipart_upload(upload);
    let done = done.send().await.unwrap();
    assert!(done.checksum_sha256().unwrap().ends_with("=-1"));
    let head = client.head_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_type().unwrap().as_str(), "COMPOSITE");
    let ask = client.get_object_attributes().bucket(BUCKET).key("k");
    let attributes = ask.object_attributes(ObjectAttributes::ObjectParts).send().await.unwrap();
    let parts = attributes.object_parts().unwrap();
    assert_eq!((parts.total_parts_count(), parts.parts()[0].checksum_sha256()), (Some(1), Some(sha256)));
    server.stop().await;
}

#[tokio::test]
async fn parts_are_copied_from_ranges() {
    let (server, client) = start_with(migrate::local_cloud::Quirks::default()).await;
    server.state().put(BUCKET, "source", "0123456789");
    let id = begin(&client, None).await;
    let mut parts = Vec::new();
    for (number, range) in [(1, "bytes=5-9"), (2, "bytes=0-4")] {
        let copy = client.upload_part_copy().bucket(BUCKET).key("k").upload_id(&id).part_number(number);
        let copied = copy.copy_source(format!("{BUCKET}/source")).copy_source_range(range).send().await.unwrap();
        parts.push((number, copied.copy_part_result().unwrap().e_tag().unwrap().to_owned()));
    }
    let beyond = client.upload_part_copy().bucket(BUCKET).key("k").upload_id(&id).part_number(3);
    let beyond = beyond.copy_source(format!("{BUCKET}/source")).copy_source_range("bytes=5-10").send().await;
    assert_eq!(code(beyond), "InvalidArgument");
    let parts: Vec<_> = parts.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    complete(&client, &id, &parts).send().await.unwrap();
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "5678901234");
    server.stop().await;
}
