//! Owns the state of a run: takes its phases in order, begins their datasets and collects the outcome.
//!
//! Phases begin in the plan's order; a phase waits until those that it names in `after` have reached
//! their goals. Within a phase all datasets run at once, and their shards share the workers:
//! [`shards`](crate::run::shards) does that work. Once a phase is proved and its leads are
//! to move, [`cutovers`](crate::run::cutovers) moves them. [`decide`](crate::run::decide) makes the decisions.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    asked::{DatasetOutcome, RunOptions, RunOutcome, asked, refuse_unsupported},
    clock::now,
    copy::unclaimed,
    error::EngineError,
    migration::Migration,
    rows::Inputs,
    run::{
        active::{Active, CopyReads, Data, ObjectWork},
        context::{Run, with_run},
        decide::{self, PhaseDue},
        lanes,
        moved_data::MovedData,
        shards::PhaseWork,
        worker::Worker,
    },
    shutdown,
    sites::opening::DatasetStores,
    star::Star,
    tables::work::TableWork,
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{self, Action, Goal, Lifecycle, Moving, Stage, Transition},
    model::{KeyRange, PhaseName, PlaceIndex},
    plan::{Dataset, Phase},
    report::{EventKind, Redactor},
};
use migrate_ledger::Record;

impl Migration<'_> {
    /// Carries out the plan, as far as the options ask: copies to the targets, deletes there what the plan lets it
    /// delete, verifies, and moves the leads of approved phases. Everything that it did is in the ledger.
    ///
    /// # Errors
    ///
    /// Errors of single records are in the ledger. An error that ends the run early is in [`RunOutcome::stopped`] if
    /// there is an outcome; otherwise it is returned, also if work has begun.
    pub async fn run(&self, options: &RunOptions) -> Result<RunOutcome, EngineError> {
        for dataset in asked(self.plan, &options.phases, &options.datasets) {
            refuse_unsupported(dataset, options.goal == Goal::CutOver && dataset.cutover.is_some())?;
        }
        match with_run(self, options, async |run: &Run<'_>| run.drive().await).await {
            (outcome, Ok(())) => outcome,
            // The work learns only that the ledger is closed; the scribe's error tells why.
            (Err(EngineError::LedgerClosed), Err(error)) => Err(error.into()),
            (outcome, Err(error)) => outcome.map(|outcome| RunOutcome { stopped: Some(error.into()), ..outcome }),
        }
    }
}

/// The positions of live datasets whose lead was written to between copy and verification: S3 and
/// directories have no stream of changes, so another pass follows them. A difference that another
/// pass would find again is no reason for a pass. The same for datasets whose last pass targets still hold up.
fn moved_on(active: &[Active]) -> Vec<usize> {
    let moved = |active: &Active| {
        lanes::needs_another_pass(active)
            || active.plan.live && active.differs.as_ref().is_some_and(|differs| differs.lead_moved)
    };
    active.iter().enumerate().filter(|(_, active)| moved(active)).map(|(place, _)| place).collect()
}

impl Run<'_> {
    /// Goes through the phases, does meanwhile what other processes ask for, and then gives up what they asked to.
    async fn drive(&self) -> Result<RunOutcome, EngineError> {
        let ended = CancellationToken::new();
        let phases = async {
            let outcome = self.phases().await;
            ended.cancel();
            outcome
        };
        let (outcome, served) = futures::join!(phases, self.serve_requests(&ended));
        let mut outcome = outcome?;
        if let Err(error) = served {
            outcome.stopped.get_or_insert(error);
        }
        outcome.withdrawn.clone_from(&*self.withdrawn.lock().await);
        if let Some((request, asked)) = self.abort.take() {
            outcome.aborted = self.abort(&asked).await?;
            self.answer_abort(&request, &outcome.aborted).await?;
        }
        Ok(outcome)
    }

    async fn phases(&self) -> Result<RunOutcome, EngineError> {
        let mut outcome = RunOutcome::default();
        let mut short: Vec<PhaseName> = Vec::new();
        for phase in &self.plan.phases {
            let asked: Vec<_> =
                phase.datasets.iter().filter(|dataset| self.is_asked(phase, dataset)).cloned().collect();
            let is_short = phase.after.iter().any(|before| short.contains(before));
            let elsewhere = if is_short { None } else { self.unfinished_before(phase).await? };
            let due = decide::phase_due(&phase.after, &short, elsewhere, self.shutdown.is_draining());
            let complete = if due == PhaseDue::Begins {
                match self.phase(phase, asked.clone(), &mut outcome).await {
                    Ok(complete) => complete,
                    // The run was asked to stop twice, so it dropped its work.
                    Err(EngineError::Cancelled) => {
                        self.left_alone(phase, &asked, Some(&WaitsFor::NextRun), &mut outcome).await?;
                        false
                    }
                    // The outcomes so far must be told.
                    Err(error) if !outcome.datasets.is_empty() => {
                        outcome.stopped.get_or_insert(error);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            } else {
                let waits_for = match due {
                    PhaseDue::WaitsFor(before) => Some(WaitsFor::Phase(before)),
                    PhaseDue::LeftAlone | PhaseDue::Begins => None,
                };
                self.left_alone(phase, &asked, waits_for.as_ref(), &mut outcome).await?;
                false
            };
            if !complete {
                short.push(phase.name.clone());
            }
        }
        if self.options.follow && outcome.stopped.is_none() {
            outcome.stopped = self.follow().await.err();
        }
        outcome.interrupted = self.shutdown.is_draining();
        if outcome.stopped.is_none() {
            outcome.stopped = self.journal.take_fatal();
        }
        Ok(outcome)
    }

    /// Tells where the datasets of a phase stand that this run has not told yet.
    async fn left_alone(
        &self,
        phase: &Phase,
        asked: &[Dataset],
        waits_for: Option<&WaitsFor>,
        outcome: &mut RunOutcome,
    ) -> Result<(), EngineError> {
        for dataset in asked {
            if outcome.datasets.iter().all(|told| told.dataset != dataset.name) {
                let lifecycle = self.lifecycle(&dataset.name).await?;
                outcome.datasets.push(self.outcome_of(dataset, phase, &lifecycle, waits_for.cloned()));
            }
        }
        Ok(())
    }

    /// Follows all live tables until the run is to stop; ends with the first that cannot be followed.
    async fn follow(&self) -> Result<(), EngineError> {
        let tables = self.following.lock().await.clone();
        let follow = futures::future::try_join_all(tables.iter().map(TableWork::follow));
        shutdown::cancellable(&self.shutdown, Box::pin(follow)).await?;
        for table in &tables {
            table.sides.close().await?;
        }
        Ok(())
    }

    fn is_asked(&self, phase: &Phase, dataset: &Dataset) -> bool {
        (self.options.phases.is_empty() || self.options.phases.contains(&phase.name))
            && (self.options.datasets.is_empty() || self.options.datasets.contains(&dataset.name))
    }

    /// A phase before this one with a dataset that is not part of this run and has not reached its goal.
    async fn unfinished_before(&self, phase: &Phase) -> Result<Option<PhaseName>, EngineError> {
        for before in self.plan.phases.iter().filter(|other| phase.after.contains(&other.name)) {
            for dataset in &before.datasets {
                let is_asked = self.is_asked(before, dataset);
                if !is_asked && !self.lifecycle(&dataset.name).await?.reached(self.goal_of(dataset)) {
                    return Ok(Some(before.name.clone()));
                }
            }
        }
        Ok(None)
    }

    /// Runs the datasets of one phase; `true` if all have reached their goal.
    async fn phase(&self, phase: &Phase, asked: Vec<Dataset>, outcome: &mut RunOutcome) -> Result<bool, EngineError> {
        if asked.is_empty() {
            return Ok(true);
        }
        self.sink.tell(EventKind::PhaseBegan { phase: phase.name.clone() });
        let (mut active, mut complete, mut moved) = (Vec::new(), true, Vec::new());
        for dataset in asked {
            if let Some(begun) = shutdown::cancellable(&self.shutdown, Box::pin(self.activate(&dataset))).await? {
                active.push(begun);
            } else {
                let lifecycle = self.lifecycle(&dataset.name).await?;
                outcome.datasets.push(self.outcome_of(&dataset, phase, &lifecycle, None));
                moved.push(dataset);
            }
        }
        let mut rounds = 0;
        loop {
            let mut work = PhaseWork::new(self, active);
            work.work().await?;
            let stopped = work.stopped.take();
            active = work.active;
            if stopped.is_some() {
                outcome.stopped = outcome.stopped.take().or(stopped);
                break;
            }
            rounds += 1;
            let mut moved_on = moved_on(&active);
            if moved_on.is_empty() {
                moved_on = Box::pin(self.cut_over(phase, &mut active, outcome)).await?;
            }
            let again = decide::again(moved_on, rounds, self.shutdown.is_draining());
            if again.is_empty() {
                break;
            }
            for place in again {
                self.begin_again(&mut active[place]).await?;
            }
        }
        let follows = |active: &&Active| active.star().lead != PlaceIndex::SOURCE;
        moved.extend(active.iter().filter(follows).map(|active| active.plan.clone()));
        for dataset in moved.iter().filter(|_| !self.shutdown.is_draining()) {
            if let Err(error) = shutdown::cancellable(&self.shutdown, Box::pin(self.settle_late(dataset))).await {
                outcome.stopped.get_or_insert(error);
            }
        }
        self.leave_tables(&active, outcome).await;
        for active in active {
            // The phases after it wait for its lead, not for those that follow it.
            complete &= active.ended && active.lifecycle.reached(self.goal_of(&active.plan));
            outcome.datasets.push(self.concluded(active, phase));
        }
        Ok(complete)
    }

    /// Brings tables into the form in which others read them, and goes on reading their streams.
    async fn leave_tables(&self, active: &[Active], outcome: &mut RunOutcome) {
        for active in active {
            let Data::Table(table) = &active.data else { continue };
            if active.lifecycle.moved_to().is_some() && active.lifecycle.syncing.stage == Stage::Unseen {
                // It was given its form before the switch, and this run has written nothing since, nor claimed it to write.
                // The next run follows back.
                continue;
            }
            if !self.shutdown.is_draining()
                && let Err(error) = table.sides.close().await
            {
                outcome.stopped.get_or_insert(error);
            }
            if !table.tails_of_leads().is_empty() {
                self.following.lock().await.push(Arc::clone(table));
            }
        }
    }

    /// The outcome of a dataset at the end of its phase.
    fn concluded(&self, active: Active, phase: &Phase) -> DatasetOutcome {
        let goal = self.goal_of(&active.plan);
        let reached = active.ended && active.lifecycle.reached(goal) && active.lifecycle.follows(goal);
        let mut waits_for = active.waits_for;
        if waits_for.is_none() && !reached && self.shutdown.is_draining() {
            waits_for = Some(WaitsFor::NextRun);
        }
        let ended = self.outcome_of(&active.plan, phase, &active.lifecycle, waits_for);
        let repairable = active.differs.is_none_or(|differs| differs.repairable);
        DatasetOutcome { reached, repairable, verified: active.verified, ..ended }
    }

    /// Loads where a dataset stands, checks that its meaning is unchanged, and begins or resumes a pass, from the place
    /// that leads; `None` if nothing is left to do.
    async fn activate(&self, dataset: &Dataset) -> Result<Option<Active>, EngineError> {
        self.check_meaning(dataset).await?;
        let lifecycle = self.lifecycle(&dataset.name).await?;
        if let Some(moved) = lifecycle.moved_to() {
            self.leads_as_planned(dataset, moved)?;
        }
        if matches!(lifecycle.moving, Moving::Watching { .. }) && dataset.cutover.is_none() {
            let reason = "its old lead was not looked at since the switch, and the plan no longer has its cutover: put it \
                          back";
            return Err(EngineError::NotCutOver { dataset: dataset.name.clone(), reason: reason.to_owned() });
        }
        let follows = !Star::of(self.plan, dataset, &lifecycle)?.followers.is_empty();
        if lifecycle.moved_to().is_some() {
            self.look_at_unclaimed(dataset).await?;
        }
        if lifecycle.first_step(follows).is_none() {
            return Ok(None);
        }
        if dataset.is_table() {
            return self.activate_table(dataset, &lifecycle, follows).await.map(Some);
        }
        // A missing location must fail before the dataset is bound to it.
        let mut stores = self.open_some(dataset).await?;
        let unopened = std::mem::take(&mut stores.unopened);
        let stores = Arc::new(stores);
        self.begin(dataset).await?;
        let lifecycle = self.lifecycle(&dataset.name).await?;
        let data = MovedData::Objects(Arc::clone(&stores));
        let mut lifecycle = self.close_move(dataset, data, lifecycle).await?;
        // Until every client has read the route again, nothing is written for the dataset.
        let step = lifecycle.first_step(follows).filter(|step| *step != Action::Watch);
        if step.is_some() {
            self.claim(dataset, stores.lease.as_ref()).await?;
        }
        let resumed = matches!(step, Some(Action::ResumePass(_)));
        if let Some(Action::BeginPass(pass)) = step {
            lifecycle = self.begin_pass(dataset, &lifecycle, pass).await?;
        }
        let active = self.active(dataset, stores, lifecycle, resumed).await?;
        let copier = &active.objects().copier;
        for (place, error) in unopened {
            copier.close(copier.follower(place), error);
        }
        Ok(Some(active))
    }

    /// A dataset at this point of its lifecycle, with the shards of its pass queued.
    async fn active(
        &self,
        dataset: &Dataset,
        stores: Arc<DatasetStores>,
        lifecycle: Lifecycle,
        resumed: bool,
    ) -> Result<Active, EngineError> {
        let copier = Arc::new(self.copier(dataset, &stores));
        let worker = Worker {
            inputs: Inputs::new(dataset, &stores, Some(&self.journal.ledger)),
            copier: Arc::clone(&copier),
            extra: dataset.extra,
            resumed,
            batch_rows: self.options.limits.batch_rows.max(1),
            board: self.board.clone(),
        };
        let objects = ObjectWork {
            copier,
            worker,
            stores,
            queue: BTreeMap::new(),
            running: BTreeMap::new(),
            taken_up: BTreeMap::new(),
            is_held_up: false,
            ceiling: None,
            reads: CopyReads::default(),
        };
        let mut active = self.entered(dataset, lifecycle, Data::Objects(Box::new(objects))).await?;
        let down = active.down.clone();
        let objects = active.objects_mut();
        let shards: Vec<_> = objects.queue.values().cloned().collect();
        objects.is_held_up = lanes::is_held_up(&shards, &down, &objects.copier.followers);
        Ok(active)
    }

    /// A dataset whose pass, if one is under way, is on the board.
    async fn entered(&self, dataset: &Dataset, lifecycle: Lifecycle, data: Data) -> Result<Active, EngineError> {
        let mut active = Active {
            plan: dataset.clone(),
            lifecycle,
            down: self.down(dataset).await?,
            ended: false,
            verified: None,
            waits_for: None,
            differs: None,
            data,
        };
        self.enter(&mut active).await?;
        Ok(active)
    }

    /// Opens and checks the tables of a dataset, makes those that are missing, and begins or resumes a pass.
    async fn activate_table(
        &self,
        dataset: &Dataset,
        lifecycle: &Lifecycle,
        follows: bool,
    ) -> Result<Active, EngineError> {
        let stores = Arc::new(self.open_tables(dataset).await?);
        // A missing table must fail before the dataset is bound to it.
        let table = self.table_work(dataset, &stores).await?;
        self.begin(dataset).await?;
        let mut lifecycle = self.close_move(dataset, MovedData::Table(Arc::clone(&table)), lifecycle.clone()).await?;
        // Until every client has read the route again, nothing is written for the dataset.
        let step = lifecycle.first_step(follows).filter(|step| *step != Action::Watch);
        if step.is_some() {
            self.claim(dataset, stores.lease.as_ref()).await?;
            self.fit_followers(&table.sides).await?;
        }
        if let Some(Action::BeginPass(pass)) = step {
            lifecycle = self.begin_pass(dataset, &lifecycle, pass).await?;
        }
        self.entered(dataset, lifecycle, Data::Table(table)).await
    }

    /// The targets that an earlier run left down, and why.
    async fn down(&self, dataset: &Dataset) -> Result<BTreeMap<PlaceIndex, String>, EngineError> {
        let events = self.journal.ledger.events(&dataset.name).await?;
        Ok(lifecycle::down(&events).into_iter().map(|down| (down.place, down.reason)).collect())
    }

    /// Looks for unclaimed uploads at the targets of a dataset whose lead has moved, at which no pass looks any more. It
    /// aborts none: applications upload there now.
    async fn look_at_unclaimed(&self, dataset: &Dataset) -> Result<(), EngineError> {
        if self.journal.ledger.unclaimed(&dataset.name).await?.is_empty() {
            return Ok(());
        }
        let star = Star::of_all(dataset, &Lifecycle::default())?;
        let writes = Some((&self.journal, &self.shutdown));
        let copier = match self.sites.open(self.plan, dataset, star, writes, &self.sink).await {
            Ok(stores) => self.copier(dataset, &stores),
            Err(error @ (EngineError::Store(_) | EngineError::PlaceChanged { .. })) => {
                let message = format!(
                    "uploads without a name were not looked at: {}",
                    error.shown(Redactor::new(self.plan.redact_keys))
                );
                self.sink.tell(EventKind::Warning { dataset: Some(dataset.name.clone()), key: None, message });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        unclaimed::look_again(&copier, None, false).await?;
        self.commit(Vec::new()).await
    }

    /// Records that a pass begins.
    async fn begin_pass(&self, dataset: &Dataset, lifecycle: &Lifecycle, pass: u64) -> Result<Lifecycle, EngineError> {
        let event = Transition::PassBegun { pass };
        let lifecycle = lifecycle.apply(&event)?;
        let shards = vec![(self.journal.ledger.next_shard_id().await?, KeyRange::all())];
        self.commit(vec![
            Record::Happened { dataset: dataset.name.clone(), event, at: now() },
            Record::ShardsPlanned { dataset: dataset.name.clone(), shards },
        ])
        .await?;
        Ok(lifecycle)
    }

    /// Queues the shards of the pass under way and puts the dataset on the board.
    async fn enter(&self, active: &mut Active) -> Result<(), EngineError> {
        let dataset = active.plan.name.clone();
        if let Data::Objects(objects) = &mut active.data {
            let shards = self.journal.ledger.shards(&dataset).await?;
            let mut behind = BTreeMap::new();
            for place in &*objects.stores.star.followers {
                behind.insert(*place, self.journal.ledger.counts(&dataset, *place).await?.deferred);
            }
            self.board.enter(&dataset, &shards, behind);
            if active.lifecycle.syncing.stage == Stage::Copying {
                objects.queue = shards.into_iter().map(|shard| (shard.id, shard)).collect();
            }
        }
        self.sink.tell(EventKind::DatasetState { dataset, state: active.lifecycle.state(), proved: None });
        Ok(())
    }

    /// Begins one more pass of a dataset whose lead has moved on since its last pass.
    async fn begin_again(&self, active: &mut Active) -> Result<(), EngineError> {
        self.claim(&active.plan, active.lease()).await?;
        let pass = active.lifecycle.syncing.pass + 1;
        active.lifecycle = self.begin_pass(&active.plan, &active.lifecycle, pass).await?;
        (active.ended, active.verified, active.waits_for) = (false, None, None);
        active.differs = None;
        if let Data::Objects(objects) = &mut active.data {
            objects.taken_up.clear();
            objects.is_held_up = false;
            let read = objects.source_bytes_read();
            objects.reads.pass_begins(read);
        }
        self.enter(active).await
    }

    /// The outcome of a dataset in this state, without a verification of this run.
    fn outcome_of(
        &self,
        dataset: &Dataset,
        phase: &Phase,
        lifecycle: &Lifecycle,
        waits_for: Option<WaitsFor>,
    ) -> DatasetOutcome {
        DatasetOutcome {
            dataset: dataset.name.clone(),
            phase: phase.name.clone(),
            reached: lifecycle.reached(self.goal_of(dataset)),
            state: lifecycle.state(),
            waits_for,
            repairable: true,
            verified: None,
        }
    }
}
