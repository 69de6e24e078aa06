//! ACLs: stored and given back, never evaluated. Only policies grant and deny.
//!
//! This server takes ACLs, like a bucket whose objects belong to their writers. A new bucket of AWS
//! refuses most with `AccessControlListNotSupported`:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>

use hyper::HeaderMap;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        AccessControlPolicy, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant,
        Grantee, Owner, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput, PutObjectAclOutput,
    },
    s3_error,
};

use super::{headers::header, service::Service, versions::find};

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// Grant headers with what they grant.
const GRANTS: [(&str, &str); 5] = [
    ("x-amz-grant-full-control", "FULL_CONTROL"),
    ("x-amz-grant-read", "READ"),
    ("x-amz-grant-read-acp", "READ_ACP"),
    ("x-amz-grant-write", "WRITE"),
    ("x-amz-grant-write-acp", "WRITE_ACP"),
];

/// The ACL that the headers of a request ask for; `None` if they ask for none.
pub(super) fn of_headers(headers: &HeaderMap, owner: &Owner) -> S3Result<Option<Vec<Grant>>> {
    let mut named = Vec::new();
    for (name, permission) in GRANTS {
        for grantee in header(headers, name).into_iter().flat_map(|value| value.split(',')) {
            named.push(grant(grantee_of(grantee)?, permission));
        }
    }
    match header(headers, "x-amz-acl") {
        None if named.is_empty() => Ok(None),
        None => Ok(Some(named)),
        Some(_) if !named.is_empty() => {
            Err(s3_error!(InvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        Some(canned) => grants_of(canned, owner).map(Some),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl>. The owner of
/// a bucket owns its objects here, so what is granted to the bucket's owner adds nothing.
fn grants_of(canned: &str, owner: &Owner) -> S3Result<Vec<Grant>> {
    let mut grants = only_owner(owner);
    let more: &[(&str, &str)] = match canned {
        "private" | "bucket-owner-read" | "bucket-owner-full-control" => &[],
        "public-read" => &[(ALL_USERS, "READ")],
        "public-read-write" => &[(ALL_USERS, "READ"), (ALL_USERS, "WRITE")],
        "authenticated-read" => &[(AUTHENTICATED_USERS, "READ")],
        "log-delivery-write" => &[(LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")],
        "aws-exec-read" => return Err(s3_error!(NotImplemented, "This server knows no EC2 to grant to")),
        _ => return Err(s3_error!(InvalidArgument, "The canned ACL is not known: {canned}")),
    };
    grants.extend(more.iter().map(|(uri, permission)| grant(group(uri), permission)));
    Ok(grants)
}

fn only_owner(owner: &Owner) -> Vec<Grant> {
    vec![grant(user(owner.id.as_deref().unwrap_or_default()), "FULL_CONTROL")]
}

fn grant(grantee: Grantee, permission: &str) -> Grant {
    Grant { grantee: Some(grantee), permission: Some(permission.to_owned().into()) }
}

fn user(id: &str) -> Grantee {
    Grantee { id: Some(id.to_owned()), ..nobody("CanonicalUser") }
}

fn group(uri: &str) -> Grantee {
    Grantee { uri: Some(uri.to_owned()), ..nobody("Group") }
}

fn nobody(kind: &str) -> Grantee {
    Grantee { display_name: None, email_address: None, id: None, type_: kind.to_owned().into(), uri: None }
}

/// Reads one grantee of a grant header: `id="..."`, `uri="..."` or `emailAddress="..."`.
fn grantee_of(text: &str) -> S3Result<Grantee> {
    let invalid = || s3_error!(InvalidArgument, "A grantee is id=, uri= or emailAddress=, not {text}");
    let (kind, value) = text.trim().split_once('=').ok_or_else(invalid)?;
    let value = value.trim_matches('"');
    match kind {
        _ if value.is_empty() => Err(invalid()),
        "id" => Ok(user(value)),
        "uri" => Ok(group(value)),
        "emailAddress" => Ok(Grantee { email_address: Some(value.to_owned()), ..nobody("AmazonCustomerByEmail") }),
        _ => Err(invalid()),
    }
}

/// The ACL that a request puts, in its headers or in its body, not in both.
fn asked(headers: &HeaderMap, body: Option<AccessControlPolicy>, owner: &Owner) -> S3Result<Vec<Grant>> {
    let grants = body.and_then(|body| body.grants);
    match (of_headers(headers, owner)?, grants) {
        (Some(_), Some(_)) => Err(s3_error!(UnexpectedContent, "This request does not support content")),
        (Some(grants), None) | (None, Some(grants)) => Ok(grants),
        (None, None) => Err(missing()),
    }
}

fn missing() -> S3Error {
    s3_error!(MissingSecurityHeader, "Your request was missing a required header")
}

impl Service {
    pub(super) fn bucket_acl(&self, request: S3Request<GetBucketAclInput>) -> S3Result<S3Response<GetBucketAclOutput>> {
        let bucket = request.input.bucket;
        let state = self.buckets.read();
        let grants = state.bucket(&bucket)?.settings.grants.clone();
        let owner = self.owner();
        let grants = Some(grants.unwrap_or_else(|| only_owner(&owner)));
        Ok(S3Response::new(GetBucketAclOutput { grants, owner: Some(owner) }))
    }

    pub(super) fn set_bucket_acl(
        &self,
        request: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let input = request.input;
        let grants = asked(&request.headers, input.access_control_policy, &self.owner())?;
        self.buckets.write().bucket_mut(&input.bucket)?.settings.grants = Some(grants);
        Ok(S3Response::new(PutBucketAclOutput::default()))
    }

    pub(super) fn object_acl(&self, request: S3Request<GetObjectAclInput>) -> S3Result<S3Response<GetObjectAclOutput>> {
        let input = request.input;
        let state = self.buckets.read();
        let stored = find(&state, &input.bucket, &input.key, input.version_id.as_deref())?;
        let owner = self.owner();
        let grants = stored.content.as_ref().and_then(|content| content.grants.clone());
        let grants = Some(grants.unwrap_or_else(|| only_owner(&owner)));
        Ok(S3Response::new(GetObjectAclOutput { grants, owner: Some(owner), ..GetObjectAclOutput::default() }))
    }

    pub(super) fn set_object_acl(
        &self,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let input = request.input;
        let grants = asked(&request.headers, input.access_control_policy, &self.owner())?;
        self.change(&input.bucket, &input.key, input.version_id.as_deref(), |content| {
            content.grants = Some(grants);
            Ok(())
        })?;
        Ok(S3Response::new(PutObjectAclOutput::default()))
    }
}
