//! [`Suite`]: a backend, and in what it is known to differ.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;

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
