//! What a run needs to work on a table dataset.

use std::sync::{Arc, Mutex};

use crate::{
    clock::now,
    error::EngineError,
    migration::Inspection,
    run::context::Run,
    sites::{
        opening::DatasetStores,
        probed::{known, probe_name},
        tables::TablesOf,
    },
    star::Star,
    tables::{
        follower::Follower,
        proof::Proof,
        sides::Sides,
        structure::{self, Fitted},
        work::TableWork,
    },
    verify::{found::Found, witness::Verification},
};
use migrate_core::{
    model::PlaceIndex,
    plan::{Dataset, Level},
    report::Redactor,
    table::{KeyType, Structure, TableAbilities},
};
use migrate_ledger::{Record, TableRecord, TableStep};
use migrate_store::table::TableStore;

impl Run<'_> {
    /// The tables of a dataset, to be written.
    pub(crate) fn tables_of<'d>(&'d self, dataset: &'d Dataset) -> TablesOf<'d> {
        TablesOf { plan: self.plan, dataset, writes: Some((&self.journal, &self.shutdown)) }
    }

    /// Opens the tables of a dataset, by the star of its ledger.
    pub(crate) async fn open_tables(&self, dataset: &Dataset) -> Result<DatasetStores<dyn TableStore>, EngineError> {
        let star = self.star_of(dataset, &self.lifecycle(&dataset.name).await?)?;
        self.sites.open_tables(self.tables_of(dataset), star).await
    }

    /// The work on a dataset's tables.
    ///
    /// # Errors
    ///
    /// If the lead's table cannot be read.
    pub(crate) async fn table_work(
        &self,
        dataset: &Dataset,
        stores: &Arc<DatasetStores<dyn TableStore>>,
    ) -> Result<Arc<TableWork>, EngineError> {
        let lead = structure::of_lead(dataset, &**stores.lead()).await?;
        let shutdown = stores.shutdown(&self.shutdown);
        let sides = Sides::of(dataset, stores, &lead, shutdown, &self.sink, Redactor::new(self.plan.redact_keys)).await;
        Ok(Arc::new(TableWork {
            sides: Arc::new(sides),
            journal: self.journal.clone(),
            delete_permille: (!self.options.force).then_some(dataset.delete_share_permille),
            segments_at_once: self.options.limits.shards.max(1),
            tails: Mutex::default(),
            looked: Mutex::default(),
        }))
    }

    /// Makes the tables of followers that are missing, and checks those that are there.
    ///
    /// # Errors
    ///
    /// If a follower's table is not fit. A follower that cannot be reached is down, and stops nothing else.
    pub(crate) async fn fit_followers(&self, sides: &Sides) -> Result<(), EngineError> {
        let dataset = &sides.dataset;
        let lead = structure::for_followers(dataset, sides.lead()).await?;
        for follower in &sides.followers {
            let fit = async {
                if follower.place == PlaceIndex::SOURCE {
                    // The old lead: it was there before this migration, and is as it was.
                    structure::must_be_there(&*follower.store).await?;
                    return Ok(Fitted::Found(Vec::new()));
                }
                self.know_abilities(dataset, follower, &lead).await?;
                if follower.store.describe().await?.is_none() {
                    // Before it is made anew: what the ledger says of it is true no longer.
                    let step = TableStep::BulkForgotten { place: follower.place };
                    self.commit(vec![Record::Table(TableRecord { dataset: dataset.name.clone(), step })]).await?;
                }
                structure::of_follower(dataset, follower.place, &follower.store, &lead).await
            };
            match fit.await {
                Ok(Fitted::Made) => sides.tell_made(follower),
                Ok(Fitted::Found(notes)) => notes.into_iter().for_each(|note| sides.warn(note)),
                Err(EngineError::Store(error)) => follower.close(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds out, if the keys hold numbers, whether a follower takes two spellings of one number for one key: from the
    /// ledger, or by a probe that is recorded. One that does not would hold an item twice.
    async fn know_abilities(
        &self,
        dataset: &Dataset,
        follower: &Follower,
        lead: &Structure,
    ) -> Result<(), EngineError> {
        let names = [Some(&lead.partition_key), lead.sort_key.as_ref()];
        let is_number = |name: &String| lead.key_types.get(name) == Some(&KeyType::Number);
        if !names.into_iter().flatten().any(is_number) {
            return Ok(());
        }
        let name = probe_name(self.plan, dataset.location(follower.place), follower.store.endpoint());
        let known: Option<TableAbilities> = known(&self.journal.ledger, &name).await?;
        let abilities = if let Some(known) = known {
            follower.store.adopt(known);
            known
        } else {
            let found = follower.store.probe().await?;
            let capabilities = serde_json::to_string(&found).expect("abilities are plain data");
            self.commit(vec![Record::Probed { location: name, capabilities, at: now() }]).await?;
            found
        };
        if abilities.numeric_keys {
            return Ok(());
        }
        Err(EngineError::TableUnfit {
            dataset: dataset.name.clone(),
            reason: format!(
                "{} takes two spellings of one number (1e3 and 1000) for two keys, so it would hold an item twice: choose \
                 another server for tables whose keys are numbers",
                follower.at
            ),
        })
    }

    /// Compares a dataset's tables, mends what differs, and compares again.
    pub(crate) async fn repair_table(&self, dataset: &Dataset) -> Result<(Verification, u64), EngineError> {
        let stores = Arc::new(self.open_tables(dataset).await?);
        self.claim(dataset, stores.lease.as_ref()).await?;
        self.begin(dataset).await?;
        let work = self.table_work(dataset, &stores).await?;
        self.fit_followers(&work.sides).await?;
        let repaired = async {
            let first = work.verify().await?;
            if first.interrupted || first.verified.is_some() {
                return Ok((first, 0));
            }
            if !work.mend().await? {
                return Ok((Verification { interrupted: true, verified: None, ..first }, 0));
            }
            let second = work.verify().await?;
            // What stays as it was, as a late write that is open does, was not mended.
            let left = |one: &Verification| one.targets.iter().map(Found::repairable).sum::<u64>();
            let mended = left(&first).saturating_sub(left(&second));
            Ok((second, mended))
        };
        let repaired = repaired.await;
        work.sides.close().await?;
        // Without its lease the repair was stopped like one that is to stop; this is why.
        stores.lost().map_or(repaired, Err)
    }
}

impl Inspection<'_> {
    /// Compares a dataset's tables, and writes nothing.
    pub(crate) async fn verify_table(&self, dataset: &Dataset, level: Level) -> Result<Verification, EngineError> {
        let ledger = self.begun(dataset).await?;
        let star = Star::of_all(dataset, &self.lifecycle(&dataset.name).await?)?;
        let of = TablesOf { plan: self.plan, dataset, writes: None };
        let stores = Arc::new(self.sites.open_tables(of, star).await?);
        let lead = structure::of_lead(dataset, &**stores.lead()).await?;
        let redactor = Redactor::new(self.plan.redact_keys);
        let sides = Arc::new(Sides::of(dataset, &stores, &lead, self.shutdown.clone(), &self.sink, redactor).await);
        for follower in &sides.followers {
            if let Err(error) = structure::must_be_there(&*follower.store).await {
                follower.close(error);
            }
        }
        Proof { sides: &sides, ledger: ledger.map(|ledger| &**ledger), work: None, brings: false, level }.verify().await
    }
}
