//! A table as the steps of a cutover see it.
//!
//! # Who may have changed it
//!
//! The stream of the old lead tells what changed there: until the switch the new lead *owes* these keys. The *drain* brings
//! over what it shows until it shows nothing more; from there on we write nothing. Then both sides are compared in full,
//! and the *last look* asks the streams: a key that the new lead owes was written at the old lead since; a key that the
//! new lead's own stream shows was written there by somebody else. After the switch a key that the new lead owes is a
//! late write ([`old_lead`](super::old_lead)).
//!
//! What the server of either deletes by itself, because its time is over, nobody has written: it may go on without a pause,
//! and stops no move. The new lead owes such a key until the switch, in case that does not come; afterwards its own server
//! deletes the item.
//!
//! # The way back
//!
//! The stream of the new lead is read from before the final verification on, so that nothing that an application writes
//! there after the switch is missed: the old lead owes it.

use std::{sync::PoisonError, time::Duration};

use tokio::time::Instant;

use crate::{
    clock::now,
    cutover::{
        halt::Halt,
        hand::{Changes, Written},
    },
    error::EngineError,
    tables::{
        follower::Follower,
        readiness::{self, Leads},
        settled::Settled,
        structure::waived_at,
        tail::{CHANGED_MAX, CaughtUp},
        work::TableWork,
    },
    verify::witness::Verification,
};
use migrate_core::{
    lifecycle::LATE_KEYS_MAX,
    model::{PlaceIndex, Timestamp},
    plan::Property,
    report::count,
};
use migrate_ledger::{DirtyRow, TableStep};

/// How often the changes of the old lead are brought over until there are none; each time takes a second or more.
const ROUNDS_MAX: u32 = 20;
/// How often the lag is measured until it is small enough.
const LAG_ROUNDS_MAX: u32 = 5;
/// Marks that are looked at together.
const MARKS_AT_ONCE: usize = 1000;
/// The first mark of a key that was not owed before.
const FIRST_MARK: u64 = 1;

impl TableWork {
    /// Begins to read the streams of both leads, and checks that the old one can follow back, if it is to.
    ///
    /// # Errors
    ///
    /// [`Halt::Refused`] if one of them has no stream, or the old lead takes no write of ours; [`Halt::MovedOn`] if the new
    /// lead lags behind by more than the plan allows.
    pub(crate) async fn make_ready(&self, leads: &Leads, max_lag: Option<Duration>) -> Result<(), Halt> {
        self.read_both(leads).await?;
        if leads.follows_back {
            readiness::takes_our_writes(&**self.sides.stores.at(leads.old)).await?;
        }
        let Some(max_lag) = max_lag else { return Ok(()) };
        self.telling(leads, self.keep_up(leads, max_lag)).await
    }

    /// Brings changes over until that takes no longer than the plan allows.
    async fn keep_up(&self, leads: &Leads, max_lag: Duration) -> Result<(), Halt> {
        let mut lag = Duration::ZERO;
        for _ in 0..LAG_ROUNDS_MAX {
            let began = Instant::now();
            self.read_up_to_now(leads.old).await?;
            stopped(self.catch_up(now()).await?)?;
            lag = began.elapsed();
            if lag <= max_lag {
                return Ok(());
            }
        }
        let (lag, most) = (lag.as_secs_f64(), max_lag.as_secs_f64());
        Err(Halt::MovedOn(format!("what changes is brought over {lag:.1} s later, and max_lag is {most} s")))
    }

    /// Begins to read the streams of both leads, if nothing does.
    async fn read_both(&self, Leads { old, new, follows_back }: &Leads) -> Result<(), Halt> {
        let mut others = self.sides.places();
        others.retain(|place| place != old && !new.contains(place));
        // Once the lead has moved, one of the new ones stands for all.
        let owed_by_old = if self.sides.leads.contains(old) { [&new[..], &others].concat() } else { vec![new[0]] };
        let owed_by_new = [&others[..], follows_back.then_some(*old).as_slice()].concat();
        let streams = std::iter::once((*old, owed_by_old)).chain(new.iter().map(|new| (*new, owed_by_new.clone())));
        for (place, owed) in streams {
            if self.capture_at(place, owed).await?.is_none() {
                return Err(readiness::no_stream(&**self.sides.stores.at(place)));
            }
        }
        Ok(())
    }

    /// Waits until all changes that were made at a place before are in the ledger.
    async fn read_up_to_now(&self, place: PlaceIndex) -> Result<(), Halt> {
        let lost = || Halt::MovedOn(format!("changes of {} were lost", self.sides.stores.at(place).location()));
        let tail = self.tail_of(place).ok_or_else(lost)?;
        match self.caught_up(&tail).await? {
            None => Err(Halt::Interrupted),
            Some(CaughtUp::Yes) => Ok(self.journal.commit(Vec::new()).await.map_err(EngineError::from)?),
            Some(CaughtUp::Broken(reason)) => {
                self.tell_broken(place, &reason);
                Err(lost())
            }
        }
    }

    /// Brings over what the old lead's stream shows, until it shows nothing more that somebody has written, and tells how
    /// much that was.
    ///
    /// # Errors
    ///
    /// [`Halt::MovedOn`] if it goes on showing changes.
    pub(crate) async fn drain(&self, leads: &Leads) -> Result<(), Halt> {
        self.telling(leads, self.drain_through(leads)).await
    }

    /// Does work that brings changes over to the new leads, and tells how many it was.
    async fn telling(&self, leads: &Leads, work: impl Future<Output = Result<(), Halt>>) -> Result<(), Halt> {
        let followers = || leads.new.iter().filter_map(|new| self.sides.follower(*new));
        let written = || followers().map(Follower::written).sum::<u64>();
        let before = written();
        let done = work.await;
        let brought = written() - before;
        if brought > 0 {
            self.sides.tell_brought_over(brought);
        }
        done
    }

    async fn drain_through(&self, Leads { old, new, .. }: &Leads) -> Result<(), Halt> {
        for _ in 0..ROUNDS_MAX {
            if let Some(tail) = self.tail_of(*old) {
                tail.forget_changed();
            }
            self.read_up_to_now(*old).await?;
            if self.owed_by(new).await? == 0 {
                return Ok(());
            }
            stopped(self.catch_up(now()).await?)?;
            let mut followers = new.iter().filter_map(|new| self.sides.follower(*new));
            if let Some(error) = followers.find_map(Follower::take_error) {
                return Err(error.into());
            }
            // All that was known when this round began is brought over, and what came since has expired.
            if self.written_at(&[*old]).count == 0 {
                return Ok(());
            }
        }
        Err(Halt::MovedOn("it is written to without a pause".to_owned()))
    }

    /// Compares both sides in full, and writes nothing. What changes from here on, the last look finds.
    pub(crate) async fn final_verification(&self, leads: &Leads) -> Result<Verification, Halt> {
        let Leads { old, new, .. } = leads;
        self.read_both(leads).await?;
        for new in new {
            self.read_up_to_now(*new).await?;
            if let Some(tail) = self.tail_of(*new) {
                tail.forget_changed();
            }
        }
        // What the stream of a new lead has shown so far, our own writes among it.
        self.journal
            .commit(vec![self.record(TableStep::MarksCleared { place: *old })])
            .await
            .map_err(EngineError::from)?;
        self.unchanged(*old).await?;
        let verification = self.verify_only().await?;
        if verification.verified.is_none() && !verification.interrupted {
            self.unchanged(*old).await?;
        }
        Ok(verification)
    }

    /// Fails if the old lead was written to since the drain.
    async fn unchanged(&self, old: PlaceIndex) -> Result<(), Halt> {
        self.read_up_to_now(old).await?;
        let written = self.written_at(&[old]);
        if written.count == 0 {
            return Ok(());
        }
        let changed = count(written.count, "item has", "items have");
        Err(Halt::MovedOn(format!("{}{changed} changed since the copy", written.at_least())))
    }

    /// What somebody has written at places, by their streams as far as these were read: at the old lead since the last
    /// round of the drain began, and at a new one since the final verification.
    fn written_at(&self, places: &[PlaceIndex]) -> Written {
        let mut written = Written::default();
        for tail in places.iter().filter_map(|place| self.tail_of(*place)) {
            let keys = tail.changed();
            written.is_least |= keys.len() == CHANGED_MAX;
            for key in keys {
                written.add(key);
            }
        }
        written
    }

    /// What was written at both leads since the final verification.
    pub(crate) async fn changes(&self, Leads { old, new, .. }: &Leads) -> Result<Changes, Halt> {
        let began = now();
        self.read_up_to_now(*old).await?;
        for new in new {
            self.read_up_to_now(*new).await?;
        }
        let changes = Changes { old: self.written_at(&[*old]), new: self.written_at(new) };
        let is_unchanged = changes.old.count == 0;
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = is_unchanged.then_some(began);
        Ok(changes)
    }

    /// Clears the marks of what had expired at the old lead before the last look: the new leads owe that no longer, and
    /// nobody has written it. A key that has changed once more since has a newer mark, which stays.
    async fn forget_expired(&self, new: &[PlaceIndex]) -> Result<(), EngineError> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Another process may have looked: what it saw expire is compared like a late write.
        let Some(Timestamp(looked)) = looked else { return Ok(()) };
        let (dataset, until) = (&self.sides.dataset.name, Timestamp(looked - 1));
        let mut after = None;
        loop {
            let page = self.journal.ledger.dirty(dataset, after.as_ref(), until, MARKS_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for new in new {
                // All that was written was brought over before, and its marks were cleared: so this mark is the first one.
                let first = |row: &&DirtyRow| row.owed.contains(&(*new, FIRST_MARK));
                let keys: Vec<_> = page.iter().filter(first).map(|row| (row.key.clone(), FIRST_MARK)).collect();
                let step = TableStep::Handled { place: *new, at: until, keys };
                self.journal.commit(vec![self.record(step)]).await?;
            }
        }
    }

    /// Finds and records what was written at the old lead since the final verification.
    pub(crate) async fn late(&self, leads: &Leads) -> Result<Written, Halt> {
        let Leads { new, .. } = leads;
        self.read_both(leads).await?;
        // What a new lead has got since then is no late write. If its stream lost changes, the ledger says so, and the
        // next run compares all items at those who follow it.
        for new in new {
            let Some(tail) = self.tail_of(*new) else { continue };
            match self.caught_up(&tail).await? {
                None => return Err(Halt::Interrupted),
                Some(CaughtUp::Yes) => {}
                Some(CaughtUp::Broken(reason)) => self.tell_broken(*new, &reason),
            }
        }
        self.forget_expired(new).await?;
        stopped(self.find_late_writes(leads).await?)?;
        let (ledger, dataset) = (&self.journal.ledger, &self.sides.dataset.name);
        let open = async { Ok::<_, EngineError>(ledger.late_counts(dataset).await?.open) };
        let keys = async { Ok::<_, EngineError>(ledger.late_open(dataset, None, LATE_KEYS_MAX).await?) };
        let (count, keys) = futures::try_join!(open, keys)?;
        Ok(Written { count, keys, is_least: false })
    }

    /// The attribute by which items of the old lead expire, if a new lead is to have it, too, and does not yet.
    pub(crate) async fn expiry_to_set(&self, old: PlaceIndex, new: PlaceIndex) -> Result<Option<String>, EngineError> {
        let waived = waived_at(&self.sides.dataset, new);
        if waived.iter().any(|waived| matches!(waived, Property::Ttl | Property::Properties)) {
            return Ok(None);
        }
        let ttl = async |place: PlaceIndex| {
            let described = self.sides.stores.at(place).describe().await?;
            Ok::<_, EngineError>(described.and_then(|described| described.structure.ttl))
        };
        let (ours, theirs) = (ttl(old).await?, ttl(new).await?);
        Ok(ours.filter(|_| theirs.is_none()))
    }

    /// The most keys that one of these places owes: each owes all that their lead has shown.
    async fn owed_by(&self, places: &[PlaceIndex]) -> Result<u64, EngineError> {
        let owed = self.journal.ledger.owed(&self.sides.dataset.name).await?;
        Ok(owed.iter().filter(|owed| places.contains(&owed.place)).map(|owed| owed.keys).max().unwrap_or(0))
    }
}

/// Halts if a part of the work ended because the run is to stop.
fn stopped(settled: Settled) -> Result<(), Halt> {
    if settled == Settled::Stopped { Err(Halt::Interrupted) } else { Ok(()) }
}
