//! The body of an answer that streams, which must agree with its checksum.

use std::fmt;

use aws_smithy_checksums::{
    ChecksumAlgorithm,
    http::{CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER, HttpChecksum},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::HeaderMap;

use super::pool::AnswerBody;
use crate::failed::Cause;

/// A body as it comes.
pub(in crate::s3) struct Stream {
    body: AnswerBody,
    checksum: Option<Checksum>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("has_checksum", &self.checksum.is_some()).finish_non_exhaustive()
    }
}

/// The checksum that an answer tells, and that of the bytes so far.
struct Checksum {
    told: Vec<u8>,
    so_far: Box<dyn HttpChecksum>,
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
    pub(super) fn new(body: AnswerBody, whole: Option<&HeaderMap>) -> Self {
        Self { body, checksum: whole.and_then(Checksum::of) }
    }

    /// The next bytes; `None` at the end, where the checksum of the answer, if any, was found right.
    pub(in crate::s3) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        while let Some(frame) = self.body.frame().await {
            // Trailers follow the bytes, and are not asked for.
            let Ok(data) = frame?.into_data() else { continue };
            if let Some(checksum) = &mut self.checksum {
                checksum.so_far.update(&data);
            }
            return Ok(Some(data));
        }
        self.checksum.take().map_or(Ok(()), Checksum::end)?;
        Ok(None)
    }
}

impl Checksum {
    /// The first checksum in the order of what they cost. One of the parts' checksums says nothing of the whole, and ends
    /// the search, as in the SDK.
    fn of(headers: &HeaderMap) -> Option<Self> {
        for name in CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER {
            let so_far = name.parse::<ChecksumAlgorithm>().ok()?.into_impl();
            if let Some(told) = headers.get(so_far.header_name()) {
                return Some(Self { told: BASE64_STANDARD.decode(told).ok()?, so_far });
            }
        }
        None
    }

    fn end(self) -> Result<(), Mismatch> {
        let found = self.so_far.finalize();
        if *found == *self.told {
            return Ok(());
        }
        let [told, found] = [&*self.told, &*found].map(|bytes| BASE64_STANDARD.encode(bytes));
        Err(Mismatch { told, found })
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    /// Whether a body in two pieces has the checksum that a header tells of it, if it tells one.
    fn checked(name: &'static str, told: &'static str, body: &str) -> Option<Result<(), Mismatch>> {
        let mut checksum =
            Checksum::of(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(told))]))?;
        let (first, second) = body.as_bytes().split_at(4);
        checksum.so_far.update(first);
        checksum.so_far.update(second);
        Some(checksum.end())
    }

    /// The values are those of RFC 3720, FIPS 180 and the CRC catalogue for these nine digits.
    #[test]
    fn a_damaged_body_is_refused_by_each_checksum() {
        for (name, told) in [
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
            ("x-amz-checksum-crc32", "y/Q5Jg=="),
            ("x-amz-checksum-crc32c", "4waSgw=="),
            ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert!(matches!(checked(name, told, "123456789"), Some(Ok(()))), "{name}");
            let damaged = checked(name, told, "123456780").unwrap().unwrap_err().to_string();
            assert!(damaged.contains("checksum mismatch"), "{damaged}");
        }
        for told in ["rosUhgp5mIg=-2", "no base64!"] {
            assert!(checked("x-amz-checksum-crc64nvme", told, "other").is_none(), "{told} says nothing of the whole");
        }
    }
}
