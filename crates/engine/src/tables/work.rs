//! [`TableWork`]: one table dataset while it is copied.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    journal::Journal,
    tables::{sides::Sides, tail::Tail},
};
use migrate_ledger::{Record, TableRecord, TableStep};

/// One table dataset, with what its copy is made from.
pub(crate) struct TableWork {
    pub(crate) sides: Arc<Sides>,
    pub(crate) journal: Journal,
    /// Most deletions of one comparison, in thousandths of what the follower holds; `None` for no limit.
    pub(crate) delete_permille: Option<u16>,
    /// Segments of a table that are worked on at once.
    pub(crate) segments_at_once: usize,
    /// Reads the stream of the lead, from the first pass of the process on.
    pub(crate) tail: Mutex<Option<Arc<Tail>>>,
}

impl TableWork {
    /// The task that reads the stream of the lead, if one is.
    pub(crate) fn tail(&self) -> Option<Arc<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A record of the ledger about this table.
    pub(crate) fn record(&self, step: TableStep) -> Record {
        Record::Table(TableRecord { dataset: self.sides.dataset.name.clone(), step })
    }
}
