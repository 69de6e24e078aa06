//! Objects: their versions, the bytes, and all that these carry.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use s3s::dto::Grant;

use super::{checksums::Checksum, locks::Lock};

/// The id of the version that is written while versioning is off.
pub(super) const NULL_VERSION: &str = "null";

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versioning {
    /// It never did.
    #[default]
    Off,
    /// Every write and delete adds a version.
    Enabled,
    /// It keeps those it has; new writes replace the version `null`.
    Suspended,
}

/// A key; ordered and looked up by its bytes, so that ranges need not be whole characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Arc<str>);

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) version: Arc<str>,
    pub(super) modified: SystemTime,
    pub(super) content: Option<Content>,
}

/// The content and properties of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) data: Data,
    /// Without quotes.
    pub(super) etag: String,
    /// Content headers and the website redirect, as they came.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    /// `None` for `STANDARD`.
    pub(super) storage_class: Option<String>,
    /// Until when an archived object can be read.
    pub(super) restored_until: Option<SystemTime>,
    pub(super) lock: Lock,
    /// `None` if only the owner may do anything.
    pub(super) grants: Option<Vec<Grant>>,
    pub(super) checksum: Option<Checksum>,
    /// Sizes of the parts it was completed from, with their checksums; empty if written whole.
    pub(super) parts: Vec<StoredPart>,
}

impl Content {
    /// Whether it must be restored before it can be read.
    pub(super) fn is_archived(&self) -> bool {
        matches!(self.storage_class.as_deref(), Some("GLACIER" | "DEEP_ARCHIVE"))
    }
}

/// A part of a completed object.
#[derive(Debug, Clone)]
pub(super) struct StoredPart {
    pub(super) number: i32,
    pub(super) size: u64,
    pub(super) checksum: Option<Checksum>,
}

/// Bytes in segments, one a part, never joined.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    pub(super) segments: Vec<Bytes>,
    pub(super) size: u64,
}

impl Data {
    pub(super) fn new(segments: Vec<Bytes>) -> Self {
        let size = segments.iter().map(|segment| segment.len() as u64).sum();
        Self { segments, size }
    }

    /// The bytes of a range, sharing memory.
    pub(super) fn slice(&self, range: &std::ops::Range<u64>) -> Vec<Bytes> {
        let mut at = 0_u64;
        let mut out = Vec::new();
        for segment in &self.segments {
            let len = segment.len() as u64;
            let from = range.start.clamp(at, at + len) - at;
            let to = range.end.clamp(at, at + len) - at;
            if from < to {
                let index = |offset: u64| usize::try_from(offset).expect("an offset into memory fits");
                out.push(segment.slice(index(from)..index(to)));
            }
            at += len;
        }
        out
    }
}

/// What a delete did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// The version that was removed, or the marker that was added.
    pub(super) version: Option<Arc<str>>,
    /// Whether a marker was added or removed.
    pub(super) marker: bool,
}

/// The time as S3 keeps it: whole seconds.
pub(super) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cross_segments() {
        let data = Data::new(vec![Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")]);
        for start in 0..7 {
            for end in start..=7 {
                let joined: Vec<u8> = data.slice(&(start..end)).concat();
                let (from, to) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
                assert_eq!(joined, b"abcdefg"[from..to]);
            }
        }
    }
}
