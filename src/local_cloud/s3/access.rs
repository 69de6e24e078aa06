//! Who may do what: which actions a request needs, and what the buckets' policies say to them.
//!
//! Asked before anything else is looked at. So an `UploadPart` with a made-up upload id is
//! `AccessDenied` to who is denied, and `NoSuchUpload` to who is not.

use std::sync::Arc;

use hyper::{HeaderMap, Uri};
use s3s::{S3Error, S3Result, dto::CopySource, path::S3Path, s3_error};

use super::{
    config::S3ServerConfig,
    gate::header,
    identity::{Caller, Identities},
    locks::BYPASS_HEADER,
    policy::{Question, Verdict},
    state::{Buckets, State},
};

/// A request, before `s3s` has read its input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// As `s3s` names it.
    pub(super) operation: &'a str,
    pub(super) path: &'a S3Path,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn names_version(&self) -> bool {
        let mut pairs = self.uri.query().unwrap_or_default().split('&');
        pairs.any(|pair| pair.strip_prefix("versionId=").is_some_and(|id| !id.is_empty()))
    }
}

/// The identities, and what decides about them.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) identities: Identities,
    pub(super) buckets: Arc<Buckets>,
    pub(super) config: Arc<S3ServerConfig>,
}

impl Access {
    /// Lets a request pass, or says that it is denied.
    pub(super) fn check(&self, caller: &Caller, asked: Asked<'_>) -> S3Result<()> {
        let is_ours = caller.account == self.config.account_id;
        let state = self.buckets.read();
        let may = |bucket: &str, key: Option<&str>, actions: &[&str]| {
            actions.iter().all(|action| self.permits(&state, caller, action, bucket, key))
        };
        let allowed = match asked.path {
            S3Path::Root => is_ours,
            // A bucket's policy cannot speak before there is a bucket.
            S3Path::Bucket { .. } if asked.operation == "CreateBucket" => is_ours,
            S3Path::Bucket { bucket } => {
                bucket_action(asked.operation).is_none_or(|action| may(bucket, None, &[action]))
            }
            S3Path::Object { bucket, key } => {
                may(bucket, Some(key), &object_actions(asked)) && hides_nothing(&state, asked, bucket, key, &may)
            }
        };
        let copies = match header(asked.headers, "x-amz-copy-source").map(CopySource::parse) {
            Some(Ok(CopySource::Bucket { bucket, key, version_id })) => {
                let action = if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
                may(&bucket, Some(&key), &[action])
            }
            // What is no source is refused by the operation.
            _ => true,
        };
        if allowed && copies { Ok(()) } else { Err(denied()) }
    }

    /// Whether a caller may do one thing. Where its policy is silent, a bucket is open to all
    /// identities of the account that owns it, and closed to others.
    ///
    /// The account's root cannot be kept from its policies, or nobody could ever mend a wrong one:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html>
    pub(super) fn permits(
        &self,
        state: &State,
        caller: &Caller,
        action: &str,
        bucket: &str,
        key: Option<&str>,
    ) -> bool {
        const POLICY: [&str; 3] = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];
        let is_ours = caller.account == self.config.account_id;
        // The operation says that there is no such bucket.
        let Some(held) = state.buckets.get(bucket) else { return true };
        let Some(stored) = &held.settings.policy else { return is_ours };
        if is_ours && caller.is_root() && POLICY.contains(&action) {
            return true;
        }
        let resource = match key {
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        let ignores_conditional_deny = self.config.quirks.ignore_conditional_deny;
        match stored.policy.decide(Question { caller, action, resource: &resource, ignores_conditional_deny }) {
            Verdict::Allowed => true,
            Verdict::Denied => false,
            Verdict::Silent => is_ours,
        }
    }
}

pub(super) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}

/// Who may not list a bucket does not learn that a key is missing:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>, "Permissions".
fn hides_nothing(
    state: &State,
    asked: Asked<'_>,
    bucket: &str,
    key: &str,
    may: &impl Fn(&str, Option<&str>, &[&str]) -> bool,
) -> bool {
    let reads = matches!(asked.operation, "GetObject" | "HeadObject" | "GetObjectAttributes") && !asked.names_version();
    let current = || state.buckets.get(bucket)?.current(key)?.content.as_ref();
    !reads || current().is_some() || may(bucket, None, &["s3:ListBucket"])
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
fn bucket_action(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "DeleteBucket" => "s3:DeleteBucket",
        "DeleteBucketPolicy" => "s3:DeleteBucketPolicy",
        "GetBucketAcl" => "s3:GetBucketAcl",
        "GetBucketCors" => "s3:GetBucketCORS",
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "GetBucketLocation" => "s3:GetBucketLocation",
        "GetBucketPolicy" => "s3:GetBucketPolicy",
        "GetBucketVersioning" => "s3:GetBucketVersioning",
        "GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "s3:ListBucket",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
        "ListObjectVersions" => "s3:ListBucketVersions",
        "PutBucketAcl" => "s3:PutBucketAcl",
        "DeleteBucketCors" | "PutBucketCors" => "s3:PutBucketCORS",
        "DeleteBucketLifecycle" | "PutBucketLifecycleConfiguration" => "s3:PutLifecycleConfiguration",
        "PutBucketPolicy" => "s3:PutBucketPolicy",
        "PutBucketVersioning" => "s3:PutBucketVersioning",
        "PutObjectLockConfiguration" => "s3:PutBucketObjectLockConfiguration",
        // `DeleteObjects` needs nothing of the bucket, and each key is asked for by itself. What else
        // there is, is not implemented, which is what the answer will be.
        _ => return None,
    })
}

fn object_actions(asked: Asked<'_>) -> Vec<&'static str> {
    let of_version = asked.names_version();
    let either = |current: &'static str, version: &'static str| vec![if of_version { version } else { current }];
    match asked.operation {
        "AbortMultipartUpload" => vec!["s3:AbortMultipartUpload"],
        "CompleteMultipartUpload" | "UploadPart" | "UploadPartCopy" => vec!["s3:PutObject"],
        "CopyObject" | "CreateMultipartUpload" | "PutObject" => write_actions(asked.headers),
        "DeleteObject" => {
            let mut actions = either("s3:DeleteObject", "s3:DeleteObjectVersion");
            actions.extend(bypass_action(asked.headers));
            actions
        }
        "DeleteObjectTagging" => either("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
        "GetObject" | "HeadObject" => either("s3:GetObject", "s3:GetObjectVersion"),
        "GetObjectAcl" => either("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
        "GetObjectAttributes" => {
            let mut actions = either("s3:GetObject", "s3:GetObjectVersion");
            actions.extend(either("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"));
            actions
        }
        "GetObjectLegalHold" => vec!["s3:GetObjectLegalHold"],
        "GetObjectRetention" => vec!["s3:GetObjectRetention"],
        "GetObjectTagging" => either("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
        "ListParts" => vec!["s3:ListMultipartUploadParts"],
        "PutObjectAcl" => either("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
        "PutObjectLegalHold" => vec!["s3:PutObjectLegalHold"],
        "PutObjectRetention" => {
            let mut actions = vec!["s3:PutObjectRetention"];
            actions.extend(bypass_action(asked.headers));
            actions
        }
        "PutObjectTagging" => either("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
        "RestoreObject" => vec!["s3:RestoreObject"],
        _ => Vec::new(),
    }
}

/// A write needs more for what its headers ask for.
fn write_actions(headers: &HeaderMap) -> Vec<&'static str> {
    let has = |prefix: &str| headers.keys().any(|name| name.as_str().starts_with(prefix));
    let mut actions = vec!["s3:PutObject"];
    for (prefix, action) in [
        ("x-amz-acl", "s3:PutObjectAcl"),
        ("x-amz-grant-", "s3:PutObjectAcl"),
        ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
        ("x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"),
    ] {
        if has(prefix) {
            actions.push(action);
        }
    }
    if headers.contains_key("x-amz-tagging") {
        actions.push("s3:PutObjectTagging");
    }
    actions
}

/// What a request to bypass a retention needs.
pub(super) fn bypass_action(headers: &HeaderMap) -> Option<&'static str> {
    headers.contains_key(BYPASS_HEADER).then_some("s3:BypassGovernanceRetention")
}
