//! PUT, copy and DELETE of an object, and its tags.

use std::sync::atomic::Ordering::Relaxed;

use hyper::{HeaderMap, StatusCode, body::Incoming, header, header::HeaderName};

use crate::{
    answer::{Answer, Failure, empty, escaped, xml},
    bucket::{Bucket, now_s},
    configure::tags_in,
    endpoint::Endpoint,
    guard::Guard,
    lists::time,
    object::{Content, Head, Object, tag_of},
    payload::Payload,
    reads::tag_header,
    request::{Named, pairs},
    signature::Signed,
};

/// Headers that are kept as they are sent, beside user metadata.
const KEPT: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];

/// What a request says of the object that it makes, except its bytes.
pub(crate) fn head_of(headers: &HeaderMap) -> Result<Head, Failure> {
    let is_kept = |name: &HeaderName| KEPT.contains(name) || name.as_str().starts_with("x-amz-meta-");
    let mut kept: Vec<_> =
        headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    // That a body came in chunks is no property of it.
    kept.retain(|(name, value)| *name != header::CONTENT_ENCODING || value != "aws-chunked");
    let tags = headers.get("x-amz-tagging").and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    Ok(Head { headers: kept, checksums: Vec::new(), tags: pairs(&tags.replace('+', " "))?, parts: Vec::new() })
}

/// Writes an object.
pub(crate) async fn put(
    endpoint: &Endpoint,
    named: &Named,
    headers: &HeaderMap,
    signed: Signed,
    body: Incoming,
) -> Result<Answer, Failure> {
    let payload = Payload::read(headers, signed, body, endpoint.discards).await?;
    let mut head = head_of(headers)?;
    let mut answer = empty(StatusCode::OK);
    answer.headers_mut().extend(payload.checksums.iter().cloned());
    head.checksums = payload.checksums;
    let tag = tag_of(payload.size, payload.md5, payload.crc64);
    answer.headers_mut().insert(header::ETAG, tag_header(&tag));
    let content = payload.pieces.map_or(Content::Discarded, Content::Held);
    let object = Object { size: payload.size, tag, modified_s: now_s(), content, head: head.boxed() };
    let is_new = endpoint.made_bucket(&named.bucket).put(&named.key, object, &Guard::of(headers))?;
    endpoint.counts.bytes_written.fetch_add(payload.size, Relaxed);
    endpoint.counts.object(is_new);
    Ok(answer)
}

/// Copies an object within the endpoint.
pub(crate) fn copy(endpoint: &Endpoint, named: &Named, headers: &HeaderMap) -> Result<Answer, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let source = text("x-amz-copy-source").unwrap_or_default();
    let source = percent_encoding::percent_decode_str(source).decode_utf8().map_err(|_| Failure::INVALID)?;
    let (from, key) = source.trim_start_matches('/').split_once('/').ok_or(Failure::INVALID)?;
    let found = endpoint.bucket(from).ok_or(Failure::NO_BUCKET)?.get(key)?;
    let wanted = Guard { if_match: text("x-amz-copy-source-if-match").map(str::to_owned), if_none_match: None };
    wanted.check_read(&found)?;
    let head = match text("x-amz-metadata-directive") {
        Some("REPLACE") => head_of(headers)?.boxed(),
        _ => found.head.clone(),
    };
    let (modified_s, tag) = (now_s(), found.tag.clone());
    let inside = format!("<LastModified>{}</LastModified><ETag>&quot;{tag}&quot;</ETag>", time(modified_s));
    let object = Object { size: found.size, tag, modified_s, content: found.content.clone(), head };
    let is_new = endpoint.made_bucket(&named.bucket).put(&named.key, object, &Guard::of(headers))?;
    endpoint.counts.object(is_new);
    Ok(xml("CopyObjectResult", &inside))
}

/// Deletes an object.
pub(crate) fn delete(bucket: &Bucket, named: &Named, headers: &HeaderMap) -> Result<Answer, Failure> {
    bucket.delete(&named.key, &Guard::of(headers))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The tags of an object.
pub(crate) fn tags(bucket: &Bucket, named: &Named) -> Result<Answer, Failure> {
    let object = bucket.get(&named.key)?;
    let tags = object.head.iter().flat_map(|head| &head.tags);
    let tag = |(name, value): &(String, String)| {
        format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escaped(name), escaped(value))
    };
    let tags: String = tags.map(tag).collect();
    Ok(xml("Tagging", &format!("<TagSet>{tags}</TagSet>")))
}

/// Replaces the tags of an object, given as a document.
pub(crate) fn set_tags(bucket: &Bucket, named: &Named, document: &[u8]) -> Result<Answer, Failure> {
    let object = bucket.get(&named.key)?;
    let mut head = object.head.as_deref().cloned().unwrap_or_default();
    head.tags = tags_in(document)?;
    let (size, tag, modified_s) = (object.size, object.tag.clone(), object.modified_s);
    let changed = Object { size, tag, modified_s, content: object.content.clone(), head: head.boxed() };
    bucket.put(&named.key, changed, &Guard { if_match: Some(object.tag.to_string()), if_none_match: None })?;
    Ok(empty(StatusCode::OK))
}
