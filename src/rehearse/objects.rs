//! The state: buckets, keys, and the versions under each key. Pure logic behind one lock.
//!
//! Under a key lie its versions, oldest first; a delete marker is a version without content. A
//! bucket that never had versioning keeps one version, whose id is `null`.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use s3s::{S3Error, S3Result, s3_error};

use super::{
    checksums::{self, Checksum, Kind},
    faults::mix,
    multipart::Upload,
};

/// The id of the version that is written while versioning is off.
pub(super) const NULL_VERSION: &str = "null";

/// All that a server holds. Tests use it to look and to meddle without a request.
#[derive(Debug, Default)]
pub struct Buckets(RwLock<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    /// Counts writes of all kinds; version and upload ids are made of it.
    sequence: u64,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) keys: BTreeMap<Name, Vec<Arc<Stored>>>,
    pub(super) versioning: Versioning,
    pub(super) created: SystemTime,
    /// Unfinished uploads by key, then in the order in which they began.
    pub(super) uploads: BTreeMap<(Arc<str>, String), Upload>,
    /// The key written last, which a stale listing does not show.
    pub(super) newest: Option<Arc<str>>,
}

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

/// What an object is.
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
    pub(super) checksum: Option<Checksum>,
    /// Sizes of the parts it was completed from, with their checksums; empty if written whole.
    pub(super) parts: Vec<StoredPart>,
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

/// What must hold of the current version for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match: "etag"`, without the quotes.
    Matches(String),
}

impl Condition {
    /// Checks a write. An `If-Match` without any object is 404, as documented for `PutObject`:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
    fn check_write(&self, current: Option<&Content>) -> S3Result<()> {
        match (self, current) {
            (Self::Matches(_) | Self::Present, None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            _ => self.check_delete(current),
        }
    }

    pub(super) fn check_delete(&self, current: Option<&Content>) -> S3Result<()> {
        let holds = match self {
            Self::None => true,
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Matches(etag) => current.is_some_and(|content| content.etag == *etag),
        };
        if holds { Ok(()) } else { Err(precondition_failed()) }
    }
}

pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// What a delete did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// The version that was removed, or the marker that was added.
    pub(super) version: Option<Arc<str>>,
    /// Whether a marker was added or removed.
    pub(super) marker: bool,
}

/// An object to put directly, without a request.
#[derive(Debug, Clone, Default)]
pub struct NewObject {
    /// Its bytes.
    pub data: Bytes,
    /// Its `Content-Type`, if not `binary/octet-stream`.
    pub content_type: Option<String>,
    /// User metadata; names in lower case, without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// The time as S3 keeps it: whole seconds.
pub(super) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

impl State {
    pub(super) fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    pub(super) fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Writes an object under a condition; gives what was stored.
    pub(super) fn put(
        &mut self,
        bucket: &str,
        key: &str,
        content: Content,
        condition: &Condition,
    ) -> S3Result<Arc<Stored>> {
        let sequence = self.next_sequence();
        let bucket = self.bucket_mut(bucket)?;
        condition.check_write(bucket.current(key).and_then(|stored| stored.content.as_ref()))?;
        Ok(bucket.push(key, Some(content), sequence))
    }

    /// Deletes the current version, or the one named.
    pub(super) fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        condition: &Condition,
    ) -> S3Result<Deleted> {
        let sequence = self.next_sequence();
        let bucket = self.bucket_mut(bucket)?;
        condition.check_delete(bucket.current(key).and_then(|stored| stored.content.as_ref()))?;
        if let Some(version) = version {
            let removed = bucket.remove(key, version);
            let marker = removed.is_some_and(|stored| stored.content.is_none());
            return Ok(Deleted { version: Some(version.into()), marker });
        }
        if bucket.versioning == Versioning::Off {
            bucket.remove(key, NULL_VERSION);
            return Ok(Deleted::default());
        }
        let marker = bucket.push(key, None, sequence);
        Ok(Deleted { version: Some(marker.version.clone()), marker: true })
    }
}

impl Bucket {
    /// The current version, a delete marker too.
    pub(super) fn current(&self, key: &str) -> Option<&Arc<Stored>> {
        self.keys.get(key.as_bytes())?.last()
    }

    /// The version id that an answer shows: none where versioning was never on.
    pub(super) fn shown_version(&self, stored: &Stored) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| stored.version.to_string())
    }

    fn push(&mut self, key: &str, content: Option<Content>, sequence: u64) -> Arc<Stored> {
        let name = match self.keys.get_key_value(key.as_bytes()) {
            Some((name, _)) => name.clone(),
            None => Name(key.into()),
        };
        let version = match self.versioning {
            Versioning::Enabled => format!("{sequence:012x}{:016x}", mix(sequence)).into(),
            Versioning::Off | Versioning::Suspended => NULL_VERSION.into(),
        };
        self.newest = Some(name.0.clone());
        let stored = Arc::new(Stored { version, modified: now(), content });
        let versions = self.keys.entry(name).or_insert_with(|| Vec::with_capacity(1));
        if &*stored.version == NULL_VERSION {
            versions.retain(|old| &*old.version != NULL_VERSION);
        }
        versions.push(stored.clone());
        stored
    }

    fn remove(&mut self, key: &str, version: &str) -> Option<Arc<Stored>> {
        let versions = self.keys.get_mut(key.as_bytes())?;
        let index = versions.iter().position(|stored| &*stored.version == version)?;
        let removed = versions.remove(index);
        if versions.is_empty() {
            self.keys.remove(key.as_bytes());
        }
        Some(removed)
    }

    /// The version to be changed in place: the current one, or the one named.
    pub(super) fn version_mut(&mut self, key: &str, version: Option<&str>) -> Option<&mut Stored> {
        let versions = self.keys.get_mut(key.as_bytes())?;
        let stored = match version {
            Some(version) => versions.iter_mut().find(|stored| &*stored.version == version)?,
            None => versions.last_mut()?,
        };
        Some(Arc::make_mut(stored))
    }
}

impl Buckets {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a bucket; no effect where it exists.
    pub fn create_bucket(&self, bucket: &str) {
        self.write().create_bucket(bucket);
    }

    /// Switches versioning. The bucket is made where it is missing.
    pub fn set_versioning(&self, bucket: &str, versioning: Versioning) {
        self.write().create_bucket(bucket).versioning = versioning;
    }

    /// Writes an object without a request. The bucket is made where it is missing.
    pub fn put(&self, bucket: &str, key: &str, data: impl Into<Bytes>) {
        self.put_object(bucket, key, NewObject { data: data.into(), ..NewObject::default() });
    }

    /// Writes an object with all it carries. The bucket is made where it is missing.
    pub fn put_object(&self, bucket: &str, key: &str, object: NewObject) {
        let segments = vec![object.data];
        let content_type = object.content_type.as_deref().unwrap_or("binary/octet-stream");
        let content = Content {
            etag: hex::encode(checksums::md5(&segments)),
            checksum: Some(Checksum::full(Kind::Crc64Nvme, &segments)),
            data: Data::new(segments),
            headers: HeaderValue::from_str(content_type).map(|value| (CONTENT_TYPE, value)).into_iter().collect(),
            metadata: object.metadata,
            tags: object.tags,
            ..Content::default()
        };
        let mut state = self.write();
        state.create_bucket(bucket);
        state.put(bucket, key, content, &Condition::None).expect("the bucket exists and nothing is demanded");
    }

    /// The bytes of the current version; `None` where there is no object.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let state = self.read();
        let content = state.buckets.get(bucket)?.current(key)?.content.as_ref()?;
        Some(match content.data.segments.as_slice() {
            [whole] => whole.clone(),
            segments => segments.concat().into(),
        })
    }

    /// The current version with its bytes, type, metadata and tags.
    pub fn get_object(&self, bucket: &str, key: &str) -> Option<NewObject> {
        let data = self.get(bucket, key)?;
        let state = self.read();
        let content = state.buckets.get(bucket)?.current(key)?.content.as_ref()?;
        let content_type = content.headers.iter().find(|(name, _)| *name == CONTENT_TYPE);
        Some(NewObject {
            data,
            content_type: content_type.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            metadata: content.metadata.clone(),
            tags: content.tags.clone(),
        })
    }

    /// Deletes an object as a request would; whether there was one.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        let existed = self.get(bucket, key).is_some();
        self.write().delete(bucket, key, None, &Condition::None).is_ok() && existed
    }

    /// The keys of a bucket's objects, in byte order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let state = self.read();
        let keys = state.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.keys);
        keys.filter(|(_, versions)| versions.last().is_some_and(|stored| stored.content.is_some()))
            .map(|(name, _)| name.0.to_string())
            .collect()
    }

    /// How many objects a bucket holds.
    pub fn count(&self, bucket: &str) -> usize {
        let state = self.read();
        let versions = state.buckets.get(bucket).into_iter().flat_map(|bucket| bucket.keys.values());
        versions.filter(|versions| versions.last().is_some_and(|stored| stored.content.is_some())).count()
    }

    /// Flips a bit of the current version at `offset` in place: `ETag`, time and stored checksums
    /// stay, as when a disk rots. Whether there was such a byte.
    pub fn corrupt(&self, bucket: &str, key: &str, offset: u64) -> bool {
        let mut state = self.write();
        let stored = state.buckets.get_mut(bucket).and_then(|bucket| bucket.version_mut(key, None));
        let Some(content) = stored.and_then(|stored| stored.content.as_mut()) else { return false };
        let mut at = offset;
        for segment in &mut content.data.segments {
            let len = segment.len() as u64;
            if at < len {
                let mut bytes = segment.to_vec();
                bytes[usize::try_from(at).expect("an offset into memory fits")] ^= 1;
                *segment = bytes.into();
                return true;
            }
            at -= len;
        }
        false
    }
}

impl State {
    pub(super) fn create_bucket(&mut self, name: &str) -> &mut Bucket {
        self.buckets.entry(name.to_owned()).or_insert_with(|| Bucket {
            keys: BTreeMap::new(),
            versioning: Versioning::Off,
            created: now(),
            uploads: BTreeMap::new(),
            newest: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &'static [u8]) -> Content {
        let segments = vec![Bytes::from_static(bytes)];
        Content { etag: hex::encode(checksums::md5(&segments)), data: Data::new(segments), ..Content::default() }
    }

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

    #[test]
    fn conditions_guard_writes_and_deletes() {
        let buckets = Buckets::default();
        buckets.create_bucket("b");
        let mut state = buckets.write();
        let code = |error: S3Error| error.code().as_str().to_owned();
        let matches = Condition::Matches("0".repeat(32));
        assert_eq!(code(state.put("b", "k", content(b"1"), &matches).unwrap_err()), "NoSuchKey");
        let first = state.put("b", "k", content(b"1"), &Condition::Absent).unwrap();
        assert_eq!(code(state.put("b", "k", content(b"2"), &Condition::Absent).unwrap_err()), "PreconditionFailed");
        assert_eq!(code(state.put("b", "k", content(b"2"), &matches).unwrap_err()), "PreconditionFailed");
        assert_eq!(code(state.delete("b", "k", None, &matches).unwrap_err()), "PreconditionFailed");
        let right = Condition::Matches(first.content.as_ref().unwrap().etag.clone());
        state.put("b", "k", content(b"2"), &right).unwrap();
        assert_eq!(code(state.put("missing", "k", content(b"2"), &Condition::None).unwrap_err()), "NoSuchBucket");
    }

    #[test]
    fn versions_are_kept_only_while_enabled() {
        let buckets = Buckets::default();
        buckets.put("b", "k", "null version");
        buckets.set_versioning("b", Versioning::Enabled);
        buckets.put("b", "k", "second");
        assert!(buckets.delete("b", "k"));
        assert_eq!(buckets.get("b", "k"), None);
        assert_eq!(buckets.count("b"), 0);
        assert_eq!(buckets.read().bucket("b").unwrap().keys[b"k".as_slice()].len(), 3, "two versions and a marker");
        buckets.set_versioning("b", Versioning::Suspended);
        buckets.put("b", "k", "replaces null");
        assert_eq!(buckets.read().bucket("b").unwrap().keys[b"k".as_slice()].len(), 3, "null was replaced");
        assert_eq!(buckets.get("b", "k").unwrap(), "replaces null");
    }

    #[test]
    fn corruption_leaves_every_trace_of_the_old_bytes() {
        let buckets = Buckets::default();
        buckets.put("b", "k", "body");
        let before = buckets.read().bucket("b").unwrap().current("k").unwrap().clone();
        assert!(buckets.corrupt("b", "k", 3));
        assert!(!buckets.corrupt("b", "k", 4), "past the end");
        let after = buckets.read().bucket("b").unwrap().current("k").unwrap().clone();
        assert_eq!(buckets.get("b", "k").unwrap(), "bodx");
        assert_eq!(before.modified, after.modified);
        let (before, after) = (before.content.as_ref().unwrap(), after.content.as_ref().unwrap());
        assert_eq!((&before.etag, &before.checksum), (&after.etag, &after.checksum));
    }
}
