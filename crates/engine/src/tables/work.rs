//! [`TableWork`]: one table dataset while it is copied.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    journal::Journal,
    tables::{sides::Sides, tail::Tail},
};
use migrate_core::model::{PlaceIndex, Timestamp};
use migrate_ledger::{Record, TableRecord, TableStep};

/// One table dataset, with what its copy is made from.
pub(crate) struct TableWork {
    pub(crate) sides: Arc<Sides>,
    pub(crate) journal: Journal,
    /// Most deletions of one comparison, in thousandths of what the follower holds; `None` for no limit.
    pub(crate) delete_permille: Option<u16>,
    /// Segments of a table that are worked on at once.
    pub(crate) segments_at_once: usize,
    /// What reads the streams of places, from the first need of it on.
    pub(crate) tails: Mutex<BTreeMap<PlaceIndex, Arc<Tail>>>,
    /// When the last look at the old lead began, if it found that nobody had written there since the drain.
    pub(crate) looked: Mutex<Option<Timestamp>>,
}

impl TableWork {
    /// What reads the streams of those that lead; none if one of these is not read.
    pub(crate) fn tails_of_leads(&self) -> Vec<Arc<Tail>> {
        let tails: Option<Vec<_>> = self.sides.leads.iter().map(|place| self.tail_of(*place)).collect();
        tails.unwrap_or_default()
    }

    /// What reads the stream of a place, if anything does.
    pub(crate) fn tail_of(&self, place: PlaceIndex) -> Option<Arc<Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned()
    }

    /// A record of the ledger about this table.
    pub(crate) fn record(&self, step: TableStep) -> Record {
        Record::Table(TableRecord { dataset: self.sides.dataset.name.clone(), step })
    }
}
