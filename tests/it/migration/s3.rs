//! Migrations between S3 servers over HTTP.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use migrate::{
    aws::{
        AwsCredentials,
        s3::{S3Client, S3Config, S3Endpoint, S3Store, S3Wire},
    },
    digest::Body,
    lifecycle::Goal,
    local_cloud::{Fault, FaultRule, Faults, NewObject, Operation, Quirks, S3Server, S3ServerConfig, When},
    model::{Key, KeyRange},
    plan::Level,
    store::{
        ByteRange, Capabilities, Condition, ErrorKind, IfMatch, KeyRules, KeyShape, ObjectStore, Proof, Properties,
        Retry, StoreError, conditional::Conditional, survive::tags_at,
    },
};
use tempfile::tempdir;
use tokio::task::{JoinHandle, JoinSet};

use super::{Rig, Stores, found, one_dataset};

pub(crate) const ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "a-secret-for-tests";

/// Starts a server with a bucket `data`.
pub(crate) async fn server(configure: impl FnOnce(&mut S3ServerConfig)) -> S3Server {
    let mut config = S3ServerConfig::new(ID, SECRET);
    configure(&mut config);
    let server = S3Server::start(config).await.expect("the server starts");
    server.state().create_bucket("data");
    server
}

/// A store of a server's bucket `data`, as a site of this name.
pub(crate) async fn store(server: &S3Server, site: &str, secret: &str, prefix: &str) -> S3Store {
    client(server, site, secret).await.store("data", prefix)
}

pub(crate) async fn client(server: &S3Server, site: &str, secret: &str) -> S3Client {
    S3Client::connect(config(server, site, secret)).await.expect("a client is made")
}

/// The same by one of the two ways, whatever the environment says.
pub(crate) async fn client_by(server: &S3Server, site: &str, secret: &str, wire: S3Wire) -> S3Client {
    S3Client::connect_by(config(server, site, secret), wire).await.expect("a client is made")
}

fn config(server: &S3Server, site: &str, secret: &str) -> S3Config {
    S3Config {
        site: site.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(S3Endpoint { url: server.endpoint(), path_style: true, ca_pem: None }),
        credentials: AwsCredentials::Keys { id: ID.to_owned(), secret: secret.to_owned(), session_token: None },
        expected_bucket_owner: None,
    }
}

/// A source, already known to be read only.
pub(crate) async fn source(server: &S3Server) -> Arc<dyn ObjectStore> {
    let source = store(server, "src", SECRET, "").await;
    source.adopt(Capabilities { properties: true, tags: true, ..Capabilities::unproved() });
    Arc::new(source)
}

pub(crate) async fn stores(source_server: &S3Server, targets: &[(&str, &S3Server)]) -> Stores {
    let mut stores = Stores::new();
    stores.insert("src".to_owned(), source(source_server).await);
    for (name, target) in targets {
        stores.insert((*name).to_owned(), Arc::new(store(target, name, SECRET, "").await));
    }
    stores
}

pub(crate) fn assert_servers_equal(source: &S3Server, target: &S3Server) {
    assert_eq!(source.state().keys("data"), target.state().keys("data"));
    for key in source.state().keys("data") {
        assert_eq!(source.state().get("data", &key), target.state().get("data", &key), "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_travel_whole_with_headers_metadata_and_tags() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    for n in 0..60 {
        from.state().put("data", &format!("plain/{n}"), format!("body {n}"));
    }
    for key in crate::conformance::NASTY_KEYS.iter().filter(|key| !key.is_empty() && !key.contains('\0')) {
        from.state().put("data", key, format!("nasty {key}"));
    }
    let mut rich = NewObject { data: "rich".into(), ..NewObject::default() };
    rich.content_type = Some("text/html; charset=utf-8".to_owned());
    rich.metadata.insert("author".to_owned(), "Lí Bái".to_owned());
    rich.tags.insert("team".to_owned(), "shop & site".to_owned());
    from.state().put_object("data", "rich", rich.clone());

    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    rig.run().await;
    assert_servers_equal(&from, &to);
    let arrived = to.state().get_object("data", "rich").unwrap();
    assert_eq!(arrived.content_type, rich.content_type);
    assert_eq!((arrived.metadata, arrived.tags), (rich.metadata.clone(), rich.tags.clone()));
    rig.run().await;
    assert_eq!(rig.last_pass()[0].copied, 0, "the second run finds everything paired");
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        assert!(rig.verify(level).await.verified.is_some());
    }

    // A flipped byte that no listing shows.
    assert!(to.state().corrupt("data", "plain/7", 3));
    assert_eq!(found(&rig.verify(Level::Bytes).await), ["different plain/7"]);
    let (mended, count) = rig.repair(Level::Bytes).await;
    assert_eq!((mended.verified.is_some(), count), (true, 1));
    assert_servers_equal(&from, &to);

    // A changed tag: invisible to a listing, visible to a look.
    let mut retagged = rich;
    retagged.tags.insert("team".to_owned(), "other".to_owned());
    to.state().put_object("data", "rich", retagged);
    assert_eq!(found(&rig.verify(Level::Checksum).await), ["different rich"]);
    from.stop().await;
    to.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_what_a_server_really_does() {
    let quirks = |quirks| move |config: &mut S3ServerConfig| config.quirks = quirks;
    for (quirk, expected) in [
        (Quirks::default(), (Proof::SignedPayload, true, true, true)),
        (Quirks { ignore_conditions: true, ..Quirks::default() }, (Proof::SignedPayload, false, true, true)),
        (Quirks { ignore_payload_hash: true, ..Quirks::default() }, (Proof::Checksum, true, true, true)),
        (
            Quirks { ignore_payload_hash: true, ignore_checksums: true, ..Quirks::default() },
            (Proof::Md5Tag, true, false, true),
        ),
        (
            Quirks { ignore_payload_hash: true, ignore_checksums: true, etag_not_md5: true, ..Quirks::default() },
            (Proof::ReadBack, true, false, true),
        ),
        (Quirks { no_tags: true, ..Quirks::default() }, (Proof::SignedPayload, true, true, false)),
    ] {
        let server = server(quirks(quirk)).await;
        let store = store(&server, "t", SECRET, "some/prefix/").await;
        let found = store.probe().await.unwrap_or_else(|error| panic!("{quirk:?}: {error}"));
        let answers = (found.proof, found.put_if_absent, found.keeps_crc64nvme, found.tags);
        assert_eq!(answers, expected, "{quirk:?}");
        assert_eq!(found.put_if_absent, found.put_if_matches.is_honoured());
        assert_eq!(server.state().count("data"), 0, "nothing is left behind");
        server.stop().await;
    }
}

/// The answers of a probe hold for a day: no single failure may change them, nor leave anything behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_takes_no_passing_failure_for_an_answer() {
    let calm = server(|_| {}).await;
    let expected = store(&calm, "t", SECRET, "").await.probe().await.unwrap();
    let requests = calm.stats().total();
    assert!(requests > 12, "{requests}");
    let mut struck = JoinSet::new();
    for fault in [Fault::InternalError, Fault::ResetAfter, Fault::FlipRequestBit, Fault::ExpiredToken] {
        let expected = expected.clone();
        struck.spawn(async move {
            let server = server(|_| {}).await;
            let store = store(&server, "t", SECRET, "").await;
            for nth in 1..=requests {
                server.set_faults(Faults::one(1, FaultRule::new(fault, When::Only(nth))));
                let mut found = store.probe().await;
                if found.is_err() {
                    found = store.probe().await;
                }
                assert_eq!(found.unwrap(), expected, "{fault:?} at request {nth}");
                assert_eq!(server.state().keys("data"), Vec::<String>::new(), "{fault:?} at request {nth}");
                assert_eq!(server.state().uploads("data"), [], "{fault:?} at request {nth}");
            }
            assert!(server.stats().faults > 0);
            server.stop().await;
        });
    }
    struck.join_all().await;
}

/// A process that is killed in a probe leaves its scratch objects; here the server refuses the deletion instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_probe_of_the_same_migration_removes_what_an_earlier_one_had_to_leave() {
    let server = server(|_| {}).await;
    let probing = async |name: &str| store(&server, "t", SECRET, "x/").await.probing_for(name);
    let refused = FaultRule::new(Fault::InternalError, When::Every(1)).on([Operation::DeleteObject]);
    server.set_faults(Faults::one(1, refused));
    assert!(probing("ledger").await.probe().await.is_err());
    let left = server.state().keys("data");
    assert!(left.iter().all(|key| key.contains(".migrate-probe-")) && left.len() > 1, "{left:?}");
    server.set_faults(Faults::default());

    probing("another ledger").await.probe().await.unwrap();
    assert_eq!(server.state().keys("data"), left, "what is another's is left alone");
    let entries = probing("any").await.list(KeyRange::all()).next().await.unwrap();
    assert_eq!(entries, None, "it is no record");
    probing("ledger").await.probe().await.unwrap();
    assert!(server.state().keys("data").is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_removes_what_it_has_written() {
    let server = server(|_| {}).await;
    let refused = FaultRule::new(Fault::InternalError, When::Every(1)).on([Operation::GetObject]);
    server.set_faults(Faults::one(1, refused));
    assert!(store(&server, "t", SECRET, "").await.probe().await.is_err());
    assert!(server.stats().of(Operation::PutObject) > 0 && server.state().keys("data").is_empty());
    server.stop().await;
}

/// Lays a policy on a server's bucket `data`.
pub(crate) async fn deny(server: &S3Server, policy: &str) {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .credentials_provider(Credentials::new(ID, SECRET, None, None, "test"));
    let client = aws_sdk_s3::Client::from_conf(config.build());
    client.put_bucket_policy().bucket("data").policy(policy).send().await.unwrap();
}

/// A server that refuses the keys of one shape is found to hold all others; a policy imitates it.
#[tokio::test(flavor = "multi_thread")]
async fn each_shape_of_key_that_a_server_refuses_is_found() {
    let server = server(|_| {}).await;
    let long = format!("*/{}*", "s".repeat(256));
    for (shape, keys) in [
        (KeyShape::LeadingSlash, "/*"),
        (KeyShape::TrailingSlash, "*/"),
        (KeyShape::EmptySegment, "*//*"),
        (KeyShape::DotSegment, "*/../*"),
        (KeyShape::LongSegment, &long),
        (KeyShape::Space, "* *"),
        (KeyShape::Sign, "*+*"),
        (KeyShape::Control, "*\u{1}*"),
        (KeyShape::NotAscii, "*\u{e9}*"),
    ] {
        let policy = serde_json::json!({ "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::data/{keys}"),
        }] });
        deny(&server, &policy.to_string()).await;
        let found = store(&server, "t", SECRET, "").await.probe().await.unwrap().keys;
        assert_eq!(found.shapes_refused().collect::<Vec<_>>(), [shape]);
        assert_eq!(found.bytes_max, KeyRules::ALL.bytes_max, "{shape:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_key_that_was_left_is_no_extra_record() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    from.state().put("data", "a", "a");
    for left in [".migrate-probe-0123456789abcdef", "below/.migrate-probe-0123456789abcdef"] {
        to.state().put("data", left, "scratch");
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["to"], "extra = \"refuse\"");
    let rig = Rig::new(&text, stores(&from, &[("to", &to)]).await, directory.path());
    rig.run().await;
    assert_eq!(rig.verify(Level::Checksum).await.targets[0].counts.extra, 0);
    // A name that only looks like one counts.
    to.state().put("data", ".migrate-probe-of-my-own", "mine");
    assert_eq!(rig.verify(Level::Checksum).await.targets[0].counts.extra, 1);
    from.stop().await;
    to.stop().await;
}

/// A probe is many requests: repeated only as a whole, it would never end if one of ten requests fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_comes_to_its_end_although_every_tenth_request_fails() {
    let calm = server(|_| {}).await;
    let expected = store(&calm, "t", SECRET, "").await.probe().await.unwrap();
    for fault in [Fault::SlowDown, Fault::ResetBefore, Fault::ResetAfter] {
        let server = server(|_| {}).await;
        server.set_faults(Faults::one(1, FaultRule::new(fault, When::Every(10))));
        assert_eq!(store(&server, "t", SECRET, "").await.probe().await.unwrap(), expected, "{fault:?}");
        assert_eq!(server.state().count("data"), 0);
        assert!(server.stats().faults > 0);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_to_a_server_that_honours_nothing_is_proved_all_the_same() {
    let quirks = Quirks {
        ignore_conditions: true,
        ignore_checksums: true,
        ignore_payload_hash: true,
        no_tags: true,
        no_tag_count: true,
        etag_not_md5: true,
        ..Quirks::default()
    };
    let (from, to) = (server(|config| config.quirks = quirks).await, server(|config| config.quirks = quirks).await);
    for n in 0..40 {
        from.state().put("data", &format!("{n}"), format!("body {n}"));
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    rig.run().await;
    assert_servers_equal(&from, &to);
    to.state().corrupt("data", "7", 0);
    assert_eq!(found(&rig.verify(Level::Bytes).await), ["different 7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_a_target_cannot_hold_block_until_they_are_waived() {
    let from = server(|_| {}).await;
    let to = server(|config| config.quirks.no_tags = true).await;
    let mut tagged = NewObject { data: "x".into(), ..NewObject::default() };
    tagged.tags.insert("a".to_owned(), "b".to_owned());
    from.state().put_object("data", "tagged", tagged);
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached);
    assert!(rig.failures()[0].contains("waive"), "{:?}", rig.failures());
    let waived = one_dataset(&["to"], "waive = [\"tags\"]");
    Rig::new(&waived, stores(&from, &[("to", &to)]).await, directory.path()).run().await;
    assert_servers_equal(&from, &to);
}

/// A storage class does not travel yet, and is not left behind in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_class_that_cannot_travel_yet_blocks_until_it_is_waived() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    let credentials = aws_sdk_s3::config::Credentials::new(ID, SECRET, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(from.endpoint())
        .force_path_style(true)
        .build();
    let put = aws_sdk_s3::Client::from_conf(config).put_object().bucket("data").key("rare");
    put.storage_class(aws_sdk_s3::types::StorageClass::StandardIa).send().await.unwrap();
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    assert!(!rig.try_run(Goal::Verified).await.unwrap().datasets[0].reached);
    assert!(rig.failures()[0].contains("waive \"storage-class\""), "{:?}", rig.failures());
    let waived = one_dataset(&["to"], "waive = [\"storage-class\"]");
    Rig::new(&waived, stores(&from, &[("to", &to)]).await, directory.path()).run().await;
    assert_servers_equal(&from, &to);
}

/// A proxy between us and a server can answer 404 to anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_404_alone_is_not_believed() {
    let server = server(|config| config.quirks.ignore_conditions = true).await;
    let once = |operation| {
        let rule = FaultRule::new(Fault::BareNotFound, When::Only(1)).on([operation]);
        server.set_faults(Faults::one(1, rule));
    };
    let s3 = Arc::new(store(&server, "t", SECRET, "").await);
    s3.probe().await.unwrap();
    let store = Conditional::new(s3);
    let (key, body) = (Key::from("k"), Body::new("ours".into()));
    server.state().put("data", "k", "theirs");
    let shown = store.head(&key).await.unwrap().unwrap().token;
    let kind = |error: StoreError| error.kind();

    once(Operation::HeadObject);
    let put = store.put(&key, &body, &Properties::default(), &Condition::Absent).await;
    assert_eq!(
        put.map_err(kind),
        Err(ErrorKind::Unavailable),
        "a look that finds nothing lets nothing be written over"
    );
    once(Operation::HeadObject);
    let deleted = store.delete(&key, &Condition::Matches(shown)).await;
    assert_eq!(deleted.map_err(kind), Err(ErrorKind::Unavailable), "nor does it count as deleted");
    once(Operation::DeleteObject);
    assert_eq!(store.delete(&key, &Condition::None).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(server.state().get("data", "k").unwrap(), "theirs");

    let upload = store.begin_upload(&key, &Properties::default(), &()).await.unwrap();
    once(Operation::ListParts);
    assert_eq!(store.list_parts(&upload).await.map_err(kind), Err(ErrorKind::Unavailable));
    once(Operation::AbortMultipartUpload);
    assert_eq!(store.abort_upload(&upload).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(server.state().uploads("data").len(), 1);
    store.abort_upload(&upload).await.unwrap();
    store.abort_upload(&upload).await.unwrap();
    assert_eq!(store.list_parts(&upload).await.map_err(kind), Err(ErrorKind::NoUpload));
    server.stop().await;
}

/// Nor by a verification, however often it comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_listing_shows_and_no_look_finds_is_unreadable() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    from.state().put("data", "k", "value");
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    rig.run().await;
    for level in [Level::Checksum, Level::Bytes] {
        for server in [&from, &to] {
            let rule = FaultRule::new(Fault::BareNotFound, When::Every(1)).on([Operation::HeadObject]);
            server.set_faults(Faults::one(1, rule));
            assert_eq!(found(&rig.verify(level).await), ["unreadable k"], "{level:?}");
            server.set_faults(Faults::default());
        }
        assert!(found(&rig.verify(level).await).is_empty(), "{level:?}");
    }
    for server in [from, to] {
        server.stop().await;
    }
}

/// An answer is no proof of a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_a_server_answers_and_does_not_carry_out_does_not_count() {
    let server = server(|_| {}).await;
    let store = store(&server, "t", SECRET, "").await;
    store.probe().await.unwrap();
    server.state().put("data", "k", "ours");
    let (key, shown) = (Key::from("k"), store.head(&"k".into()).await.unwrap().unwrap().token);
    let rule = FaultRule::new(Fault::Unheeded, When::Only(1)).on([Operation::DeleteObject]);
    server.set_faults(Faults::one(1, rule));
    let unheeded = store.delete(&key, &Condition::Matches(shown.clone())).await.unwrap_err();
    assert_eq!((unheeded.kind(), unheeded.outcome_unknown()), (ErrorKind::Unavailable, true), "{unheeded}");
    assert!(server.state().get("data", "k").is_some());
    store.delete(&key, &Condition::Matches(shown)).await.unwrap();
    assert_eq!(server.state().get("data", "k"), None);
    server.stop().await;
}

/// One passing refusal must not make the probe believe in a condition for a day.
#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_is_no_answer_to_a_probe() {
    let server = server(|config| config.quirks.ignore_conditions = true).await;
    let store = store(&server, "t", SECRET, "").await;
    let expected = store.probe().await.unwrap();
    for operation in [Operation::PutObject, Operation::CompleteMultipartUpload, Operation::DeleteObject] {
        let before = server.stats().of(operation);
        store.probe().await.unwrap();
        for nth in 1..=server.stats().of(operation) - before {
            let rule = FaultRule::new(Fault::NotImplemented, When::Only(nth)).on([operation]);
            server.set_faults(Faults::one(1, rule));
            // A failed probe gives no answer, so no wrong one.
            let Ok(found) = store.probe().await else { continue };
            for (name, found, expected) in [
                ("put", found.put_if_absent, expected.put_if_absent),
                ("finish", found.finish_if_absent, expected.finish_if_absent),
                ("put over", found.put_if_matches != IfMatch::Ignored, false),
                ("finish over", found.finish_if_matches != IfMatch::Ignored, false),
                ("delete", found.delete_if_matches != IfMatch::Ignored, false),
            ] {
                assert_eq!(found, expected, "{name} with {operation:?} {nth} refused");
            }
        }
        server.set_faults(Faults::default());
    }
    server.stop().await;
}

/// A server that refuses a condition over an object may refuse it without one too: then it is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_never_taken_is_not_relied_on() {
    let server = server(|config| config.quirks.no_if_none_match = true).await;
    let found = store(&server, "t", SECRET, "").await.probe().await.unwrap();
    assert!(!found.put_if_absent && !found.finish_if_absent, "{found:?}");
    assert_eq!((found.put_if_matches, found.finish_if_matches), (IfMatch::Quoted, IfMatch::Quoted));
    server.stop().await;
}

/// The repeat of a damaged write may replace exactly that write, and nothing that came since.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_write_is_not_repeated_over_somebody_elses() {
    let server = server(|config| {
        (config.quirks.ignore_conditions, config.quirks.ignore_payload_hash) = (true, true);
        (config.quirks.ignore_checksums, config.quirks.etag_not_md5) = (true, true);
    })
    .await;
    let store = store(&server, "t", SECRET, "").await;
    assert_eq!(store.probe().await.unwrap().proof, Proof::ReadBack);
    let flipped = FaultRule::new(Fault::FlipRequestBit, When::Only(1)).on([Operation::PutObject]);
    let slow = FaultRule::new(Fault::SlowFirstByte(Duration::from_secs(1)), When::Only(1)).on([Operation::GetObject]);
    server.set_faults(Faults { seed: 1, rules: vec![flipped, slow] });
    let (key, body, plain) = (Key::from("k"), Body::new("ours".into()), Properties::default());
    let (put, ()) = futures::join!(store.put(&key, &body, &plain, &Condition::Absent), async {
        while server.stats().of(Operation::GetObject) == 0 || server.state().get("data", "k").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.state().put("data", "k", "theirs");
    });
    assert!(put.is_err(), "{put:?}");
    assert_eq!(server.state().get("data", "k").unwrap(), "theirs");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_a_server_counts_and_does_not_show_are_not_none() {
    let key = Key::from("k");
    let tagged = || NewObject { data: "v".into(), tags: [("a".into(), "b".into())].into(), ..NewObject::default() };
    let refuse = |server: &S3Server, when| {
        let rule = FaultRule::new(Fault::NotImplemented, when).on([Operation::GetObjectTagging]);
        server.set_faults(Faults::one(1, rule));
    };
    for counts in [true, false] {
        let server = server(|config| config.quirks.no_tag_count = !counts).await;
        server.state().put_object("data", "k", tagged());
        let store = source(&server).await;
        let head = store.head(&key).await.unwrap().unwrap();
        refuse(&server, When::Only(1));
        if !counts {
            assert_eq!(tags_at(&*store, &key, &head).await.unwrap().len(), 1, "one such answer is none");
        }
        refuse(&server, When::Every(1));
        let tags = tags_at(&*store, &key, &head).await;
        if counts {
            assert_eq!(tags.unwrap_err().kind(), ErrorKind::Unsupported);
            assert!(store.capabilities().tags);
        } else {
            assert_eq!(tags.unwrap().len(), 0);
            assert!(!store.capabilities().tags, "every proof says so");
        }
        server.stop().await;
    }
}

/// A server that gives each connection one of these answers, whatever it is asked, and closes it.
fn answering(answers: Vec<Vec<u8>>) -> (String, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let told = tokio::task::spawn_blocking(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut connection, &mut [0; 4096]).unwrap();
            std::io::Write::write_all(&mut connection, &answer).unwrap();
        }
    });
    (url, told)
}

/// A store on a server that is [`answering`].
async fn told(answers: Vec<Vec<u8>>) -> (S3Store, JoinHandle<()>) {
    let (url, told) = answering(answers);
    let config = S3Config {
        site: "t".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(S3Endpoint { url, path_style: true, ca_pem: None }),
        credentials: AwsCredentials::Keys { id: ID.into(), secret: SECRET.into(), session_token: None },
        expected_bucket_owner: None,
    };
    (S3Client::connect(config).await.unwrap().store("data", ""), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_not_told_is_not_zero() {
    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"t\"\r\n\r\n".to_vec();
    let (store, answered) = told(vec![head]).await;
    let error = store.head(&"k".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Garbled, "{error}");
    answered.await.unwrap();
}

/// Without the check, a server that forgets its place in a listing would be followed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_does_not_go_on_is_an_error() {
    let page = |entry: &str, count| {
        let body = format!(
            "<ListBucketResult><KeyCount>{count}</KeyCount><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>t</NextContinuationToken>{entry}</ListBucketResult>"
        );
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let (store, answered) = told(vec![page("", 0); 2]).await;
    let error = store.list(KeyRange::all()).next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Garbled, "an empty page again and again: {error}");
    answered.await.unwrap();

    let entry = "<Contents><Key>k</Key><Size>1</Size><ETag>&quot;t&quot;</ETag></Contents>";
    let (store, answered) = told(vec![page(entry, 1); 2]).await;
    let mut listing = store.list(KeyRange::all());
    assert_eq!(listing.next().await.unwrap().unwrap().len(), 1);
    let error = listing.next().await.unwrap_err();
    assert!(error.to_string().contains("out of order"), "the first page again: {error}");
    answered.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong_with_an_endpoint() {
    let from = server(|_| {}).await;
    from.state().put("data", "k", "v");

    let wrong = store(&from, "src", "not-the-secret", "").await;
    assert_eq!(wrong.probe().await.unwrap_err().kind(), ErrorKind::Credentials);
    let error = wrong.list(migrate::model::KeyRange::all()).next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(!error.to_string().contains("not-the-secret") && !format!("{error:?}").contains("not-the-secret"));

    let skewed = server(|config| config.quirks.clock_skew = true).await;
    let error = store(&skewed, "t", SECRET, "").await.probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockSkew);
    assert!(error.kind().mend().unwrap().contains("clock"));

    let config = S3Config {
        site: "gone".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(S3Endpoint { url: from.endpoint(), path_style: true, ca_pem: None }),
        credentials: AwsCredentials::Keys { id: ID.into(), secret: SECRET.into(), session_token: None },
        expected_bucket_owner: None,
    };
    let client = S3Client::connect(config.clone()).await.unwrap();
    assert_eq!(client.store("nowhere", "").probe().await.unwrap_err().kind(), ErrorKind::NoContainer);

    let owner = S3Config { expected_bucket_owner: Some("999999999999".to_owned()), ..config.clone() };
    let client = S3Client::connect(owner).await.unwrap();
    assert_eq!(client.store("data", "").probe().await.unwrap_err().kind(), ErrorKind::Denied);

    let elsewhere = S3Config { region: "eu-north-9".to_owned(), ..config.clone() };
    let client = S3Client::connect(elsewhere).await.unwrap();
    let error = client.store("data", "").list(migrate::model::KeyRange::all()).next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongRegion, "{error}");
    assert!(error.to_string().contains("us-east-1"), "it says the right one: {error}");

    let tls = S3Endpoint { url: from.endpoint().replace("http://", "https://"), path_style: true, ca_pem: None };
    let client = S3Client::connect(S3Config { endpoint: Some(tls), ..config.clone() }).await.unwrap();
    let error = client.store("data", "").head(&"k".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("it does not speak TLS: write http://"), "{error}");

    // A server that speaks TLS answers plain HTTP with an alert, and closes.
    let (url, alert) = answering(vec![b"\x15\x03\x01\x00\x02\x02\x46".to_vec()]);
    let plain = S3Endpoint { url, path_style: true, ca_pem: None };
    let client = S3Client::connect(S3Config { endpoint: Some(plain), ..config.clone() }).await.unwrap();
    let error = client.store("data", "").head(&"k".into()).await.unwrap_err();
    assert!(error.to_string().contains("write https://"), "{error}");
    alert.await.unwrap();

    let url = from.endpoint();
    from.stop().await;
    let gone = S3Config { endpoint: Some(S3Endpoint { url, path_style: true, ca_pem: None }), ..config };
    let store = S3Client::connect(gone).await.unwrap().store("data", "");
    assert_eq!(store.probe().await.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_stops_the_run_and_it_goes_on_once_it_is_there() {
    let from = server(|_| {}).await;
    let to = S3Server::start(S3ServerConfig::new(ID, SECRET)).await.unwrap();
    from.state().put("data", "k", "v");
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    let error = rig.try_run(Goal::Verified).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    to.state().create_bucket("data");
    rig.run().await;
    assert_servers_equal(&from, &to);
}

/// A page that is cut is asked for again from where it began: nothing is skipped, and nothing shown twice.
#[tokio::test]
async fn a_listing_goes_on_where_it_was_cut() {
    let server = server(|_| {}).await;
    let keys: Vec<String> = (0..2_500).map(|n| format!("{n:05}")).collect();
    for key in &keys {
        server.state().put("data", key, "");
    }
    let store = store(&server, "src", SECRET, "").await;
    for fault in [Fault::CutXml, Fault::CutEntry, Fault::UnclosedXml, Fault::LostEntry] {
        server.set_faults(Faults::one(5, FaultRule::new(fault, When::Every(2))));
        let mut listing = store.list(migrate::model::KeyRange::all());
        let (mut seen, mut cut) = (Vec::new(), 0);
        loop {
            match listing.next().await {
                Ok(None) => break,
                Ok(Some(page)) => seen.extend(page.into_iter().map(|entry| entry.key.as_str().to_owned())),
                Err(error) => {
                    assert_eq!(error.kind().retry(), Retry::Transient, "{error}");
                    assert!(error.to_string().contains("the answer is not"), "{error}");
                    cut += 1;
                }
            }
        }
        assert_eq!((seen == keys, cut), (true, 2), "{fault:?}: pages of 1,000, every second one cut");
    }
    server.stop().await;
}

/// Equal in length is not equal: the bytes must be those that were asked for.
#[tokio::test]
async fn a_range_that_was_not_asked_for_is_refused() {
    let server = server(|_| {}).await;
    server.state().put("data", "k", "0123456789");
    let store = store(&server, "src", SECRET, "").await;
    let pin = store.head(&"k".into()).await.unwrap().unwrap().token;
    let read = async |start, end, pin| store.read(&"k".into(), Some(ByteRange { start, end }), pin).await;
    assert_eq!(read(3, 6, Some(&pin)).await.unwrap().bytes, "345");
    for (fault, start, end) in [
        (Fault::OtherRange, 3, 6),
        (Fault::OtherRange, 0, 2),
        (Fault::WholeForRange, 3, 6),
        // As long as what was asked for.
        (Fault::WholeForRange, 5, 15),
    ] {
        server.set_faults(Faults::one(1, FaultRule::new(fault, When::Every(1))));
        for pin in [None, Some(&pin)] {
            let error = read(start, end, pin).await.expect_err("it is not what was asked for");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{fault:?} of {start}..{end}: {error}");
        }
    }
    server.set_faults(Faults::one(1, FaultRule::new(Fault::WholeForRange, When::Every(1))));
    assert_eq!(read(0, 10, Some(&pin)).await.unwrap().bytes, "0123456789", "all of it is all of it");
    server.stop().await;
}

/// Tags take a request for each object, sent only if there may be some: if a probe has seen that the endpoint
/// counts tags, an object without a count needs no request.
#[tokio::test(flavor = "multi_thread")]
async fn tags_are_asked_for_only_where_there_may_be_some() {
    const OBJECTS: u64 = 20;
    let asked = |server: &S3Server| server.stats().of(Operation::GetObjectTagging);
    for (counts, source_asks, target_asks) in [(true, 0, 0), (false, OBJECTS, OBJECTS)] {
        let quirks = Quirks { no_tag_count: !counts, ..Quirks::default() };
        let (from, to) = (server(|config| config.quirks = quirks).await, server(|config| config.quirks = quirks).await);
        let mut tagged = NewObject { data: "x".into(), ..NewObject::default() };
        tagged.tags.insert("a".to_owned(), "b".to_owned());
        from.state().put_object("data", "tagged", tagged.clone());
        for n in 1..OBJECTS {
            from.state().put("data", &format!("{n:02}"), format!("body {n}"));
        }
        let directory = tempdir().unwrap();
        let stores = stores(&from, &[("to", &to)]).await;
        if counts {
            // As for AWS itself, after it has shown this identity the tags of one object.
            stores["src"].adopt(Capabilities { tag_count: true, ..stores["src"].capabilities() });
        }
        let rig = Rig::new(&one_dataset(&["to"], ""), stores, directory.path());
        assert!(rig.sites_probe().await);
        let probed = asked(&to);
        rig.try_run(Goal::Copied).await.unwrap();
        assert_eq!(to.state().get_object("data", "tagged").unwrap().tags, tagged.tags);
        let one = u64::from(counts);
        assert_eq!(asked(&from), source_asks + one, "once a record at most; the tagged one always");
        assert_eq!(asked(&to), probed, "nothing was there to be looked at");
        assert!(rig.verify(Level::Checksum).await.verified.is_some());
        assert_eq!((asked(&from), asked(&to)), (2 * (source_asks + one), probed + target_asks + one));
        from.stop().await;
        to.stop().await;
    }
}

/// For a look, a server that counts tags for GET and not for HEAD counts none: to believe it would hide tags
/// from every proof.
#[tokio::test]
async fn a_count_that_only_one_kind_of_look_shows_is_no_count() {
    let server = server(|config| config.quirks.no_tag_count_on_head = true).await;
    let store = store(&server, "t", SECRET, "").await;
    let found = store.probe().await.unwrap();
    assert_eq!((found.tags, found.tag_count), (true, false));
    server.stop().await;
}

/// Another identity may have other rights at the same server: what a probe found for one does not hold for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_identity_at_a_server_is_probed_for_itself() {
    let (from, to) =
        (server(|_| {}).await, server(|config| *config = config.clone().with_user("ann", "ANN", "hers")).await);
    from.state().put("data", "k", "body");
    let directory = tempdir().unwrap();
    let probes = async |id: &str, secret: &str| {
        let config = S3Config {
            site: "to".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(S3Endpoint { url: to.endpoint(), path_style: true, ca_pem: None }),
            credentials: AwsCredentials::Keys { id: id.to_owned(), secret: secret.to_owned(), session_token: None },
            expected_bucket_owner: None,
        };
        let client = S3Client::connect(config).await.unwrap();
        let mut stores = stores(&from, &[]).await;
        stores.insert("to".to_owned(), Arc::new(client.store("data", "")));
        // Only a probe begins uploads here.
        let before = to.stats().of(Operation::CreateMultipartUpload);
        Rig::new(&one_dataset(&["to"], ""), stores, directory.path()).run().await;
        to.stats().of(Operation::CreateMultipartUpload) > before
    };
    assert!(probes(ID, SECRET).await);
    assert!(!probes(ID, SECRET).await, "the ledger knows it");
    assert!(probes("ANN", "hers").await);
    assert!(!probes("ANN", "hers").await);
    from.stop().await;
    to.stop().await;
}
