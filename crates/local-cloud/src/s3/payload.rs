//! The payload of an object or part write: its bytes, its checksum and its tag.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::HeaderMap;
use s3s::{S3Result, TrailingHeaders, dto::StreamingBlob, s3_error};

use super::{
    arrived::Arrived,
    checksums::{self, Checksum, Kind},
    headers::is_chunked,
    service::Service,
};
use migrate_fault::mix;

/// An object's body as it arrived, with the checksum that its request declared.
pub(super) struct Payload {
    pub(super) data: Bytes,
    pub(super) declared: Option<(Kind, String)>,
}

/// Takes the body of an object or part write.
///
/// A plain body was collected and checked against its signed hash before. `s3s` decodes an
/// `aws-chunked` one and checks the chunks' signatures; its checksum follows in the trailer.
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

/// A write that locks must prove its bytes. S3 demands it also if the bucket retains every new object.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
pub(super) fn check_locked_write(locks: bool, what: &str, headers: &HeaderMap, payload: &Payload) -> S3Result<()> {
    if !locks || payload.declared.is_some() || headers.contains_key("content-md5") {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters"
    ))
}

impl Service {
    /// The `ETag` to store: the MD5, or by quirk something made of the data but unlike it.
    pub(super) fn etag(&self, md5: [u8; 16]) -> String {
        if !self.config.quirks.etag_not_md5 {
            return hex::encode(md5);
        }
        let (high, low) = (u128::from_be_bytes(md5) >> 64, u128::from_be_bytes(md5));
        let spread = |half: u128| mix(u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        format!("{:016x}{:016x}", spread(high), spread(low))
    }

    /// Verifies what the request declared about a body and returns the checksum to store.
    pub(super) fn check(&self, payload: &Payload, otherwise: Kind) -> S3Result<Option<Checksum>> {
        if self.config.quirks.ignore_checksums {
            return Ok(None);
        }
        match &payload.declared {
            Some((kind, text)) => checksums::verify(*kind, text, &payload.data).map(Some),
            // S3 computes CRC-64/NVME if no checksum was sent.
            None => Ok(Some(Checksum::full(otherwise, std::slice::from_ref(&payload.data)))),
        }
    }
}
