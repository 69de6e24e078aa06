//! Object Lock: retention, legal hold, and the versions that they protect.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::{
    Client,
    operation::put_object::builders::PutObjectFluentBuilder,
    primitives::{ByteStream, DateTime},
    types::{
        BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, DefaultRetention, Delete,
        ObjectIdentifier, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
        ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule, VersioningConfiguration,
    },
};
use migrate::local_cloud::S3Server;

use super::{BUCKET, checksumming, code, config, start};

const LOCKED: &str = "vault";
const DAY: Duration = Duration::from_hours(24);

/// A server with a bucket with locks, and a client that sends checksums, as locked writes must.
async fn start_locked() -> (S3Server, Client) {
    let (server, client) = start(config()).await;
    client.create_bucket().bucket(LOCKED).object_lock_enabled_for_bucket(true).send().await.unwrap();
    let client = checksumming(&server);
    (server, client)
}

fn in_days(days: u32) -> DateTime {
    let since = (SystemTime::now() + days * DAY).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    DateTime::from_secs(i64::try_from(since.as_secs()).unwrap())
}

fn put(client: &Client) -> PutObjectFluentBuilder {
    client.put_object().bucket(LOCKED).key("k").body(ByteStream::from_static(b"body"))
}

fn retention(mode: ObjectLockRetentionMode, days: u32) -> ObjectLockRetention {
    ObjectLockRetention::builder().mode(mode).retain_until_date(in_days(days)).build()
}

fn hold(status: ObjectLockLegalHoldStatus) -> ObjectLockLegalHold {
    ObjectLockLegalHold::builder().status(status).build()
}

#[tokio::test]
async fn a_bucket_is_made_with_locks_or_gets_them_with_versions() {
    let (server, client) = start_locked().await;
    let get = |bucket: &'static str| client.get_object_lock_configuration().bucket(bucket).send();
    let made = get(LOCKED).await.unwrap().object_lock_configuration.unwrap();
    assert_eq!((made.object_lock_enabled(), made.rule()), (Some(&ObjectLockEnabled::Enabled), None));
    assert_eq!(code(get(BUCKET).await), "ObjectLockConfigurationNotFoundError");
    let set = |configuration| {
        client.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(configuration).send()
    };
    let enabled = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled);
    let days = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(3);
    let ruled =
        |retention| enabled.clone().rule(ObjectLockRule::builder().default_retention(retention).build()).build();
    assert_eq!(code(set(ruled(days.clone().build())).await), "InvalidBucketState", "it has no versions");
    let versions = |status| {
        let configuration = VersioningConfiguration::builder().status(status).build();
        client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(configuration).send()
    };
    versions(BucketVersioningStatus::Enabled).await.unwrap();
    set(ruled(days.clone().build())).await.unwrap();
    assert_eq!(get(BUCKET).await.unwrap().object_lock_configuration, Some(ruled(days.clone().build())));
    assert_eq!(code(set(ruled(days.years(1).build())).await), "MalformedXML", "days or years, not both");
    assert_eq!(code(set(ObjectLockConfiguration::builder().build()).await), "MalformedXML");
    assert_eq!(code(versions(BucketVersioningStatus::Suspended).await), "InvalidBucketState");
    server.stop().await;
}

#[tokio::test]
async fn a_locked_version_stays_and_a_marker_may_cover_it() {
    let (server, client) = start_locked().await;
    let until = in_days(2);
    let written = put(&client).object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
    let written = written.send().await.unwrap();
    let version = written.version_id().unwrap();
    let head = client.head_object().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert_eq!(head.object_lock_retain_until_date(), Some(&until));
    assert_eq!(head.object_lock_legal_hold_status(), None);
    let delete = || client.delete_object().bucket(LOCKED).key("k");
    assert_eq!(code(delete().version_id(version).send().await), "AccessDenied");
    let bypassing = delete().version_id(version).bypass_governance_retention(true);
    assert_eq!(code(bypassing.send().await), "AccessDenied", "nothing bypasses compliance");
    assert_eq!(delete().send().await.unwrap().delete_marker(), Some(true));
    let one = ObjectIdentifier::builder().key("k").version_id(version).build().unwrap();
    let batch = Delete::builder().objects(one).build().unwrap();
    let batch = client.delete_objects().bucket(LOCKED).delete(batch).send().await.unwrap();
    assert_eq!(batch.errors().iter().map(|error| error.code().unwrap()).collect::<Vec<_>>(), ["AccessDenied"]);
    assert_eq!(server.state().held(LOCKED).next().unwrap().versions.len(), 2, "the version, and a marker over it");
    server.stop().await;
}

#[tokio::test]
async fn governance_is_bypassed_by_who_says_so() {
    let (server, client) = start_locked().await;
    let written = put(&client).object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(in_days(5));
    let written = written.send().await.unwrap();
    let set = |retention| client.put_object_retention().bucket(LOCKED).key("k").retention(retention);
    let governed = |days| retention(ObjectLockRetentionMode::Governance, days);
    assert_eq!(code(set(governed(1)).send().await), "AccessDenied");
    set(governed(9)).send().await.expect("longer is no harm");
    set(governed(1)).bypass_governance_retention(true).send().await.unwrap();
    let kept = client.get_object_retention().bucket(LOCKED).key("k").send().await.unwrap().retention.unwrap();
    assert_eq!(kept, governed_until(&kept), "as it was put last");
    assert!(kept.retain_until_date().unwrap().secs() < in_days(2).secs());
    let delete = || client.delete_object().bucket(LOCKED).key("k").version_id(written.version_id().unwrap());
    assert_eq!(code(delete().send().await), "AccessDenied");
    delete().bypass_governance_retention(true).send().await.unwrap();
    assert_eq!(server.state().held(LOCKED).count(), 0);
    server.stop().await;
}

fn governed_until(kept: &ObjectLockRetention) -> ObjectLockRetention {
    let until = *kept.retain_until_date().unwrap();
    ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).retain_until_date(until).build()
}

#[tokio::test]
async fn a_legal_hold_holds_until_it_is_lifted() {
    let (server, client) = start_locked().await;
    let written = put(&client).object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On).send().await.unwrap();
    let get = client.get_object().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(get.object_lock_legal_hold_status(), Some(&ObjectLockLegalHoldStatus::On));
    assert_eq!(get.object_lock_mode(), None);
    let delete = || client.delete_object().bucket(LOCKED).key("k").version_id(written.version_id().unwrap());
    assert_eq!(code(delete().bypass_governance_retention(true).send().await), "AccessDenied");
    let set = |hold| client.put_object_legal_hold().bucket(LOCKED).key("k").legal_hold(hold).send();
    set(hold(ObjectLockLegalHoldStatus::Off)).await.unwrap();
    let seen = client.get_object_legal_hold().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(seen.legal_hold(), Some(&hold(ObjectLockLegalHoldStatus::Off)));
    assert_eq!(
        code(client.get_object_retention().bucket(LOCKED).key("k").send().await),
        "NoSuchObjectLockConfiguration"
    );
    delete().send().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_buckets_own_retention_is_given_to_what_asks_for_none() {
    let (server, client) = start_locked().await;
    let days = DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).days(10).build();
    let rule = ObjectLockRule::builder().default_retention(days).build();
    let enabled = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    let set = client.put_object_lock_configuration().bucket(LOCKED).object_lock_configuration(enabled);
    set.send().await.unwrap();
    put(&client).send().await.unwrap();
    let head = || client.head_object().bucket(LOCKED).key("k").send();
    let seen = head().await.unwrap();
    assert_eq!(seen.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert!((in_days(9).secs()..=in_days(10).secs()).contains(&seen.object_lock_retain_until_date().unwrap().secs()));
    let own = put(&client).object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(in_days(1));
    own.send().await.unwrap();
    assert_eq!(head().await.unwrap().object_lock_mode(), Some(&ObjectLockMode::Governance));
    let unproved = put(&super::client(&server));
    assert_eq!(code(unproved.send().await), "InvalidRequest", "a locked write carries a checksum");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_brings_its_lock_along() {
    let (server, client) = start_locked().await;
    let begin = |bucket: &str| {
        let begin = client.create_multipart_upload().bucket(bucket).key("k");
        let begin = begin.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        begin.object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(in_days(3))
    };
    assert_eq!(code(begin(BUCKET).send().await), "InvalidRequest", "this bucket has no locks");
    let answer = begin(LOCKED).send().await.unwrap();
    let id = answer.upload_id().unwrap();
    let part = |client: &Client| {
        let part = client.upload_part().bucket(LOCKED).key("k").upload_id(id).part_number(1);
        part.body(ByteStream::from_static(b"part"))
    };
    assert_eq!(code(part(&super::client(&server)).send().await), "InvalidRequest", "nor is a part taken without one");
    let etag = part(&client).checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await.unwrap().e_tag.unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(LOCKED).key("k").upload_id(id).multipart_upload(parts);
    complete.send().await.unwrap();
    let head = client.head_object().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Governance));
    server.stop().await;
}

#[tokio::test]
async fn a_bucket_without_locks_knows_none() {
    let (server, client) = start_locked().await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"body"));
    let locking = put().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    assert_eq!(code(locking.send().await), "InvalidRequest");
    put().send().await.unwrap();
    assert_eq!(code(client.get_object_retention().bucket(BUCKET).key("k").send().await), "InvalidRequest");
    assert_eq!(code(client.get_object_legal_hold().bucket(BUCKET).key("k").send().await), "InvalidRequest");
    let retained = client.put_object_retention().bucket(BUCKET).key("k");
    let retained = retained.retention(retention(ObjectLockRetentionMode::Governance, 1));
    assert_eq!(code(retained.send().await), "InvalidRequest");
    let held = client.put_object_legal_hold().bucket(BUCKET).key("k").legal_hold(hold(ObjectLockLegalHoldStatus::On));
    assert_eq!(code(held.send().await), "InvalidRequest");
    server.stop().await;
}
