//! What an S3 answer, or the lack of one, means.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; compatible servers
//! mostly keep to them. A HEAD has no body and so no code: there the status has to do.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use crate::store::{ErrorKind, StoreError};

/// A HEAD with an expired token is 400 like a GET, but without the body that would say `ExpiredToken`:
/// <https://issues.apache.org/jira/browse/HADOOP-18353>. Other servers say the same of a key that they
/// do not like, so it is no proof: the record fails, and the next GET or PUT tells.
const BARE_400: &str = "; S3 answers a HEAD so when the credentials have expired";

/// What an object in cold storage needs. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
const ARCHIVED: &str = "; it is in cold storage: restore it, then run again";

/// What was tried, for the error's text and for what a lost answer means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'a> {
    pub(super) name: &'static str,
    pub(super) location: &'a str,
    /// The operation changes the store: without an answer, nobody knows whether it did.
    pub(super) writes: bool,
}

impl Operation<'_> {
    pub(super) fn error(&self, kind: ErrorKind, detail: impl Into<Box<str>>) -> StoreError {
        StoreError::new(kind, self.name, self.location, detail)
    }

    /// No answer in time.
    pub(super) fn timed_out(&self, seconds: u64) -> StoreError {
        self.maybe_done(self.error(ErrorKind::TimedOut, format!("no answer within {seconds} s")))
    }

    /// What the SDK's error means.
    pub(super) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let region = service.raw().headers().get("x-amz-bucket-region");
                let is_bare = code.is_empty() && service.raw().body().bytes().is_some_and(<[u8]>::is_empty);
                let kind = kind_of(status, code);
                let mut detail = describe(status, code, service.err().message(), region);
                if status == 400 && is_bare && region.is_none() {
                    detail.push_str(BARE_400);
                }
                if code == "InvalidObjectState" {
                    detail.push_str(ARCHIVED);
                }
                let answer = self.error(kind, detail);
                // A 200 that is no success is an error inside, or an answer that the SDK cannot read.
                if status >= 500 || status == 200 { self.maybe_done(answer) } else { answer }
            }
            SdkError::ResponseError(_) => {
                self.maybe_done(self.error(ErrorKind::Unavailable, "the answer makes no sense").because(error))
            }
            SdkError::TimeoutError(_) => {
                self.maybe_done(self.error(ErrorKind::TimedOut, "no answer in time").because(error))
            }
            SdkError::ConstructionFailure(_) => {
                self.error(ErrorKind::Other, "the request cannot be made").because(error)
            }
            SdkError::DispatchFailure(_) => self.not_answered(error),
            _ => self.maybe_done(self.error(ErrorKind::Other, DisplayErrorContext(&error).to_string())),
        }
    }

    /// Nothing came back: no credentials, no connection, or a connection that broke.
    fn not_answered(&self, error: impl Error + Send + Sync + 'static) -> StoreError {
        let mut cause: &(dyn Error + 'static) = &error;
        let (mut identity, mut connecting) = (false, false);
        loop {
            identity |= cause.is::<aws_credential_types::provider::error::CredentialsError>();
            connecting |= cause
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(hyper_util::client::legacy::Error::is_connect);
            match cause.source() {
                Some(next) => cause = next,
                None => break,
            }
        }
        let cause = cause.to_string();
        if identity {
            return self.error(ErrorKind::Credentials, format!("no credentials: {cause}"));
        }
        if connecting {
            return self.error(ErrorKind::Unreachable, format!("no connection: {cause}")).because(error);
        }
        self.maybe_done(self.error(ErrorKind::Unavailable, format!("the connection broke: {cause}")).because(error))
    }

    fn maybe_done(&self, error: StoreError) -> StoreError {
        if self.writes { error.with_unknown_outcome() } else { error }
    }
}

fn describe(status: u16, code: &str, message: Option<&str>, region: Option<&str>) -> String {
    let mut text = match (code, message) {
        ("", None) => format!("HTTP status {status}"),
        ("", Some(message)) => format!("{message} (HTTP status {status})"),
        (code, None) => format!("{code} (HTTP status {status})"),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    if matches!(status, 301 | 307 | 400)
        && let Some(region) = region
    {
        text.push_str("; the bucket is in region ");
        text.push_str(region);
    }
    text
}

fn kind_of(status: u16, code: &str) -> ErrorKind {
    match code {
        "NoSuchKey" | "NotFound" | "NoSuchVersion" => ErrorKind::NotFound,
        "NoSuchBucket" => ErrorKind::NoContainer,
        "NoSuchUpload" => ErrorKind::NoUpload,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthFailure"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId" => ErrorKind::Credentials,
        "RequestTimeTooSkewed" | "RequestExpired" => ErrorKind::ClockSkew,
        // 403, but rights are not what it lacks.
        "InvalidObjectState" => ErrorKind::Other,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => ErrorKind::Denied,
        "PreconditionFailed" => ErrorKind::Precondition,
        "ConditionalRequestConflict" | "OperationAborted" => ErrorKind::Conflict,
        "SlowDown"
        | "TooManyRequests"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "ServiceUnavailable"
        | "SlowDownRead"
        | "SlowDownWrite" => ErrorKind::Throttled,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
            ErrorKind::Corrupt
        }
        "RequestTimeout" | "IncompleteBody" => ErrorKind::TimedOut,
        "KeyTooLongError" | "InvalidObjectName" | "InvalidURI" => ErrorKind::KeyUnholdable,
        "NotImplemented" | "MethodNotAllowed" => ErrorKind::Unsupported,
        "InternalError" => ErrorKind::Unavailable,
        "QuotaExceeded" | "StorageFull" | "XMinioStorageFull" | "InsufficientStorage" => ErrorKind::Full,
        _ => match status {
            401 => ErrorKind::Credentials,
            403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            405 | 501 => ErrorKind::Unsupported,
            408 => ErrorKind::TimedOut,
            409 => ErrorKind::Conflict,
            412 => ErrorKind::Precondition,
            429 | 503 => ErrorKind::Throttled,
            507 => ErrorKind::Full,
            200 if code.is_empty() => ErrorKind::Garbled,
            // S3 reports some failures after it has already answered 200.
            200 | 500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{error::ErrorMetadata, operation::head_object::HeadObjectError, primitives::SdkBody};

    use super::*;

    fn failed(status: u16, code: Option<&str>, body: &'static str, region: Option<&'static str>) -> StoreError {
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        if let Some(region) = region {
            response.headers_mut().insert("x-amz-bucket-region", region);
        }
        let meta = match code {
            Some(code) => ErrorMetadata::builder().code(code).build(),
            None => ErrorMetadata::builder().build(),
        };
        let operation = Operation { name: "look at", location: "s3://b", writes: false };
        operation.failed(SdkError::service_error(HeadObjectError::generic(meta), response))
    }

    #[test]
    fn expired_credentials_are_told_where_the_answer_tells() {
        assert_eq!(failed(400, Some("ExpiredToken"), "<Error/>", None).kind(), ErrorKind::Credentials);
        for (body, region, hints) in
            [("", None, true), ("", Some("eu-central-1"), false), ("<html>bad request</html>", None, false)]
        {
            let error = failed(400, None, body, region);
            assert_eq!(error.kind(), ErrorKind::Other, "nothing is certain");
            assert_eq!(error.to_string().contains("expired"), hints, "{error}");
        }
    }
}
