//! The work of one phase: hands out tasks, takes their results, splits shards, begins steps.
//!
//! One loop owns all of it. It waits for no single task: it passes the end of each task to the
//! [`decider`](super::decide), and does what that decides.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::MissedTickBehavior,
};

use crate::{
    clock::now,
    control::Control,
    copy::copier::{Copier, Follower},
    error::EngineError,
    journal::Report,
    run::{
        context::Run,
        decide::{Decider, Decision, Due, Ended},
        ends::{all_ended, pause},
        leftovers::Leftovers,
        moved_on::{self, Differs},
        verification,
        worker::{ShardEnd, Worker},
    },
    scout::{Scouted, scout},
    scribe::{self, Board},
    sites::opening::DatasetStores,
    verify::{
        recorded,
        witness::{Verification, Verified},
    },
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{LATE_KEYS_MAX, Lifecycle, Stage, Transition},
    model::{Key, PlaceIndex, ShardId},
    plan::Dataset,
    report::{EventKind, Proved, Redactor, TargetProgress},
};
use migrate_ledger::{Record, ShardRow};

/// Time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// One dataset while its phase runs.
pub(crate) struct Active {
    pub(crate) plan: Dataset,
    pub(crate) copier: Arc<Copier>,
    pub(crate) worker: Worker,
    pub(crate) stores: Arc<DatasetStores>,
    pub(crate) lifecycle: Lifecycle,
    /// Its shards that are not handed out yet.
    pub(crate) queue: BTreeMap<ShardId, ShardRow>,
    pub(crate) running: BTreeMap<ShardId, Arc<Control>>,
    /// How often each shard was taken up again for targets that had not come to its end.
    pub(crate) taken_up: BTreeMap<ShardId, u32>,
    /// The targets that are down by the ledger, and why.
    pub(crate) down: BTreeMap<PlaceIndex, String>,
    /// Whether its pass had ended at all other targets before this run: if these stay down, the others get a new one.
    pub(crate) is_held_up: bool,
    /// Whether it does nothing more in this phase.
    pub(crate) ended: bool,
    pub(crate) verified: Option<Verified>,
    pub(crate) waits_for: Option<WaitsFor>,
    /// The judgement of its last verification, if that found differences.
    pub(crate) differs: Option<Differs>,
    /// A key above which the source has nothing: the upper end when an open range is bisected.
    pub(crate) ceiling: Option<Key>,
    pub(crate) reads: CopyReads,
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
    fn of(&self, read: u64) -> u64 {
        read.saturating_sub(self.otherwise)
    }
}

impl Active {
    /// Bytes read from the lead in this run.
    pub(crate) fn source_bytes_read(&self) -> u64 {
        self.stores.lead_bytes_read()
    }
}

/// The result of a task, with the dataset's place.
enum Brought {
    Shard(usize, ShardId, Result<ShardEnd, EngineError>),
    Scout(usize, ShardId, Result<Scouted, EngineError>),
    Leftovers(usize, Result<bool, EngineError>),
    Verification(usize, Result<Verification, EngineError>),
}

/// The work of one phase.
pub(crate) struct PhaseWork<'a> {
    pub(super) run: &'a Run<'a>,
    pub(crate) active: Vec<Active>,
    tasks: JoinSet<Brought>,
    pub(super) decider: Decider,
    /// The first error that ended a dataset, with which the run ends.
    pub(crate) stopped: Option<EngineError>,
}

impl<'a> PhaseWork<'a> {
    pub(super) fn new(run: &'a Run<'a>, active: Vec<Active>) -> Self {
        let limits = &run.options.limits;
        let mut decider = Decider::new(limits.shards, limits.split_rows_min);
        for (place, active) in active.iter().enumerate() {
            decider.enter(place, Due::of(&active.lifecycle, run.options.goal), active.queue.keys().copied());
            if active.ended {
                decider.end(place);
            }
        }
        Self { run, active, tasks: JoinSet::new(), decider, stopped: None }
    }

    /// Works until every dataset has ended, or the run is asked to stop.
    pub(crate) async fn work(&mut self) -> Result<(), EngineError> {
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.begin().await?;
            if self.tasks.is_empty() {
                // An operator who stops a run early learns how far it came.
                self.tell_progress();
                break;
            }
            tokio::select! {
                brought = self.tasks.join_next() => {
                    if let Some(brought) = brought {
                        self.take(brought).await?;
                    }
                }
                _ = tick.tick() => self.tell_progress(),
                () = self.run.shutdown.cancelled() => {
                    self.tasks.shutdown().await;
                    break;
                }
            }
        }
        for (place, active) in self.active.iter_mut().enumerate() {
            active.ended = self.decider.has_ended(place);
        }
        Ok(())
    }

    /// Begins everything that can begin.
    async fn begin(&mut self) -> Result<(), EngineError> {
        let draining = self.run.shutdown.is_draining();
        let active = &self.active;
        let rows =
            |place: usize, id| active[place].running.get(&id).map_or(0, |control: &Arc<Control>| control.rest().1);
        for (place, decision) in self.decider.begin(draining, rows) {
            self.follow(place, decision).await?;
        }
        Ok(())
    }

    /// Carries out a decision for a dataset.
    async fn follow(&mut self, place: usize, decision: Decision) -> Result<(), EngineError> {
        let active = &mut self.active[place];
        match decision {
            Decision::Hand(id) => {
                let shard = active.queue.remove(&id).expect("a queued shard is known");
                let control = Arc::new(Control::new(shard.range.clone()));
                active.running.insert(id, Arc::clone(&control));
                let worker = active.worker.clone();
                let again = active.taken_up.get(&id).copied().unwrap_or(0);
                self.tasks.spawn(async move {
                    pause(again, &worker.copier.shutdown).await;
                    Brought::Shard(place, id, worker.run(shard, control).await)
                });
            }
            Decision::Search(id) => {
                let rest = active.running.get(&id).expect("a running shard has a control").rest().0;
                let (source, ceiling) = (Arc::clone(active.stores.lead()), active.ceiling.clone());
                self.tasks.spawn(async move { Brought::Scout(place, id, scout(&*source, rest, ceiling).await) });
            }
            Decision::Split(id, at) => self.split(place, id, &at).await?,
            Decision::LetRest(id) => {
                if let Some(control) = active.running.get(&id) {
                    control.rest_for_now();
                }
            }
            Decision::BeginLeftovers => self.begin_leftovers(place).await?,
            Decision::BeginVerification => {
                let verify = verification::in_run(self.run, &active.plan, &active.stores);
                self.tasks.spawn(async move { Brought::Verification(place, verify.await) });
            }
            Decision::EndPass => self.end_pass(place).await?,
            Decision::Unfinished => {
                let dataset = active.plan.name.clone();
                self.note(place, EngineError::Unfinished { dataset });
            }
            Decision::Drain => self.run.shutdown.drain(),
        }
        Ok(())
    }

    async fn take(&mut self, brought: Result<Brought, JoinError>) -> Result<(), EngineError> {
        let (place, ended) = match brought? {
            Brought::Shard(place, id, end) => {
                self.active[place].running.remove(&id);
                match self.unless_lost(place, end) {
                    Ok(ShardEnd::Done) => {
                        self.record_lanes(place).await?;
                        (place, Ended::Shard(id))
                    }
                    Ok(ShardEnd::Short) if !self.run.shutdown.is_draining() => {
                        self.take_up_again(place, id).await?;
                        (place, Ended::Shard(id))
                    }
                    Ok(ShardEnd::Interrupted | ShardEnd::Short) => (place, Ended::ShardStopped(id)),
                    Err(error) => return self.stop(place, Some(id), error).await,
                }
            }
            Brought::Scout(place, id, found) => {
                // If the search failed, the shard's own listing tells a lasting error.
                let Scouted { at, ceiling } = found.unwrap_or_default();
                if ceiling.is_some() {
                    self.active[place].ceiling = ceiling;
                }
                (place, Ended::Search(id, at))
            }
            Brought::Leftovers(place, done) => match self.unless_lost(place, done) {
                Ok(done) => (place, Ended::Leftovers(done)),
                Err(error) => return self.stop(place, None, error).await,
            },
            Brought::Verification(place, verification) => match self.unless_lost(place, verification) {
                Ok(verification) => {
                    let done = !verification.interrupted;
                    if done {
                        self.end_verification(place, verification).await?;
                    }
                    (place, Ended::Verification(done))
                }
                Err(error) => return self.stop(place, None, error).await,
            },
        };
        for decision in self.decider.take(place, ended, self.run.shutdown.is_draining()) {
            self.follow(place, decision).await?;
        }
        Ok(())
    }

    /// The result of a dataset's task. If the dataset has lost its lease, that is why the task ended as it did.
    fn unless_lost<T>(&self, place: usize, ended: Result<T, EngineError>) -> Result<T, EngineError> {
        self.active[place].stores.lost().map_or(ended, Err)
    }

    /// Stops a dataset because `shard`, or its task beside its shards, failed.
    pub(super) async fn stop(
        &mut self,
        place: usize,
        shard: Option<ShardId>,
        error: EngineError,
    ) -> Result<(), EngineError> {
        let failed = Ended::Failed { shard, blocking: error.is_blocking() };
        self.note(place, error);
        for decision in self.decider.take(place, failed, self.run.shutdown.is_draining()) {
            Box::pin(self.follow(place, decision)).await?;
        }
        Ok(())
    }

    /// Notes why a dataset cannot go on; the run ends with the first such error.
    fn note(&mut self, place: usize, error: EngineError) {
        let shown = error.shown(Redactor::new(self.run.plan.redact_keys));
        self.active[place].waits_for = Some(WaitsFor::Failure(shown));
        if !matches!(error, EngineError::LedgerClosed) {
            self.stopped.get_or_insert(error);
        }
    }

    /// Begins the leftovers of a pass.
    async fn begin_leftovers(&mut self, place: usize) -> Result<(), EngineError> {
        // The leftovers must be in the ledger before they are read from it.
        self.run.commit(Vec::new()).await?;
        let active = &self.active[place];
        let shards = self.run.journal.ledger.shards(&active.plan.name).await?;
        let lanes = active.copier.followers.iter();
        if lanes.filter(|follower| !follower.lane.is_down()).any(|follower| !all_ended(&shards, follower.place)) {
            // What was not listed to its end must not look deleted.
            let dataset = active.plan.name.clone();
            return self.stop(place, None, EngineError::Unfinished { dataset }).await;
        }
        let leftovers = Leftovers {
            copier: Arc::clone(&active.copier),
            shard: shards.first().map(|shard| shard.id),
            extra: active.plan.extra,
            delete_permille: (!self.run.options.force).then_some(active.plan.delete_share_permille),
        };
        self.tasks.spawn(async move { Brought::Leftovers(place, leftovers.run().await) });
        Ok(())
    }

    async fn end_pass(&mut self, place: usize) -> Result<(), EngineError> {
        self.run.commit(Vec::new()).await?;
        let active = &self.active[place];
        if active.copier.followers.iter().any(|follower| follower.lane.is_down()) {
            return self.end_without_some(place).await;
        }
        let (ledger, dataset) = (&self.run.journal.ledger, &active.plan.name);
        let shards = ledger.shards(dataset).await?;
        if !active.copier.followers.iter().all(|follower| all_ended(&shards, follower.place)) {
            let dataset = dataset.clone();
            return self.stop(place, None, EngineError::Unfinished { dataset }).await;
        }
        let pass = active.lifecycle.syncing.pass;
        let mut targets = progress(&self.run.board, active);
        let mut failed = 0;
        for (follower, target) in active.copier.followers.iter().zip(&mut targets) {
            let counts = ledger.counts(dataset, follower.place).await?;
            (target.deferred, target.failed) = (counts.deferred, counts.failed + counts.damaged);
            failed += counts.failed + counts.deferred + counts.damaged;
        }
        self.happened(place, Transition::PassEnded { pass, failed }).await?;
        let active = &mut self.active[place];
        let read = active.source_bytes_read();
        active.reads.pass_ends(read);
        active.down.clear();
        if failed > 0 {
            active.waits_for = Some(WaitsFor::Failed(failed));
        }
        self.run.sink.tell(EventKind::DatasetEnded {
            dataset: active.plan.name.clone(),
            targets,
            source_bytes_read: active.reads.of(read),
        });
        Ok(())
    }

    async fn end_verification(&mut self, place: usize, verification: Verification) -> Result<(), EngineError> {
        let dataset = &self.active[place].plan;
        let event = recorded::ended(dataset, dataset.verify, &verification, &self.active[place].lifecycle);
        let active = &mut self.active[place];
        active.differs = None;
        if let Transition::Differed { .. } = &event {
            let differs = moved_on::judge(self.run, &active.plan, &active.stores, &verification).await?;
            // What somebody has written at the old lead is different there until it is settled.
            let late = self.run.journal.ledger.late_counts(&active.plan.name).await?.open;
            if late > 0 {
                let keys = self.run.journal.ledger.late_open(&active.plan.name, None, LATE_KEYS_MAX).await?;
                let (dataset, site) = (active.plan.name.clone(), active.plan.source.site.clone());
                self.run.sink.tell(EventKind::LateWrites { dataset, site, records: late, keys });
            }
            active.waits_for = Some(if late > 0 { WaitsFor::LateWrites(late) } else { differs.waits_for() });
            active.differs = Some(differs);
        }
        self.active[place].verified = verification.verified;
        self.happened(place, event).await
    }

    async fn happened(&mut self, place: usize, event: Transition) -> Result<(), EngineError> {
        let proved = Proved::by(&event);
        self.note_event(place, event).await?;
        let active = &self.active[place];
        self.decider.came_to(place, Due::of(&active.lifecycle, self.run.options.goal));
        let (dataset, state) = (active.plan.name.clone(), active.lifecycle.state());
        self.run.sink.tell(EventKind::DatasetState { dataset, state, proved });
        Ok(())
    }

    /// Records an event of a dataset.
    pub(super) async fn note_event(&mut self, place: usize, event: Transition) -> Result<(), EngineError> {
        let active = &mut self.active[place];
        active.lifecycle = active.lifecycle.apply(&event)?;
        let dataset = active.plan.name.clone();
        self.run.commit(vec![Record::Happened { dataset, event, at: now() }]).await
    }

    /// Splits a running shard at a key that the source has.
    async fn split(&mut self, place: usize, id: ShardId, at: &Key) -> Result<(), EngineError> {
        let active = &mut self.active[place];
        let Some(control) = active.running.get(&id) else { return Ok(()) };
        let new = self.run.journal.ledger.next_shard_id().await?;
        let permit = self.run.journal.reserve().await?;
        let record = Record::ShardSplit { shard: id, at: at.clone(), new };
        let accepted = control.cut(at, || permit.send(Report { records: vec![record], committed: None }));
        if accepted {
            self.run.commit(Vec::new()).await?;
            // The ledger holds which targets are already done with the upper part.
            let shards = self.run.journal.ledger.shards(&active.plan.name).await?;
            for shard in shards.into_iter().filter(|shard| shard.id == new) {
                self.decider.queue(place, shard.id);
                active.queue.insert(shard.id, shard);
            }
        }
        Ok(())
    }

    fn tell_progress(&self) {
        for active in self.active.iter().filter(|active| active.lifecycle.syncing.stage == Stage::Copying) {
            let dataset = active.plan.name.clone();
            self.run.sink.tell(EventKind::Progress {
                targets: progress(&self.run.board, active),
                fraction: self.run.board.read(&dataset, scribe::PassProgress::fraction).unwrap_or(0.0),
                source_bytes_read: active.reads.of(active.source_bytes_read()),
                target_bytes_written: active.stores.bytes_written(),
                waits_for: active.stores.waits_for(Redactor::new(self.run.plan.redact_keys)),
                dataset,
            });
        }
    }
}

fn progress(board: &Board, active: &Active) -> Vec<TargetProgress> {
    let of = |follower: &Follower| {
        let (tally, deferred, failed) = board
            .read(&active.plan.name, |standing| {
                let target = &follower.place;
                (
                    standing.tallies.get(target).copied().unwrap_or_default(),
                    standing.deferred.get(target).copied().unwrap_or(0),
                    standing.failed.get(target).copied().unwrap_or(0),
                )
            })
            .unwrap_or_default();
        TargetProgress { target: follower.store.location().to_owned(), tally, deferred, failed }
    };
    active.copier.followers.iter().map(of).collect()
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
