//! The actions that a bucket policy can name, and the resources that they act on.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_s3.html>

use crate::policy::{Words, matches_action};

/// The kind of resource that an action acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Bucket,
    Object,
}

const BUCKET: [&str; 49] = [
    "s3:CreateBucket",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteBucketWebsite",
    "s3:GetAccelerateConfiguration",
    "s3:GetAnalyticsConfiguration",
    "s3:GetBucketAcl",
    "s3:GetBucketCORS",
    "s3:GetBucketLocation",
    "s3:GetBucketLogging",
    "s3:GetBucketNotification",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPolicyStatus",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketTagging",
    "s3:GetBucketVersioning",
    "s3:GetBucketWebsite",
    "s3:GetEncryptionConfiguration",
    "s3:GetIntelligentTieringConfiguration",
    "s3:GetInventoryConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetMetricsConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:PutAccelerateConfiguration",
    "s3:PutAnalyticsConfiguration",
    "s3:PutBucketAcl",
    "s3:PutBucketCORS",
    "s3:PutBucketLogging",
    "s3:PutBucketNotification",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketRequestPayment",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutBucketWebsite",
    "s3:PutEncryptionConfiguration",
    "s3:PutIntelligentTieringConfiguration",
    "s3:PutInventoryConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutMetricsConfiguration",
    "s3:PutReplicationConfiguration",
];

const OBJECT: [&str; 33] = [
    "s3:AbortMultipartUpload",
    "s3:BypassGovernanceRetention",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersion",
    "s3:DeleteObjectVersionTagging",
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:GetObjectAttributes",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectTagging",
    "s3:GetObjectTorrent",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectVersionTorrent",
    "s3:InitiateReplication",
    "s3:ListMultipartUploadParts",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectVersionTagging",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
    "s3:RestoreObject",
];

/// The words of the policy of one bucket.
pub(super) struct BucketWords<'a>(pub(super) &'a str);

impl Words for BucketWords<'_> {
    /// A resource lies in the bucket that the policy is put on.
    fn resource(&self, resource: &str) -> Result<(), String> {
        let inside = resource.strip_prefix("arn:aws:s3:::").and_then(|rest| rest.strip_prefix(self.0));
        let ends_there = inside.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']));
        if !ends_there || resource.contains("${") {
            return Err(format!("Policy has invalid resource: {resource}"));
        }
        Ok(())
    }

    /// Every action is known, and applies to one of the resources, if any are given: S3 refuses
    /// `s3:GetObject` on a bucket, and `s3:ListBucket` on objects.
    fn actions(&self, actions: &[String], resources: &[String]) -> Result<(), String> {
        for action in actions {
            let levels = levels(action);
            if levels.is_empty() {
                return Err(format!("Policy has invalid action: {action}"));
            }
            let applies = resources.iter().any(|resource| match resource.split_once('/') {
                Some(_) => levels.contains(&Level::Object),
                None if resource.contains('*') => true,
                None => levels.contains(&Level::Bucket),
            });
            if !applies && !resources.is_empty() {
                return Err(format!("Action does not apply to any resource(s) in statement: {action}"));
            }
        }
        Ok(())
    }
}

/// The resources of the actions that fit a pattern; empty if none does.
fn levels(pattern: &str) -> Vec<Level> {
    let fits = |actions: &[&str]| actions.iter().any(|action| matches_action(pattern, action));
    let found = [(Level::Bucket, fits(&BUCKET)), (Level::Object, fits(&OBJECT))];
    found.into_iter().filter_map(|(level, fits)| fits.then_some(level)).collect()
}
