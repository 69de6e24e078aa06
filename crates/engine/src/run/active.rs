//! One dataset while its phase runs.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    control::Control,
    copy::copier::{Copier, Follower},
    error::EngineError,
    lease::Lease,
    run::{moved_data::MovedData, moved_on::Differs, worker::Worker},
    scribe::Board,
    sites::opening::DatasetStores,
    star::Star,
    tables::{self, work::TableWork},
    verify::witness::Verified,
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::Lifecycle,
    model::{Key, PlaceIndex, ShardId},
    plan::Dataset,
    report::TargetProgress,
};
use migrate_ledger::ShardRow;

/// One dataset while its phase runs.
pub(crate) struct Active {
    pub(crate) plan: Dataset,
    pub(crate) lifecycle: Lifecycle,
    /// The targets that are down by the ledger, and why.
    pub(crate) down: BTreeMap<PlaceIndex, String>,
    /// Whether it does nothing more in this phase.
    pub(crate) ended: bool,
    pub(crate) verified: Option<Verified>,
    pub(crate) waits_for: Option<WaitsFor>,
    /// The judgement of its last verification, if that found differences.
    pub(crate) differs: Option<Differs>,
    pub(crate) data: Data,
}

/// What a dataset's data is, with the parts of its copying.
pub(crate) enum Data {
    /// Objects, copied in shards.
    Objects(Box<ObjectWork>),
    /// A table, whose pass is one task.
    Table(Arc<TableWork>),
}

/// Whether a follower takes part.
pub(super) struct LaneIs {
    pub(super) place: PlaceIndex,
    /// Its location, for people.
    pub(super) at: String,
    /// Why it takes no part, and what can be done.
    pub(super) why_down: Option<(String, Option<String>)>,
    /// Whether it has done anything in this run.
    pub(super) has_done: bool,
}

/// The parts of copying objects.
pub(crate) struct ObjectWork {
    pub(crate) copier: Arc<Copier>,
    pub(crate) worker: Worker,
    pub(crate) stores: Arc<DatasetStores>,
    /// Its shards that are not handed out yet.
    pub(crate) queue: BTreeMap<ShardId, ShardRow>,
    pub(crate) running: BTreeMap<ShardId, Arc<Control>>,
    /// How often each shard was taken up again for targets that had not come to its end.
    pub(crate) taken_up: BTreeMap<ShardId, u32>,
    /// Whether its pass had ended at all other targets before this run: if these stay down, the others get a new one.
    pub(crate) is_held_up: bool,
    /// A key above which the source has nothing: the upper end when an open range is bisected.
    pub(crate) ceiling: Option<Key>,
    pub(crate) reads: CopyReads,
}

impl Active {
    /// The parts of copying its objects.
    ///
    /// # Panics
    ///
    /// Panics if it is a table. What has shards holds objects: a table enters the work of a phase without any.
    pub(crate) fn objects(&self) -> &ObjectWork {
        match &self.data {
            Data::Objects(objects) => objects,
            Data::Table(_) => unreachable!("a table has no shards"),
        }
    }

    /// The same, to change them.
    pub(crate) fn objects_mut(&mut self) -> &mut ObjectWork {
        match &mut self.data {
            Data::Objects(objects) => objects,
            Data::Table(_) => unreachable!("a table has no shards"),
        }
    }

    /// The data whose lead a cutover moves.
    pub(crate) fn moved_data(&self) -> MovedData {
        match &self.data {
            Data::Objects(objects) => MovedData::Objects(Arc::clone(&objects.stores)),
            Data::Table(table) => MovedData::Table(Arc::clone(table)),
        }
    }

    /// The lease that its writes ask, if a route says who may write.
    pub(crate) fn lease(&self) -> Option<&Arc<Lease>> {
        match &self.data {
            Data::Objects(objects) => objects.stores.lease.as_ref(),
            Data::Table(table) => table.sides.stores.lease.as_ref(),
        }
    }

    /// Why the work on it must stop, if its lease was lost.
    pub(crate) fn lost(&self) -> Option<EngineError> {
        self.lease().and_then(|lease| lease.lost())
    }

    /// Whether each follower takes part.
    pub(super) fn lanes(&self) -> Vec<LaneIs> {
        match &self.data {
            Data::Objects(objects) => {
                let copier = &objects.copier;
                let lane = |follower: &Follower| LaneIs {
                    place: follower.place,
                    at: follower.at.clone(),
                    why_down: copier.why_down(follower),
                    has_done: follower.lane.has_done(),
                };
                copier.followers.iter().map(lane).collect()
            }
            Data::Table(table) => {
                let lane = |follower: &tables::follower::Follower| LaneIs {
                    place: follower.place,
                    at: follower.at.clone(),
                    why_down: follower.why_down(table.sides.redactor),
                    has_done: true,
                };
                table.sides.followers.iter().map(lane).collect()
            }
        }
    }

    /// The error that took a follower out, if one did.
    pub(super) fn take_error(&self) -> Option<EngineError> {
        match &self.data {
            Data::Objects(objects) => objects.copier.followers.iter().find_map(|follower| follower.lane.take_error()),
            Data::Table(table) => table.sides.followers.iter().find_map(tables::follower::Follower::take_error),
        }
    }

    /// Which place leads.
    pub(crate) fn star(&self) -> &Star {
        match &self.data {
            Data::Objects(objects) => &objects.stores.star,
            Data::Table(table) => &table.sides.stores.star,
        }
    }
}

impl ObjectWork {
    /// Bytes read from the lead in this run.
    pub(crate) fn source_bytes_read(&self) -> u64 {
        self.stores.lead_bytes_read()
    }

    /// How far the pass is at each follower.
    pub(crate) fn progress(&self, board: &Board) -> Vec<TargetProgress> {
        let of = |follower: &Follower| {
            let (tally, deferred, failed) = board
                .read(&self.copier.dataset, |standing| {
                    let target = &follower.place;
                    (
                        standing.done(*target),
                        standing.deferred.get(target).copied().unwrap_or(0),
                        standing.failed.get(target).copied().unwrap_or(0),
                    )
                })
                .unwrap_or_default();
            TargetProgress { target: follower.store.location().to_owned(), tally, deferred, failed }
        };
        self.copier.followers.iter().map(of).collect()
    }
}

/// Separates the bytes that copying reads from a source from those that verifications between passes read.
#[derive(Debug, Default)]
pub(crate) struct CopyReads {
    /// Bytes that verifications between passes have read.
    otherwise: u64,
    /// Bytes read in all when the last pass ended.
    at_end: u64,
}

impl CopyReads {
    /// Notes that a further pass begins, with the bytes read in all.
    pub(crate) fn pass_begins(&mut self, read: u64) {
        self.otherwise += read - self.at_end.min(read);
    }

    /// Notes that a pass ends, with the bytes read in all.
    pub(super) fn pass_ends(&mut self, read: u64) {
        self.at_end = read;
    }

    /// The part of the bytes read in all that was read to copy.
    pub(super) fn of(&self, read: u64) -> u64 {
        read.saturating_sub(self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_verifications_read_is_no_copy() {
        let mut reads = CopyReads::default();
        assert_eq!(reads.of(100), 100);
        reads.pass_ends(100);
        reads.pass_begins(250);
        assert_eq!(reads.of(260), 110, "150 were read in between");
        reads.pass_ends(260);
        reads.pass_begins(260);
        assert_eq!(reads.of(265), 115);
    }
}
