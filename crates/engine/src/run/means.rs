//! The engine as the steps of a cutover use it, for one dataset.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rand::{RngCore as _, SeedableRng as _};

use crate::{
    clock::{before, now},
    cutover::{
        halt::Halt,
        hand::{Changes, Hand, OpenWrites, Written},
        moves::Move,
    },
    driver::Driver,
    error::EngineError,
    route::RouteStore,
    run::{context::Run, moved_data::MovedData, moved_on, verification},
    tables::readiness::Leads,
    verify::{recorded, witness::Verified},
};
use migrate_core::{
    lifecycle::{Lifecycle, Transition},
    model::{DatasetName, Decided, Key, PlaceIndex, Timestamp},
    plan::Dataset,
    report::{EventKind, Proved, Redactor},
};
use migrate_ledger::{Record, TableStep};
use migrate_store::{ErrorKind, table::TableStore as _};

/// A proof as one line: what decided, and what was not compared.
pub(crate) fn said(decided: Decided, blind_spots: &[String]) -> String {
    let mut said = format!("equal by {decided}");
    for (place, spot) in blind_spots.iter().enumerate() {
        said.push_str(if place == 0 { "; not seen: " } else { "; " });
        said.push_str(spot);
    }
    said
}

/// The [`Hand`] of one dataset, for its cutover in a run.
pub(crate) struct EngineHand<'a> {
    run: &'a Run<'a>,
    dataset: Dataset,
    data: MovedData,
    /// The move in the plan.
    pub(crate) what: Move,
    /// The dataset's route.
    pub(crate) route: RouteStore,
    leads: Leads,
    /// The id of this ledger, which the route must name as the driver.
    ledger: String,
    standing: Mutex<Moment>,
}

#[derive(Debug, Clone)]
struct Moment {
    lifecycle: Lifecycle,
    verified: Option<Verified>,
}

impl std::fmt::Debug for EngineHand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHand").field("dataset", &self.dataset.name).finish_non_exhaustive()
    }
}

impl<'a> EngineHand<'a> {
    /// The hand of a dataset, with its route open; `None` if its lead stays.
    pub(crate) async fn take(
        run: &'a Run<'a>,
        dataset: &Dataset,
        data: MovedData,
        lifecycle: Lifecycle,
    ) -> Result<Option<Self>, EngineError> {
        let (Some(what), Some(cutover)) = (Move::of(dataset), &dataset.cutover) else { return Ok(None) };
        let route = run.open_route(dataset, &cutover.route).await?;
        let ledger = run.journal.ledger.id().await?;
        Ok(Some(Self {
            run,
            dataset: dataset.clone(),
            data,
            what,
            route,
            leads: Leads::of(run.plan, dataset),
            ledger,
            standing: Mutex::new(Moment { lifecycle, verified: None }),
        }))
    }

    fn standing(&self) -> MutexGuard<'_, Moment> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The two places between which the lead of objects moves: the plan has no parts of these that move by themselves.
    fn two(&self) -> (PlaceIndex, PlaceIndex) {
        (self.leads.old, self.leads.new[0])
    }

    /// The proof of the last verification, if it was clean.
    pub(crate) fn verified(&self) -> Option<Verified> {
        self.standing().verified.clone()
    }
}

#[async_trait]
impl Hand for EngineHand<'_> {
    fn lifecycle(&self) -> Lifecycle {
        self.standing().lifecycle.clone()
    }

    async fn happened(&self, event: Transition) -> Result<(), Halt> {
        let before = self.lifecycle();
        let lifecycle = before.apply(&event).map_err(EngineError::from)?;
        // The lock prevents a withdrawal of the approval between this check and the intent. Whether the run is to stop
        // is not checked here: the answer might change between the intents of two leads that move together.
        let moves = matches!(event, Transition::SwitchIntended { .. });
        let withdrawn = if moves { Some(self.run.withdrawn.lock().await) } else { None };
        let phase = self.run.plan.phase_of(&self.dataset.name).map(|phase| &phase.name);
        if withdrawn.as_ref().is_some_and(|withdrawn| phase.is_some_and(|phase| withdrawn.contains(phase))) {
            return Err(Halt::Interrupted);
        }
        let (dataset, proved) = (self.dataset.name.clone(), Proved::by(&event));
        let mut records = Vec::new();
        if let (MovedData::Table(table), Transition::Switched { lead }) = (&self.data, &event) {
            let mut to = self.leads.new.clone();
            if !self.dataset.is_partitioned() {
                // By the move that was begun: the plan may name another lead by now.
                to = self.dataset.target_at(&lead.lead).map_or(to, |place| vec![place]);
            }
            table.capture_of_old(&self.leads).await?;
            records.push(table.record(TableStep::LeadMoved { from: self.leads.old, to }));
        }
        records.push(Record::Happened { dataset: dataset.clone(), event, at: now() });
        self.run.commit(records).await?;
        drop(withdrawn);
        if let Some(lease) = self.data.lease().filter(|_| moves) {
            // From here on nothing is written for the dataset, and the route is to show another lead.
            lease.give_back();
        }
        let state = lifecycle.state();
        // The marks of a step do not change the state; what the step does is told by itself.
        if proved.is_some() || state != before.state() {
            self.run.sink.tell(EventKind::DatasetState { dataset, state, proved });
        }
        self.standing().lifecycle = lifecycle;
        Ok(())
    }

    async fn check_ready(&self) -> Result<(), Halt> {
        match &self.data {
            MovedData::Objects(_) => Ok(()),
            MovedData::Table(table) => self.leads.check(&table.sides.stores).await,
        }
    }

    async fn make_ready(&self) -> Result<(), Halt> {
        match &self.data {
            MovedData::Objects(_) => Ok(()),
            MovedData::Table(table) => table.make_ready(&self.leads, self.what.cutover.max_lag).await,
        }
    }

    async fn drain(&self) -> Result<(), Halt> {
        match &self.data {
            MovedData::Objects(_) => Ok(()),
            MovedData::Table(table) => table.drain(&self.leads).await,
        }
    }

    async fn verify(&self) -> Result<Verified, Halt> {
        let verification = match &self.data {
            MovedData::Objects(stores) => verification::in_run(self.run, &self.dataset, stores).await?,
            MovedData::Table(table) => table.final_verification(&self.leads).await?,
        };
        if verification.interrupted {
            return Err(Halt::Interrupted);
        }
        self.happened(recorded::ended(&self.dataset, self.dataset.verify, &verification, &self.lifecycle())).await?;
        self.standing().verified.clone_from(&verification.verified);
        if let Some(verified) = verification.verified {
            self.tell("final verify", &said(verified.decided(), verified.blind_spots()));
            return Ok(verified);
        }
        let differs = match &self.data {
            MovedData::Objects(stores) => moved_on::judge(self.run, &self.dataset, stores, &verification).await?,
            MovedData::Table(table) => moved_on::judge_table(&verification, false, table.sides.redactor),
        };
        let found = differs.waits_for();
        Err(if differs.lead_moved {
            Halt::MovedOn(format!("{found}, since it was verified"))
        } else {
            Halt::Refused(format!("{found}: `migrate verify` lists them, `migrate verify --repair` copies again"))
        })
    }

    fn drives(&self, driver: Option<&Driver>) -> bool {
        driver.is_some_and(|driver| driver.ledger == self.ledger)
    }

    fn stops(&self) -> bool {
        self.data.shutdown(&self.run.shutdown).is_draining()
    }

    async fn cancelled(&self) {
        self.run.shutdown.cancelled().await;
    }

    async fn changes(&self) -> Result<Changes, Halt> {
        match &self.data {
            MovedData::Objects(stores) => moved_on::between(self.run, &self.dataset, stores, self.two()).await,
            MovedData::Table(table) => table.changes(&self.leads).await,
        }
    }

    async fn complete_lead(&self) -> Result<(), Halt> {
        let MovedData::Table(table) = &self.data else { return Ok(()) };
        for new in &self.leads.new {
            let Some(attribute) = table.expiry_to_set(self.leads.old, *new).await? else { continue };
            let (of, at) = (self.run.tables_of(&self.dataset), self.dataset.location(*new));
            match self.run.sites.new_lead(of, at).await?.set_ttl(Some(&attribute)).await {
                Ok(()) => self.tell("watch", &format!("items of {at} expire by {attribute} from here on")),
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    table.sides.warn(format!("items of {at} do not expire: its server cannot do that"));
                }
                Err(error) => return Err(EngineError::from(error).into()),
            }
        }
        Ok(())
    }

    async fn late(&self) -> Result<Written, Halt> {
        match &self.data {
            MovedData::Objects(stores) => moved_on::at_old_lead(self.run, &self.dataset, stores, self.two()).await,
            MovedData::Table(table) => table.late(&self.leads).await,
        }
    }

    fn shown(&self, key: &Key) -> Key {
        Redactor::new(self.run.plan.redact_keys).key(key)
    }

    fn tell_late(&self, late: &Written) {
        self.run.sink.tell(EventKind::LateWrites {
            dataset: self.dataset.name.clone(),
            site: self.what.from.clone(),
            records: late.count,
            keys: late.keys.clone(),
        });
    }

    async fn open_writes(&self, settle: Duration) -> Result<Option<OpenWrites>, Halt> {
        let (plan, journal) = (self.run.plan, &self.run.journal);
        let fills = plan.filled_by(&self.dataset);
        // Also of datasets that the plan no longer has: their places may be the same.
        let counts =
            |name: &DatasetName| *name == self.dataset.name || fills.contains(&name) || plan.phase_of(name).is_none();
        let Some(youngest) = journal.writes.youngest(counts).filter(|youngest| youngest.age < settle) else {
            return Ok(None);
        };
        // What was noted must be in the ledger before it is asked.
        self.run.commit(Vec::new()).await?;
        let known = journal.ledger.unknown(before(now(), settle)).await.map_err(EngineError::from)?;
        let known: Vec<_> = known.into_iter().filter(|unknown| counts(&unknown.dataset)).collect();
        Ok(Some(OpenWrites {
            left: settle.saturating_sub(youngest.age),
            known: known.iter().map(|unknown| unknown.count).sum(),
            key: known.into_iter().max_by_key(|unknown| unknown.at).map(|unknown| self.shown(&unknown.key)),
            is_cut_off: youngest.is_cut_off,
        }))
    }

    async fn wait(&self, time: Duration, reason: &str) -> Result<(), Halt> {
        if !time.is_zero() {
            let (dataset, reason) = (self.dataset.name.clone(), reason.to_owned());
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            self.run.sink.tell(EventKind::Waiting { dataset, reason, seconds });
        }
        match tokio::time::timeout(time, self.data.shutdown(&self.run.shutdown).draining()).await {
            Ok(()) => Err(Halt::Interrupted),
            Err(_elapsed) => Ok(()),
        }
    }

    async fn switched_at(&self) -> Result<Option<Timestamp>, Halt> {
        let events = self.run.journal.ledger.events(&self.dataset.name).await.map_err(EngineError::from)?;
        let switched = events.iter().rev().find(|(event, _)| matches!(event, Transition::Switched { .. }));
        Ok(switched.map(|(_, at)| *at))
    }

    fn tell(&self, step: &'static str, detail: &str) {
        let (dataset, detail) = (self.dataset.name.clone(), detail.to_owned());
        self.run.sink.tell(EventKind::CutoverStep { dataset, step, detail });
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn attempt(&self) -> String {
        format!("{:016x}", rand::rngs::StdRng::from_os_rng().next_u64())
    }
}
