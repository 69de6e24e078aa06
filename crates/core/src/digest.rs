//! Digests, each computed once: SHA-256 and CRC-64/NVME of bytes as they arrive.
//!
//! The SHA-256 of a part serves twice, as the signed payload hash of the request that writes it and as the evidence
//! in the ledger. The CRC-64/NVME combines over parts into that of the whole object, which S3 keeps too, so that
//! AWS's own checksums stay comparable.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use sha2::Digest as _;

use crate::model::{Evidence, Sha256};

/// Bytes with their digests. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Bytes,
    sha256: Sha256,
    crc64nvme: u64,
    md5: Arc<OnceLock<[u8; 16]>>,
}

impl Body {
    /// Hashes `bytes`. Takes about 1 ms a MiB, so large bodies belong off the reactor.
    pub fn new(bytes: Bytes) -> Self {
        Self { sha256: sha256(&bytes), crc64nvme: crc_fast::checksum(Crc64Nvme, &bytes), md5: Arc::default(), bytes }
    }

    /// The bytes as they were hashed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Number of bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// CRC-64/NVME of the bytes.
    pub fn crc64nvme(&self) -> u64 {
        self.crc64nvme
    }

    /// MD5 of the bytes, computed at the first call: only servers without a better proof need it.
    pub fn md5(&self) -> [u8; 16] {
        *self.md5.get_or_init(|| md5(&self.bytes))
    }

    /// The same digests over other bytes of the same length: a body damaged on its way, to test what a server does
    /// with one.
    #[must_use]
    pub fn with_bytes_damaged(&self) -> Self {
        let mut bytes = self.bytes.to_vec();
        if let Some(first) = bytes.first_mut() {
            *first ^= 1;
        }
        Self { bytes: bytes.into(), ..self.clone() }
    }

    /// The same bytes with a wrong CRC-64.
    #[must_use]
    pub fn with_crc_damaged(&self) -> Self {
        Self { crc64nvme: self.crc64nvme ^ 1, ..self.clone() }
    }

    /// The evidence of an object that is exactly this body.
    pub fn evidence(&self) -> Evidence {
        Evidence { crc64nvme: self.crc64nvme, parts: vec![(self.size(), self.sha256)] }
    }
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// The MD5 of `bytes`, which is usually S3's `ETag` of an object that was written whole.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    md5::Md5::digest(bytes).into()
}

/// Collects the digests of an object's parts, in order.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    crc64nvme: u64,
    parts: Vec<(u64, Sha256)>,
}

impl Parts {
    /// Adds the next part: its size in bytes and its digests.
    pub fn push(&mut self, size: u64, sha256: Sha256, crc64nvme: u64) {
        self.crc64nvme = if self.parts.is_empty() {
            crc64nvme
        } else {
            crc_fast::checksum_combine(Crc64Nvme, self.crc64nvme, crc64nvme, size)
        };
        self.parts.push((size, sha256));
    }

    /// The evidence of the whole object.
    pub fn finish(self) -> Evidence {
        Evidence { crc64nvme: self.crc64nvme, parts: self.parts }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_match_published_vectors() {
        let body = Body::new(Bytes::from_static(b"123456789"));
        // The CRC catalogue's check value for CRC-64/NVME.
        assert_eq!(body.crc64nvme(), 0xae8b_1486_0a79_9888);
        assert_eq!(body.sha256().to_string(), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
        assert_eq!(hex::encode(body.md5()), "25f9e794323b453885f5181f1b624d0b");
    }

    proptest! {
        #[test]
        fn the_crc_of_parts_is_that_of_the_whole(
            data in proptest::collection::vec(any::<u8>(), 0..4096), size in 1_usize..512,
        ) {
            let mut parts = Parts::default();
            for chunk in data.chunks(size) {
                let part = Body::new(Bytes::copy_from_slice(chunk));
                parts.push(part.size(), part.sha256(), part.crc64nvme());
            }
            if !data.is_empty() {
                prop_assert_eq!(parts.finish().crc64nvme, Body::new(data.into()).crc64nvme());
            }
        }
    }
}
