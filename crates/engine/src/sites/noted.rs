//! Notes the writes of a dataset at one place: which are under way, and in the ledger those that may still act.

use async_trait::async_trait;

use crate::{clock::now, journal::Journal};
use migrate_core::model::{DatasetName, Key, PlaceIndex};
use migrate_ledger::{Fact, Record};
use migrate_store::retry::TrackWrites;

/// The writes of a dataset at a place.
#[derive(Debug)]
pub(crate) struct Noted {
    journal: Journal,
    dataset: DatasetName,
    place: PlaceIndex,
}

impl Noted {
    pub(crate) fn new(journal: &Journal, dataset: &DatasetName, place: PlaceIndex) -> Self {
        Self { journal: journal.clone(), dataset: dataset.clone(), place }
    }
}

#[async_trait]
impl TrackWrites for Noted {
    fn begins(&self) -> bool {
        self.journal.writes.begins()
    }

    async fn unknown(&self, key: &Key) {
        let unknown = Record::at(&self.dataset, self.place, key, Fact::Unknown { at: now() });
        let is_said = self.journal.note(vec![unknown]).await.is_ok();
        self.journal.writes.may_still_act(&self.dataset, is_said);
    }

    fn ended(&self) {
        self.journal.writes.ended();
    }

    fn dropped(&self) {
        self.journal.writes.may_still_act(&self.dataset, false);
        self.journal.writes.ended();
    }

    async fn stops(&self) {
        self.journal.draining().await;
    }
}
