//! The work of one phase: hands out tasks, takes their results, splits shards, begins steps.
//!
//! One loop owns all of it. It waits for no single task: it passes the end of each task to the
//! [`decider`](super::decide), and does what that decides.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::MissedTickBehavior,
};

use crate::{
    clock::now,
    control::Control,
    error::EngineError,
    journal::Report,
    run::{
        active::{Active, Data},
        context::Run,
        decide::{Decider, Decision, Due, Ended},
        ends::{all_ended, pause},
        leftovers::Leftovers,
        moved_on,
        told::Progress,
        verification,
        worker::ShardEnd,
    },
    scout::{Scouted, scout_while_open},
    tables,
    verify::{recorded, witness::Verification},
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{LATE_KEYS_MAX, Transition},
    model::{Key, ShardId},
    report::{EventKind, Proved, Redactor},
};
use migrate_ledger::Record;

/// Time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Time between two looks whether a shard has seen enough rows to be split, while a worker is idle.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The result of a task, with the dataset's place.
enum Brought {
    Shard(usize, ShardId, Result<ShardEnd, EngineError>),
    Scout(usize, ShardId, Result<Scouted, EngineError>),
    Rest(usize, Result<bool, EngineError>),
    Verification(usize, Result<Verification, EngineError>),
}

/// The work of one phase.
pub(crate) struct PhaseWork<'a> {
    pub(super) run: &'a Run<'a>,
    pub(crate) active: Vec<Active>,
    tasks: JoinSet<Brought>,
    progress: Progress,
    pub(super) decider: Decider,
    /// The first error that ended a dataset, with which the run ends.
    pub(crate) stopped: Option<EngineError>,
}

impl<'a> PhaseWork<'a> {
    pub(super) fn new(run: &'a Run<'a>, active: Vec<Active>) -> Self {
        let limits = &run.options.limits;
        let mut decider = Decider::new(limits.shards, limits.split_rows_min);
        for (place, active) in active.iter().enumerate() {
            let shards = match &active.data {
                Data::Objects(objects) => objects.queue.keys().copied().collect(),
                Data::Table(_) => Vec::new(),
            };
            decider.enter(place, Due::of(&active.lifecycle, run.options.goal), shards);
            if active.ended {
                decider.end(place);
            }
        }
        let progress = Progress::new(run, &active);
        Self { run, active, tasks: JoinSet::new(), progress, decider, stopped: None }
    }

    /// Works until every dataset has ended, or the run is asked to stop.
    pub(crate) async fn work(&mut self) -> Result<(), EngineError> {
        let worked = self.work_through().await;
        self.progress.end().await;
        worked
    }

    async fn work_through(&mut self) -> Result<(), EngineError> {
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.begin().await?;
            if self.tasks.is_empty() {
                // An operator who stops a run early learns how far it came.
                self.progress.tell(self.run, &self.active);
                break;
            }
            tokio::select! {
                brought = self.tasks.join_next() => {
                    if let Some(brought) = brought {
                        self.take(brought).await?;
                    }
                }
                _ = tick.tick() => self.progress.tell(self.run, &self.active),
                _ = look.tick(), if self.decider.may_split() => {}
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
        let rows = |place: usize, id| {
            active[place].objects().running.get(&id).map_or(0, |control: &Arc<Control>| control.rest().1)
        };
        for (place, decision) in self.decider.begin(draining, rows) {
            self.follow(place, decision).await?;
        }
        Ok(())
    }

    /// Carries out a decision for a dataset.
    async fn follow(&mut self, place: usize, decision: Decision) -> Result<(), EngineError> {
        match decision {
            Decision::Hand(id) => {
                let objects = self.active[place].objects_mut();
                let shard = objects.queue.remove(&id).expect("a queued shard is known");
                let control = Arc::new(Control::new(shard.range.clone()));
                objects.running.insert(id, Arc::clone(&control));
                let worker = objects.worker.clone();
                let again = objects.taken_up.get(&id).copied().unwrap_or(0);
                self.tasks.spawn(async move {
                    pause(again, &worker.copier.shutdown).await;
                    Brought::Shard(place, id, worker.run(shard, control).await)
                });
            }
            Decision::Search(id) => {
                let objects = self.active[place].objects();
                let control = Arc::clone(objects.running.get(&id).expect("a running shard has a control"));
                let (source, ceiling) = (Arc::clone(objects.stores.lead()), objects.ceiling.clone());
                self.tasks.spawn(async move {
                    Brought::Scout(place, id, scout_while_open(&*source, &control, ceiling).await)
                });
            }
            Decision::Split(id, at) => self.split(place, id, &at).await?,
            Decision::LetRest(id) => {
                if let Some(control) = self.active[place].objects().running.get(&id) {
                    control.rest_for_now();
                }
            }
            Decision::BeginRest => self.begin_rest(place).await?,
            Decision::BeginVerification => {
                let active = &self.active[place];
                match &active.data {
                    Data::Objects(objects) => {
                        let verify = verification::in_run(self.run, &active.plan, &objects.stores);
                        self.tasks.spawn(async move { Brought::Verification(place, verify.await) });
                    }
                    Data::Table(table) => {
                        let table = Arc::clone(table);
                        self.tasks.spawn(async move { Brought::Verification(place, table.verify().await) });
                    }
                }
            }
            Decision::EndPass => self.end_pass(place).await?,
            Decision::Unfinished => {
                let dataset = self.active[place].plan.name.clone();
                self.note(place, EngineError::Unfinished { dataset });
            }
            Decision::Drain => self.run.shutdown.drain(),
        }
        Ok(())
    }

    async fn take(&mut self, brought: Result<Brought, JoinError>) -> Result<(), EngineError> {
        let (place, ended) = match brought? {
            Brought::Shard(place, id, end) => {
                // Its search ends with it, also if it failed.
                if let Some(control) = self.active[place].objects_mut().running.remove(&id) {
                    control.close();
                }
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
                let at = found.unwrap_or_default().lowering(&mut self.active[place].objects_mut().ceiling);
                (place, Ended::Search(id, at))
            }
            Brought::Rest(place, done) => match self.unless_lost(place, done) {
                Ok(done) => (place, Ended::Rest(done)),
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
        self.active[place].lost().map_or(ended, Err)
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
        let shown = error.reason(Redactor::new(self.run.plan.redact_keys));
        self.active[place].waits_for = Some(WaitsFor::Failure(shown));
        if !matches!(error, EngineError::LedgerClosed) {
            self.stopped.get_or_insert(error);
        }
    }

    /// Begins the leftovers of a pass over objects, or the pass over a table.
    async fn begin_rest(&mut self, place: usize) -> Result<(), EngineError> {
        // The leftovers must be in the ledger before they are read from it.
        self.run.commit(Vec::new()).await?;
        let active = &self.active[place];
        let objects = match &active.data {
            Data::Objects(objects) => objects,
            Data::Table(table) => {
                let table = Arc::clone(table);
                self.tasks.spawn(async move { Brought::Rest(place, table.pass().await) });
                return Ok(());
            }
        };
        let shards = self.run.journal.ledger.shards(&active.plan.name).await?;
        let lanes = objects.copier.followers.iter();
        if lanes.filter(|follower| !follower.lane.is_down()).any(|follower| !all_ended(&shards, follower.place)) {
            // What was not listed to its end must not look deleted.
            let dataset = active.plan.name.clone();
            return self.stop(place, None, EngineError::Unfinished { dataset }).await;
        }
        let leftovers = Leftovers {
            copier: Arc::clone(&objects.copier),
            shard: shards.first().map(|shard| shard.id),
            extra: active.plan.extra,
            delete_permille: (!self.run.options.force).then_some(active.plan.delete_share_permille),
        };
        self.tasks.spawn(async move { Brought::Rest(place, leftovers.run().await) });
        Ok(())
    }

    async fn end_pass(&mut self, place: usize) -> Result<(), EngineError> {
        self.run.commit(Vec::new()).await?;
        let active = &self.active[place];
        let pass = active.lifecycle.syncing.pass;
        let objects = match &active.data {
            Data::Objects(objects) => objects,
            Data::Table(table) => {
                if table.sides.followers.iter().any(tables::follower::Follower::is_down) {
                    return self.end_without_some(place).await;
                }
                let ended = EventKind::DatasetEnded {
                    dataset: active.plan.name.clone(),
                    targets: table.sides.progress(),
                    source_bytes_read: table.sides.source_bytes_read(),
                };
                self.happened(place, Transition::PassEnded { pass, failed: 0 }).await?;
                self.run.sink.tell(ended);
                return Ok(());
            }
        };
        if objects.copier.followers.iter().any(|follower| follower.lane.is_down()) {
            return self.end_without_some(place).await;
        }
        let (ledger, dataset) = (&self.run.journal.ledger, &active.plan.name);
        let shards = ledger.shards(dataset).await?;
        if !objects.copier.followers.iter().all(|follower| all_ended(&shards, follower.place)) {
            let dataset = dataset.clone();
            return self.stop(place, None, EngineError::Unfinished { dataset }).await;
        }
        let mut targets = objects.progress(&self.run.board);
        let mut failed = 0;
        for (follower, target) in objects.copier.followers.iter().zip(&mut targets) {
            let counts = ledger.counts(dataset, follower.place).await?;
            (target.deferred, target.failed) = (counts.deferred, counts.failed + counts.damaged);
            failed += counts.failed + counts.deferred + counts.damaged;
        }
        self.happened(place, Transition::PassEnded { pass, failed }).await?;
        let active = &mut self.active[place];
        let objects = active.objects_mut();
        let read = objects.source_bytes_read();
        objects.reads.pass_ends(read);
        let source_bytes_read = objects.reads.of(read);
        active.down.clear();
        if failed > 0 {
            active.waits_for = Some(WaitsFor::Failed(failed));
        }
        let dataset = active.plan.name.clone();
        self.run.sink.tell(EventKind::DatasetEnded { dataset, targets, source_bytes_read });
        Ok(())
    }

    async fn end_verification(&mut self, place: usize, verification: Verification) -> Result<(), EngineError> {
        let dataset = &self.active[place].plan;
        let event = recorded::ended(dataset, dataset.verify, &verification, &self.active[place].lifecycle);
        let active = &mut self.active[place];
        active.differs = None;
        if let Transition::Differed { .. } = &event {
            let differs = match &active.data {
                Data::Objects(objects) => {
                    moved_on::judge(self.run, &active.plan, &objects.stores, &verification).await?
                }
                Data::Table(table) => {
                    moved_on::judge_table(&verification, table.tails_of_leads().is_empty(), table.sides.redactor)
                }
            };
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
        let Some(control) = active.objects().running.get(&id) else { return Ok(()) };
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
                active.objects_mut().queue.insert(shard.id, shard);
            }
        }
        Ok(())
    }
}
