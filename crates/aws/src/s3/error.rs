//! What an S3 answer, or the lack of one, means.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; compatible servers mostly keep to
//! them. A HEAD has no body and so no code: there the status must suffice.

use crate::{failed::Refused, operation::Dialect};
use migrate_store::ErrorKind;

/// A HEAD with an expired token is 400 like a GET, but without the body that would say `ExpiredToken`:
/// <https://issues.apache.org/jira/browse/HADOOP-18353>. Other servers answer the same for a key that they do not
/// accept, so it is no proof: the record fails, and the next GET or PUT shows the cause.
const BARE_400: &str = "; S3 answers a HEAD like this when the credentials have expired";

/// What a body that is no S3 answer may mean.
const FOREIGN: &str = "; what answers may be a proxy, or no S3 server: check the endpoint";

/// What an object in cold storage needs. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
const ARCHIVED: &str = "; it is in cold storage: restore it, then run again";

/// What S3's answers mean.
pub(super) static S3: Dialect = Dialect { foreign: FOREIGN, refused, status: |status| kind_of(status, "") };

fn refused(refused: &Refused) -> (ErrorKind, String) {
    let Refused { status, code, message, region, is_bare, .. } = refused;
    let (status, message, region) = (*status, message.as_deref(), region.as_deref());
    let kind = if elsewhere(status, code, message, region) { ErrorKind::WrongRegion } else { kind_of(status, code) };
    let mut detail = describe(status, code, message, region);
    if status == 400 && *is_bare && region.is_none() {
        detail.push_str(BARE_400);
    }
    if code == "InvalidObjectState" {
        detail.push_str(ARCHIVED);
    }
    (kind, detail)
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
    use migrate_store::StoreError;

    use super::*;
    use crate::{
        failed::{Failed, Unsound},
        operation::{Operation, mismatch},
    };

    const LOOK: Operation<'_> = Operation { name: "look at", location: "s3://b", writes: false, dialect: &S3 };
    const WRITE: Operation<'_> = Operation { name: "write", location: "s3://b", writes: true, dialect: &S3 };

    fn failed(status: u16, code: &str, is_bare: bool, region: Option<&str>) -> StoreError {
        let (code, region) = (code.to_owned(), region.map(ToOwned::to_owned));
        LOOK.failed(Failed::Refused(Refused { status, code, region, is_bare, ..Refused::default() }))
    }

    #[test]
    fn expired_credentials_are_told_where_the_answer_tells() {
        assert_eq!(failed(400, "ExpiredToken", false, None).kind(), ErrorKind::Credentials);
        for (is_bare, region, kind, hints) in [
            // The outcome is uncertain.
            (true, None, ErrorKind::Other, true),
            (false, None, ErrorKind::Other, false),
            (true, Some("eu-central-1"), ErrorKind::WrongRegion, false),
        ] {
            let error = failed(400, "", is_bare, region);
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
            let error = failed(status, code, false, region);
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
            assert_eq!(LOOK.kind_of_unsound(status, &unsound(foreign)), kind, "{status} {foreign}");
        }
    }

    #[test]
    fn an_unsound_answer_says_what_is_wrong_with_it() {
        let answer =
            |status: u16, foreign, body: &str| WRITE.failed(Failed::Unsound(status, body.into(), unsound(foreign)));
        let cut = answer(200, false, "<ListBucketResult>");
        assert_eq!((cut.kind(), cut.outcome_unknown()), (ErrorKind::Unavailable, true));
        assert_eq!(cut.detail(), "the answer is not one whole XML document");
        let plain = answer(400, true, "Client sent an HTTP request to an HTTPS server.\n");
        assert_eq!(plain.kind(), ErrorKind::Other);
        assert!(plain.detail().starts_with("HTTP status 400, and") && plain.detail().ends_with("in the endpoint"));
        assert!(answer(200, true, "<html/>").detail().contains("no S3 server"));
    }

    /// Whether a write may have happened decides whether it may be repeated.
    #[test]
    fn only_what_was_never_sent_or_was_refused_has_a_known_outcome() {
        let cause = || "cause".into();
        let refused = |status| Failed::Refused(Refused { status, ..Refused::default() });
        for (failure, kind, unknown) in [
            (refused(403), ErrorKind::Denied, false),
            (refused(412), ErrorKind::Precondition, false),
            (refused(200), ErrorKind::Garbled, true),
            (refused(500), ErrorKind::Unavailable, true),
            (refused(503), ErrorKind::Throttled, true),
            (Failed::Unsound(404, b"no".into(), unsound(true)), ErrorKind::Other, false),
            (Failed::Unsound(404, b"<E".into(), unsound(false)), ErrorKind::Unavailable, true),
            (Failed::Unread(cause()), ErrorKind::Unavailable, true),
            (Failed::TimedOut(cause()), ErrorKind::TimedOut, true),
            (Failed::NotMade(cause()), ErrorKind::Other, false),
            (Failed::NoCredentials("none".into()), ErrorKind::Credentials, false),
            (Failed::NoConnection("refused".into(), cause()), ErrorKind::Unreachable, false),
            (Failed::Broke("reset".into(), cause()), ErrorKind::Unavailable, true),
            (Failed::Other("new".into()), ErrorKind::Other, true),
        ] {
            let said = format!("{failure:?}");
            let error = WRITE.failed(failure);
            assert_eq!((error.kind(), error.outcome_unknown()), (kind, unknown), "{said}");
        }
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
