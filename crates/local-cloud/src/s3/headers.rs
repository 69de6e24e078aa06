//! Headers: a header's value, the form of a body, and an entity tag as answers carry it.

use hyper::HeaderMap;
use s3s::dto::ETag;

/// A header's value, if it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// Whether the body is in `aws-chunked` form, which `s3s` checks and decodes.
pub(super) fn is_chunked(headers: &HeaderMap) -> bool {
    header(headers, "x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"))
}

/// An entity tag as answers carry it.
pub(super) fn quoted(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}
