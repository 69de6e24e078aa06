//! Uploads in parts.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hyper::{HeaderMap, StatusCode, body::Incoming, header::ETAG};

use crate::{
    answer::{Answer, Failure, empty, escaped, xml},
    bucket::{Bucket, PartHeld, Upload, now_s},
    checksum::{crc64_header, joined},
    configure::texts,
    endpoint::Endpoint,
    guard::Guard,
    lists::time,
    object::{Content, Object, tag_of},
    payload::Payload,
    reads::tag_header,
    request::Named,
    signature::Signed,
    writes::head_of,
};

/// Of a part that is not the last; see <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const PART_BYTES_MIN: u64 = 5 << 20;
const PARTS_MAX: u32 = 10_000;

static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Begins an upload.
pub(crate) fn begin(endpoint: &Endpoint, named: &Named, headers: &HeaderMap) -> Result<Answer, Failure> {
    let id = format!("upload-{}", BEGUN.fetch_add(1, Relaxed));
    let upload = Upload { key: named.key.clone(), head: head_of(headers)?, begun_s: now_s(), parts: [].into() };
    endpoint.made_bucket(&named.bucket).uploads().insert(id.clone(), upload);
    let (bucket, key) = (escaped(&named.bucket), escaped(&named.key));
    let inside = format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
    Ok(xml("InitiateMultipartUploadResult", &inside))
}

/// Writes a part.
pub(crate) async fn put_part(
    endpoint: &Endpoint,
    named: &Named,
    headers: &HeaderMap,
    signed: Signed,
    body: Incoming,
) -> Result<Answer, Failure> {
    let number = named.text("partNumber").parse().ok().filter(|number| (1..=PARTS_MAX).contains(number));
    let number: u32 = number.ok_or(Failure::INVALID)?;
    let Payload { pieces, size, md5, crc64, checksums } =
        Payload::read(headers, signed, body, endpoint.discards).await?;
    let tag = tag_of(size, md5, crc64);
    let mut answer = empty(StatusCode::OK);
    answer.headers_mut().insert(ETAG, tag_header(&tag));
    answer.headers_mut().extend(checksums);
    let bucket = endpoint.bucket(&named.bucket).ok_or(Failure::NO_BUCKET)?;
    let mut uploads = bucket.uploads();
    let upload = uploads.get_mut(named.text("uploadId")).filter(|upload| upload.key == named.key);
    upload.ok_or(Failure::NO_UPLOAD)?.parts.insert(number, PartHeld { size, tag, crc64, pieces });
    endpoint.counts.bytes_written.fetch_add(size, Relaxed);
    Ok(answer)
}

/// The parts that a document names, of those that are there.
fn chosen(upload: &Upload, document: &[u8]) -> Result<Vec<PartHeld>, Failure> {
    let (mut parts, mut numbers) = (Vec::new(), Vec::new());
    let (mut number, mut tag) = (None, None);
    for (name, text) in texts(document)? {
        match name.as_str() {
            "PartNumber" => number = Some(text.trim().parse::<u32>().map_err(|_| Failure::MALFORMED_XML)?),
            "ETag" => tag = Some(text.trim().trim_matches('"').to_owned()),
            "Part" => {
                let (number, tag) = number.take().zip(tag.take()).ok_or(Failure::MALFORMED_XML)?;
                let part = upload.parts.get(&number).filter(|part| *part.tag == *tag).ok_or(Failure::INVALID_PART)?;
                numbers.push(number);
                parts.push(part.clone());
            }
            _ => {}
        }
    }
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err(Failure(400, "InvalidPartOrder"));
    }
    if parts.iter().rev().skip(1).any(|part| part.size < PART_BYTES_MIN) {
        return Err(Failure(400, "EntityTooSmall"));
    }
    if parts.is_empty() { Err(Failure::MALFORMED_XML) } else { Ok(parts) }
}

/// Joins the parts into an object.
pub(crate) fn complete(
    endpoint: &Endpoint,
    named: &Named,
    headers: &HeaderMap,
    document: &[u8],
) -> Result<Answer, Failure> {
    let bucket = endpoint.bucket(&named.bucket).ok_or(Failure::NO_BUCKET)?;
    let id = named.text("uploadId");
    let (parts, mut head) = {
        let uploads = bucket.uploads();
        let upload = uploads.get(id).filter(|upload| upload.key == named.key).ok_or(Failure::NO_UPLOAD)?;
        (chosen(upload, document)?, upload.head.clone())
    };
    let size = parts.iter().map(|part| part.size).sum();
    let crc64 = parts.iter().skip(1).fold(parts[0].crc64, |whole, part| joined(whole, part.crc64, part.size));
    let (name, right) = crc64_header(crc64);
    if let Some(given) = headers.get(&name) {
        if given != right {
            return Err(Failure::BAD_DIGEST);
        }
        head.checksums = vec![(name, right)];
    }
    head.parts = parts.iter().map(|part| part.size).collect();
    let tag: Box<str> = format!("{crc64:016x}{size:016x}-{}", parts.len()).into();
    let pieces = parts.into_iter().map(|part| part.pieces).collect::<Option<Vec<_>>>();
    let content = pieces.map_or(Content::Discarded, |pieces| Content::Held(pieces.concat()));
    let object = Object { size, tag: tag.clone(), modified_s: now_s(), content, head: head.boxed() };
    let is_new = bucket.put(&named.key, object, &Guard::of(headers))?;
    bucket.uploads().remove(id);
    endpoint.counts.object(is_new);
    let (bucket, key) = (escaped(&named.bucket), escaped(&named.key));
    let inside = format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>&quot;{tag}&quot;</ETag>");
    Ok(xml("CompleteMultipartUploadResult", &inside))
}

/// The parts of an upload, in pages.
pub(crate) fn list_parts(bucket: &Bucket, named: &Named) -> Result<Answer, Failure> {
    const PAGE: usize = 1000;
    let uploads = bucket.uploads();
    let upload = uploads.get(named.text("uploadId")).filter(|upload| upload.key == named.key);
    let upload = upload.ok_or(Failure::NO_UPLOAD)?;
    let after: u32 = named.text("part-number-marker").parse().unwrap_or(0);
    let mut rest = upload.parts.range(after + 1..);
    let page: Vec<_> = rest.by_ref().take(PAGE).collect();
    let more = rest.next().is_some();
    let mut inside = format!(
        "<Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId><IsTruncated>{more}</IsTruncated>",
        escaped(&named.bucket),
        escaped(&named.key),
        named.text("uploadId")
    );
    if let Some((last, _)) = page.last().filter(|_| more) {
        let _ = write!(inside, "<NextPartNumberMarker>{last}</NextPartNumberMarker>");
    }
    let begun = time(upload.begun_s);
    for (number, part) in page {
        let (size, tag) = (part.size, &part.tag);
        let _ = write!(
            inside,
            "<Part><PartNumber>{number}</PartNumber><LastModified>{begun}</LastModified>\
             <ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size></Part>"
        );
    }
    Ok(xml("ListPartsResult", &inside))
}

/// Drops an upload.
pub(crate) fn abort(bucket: &Bucket, named: &Named) -> Result<Answer, Failure> {
    let mut uploads = bucket.uploads();
    let id = named.text("uploadId");
    uploads.get(id).filter(|upload| upload.key == named.key).ok_or(Failure::NO_UPLOAD)?;
    uploads.remove(id);
    Ok(empty(StatusCode::NO_CONTENT))
}
