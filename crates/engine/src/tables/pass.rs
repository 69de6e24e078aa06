//! The pass over a table: captures, copies all items once, and brings what has changed since.

use std::sync::Arc;

use crate::{
    clock::now,
    error::EngineError,
    tables::{
        compare::{Candidate, Compared},
        follower::Follower,
        settled::Settled,
        tail::CaughtUp,
        work::TableWork,
    },
};
use migrate_core::{
    model::{PlaceIndex, Timestamp},
    plan::Extra,
    report::DifferenceKind,
};
use migrate_ledger::TableStep;

/// How often a pass compares all items because changes were lost meanwhile.
const COMPARISONS_MAX: u32 = 3;

impl TableWork {
    /// Brings the followers up to what the lead held when the call began; `false` if the run is to stop.
    pub(crate) async fn pass(self: &Arc<Self>) -> Result<bool, EngineError> {
        let done = self.brought_up().await?;
        for follower in self.sides.open() {
            if let Err(error) = follower.store.close().await {
                follower.close(error);
            }
        }
        Ok(done)
    }

    async fn brought_up(self: &Arc<Self>) -> Result<bool, EngineError> {
        // Before the first item is read: what changes from here on is known.
        let mut capture = self.capture().await?;
        self.plan_bulk().await?;
        self.expect().await?;
        // Without a capture, all items of what earlier passes have filled are compared. What changes while a place is
        // filled, the proof tells.
        let mut also = if capture.is_none() { self.filled().await? } else { Vec::new() };
        if self.bulk().await? == Settled::Stopped {
            return Ok(false);
        }
        for _ in 0..COMPARISONS_MAX {
            // By the ledger, because the comparison is due also if this process does not come to it, and at a follower
            // that is down now.
            let mut due = self.journal.ledger.uncompared(&self.sides.dataset.name).await?;
            due.append(&mut also);
            if self.mark_differences(&due, now()).await? == Settled::Stopped {
                return Ok(false);
            }
            match &capture {
                None => return Ok(self.catch_up(now()).await? == Settled::Done),
                Some(tails) => match self.all_caught_up(tails).await? {
                    None => return Ok(false),
                    Some(CaughtUp::Yes) => return Ok(self.catch_up(now()).await? == Settled::Done),
                    Some(CaughtUp::Broken(reason)) => self.tell_broken(self.sides.stores.star.lead, &reason),
                },
            }
            capture = self.capture().await?;
            also = if capture.is_none() { self.sides.places() } else { Vec::new() };
        }
        Err(EngineError::TableUnfit {
            dataset: self.sides.dataset.name.clone(),
            reason: "its stream lost changes again and again while all items were compared: slow the writers, or copy \
                     without `live`"
                .to_owned(),
        })
    }

    /// Compares all items, and makes the followers hold what the lead holds of those that differ; `false` if the run is to
    /// stop. Refuses, as a first copy does, followers that were never filled and hold items of their own.
    pub(crate) async fn mend(self: &Arc<Self>) -> Result<bool, EngineError> {
        self.plan_bulk().await?;
        let marked = self.mark_differences(&self.sides.places(), now()).await?;
        Ok(marked == Settled::Done && self.catch_up(now()).await? == Settled::Done)
    }

    /// Asks how many items are to be expected, for the display.
    async fn expect(&self) -> Result<(), EngineError> {
        let items = self.sides.lead().describe().await?.and_then(|described| described.items).unwrap_or(0);
        self.sides.counted.expected.store(items, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Compares all items of these places, as far as they take part, and marks what differs, so that it is looked at again.
    async fn mark_differences(self: &Arc<Self>, places: &[PlaceIndex], now: Timestamp) -> Result<Settled, EngineError> {
        let is_due = |follower: &&Follower| places.contains(&follower.place);
        if !self.sides.open().any(|follower| is_due(&follower)) {
            return Ok(Settled::Done);
        }
        let Some(compared) = self.sides.fold(now).await? else { return Ok(Settled::Stopped) };
        for follower in self.sides.open().filter(is_due) {
            if self.mark_at(&compared, follower, now).await? == Settled::Stopped {
                return Ok(Settled::Stopped);
            }
            if follower.is_down() {
                continue;
            }
            let step = TableStep::Compared { place: follower.place };
            self.journal.commit(vec![self.record(step)]).await?;
        }
        Ok(Settled::Done)
    }

    async fn mark_at(
        self: &Arc<Self>,
        compared: &Compared,
        follower: &Follower,
        now: Timestamp,
    ) -> Result<Settled, EngineError> {
        let held = compared.held(follower.place).unwrap_or(0);
        let Some(groups) = self.sides.groups(compared, follower, now).await? else { return Ok(Settled::Stopped) };
        // What is marked is deleted without a further question. So all deletions are counted before the first mark.
        for marks in [false, true].into_iter().skip(usize::from(groups.len() < 2)) {
            let mut doomed = 0;
            for group in &groups {
                let Some(found) = self.sides.candidates(group, follower, now).await? else {
                    return Ok(Settled::Stopped);
                };
                let is_extra = |one: &&Candidate| one.kind == DifferenceKind::Extra;
                let deletes = self.sides.dataset.extra == Extra::Delete;
                doomed += found.iter().filter(is_extra).filter(|one| deletes || one.is_misplaced).count() as u64;
                self.refuse_deletions(&follower.at, doomed, held)?;
                if !marks {
                    continue;
                }
                // Whether the lead has deleted an item, or another writer has put it there, a comparison cannot tell.
                let keys = found.into_iter().filter(|one| deletes || one.is_misplaced || !is_extra(&one));
                let keys = keys.map(|one| one.key).collect();
                let step = TableStep::Dirtied { keys, owed: vec![follower.place], at: now };
                self.journal.commit(vec![self.record(step)]).await?;
            }
        }
        Ok(Settled::Done)
    }

    fn refuse_deletions(&self, target: &str, doomed: u64, held: u64) -> Result<(), EngineError> {
        match self.delete_permille {
            Some(permille) if doomed * 1000 > held * u64::from(permille) => Err(EngineError::DeleteShare {
                dataset: self.sides.dataset.name.clone(),
                target: target.to_owned(),
                doomed,
                held,
                permille,
            }),
            _ => Ok(()),
        }
    }
}
