//! The checks of every request between its signature and its operation.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    s3_error,
};
use sha2::Digest as _;

use super::{
    access::Access,
    arrived::Arrived,
    checksums,
    config::S3ServerConfig,
    errors::{custom_error, denied},
    headers::{header, is_chunked},
    needed_actions::Asked,
};

/// Checks a request against its own headers, the policies, and the server's quirks.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) config: Arc<S3ServerConfig>,
    pub(super) access: Arc<Access>,
}

#[async_trait::async_trait]
impl S3Access for Admission {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        // Unsigned requests are denied whatever a policy says, as in a bucket that blocks public access:
        // the default. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>
        let credentials = cx.credentials().ok_or_else(denied)?;
        let caller = self.access.identities.caller(&credentials.access_key).ok_or_else(denied)?;
        let operation = cx.s3_op().name().to_owned();
        self.check_region(cx.headers())?;
        self.check_owner(cx.headers())?;
        let (path, uri, headers) = (cx.s3_path(), cx.uri(), cx.headers());
        self.access.check(&caller, Asked { operation: &operation, path, uri, headers })?;
        cx.extensions_mut().insert(caller);
        self.check_features(&operation, cx.headers())?;
        let body = cx.extensions_mut().get::<Arrived>().map(|arrived| arrived.body.clone()).unwrap_or_default();
        if !self.config.quirks.ignore_payload_hash {
            check_payload_hash(cx.headers(), &body).await?;
        }
        if let Some(md5) = header(cx.headers(), "content-md5").filter(|_| !is_chunked(cx.headers())) {
            checksums::verify_md5(md5, &body)?;
        }
        // `s3s` would take them; no other XML parser does.
        if operation == "DeleteObjects" && body.iter().any(|byte| *byte < b' ' && !b"\t\n\r".contains(byte)) {
            return Err(s3_error!(MalformedXML, "The XML you provided was not well-formed"));
        }
        self.check_checksum(&operation, cx.headers(), &body)
    }
}

impl Admission {
    fn check_features(&self, operation: &str, headers: &HeaderMap) -> S3Result<()> {
        let quirks = self.config.quirks;
        let tags = operation.ends_with("ObjectTagging") || headers.contains_key("x-amz-tagging");
        if quirks.no_tags && tags {
            return Err(s3_error!(NotImplemented, "Tags are not implemented."));
        }
        if quirks.no_get_object_attributes && operation == "GetObjectAttributes" {
            return Err(s3_error!(NotImplemented, "GetObjectAttributes is not implemented."));
        }
        if quirks.no_put_tagging && operation == "PutObjectTagging" {
            return Err(s3_error!(NotImplemented, "PutObjectTagging is not implemented."));
        }
        if quirks.failing_get_object_attributes && operation == "GetObjectAttributes" {
            return Err(s3_error!(InternalError, "GetObjectAttributes failed."));
        }
        Ok(())
    }

    /// A signature holds for one region: `Credential=KEY/DATE/REGION/s3/aws4_request`.
    fn check_region(&self, headers: &HeaderMap) -> S3Result<()> {
        let signed =
            header(headers, "authorization").and_then(|text| text.split("Credential=").nth(1)?.split('/').nth(2));
        match signed {
            Some(region) if region != self.config.region => Err(s3_error!(
                AuthorizationHeaderMalformed,
                "The authorization header is malformed; the region '{region}' is wrong; expecting '{}'",
                self.config.region
            )),
            _ => Ok(()),
        }
    }

    fn check_owner(&self, headers: &HeaderMap) -> S3Result<()> {
        let expected = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
        if expected.iter().filter_map(|name| header(headers, name)).any(|owner| owner != self.config.account_id) {
            return Err(denied());
        }
        Ok(())
    }

    /// Checks `x-amz-checksum-*` if it covers the body as it came. Object and part writes are checked where
    /// they are stored, and a completion's checksum covers the object instead.
    fn check_checksum(&self, operation: &str, headers: &HeaderMap, body: &Bytes) -> S3Result<()> {
        if self.config.quirks.ignore_checksums
            || matches!(operation, "PutObject" | "UploadPart" | "CompleteMultipartUpload")
        {
            return Ok(());
        }
        match checksums::declared(headers)? {
            Some((kind, text)) => checksums::verify(kind, &text, body).map(drop),
            None if operation == "DeleteObjects" && !headers.contains_key("content-md5") && !is_chunked(headers) => {
                Err(s3_error!(
                    InvalidRequest,
                    "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
                ))
            }
            None => Ok(()),
        }
    }
}

/// Compares the body with the signed hash. `s3s` would do so while it reads the body, but answers 500;
/// here it never reads object bodies.
async fn check_payload_hash(headers: &HeaderMap, body: &Bytes) -> S3Result<()> {
    let Some(signed) = header(headers, "x-amz-content-sha256").filter(|value| value.len() == 64) else {
        return Ok(());
    };
    let bytes = body.clone();
    let actual = checksums::aside(body.len(), move || hex::encode(sha2::Sha256::digest(&bytes))).await;
    if actual.eq_ignore_ascii_case(signed) {
        return Ok(());
    }
    let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(custom_error(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch", text))
}
