//! Direct access to the state: tests look at it, and change it behind a tool's back.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::{
    checksums::{self, Checksum, Kind},
    condition::Condition,
    locks::Bypass,
    objects::{Content, Data, Versioning},
    state::Buckets,
};

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
    /// Its storage class, if not `STANDARD`.
    pub storage_class: Option<String>,
}

impl Buckets {
    /// Makes a bucket; no effect if it exists.
    pub fn create_bucket(&self, bucket: &str) {
        self.write().create_bucket(bucket);
    }

    /// Removes a bucket with all that it holds; no effect if it is not there.
    pub fn drop_bucket(&self, bucket: &str) {
        self.write().buckets.remove(bucket);
    }

    /// The names of all buckets, in byte order.
    pub fn names(&self) -> Vec<String> {
        self.read().buckets.keys().cloned().collect()
    }

    /// Switches versioning. Makes the bucket if it is missing.
    pub fn set_versioning(&self, bucket: &str, versioning: Versioning) {
        self.write().create_bucket(bucket).versioning = versioning;
    }

    /// Writes an object without a request. Makes the bucket if it is missing.
    pub fn put(&self, bucket: &str, key: &str, data: impl Into<Bytes>) {
        self.put_object(bucket, key, NewObject { data: data.into(), ..NewObject::default() });
    }

    /// Writes an object with all its properties. Makes the bucket if it is missing.
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
            storage_class: object.storage_class.filter(|class| class != "STANDARD"),
            ..Content::default()
        };
        let mut state = self.write();
        state.create_bucket(bucket);
        state.put(bucket, key, content, &Condition::None).expect("the bucket exists and nothing is demanded");
    }

    /// The bytes of the current version; `None` if there is no object.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let state = self.read();
        let content = state.buckets.get(bucket)?.current(key)?.content.as_ref()?;
        Some(match content.data.segments.as_slice() {
            [whole] => whole.clone(),
            segments => segments.concat().into(),
        })
    }

    /// The current version with its bytes, type, metadata, tags and storage class.
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
            storage_class: content.storage_class.clone(),
        })
    }

    /// Deletes an object as a request would; returns whether there was one.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        let existed = self.get(bucket, key).is_some();
        self.write().delete(bucket, key, None, &Condition::None, Bypass::No).is_ok() && existed
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

    /// Makes the current version look as if it were written so much later; returns whether there is one.
    pub fn postdate(&self, bucket: &str, key: &str, later: Duration) -> bool {
        let mut state = self.write();
        let stored = state.buckets.get_mut(bucket).and_then(|bucket| bucket.version_mut(key, None));
        stored.is_some_and(|stored| {
            stored.modified += later;
            true
        })
    }

    /// Flips a bit of the current version at `offset` in place: `ETag`, time and stored checksums
    /// stay, as when a disk rots. Returns whether there was such a byte.
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

#[cfg(test)]
mod tests {
    use super::*;

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
