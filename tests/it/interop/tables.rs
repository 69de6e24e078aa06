//! A server with tables that others wrote: the suite for tables.
//!
//! `MIGRATE_INTEROP_DYNAMODB` names an endpoint; the identity is that of the tests of objects. Tables are made there
//! and not removed. Without it the same tests run against our own server. `MIGRATE_INTEROP_DEPTH_MAX` says how deep
//! lists and maps may be nested there, `MIGRATE_INTEROP_ITEM_BYTES_MAX` and `MIGRATE_INTEROP_BATCH_BYTES_MAX` how
//! large an item and a batch of writes may be.

use std::{env, sync::Arc};

use migrate::{
    aws::dynamodb::DynamoClient,
    store::{
        conformance::tables::{Suite, conforms},
        table::TableStore as _,
    },
};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

use crate::dynamodb::{ID, SECRET, client_of, server, structure::rich};

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

/// The endpoint of the environment, or our own server.
async fn with_client<F: Future<Output = ()>>(test: impl FnOnce(DynamoClient) -> F) {
    if let Ok(url) = env::var("MIGRATE_INTEROP_DYNAMODB") {
        let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} must be set, too"));
        let (id, secret) = (of("MIGRATE_INTEROP_ACCESS_KEY_ID"), of("MIGRATE_INTEROP_SECRET_ACCESS_KEY"));
        return test(client_of(url, &id, &secret).await).await;
    }
    let own = server(|_| {}).await;
    test(client_of(own.endpoint(), ID, SECRET).await).await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tables_conforms() {
    with_client(|client| async move { suite_for(&client).await }).await;
}

/// What a server passes over is told, and all else is as it was asked for. The output shows what is passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_everything_is_made_as_far_as_the_server_can() {
    with_client(|client| async move {
        let table = client.table(&format!("rich-{:016x}", StdRng::from_os_rng().next_u64()));
        let found = table.probe().await.unwrap();
        let mut asked = rich();
        asked.stream = asked.stream.filter(|_| found.streams);
        let left_out = table.create(&asked).await.unwrap();
        let made = table.describe().await.unwrap().unwrap().structure;
        println!("{found:?}, left out: {left_out:?}, reported: {:?}", made.reported);
        let lacks = |name| left_out.contains(&name);
        assert_eq!((&made.key_names(), &made.key_types), (&asked.key_names(), &asked.key_types));
        for (name, equal) in [
            ("local-indexes", made.local_indexes == asked.local_indexes),
            ("global-indexes", made.global_indexes == asked.global_indexes),
            ("billing", made.billing == asked.billing),
            ("stream", made.stream == asked.stream),
            ("tags", made.tags == asked.tags),
            ("point-in-time-recovery", made.point_in_time_recovery == asked.point_in_time_recovery),
            ("deletion-protection", made.deletion_protection == asked.deletion_protection),
            ("table-class", made.class == asked.class),
        ] {
            assert_eq!(equal, !lacks(name), "{name}: {made:?}");
        }
        if found.ttl {
            table.set_ttl(Some("expires")).await.unwrap();
            assert_eq!(table.describe().await.unwrap().unwrap().structure.ttl.as_deref(), Some("expires"));
        }
    })
    .await;
}
