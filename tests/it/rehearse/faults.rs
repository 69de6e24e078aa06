//! Every fault, striking.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, S3ServerConfig, When};

use super::{BUCKET, code, config, start, strike};

const ALWAYS: When = When::Every(1);

fn body(text: &'static str) -> ByteStream {
    ByteStream::from_static(text.as_bytes())
}

#[tokio::test]
async fn errors_and_resets_before_the_server_acts_change_nothing() {
    let (server, client) = start(config()).await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(body("body"));
    for (fault, expected) in [
        (Fault::InternalError, "InternalError"),
        (Fault::SlowDown, "SlowDown"),
        (Fault::ResetBefore, "dispatch failure"),
    ] {
        strike(&server, FaultRule::new(fault, ALWAYS));
        assert_eq!(code(put().send().await), expected);
        assert_eq!(server.state().count(BUCKET), 0);
    }
    assert_eq!(server.stats().faults, 3);
    server.set_faults(Faults::default());
    put().send().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_reset_after_the_server_acted_loses_only_the_answer() {
    let (server, client) = start(config()).await;
    strike(&server, FaultRule::new(Fault::ResetAfter, When::Only(1)).on([Operation::PutObject]));
    let put = || client.put_object().bucket(BUCKET).key("k").body(body("body")).if_none_match("*");
    assert_eq!(code(put().send().await), "dispatch failure");
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "body");
    assert_eq!(code(put().send().await), "PreconditionFailed", "to its own success");
    server.stop().await;
}

#[tokio::test]
async fn a_truncated_body_is_seen_as_such() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "k", vec![7; 100_000]);
    strike(&server, FaultRule::new(Fault::TruncateResponse, When::Only(1)));
    let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(get.content_length(), Some(100_000));
    assert!(get.body.collect().await.is_err());
    let again = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(again.body.collect().await.unwrap().into_bytes().len(), 100_000);
    server.stop().await;
}

#[tokio::test]
async fn a_bit_of_an_answer_flips_and_replays() {
    let (server, client) = start(config()).await;
    let sent = vec![0; 10_000];
    server.state().put(BUCKET, "k", sent.clone());
    let mut seen = Vec::new();
    for _ in 0..2 {
        strike(&server, FaultRule::new(Fault::FlipResponseBit, ALWAYS));
        let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
        let got = get.body.collect().await.unwrap().into_bytes();
        assert_eq!(got.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        seen.push(got);
    }
    assert_eq!(seen[0], seen[1], "the same seed flips the same bit");
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), sent, "only the answer was damaged");
    server.stop().await;
}

#[tokio::test]
async fn a_bit_flipped_on_the_way_in_is_refused_by_the_signed_hash() {
    let (server, client) = start(config()).await;
    strike(&server, FaultRule::new(Fault::FlipRequestBit, ALWAYS));
    let put = client.put_object().bucket(BUCKET).key("k").body(body("body"));
    assert_eq!(code(put.send().await), "XAmzContentSHA256Mismatch");
    assert_eq!(server.state().count(BUCKET), 0);
    server.stop().await;
}

#[tokio::test]
async fn an_error_hides_inside_a_200() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "source", "body");
    strike(&server, FaultRule::new(Fault::ErrorInside, ALWAYS));
    let copy = client.copy_object().bucket(BUCKET).key("k").copy_source(format!("{BUCKET}/source"));
    let error = copy.send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 200);
    assert_eq!(code::<(), _>(Err(error)), "InternalError");
    assert_eq!(server.state().get(BUCKET, "k"), None);
    server.stop().await;
}

#[tokio::test]
async fn a_stale_listing_lacks_what_was_written_last() {
    let (server, client) = start(config()).await;
    for key in ["b", "c", "a"] {
        server.state().put(BUCKET, key, "");
    }
    strike(&server, FaultRule::new(Fault::StaleListing, When::Only(1)));
    let list = || client.list_objects_v2().bucket(BUCKET).send();
    let keys = |page: aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output| -> Vec<String> {
        page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(list().await.unwrap()), ["b", "c"]);
    assert_eq!(keys(list().await.unwrap()), ["a", "b", "c"]);
    server.stop().await;
}

#[tokio::test]
async fn slow_answers_are_right_all_the_same() {
    let latency = Some(Duration::from_millis(1));
    let (server, client) = start(S3ServerConfig { latency, ..config() }).await;
    strike(&server, FaultRule::new(Fault::SlowFirstByte(Duration::from_millis(2)), ALWAYS));
    client.put_object().bucket(BUCKET).key("k").body(body("body")).send().await.unwrap();
    assert_eq!(server.stats().faults, 1);
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "body");
    server.stop().await;
}

#[tokio::test]
async fn silent_corruption_shows_in_the_bytes_alone() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "k", "body");
    let look = || client.head_object().bucket(BUCKET).key("k").send();
    let before = look().await.unwrap();
    assert!(server.state().corrupt(BUCKET, "k", 0));
    let after = look().await.unwrap();
    assert_eq!((before.e_tag(), before.last_modified()), (after.e_tag(), after.last_modified()));
    let get = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), "cody");
    server.stop().await;
}

#[tokio::test]
async fn an_overlong_body_says_so_and_expired_credentials_are_refused_as_such() {
    let (server, client) = start(config()).await;
    server.state().put(BUCKET, "k", "body");
    let get = || client.get_object().bucket(BUCKET).key("k");
    strike(&server, FaultRule::new(Fault::OverlongResponse, ALWAYS));
    let long = get().range("bytes=0-1").send().await.unwrap();
    assert_eq!((long.content_range(), long.content_length()), (Some("bytes 0-1/4"), Some(3)));
    strike(&server, FaultRule::new(Fault::ExpiredToken, When::Only(1)));
    assert_eq!(code(get().send().await), "ExpiredToken");
    get().send().await.unwrap();
    let struck = server.stats().faults_by_kind;
    assert_eq!(struck, [("expired credentials", 1), ("overlong body", 1)].into());
    server.stop().await;
}
