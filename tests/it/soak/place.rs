//! The places of a soaked migration: stores in memory behind the decorator that fails, or S3 servers that
//! fail, over HTTP.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use migrate::{
    local_cloud::{self, NewObject, S3Server},
    store::{
        Capabilities, Header, ObjectStore, Properties,
        faulty::{self, Faulty},
        memory::MemoryStore,
    },
};

use crate::migration::s3;

/// An object as both kinds of place hold it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) content_type: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
}

/// Bodies are too long to print.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, content_type, metadata, tags } = self;
        write!(f, "{} bytes, {content_type}, {metadata:?}, {tags:?}", bytes.len())
    }
}

/// One site of a migration.
#[derive(Clone)]
pub(super) enum Place {
    Memory { memory: Arc<MemoryStore>, store: Arc<Faulty>, faults: Arc<faulty::Faults> },
    Server { server: Arc<S3Server>, store: Arc<dyn ObjectStore> },
}

impl Place {
    pub(super) fn memory(site: &str, is_source: bool) -> Self {
        let memory = Arc::new(MemoryStore::new(&format!("s3://{site}/data/")).with_page_size(17));
        if is_source {
            memory.adopt(Capabilities { properties: true, tags: true, ..Capabilities::unproved() });
        }
        let faults = Arc::new(faulty::Faults::none());
        let store = Arc::new(Faulty::new(memory.clone(), faults.clone()));
        Self::Memory { memory, store, faults }
    }

    pub(super) async fn server(site: &str, is_source: bool) -> Self {
        let server = Arc::new(s3::server(|_| {}).await);
        let store = if is_source {
            s3::source(&server).await
        } else {
            Arc::new(s3::store(&server, site, s3::SECRET, "").await)
        };
        Self::Server { server, store }
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        match self {
            Self::Memory { store, .. } => store.clone(),
            Self::Server { store, .. } => store.clone(),
        }
    }

    /// The size of parts for larger objects.
    pub(super) fn part_size(&self) -> u64 {
        match self {
            Self::Memory { .. } => 64 << 10,
            Self::Server { .. } => 5 << 20,
        }
    }

    pub(super) fn put(&self, key: &str, object: &Object) {
        let Object { bytes, content_type, metadata, tags } = object.clone();
        match self {
            Self::Memory { memory, .. } => {
                let headers = [(Header::ContentType, content_type)].into();
                memory.put_raw(key, bytes, Properties { headers, metadata, tags });
            }
            Self::Server { server, .. } => {
                let object =
                    NewObject { data: bytes, content_type: Some(content_type), metadata, tags, ..NewObject::default() };
                server.state().put_object("data", key, object);
            }
        }
    }

    pub(super) fn delete(&self, key: &str) -> bool {
        match self {
            Self::Memory { memory, .. } => memory.remove(key),
            Self::Server { server, .. } => server.state().delete("data", key),
        }
    }

    /// Everything it holds.
    pub(super) fn objects(&self) -> BTreeMap<String, Object> {
        match self {
            Self::Memory { memory, .. } => {
                let held = memory.snapshot().into_iter().map(|(key, object)| {
                    let Properties { mut headers, metadata, tags } = object.properties;
                    let content_type = headers.remove(&Header::ContentType).unwrap_or_default();
                    (key.as_str().to_owned(), Object { bytes: object.bytes, content_type, metadata, tags })
                });
                held.collect()
            }
            Self::Server { server, .. } => {
                let keys = server.state().keys("data").into_iter();
                let held = keys.map(|key| {
                    let object = server.state().get_object("data", &key).expect("it is listed");
                    let NewObject { data, content_type, metadata, tags, .. } = object;
                    (key, Object { bytes: data, content_type: content_type.unwrap_or_default(), metadata, tags })
                });
                held.collect()
            }
        }
    }

    pub(super) fn unfinished_uploads(&self) -> usize {
        match self {
            Self::Memory { memory, .. } => memory.unfinished_uploads(),
            Self::Server { server, .. } => server.state().uploads("data").len(),
        }
    }

    /// Ends all faults.
    pub(super) fn calm(&self) {
        match self {
            Self::Memory { faults, .. } => {
                faults.set_rules(0, Vec::new());
                faults.renew();
            }
            Self::Server { server, .. } => server.set_faults(local_cloud::Faults::default()),
        }
    }

    /// The operator's work between two tries: renewing expired credentials.
    pub(super) fn renew(&self) {
        if let Self::Memory { faults, .. } = self {
            faults.renew();
        }
    }

    /// Requests that faults have struck, by kind.
    pub(super) fn struck(&self) -> BTreeMap<&'static str, u64> {
        match self {
            Self::Memory { faults, .. } => faults.struck(),
            Self::Server { server, .. } => server.stats().faults_by_kind,
        }
    }

    /// The number of requests in all: 0 if they are not counted.
    pub(super) fn requests(&self) -> u64 {
        match self {
            Self::Memory { .. } => 0,
            Self::Server { server, .. } => server.stats().total(),
        }
    }
}
