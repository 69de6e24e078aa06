//! The body of an answer that streams, which must agree with its checksum.

use std::fmt;

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_checksums::{
    ChecksumAlgorithm,
    http::{CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER, HttpChecksum},
};
use aws_smithy_runtime_api::http::Headers;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::failed::Cause;

/// A body as it comes.
pub(in crate::s3) struct Stream {
    body: SdkBody,
    /// The checksum so far, and the one that the answer tells.
    checksum: Option<(Box<dyn HttpChecksum>, Vec<u8>)>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("has_checksum", &self.checksum.is_some()).finish_non_exhaustive()
    }
}

/// The bytes are not those of the checksum.
#[derive(Debug, thiserror::Error)]
#[error("body checksum mismatch: {found} in place of {told}")]
struct Mismatch {
    told: String,
    found: String,
}

impl Stream {
    /// The body of an answer; of a whole object, to be compared with the checksum in its headers, if any.
    pub(super) fn new(body: SdkBody, whole: Option<&Headers>) -> Self {
        Self { body, checksum: whole.and_then(checksum) }
    }

    /// The next bytes; `None` at the end, where the checksum of the answer, if any, was found right.
    pub(in crate::s3) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        while let Some(frame) = self.body.frame().await {
            // Trailers follow the bytes, and are not asked for.
            let Ok(data) = frame?.into_data() else { continue };
            if let Some((checksum, _)) = &mut self.checksum {
                checksum.update(&data);
            }
            return Ok(Some(data));
        }
        if let Some((checksum, told)) = self.checksum.take() {
            let found = checksum.finalize();
            if *found != *told {
                let [told, found] = [&*told, &*found].map(|bytes| BASE64_STANDARD.encode(bytes));
                return Err(Mismatch { told, found }.into());
            }
        }
        Ok(None)
    }
}

/// The first checksum in the order of what they cost. One of the parts' checksums says nothing of the whole, and ends the
/// search, as in the SDK.
fn checksum(headers: &Headers) -> Option<(Box<dyn HttpChecksum>, Vec<u8>)> {
    for name in CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER {
        let checksum = name.parse::<ChecksumAlgorithm>().ok()?.into_impl();
        if let Some(told) = headers.get(checksum.header_name()) {
            return Some((checksum, BASE64_STANDARD.decode(told).ok()?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(name: &'static str, told: &str, body: &'static str) -> Result<String, String> {
        let mut headers = Headers::new();
        headers.insert(name, told.to_owned());
        let mut stream = Stream::new(SdkBody::from(body), Some(&headers));
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await.map_err(|error| error.to_string())? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    /// The values are those of RFC 3720, FIPS 180 and the CRC catalogue for these nine digits.
    #[tokio::test]
    async fn a_damaged_body_is_refused_by_each_checksum() {
        for (name, told) in [
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
            ("x-amz-checksum-crc32", "y/Q5Jg=="),
            ("x-amz-checksum-crc32c", "4waSgw=="),
            ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert_eq!(read(name, told, "123456789").await.as_deref(), Ok("123456789"), "{name}");
            let damaged = read(name, told, "123456780").await.unwrap_err();
            assert!(damaged.contains("checksum mismatch"), "{damaged}");
        }
        for told in ["rosUhgp5mIg=-2", "no base64!"] {
            assert!(read("x-amz-checksum-crc64nvme", told, "other").await.is_ok(), "{told} says nothing of the whole");
        }
    }
}
