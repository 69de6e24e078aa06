//! The old lead of a table, while it follows the new one.
//!
//! What an application still writes there must not be lost under what we bring there. So its stream is read, too. A key
//! that it shows was written by us, or by somebody else; which of the two, the ledger tells: it knows what we brought
//! last, and what was there before. A key that somebody else has written, and that the new lead does not hold alike, is a
//! *late write*: it is told, stays as it is, and is not written over until it is settled.
//!
//! Before a page of keys is brought there, the old lead is read, then its stream up to that moment. Only a write in the
//! moment between that and ours is not seen.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    clock::now,
    error::EngineError,
    tables::{
        compare::Candidate,
        follower::Follower,
        readiness::Leads,
        reads::get_all,
        settled::Settled,
        tail::{CaughtUp, Expiry, Tail},
        work::TableWork,
    },
};
use migrate_core::{
    item::{Item, digest, item_size},
    model::{Key, Modified, PlaceIndex, Sha256, Token},
};
use migrate_ledger::{DirtyRow, Fact, Late, Record, TableStep};

/// Keys that are looked at together.
const PAGE: usize = 1000;

/// What the old lead holds of keys that it is to be given.
pub(super) type Before = BTreeMap<Key, Held>;

/// What the old lead holds of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// The digest of the item; `None` if it holds none.
    pub(super) item: Option<Sha256>,
    /// Whether somebody else has written it, as an operator has settled. It may be written over, but is not deleted.
    pub(super) is_settled: bool,
}

impl TableWork {
    /// The old lead, if it follows the new one and takes part.
    pub(super) fn old_lead(&self) -> Option<&Follower> {
        let has_moved = self.sides.stores.star.lead != PlaceIndex::SOURCE;
        self.sides.follower(PlaceIndex::SOURCE).filter(|follower| has_moved && !follower.is_down())
    }

    /// Finds and records what others have written at the old lead since it was last looked at. An old lead that cannot be
    /// read is down.
    pub(super) async fn look_at_old_lead(&self) -> Result<Settled, EngineError> {
        let Some(old) = self.old_lead() else { return Ok(Settled::Done) };
        let leads = Leads { old: old.place, new: self.sides.leads.to_vec(), follows_back: true };
        match self.find_late_writes(&leads).await {
            Err(EngineError::Store(error)) if error.location() == old.store.location() => {
                old.close(error);
                Ok(Settled::Done)
            }
            found => found,
        }
    }

    /// Finds and records what others have written at the old lead since it was last looked at.
    pub(super) async fn find_late_writes(&self, leads: &Leads) -> Result<Settled, EngineError> {
        let Leads { old, new, .. } = leads;
        // One of the new leads stands for all.
        let (old, stands) = (*old, new[0]);
        let Some(tail) = self.capture_of_old(leads).await? else { return Ok(Settled::Done) };
        match self.caught_up(&tail).await? {
            None => return Ok(Settled::Stopped),
            Some(CaughtUp::Yes) => {}
            Some(CaughtUp::Broken(reason)) => {
                self.tell_broken(old, &reason);
                self.journal.commit(vec![self.record(TableStep::ToCompare { place: stands })]).await?;
                // What it shows from here on is added to what the comparison finds.
                self.capture_of_old(leads).await?;
            }
        }
        if self.journal.ledger.uncompared(&self.sides.dataset.name).await?.contains(&stands)
            && self.doubt_all(new).await? == Settled::Stopped
        {
            return Ok(Settled::Stopped);
        }
        self.journal.commit(Vec::new()).await?;
        for owes in new {
            let mut after = None;
            loop {
                let page = self.journal.ledger.owed_keys(&self.sides.dataset.name, *owes, after.as_ref(), PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                if self.judge((old, new), *owes, page).await? == Settled::Stopped {
                    return Ok(Settled::Stopped);
                }
            }
        }
        Ok(Settled::Done)
    }

    /// What reads the stream of the old lead, now that it leads no longer. What its server deletes because its time is over
    /// was written by nobody.
    pub(crate) async fn capture_of_old(&self, leads: &Leads) -> Result<Option<Arc<Tail>>, EngineError> {
        let tail = self.capture_at(leads.old, vec![leads.new[0]]).await?;
        if let Some(tail) = &tail {
            tail.set_expiry(if leads.follows_back { Expiry::Owes } else { Expiry::Nothing });
        }
        Ok(tail)
    }

    /// Records which of these keys, which the old lead's stream has shown, are late writes.
    async fn judge(
        &self,
        (old, new): (PlaceIndex, &[PlaceIndex]),
        owes: PlaceIndex,
        page: Vec<(Key, u64)>,
    ) -> Result<Settled, EngineError> {
        let read = now();
        let texts: Vec<_> = page.iter().map(|(key, _)| key.clone()).collect();
        let Some((ours, theirs)) = self.held_at_both((old, new), &texts).await? else { return Ok(Settled::Stopped) };
        let mut records = Vec::new();
        for ((key, ours), theirs) in texts.iter().zip(ours).zip(theirs) {
            if !self.sides.are_equal(old, theirs.as_ref(), ours.as_ref())
                && !self.is_our_own(key, ours.as_ref()).await?
            {
                let fact = Fact::Late { shown: ours.as_ref().map(token) };
                records.push(Record::at(&self.sides.dataset.name, old, key, fact));
            }
        }
        records.push(self.record(TableStep::Handled { place: owes, at: read, keys: page }));
        self.journal.commit(records).await?;
        Ok(Settled::Done)
    }

    /// What a place holds of these keys, by strong reads; `None` if the run is to stop.
    async fn held_at(&self, place: PlaceIndex, texts: &[Key]) -> Result<Option<Vec<Option<Item>>>, EngineError> {
        let keys = texts.iter().map(|key| self.sides.read_key(key)).collect::<Result<Vec<_>, _>>()?;
        get_all(&**self.sides.stores.at(place), &keys, &self.sides.shutdown).await
    }

    /// What the old lead, and the new ones together, hold of these keys; `None` if the run is to stop.
    async fn held_at_both(
        &self,
        (old, new): (PlaceIndex, &[PlaceIndex]),
        texts: &[Key],
    ) -> Result<Option<(Vec<Option<Item>>, Vec<Option<Item>>)>, EngineError> {
        let theirs = futures::future::try_join_all(new.iter().map(|new| self.held_at(*new, texts)));
        let (ours, theirs) = futures::try_join!(self.held_at(old, texts), theirs)?;
        let Some((ours, theirs)) = ours.zip(theirs.into_iter().collect::<Option<Vec<_>>>()) else { return Ok(None) };
        let together = |at: usize| theirs.iter().find_map(|held| held[at].clone());
        Ok(Some((ours, (0..texts.len()).map(together).collect())))
    }

    /// Whether the old lead holds of a key what we brought there last, or what was there before.
    async fn is_our_own(&self, key: &Key, held: Option<&Item>) -> Result<bool, EngineError> {
        let held = held.map(digest);
        let known = self.journal.ledger.written_back(&self.sides.dataset.name, key).await?;
        Ok(known.is_some_and(|known| known.after == held || known.before == held))
    }

    /// Compares all items of the old lead and the new ones, and takes every key that differs for one that was written at the
    /// old lead: also one that has changed at a new one, because that does not tell who wrote at the old one.
    async fn doubt_all(&self, new: &[PlaceIndex]) -> Result<Settled, EngineError> {
        let (stands, source) = (new[0], PlaceIndex::SOURCE);
        // Those that the stores do not take for leads; also if the old lead does not follow.
        let others = if self.sides.leads.contains(&source) { new } else { &[source] };
        for other in others {
            if self.doubt(*other, stands).await? == Settled::Stopped {
                return Ok(Settled::Stopped);
            }
        }
        self.journal.commit(vec![self.record(TableStep::Compared { place: stands })]).await?;
        Ok(Settled::Done)
    }

    /// Takes what differs between what leads by the stores and another place for what was written at the old lead.
    async fn doubt(&self, other: PlaceIndex, stands: PlaceIndex) -> Result<Settled, EngineError> {
        let at = now();
        let sides = Arc::new(self.sides.with_only(other));
        let [follower] = &*sides.followers else { return Ok(Settled::Done) };
        let Some(compared) = sides.fold(at).await? else { return Ok(Settled::Stopped) };
        let Some(groups) = sides.groups(&compared, follower, at).await? else { return Ok(Settled::Stopped) };
        for group in groups {
            let Some(found) = sides.candidates(&group, follower, at).await? else { return Ok(Settled::Stopped) };
            let keys = found.into_iter().map(|Candidate { key, .. }| key).collect();
            let step = TableStep::Dirtied { keys, owed: vec![stands], at };
            self.journal.commit(vec![self.record(step)]).await?;
        }
        follower.take_error().map_or(Ok(Settled::Done), Err)
    }

    /// What the old lead holds of those of these keys that it owes and may be given; `None` if the run is to stop. Keys that
    /// are not among them were written by somebody else.
    pub(super) async fn may_write_back(&self, rows: &[DirtyRow]) -> Result<Option<Before>, EngineError> {
        let Some(old) = self.old_lead() else { return Ok(Some(Before::new())) };
        let owes = |row: &&DirtyRow| row.owed.iter().any(|(place, _)| *place == old.place);
        let keys: Vec<_> = rows.iter().filter(owes).map(|row| row.key.clone()).collect();
        if keys.is_empty() {
            return Ok(Some(Before::new()));
        }
        let held = match self.held_at(old.place, &keys).await {
            Err(EngineError::Store(error)) => {
                old.close(error);
                return Ok(Some(Before::new()));
            }
            held => held?,
        };
        let Some(held) = held else { return Ok(None) };
        // In this order: a write before this moment that the read has shown is known as one by now.
        if self.look_at_old_lead().await? == Settled::Stopped {
            return Ok(None);
        }
        let mut before = Before::new();
        for (key, held) in keys.into_iter().zip(held) {
            let item = held.as_ref().map(digest);
            let late = self.journal.ledger.late_at(&self.sides.dataset.name, &key).await?;
            if late.as_ref().is_none_or(|late| !late.is_open) {
                let is_shown =
                    |late: Late| late.shown.map(|shown| shown.tag) == held.as_ref().map(|held| token(held).tag);
                before.insert(key, Held { item, is_settled: late.is_some_and(is_shown) });
            }
        }
        Ok(Some(before))
    }

    /// Which of these keys both leads hold alike; none if the run is to stop.
    pub(crate) async fn held_alike(
        &self,
        (old, new): (PlaceIndex, &[PlaceIndex]),
        texts: &[Key],
    ) -> Result<Vec<Key>, EngineError> {
        let Some((ours, theirs)) = self.held_at_both((old, new), texts).await? else { return Ok(Vec::new()) };
        let alike = texts.iter().zip(ours).zip(theirs);
        let alike = alike.filter(|((_, ours), theirs)| self.sides.are_equal(old, theirs.as_ref(), ours.as_ref()));
        Ok(alike.map(|((key, _), _)| key.clone()).collect())
    }
}

/// An item as a version: its size and its digest.
fn token(item: &Item) -> Token {
    Token { size: item_size(item) as u64, tag: digest(item).to_string().into(), modified: Modified::Unknown }
}
