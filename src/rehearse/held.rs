//! All that a bucket holds, and one digest over it: how rehearsals compare where they ended.
//!
//! Two buckets with the same digest hold the same keys with the same versions in the same order: the
//! same bytes, headers, metadata, tags and storage classes. Version ids, times, `ETag`s, checksums,
//! ACLs, locks and the sizes of parts are left out, since they depend on how and when something was
//! written.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sha2::Digest as _;

use super::{
    objects::{Content, Stored},
    state::Buckets,
};
use crate::model::Sha256;

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
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Content headers and the website redirect, by name.
    pub headers: BTreeMap<String, String>,
    /// User metadata; names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// `STANDARD` where nothing else was asked for.
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
    /// All that a bucket holds, by key; nothing where there is no such bucket. The bytes are hashed as
    /// the iterator goes on, and it shows the bucket as it was when it began.
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

    /// A digest over all that [`held`](Self::held) shows.
    pub fn digest(&self, bucket: &str) -> Sha256 {
        let mut hash = Canonical(sha2::Sha256::new());
        for object in self.held(bucket) {
            hash.text(&object.key);
            hash.number(object.versions.len() as u64);
            for version in &object.versions {
                hash.number(u64::from(version.is_some()));
                let Some(version) = version else { continue };
                hash.number(version.size);
                hash.0.update(version.sha256.0);
                for map in [&version.headers, &version.metadata, &version.tags] {
                    hash.map(map);
                }
                hash.text(&version.storage_class);
            }
        }
        Sha256(hash.0.finalize().into())
    }
}

fn sha256(segments: &[Bytes]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    for segment in segments {
        hasher.update(segment);
    }
    Sha256(hasher.finalize().into())
}

/// Every text behind its length, so that no two contents read the same.
struct Canonical(sha2::Sha256);

impl Canonical {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.number(map.len() as u64);
        for (name, value) in map {
            self.text(name);
            self.text(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{NewObject, Versioning},
        *,
    };

    #[test]
    fn the_digest_is_of_the_end_and_not_of_the_way() {
        let (one, two) = (Buckets::default(), Buckets::default());
        for (buckets, keys) in [(&one, ["a", "b"]), (&two, ["b", "a"])] {
            buckets.set_versioning("x", Versioning::Enabled);
            for key in keys {
                buckets.put("x", key, key.to_owned());
            }
            buckets.put("x", "a", "second");
            assert!(buckets.delete("x", "a"));
        }
        assert_eq!(one.digest("x"), two.digest("x"), "not of the order, nor of version ids");
        let held: Vec<HeldObject> = one.held("x").collect();
        assert_eq!(
            held.iter().map(|object| (&*object.key, object.versions.len())).collect::<Vec<_>>(),
            [("a", 3), ("b", 1)]
        );
        assert_eq!(held[0].versions[2], None, "the delete marker is the current one");
        assert_eq!(held[1].versions[0].as_ref().unwrap().sha256, crate::digest::sha256(b"b"));
        assert_eq!(one.names(), ["x"]);
    }

    #[test]
    fn the_digest_changes_with_all_that_must_survive() {
        let with = |change: fn(&mut NewObject)| {
            let buckets = Buckets::default();
            let mut object = NewObject { data: "body".into(), ..NewObject::default() };
            object.tags.insert("team".to_owned(), "a".to_owned());
            change(&mut object);
            buckets.put_object("x", "k", object);
            buckets
        };
        let plain = with(|_| {}).digest("x");
        assert_eq!(plain, with(|_| {}).digest("x"));
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
            assert_ne!(plain, changed.digest("x"), "change {index}");
        }
        let rotten = with(|_| {});
        assert!(rotten.corrupt("x", "k", 0));
        assert_ne!(plain, rotten.digest("x"));
        let moved = with(|_| {});
        moved.put("x", "l", "");
        assert_ne!(plain, moved.digest("x"));
    }
}
