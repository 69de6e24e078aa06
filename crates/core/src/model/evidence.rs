//! Evidence about bytes.

use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The evidence about one object's bytes: what was read at the source and proved at the target.
///
/// `crc64nvme` covers the whole object; `parts` holds the SHA-256 of each part in order, with
/// its size. An object copied whole has one part, so its SHA-256 is that part's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// CRC-64/NVME of the whole object.
    pub crc64nvme: u64,
    /// Size in bytes and SHA-256 of each part, in order.
    pub parts: Vec<(u64, Sha256)>,
}
