//! Writes: PUT, copy and delete.

use std::{sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use s3s::{
    S3Error, S3Request, S3Response, S3Result, TrailingHeaders,
    dto::{
        self, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Owner, PutObjectInput, PutObjectOutput, StreamingBlob,
    },
    s3_error,
};

use super::{
    access::{bypass_action, denied},
    acls,
    checksums::{self, Checksum, Kind, fill_checksum},
    gate::{header, is_chunked},
    identity::Caller,
    locks::{Bypass, Lock},
    objects::{Condition, Content, Data, Stored, precondition_failed},
    properties::{check_restored, parse_tags},
    reads::{find, quoted},
    service::{Arrived, Service},
};
use crate::fault::mix;

/// Server-side copies and single writes go up to 5 GiB.
const COPY_SIZE_MAX: u64 = 5 << 30;

/// An object's body as it arrived, with the checksum that its request declared.
pub(super) struct Payload {
    pub(super) data: Bytes,
    pub(super) declared: Option<(Kind, String)>,
}

/// Takes the body of an object or part write.
///
/// A plain body was collected and checked against its signed hash before. An `aws-chunked` one is
/// decoded by `s3s`, which checks the chunks' signatures; its checksum follows in the trailer.
pub(super) async fn payload(
    arrived: &Arrived,
    headers: &HeaderMap,
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Payload> {
    let mut declared = checksums::declared(headers)?;
    if !is_chunked(headers) {
        return Ok(Payload { data: arrived.body.clone(), declared });
    }
    let mut data = BytesMut::with_capacity(arrived.body.len());
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| s3_error!(IncompleteBody, "The body could not be decoded: {error}"))?;
            data.extend_from_slice(&chunk);
        }
    }
    if let Some(trailers) = trailers.and_then(|trailers| trailers.take()) {
        declared = checksums::declared(&trailers)?.or(declared);
    }
    Ok(Payload { data: data.freeze(), declared })
}

/// What a write stores beside its bytes, from its headers and metadata.
fn template(headers: &HeaderMap, metadata: Option<dto::Metadata>, owner: &Owner) -> S3Result<Content> {
    const KEPT: [&str; 7] = [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
        "x-amz-website-redirect-location",
    ];
    let mut kept: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for name in KEPT {
        let Some(value) = headers.get(name) else { continue };
        let name = HeaderName::from_static(name);
        if name == "content-encoding" {
            kept.extend(without_aws_chunked(value).map(|value| (name, value)));
        } else if !value.is_empty() {
            kept.push((name, value.clone()));
        }
    }
    Ok(Content {
        headers: kept,
        metadata: metadata.unwrap_or_default().into_iter().collect(),
        tags: header(headers, "x-amz-tagging").map(parse_tags).transpose()?.unwrap_or_default(),
        storage_class: storage_class(headers)?,
        lock: Lock::of(headers, SystemTime::now())?,
        grants: acls::of_headers(headers, owner)?,
        ..Content::default()
    })
}

/// `None` for `STANDARD`. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
fn storage_class(headers: &HeaderMap) -> S3Result<Option<String>> {
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

/// A write that locks proves its bytes: S3 asks for it in the bucket's name too, where that retains
/// whatever comes. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
pub(super) fn check_locked_write(locks: bool, what: &str, headers: &HeaderMap, payload: &Payload) -> S3Result<()> {
    if !locks || payload.declared.is_some() || headers.contains_key("content-md5") {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters"
    ))
}

/// `aws-chunked` is how the body travelled, not what it is.
fn without_aws_chunked(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let rest: Vec<&str> = text.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    HeaderValue::from_str(&rest.join(",")).ok().filter(|value| !value.is_empty())
}

impl Service {
    /// What a write stores beside its bytes, as this server keeps it.
    pub(super) fn template(&self, headers: &HeaderMap, metadata: Option<dto::Metadata>) -> S3Result<Content> {
        let mut content = template(headers, metadata, &self.owner())?;
        self.config.quirks.bend_content(&mut content, headers)?;
        Ok(content)
    }

    /// The `ETag` to store: the MD5, or by quirk something made of the data but unlike it.
    pub(super) fn etag(&self, md5: [u8; 16]) -> String {
        if !self.config.quirks.etag_not_md5 {
            return hex::encode(md5);
        }
        let (high, low) = (u128::from_be_bytes(md5) >> 64, u128::from_be_bytes(md5));
        let spread = |half: u128| mix(u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        format!("{:016x}{:016x}", spread(high), spread(low))
    }

    /// Verifies what was declared of a body and gives the checksum to store.
    pub(super) fn check(&self, payload: &Payload, otherwise: Kind) -> S3Result<Option<Checksum>> {
        if self.config.quirks.ignore_checksums {
            return Ok(None);
        }
        match &payload.declared {
            Some((kind, text)) => checksums::verify(*kind, text, &payload.data).map(Some),
            // S3 computes CRC-64/NVME where nothing else was sent.
            None => Ok(Some(Checksum::full(otherwise, std::slice::from_ref(&payload.data)))),
        }
    }

    pub(super) async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let arrived = Arrived::with(&request).clone();
        let input = request.input;
        let template = self.template(&request.headers, input.metadata)?;
        let locks = self.buckets.read().bucket(&input.bucket)?.settings.locks_write(&template.lock);
        let payload = payload(&arrived, &request.headers, input.body, request.trailing_headers).await?;
        check_locked_write(locks, "Put Object", &request.headers, &payload)?;
        let service = self.clone();
        let hashed = checksums::aside(payload.data.len(), move || {
            let checksum = service.check(&payload, Kind::Crc64Nvme)?;
            let segments = vec![payload.data];
            Ok::<_, S3Error>((service.etag(checksums::md5(&segments)), checksum, Data::new(segments)))
        });
        let (etag, checksum, data) = hashed.await?;
        let content = Content { data, etag, checksum, ..template };
        let (stored, version_id) = {
            let mut state = self.buckets.write();
            let stored = state.put(&input.bucket, &input.key, content, &condition)?;
            let version_id = state.bucket(&input.bucket)?.shown_version(&stored);
            (stored, version_id)
        };
        let content = stored.content.as_ref().expect("content was just put");
        let mut output =
            PutObjectOutput { e_tag: Some(quoted(&content.etag)), version_id, ..PutObjectOutput::default() };
        if let Some(checksum) = &content.checksum {
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response::new(output))
    }

    /// Finds the source of a copy and checks the conditions on it.
    pub(super) fn copy_source(
        &self,
        source: &CopySource,
        headers: &HeaderMap,
    ) -> S3Result<(Arc<Stored>, Option<String>)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "Access points are not implemented"));
        };
        let state = self.buckets.read();
        let stored = find(&state, bucket, key, version_id.as_deref())?;
        check_restored(stored.content.as_ref().expect("only versions with content are found"))?;
        let shown_version = state.bucket(bucket)?.shown_version(&stored);
        let etag = stored.content.as_ref().map(|content| content.etag.clone()).unwrap_or_default();
        let asked = |name: &str| header(headers, name).map(|text| text.trim_matches('"').to_owned());
        let differs = asked("x-amz-copy-source-if-match").is_some_and(|asked| asked != "*" && asked != etag);
        let equal = asked("x-amz-copy-source-if-none-match").is_some_and(|asked| asked == "*" || asked == etag);
        if differs || equal { Err(precondition_failed()) } else { Ok((stored, shown_version)) }
    }

    pub(super) async fn copy(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let input = request.input;
        let (source, copy_source_version_id) = self.copy_source(&input.copy_source, &request.headers)?;
        let content = source.content.clone().expect("only versions with content are found");
        if content.data.size > COPY_SIZE_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size"
            ));
        }
        let replaces = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
        let replaces_tags = input.tagging_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
        let mut result = self.template(&request.headers, input.metadata)?;
        if let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source {
            let in_place = **bucket == *input.bucket && **key == *input.key;
            if in_place && !replaces && result.storage_class == content.storage_class {
                return Err(s3_error!(InvalidRequest, "This copy request is illegal because it changes nothing."));
            }
        }
        if !replaces {
            result.headers = content.headers;
            result.headers.retain(|(name, _)| name != "x-amz-website-redirect-location");
            result.metadata = content.metadata;
        }
        if !replaces_tags {
            result.tags = content.tags;
        }
        let kind = match &input.checksum_algorithm {
            Some(name) => Kind::parse(name.as_str())?,
            None => content.checksum.as_ref().map_or(Kind::Crc64Nvme, |checksum| checksum.kind),
        };
        let (segments, keeps_checksum) = (content.data.segments, !self.config.quirks.ignore_checksums);
        let size = usize::try_from(content.data.size).unwrap_or(usize::MAX);
        let hashed = checksums::aside(size, move || {
            let checksum = keeps_checksum.then(|| Checksum::full(kind, &segments));
            (checksums::md5(&segments), checksum, segments)
        });
        let (md5, checksum, segments) = hashed.await;
        let content = Content { etag: self.etag(md5), checksum, data: Data::new(segments), ..result };
        let mut state = self.buckets.write();
        let stored = state.put(&input.bucket, &input.key, content, &condition)?;
        let content = stored.content.as_ref().expect("content was just put");
        let mut copied = CopyObjectResult {
            e_tag: Some(quoted(&content.etag)),
            last_modified: Some(stored.modified.into()),
            ..CopyObjectResult::default()
        };
        if let Some(checksum) = &content.checksum {
            fill_checksum!(copied, checksum);
            copied.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(copied),
            copy_source_version_id,
            version_id: state.bucket(&input.bucket)?.shown_version(&stored),
            ..CopyObjectOutput::default()
        }))
    }

    pub(super) fn delete(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let bypass = Bypass::of(&request.headers);
        let input = request.input;
        let version = input.version_id.as_deref();
        let deleted = self.buckets.write().delete(&input.bucket, &input.key, version, &condition, bypass)?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: deleted.marker.then_some(true),
            version_id: deleted.version.as_deref().map(str::to_owned),
            ..DeleteObjectOutput::default()
        }))
    }

    pub(super) fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bypass = Bypass::of(&request.headers);
        let (headers, caller) = (&request.headers, Caller::of(&request));
        let input = request.input;
        if input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML, "At most 1000 keys can be deleted at once"));
        }
        let mut state = self.buckets.write();
        state.bucket(&input.bucket)?;
        let (mut done, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = match object.e_tag {
                Some(etag) if !self.config.quirks.ignore_conditions => match etag.value() {
                    "*" => Condition::Present,
                    value => Condition::Matches(value.to_owned()),
                },
                _ => Condition::None,
            };
            let version = object.version_id.as_deref();
            let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let permitted = std::iter::once(action)
                .chain(bypass_action(headers))
                .all(|action| self.access.permits(&state, &caller, action, &input.bucket, Some(&object.key)));
            let deleted = if permitted {
                state.delete(&input.bucket, &object.key, version, &condition, bypass)
            } else {
                Err(denied())
            };
            match deleted {
                Ok(deleted) => done.push(DeletedObject {
                    delete_marker: deleted.marker.then_some(true),
                    delete_marker_version_id: deleted
                        .version
                        .filter(|_| deleted.marker)
                        .map(|version| version.to_string()),
                    key: Some(object.key),
                    version_id: object.version_id,
                }),
                Err(error) => errors.push(dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: object.version_id,
                }),
            }
        }
        if input.delete.quiet == Some(true) {
            done.clear();
        }
        let output =
            DeleteObjectsOutput { deleted: Some(done), errors: Some(errors), ..DeleteObjectsOutput::default() };
        Ok(S3Response::new(output))
    }
}
