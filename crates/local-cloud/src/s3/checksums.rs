//! The five checksums of S3: of a whole body, combined over parts, and in headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use hyper::HeaderMap;
use s3s::{S3Result, crypto, s3_error};
use sha2::Digest as _;

/// A kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// Its name in `x-amz-checksum-algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries its value.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(super) fn parse(name: &str) -> S3Result<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported: {name}"))
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The checksum of the segments joined.
    pub(super) fn digest(self, segments: &[Bytes]) -> Vec<u8> {
        use crypto::Checksum as _;
        fn all<C: crypto::Checksum>(segments: &[Bytes]) -> Vec<u8> {
            let mut hasher = C::new();
            for segment in segments {
                hasher.update(segment);
            }
            hasher.finalize().as_ref().to_vec()
        }
        match self {
            Self::Crc32 => all::<crypto::Crc32>(segments),
            Self::Crc32c => all::<crypto::Crc32c>(segments),
            Self::Crc64Nvme => all::<crypto::Crc64Nvme>(segments),
            Self::Sha1 => all::<crypto::Sha1>(segments),
            Self::Sha256 => match segments {
                [whole] => crypto::Sha256::checksum(whole).as_ref().to_vec(),
                _ => all::<crypto::Sha256>(segments),
            },
        }
    }
}

/// A checksum of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) kind: Kind,
    pub(super) value: Vec<u8>,
    /// The number of parts whose checksums it covers; `None` if it covers the full object.
    pub(super) composite_of: Option<usize>,
}

impl Checksum {
    /// The checksum of a whole body.
    pub(super) fn full(kind: Kind, segments: &[Bytes]) -> Self {
        Self { kind, value: kind.digest(segments), composite_of: None }
    }

    /// Its value as S3 writes it.
    pub(super) fn text(&self) -> String {
        let value = STANDARD.encode(&self.value);
        match self.composite_of {
            Some(parts) => format!("{value}-{parts}"),
            None => value,
        }
    }

    /// Its type as S3 names it.
    pub(super) fn type_name(&self) -> &'static str {
        if self.composite_of.is_some() { "COMPOSITE" } else { "FULL_OBJECT" }
    }

    /// The checksum of an object made of parts, from the size and checksum of each.
    pub(super) fn of_parts(kind: Kind, composite: bool, parts: &[(u64, &[u8])]) -> Self {
        match kind.crc() {
            Some(algorithm) if !composite => {
                let combined = parts.iter().fold(0, |so_far, (size, value)| {
                    crc_fast::checksum_combine(algorithm, so_far, big_endian(value), *size)
                });
                let bytes = combined.to_be_bytes();
                Self { kind, value: bytes[8 - kind.size()..].to_vec(), composite_of: None }
            }
            _ => {
                let joined: Vec<u8> = parts.iter().flat_map(|(_, value)| value.iter().copied()).collect();
                Self { kind, value: kind.digest(&[joined.into()]), composite_of: Some(parts.len()) }
            }
        }
    }
}

fn big_endian(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// The checksum that headers (or trailers) declare, as a kind and its text.
pub(super) fn declared(headers: &HeaderMap) -> S3Result<Option<(Kind, String)>> {
    let mut found = None;
    for kind in Kind::ALL {
        let Some(value) = headers.get(kind.header()) else { continue };
        if found.is_some() {
            return Err(s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header."));
        }
        found = Some((kind, String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    Ok(found)
}

/// Compares a declared checksum with that of a body.
pub(super) fn verify(kind: Kind, text: &str, body: &Bytes) -> S3Result<Checksum> {
    match STANDARD.decode(text) {
        Ok(value) if value.len() == kind.size() => {}
        _ => return Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", kind.header())),
    }
    let actual = Checksum::full(kind, std::slice::from_ref(body));
    if actual.text() != text {
        return Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", kind.name()));
    }
    Ok(actual)
}

/// Checks `Content-MD5` against a body.
pub(super) fn verify_md5(text: &str, body: &[u8]) -> S3Result<()> {
    match STANDARD.decode(text) {
        Ok(value) if value.len() == 16 => {
            if value == md5(&[Bytes::copy_from_slice(body)]) {
                return Ok(());
            }
            Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."))
        }
        _ => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
    }
}

/// The MD5 of the segments joined.
pub(super) fn md5(segments: &[Bytes]) -> [u8; 16] {
    let mut hasher = md5::Md5::new();
    for segment in segments {
        hasher.update(segment);
    }
    hasher.finalize().into()
}

/// Hashes `size` bytes on a thread where that does not hold up other requests.
pub(super) async fn aside<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    const WORTH_A_THREAD: usize = 256 << 10;
    if size < WORTH_A_THREAD {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Fills the checksum fields: many of `s3s`'s answers have them without a common type.
macro_rules! fill_checksum {
    ($output:expr, $checksum:expr) => {{
        let checksum: &$crate::s3::checksums::Checksum = $checksum;
        let text = Some(checksum.text());
        match checksum.kind {
            $crate::s3::checksums::Kind::Crc32 => $output.checksum_crc32 = text,
            $crate::s3::checksums::Kind::Crc32c => $output.checksum_crc32c = text,
            $crate::s3::checksums::Kind::Crc64Nvme => $output.checksum_crc64nvme = text,
            $crate::s3::checksums::Kind::Sha1 => $output.checksum_sha1 = text,
            $crate::s3::checksums::Kind::Sha256 => $output.checksum_sha256 = text,
        }
    }};
}
pub(super) use fill_checksum;

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue and of FIPS 180 test tools, for "123456789".
    #[test]
    fn digests_match_published_vectors() {
        let body = [Bytes::from_static(b"12345"), Bytes::from_static(b"6789")];
        assert_eq!(hex::encode(Kind::Crc32.digest(&body)), "cbf43926");
        assert_eq!(hex::encode(Kind::Crc32c.digest(&body)), "e3069283");
        assert_eq!(hex::encode(Kind::Crc64Nvme.digest(&body)), "ae8b14860a799888");
        assert_eq!(hex::encode(Kind::Sha1.digest(&body)), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(
            hex::encode(Kind::Sha256.digest(&body)),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
    }

    #[test]
    fn a_full_object_crc_of_parts_is_that_of_the_whole() {
        let (a, b) = (Bytes::from(vec![7; 1000]), Bytes::from(vec![9; 333]));
        for kind in [Kind::Crc32, Kind::Crc32c, Kind::Crc64Nvme] {
            let values = [kind.digest(std::slice::from_ref(&a)), kind.digest(std::slice::from_ref(&b))];
            let combined = Checksum::of_parts(kind, false, &[(1000, &values[0]), (333, &values[1])]);
            assert_eq!(combined, Checksum::full(kind, &[a.clone(), b.clone()]), "{kind:?}");
        }
    }

    #[test]
    fn a_composite_covers_the_checksums_of_parts() {
        let values =
            [Kind::Sha256.digest(&[Bytes::from_static(b"a")]), Kind::Sha256.digest(&[Bytes::from_static(b"b")])];
        let composite = Checksum::of_parts(Kind::Sha256, true, &[(1, &values[0]), (1, &values[1])]);
        assert_eq!(composite.value, Kind::Sha256.digest(&[values.concat().into()]));
        assert!(composite.text().ends_with("=-2"), "{}", composite.text());
    }

    #[test]
    fn a_wrong_or_malformed_checksum_is_refused() {
        let body = Bytes::from_static(b"body");
        let right = Checksum::full(Kind::Crc32, std::slice::from_ref(&body)).text();
        assert!(verify(Kind::Crc32, &right, &body).is_ok());
        let wrong = verify(Kind::Crc32, "AAAAAA==", &body).unwrap_err();
        assert_eq!(wrong.code().as_str(), "BadDigest");
        let malformed = verify(Kind::Crc32, "AAAA", &body).unwrap_err();
        assert_eq!(malformed.code().as_str(), "InvalidRequest");
    }
}
