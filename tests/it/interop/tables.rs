//! A server with tables that others wrote: the suite for tables.
//!
//! `MIGRATE_INTEROP_DYNAMODB` names an endpoint; the identity is that of the tests of objects. Tables are made there
//! and not removed. Without it the same tests run against our own server. `MIGRATE_INTEROP_DEPTH_MAX` says how deep
//! lists and maps may be nested there, `MIGRATE_INTEROP_ITEM_BYTES_MAX` and `MIGRATE_INTEROP_BATCH_BYTES_MAX` how
//! large an item and a batch of writes may be.

use std::{env, sync::Arc};

use migrate::{
    aws::dynamodb::DynamoClient,
    store::conformance::tables::{Suite, conforms},
};

use crate::dynamodb::{ID, SECRET, client_of, server};

fn number(name: &str) -> Option<usize> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

async fn suite_for(client: &DynamoClient) {
    let open = |name: &str| Arc::new(client.table(name)) as _;
    let mut suite = Suite::new(&open);
    // AWS takes 32 levels, and the value inside is one of them: so says dynoxide, whose authors tried it there.
    suite.depth_max = number("MIGRATE_INTEROP_DEPTH_MAX").unwrap_or(31);
    suite.item_bytes_max = number("MIGRATE_INTEROP_ITEM_BYTES_MAX").unwrap_or(suite.item_bytes_max);
    suite.batch_bytes_max = number("MIGRATE_INTEROP_BATCH_BYTES_MAX").unwrap_or(suite.batch_bytes_max);
    conforms(&suite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tables_conforms() {
    if let Ok(url) = env::var("MIGRATE_INTEROP_DYNAMODB") {
        let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} must be set, too"));
        let (id, secret) = (of("MIGRATE_INTEROP_ACCESS_KEY_ID"), of("MIGRATE_INTEROP_SECRET_ACCESS_KEY"));
        suite_for(&client_of(url, &id, &secret).await).await;
        return;
    }
    let own = server(|_| {}).await;
    suite_for(&client_of(own.endpoint(), ID, SECRET).await).await;
    own.stop().await;
}
