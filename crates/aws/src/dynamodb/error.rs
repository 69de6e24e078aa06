//! What an answer of `DynamoDB` means.
//!
//! Codes: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html> and
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html>. A status without a code is not
//! `DynamoDB`'s, so it makes nothing missing: a 404 of a proxy is no missing table.

use crate::{failed::Refused, operation::Dialect};
use migrate_store::ErrorKind;

/// What `DynamoDB`'s answers mean.
pub(super) static DYNAMODB: Dialect = Dialect {
    foreign: "; what answers may be a proxy, or no DynamoDB server: check the endpoint",
    refused,
    status: kind_of_status,
};

fn refused(refused: &Refused) -> (ErrorKind, String) {
    let message = refused.message.as_deref().filter(|message| !message.trim().is_empty());
    let detail = match (&*refused.code, message) {
        ("", None) => format!("HTTP status {}", refused.status),
        ("", Some(message)) => format!("{message} (HTTP status {})", refused.status),
        (code, None) => format!("{code} (HTTP status {})", refused.status),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    (kind_of(refused.status, &refused.code, message.unwrap_or_default()), detail)
}

fn kind_of(status: u16, code: &str, message: &str) -> ErrorKind {
    match code {
        "ResourceNotFoundException" | "TableNotFoundException" => ErrorKind::NoContainer,
        "ResourceInUseException"
        | "TableInUseException"
        | "TableAlreadyExistsException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException" => ErrorKind::Conflict,
        // An iterator that has expired: `ChangeStream::read` says so with this kind.
        "ConditionalCheckFailedException" | "ExpiredIteratorException" => ErrorKind::Precondition,
        "TrimmedDataAccessException" => ErrorKind::Changed,
        "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        // Of control requests, and of streams: too many at once.
        | "LimitExceededException" => ErrorKind::Throttled,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => ErrorKind::Denied,
        // The time in the text is that of the signature.
        "InvalidSignatureException" if message.contains("Signature expired") || message.contains("not yet current") => {
            ErrorKind::ClockSkew
        }
        "RequestExpired" | "RequestTimeTooSkewed" => ErrorKind::ClockSkew,
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException" => ErrorKind::Credentials,
        "UnknownOperationException" | "UnknownOperation" | "NotImplemented" | "UnsupportedOperation" => {
            ErrorKind::Unsupported
        }
        "ItemCollectionSizeLimitExceededException" => ErrorKind::Full,
        "InternalServerError" | "InternalFailure" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            ErrorKind::Unavailable
        }
        _ => kind_of_status(status),
    }
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Credentials,
        403 => ErrorKind::Denied,
        408 => ErrorKind::TimedOut,
        429 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        // A success that cannot be read.
        200 => ErrorKind::Garbled,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failed::Failed, operation::Operation};

    const WRITE: Operation<'_> =
        Operation { name: "write to", location: "dynamodb://a/t", writes: true, dialect: &DYNAMODB };

    fn answered(status: u16, code: &str, message: &str) -> migrate_store::StoreError {
        let message = Some(message.to_owned());
        WRITE.failed(Failed::Refused(Refused { status, code: code.to_owned(), message, ..Refused::default() }))
    }

    #[test]
    fn each_code_has_its_meaning_and_only_failures_of_the_server_leave_a_write_unknown() {
        for (status, code, message, kind, unknown) in [
            (400, "ProvisionedThroughputExceededException", "", ErrorKind::Throttled, false),
            (400, "ThrottlingException", "", ErrorKind::Throttled, false),
            (400, "RequestLimitExceeded", "", ErrorKind::Throttled, false),
            (400, "LimitExceededException", "", ErrorKind::Throttled, false),
            (400, "ResourceNotFoundException", "", ErrorKind::NoContainer, false),
            (400, "ResourceInUseException", "", ErrorKind::Conflict, false),
            (400, "ConditionalCheckFailedException", "", ErrorKind::Precondition, false),
            (400, "ExpiredIteratorException", "", ErrorKind::Precondition, false),
            (400, "TrimmedDataAccessException", "", ErrorKind::Changed, false),
            (400, "AccessDeniedException", "", ErrorKind::Denied, false),
            (400, "UnrecognizedClientException", "", ErrorKind::Credentials, false),
            (400, "ExpiredTokenException", "", ErrorKind::Credentials, false),
            (400, "InvalidSignatureException", "it does not match", ErrorKind::Credentials, false),
            (400, "InvalidSignatureException", "Signature expired: 2026", ErrorKind::ClockSkew, false),
            (400, "UnknownOperationException", "", ErrorKind::Unsupported, false),
            (400, "ValidationException", "no", ErrorKind::Other, false),
            (500, "InternalServerError", "", ErrorKind::Unavailable, true),
            (503, "", "", ErrorKind::Unavailable, true),
            (200, "", "", ErrorKind::Garbled, true),
            // A proxy's answer makes no table missing.
            (404, "", "", ErrorKind::Other, false),
        ] {
            let error = answered(status, code, message);
            assert_eq!((error.kind(), error.outcome_unknown()), (kind, unknown), "{status} {code}: {error}");
        }
    }

    #[test]
    fn an_answer_is_told_in_its_own_words() {
        assert_eq!(answered(400, "ValidationException", "too big").detail(), "ValidationException: too big");
        assert_eq!(answered(502, "", " ").detail(), "HTTP status 502");
    }
}
