//! Evidence about bytes.

use std::fmt;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `hex::encode` takes letter after letter, which a hot request would pay for.
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
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
