//! Gives up datasets whose lead has not moved, and takes back what was added for them.
//!
//! Unfinished uploads are aborted and approvals withdrawn. Copied objects stay, unless they are to be
//! discarded: then an object is deleted only if this migration wrote it, as its evidence
//! shows, and no other writer has replaced it, under the condition that it is still the written version. A
//! dataset whose lead has moved is refused: applications use its targets.
//!
//! The ledger records that a dataset is given up before anything is taken back: from there on its proof no longer
//! holds, also if the rest fails or is cut short.
//!
//! Every step may be repeated: after an interruption the same command goes on.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    approver::ByFlag,
    asked::{AbortOptions, Aborted, InFlightMax, RunOptions, asked},
    clock::now,
    copy::{
        copier::{Copier, Follower},
        parts, unclaimed,
    },
    error::EngineError,
    migration::Migration,
    run::{
        context::{Run, with_run},
        moved_data::MovedData,
    },
    shutdown::cancellable,
    sites::opening::DatasetStores,
};
use migrate_core::{
    lifecycle::{Goal, Lifecycle, Stage, Transition},
    model::{Key, KeyRange, PlaceIndex},
    plan::Dataset,
    report::{EventKind, Redactor},
};
use migrate_ledger::{CaptureRow, Fact, Held, Record};
use migrate_store::{Condition, ErrorKind, StoreError, must_be_gone};

/// Pairs read from the ledger at once, and objects deleted at once.
const PAGE: usize = 256;

/// Why a dataset is not given up yet.
const STOPPED: &str = "it was stopped: the same command goes on";

/// The fate of one object that was to be discarded.
enum Fate {
    Deleted,
    /// The object was already gone.
    Gone,
    /// The object stays: this migration did not write the version that is there.
    Kept,
    Failed(StoreError),
}

impl Migration<'_> {
    /// Gives up datasets whose lead has not moved: aborts their uploads, withdraws their approvals, and deletes what
    /// this migration wrote at their targets if the options say so. The ledger says first that they are given up.
    pub async fn abort(&self, options: &AbortOptions, limits: InFlightMax) -> Result<Vec<Aborted>, EngineError> {
        let run_options = RunOptions {
            goal: Goal::Copied,
            phases: Vec::new(),
            datasets: options.datasets.clone(),
            force: false,
            follow: false,
            counts: false,
            limits,
            approver: Arc::new(ByFlag::default()),
        };
        let (done, written) = with_run(self, &run_options, async |run: &Run<'_>| run.abort(options).await).await;
        written?;
        done
    }
}

impl Run<'_> {
    /// Gives the datasets up. An obstacle to one does not stop the others.
    pub(crate) async fn abort(&self, options: &AbortOptions) -> Result<Vec<Aborted>, EngineError> {
        let mut ends = Vec::new();
        // A run that was stopped for this abort already drains; only a further request to stop ends the abort.
        let drained = self.shutdown.is_draining();
        let stops = || self.shutdown.is_cancelled() || (!drained && self.shutdown.is_draining());
        for dataset in asked(self.plan, &[], &options.datasets) {
            let mut end = Aborted::nothing_of(&dataset.name);
            if stops() {
                end.refused = Some(STOPPED.to_owned());
            } else if let Err(error) =
                cancellable(&self.shutdown, self.abort_one(dataset, options.discard, &stops, &mut end)).await
            {
                if matches!(error, EngineError::Ledger(_) | EngineError::LedgerClosed) {
                    return Err(error);
                }
                end.refused = Some(match &error {
                    EngineError::Cancelled => STOPPED.to_owned(),
                    error => error.shown(Redactor::new(self.plan.redact_keys)),
                });
                end.blocked = error.is_blocking();
            }
            ends.push(end);
        }
        Ok(ends)
    }

    async fn abort_one(
        &self,
        dataset: &Dataset,
        discard: bool,
        stops: &impl Fn() -> bool,
        end: &mut Aborted,
    ) -> Result<(), EngineError> {
        let ledger = &self.journal.ledger;
        if ledger.meaning(&dataset.name).await?.is_none() {
            end.done = true;
            return Ok(());
        }
        self.check_meaning(dataset).await?;
        let mut lifecycle = self.lifecycle(&dataset.name).await?;
        if dataset.is_table() {
            return self.abort_table(dataset, lifecycle, discard, end).await;
        }
        let stores = Arc::new(self.open(dataset).await?);
        lifecycle = self.close_move(dataset, MovedData::Objects(Arc::clone(&stores)), lifecycle).await?;
        must_not_have_moved(dataset, &lifecycle)?;
        self.claim(dataset, stores.lease.as_ref()).await?;
        self.give_up(dataset, lifecycle).await?;
        let taken_back = self.take_back(dataset, &stores, discard, stops, end).await;
        // Without its lease nothing more could be deleted; this is why.
        if stores.lost().map_or(taken_back, Err)? {
            self.release(dataset, stores.lease.as_ref()).await?;
            end.done = true;
        }
        Ok(())
    }

    /// Records that a dataset is given up.
    async fn give_up(&self, dataset: &Dataset, mut lifecycle: Lifecycle) -> Result<(), EngineError> {
        let mut records = Vec::new();
        if lifecycle.syncing.pass > 0 && lifecycle.syncing.stage != Stage::GivenUp {
            let event = Transition::Aborted;
            lifecycle = lifecycle.apply(&event)?;
            records.push(Record::Happened { dataset: dataset.name.clone(), event, at: now() });
        }
        let phase = self.plan.phase_of(&dataset.name);
        records.extend(phase.map(|phase| Record::ApprovalWithdrawn { phase: phase.name.clone() }));
        self.commit(records).await?;
        self.sink.tell(EventKind::DatasetState {
            dataset: dataset.name.clone(),
            state: lifecycle.state(),
            proved: None,
        });
        Ok(())
    }

    /// Gives a table up: the stream that was enabled for it is disabled. The items stay: the ledger does not know them one
    /// by one.
    async fn abort_table(
        &self,
        dataset: &Dataset,
        lifecycle: Lifecycle,
        discard: bool,
        end: &mut Aborted,
    ) -> Result<(), EngineError> {
        if discard {
            return Err(EngineError::TableUnfit {
                dataset: dataset.name.clone(),
                reason: "which items of a table were written by this migration is not known one by one, so none is \
                         deleted: give it up without --discard, and delete the table yourself"
                    .to_owned(),
            });
        }
        let stores = Arc::new(self.open_tables(dataset).await?);
        let lifecycle = if lifecycle.moving.is_at_rest() {
            lifecycle
        } else {
            let data = MovedData::Table(self.table_work(dataset, &stores).await?);
            self.close_move(dataset, data, lifecycle).await?
        };
        must_not_have_moved(dataset, &lifecycle)?;
        self.claim(dataset, stores.lease.as_ref()).await?;
        self.give_up(dataset, lifecycle).await?;
        // Also the one of a place to which the lead was to move.
        for (place, _) in dataset.places() {
            let capture = self.journal.ledger.capture(&dataset.name, place).await?;
            if let Some(capture) = capture
                && let Some(changes) = stores.at(place).changes()
                && self.is_to_be_disabled(dataset, &capture).await?
            {
                changes.disable(&capture.stream).await?;
            }
        }
        self.release(dataset, stores.lease.as_ref()).await?;
        end.done = true;
        Ok(())
    }

    /// Whether this migration has enabled a stream, for this dataset or another one, and none that is not given up reads it.
    async fn is_to_be_disabled(&self, dataset: &Dataset, known: &CaptureRow) -> Result<bool, EngineError> {
        let mut ours = known.ours;
        for other in self.plan.datasets().filter(|other| other.is_table() && other.name != dataset.name) {
            for (place, _) in other.places() {
                let capture = self.journal.ledger.capture(&other.name, place).await?;
                let Some(capture) = capture.filter(|capture| capture.stream == known.stream) else { continue };
                if self.lifecycle(&other.name).await?.syncing.stage != Stage::GivenUp {
                    return Ok(false);
                }
                ours |= capture.ours;
            }
        }
        Ok(ours)
    }

    /// Takes back what was added for a dataset; `false` if it was stopped before its end.
    async fn take_back(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        discard: bool,
        stops: &impl Fn() -> bool,
        end: &mut Aborted,
    ) -> Result<bool, EngineError> {
        self.drop_uploads(dataset, stores, end).await?;
        Ok(!discard || self.discard(dataset, stores, stops, end).await?)
    }

    async fn drop_uploads(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        end: &mut Aborted,
    ) -> Result<(), EngineError> {
        let copier = self.copier(dataset, stores);
        for row in self.journal.ledger.uploads(&dataset.name).await? {
            parts::drop_upload(&copier, copier.follower(row.place), &row).await?;
            end.uploads += 1;
        }
        end.uploads += unclaimed::look_again(&copier, None, true).await?;
        self.commit(Vec::new()).await?;
        end.unclaimed = self.journal.ledger.unclaimed(&dataset.name).await?.len() as u64;
        Ok(())
    }

    /// Deletes the written objects; `false` if it was stopped before its end.
    async fn discard(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        stops: &impl Fn() -> bool,
        end: &mut Aborted,
    ) -> Result<bool, EngineError> {
        let copier = Arc::new(self.copier(dataset, stores));
        let (mut range, mut failed) = (KeyRange::all(), None);
        loop {
            let page = self.journal.ledger.held(&dataset.name, PlaceIndex::SOURCE, &range, PAGE).await?;
            let Some(last) = page.last() else { break };
            range.after = Some(last.key.clone());
            let mut deletes = JoinSet::new();
            for row in page {
                let copier = Arc::clone(&copier);
                deletes.spawn(async move {
                    let fate = delete(copier.follower(row.place), &row.key, &row.held).await;
                    (row.place, row.key, fate)
                });
            }
            let mut records = Vec::new();
            while let Some(deleted) = deletes.join_next().await {
                let (target, key, fate) = deleted?;
                records.extend(settled(&copier, target, &key, fate, end, &mut failed));
            }
            self.journal.note(records).await?;
            if stops() {
                end.refused = Some(STOPPED.to_owned());
                return Ok(false);
            }
        }
        self.commit(Vec::new()).await?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(true),
        }
    }
}

/// Refuses to give up a dataset whose lead has moved.
fn must_not_have_moved(dataset: &Dataset, lifecycle: &Lifecycle) -> Result<(), EngineError> {
    match lifecycle.moved_to() {
        None => Ok(()),
        Some(moved) => Err(EngineError::LeadMoved {
            dataset: dataset.name.clone(),
            lead: moved.lead.clone(),
            epoch: moved.epoch,
            refused: "before the switch a dataset can be given up, and it is behind it",
        }),
    }
}

/// Counts one object's fate; returns the record to write.
fn settled(
    copier: &Copier,
    target: PlaceIndex,
    key: &Key,
    fate: Fate,
    end: &mut Aborted,
    failed: &mut Option<StoreError>,
) -> Option<Record> {
    match fate {
        Fate::Deleted => end.discarded += 1,
        Fate::Gone => end.gone += 1,
        // The object is not ours, or no longer: its pair is of no use.
        Fate::Kept => end.kept += 1,
        Fate::Failed(error) => {
            failed.get_or_insert(error);
            return None;
        }
    }
    Some(Record::at(&copier.dataset, target, key, Fact::Unpaired))
}

async fn delete(follower: &Follower, key: &Key, known: &Held) -> Fate {
    let shown = match follower.store.head(key).await {
        Ok(Some(head)) => head.token,
        Ok(None) => {
            return match must_be_gone(&*follower.store, "delete", key).await {
                Ok(()) => Fate::Gone,
                Err(error) => Fate::Failed(error),
            };
        }
        Err(error) => return Fate::Failed(error),
    };
    // Found equal, and not written by this migration; or no longer what it wrote.
    if !known.written || !known.here.covers(&shown) {
        return Fate::Kept;
    }
    match follower.store.delete(key, &Condition::Matches(shown)).await {
        Ok(()) => Fate::Deleted,
        Err(error) if error.kind() == ErrorKind::Precondition => Fate::Kept,
        Err(error) => Fate::Failed(error),
    }
}
