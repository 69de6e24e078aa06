//! The tables of a local cloud: servers, clients, and what they hold.

use std::collections::BTreeMap;

use tokio::runtime;

use super::{
    error::{CloudError, io_error},
    sample::SampleTable,
    standin::{self, ACCESS_KEY, SECRET_KEY},
};
use migrate_aws::{
    AwsCredentials,
    dynamodb::{DynamoClient, DynamoConfig, DynamoEndpoint},
};
use migrate_core::{
    item::{Item, KeyNames},
    model::{Key, SiteName},
    plan::{Location, Plan, Scheme},
    table::{KeyType, Structure},
};
use migrate_local_cloud::{DynamoServer, DynamoServerConfig};
use migrate_store::{
    StoreError,
    table::{ItemWrite, Segment, TableStore, WRITE_MAX},
};

/// The servers that stand for the tables of a plan's sites, and a client of each site.
#[derive(Debug, Default)]
pub(super) struct Tables {
    servers: Vec<DynamoServer>,
    places: BTreeMap<SiteName, usize>,
    clients: BTreeMap<SiteName, DynamoClient>,
}

impl Tables {
    /// Starts a server for every site with tables, on a runtime.
    pub(super) async fn start(plan: &Plan, ground: &runtime::Handle) -> Result<Self, CloudError> {
        let mut tables = Self::default();
        for group in standin::servers(plan, Scheme::DynamoDb) {
            let started = ground.spawn(DynamoServer::start(DynamoServerConfig::new(ACCESS_KEY, SECRET_KEY))).await?;
            let server = started.map_err(io_error("start a DynamoDB server on 127.0.0.1"))?;
            for site in group {
                let client = DynamoClient::connect(config(&site, server.endpoint())).await?;
                tables.clients.insert(site.clone(), client);
                tables.places.insert(site, tables.servers.len());
            }
            tables.servers.push(server);
        }
        Ok(tables)
    }

    pub(super) fn server(&self, site: &SiteName) -> Option<&DynamoServer> {
        self.places.get(site).map(|at| &self.servers[*at])
    }

    /// The endpoint of each site with tables.
    pub(super) fn endpoints(&self) -> BTreeMap<SiteName, String> {
        self.places.iter().map(|(site, at)| (site.clone(), self.servers[*at].endpoint())).collect()
    }

    pub(super) fn clients(&self) -> &BTreeMap<SiteName, DynamoClient> {
        &self.clients
    }

    /// The table at a place, if a server stands for its site.
    pub(super) fn table(&self, at: &Location) -> Option<impl TableStore + use<>> {
        Some(self.clients.get(&at.site)?.table(&at.container))
    }

    /// Makes the tables that hold routes: a run makes none.
    pub(super) async fn make_for_routes(&self, plan: &Plan) -> Result<(), CloudError> {
        for at in standin::route_tables(plan) {
            let Some(table) = self.table(&at) else { continue };
            // Two sites may name one table.
            if table.describe().await?.is_none() {
                table.create(&Structure::plain(("dataset", KeyType::Text), None)).await?;
            }
        }
        Ok(())
    }

    /// Makes and fills the table of a source.
    pub(super) async fn fill(&self, at: &Location, sample: &SampleTable) -> Result<(), CloudError> {
        let Some(table) = self.table(at) else { return Ok(()) };
        if table.describe().await?.is_none() {
            table.create(&sample.structure).await?;
            table.set_ttl(Some(sample.ttl)).await?;
        }
        for batch in sample.items.chunks(WRITE_MAX) {
            let mut writes: Vec<_> = batch.iter().cloned().map(ItemWrite::Put).collect();
            while !writes.is_empty() {
                let left = table.write(&writes).await?.left;
                writes = left.into_iter().map(|left| writes[left].clone()).collect();
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

/// All items of a table by the text of their key; `None` if there is no such table.
pub(super) async fn contents(table: &dyn TableStore) -> Result<Option<BTreeMap<Key, Item>>, StoreError> {
    let Some(described) = table.describe().await? else { return Ok(None) };
    let names: KeyNames = described.structure.key_names();
    let (mut found, mut after) = (BTreeMap::new(), None);
    loop {
        let page = table.scan(Segment { index: 0, of: 1 }, after.as_ref(), true).await?;
        let keyed = page.items.into_iter().filter_map(|item| Some((names.text(&names.key_of(&item)?), item)));
        found.extend(keyed);
        after = page.next;
        if after.is_none() {
            return Ok(Some(found));
        }
    }
}

fn config(site: &SiteName, url: String) -> DynamoConfig {
    DynamoConfig {
        site: site.to_string(),
        region: standin::REGION.to_owned(),
        endpoint: Some(DynamoEndpoint { url, ca_pem: None }),
        credentials: AwsCredentials::Keys {
            id: ACCESS_KEY.to_owned(),
            secret: SECRET_KEY.to_owned(),
            session_token: None,
        },
    }
}
