//! A store in place of one that could not be opened: whatever is asked of it fails with the reason.

// The lint asks for an explicit decision about every method that the trait gains.
#![deny(clippy::missing_trait_methods)]

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::EngineError;
use migrate_core::{
    digest::Body,
    item::{Item, ItemKey},
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    table::{Structure, TableAbilities},
};
use migrate_store::{
    BeforeSending, ByteRange, Capabilities, Condition, EndpointId, Entry, ErrorKind, Head, Listing, ObjectStore, Part,
    Properties, Read, Result, StoreError, Upload,
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};

/// The place of a target that could not be opened. Its lane is down, so nothing is asked of it; whoever asks all the
/// same gets the reason, never an empty place.
#[derive(Debug, Clone)]
pub(crate) struct Unopened {
    location: String,
    kind: ErrorKind,
    detail: String,
}

impl Unopened {
    /// The place at this location, which could not be opened because of this error.
    pub(crate) fn new(location: String, error: &EngineError) -> Self {
        let (kind, detail) = match error {
            EngineError::Store(error) => (error.kind(), error.detail().to_owned()),
            error => (ErrorKind::Other, error.to_string()),
        };
        Self { location, kind, detail }
    }

    fn failed<T>(&self, operation: &'static str) -> Result<T> {
        Err(StoreError::new(self.kind, operation, &self.location, self.detail.clone()))
    }

    fn failed_on<T>(&self, operation: &'static str, key: &Key) -> Result<T> {
        self.failed(operation).map_err(|error| error.on(key))
    }
}

#[async_trait]
impl ObjectStore for Unopened {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        // Nobody has reached it, so nothing is known of it.
        &EndpointId::Memory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::unproved()
    }

    async fn probe(&self) -> Result<Capabilities> {
        self.failed("probe")
    }

    fn adopt(&self, _capabilities: Capabilities) {}

    fn list(&self, _range: KeyRange) -> Box<dyn Listing> {
        Box::new(self.clone())
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        let page = self.list(range).next().await?;
        Ok(page.and_then(|page| page.into_iter().next()))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.failed_on("look at", key)
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.failed_on("read tags of", key)
    }

    async fn read(&self, key: &Key, _range: Option<ByteRange>, _pin: Option<&Token>) -> Result<Read> {
        self.failed_on("read", key)
    }

    async fn put(&self, key: &Key, _body: &Body, _properties: &Properties, _condition: &Condition) -> Result<Token> {
        self.failed_on("write", key)
    }

    fn refuses(&self, _key: &Key) -> Option<&'static str> {
        None
    }

    async fn begin_upload(&self, key: &Key, _properties: &Properties, _before: &dyn BeforeSending) -> Result<Upload> {
        self.failed_on("begin upload of", key)
    }

    async fn put_part(&self, upload: &Upload, _number: u32, _offset: u64, _body: &Body) -> Result<Part> {
        self.failed_on("write part of", &upload.key)
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.failed_on("list parts of", &upload.key)
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        _parts: &[Part],
        _evidence: &Evidence,
        _properties: &Properties,
        _condition: &Condition,
    ) -> Result<Token> {
        self.failed_on("finish upload of", &upload.key)
    }

    async fn set_tags(&self, key: &Key, _tags: &BTreeMap<String, String>, _pin: &Token) -> Result<()> {
        self.failed_on("set tags of", key)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.failed_on("abort upload of", &upload.key)
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.failed_on("list uploads of", key)
    }

    async fn delete(&self, key: &Key, _condition: &Condition) -> Result<()> {
        self.failed_on("delete", key)
    }
}

#[async_trait]
impl Listing for Unopened {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        self.failed("list")
    }
}

#[async_trait]
impl TableStore for Unopened {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        &EndpointId::Memory
    }

    fn abilities(&self) -> TableAbilities {
        TableAbilities::default()
    }

    async fn probe(&self) -> Result<TableAbilities> {
        self.failed("probe")
    }

    fn adopt(&self, _abilities: TableAbilities) {}

    async fn describe(&self) -> Result<Option<Described>> {
        self.failed("look at")
    }

    async fn create(&self, _structure: &Structure) -> Result<Vec<&'static str>> {
        self.failed("create table")
    }

    async fn set_ttl(&self, _attribute: Option<&str>) -> Result<()> {
        self.failed("set the expiry of items")
    }

    async fn scan(&self, _segment: Segment, _after: Option<&ItemKey>, _strong: bool) -> Result<Scanned> {
        self.failed("scan")
    }

    async fn get(&self, _keys: &[ItemKey]) -> Result<Got> {
        self.failed("read items")
    }

    async fn write(&self, _writes: &[ItemWrite]) -> Result<Written> {
        self.failed("write items")
    }

    async fn put_if(&self, _item: &Item, _expected: Option<&Item>) -> Result<()> {
        self.failed("write item")
    }

    async fn probe_item(&self, _key: &ItemKey) -> Result<bool> {
        self.failed("probe")
    }

    async fn close(&self) -> Result<()> {
        self.failed("close")
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        None
    }
}
