//! Storage classes: those that writes ask for and answers show.

use hyper::HeaderMap;
use s3s::{S3Result, s3_error};

use super::headers::header;

/// The class that the headers of a write ask for; `None` for `STANDARD`. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
pub(super) fn asked(headers: &HeaderMap) -> S3Result<Option<String>> {
    const KNOWN: [&str; 10] = [
        "DEEP_ARCHIVE",
        "EXPRESS_ONEZONE",
        "GLACIER",
        "GLACIER_IR",
        "INTELLIGENT_TIERING",
        "ONEZONE_IA",
        "OUTPOSTS",
        "REDUCED_REDUNDANCY",
        "SNOW",
        "STANDARD_IA",
    ];
    match header(headers, "x-amz-storage-class") {
        None | Some("STANDARD") => Ok(None),
        Some(class) if KNOWN.contains(&class) => Ok(Some(class.to_owned())),
        Some(_) => Err(s3_error!(InvalidStorageClass, "The storage class you specified is not valid")),
    }
}

pub(super) fn shown(stored: Option<&str>) -> &str {
    stored.unwrap_or("STANDARD")
}
