//! All that a bucket holds, without what depends on when and how it was written: version ids, times,
//! `ETag`s, checksums, ACLs, locks and the sizes of parts are left out.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sha2::Digest as _;

use super::{
    objects::{Content, Stored},
    state::Buckets,
};

/// A key with its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldObject {
    /// The key.
    pub key: String,
    /// Its versions, oldest first; the last is the current one. `None` is a delete marker.
    pub versions: Vec<Option<HeldVersion>>,
}

/// One version of an object, without what depends on when and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVersion {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Content headers and the website redirect, by name.
    pub headers: BTreeMap<String, String>,
    /// User metadata; names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// `STANDARD` unless a write asked for another.
    pub storage_class: String,
}

impl HeldVersion {
    fn of(content: &Content) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            size: content.data.size,
            sha256: sha256(&content.data.segments),
            headers: content.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            metadata: content.metadata.clone(),
            tags: content.tags.clone(),
            storage_class: content.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()),
        }
    }
}

impl Buckets {
    /// All that a bucket holds, by key; nothing if there is no such bucket. The iterator hashes bytes as it
    /// goes on, and shows the bucket as it was when it began.
    pub fn held(&self, bucket: &str) -> impl Iterator<Item = HeldObject> {
        let state = self.read();
        let keys = state.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.keys);
        let snapshot: Vec<(Arc<str>, Vec<Arc<Stored>>)> =
            keys.map(|(name, versions)| (name.0.clone(), versions.clone())).collect();
        snapshot.into_iter().map(|(key, versions)| HeldObject {
            key: key.to_string(),
            versions: versions.iter().map(|stored| stored.content.as_ref().map(HeldVersion::of)).collect(),
        })
    }
}

fn sha256(segments: &[Bytes]) -> String {
    let mut hasher = sha2::Sha256::new();
    for segment in segments {
        hasher.update(segment);
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{direct::NewObject, objects::Versioning},
        *,
    };

    #[test]
    fn every_version_is_shown_whatever_the_order_of_writing() {
        let filled = |keys: [&str; 2]| {
            let buckets = Buckets::default();
            buckets.set_versioning("x", Versioning::Enabled);
            for key in keys {
                buckets.put("x", key, key.to_owned());
            }
            buckets.put("x", "a", "second");
            assert!(buckets.delete("x", "a"));
            buckets.held("x").collect::<Vec<HeldObject>>()
        };
        let held = filled(["a", "b"]);
        assert_eq!(held, filled(["b", "a"]));
        assert_eq!(
            held.iter().map(|object| (&*object.key, object.versions.len())).collect::<Vec<_>>(),
            [("a", 3), ("b", 1)]
        );
        assert_eq!(held[0].versions[2], None, "the delete marker is the current one");
        assert_eq!(held[1].versions[0].as_ref().unwrap().sha256, hex::encode(sha2::Sha256::digest(b"b")));
    }

    #[test]
    fn all_that_must_survive_is_shown() {
        let with = |change: fn(&mut NewObject)| {
            let buckets = Buckets::default();
            let mut object = NewObject { data: "body".into(), ..NewObject::default() };
            object.tags.insert("team".to_owned(), "a".to_owned());
            change(&mut object);
            buckets.put_object("x", "k", object);
            buckets
        };
        let held = |buckets: &Buckets| buckets.held("x").collect::<Vec<_>>();
        let plain = held(&with(|_| {}));
        for (index, changed) in [
            with(|object| object.data = "bodY".into()),
            with(|object| object.content_type = Some("text/plain".to_owned())),
            with(|object| drop(object.metadata.insert("team".to_owned(), "a".to_owned()))),
            with(|object| object.metadata = std::mem::take(&mut object.tags)),
            with(|object| drop(object.tags.insert("team".to_owned(), "b".to_owned()))),
            with(|object| object.storage_class = Some("GLACIER".to_owned())),
        ]
        .iter()
        .enumerate()
        {
            assert_ne!(plain, held(changed), "change {index}");
        }
        let rotten = with(|_| {});
        assert!(rotten.corrupt("x", "k", 0));
        assert_ne!(plain, held(&rotten));
        assert_eq!(rotten.names(), ["x"]);
    }
}
