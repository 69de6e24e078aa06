//! The hot path: reading ranges, writing objects and parts, and listing.
//!
//! Four operations make up nearly all requests of a migration, so they live together behind this private seam;
//! their implementation can change without the store noticing. Today it is the SDK.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectOutput, list_objects_v2::ListObjectsV2Output},
    primitives::ByteStream,
    types::{ChecksumMode, EncodingType},
};
use bytes::{Bytes, BytesMut};

use super::{
    convert::{crc64_header, quoted, tagging_header},
    error::Operation,
};
use migrate_core::{
    digest::Body,
    model::{Key, Sha256, Token},
};
use migrate_store::{
    ByteRange, Condition, ErrorKind, Header, Honoured, IfMatch, MetadataForm, Properties, Result, StoreError, Upload,
};

/// The slowest transfer that is accepted: a slower request counts as hung.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// The time that every request gets, in addition to the time for its bytes.
const ANSWER_SECONDS_MAX: u64 = 60;

/// One bucket and prefix at one endpoint.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) client: Client,
    pub(super) bucket: Arc<str>,
    pub(super) prefix: Arc<str>,
    pub(super) owner: Option<String>,
    pub(super) location: Arc<str>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("location", &self.location).finish_non_exhaustive()
    }
}

/// The result of [`Wire::get`]: the response without its body, and the body.
pub(super) type Got = (GetObjectOutput, Bytes);

impl Wire {
    /// The key in the bucket, prefix included.
    pub(super) fn full_key(&self, key: &Key) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }

    pub(super) fn reads(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: false }
    }

    pub(super) fn writes(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: true }
    }

    /// Reads an object or a range of it. The body is exactly as long as the response says and, for a whole object,
    /// agrees with the checksum in the response, if any.
    pub(super) async fn get(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Got> {
        let operation = self.reads("read");
        let changed = || operation.error(ErrorKind::Changed, "it is no longer the version first seen");
        let request = self
            .client
            .get_object()
            .bucket(&*self.bucket)
            .key(self.full_key(key))
            .set_expected_bucket_owner(self.owner.clone())
            .set_if_match(pin.map(|pin| quoted(&pin.tag)))
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
            .set_checksum_mode(range.is_none().then_some(ChecksumMode::Enabled));
        let mut output = within(operation, 0, request.send()).await.map_err(|error| match error.kind() {
            ErrorKind::Precondition => changed(),
            _ => error,
        })?;
        let length = output.content_length().and_then(|length| u64::try_from(length).ok());
        // The budget has room for the requested bytes. A server that ignores the range or the condition, or does
        // not say how much it sends, must not make us hold more.
        let asked = range.map(|range| range.end - range.start).or(pin.map(|pin| pin.size));
        match (asked, length) {
            (Some(asked), Some(length)) if length > asked && range.is_some() => {
                let detail = format!("{length} bytes come where {asked} were asked for");
                return Err(operation.error(ErrorKind::Corrupt, detail));
            }
            (Some(asked), Some(length)) if length > asked => return Err(changed()),
            _ => {}
        }
        let length = length.or(asked);
        let body = std::mem::replace(&mut output.body, ByteStream::from_static(b""));
        let seconds = seconds_for(length.unwrap_or(0));
        let bytes = tokio::time::timeout(Duration::from_secs(seconds), collect(operation, body, length))
            .await
            .map_err(|_| operation.timed_out(seconds))??;
        Ok((output, bytes))
    }

    /// Writes a whole object; returns its tag.
    pub(super) async fn put(
        &self,
        key: &Key,
        body: &Body,
        properties: &Properties,
        guard: Guard,
        how: How,
    ) -> Result<Option<String>> {
        let header = |header| properties.headers.get(&header).cloned();
        let metadata = metadata(properties, how.metadata, self.writes("write"))?;
        let request = self
            .client
            .put_object()
            .bucket(&*self.bucket)
            .key(self.full_key(key))
            .set_expected_bucket_owner(self.owner.clone())
            .content_length(i64::try_from(body.size()).expect("a body is held in memory"))
            .set_cache_control(header(Header::CacheControl))
            .set_content_disposition(header(Header::ContentDisposition))
            .set_content_encoding(header(Header::ContentEncoding))
            .set_content_language(header(Header::ContentLanguage))
            .content_type(content_type(properties))
            .set_metadata(metadata)
            .set_tagging(tagging_header(&properties.tags))
            .set_checksum_crc64_nvme(how.with_crc.then(|| crc64_header(body.crc64nvme())))
            .set_if_match(guard.if_match)
            .set_if_none_match(guard.if_none_match)
            .body(body.bytes().clone().into());
        let expires = header(Header::Expires);
        let request = request
            .customize()
            .interceptor(PayloadHash(body.sha256()))
            .mutate_request(move |request| set_expires(request, expires.as_deref()));
        let output = within(self.writes("write"), body.size(), request.send()).await?;
        Ok(output.e_tag().map(ToOwned::to_owned))
    }

    /// Writes a part; returns its tag.
    pub(super) async fn put_part(
        &self,
        upload: &Upload,
        number: u32,
        body: &Body,
        with_crc: bool,
    ) -> Result<Option<String>> {
        let request = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(self.full_key(&upload.key))
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(&upload.id)
            .part_number(i32::try_from(number).expect("parts number to 10,000"))
            .content_length(i64::try_from(body.size()).expect("a body is held in memory"))
            .set_checksum_crc64_nvme(with_crc.then(|| crc64_header(body.crc64nvme())))
            .body(body.bytes().clone().into())
            .customize()
            .interceptor(PayloadHash(body.sha256()));
        let output = within(self.writes("write part of"), body.size(), request.send()).await?;
        Ok(output.e_tag().map(ToOwned::to_owned))
    }

    /// Lists one page.
    pub(super) async fn list(&self, start_after: Option<String>, token: Option<String>) -> Result<ListObjectsV2Output> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&*self.bucket)
            .prefix(&*self.prefix)
            .set_expected_bucket_owner(self.owner.clone())
            .encoding_type(EncodingType::Url)
            .set_start_after(start_after)
            .set_continuation_token(token);
        within(self.reads("list"), 0, request.send()).await
    }
}

/// Sends a request within a time that grows with the bytes it carries.
pub(super) async fn within<T, E>(
    operation: Operation<'_>,
    bytes: u64,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let seconds = seconds_for(bytes);
    match tokio::time::timeout(Duration::from_secs(seconds), request).await {
        Ok(answer) => answer.map_err(|error| operation.failed(error)),
        Err(_) => Err(operation.timed_out(seconds)),
    }
}

fn seconds_for(bytes: u64) -> u64 {
    ANSWER_SECONDS_MAX + bytes / BYTES_PER_SECOND_MIN
}

/// Collects a body of exactly `length` bytes, if the response told the length.
async fn collect(operation: Operation<'_>, mut body: ByteStream, length: Option<u64>) -> Result<Bytes> {
    let broke = |error| -> StoreError {
        operation.error(ErrorKind::Unavailable, "the body broke off, or fails its checksum").because(error)
    };
    let Some(first) = body.try_next().await.map_err(broke)? else {
        return whole(operation, Bytes::new(), length);
    };
    if length == Some(first.len() as u64) {
        // The usual small object arrives in one piece. The stream must still be driven to its end, which compares
        // the checksum.
        return match body.try_next().await.map_err(broke)? {
            None => Ok(first),
            Some(_) => Err(operation.error(ErrorKind::Corrupt, "the body runs past its length")),
        };
    }
    let capacity = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(first.len());
    let mut bytes = BytesMut::with_capacity(capacity);
    bytes.extend_from_slice(&first);
    while let Some(chunk) = body.try_next().await.map_err(broke)? {
        bytes.extend_from_slice(&chunk);
        if length.is_some_and(|length| bytes.len() as u64 > length) {
            return Err(operation.error(ErrorKind::Corrupt, "the body runs past its length"));
        }
    }
    whole(operation, bytes.freeze(), length)
}

fn whole(operation: Operation<'_>, bytes: Bytes, length: Option<u64>) -> Result<Bytes> {
    match length {
        Some(length) if length != bytes.len() as u64 => {
            let detail = format!("the body ends after {} of {length} bytes", bytes.len());
            Err(operation.error(ErrorKind::Corrupt, detail))
        }
        _ => Ok(bytes),
    }
}

/// The headers of a write's condition. Every write takes them from [`Guard::of`].
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
}

impl Guard {
    /// The headers of a condition, in the form that the endpoint keeps. A condition that it does not keep is not
    /// sent: `store::conditional` has looked.
    pub(super) fn of(condition: &Condition, honoured: Honoured) -> Self {
        match condition {
            Condition::Absent if honoured.absent => Self { if_none_match: Some("*".to_owned()), ..Self::default() },
            Condition::Matches(token) => Self::tag(&token.tag, honoured.matches),
            Condition::None | Condition::Absent => Self::default(),
        }
    }

    /// The `If-Match` header for the tag of a version, given without its quotes.
    pub(super) fn tag(tag: &str, form: IfMatch) -> Self {
        let if_match = match form {
            IfMatch::Quoted => Some(quoted(tag)),
            IfMatch::Bare => Some(tag.to_owned()),
            IfMatch::Ignored => None,
        };
        Self { if_match, ..Self::default() }
    }
}

/// What a whole write sends along with the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Whether to send the CRC-64/NVME of the body.
    pub(super) with_crc: bool,
    /// How metadata that is not ASCII is sent.
    pub(super) metadata: MetadataForm,
}

/// The `Content-Type` to write. If the source has none, it is the one that means "unspecified". If it were left
/// out, the SDK would send this one with a body, but none with the begin of an upload, and the server would guess.
pub(super) fn content_type(properties: &Properties) -> &str {
    properties.headers.get(&Header::ContentType).map_or("application/octet-stream", String::as_str)
}

/// User metadata as headers; an error if a client would read something else there.
pub(super) fn metadata(
    properties: &Properties,
    form: MetadataForm,
    operation: Operation<'_>,
) -> Result<Option<std::collections::HashMap<String, String>>> {
    if properties.metadata.is_empty() {
        return Ok(None);
    }
    let sent = properties.metadata.iter().map(|(name, value)| {
        let unread = || {
            let detail = format!("it does not show the metadata {name:?} as it is, which is not ASCII");
            operation.error(ErrorKind::Unsupported, detail)
        };
        let sent = form.sent(value).ok_or_else(unread)?;
        Ok((name.clone(), sent.into_owned()))
    });
    sent.collect::<Result<_>>().map(Some)
}

/// Sets `Expires` to the source's text: the SDK accepts only a well-formed date, and many stored ones are not.
pub(super) fn set_expires(request: &mut aws_sdk_s3::config::http::HttpRequest, expires: Option<&str>) {
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
