//! Several identities, and bucket policies that tell them apart.

use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, Delete, ObjectIdentifier},
};
use migrate::local_cloud::{Identity, Quirks, S3Server, S3ServerConfig};

use super::{BUCKET, client_as, code, config, start};

const MOVER: &str = "arn:aws:iam::111122223333:user/mover";
const STRANGER: &str = "arn:aws:iam::999988887777:role/stranger";
/// The actions that a fence denies.
const WRITES: &str = r#"["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"]"#;

fn with_identities() -> S3ServerConfig {
    let mut config = config().with_user("mover", "AKIDMOVER", "secret-mover").with_user("app", "AKIDAPP", "secret-app");
    config.identities.push(Identity::new(STRANGER, "AKIDSTRANGER", "secret-stranger"));
    config
}

/// A server with clients for the root, the mover and the app.
async fn start_all(quirks: Quirks) -> (S3Server, Client, Client, Client) {
    let (server, root) = start(S3ServerConfig { quirks, ..with_identities() }).await;
    let mover = client_as(&server, "AKIDMOVER", "secret-mover");
    let app = client_as(&server, "AKIDAPP", "secret-app");
    (server, root, mover, app)
}

async fn fence(client: &Client, rest: &str) -> String {
    let text = format!(
        "{{\"Version\":\"2012-10-17\",\n \"Statement\": [{{\"Effect\": \"Deny\", {rest}, \"Action\": {WRITES}, \
         \"Resource\": \"arn:aws:s3:::{BUCKET}/*\"}}]}}"
    );
    client.put_bucket_policy().bucket(BUCKET).policy(&text).send().await.unwrap();
    text
}

fn all_but_mover() -> String {
    format!(r#""Principal": "*", "Condition": {{"ArnNotEquals": {{"aws:PrincipalArn": "{MOVER}"}}}}"#)
}

async fn put(client: &Client) -> String {
    match client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"body")).send().await {
        Ok(_) => "written".to_owned(),
        refused => code(refused),
    }
}

#[tokio::test]
async fn each_identity_signs_with_its_own_key() {
    let (server, root, mover, app) = start_all(Quirks::default()).await;
    for client in [&root, &mover, &app] {
        assert_eq!(put(client).await, "written");
    }
    assert_eq!(put(&client_as(&server, "AKIDMOVER", "secret-app")).await, "SignatureDoesNotMatch");
    let stranger = client_as(&server, "AKIDSTRANGER", "secret-stranger");
    assert_eq!(put(&stranger).await, "AccessDenied", "of another account, and no policy allows it");
    assert_eq!(code(stranger.list_buckets().send().await), "AccessDenied");
    assert!(!format!("{server:?}").contains("secret-"));
    let twins = config().with_user("a", "AKIDREHEARSAL", "x");
    assert!(S3Server::start(twins).await.is_err(), "two identities cannot share an access key");
    server.stop().await;
}

#[tokio::test]
async fn a_policy_comes_back_as_it_was_put() {
    let (server, root, _, _) = start_all(Quirks::default()).await;
    let get = || root.get_bucket_policy().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchBucketPolicy");
    let text = fence(&root, &all_but_mover()).await;
    assert_eq!(get().await.unwrap().policy(), Some(text.as_str()));
    let wrong = root.put_bucket_policy().bucket(BUCKET).policy(text.replace("ArnNotEquals", "ArnUnlike"));
    assert_eq!(code(wrong.send().await), "MalformedPolicy");
    let nobody = root.put_bucket_policy().bucket(BUCKET).policy(text.replace("\"*\"", "{\"AWS\": \"nobody\"}"));
    assert_eq!(code(nobody.send().await), "MalformedPolicy");
    assert_eq!(get().await.unwrap().policy(), Some(text.as_str()), "what was refused changed nothing");
    root.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    root.delete_bucket_policy().bucket(BUCKET).send().await.expect("twice is no error");
    assert_eq!(code(get().await), "NoSuchBucketPolicy");
    assert_eq!(code(root.get_bucket_policy().bucket("missing").send().await), "NoSuchBucket");
    server.stop().await;
}

#[tokio::test]
async fn a_fence_stops_every_write_of_all_but_one() {
    let (server, root, mover, app) = start_all(Quirks::default()).await;
    server.state().put(BUCKET, "k", "before");
    let begun = app.create_multipart_upload().bucket(BUCKET).key("k").send().await.unwrap();
    let id = begun.upload_id().unwrap();
    fence(&root, &all_but_mover()).await;

    assert_eq!((put(&root).await, put(&app).await), ("AccessDenied".to_owned(), "AccessDenied".to_owned()));
    let part = |client: &Client, id: &str| {
        client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(1).body(ByteStream::from_static(b"p"))
    };
    assert_eq!(code(part(&app, id).send().await), "AccessDenied", "an upload that began before");
    let complete = app.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id);
    let complete = complete.multipart_upload(CompletedMultipartUpload::builder().build());
    assert_eq!(code(complete.send().await), "AccessDenied");
    assert_eq!(code(app.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(id).send().await), "AccessDenied");
    assert_eq!(code(app.create_multipart_upload().bucket(BUCKET).key("k").send().await), "AccessDenied");
    let copy = app.copy_object().bucket(BUCKET).key("l").copy_source(format!("{BUCKET}/k"));
    assert_eq!(code(copy.send().await), "AccessDenied");
    assert_eq!(code(app.delete_object().bucket(BUCKET).key("k").send().await), "AccessDenied");
    assert_eq!(server.state().get(BUCKET, "k").unwrap(), "before");
    app.get_object().bucket(BUCKET).key("k").send().await.expect("reads go on");
    app.list_objects_v2().bucket(BUCKET).send().await.expect("listings go on");

    assert_eq!(code(part(&app, "made-up").send().await), "AccessDenied", "access comes before anything else");
    assert_eq!(code(part(&mover, "made-up").send().await), "NoSuchUpload");
    assert_eq!(put(&mover).await, "written");
    root.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    assert_eq!(put(&app).await, "written");
    server.stop().await;
}

#[tokio::test]
async fn a_batch_of_deletes_is_judged_key_by_key() {
    let (server, root, _, app) = start_all(Quirks::default()).await;
    let text = format!(
        r#"{{"Statement": {{"Effect": "Deny", "Principal": {{"AWS": "arn:aws:iam::111122223333:user/app"}},
            "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::{BUCKET}/kept/*"}}}}"#
    );
    root.put_bucket_policy().bucket(BUCKET).policy(text).send().await.unwrap();
    for key in ["kept/a", "b"] {
        server.state().put(BUCKET, key, "");
    }
    let object = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().objects(object("kept/a")).objects(object("b")).build().unwrap();
    let app = super::checksumming_of(&app);
    let done = app.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!(done.deleted().iter().map(|one| one.key().unwrap()).collect::<Vec<_>>(), ["b"]);
    let refused = done.errors().iter().map(|one| (one.key().unwrap(), one.code().unwrap())).collect::<Vec<_>>();
    assert_eq!(refused, [("kept/a", "AccessDenied")]);
    assert_eq!(server.state().keys(BUCKET), ["kept/a"]);
    server.stop().await;
}

#[tokio::test]
async fn the_root_cannot_lock_itself_out() {
    let (server, root, mover, _) = start_all(Quirks::default()).await;
    let text = format!(
        r#"{{"Statement": [{{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": ["arn:aws:s3:::{BUCKET}", "arn:aws:s3:::{BUCKET}/*"]}}]}}"#
    );
    mover.put_bucket_policy().bucket(BUCKET).policy(&text).send().await.unwrap();
    assert_eq!(put(&root).await, "AccessDenied");
    assert_eq!(code(mover.get_bucket_policy().bucket(BUCKET).send().await), "AccessDenied");
    assert_eq!(code(mover.delete_bucket_policy().bucket(BUCKET).send().await), "AccessDenied");
    let head = mover.head_bucket().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(head.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(root.get_bucket_policy().bucket(BUCKET).send().await.unwrap().policy(), Some(text.as_str()));
    root.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    assert_eq!(put(&mover).await, "written");
    server.stop().await;
}

#[tokio::test]
async fn another_account_may_do_what_a_policy_allows() {
    let (server, root, _, _) = start_all(Quirks::default()).await;
    let text = format!(
        r#"{{"Statement": [{{"Effect": "Allow", "Principal": {{"AWS": "999988887777"}}, "Action": "s3:GetObject*",
            "Resource": "arn:aws:s3:::{BUCKET}/shared/*"}}]}}"#
    );
    root.put_bucket_policy().bucket(BUCKET).policy(text).send().await.unwrap();
    for key in ["shared/k", "own/k"] {
        server.state().put(BUCKET, key, "body");
    }
    let stranger = client_as(&server, "AKIDSTRANGER", "secret-stranger");
    let get = |key: &'static str| stranger.get_object().bucket(BUCKET).key(key).send();
    get("shared/k").await.unwrap();
    assert_eq!(code(get("own/k").await), "AccessDenied");
    assert_eq!(code(get("shared/missing").await), "AccessDenied", "who may not list learns of no key that is missing");
    assert_eq!(code(stranger.list_objects_v2().bucket(BUCKET).send().await), "AccessDenied");
    assert_eq!(put(&stranger).await, "AccessDenied");
    let copy = stranger.copy_object().bucket(BUCKET).key("shared/l").copy_source(format!("{BUCKET}/own/k"));
    assert_eq!(code(copy.send().await), "AccessDenied");
    server.stop().await;
}

#[tokio::test]
async fn a_version_needs_its_own_permission() {
    let (server, root, _, app) = start_all(Quirks::default()).await;
    server.state().set_versioning(BUCKET, migrate::local_cloud::Versioning::Enabled);
    let text = format!(
        r#"{{"Statement": [{{"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObjectVersion",
            "s3:GetObjectVersion"], "Resource": "arn:aws:s3:::{BUCKET}/*"}}]}}"#
    );
    root.put_bucket_policy().bucket(BUCKET).policy(text).send().await.unwrap();
    let written = app.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"1")).send().await.unwrap();
    let version = written.version_id().unwrap();
    app.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(code(app.get_object().bucket(BUCKET).key("k").version_id(version).send().await), "AccessDenied");
    let delete = || app.delete_object().bucket(BUCKET).key("k");
    assert_eq!(code(delete().version_id(version).send().await), "AccessDenied");
    assert_eq!(delete().send().await.unwrap().delete_marker(), Some(true));
    server.stop().await;
}

#[tokio::test]
async fn a_server_may_take_a_fence_and_not_hold_it() {
    let quirks = Quirks { ignore_conditional_deny: true, ..Quirks::default() };
    let (server, root, mover, app) = start_all(quirks).await;
    let text = fence(&root, &all_but_mover()).await;
    assert_eq!(root.get_bucket_policy().bucket(BUCKET).send().await.unwrap().policy(), Some(text.as_str()));
    assert_eq!(put(&app).await, "written", "accepted, given back, and without effect");
    fence(&root, r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/app"}"#).await;
    assert_eq!((put(&app).await, put(&mover).await), ("AccessDenied".to_owned(), "written".to_owned()));
    server.stop().await;
}
