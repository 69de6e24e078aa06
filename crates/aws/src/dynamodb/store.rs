//! [`DynamoTable`] over its requests, with what concerns the table as a whole; [`DynamoClient`] makes it.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{
    client::DynamoConfig,
    probe, scratch,
    stream::DynamoStream,
    structure,
    wire::{sdk::connect, table::Wire},
};
use migrate_core::{
    item::{Item, ItemKey},
    table::{Structure, TableAbilities},
};
use migrate_store::{
    EndpointId, Result,
    both_ways::keeps_conditions,
    table::{ChangeStream, Described, Got, ItemWrite, Scanned, Segment, TableStore, Written},
};

/// A connection to one endpoint as one identity; cheap to clone, shared by all its tables.
#[derive(Debug, Clone)]
pub struct DynamoClient {
    client: connect::Connected,
    config: Arc<DynamoConfig>,
    endpoint: EndpointId,
    probing: Arc<Mutex<()>>,
}

impl DynamoClient {
    /// Prepares the connection; sends nothing yet.
    pub async fn connect(config: DynamoConfig) -> Result<Self> {
        let client = connect::connect(&config).await?;
        Ok(Self { client, endpoint: config.endpoint_id(), config: Arc::new(config), probing: Arc::default() })
    }

    /// A table there, which need not exist yet.
    pub fn table(&self, name: &str) -> DynamoTable {
        let location = |table: &str| format!("dynamodb://{}/{table}", self.config.site);
        let wire = Wire::new(self.client.table(name), location(name));
        DynamoTable {
            stream: DynamoStream { wire: wire.clone() },
            client: self.clone(),
            scratch: scratch::scratch_table(),
            abilities: RwLock::default(),
            wire,
        }
    }
}

/// One table.
#[derive(Debug)]
pub struct DynamoTable {
    pub(super) wire: Wire,
    stream: DynamoStream,
    client: DynamoClient,
    /// The name of the table that probes make.
    scratch: String,
    abilities: RwLock<TableAbilities>,
}

impl DynamoTable {
    /// Lets probes use the scratch table of this migration, so that a later probe removes the leftovers of a killed
    /// one.
    #[must_use]
    pub fn probing_for(mut self, migration: &str) -> Self {
        self.scratch = scratch::scratch_of(migration, &self.wire.location);
        self
    }
}

#[async_trait]
impl TableStore for DynamoTable {
    fn location(&self) -> &str {
        &self.wire.location
    }

    fn endpoint(&self) -> &EndpointId {
        &self.client.endpoint
    }

    fn abilities(&self) -> TableAbilities {
        *self.abilities.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(&self) -> Result<TableAbilities> {
        let _alone = self.client.probing.lock().await;
        let scratch = Wire::new(self.client.client.table(&self.scratch), self.wire.location.to_string());
        let found = Box::pin(probe::probe(scratch)).await?;
        self.adopt(found);
        Ok(found)
    }

    fn adopt(&self, abilities: TableAbilities) {
        *self.abilities.write().unwrap_or_else(PoisonError::into_inner) = abilities;
    }

    async fn describe(&self) -> Result<Option<Described>> {
        structure::describe(&self.wire).await
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        structure::create(&self.wire, structure).await
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        structure::set_ttl(&self.wire, attribute).await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        self.wire.scan(segment, after, strong).await
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        self.wire.get(keys).await
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        self.wire.write(writes).await
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.wire.put_if(item, expected).await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        keeps_conditions(&probe::AtServer::of(&self.wire, key.clone()).await?).await
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        Some(&self.stream)
    }
}
