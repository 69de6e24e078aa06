//! The end state of a cloud in one line: two digests are equal if all that matters is equal.
//!
//! It covers, per site, every container, key, SHA-256 of the bytes, header, item of metadata, tag and
//! storage class; and every item of every table. It leaves out what differs between two runs that did the same: times, version and upload ids,
//! `ETag`s (they tell how an object was cut into parts), and the keys of probes. Of a route's document
//! only `dataset`, `epoch`, `lead` and `followers` count: it also holds times, and perhaps more one day.
//!
//! Every field goes into the digest with its length before it, so that two states never give the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use migrate_core::{
    item::{Item, Value, digest as item_digest},
    model::{Key, KeyRange, SiteName},
};
use migrate_engine::cutover::number_in_series;
use migrate_local_cloud::{Buckets, HeldObject};
use migrate_store::{ObjectStore, StoreError, file::FileStore};

/// The beginning of the last part of a probe's key. A probe removes its keys unless it is killed.
const PROBE: &str = ".migrate-probe-";

/// The fields of a route that count.
const ROUTE_FIELDS: [&str; 4] = ["dataset", "epoch", "lead", "followers"];

/// The end state of a cloud, as hexadecimal SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndState {
    /// The digest of each site.
    pub sites: BTreeMap<SiteName, String>,
    /// The digest of all sites.
    pub all: String,
}

/// The places of one site's routes: container and key, which in a table is the dataset's name. The container of a file
/// is empty.
pub(super) type Routes = BTreeSet<(String, String)>;

/// The digest of one site, in the making.
pub(super) struct SiteState<'a> {
    hash: Sha256,
    routes: &'a Routes,
}

impl<'a> SiteState<'a> {
    pub(crate) fn new(routes: &'a Routes) -> Self {
        Self { hash: Sha256::new(), routes }
    }

    /// Adds a bucket; one that is missing differs from one that is empty.
    pub(super) fn bucket(&mut self, buckets: &Buckets, bucket: &str) {
        if !buckets.names().iter().any(|name| name == bucket) {
            return;
        }
        self.fields(&["bucket", bucket]);
        for HeldObject { key, versions } in buckets.held(bucket) {
            let Some(Some(version)) = versions.into_iter().next_back().filter(|_| !is_probe(&key)) else { continue };
            if self.is_route(bucket, &key) {
                self.route(bucket, &key, &buckets.get(bucket, &key).unwrap_or_default());
                continue;
            }
            self.fields(&["object", bucket, &key, &version.sha256, &version.storage_class]);
            for (kind, pairs) in [("header", &version.headers), ("metadata", &version.metadata), ("tag", &version.tags)]
            {
                for (name, value) in pairs {
                    self.fields(&[kind, name, value]);
                }
            }
        }
    }

    /// Adds a table: its items by the texts of their keys.
    pub(super) fn table(&mut self, name: &str, items: &BTreeMap<Key, Item>) {
        self.fields(&["table", name]);
        for (key, item) in items {
            if let Some(dataset) = self.route_in(name, item) {
                self.fields(&["route", name, &dataset]);
                for field in ROUTE_FIELDS {
                    let value = item.get(field).map(|value| (field.to_owned(), value.clone()));
                    self.fields(&[field, &item_digest(&value.into_iter().collect()).to_string()]);
                }
                continue;
            }
            self.fields(&["item", key.as_str(), &item_digest(item).to_string()]);
        }
    }

    /// Adds a directory.
    pub(super) async fn directory(&mut self, store: &FileStore) -> Result<(), StoreError> {
        self.fields(&["directory"]);
        // In a directory a route is a series of files, and only the last one counts.
        let mut routes = BTreeMap::new();
        let mut listing = store.list(KeyRange::all());
        while let Some(page) = listing.next().await? {
            for entry in page {
                let key = entry.key.as_str();
                if is_probe(key) {
                    continue;
                }
                let bytes = store.read(&Key::from(key), None, None).await?.bytes;
                let of_series = |(_, name): &&(String, String)| number_in_series(name, key).is_some();
                if let Some((_, name)) = self.routes.iter().find(of_series) {
                    routes.insert(name.clone(), bytes);
                } else {
                    self.fields(&["object", "", key, &hex::encode(Sha256::digest(&bytes))]);
                }
            }
        }
        for (name, bytes) in routes {
            self.route("", &name, &bytes);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        hex::encode(self.hash.finalize())
    }

    /// The dataset whose route an item of a table is, if it is one.
    fn route_in(&self, table: &str, item: &Item) -> Option<String> {
        let Some(Value::Text(dataset)) = item.get("dataset") else { return None };
        self.is_route(table, dataset).then(|| dataset.clone())
    }

    fn is_route(&self, container: &str, key: &str) -> bool {
        self.routes.contains(&(container.to_owned(), key.to_owned()))
    }

    /// Adds a route. A document that is no JSON object counts byte by byte.
    fn route(&mut self, container: &str, key: &str, bytes: &[u8]) {
        match serde_json::from_slice::<Json>(bytes) {
            Ok(Json::Object(document)) => {
                self.fields(&["route", container, key]);
                for field in ROUTE_FIELDS {
                    let value = document.get(field).map(canonical).unwrap_or_default();
                    self.fields(&[field, &value]);
                }
            }
            _ => self.fields(&["object", container, key, &hex::encode(Sha256::digest(bytes))]),
        }
    }

    fn fields(&mut self, fields: &[&str]) {
        self.hash.update((fields.len() as u64).to_le_bytes());
        for field in fields {
            self.hash.update((field.len() as u64).to_le_bytes());
            self.hash.update(field.as_bytes());
        }
    }
}

impl EndState {
    /// Puts the sites together.
    pub(super) fn of(sites: BTreeMap<SiteName, String>) -> Self {
        let no_routes = Routes::new();
        let mut all = SiteState::new(&no_routes);
        for (site, digest) in &sites {
            all.fields(&["site", site.as_str(), digest]);
        }
        let all = all.finish();
        Self { sites, all }
    }
}

fn is_probe(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(PROBE))
}

/// A value as text, with the keys of objects in order, whatever order the map has.
fn canonical(value: &Json) -> String {
    match value {
        Json::Object(entries) => {
            let sorted: BTreeMap<&String, String> =
                entries.iter().map(|(key, value)| (key, canonical(value))).collect();
            let entries: Vec<String> = sorted.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
            format!("{{{}}}", entries.join(","))
        }
        Json::Array(elements) => format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_local_cloud::NewObject;

    fn digest(buckets: &Buckets, routes: &Routes) -> String {
        let mut state = SiteState::new(routes);
        state.bucket(buckets, "b");
        state.finish()
    }

    fn object(data: &str) -> NewObject {
        NewObject { data: data.to_owned().into(), content_type: Some("text/plain".to_owned()), ..NewObject::default() }
    }

    #[test]
    fn everything_that_matters_counts() {
        let made = |change: fn(&Buckets)| {
            let buckets = Buckets::default();
            buckets.put_object("b", "k", object("bytes"));
            change(&buckets);
            digest(&buckets, &Routes::new())
        };
        let plain = made(|_| {});
        assert_eq!(plain, made(|_| {}));
        let changes: [fn(&Buckets); 7] = [
            |buckets| {
                let storage_class = Some("GLACIER".to_owned());
                buckets.put_object("b", "k", NewObject { storage_class, ..object("bytes") });
            },
            |buckets| buckets.put_object("b", "k", object("other")),
            |buckets| buckets.put_object("b", "k", NewObject { content_type: None, ..object("bytes") }),
            |buckets| {
                let metadata = [("a".to_owned(), "b".to_owned())].into();
                buckets.put_object("b", "k", NewObject { metadata, ..object("bytes") });
            },
            |buckets| {
                let tags = [("a".to_owned(), "b".to_owned())].into();
                buckets.put_object("b", "k", NewObject { tags, ..object("bytes") });
            },
            |buckets| buckets.put("b", "l", "more"),
            |buckets| assert!(buckets.delete("b", "k")),
        ];
        let digests: BTreeSet<String> = changes.into_iter().map(made).chain([plain.clone()]).collect();
        assert_eq!(digests.len(), 8, "each change shows, and no two look the same");
        let same: [fn(&Buckets); 2] = [
            |buckets| buckets.put("b", "x/.migrate-probe-01", "scratch"),
            |buckets| buckets.put_object("b", "k", object("bytes")),
        ];
        assert!(same.into_iter().map(made).all(|digest| digest == plain), "a probe, and the same written again");
        assert_ne!(digest(&Buckets::default(), &Routes::new()), {
            let empty = Buckets::default();
            empty.create_bucket("b");
            digest(&empty, &Routes::new())
        });
    }

    #[test]
    fn of_a_route_only_its_meaning_counts() {
        let routes: Routes = [("b".to_owned(), "r.json".to_owned())].into();
        let made = |document: &str| {
            let buckets = Buckets::default();
            buckets.put("b", "r.json", document.to_owned());
            digest(&buckets, &routes)
        };
        let first = made(r#"{"dataset":"d","epoch":2,"lead":"sg","followers":["bj"],"since":"2026-01-01T00:00:00Z"}"#);
        assert_eq!(first, made(r#"{"since":"now","followers":["bj"],"lead":"sg","epoch":2,"dataset":"d"}"#));
        assert_ne!(first, made(r#"{"followers":["bj"],"lead":"sg","epoch":3,"dataset":"d"}"#));
        assert_ne!(first, made(r#"{"followers":["us"],"lead":"sg","epoch":2,"dataset":"d"}"#));
        assert_ne!(made("no json"), made("nor this"));
        assert_eq!(
            canonical(&serde_json::json!({"b": [1, {"z": null, "a": "x"}], "a": 2})),
            r#"{"a":2,"b":[1,{"a":"x","z":null}]}"#
        );
    }
}
