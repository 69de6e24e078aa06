//! Rights: the actions that a request needs, and what the buckets' policies say about them.
//!
//! They are checked before anything else. So an `UploadPart` with a made-up upload id is `AccessDenied` to a
//! caller without the right, and `NoSuchUpload` to one with it.

use std::sync::Arc;

use s3s::{S3Result, dto::CopySource, path::S3Path};

use super::{
    config::S3ServerConfig,
    errors::denied,
    headers::header,
    needed_actions::{Asked, bucket_action, object_actions},
    state::{Buckets, State},
};
use crate::{
    caller::Caller,
    identities::Identities,
    policy::{Question, Verdict},
};

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
            // The operation refuses a source that cannot be read as one.
            _ => true,
        };
        if allowed && copies { Ok(()) } else { Err(denied()) }
    }

    /// Whether a caller may do one thing. If its policy is silent, a bucket is open to all identities of the
    /// account that owns it, and closed to others.
    ///
    /// The account's root always has access to its policies; else a wrong one could never be corrected:
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

/// A caller that may not list a bucket does not learn that a key is missing:
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
