//! The requests of S3, on the AWS SDK.

use std::collections::BTreeMap;

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    Client,
    config::http::HttpRequest,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
    primitives::ByteStream,
    types::{
        ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType,
        ObjectLockLegalHoldStatus, Tag, Tagging,
    },
};
use bytes::Bytes;

use crate::s3::{
    convert::{content_type, crc64_header, quoted},
    wire::plain::{
        Carried, Got, Guard, Listed, ListedObject, ListedPart, ListedUpload, ListedVersion, Shown, UploadMarker,
        Written,
    },
};
use crate::{
    failed::{Cause, Failed},
    sdk::failure::told,
};
use migrate_core::{digest::Body, model::Sha256};
use migrate_store::{ByteRange, Header, Part};

/// One bucket at one endpoint. Keys are those in the bucket.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Sdk {
    client: Client,
    bucket: Box<str>,
    owner: Option<String>,
}

/// The body of an answer that streams.
#[derive(Debug)]
pub(in crate::s3) struct Stream(ByteStream);

impl Stream {
    /// The next bytes; `None` at the end, where the checksum of the answer, if any, was found right.
    pub(in crate::s3) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        self.0.try_next().await.map_err(Into::into)
    }
}

/// Reads the same fields from the answers to GET and to HEAD, which are different types in the SDK.
macro_rules! shown {
    ($output:expr, $is_archived:expr) => {{
        let mut output = $output;
        let is_archived = $is_archived;
        let expires = output.expires_string().map(ToOwned::to_owned);
        let headers = [
            (Header::CacheControl, output.cache_control.take()),
            (Header::ContentDisposition, output.content_disposition.take()),
            (Header::ContentEncoding, output.content_encoding.take()),
            (Header::ContentLanguage, output.content_language.take()),
            (Header::ContentType, output.content_type.take()),
            (Header::Expires, expires),
        ];
        Shown {
            length: unsigned(output.content_length),
            tag: output.e_tag.take(),
            modified_s: output.last_modified().map(|time| time.secs()),
            version: output.version_id.take(),
            headers: headers.into_iter().filter_map(|(header, value)| Some((header, value?))).collect(),
            metadata: output.metadata.take().unwrap_or_default(),
            hides_metadata: output.missing_meta().is_some_and(|count| count > 0),
            tag_count: output.tag_count().and_then(|count| u32::try_from(count).ok()),
            is_composite: output.checksum_type() == Some(&ChecksumType::Composite),
            crc64nvme: output.checksum_crc64_nvme.take(),
            sha256: output.checksum_sha256.take(),
            encryption: output.server_side_encryption().map(|kind| kind.as_str().to_owned()),
            has_customer_key: output.sse_customer_algorithm().is_some(),
            redirects: output.website_redirect_location().is_some(),
            is_retained: output.object_lock_mode().is_some(),
            has_legal_hold: output.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
            storage_class: output.storage_class().map(|class| class.as_str().to_owned()),
            is_archived,
        }
    }};
}

impl Sdk {
    pub(in crate::s3) fn new(client: Client, bucket: &str, owner: Option<String>) -> Self {
        Self { client, bucket: bucket.into(), owner }
    }

    /// Reads an object, or a range of it. A whole one comes with its checksum, if the server has one.
    pub(in crate::s3) async fn get(
        &self,
        key: String,
        range: Option<ByteRange>,
        if_match: Option<String>,
    ) -> Result<Got<Stream>, Failed> {
        let request = self
            .client
            .get_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .set_if_match(if_match)
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
            .set_checksum_mode(range.is_none().then_some(ChecksumMode::Enabled));
        let mut output = request.send().await.map_err(told)?;
        let body = std::mem::replace(&mut output.body, ByteStream::from_static(b""));
        let range = output.content_range.take();
        Ok(Got { shown: shown!(output, false), range, body: Stream(body) })
    }

    /// Looks at an object, or at a part of it.
    pub(in crate::s3) async fn head(
        &self,
        key: String,
        part: Option<i32>,
        with_checksums: bool,
    ) -> Result<Shown, Failed> {
        let request = self
            .client
            .head_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .set_checksum_mode(with_checksums.then_some(ChecksumMode::Enabled))
            .set_part_number(part);
        let output = request.send().await.map_err(told)?;
        let is_archived = output.archive_status().is_some();
        Ok(shown!(output, is_archived))
    }

    /// Writes a whole object, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put(
        &self,
        key: String,
        body: &Body,
        carried: Carried<'_>,
        guard: Guard,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        let header = |header| carried.properties.headers.get(&header).cloned();
        let expires = header(Header::Expires);
        let request = self
            .client
            .put_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .content_length(i64::try_from(body.size()).expect("a body is held in memory"))
            .set_cache_control(header(Header::CacheControl))
            .set_content_disposition(header(Header::ContentDisposition))
            .set_content_encoding(header(Header::ContentEncoding))
            .set_content_language(header(Header::ContentLanguage))
            .content_type(content_type(carried.properties))
            .set_metadata(carried.metadata)
            .set_tagging(carried.tagging)
            .set_checksum_crc64_nvme(with_crc.then(|| crc64_header(body.crc64nvme())))
            .set_if_match(guard.if_match)
            .set_if_none_match(guard.if_none_match)
            .body(body.bytes().clone().into())
            .customize()
            .interceptor(PayloadHash(body.sha256()))
            .mutate_request(move |request| set_expires(request, expires.as_deref()));
        Ok(Written { tag: request.send().await.map_err(told)?.e_tag, date_s: None })
    }

    /// Begins an upload; returns its id.
    pub(in crate::s3) async fn begin(
        &self,
        key: String,
        carried: Carried<'_>,
        with_crc: bool,
    ) -> Result<Option<String>, Failed> {
        let header = |header| carried.properties.headers.get(&header).cloned();
        let expires = header(Header::Expires);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .set_cache_control(header(Header::CacheControl))
            .set_content_disposition(header(Header::ContentDisposition))
            .set_content_encoding(header(Header::ContentEncoding))
            .set_content_language(header(Header::ContentLanguage))
            .content_type(content_type(carried.properties))
            .set_metadata(carried.metadata)
            .set_tagging(carried.tagging)
            .set_checksum_algorithm(with_crc.then_some(ChecksumAlgorithm::Crc64Nvme))
            .set_checksum_type(with_crc.then_some(ChecksumType::FullObject))
            .customize()
            .mutate_request(move |request| set_expires(request, expires.as_deref()));
        Ok(request.send().await.map_err(told)?.upload_id)
    }

    /// Writes a part, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put_part(
        &self,
        key: String,
        upload: &str,
        number: u32,
        body: &Body,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        let request = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(upload)
            .part_number(signed(number))
            .content_length(i64::try_from(body.size()).expect("a body is held in memory"))
            .set_checksum_crc64_nvme(with_crc.then(|| crc64_header(body.crc64nvme())))
            .body(body.bytes().clone().into())
            .customize()
            .interceptor(PayloadHash(body.sha256()));
        Ok(Written { tag: request.send().await.map_err(told)?.e_tag, date_s: None })
    }

    /// Joins the parts into an object, if given with the CRC-64/NVME of the whole.
    pub(in crate::s3) async fn complete(
        &self,
        key: String,
        upload: &str,
        parts: &[Part],
        crc: Option<u64>,
        guard: Guard,
    ) -> Result<Written, Failed> {
        let part =
            |part: &Part| CompletedPart::builder().part_number(signed(part.number)).e_tag(quoted(&part.tag)).build();
        let parts = parts.iter().map(part).collect();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_checksum_crc64_nvme(crc.map(crc64_header))
            .set_checksum_type(crc.map(|_| ChecksumType::FullObject))
            .set_if_match(guard.if_match)
            .set_if_none_match(guard.if_none_match);
        Ok(Written { tag: request.send().await.map_err(told)?.e_tag, date_s: None })
    }

    /// Drops an upload and its parts.
    pub(in crate::s3) async fn abort(&self, key: String, upload: &str) -> Result<(), Failed> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(upload);
        request.send().await.map(drop).map_err(told)
    }

    /// Lists a page of objects, after a key or at the start that an earlier page told, of at most so many keys.
    pub(in crate::s3) async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        token: Option<String>,
        most: Option<u16>,
    ) -> Result<Listed<ListedObject>, Failed> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&*self.bucket)
            .prefix(prefix)
            .set_expected_bucket_owner(self.owner.clone())
            .encoding_type(EncodingType::Url)
            .set_max_keys(most.map(i32::from))
            .set_start_after(after)
            .set_continuation_token(token);
        let output = request.send().await.map_err(told)?;
        let entry = |object: aws_sdk_s3::types::Object| ListedObject {
            size: unsigned(object.size),
            modified_s: object.last_modified.map(|time| time.secs()),
            key: object.key,
            tag: object.e_tag,
        };
        Ok(Listed {
            is_encoded: output.encoding_type == Some(EncodingType::Url),
            entries: output.contents.into_iter().flatten().map(entry).collect(),
            follows: output.is_truncated,
            next: output.next_continuation_token,
        })
    }

    /// Lists the first page of versions and delete markers.
    pub(in crate::s3) async fn list_versions(&self, prefix: &str) -> Result<Listed<ListedVersion>, Failed> {
        let request = self
            .client
            .list_object_versions()
            .bucket(&*self.bucket)
            .prefix(prefix)
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner.clone());
        let output = request.send().await.map_err(told)?;
        let versions = output.versions.into_iter().flatten().map(|version| (version.key, version.version_id));
        let markers = output.delete_markers.into_iter().flatten().map(|marker| (marker.key, marker.version_id));
        let entries = versions.chain(markers).map(|(key, version)| ListedVersion { key, version }).collect();
        let is_encoded = output.encoding_type == Some(EncodingType::Url);
        Ok(Listed { entries, is_encoded, follows: output.is_truncated, next: output.next_key_marker })
    }

    /// Lists a page of the parts of an upload, after a part.
    pub(in crate::s3) async fn list_parts(
        &self,
        key: String,
        upload: &str,
        after: Option<String>,
    ) -> Result<Listed<ListedPart>, Failed> {
        let request = self
            .client
            .list_parts()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(upload)
            .set_part_number_marker(after);
        let output = request.send().await.map_err(told)?;
        let entry = |part: aws_sdk_s3::types::Part| ListedPart {
            number: part.part_number.and_then(|number| u32::try_from(number).ok()),
            size: unsigned(part.size),
            tag: part.e_tag,
        };
        Ok(Listed {
            entries: output.parts.into_iter().flatten().map(entry).collect(),
            follows: output.is_truncated,
            next: output.next_part_number_marker,
            is_encoded: false,
        })
    }

    /// Lists a page of unfinished uploads, after an upload.
    pub(in crate::s3) async fn list_uploads(
        &self,
        prefix: &str,
        after: Option<UploadMarker>,
    ) -> Result<Listed<ListedUpload, UploadMarker>, Failed> {
        let (key, id) = after.map_or((None, None), |after| (Some(after.key), after.id));
        let request = self
            .client
            .list_multipart_uploads()
            .bucket(&*self.bucket)
            .prefix(prefix)
            .set_expected_bucket_owner(self.owner.clone())
            .set_key_marker(key)
            .set_upload_id_marker(id);
        let output = request.send().await.map_err(told)?;
        let entry = |upload: aws_sdk_s3::types::MultipartUpload| ListedUpload {
            begun_s: upload.initiated.map(|time| time.secs()),
            key: upload.key,
            id: upload.upload_id,
        };
        let id = output.next_upload_id_marker;
        Ok(Listed {
            entries: output.uploads.into_iter().flatten().map(entry).collect(),
            follows: output.is_truncated,
            next: output.next_key_marker.map(|key| UploadMarker { key, id }),
            is_encoded: false,
        })
    }

    /// Deletes an object or a version. Returns the version that the delete has made or removed, in a bucket with
    /// versions.
    pub(in crate::s3) async fn delete(
        &self,
        key: String,
        version: Option<String>,
        if_match: Option<String>,
    ) -> Result<Option<String>, Failed> {
        let request = self
            .client
            .delete_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .set_version_id(version)
            .set_if_match(if_match);
        Ok(request.send().await.map_err(told)?.version_id)
    }

    /// The tags of an object.
    pub(in crate::s3) async fn tags(&self, key: String) -> Result<BTreeMap<String, String>, Failed> {
        let request = self
            .client
            .get_object_tagging()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone());
        let output = request.send().await.map_err(told)?;
        Ok(output.tag_set.into_iter().map(|Tag { key, value, .. }| (key, value)).collect())
    }

    /// Replaces the tags of an object, or of a version of it.
    pub(in crate::s3) async fn set_tags(
        &self,
        key: String,
        version: Option<String>,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Failed> {
        let tag = |(name, value): (&String, &String)| {
            Tag::builder().key(name).value(value).build().expect("a tag with its name and value is complete")
        };
        let tags = Tagging::builder().set_tag_set(Some(tags.iter().map(tag).collect())).build();
        let request = self
            .client
            .put_object_tagging()
            .bucket(&*self.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .set_version_id(version)
            .tagging(tags.expect("a set of tags is complete"));
        request.send().await.map(drop).map_err(told)
    }
}

/// A size from the SDK's signed number; `None` if the answer has none.
fn unsigned(length: Option<i64>) -> Option<u64> {
    length.and_then(|length| u64::try_from(length).ok())
}

/// The number of a part as the SDK takes it.
fn signed(number: u32) -> i32 {
    i32::try_from(number).expect("parts number to 10,000")
}

/// Sets `Expires` to the source's text: the SDK accepts only a well-formed date, and many stored ones are not.
fn set_expires(request: &mut HttpRequest, expires: Option<&str>) {
    if let Some(expires) = expires {
        // A text that is no header value was never stored as one.
        let _ = request.headers_mut().try_insert("expires", expires.to_owned());
    }
}

/// Signs a request with the SHA-256 computed earlier, so that a server which checks signatures also checks the
/// body, over http and https alike, and no byte is hashed twice.
#[derive(Debug)]
struct PayloadHash(Sha256);

impl Intercept for PayloadHash {
    fn name(&self) -> &'static str {
        "PayloadHash"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.to_string()));
        Ok(())
    }
}
