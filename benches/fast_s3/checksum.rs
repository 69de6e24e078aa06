//! The checksums of S3: computed as a body arrives, and compared with what the client says.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::answer::Failure;

const PREFIX: &str = "x-amz-checksum-";

/// A CRC-64/NVME as it grows.
pub(crate) struct Crc64(crc_fast::Digest);

impl Crc64 {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

/// The CRC-64/NVME of two bodies, one after the other.
pub(crate) fn joined(first: u64, second: u64, second_bytes: u64) -> u64 {
    crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, second_bytes)
}

/// As `x-amz-checksum-crc64nvme` has it.
pub(crate) fn crc64_header(value: u64) -> (HeaderName, HeaderValue) {
    let text = BASE64_STANDARD.encode(value.to_be_bytes());
    (HeaderName::from_static("x-amz-checksum-crc64nvme"), HeaderValue::try_from(text).expect("base64 is a value"))
}

enum Running {
    Crc(crc_fast::Digest, usize),
    Sha256(Sha256),
}

/// A checksum that a client has announced.
pub(crate) struct Announced {
    name: HeaderName,
    running: Running,
    /// `None` as long as it stands in a trailer that has not come.
    wanted: Option<String>,
}

impl Announced {
    /// The checksums that the headers of a request hold or announce as a trailer.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        for (name, value) in headers {
            let is_digest =
                !matches!(name.as_str(), "x-amz-checksum-type" | "x-amz-checksum-algorithm" | "x-amz-checksum-mode");
            if name.as_str().starts_with(PREFIX) && is_digest {
                found.push(Self::new(name.clone(), Some(value.to_str().unwrap_or_default().to_owned()))?);
            }
        }
        if let Some(trailer) = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()) {
            let name = HeaderName::try_from(trailer).map_err(|_| Failure::INVALID)?;
            found.push(Self::new(name, None)?);
        }
        Ok(found)
    }

    fn new(name: HeaderName, wanted: Option<String>) -> Result<Self, Failure> {
        let crc = |algorithm, bytes| Running::Crc(crc_fast::Digest::new(algorithm), bytes);
        let running = match name.as_str().strip_prefix(PREFIX) {
            Some("crc32") => crc(CrcAlgorithm::Crc32IsoHdlc, 4),
            Some("crc32c") => crc(CrcAlgorithm::Crc32Iscsi, 4),
            Some("crc64nvme") => crc(CrcAlgorithm::Crc64Nvme, 8),
            Some("sha256") => Running::Sha256(Sha256::new()),
            _ => return Err(Failure::NOT_IMPLEMENTED),
        };
        Ok(Self { name, running, wanted })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Crc(crc, _) => crc.update(bytes),
            Running::Sha256(sha256) => sha256.update(bytes),
        }
    }

    /// Takes a trailer.
    pub(crate) fn announce(&mut self, name: &str, value: &str) {
        if self.name.as_str().eq_ignore_ascii_case(name) {
            self.wanted = Some(value.to_owned());
        }
    }

    /// The header that is kept, if the body is the announced one.
    pub(crate) fn finish(self) -> Result<(HeaderName, HeaderValue), Failure> {
        let found = match self.running {
            Running::Crc(crc, bytes) => BASE64_STANDARD.encode(&crc.finalize().to_be_bytes()[8 - bytes..]),
            Running::Sha256(sha256) => BASE64_STANDARD.encode(sha256.finalize()),
        };
        if self.wanted.as_deref() != Some(found.as_str()) {
            return Err(Failure::BAD_DIGEST);
        }
        Ok((self.name, HeaderValue::try_from(found).expect("base64 is a value")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of <https://reveng.sourceforge.io/crc-catalogue/all.htm>.
    #[test]
    fn a_right_checksum_passes_and_a_wrong_one_fails() {
        for (name, right) in [("crc32", 0xcbf4_3926_u32), ("crc32c", 0xe306_9283)] {
            for (wanted, passes) in [(right, true), (right + 1, false)] {
                let mut headers = HeaderMap::new();
                let name = HeaderName::try_from(format!("{PREFIX}{name}")).unwrap();
                headers.insert(name, BASE64_STANDARD.encode(wanted.to_be_bytes()).try_into().unwrap());
                let mut announced = Announced::of(&headers).unwrap().pop().unwrap();
                announced.update(b"123456789");
                assert_eq!(announced.finish().is_ok(), passes);
            }
        }
        let mut crc = Crc64::new();
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xae8b_1486_0a79_9888);
    }
}
