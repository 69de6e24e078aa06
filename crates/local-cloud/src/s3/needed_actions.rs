//! The actions that a request needs, as policies name them.

use hyper::{HeaderMap, Uri};
use s3s::path::S3Path;

use super::locks::BYPASS_HEADER;

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
    pub(super) fn names_version(&self) -> bool {
        let mut pairs = self.uri.query().unwrap_or_default().split('&');
        pairs.any(|pair| pair.strip_prefix("versionId=").is_some_and(|id| !id.is_empty()))
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
pub(super) fn bucket_action(operation: &str) -> Option<&'static str> {
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
        // `DeleteObjects` needs no right on the bucket: each key is checked by itself. All other operations
        // are not implemented, and the answer will say so.
        _ => return None,
    })
}

pub(super) fn object_actions(asked: Asked<'_>) -> Vec<&'static str> {
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

/// The further actions that the headers of a write need.
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

/// The action that a request to bypass a retention needs.
pub(super) fn bypass_action(headers: &HeaderMap) -> Option<&'static str> {
    headers.contains_key(BYPASS_HEADER).then_some("s3:BypassGovernanceRetention")
}
