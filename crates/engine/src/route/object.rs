//! [`ObjectRoute`]: a route as one JSON object in a bucket, which a swap replaces under a condition.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    document::RouteDocument,
    error::RouteError,
    kept::Kept,
    name::RouteName,
    shown::{Shown, Version},
};
use migrate_core::{digest::Body, model::Key, report::bytes};
use migrate_store::{Condition, Conditions, ErrorKind, Header, ObjectStore, Properties, StoreError, is_listed};

/// A document of more bytes is no route.
const BYTES_MAX: u64 = 1 << 20;
/// How often a route that is listed but not found is read: it may be written between the two requests.
const READS_MAX: u32 = 3;

/// A route under a key of a store.
#[derive(Debug)]
pub(super) struct ObjectRoute {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) name: RouteName,
}

impl ObjectRoute {
    /// Reads the document under the route's key; `None` if the store says that there is none.
    async fn read_document(&self) -> Result<Option<Shown>, RouteError> {
        let Some(head) = self.store.head(&self.key).await? else { return Ok(None) };
        if head.token.size > BYTES_MAX {
            return Err(self.name.foreign(format!("it has {}", bytes(head.token.size))));
        }
        let read = match self.store.read(&self.key, None, None).await {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let document = self.name.parse(&read.bytes)?;
        Ok(Some(Shown { document, version: Version::Token(read.head.token) }))
    }
}

#[async_trait]
impl Kept for ObjectRoute {
    /// "Not found" alone is no answer: it may come from something in between. A listing shows whether there is none; a
    /// route that it shows was perhaps written since, and is read again.
    async fn read(&self) -> Result<Option<Shown>, RouteError> {
        for _ in 0..READS_MAX {
            match self.read_document().await? {
                None if is_listed(&*self.store, &self.key).await? => {}
                answer => return Ok(answer),
            }
        }
        let detail = "the store lists it, and says that it is not there: run again";
        Err(StoreError::new(ErrorKind::Unavailable, "read route", &self.name.location, detail).into())
    }

    async fn write(&self, from: Option<&Version>, to: &RouteDocument) -> Result<(), RouteError> {
        let condition = match from {
            Some(Version::Token(token)) => Condition::Matches(token.clone()),
            _ => Condition::Absent,
        };
        put(&*self.store, &self.key, to, &condition).await
    }

    async fn probe(&self) -> Result<(), RouteError> {
        self.store.probe().await?;
        Ok(())
    }

    fn is_atomic(&self) -> bool {
        let can = self.store.capabilities();
        can.put_if_absent && can.put_if_matches.is_honoured()
    }

    fn needs(&self) -> &'static str {
        "If-Match and If-None-Match"
    }

    fn conditions(&self) -> Conditions {
        self.store.capabilities().conditions()
    }

    fn found(&self) -> Value {
        found(&*self.store)
    }
}

/// Writes a document as an object under a condition.
pub(super) async fn put(
    store: &dyn ObjectStore,
    key: &Key,
    document: &RouteDocument,
    condition: &Condition,
) -> Result<(), RouteError> {
    let body = Body::new(Bytes::from(document.text()));
    let headers = [
        (Header::ContentType, "application/json".to_owned()),
        // A cache between the route and its readers would serve an old document.
        (Header::CacheControl, "no-store".to_owned()),
    ];
    let properties = Properties { headers: headers.into(), metadata: BTreeMap::new(), tags: BTreeMap::new() };
    store.put(key, &body, &properties, condition).await?;
    Ok(())
}

/// All that a probe has found of a store.
pub(super) fn found(store: &dyn ObjectStore) -> Value {
    serde_json::to_value(store.capabilities()).expect("capabilities are plain data")
}
