//! Errors that several operations answer with.

use hyper::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};

/// An error that `s3s` lacks, or has with another status.
pub(super) fn custom_error(status: StatusCode, code: &'static str, text: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), text);
    error.set_status_code(status);
    error
}

/// The answer to a caller without the right to do this.
pub(super) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}

/// The answer if a condition of the request does not hold.
pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}
