//! ACLs, lifecycle and CORS: kept and given back.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{
        AbortIncompleteMultipartUpload, AccessControlPolicy, BucketCannedAcl, BucketLifecycleConfiguration,
        CorsConfiguration, CorsRule, ExpirationStatus, Grant, Grantee, LifecycleExpiration, LifecycleRule,
        LifecycleRuleFilter, ObjectCannedAcl, Owner, Permission, Transition, TransitionStorageClass, Type,
    },
};

use super::{BUCKET, checksumming, code, config, start};

const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

/// Grants as `who may what`.
fn shown(grants: &[Grant]) -> Vec<String> {
    grants
        .iter()
        .map(|grant| {
            let grantee = grant.grantee().unwrap();
            let who = grantee.id().or(grantee.uri()).or(grantee.email_address()).unwrap();
            format!("{} {who} {}", grantee.r#type().as_str(), grant.permission().unwrap().as_str())
        })
        .collect()
}

const OWNER: &str = "CanonicalUser 111122223333 FULL_CONTROL";

#[tokio::test]
async fn canned_acls_become_grants() {
    let (server, client) = start(config()).await;
    let put = || client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"body"));
    let acl = || client.get_object_acl().bucket(BUCKET).key("k").send();
    put().send().await.unwrap();
    let seen = acl().await.unwrap();
    assert_eq!(seen.owner().and_then(Owner::id), Some("111122223333"));
    assert_eq!(shown(seen.grants()), [OWNER]);
    put().acl(ObjectCannedAcl::PublicRead).send().await.unwrap();
    assert_eq!(shown(acl().await.unwrap().grants()), [OWNER.to_owned(), format!("Group {EVERYBODY} READ")]);
    let set = client.put_object_acl().bucket(BUCKET).key("k").acl(ObjectCannedAcl::Private);
    set.send().await.unwrap();
    assert_eq!(shown(acl().await.unwrap().grants()), [OWNER]);
    put().grant_read("id=\"some-user\", emailAddress=\"who@example.com\"").send().await.unwrap();
    let named = ["CanonicalUser some-user READ", "AmazonCustomerByEmail who@example.com READ"];
    assert_eq!(shown(acl().await.unwrap().grants()), named);
    let both = put().acl(ObjectCannedAcl::Private).grant_read("id=\"some-user\"");
    assert_eq!(code(both.send().await), "InvalidRequest");
    assert_eq!(code(put().acl("public-everything".into()).send().await), "InvalidArgument");
    assert_eq!(code(put().grant_read("somebody").send().await), "InvalidArgument");
    server.stop().await;
}

#[tokio::test]
async fn a_bucket_has_an_acl_too_and_takes_it_as_a_body() {
    let (server, client) = start(config()).await;
    let acl = |bucket: &'static str| client.get_bucket_acl().bucket(bucket).send();
    assert_eq!(shown(acl(BUCKET).await.unwrap().grants()), [OWNER]);
    client.create_bucket().bucket("open").acl(BucketCannedAcl::PublicReadWrite).send().await.unwrap();
    let open = [OWNER.to_owned(), format!("Group {EVERYBODY} READ"), format!("Group {EVERYBODY} WRITE")];
    assert_eq!(shown(acl("open").await.unwrap().grants()), open);
    let grantee = Grantee::builder().r#type(Type::CanonicalUser).id("some-user").build().unwrap();
    let grant = Grant::builder().grantee(grantee).permission(Permission::ReadAcp).build();
    let owner = Owner::builder().id("111122223333").build();
    let policy = AccessControlPolicy::builder().owner(owner).grants(grant).build();
    // The body must be covered by a checksum.
    let set = checksumming(&server).put_bucket_acl().bucket(BUCKET).access_control_policy(policy);
    set.send().await.unwrap();
    assert_eq!(shown(acl(BUCKET).await.unwrap().grants()), ["CanonicalUser some-user READ_ACP"]);
    let nothing = client.put_bucket_acl().bucket(BUCKET).send().await;
    assert_eq!(code(nothing), "MissingSecurityHeader");
    server.stop().await;
}

#[tokio::test]
async fn a_lifecycle_comes_back_as_it_was_put() {
    let (server, client) = start(config()).await;
    let get = || client.get_bucket_lifecycle_configuration().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchLifecycleConfiguration");
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build();
    let freeze = Transition::builder().days(30).storage_class(TransitionStorageClass::Glacier).build();
    let rule = LifecycleRule::builder()
        .id("tidy")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
        .expiration(LifecycleExpiration::builder().days(365).build())
        .transitions(freeze)
        .abort_incomplete_multipart_upload(abort)
        .build()
        .unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule.clone()).build().unwrap();
    let put = checksumming(&server).put_bucket_lifecycle_configuration().bucket(BUCKET);
    put.lifecycle_configuration(rules).send().await.unwrap();
    assert_eq!(get().await.unwrap().rules(), [rule]);
    client.delete_bucket_lifecycle().bucket(BUCKET).send().await.unwrap();
    assert_eq!(code(get().await), "NoSuchLifecycleConfiguration");
    server.stop().await;
}

#[tokio::test]
async fn cors_comes_back_as_it_was_put() {
    let (server, client) = start(config()).await;
    let get = || client.get_bucket_cors().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchCORSConfiguration");
    let rule = CorsRule::builder()
        .allowed_origins("https://app.example.com")
        .allowed_methods("GET")
        .allowed_methods("PUT")
        .allowed_headers("*")
        .expose_headers("ETag")
        .max_age_seconds(600)
        .build()
        .unwrap();
    let rules = CorsConfiguration::builder().cors_rules(rule.clone()).build().unwrap();
    checksumming(&server).put_bucket_cors().bucket(BUCKET).cors_configuration(rules).send().await.unwrap();
    assert_eq!(get().await.unwrap().cors_rules(), [rule]);
    client.delete_bucket_cors().bucket(BUCKET).send().await.unwrap();
    assert_eq!(code(get().await), "NoSuchCORSConfiguration");
    server.stop().await;
}
