//! What a run needs to work on a table dataset.

use std::sync::{Arc, Mutex};

use crate::{
    error::EngineError,
    run::context::Run,
    sites::opening::DatasetStores,
    tables::{
        follower::Follower,
        structure,
        work::{Counted, TableWork},
    },
};
use migrate_core::{plan::Dataset, report::Redactor};
use migrate_store::table::TableStore;

impl Run<'_> {
    /// Opens the tables of a dataset, by the star of its ledger.
    pub(crate) async fn open_tables(&self, dataset: &Dataset) -> Result<DatasetStores<dyn TableStore>, EngineError> {
        let star = self.star_of(dataset, &self.lifecycle(&dataset.name).await?)?;
        self.sites.open_tables(self.plan, dataset, star, Some((&self.journal, &self.shutdown))).await
    }

    /// The work on a dataset's tables. Tables of followers that are missing are made, and those that are there are
    /// checked.
    ///
    /// # Errors
    ///
    /// If the lead's table cannot be read, or a follower's is not fit. A follower that cannot be reached is down, and
    /// stops nothing else.
    pub(crate) async fn table_work(
        &self,
        dataset: &Dataset,
        stores: &Arc<DatasetStores<dyn TableStore>>,
    ) -> Result<TableWork, EngineError> {
        let mut lead = structure::of_lead(dataset, &**stores.lead()).await?;
        let capture = self.journal.ledger.capture(&dataset.name, stores.star.lead).await?;
        if capture.is_some_and(|capture| capture.ours) {
            // Its stream is there for the copy, and is no part of what the followers are to have.
            lead.stream = None;
        }
        let mut followers = Vec::new();
        for place in stores.star.followers.iter().copied() {
            let store = stores.at(place);
            let follower = Follower::new(place, dataset.location(place).to_string(), Arc::clone(store));
            match structure::of_follower(dataset, place, store, &lead).await {
                Ok(notes) => notes.into_iter().for_each(|note| self.note_of(dataset, note)),
                Err(EngineError::Store(error)) => follower.close(error),
                Err(error) => return Err(error),
            }
            followers.push(follower);
        }
        Ok(TableWork {
            dataset: dataset.clone(),
            stores: Arc::clone(stores),
            names: lead.key_names(),
            ttl: lead.ttl,
            followers,
            journal: self.journal.clone(),
            shutdown: stores.shutdown(&self.shutdown),
            sink: self.sink.clone(),
            redactor: Redactor::new(self.plan.redact_keys),
            delete_permille: (!self.options.force).then_some(dataset.delete_share_permille),
            segments_at_once: self.options.limits.shards.max(1),
            tail: Mutex::default(),
            counted: Counted::default(),
        })
    }

    fn note_of(&self, dataset: &Dataset, message: String) {
        let dataset = Some(dataset.name.clone());
        self.sink.tell(migrate_core::report::EventKind::Warning { dataset, key: None, message });
    }
}
