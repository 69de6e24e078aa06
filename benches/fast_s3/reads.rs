//! GET and HEAD of an object.

use std::time::{Duration, UNIX_EPOCH};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
    },
};

use crate::{
    answer::{Answer, Failure, Pieces, empty},
    bucket::Bucket,
    counts::Counts,
    guard::Guard,
    object::Object,
    request::Named,
};

/// Answers GET or HEAD of an object.
pub(crate) fn read(
    bucket: &Bucket,
    named: &Named,
    (method, headers): (&Method, &HeaderMap),
    counts: &Counts,
) -> Result<Answer, Failure> {
    let object = bucket.get(&named.key)?;
    Guard::of(headers).check_read(&object)?;
    let span = match named.parameter("partNumber") {
        Some(number) => Some(part(&object, number)?),
        None => match headers.get(RANGE).map(|range| range.to_str().ok().and_then(|range| span(range, object.size))) {
            Some(Some(span)) => Some(span),
            Some(None) => return Err(Failure::RANGE),
            None => None,
        },
    };
    let (start, end) = span.unwrap_or((0, object.size));
    let mut answer = if *method == Method::HEAD {
        empty(StatusCode::OK)
    } else {
        let pieces = object.pieces(start, end).ok_or(Failure::DISCARDED)?;
        counts.bytes_read.fetch_add(end - start, std::sync::atomic::Ordering::Relaxed);
        Answer::new(Pieces::from(pieces))
    };
    let shown = answer.headers_mut();
    shown.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    let whole = span.is_none();
    show(&object, headers, whole, shown);
    if named.parameter("partNumber").is_some() && object.tag.contains('-') {
        shown.insert(HeaderName::from_static("x-amz-mp-parts-count"), HeaderValue::from(object.parts().len()));
    }
    if !whole {
        let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), object.size);
        shown.insert(CONTENT_RANGE, HeaderValue::try_from(range).expect("digits are a value"));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

fn show(object: &Object, asked: &HeaderMap, whole: bool, shown: &mut HeaderMap) {
    shown.insert(ETAG, tag_header(&object.tag));
    shown.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let modified = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(object.modified_s));
    shown.insert(LAST_MODIFIED, HeaderValue::try_from(modified).expect("a date is a value"));
    shown.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    let Some(head) = &object.head else { return };
    for (name, value) in &head.headers {
        shown.insert(name.clone(), value.clone());
    }
    if !head.tags.is_empty() {
        shown.insert(HeaderName::from_static("x-amz-tagging-count"), HeaderValue::from(head.tags.len()));
    }
    if whole && asked.get("x-amz-checksum-mode").is_some() {
        for (name, value) in &head.checksums {
            shown.insert(name.clone(), value.clone());
            shown.insert(HeaderName::from_static("x-amz-checksum-type"), HeaderValue::from_static("FULL_OBJECT"));
        }
    }
}

/// A tag in quotes.
pub(crate) fn tag_header(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\"")).expect("a tag is a value")
}

/// Where a part begins and ends.
fn part(object: &Object, number: &str) -> Result<(u64, u64), Failure> {
    let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).ok_or(Failure::INVALID)?;
    let parts = object.parts();
    let size = *parts.get(index).ok_or(Failure::INVALID_PART)?;
    let start = parts[..index].iter().sum();
    Ok((start, start + size))
}

/// The bytes `[start, end)` of a `Range` of one span.
fn span(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans() {
        assert_eq!(span("bytes=0-3", 10), Some((0, 4)));
        assert_eq!(span("bytes=4-", 10), Some((4, 10)));
        assert_eq!(span("bytes=-3", 10), Some((7, 10)));
        assert_eq!(span("bytes=4-99", 10), Some((4, 10)));
        assert_eq!(span("bytes=10-", 10), None);
        assert_eq!(span("bytes=0-0", 0), None);
    }
}
