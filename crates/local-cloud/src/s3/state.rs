//! The state: buckets, keys, and the versions under each key. Pure logic behind one lock.
//!
//! Under a key lie its versions, oldest first; a delete marker is a version without content. A
//! bucket that never had versioning keeps one version, whose id is `null`.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use s3s::{S3Result, s3_error};

use super::{
    condition::Condition,
    locks::{self, Bypass},
    objects::{Content, Deleted, NULL_VERSION, Name, Stored, Versioning, now},
    settings::Settings,
    upload::Upload,
};
use migrate_fault::mix;

/// All that a server holds. Tests use it to look and to meddle without a request.
#[derive(Debug, Default)]
pub struct Buckets(RwLock<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    /// The number of writes of all kinds; version and upload ids are made of it.
    sequence: u64,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) keys: BTreeMap<Name, Vec<Arc<Stored>>>,
    pub(super) versioning: Versioning,
    pub(super) created: SystemTime,
    pub(super) settings: Settings,
    /// Unfinished uploads by key, then in the order in which they began.
    pub(super) uploads: BTreeMap<(Arc<str>, String), Upload>,
    /// The key written last, which a stale listing does not show.
    pub(super) newest: Option<Arc<str>>,
}

impl Buckets {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// Writes an object under a condition; returns what was stored.
    pub(super) fn put(
        &mut self,
        bucket: &str,
        key: &str,
        mut content: Content,
        condition: &Condition,
    ) -> S3Result<Arc<Stored>> {
        let sequence = self.next_sequence();
        let bucket = self.bucket_mut(bucket)?;
        bucket.settings.lock_new(&mut content.lock)?;
        condition.check_write(bucket.current(key).and_then(|stored| stored.content.as_ref()))?;
        Ok(bucket.push(key, Some(content), sequence))
    }

    /// Deletes the current version, or the one named, unless that is locked. A marker over a locked
    /// version is never refused, since nothing is lost by it.
    pub(super) fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        condition: &Condition,
        bypass: Bypass,
    ) -> S3Result<Deleted> {
        let sequence = self.next_sequence();
        let bucket = self.bucket_mut(bucket)?;
        condition.check_delete(bucket.current(key).and_then(|stored| stored.content.as_ref()))?;
        if let Some(version) = version {
            let content = bucket.version(key, version).and_then(|stored| stored.content.as_ref());
            if content.is_some_and(|content| content.lock.holds(SystemTime::now(), bypass)) {
                return Err(locks::protected());
            }
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

    fn version(&self, key: &str, version: &str) -> Option<&Arc<Stored>> {
        self.keys.get(key.as_bytes())?.iter().find(|stored| &*stored.version == version)
    }

    /// The version id that an answer shows: none if versioning was never on.
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

impl State {
    pub(super) fn create_bucket(&mut self, name: &str) -> &mut Bucket {
        self.buckets.entry(name.to_owned()).or_insert_with(|| Bucket {
            keys: BTreeMap::new(),
            versioning: Versioning::Off,
            created: now(),
            settings: Settings::default(),
            uploads: BTreeMap::new(),
            newest: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use s3s::S3Error;

    use super::{
        super::{checksums, objects::Data},
        *,
    };

    fn content(bytes: &'static [u8]) -> Content {
        let segments = vec![Bytes::from_static(bytes)];
        Content { etag: hex::encode(checksums::md5(&segments)), data: Data::new(segments), ..Content::default() }
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
        assert_eq!(code(state.delete("b", "k", None, &matches, Bypass::No).unwrap_err()), "PreconditionFailed");
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
}
