//! Tables over HTTP, against the server of the local cloud.

use std::{collections::BTreeMap, sync::Arc};

use migrate::{
    aws::{
        AwsCredentials,
        dynamodb::{DynamoClient, DynamoConfig, DynamoEndpoint, DynamoTable},
    },
    local_cloud::{DynamoServer, DynamoServerConfig},
    store::table::{ItemWrite, Segment, TableStore as _},
};
use migrate_core::{
    item::{Item, ItemKey, Value},
    table::{KeyType, Structure},
};

mod failing;
mod rights;
mod streams;
pub(crate) mod structure;

pub(crate) const ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "a-secret-for-tests";
const WHOLE: Segment = Segment { index: 0, of: 1 };

/// Starts a server without tables.
pub(crate) async fn server(configure: impl FnOnce(&mut DynamoServerConfig)) -> DynamoServer {
    let mut config = DynamoServerConfig::new(ID, SECRET);
    configure(&mut config);
    DynamoServer::start(config).await.expect("the server starts")
}

/// A client of an endpoint, as a site `test`.
pub(crate) async fn client_of(url: String, id: &str, secret: &str) -> DynamoClient {
    let config = DynamoConfig {
        site: "test".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(DynamoEndpoint { url, ca_pem: None }),
        credentials: AwsCredentials::Keys { id: id.to_owned(), secret: secret.to_owned(), session_token: None },
    };
    DynamoClient::connect(config).await.expect("a client is made")
}

/// The table `data` of a server, with a text `id` as its key, as the root.
async fn table(server: &DynamoServer) -> Arc<DynamoTable> {
    let table = client_of(server.endpoint(), ID, SECRET).await.table("data");
    table.create(&Structure::plain(("id", KeyType::Text), None)).await.unwrap();
    Arc::new(table)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn key(id: &str) -> ItemKey {
    ItemKey { partition: text(id), sort: None }
}

fn item(id: &str, value: &str) -> Item {
    [("id".to_owned(), text(id)), ("value".to_owned(), text(value))].into()
}

fn puts(ids: std::ops::Range<u32>) -> Vec<ItemWrite> {
    ids.map(|id| ItemWrite::Put(item(&id.to_string(), "x"))).collect()
}

/// All items, by the text of their key.
pub(crate) async fn items(table: &DynamoTable) -> BTreeMap<String, Item> {
    let described = table.describe().await.unwrap();
    let names = described.expect("the table is there").structure.key_names();
    let (mut found, mut after) = (BTreeMap::new(), None);
    loop {
        let page = table.scan(WHOLE, after.as_ref(), true).await.unwrap();
        for item in page.items {
            let key = names.text(&names.key_of(&item).expect("an item has its key"));
            assert!(found.insert(key.to_string(), item).is_none(), "{key} is shown twice");
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The ids of all items, sorted.
async fn ids(table: &DynamoTable) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = table.scan(WHOLE, after.as_ref(), true).await.unwrap();
        found.extend(page.items.iter().map(|item| match &item["id"] {
            Value::Text(id) => id.clone(),
            other => panic!("{other:?} is no id"),
        }));
        after = page.next;
        if after.is_none() {
            found.sort();
            return found;
        }
    }
}
