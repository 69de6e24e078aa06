//! The suite for any [`TableStore`].
//!
//! ```ignore
//! conforms(&Suite::new(&|name: &str| Arc::new(MemoryTable::new(name)) as _)).await;
//! ```
//!
//! Each check opens a table of its own, by a name that no other check of the process uses. Nothing is removed: the
//! server is a test's.
//!
//! # In what a backend may differ
//!
//! - **By its abilities**, as its probe found them: without `strong_reads` the checks write, and read until it shows;
//!   without `conditions` `put_if` is not tried, without `numeric_keys`, `empty_values` and `streams` what these are
//!   about; without `ttl`, the setting of an expiry.
//! - **By the limits of the suite**: [`Suite::batch_bytes_max`], [`Suite::item_bytes_max`], [`Suite::depth_max`]. They
//!   begin as those of AWS. A server with lower ones says so there, so that the difference is written down.
//! - What a server leaves over of a batch is sent again by the suite, and a page without items is no end.
//!
//! In nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{ground::Table, scans, streams, values, writes};
use crate::table::TableStore;

/// Opens the tables of a suite.
#[async_trait]
pub trait Tables: Sync {
    /// Opens the table of this name, which is not there yet. The same name is the same table.
    async fn open(&self, name: &str) -> Arc<dyn TableStore>;
}

#[async_trait]
impl<F: Fn(&str) -> Arc<dyn TableStore> + Sync> Tables for F {
    async fn open(&self, name: &str) -> Arc<dyn TableStore> {
        self(name)
    }
}

/// A backend, and in what it is known to differ.
#[derive(Clone, Copy)]
pub struct Suite<'a> {
    tables: &'a dyn Tables,
    /// The largest batch of writes that is sent, in bytes as `DynamoDB` counts them.
    pub batch_bytes_max: usize,
    /// The largest item.
    pub item_bytes_max: usize,
    /// How deep lists and maps are nested.
    pub depth_max: usize,
    /// For how long a read without `strong_reads`, and a stream, may not show what was written.
    pub patience: Duration,
}

impl std::fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").finish_non_exhaustive()
    }
}

impl<'a> Suite<'a> {
    /// A backend with the limits of AWS.
    pub fn new(tables: &'a dyn Tables) -> Self {
        Self {
            tables,
            batch_bytes_max: 16 << 20,
            item_bytes_max: migrate_core::item::ITEM_BYTES_MAX,
            depth_max: 32,
            patience: Duration::from_secs(30),
        }
    }

    pub(super) async fn open(&self) -> Arc<dyn TableStore> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let name = format!("conformance-{}-{}", std::process::id(), OPENED.fetch_add(1, Relaxed));
        self.tables.open(&name).await
    }
}

/// Tries everything. Panics at the first thing that a backend does otherwise.
pub async fn conforms(suite: &Suite<'_>) {
    structure(suite).await;
    values::every_form_survives(suite).await;
    values::large_items_and_batches(suite).await;
    values::numbers_are_one_key(suite).await;
    writes::puts_and_deletes(suite).await;
    writes::bad_batches(suite).await;
    writes::gets(suite).await;
    writes::conditions(suite).await;
    scans::every_item_once(suite).await;
    scans::after_a_key_that_is_gone(suite).await;
    scans::what_was_acknowledged_is_shown(suite).await;
    streams::every_change_is_shown(suite).await;
}

/// A table is missing, is made, and is made once.
async fn structure(suite: &Suite<'_>) {
    let store = suite.open().await;
    let abilities = store.probe().await.expect("the probe ends");
    assert_eq!(store.abilities(), abilities, "what a probe finds is kept");
    store.adopt(abilities);
    assert!(store.describe().await.expect("a missing table is no error").is_none(), "it is not there yet");
    let missing = store.scan(Table::WHOLE, None, true).await.expect_err("there is nothing to scan");
    assert_eq!(missing.kind(), crate::ErrorKind::NoContainer, "{missing}");
    assert!(!missing.outcome_unknown(), "{missing}");

    let wanted = Table::structure();
    let left_out = store.create(&wanted).await.expect("it is made");
    assert_eq!(left_out, Vec::<&str>::new(), "there is nothing to leave out");
    let described = store.describe().await.expect("it is looked at").expect("it is there");
    assert_eq!(described.state, crate::table::TableState::Active);
    assert_eq!(described.structure.key_names(), wanted.key_names());
    assert_eq!(described.structure.key_types, wanted.key_types);
    assert_eq!(described.structure.ttl, None);
    let again = store.create(&wanted).await.expect_err("it is there");
    assert!(!again.outcome_unknown(), "{again}");
    let shown = store.describe().await.expect("it is looked at").expect("it is still there");
    assert_eq!(shown.structure, described.structure);
    if abilities.ttl {
        store.set_ttl(Some("expires")).await.expect("it is set");
        let described = store.describe().await.expect("it is looked at").expect("it is there");
        assert_eq!(described.structure.ttl.as_deref(), Some("expires"));
    }
    store.close().await.expect("it is closed");
}
