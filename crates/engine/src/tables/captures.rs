//! Which streams of a table dataset are read: that of the lead, and during a cutover and after it those of both leads.
//!
//! The stream of the lead tells what the followers owe. That of a place to which the lead moves tells, before the switch,
//! that nothing else writes there, and after it, what the old lead owes. That of the old lead tells, after the switch, what
//! was still written there: the new lead *owes* these keys, and is not given them.

use std::sync::{Arc, PoisonError};

use crate::{
    clock::now,
    error::EngineError,
    tables::{
        tail::{CaughtUp, Expiry, Stream, Tail},
        work::TableWork,
    },
};
use migrate_core::model::PlaceIndex;
use migrate_ledger::TableStep;
use migrate_store::{ErrorKind, table::ChangeStream};

impl TableWork {
    /// What reads the streams of those that lead, begun if nothing does; `None` if the plan asks for none, or one of them
    /// has none.
    pub(super) async fn capture(&self) -> Result<Option<Vec<Arc<Tail>>>, EngineError> {
        if !self.sides.dataset.live {
            return Ok(None);
        }
        let mut tails = Vec::new();
        for lead in &*self.sides.leads {
            let Some(tail) = self.capture_at(*lead, self.sides.places()).await? else {
                self.sides.warn(format!(
                    "{} has no stream of changes: it is followed by comparing all items, again and again",
                    self.sides.stores.at(*lead).location()
                ));
                return Ok(None);
            };
            tails.push(tail);
        }
        Ok(Some(tails))
    }

    /// What reads the stream of a place, begun if nothing does; `None` if there is no stream. These places owe what it
    /// shows.
    pub(super) async fn capture_at(
        &self,
        place: PlaceIndex,
        owed: Vec<PlaceIndex>,
    ) -> Result<Option<Arc<Tail>>, EngineError> {
        if let Some(tail) = self.tail_of(place) {
            return Ok(Some(tail));
        }
        let store = self.sides.stores.at(place);
        let Some(changes) = store.changes() else { return Ok(None) };
        let known = self.journal.ledger.capture(&self.sides.dataset.name, place).await?;
        let name = match known.filter(|known| known.broken.is_none()) {
            Some(known) => known.stream,
            None => match self.enabled(place, changes).await? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        let stream = Stream {
            dataset: self.sides.dataset.name.clone(),
            names: self.sides.names.clone(),
            store: Arc::clone(store),
            place,
            owed,
            name,
            expiry: self.expiry_at(place),
            journal: self.journal.clone(),
        };
        let tail = Arc::new(Tail::begin(stream));
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&tail));
        Ok(Some(tail))
    }

    /// What it means at a place that an item is deleted because its time is over.
    fn expiry_at(&self, place: PlaceIndex) -> Expiry {
        match self.sides.follower(place) {
            _ if place != PlaceIndex::SOURCE || self.sides.leads.contains(&place) => Expiry::Changes,
            Some(_) => Expiry::Owes,
            None => Expiry::Nothing,
        }
    }

    /// Enables the stream of a place, or takes the one that is there; `None` if the server has none.
    async fn enabled(&self, place: PlaceIndex, changes: &dyn ChangeStream) -> Result<Option<String>, EngineError> {
        let before = self.journal.ledger.capture(&self.sides.dataset.name, place).await?;
        let (stream, ours) = match changes.enable().await {
            // A stream that this migration enabled before stays its own.
            Ok((stream, ours)) => {
                let ours = ours || before.is_some_and(|before| before.ours && before.stream == stream);
                (stream, ours)
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let leads = self.sides.leads.contains(&place);
        let began = TableStep::CaptureBegan { place, stream: stream.clone(), ours, leads, at: now() };
        let mut records = vec![self.record(began)];
        if place == PlaceIndex::SOURCE && !leads {
            // The old lead: what was written there before, nothing tells, also if the process that lost it said nothing.
            records.push(self.record(TableStep::ToCompare { place: self.sides.leads[0] }));
        }
        self.journal.commit(records).await?;
        Ok(Some(stream))
    }

    /// Waits until all changes made before are known; `None` if the run is to stop. What reads a stream that lost changes,
    /// or failed, is forgotten: the next one who needs it begins anew.
    pub(super) async fn caught_up(&self, tail: &Arc<Tail>) -> Result<Option<CaughtUp>, EngineError> {
        let caught_up = tokio::select! {
            caught_up = tail.caught_up() => caught_up,
            () = self.sides.shutdown.draining() => return Ok(None),
        };
        if !matches!(caught_up, Ok(CaughtUp::Yes)) {
            let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
            tails.retain(|_, known| !Arc::ptr_eq(known, tail));
        }
        caught_up.map(Some)
    }

    /// The same for several places; the first that lost changes counts.
    pub(super) async fn all_caught_up(&self, tails: &[Arc<Tail>]) -> Result<Option<CaughtUp>, EngineError> {
        for caught_up in futures::future::join_all(tails.iter().map(|tail| self.caught_up(tail))).await {
            match caught_up? {
                Some(CaughtUp::Yes) => {}
                other => return Ok(other),
            }
        }
        Ok(Some(CaughtUp::Yes))
    }

    /// Tells that changes of a place were lost.
    pub(super) fn tell_broken(&self, place: PlaceIndex, reason: &str) {
        let at = self.sides.stores.at(place).location();
        self.sides.warn(format!("changes of {at} were lost, so all items are compared: {reason}"));
    }
}
