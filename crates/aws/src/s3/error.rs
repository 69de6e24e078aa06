//! What an S3 answer, or the lack of one, means.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; compatible servers mostly keep to
//! them. A HEAD has no body and so no code: there the status must suffice.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use super::document::Unsound;
use migrate_store::{ErrorKind, Retry, StoreError};

/// A HEAD with an expired token is 400 like a GET, but without the body that would say `ExpiredToken`:
/// <https://issues.apache.org/jira/browse/HADOOP-18353>. Other servers answer the same for a key that they do not
/// accept, so it is no proof: the record fails, and the next GET or PUT shows the cause.
const BARE_400: &str = "; S3 answers a HEAD like this when the credentials have expired";

/// What a body that is no S3 answer may mean.
const FOREIGN: &str = "; what answers may be a proxy, or no S3 server: check the endpoint";

/// What an object in cold storage needs. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
const ARCHIVED: &str = "; it is in cold storage: restore it, then run again";

/// Texts from the two ends of a connection if only one of them speaks TLS, or does not trust the other, with the
/// meaning for the plan. The words are those of rustls, of hyper, and of servers.
const MISMATCHES: [(&str, &str); 5] = [
    ("InvalidContentType", "; it does not speak TLS: write http:// in the endpoint"),
    ("UnknownIssuer", "; this machine does not know the authority of its certificate: name it with `ca_file`"),
    ("not valid for name", "; its certificate is for another host name: write that one in the endpoint"),
    ("HTTP version", "; it may speak TLS: write https:// in the endpoint"),
    ("HTTPS", "; it speaks TLS: write https:// in the endpoint"),
];

/// The current operation, for the error's text and for the meaning of a lost answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'a> {
    pub(super) name: &'static str,
    pub(super) location: &'a str,
    /// The operation changes the store: without an answer its outcome is unknown.
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

    /// The meaning of an error of the SDK.
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
                let message = service.err().message();
                let kind = if elsewhere(status, code, message, region) {
                    ErrorKind::WrongRegion
                } else {
                    kind_of(status, code)
                };
                let mut detail = describe(status, code, message, region);
                if status == 400 && is_bare && region.is_none() {
                    detail.push_str(BARE_400);
                }
                if code == "InvalidObjectState" {
                    detail.push_str(ARCHIVED);
                }
                let answer = self.error(kind, detail);
                // A 200 without success is an error inside, or an answer that the SDK cannot read.
                if status >= 500 || status == 200 { self.maybe_done(answer) } else { answer }
            }
            SdkError::ResponseError(answer) => {
                let (status, body) = (answer.raw().status(), answer.raw().body().bytes().unwrap_or_default());
                let Some(unsound) = cause::<Unsound>(&error) else {
                    let detail = "the answer could not be read to its end, or is too long";
                    return self.maybe_done(self.error(ErrorKind::Unavailable, detail).because(error));
                };
                let kind = match status.as_u16() {
                    _ if status.is_success() => unsound.kind,
                    // A request that does not even reach S3 under this key is refused: no object is gone.
                    404 if self.writes && unsound.foreign => ErrorKind::Other,
                    code => kind_of_unsound(code, unsound),
                };
                let mut detail = unsound.to_string();
                if !status.is_success() {
                    detail = format!("HTTP status {}, and {detail}", status.as_u16());
                }
                if unsound.foreign {
                    detail.push_str(mismatch(&String::from_utf8_lossy(body)).unwrap_or(FOREIGN));
                }
                let answer = self.error(kind, detail);
                if kind.retry() == Retry::Permanent { answer } else { self.maybe_done(answer) }
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

    /// No answer: no credentials, no connection, or a broken connection.
    fn not_answered(&self, error: impl Error + Send + Sync + 'static) -> StoreError {
        let identity = cause::<aws_credential_types::provider::error::CredentialsError>(&error).is_some();
        let connecting = cause::<hyper_util::client::legacy::Error>(&error)
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        let root = causes(&error).last().map(ToString::to_string).unwrap_or_default();
        if identity {
            return self.error(ErrorKind::Credentials, format!("no credentials: {root}"));
        }
        let hint = mismatch(&root).unwrap_or_default();
        if connecting {
            return self.error(ErrorKind::Unreachable, format!("no connection: {root}{hint}")).because(error);
        }
        let detail = format!("the connection broke: {root}{hint}");
        self.maybe_done(self.error(ErrorKind::Unavailable, detail).because(error))
    }

    fn maybe_done(&self, error: StoreError) -> StoreError {
        if self.writes { error.with_unknown_outcome() } else { error }
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The first cause of type `T`.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The hint for a text that says that the two ends do not fit together.
fn mismatch(text: &str) -> Option<&'static str> {
    MISMATCHES.into_iter().find(|(said, _)| text.contains(said)).map(|(_, hint)| hint)
}

/// The meaning of an answer that is no success and has no S3 document as its body: only the status is left.
///
/// The status is not believed if a wrong belief would lose something: that an object is gone, or that another
/// writer has written it. It is not believed either if S3 seems to have answered and the code was cut off.
fn kind_of_unsound(status: u16, unsound: &Unsound) -> ErrorKind {
    match kind_of(status, "") {
        kind if kind.retry() != Retry::Permanent => kind,
        ErrorKind::NotFound | ErrorKind::Precondition => ErrorKind::Unavailable,
        kind if unsound.foreign => kind,
        _ => ErrorKind::Unavailable,
    }
}

/// Whether a refusal means that the bucket lies in another region than the signed one. A HEAD has no body that
/// would say so, only the header. Some servers call the region the scope.
fn elsewhere(status: u16, code: &str, message: Option<&str>, region: Option<&str>) -> bool {
    let says = |word| message.is_some_and(|message| message.contains(word));
    match code {
        "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" => true,
        "AuthorizationHeaderMalformed" => region.is_some() || says("region") || says("scope"),
        "" => region.is_some() && matches!(status, 301 | 307 | 400),
        _ => false,
    }
}

fn describe(status: u16, code: &str, message: Option<&str>, region: Option<&str>) -> String {
    let message = message.filter(|message| !message.trim().is_empty());
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
        "NoSuchBucket" | "InvalidBucketName" => ErrorKind::NoContainer,
        "NoSuchUpload" => ErrorKind::NoUpload,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthorizationHeaderMalformed"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthFailure"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId" => ErrorKind::Credentials,
        "RequestTimeTooSkewed" | "RequestExpired" => ErrorKind::ClockSkew,
        // 403, but the missing thing is not a right.
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
        for (body, region, kind, hints) in [
            // The outcome is uncertain.
            ("", None, ErrorKind::Other, true),
            ("<html>bad request</html>", None, ErrorKind::Other, false),
            ("", Some("eu-central-1"), ErrorKind::WrongRegion, false),
        ] {
            let error = failed(400, None, body, region);
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.to_string().contains("expired"), hints, "{error}");
        }
    }

    #[test]
    fn a_code_without_a_message_ends_in_no_colon() {
        for message in [None, Some(""), Some(" \n")] {
            assert_eq!(describe(403, "AccessDenied", message, None), "AccessDenied (HTTP status 403)");
            assert_eq!(describe(403, "", message, None), "HTTP status 403");
        }
        assert_eq!(describe(403, "AccessDenied", Some("No."), None), "AccessDenied: No.");
    }

    #[test]
    fn a_wrong_region_is_told_from_other_refusals() {
        for (status, code, region) in [(301, "PermanentRedirect", None), (400, "", Some("eu-central-1"))] {
            let error = failed(status, Some(code).filter(|code| !code.is_empty()), "", region);
            assert_eq!(error.kind(), ErrorKind::WrongRegion, "{error}");
            assert!(error.kind().mend().unwrap().contains("region"));
            assert!(region.is_none_or(|region| error.to_string().contains(region)), "{error}");
        }
        let malformed = |message| elsewhere(400, "AuthorizationHeaderMalformed", Some(message), None);
        assert!(malformed("the region 'us-east-1' is wrong; expecting 'eu-central-1'"));
        assert!(malformed("unexpected scope: 20260101/us-east-1/s3/aws4_request"));
        assert!(!malformed("a non-empty Access Key (AKID) must be provided in the credential"));
        assert_eq!(kind_of(400, "AuthorizationHeaderMalformed"), ErrorKind::Credentials);
    }

    fn unsound(foreign: bool) -> Unsound {
        Unsound { kind: ErrorKind::Unavailable, foreign, detail: "the answer is not one whole XML document".to_owned() }
    }

    /// An error with an unreadable body leaves only its status, and not every status is believed.
    #[test]
    fn a_status_alone_makes_nothing_gone() {
        for (status, foreign, kind) in [
            (404, true, ErrorKind::Unavailable),
            (404, false, ErrorKind::Unavailable),
            (412, true, ErrorKind::Unavailable),
            (403, true, ErrorKind::Denied),
            (403, false, ErrorKind::Unavailable),
            (400, false, ErrorKind::Unavailable),
            (503, true, ErrorKind::Throttled),
            (503, false, ErrorKind::Throttled),
            (500, false, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of_unsound(status, &unsound(foreign)), kind, "{status} {foreign}");
        }
    }

    #[test]
    fn an_unsound_answer_says_what_is_wrong_with_it() {
        let operation = Operation { name: "list", location: "s3://b", writes: true };
        let answer = |status: u16, foreign, body: &'static str| {
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
            operation.failed(SdkError::<HeadObjectError, _>::response_error(unsound(foreign), response))
        };
        let cut = answer(200, false, "<ListBucketResult>");
        assert_eq!((cut.kind(), cut.outcome_unknown()), (ErrorKind::Unavailable, true));
        assert_eq!(cut.detail(), "the answer is not one whole XML document");
        let plain = answer(400, true, "Client sent an HTTP request to an HTTPS server.\n");
        assert_eq!(plain.kind(), ErrorKind::Other);
        assert!(plain.detail().starts_with("HTTP status 400, and") && plain.detail().ends_with("in the endpoint"));
        assert!(answer(200, true, "<html/>").detail().contains("no S3 server"));
    }

    #[test]
    fn two_ends_that_do_not_fit_are_told_with_their_mend() {
        for (said, mend) in [
            ("received corrupt message of type InvalidContentType", "write http://"),
            ("invalid HTTP version parsed", "write https://"),
            ("invalid peer certificate: UnknownIssuer", "ca_file"),
            ("certificate not valid for name \"a\"; certificate is only valid for DnsName(\"b\")", "host name"),
        ] {
            assert!(mismatch(said).unwrap().contains(mend), "{said}");
        }
        assert_eq!(mismatch("connection refused"), None);
    }
}
