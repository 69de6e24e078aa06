//! The condition of a write or delete, checked against the current version.

use s3s::{S3Result, s3_error};

use super::{errors::precondition_failed, objects::Content};

/// What must hold of the current version for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match: "etag"`, without the quotes.
    Matches(String),
}

impl Condition {
    /// Checks a write. An `If-Match` without any object is 404, as documented for `PutObject`:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
    pub(super) fn check_write(&self, current: Option<&Content>) -> S3Result<()> {
        match (self, current) {
            (Self::Matches(_) | Self::Present, None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            _ => self.check_delete(current),
        }
    }

    pub(super) fn check_delete(&self, current: Option<&Content>) -> S3Result<()> {
        let holds = match self {
            Self::None => true,
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Matches(etag) => current.is_some_and(|content| content.etag == *etag),
        };
        if holds { Ok(()) } else { Err(precondition_failed()) }
    }
}
