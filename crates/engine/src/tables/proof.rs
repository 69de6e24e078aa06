//! The verification of a table.
//!
//! Both sides are compared while the lead may be written to. A key that the two do not show alike is looked at again:
//! first what has changed is brought over, then both sides are read. It is a difference only if the lead shows the same
//! item twice, the follower another one, and nothing is known to have changed meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    clock::now,
    error::EngineError,
    seen::Seen,
    tables::{
        compare::{Candidate, Compared},
        follower::Follower,
        reads::get_all,
        settled::Settled,
        sides::Sides,
        tail::CaughtUp,
        work::TableWork,
    },
    verify::{
        found::{DIFFERENCES_KEPT, Found},
        witness::{Verification, Verified},
    },
};
use migrate_core::{
    item::Item,
    model::{Counted, Key, KeyRange, PlaceIndex, ShardId, Timestamp},
    plan::{Extra, Level},
    report::{Difference, DifferenceKind, EventKind, count},
    shard::Cursor,
};
use migrate_ledger::{Ledger, VerifiedShard};

/// How often a key is looked at until it counts as unstable.
const LOOKS_MAX: u32 = 5;
/// Keys that are looked at together.
const LOOKED_AT_ONCE: usize = 1000;

impl TableWork {
    /// Compares all items at all followers, and brings over meanwhile what changes.
    pub(crate) async fn verify(&self) -> Result<Verification, EngineError> {
        self.proof(true).verify().await
    }

    /// Compares all items at all followers, and writes nothing.
    pub(super) async fn verify_only(&self) -> Result<Verification, EngineError> {
        self.proof(false).verify().await
    }

    fn proof(&self, brings: bool) -> Proof<'_> {
        let ledger = Some(&*self.journal.ledger);
        Proof { sides: &self.sides, ledger, work: Some(self), brings, level: self.sides.dataset.verify }
    }
}

/// A comparison of all items.
pub(crate) struct Proof<'a> {
    pub(crate) sides: &'a Arc<Sides>,
    /// Knows which keys some follower owes.
    pub(crate) ledger: Option<&'a Ledger>,
    /// Knows what changes; `None` if no stream is read.
    pub(crate) work: Option<&'a TableWork>,
    /// Whether what changes is brought over meanwhile.
    pub(crate) brings: bool,
    /// The level that was asked for. A table is compared in full at each.
    pub(crate) level: Level,
}

/// The keys that differ at a follower: all of them counted, and the first ones listed.
#[derive(Default)]
struct Differing {
    counts: Counted,
    listed: BTreeMap<Key, DifferenceKind>,
    omitted: u64,
}

impl Differing {
    fn add(&mut self, key: Key, kind: DifferenceKind) {
        match kind {
            DifferenceKind::Missing => self.counts.missing += 1,
            DifferenceKind::Extra => self.counts.extra += 1,
            DifferenceKind::Unstable => self.counts.unstable += 1,
            _ => self.counts.different += 1,
        }
        if self.listed.len() < DIFFERENCES_KEPT {
            self.listed.insert(key, kind);
        } else {
            self.omitted += 1;
        }
    }
}

impl Proof<'_> {
    /// Compares all items at all followers.
    pub(crate) async fn verify(&self) -> Result<Verification, EngineError> {
        let began = EventKind::VerificationBegan {
            dataset: self.sides.dataset.name.clone(),
            compared: 0,
            since: None,
            anew: None,
        };
        self.sides.sink.tell(began);
        if self.bring_changes().await? == Settled::Stopped {
            return Ok(self.interrupted());
        }
        let began = now();
        let Some(compared) = self.sides.fold(began).await? else { return Ok(self.interrupted()) };
        let mut targets = Vec::new();
        for follower in &self.sides.followers {
            match self.found(&compared, follower, began).await? {
                Some(found) => targets.push(found),
                None => return Ok(self.interrupted()),
            }
        }
        let whole = VerifiedShard { id: ShardId(0), range: KeyRange::all(), cursor: Cursor::End };
        let seen: Vec<_> = Seen::recorded(&whole, targets.len()).into_iter().collect();
        let verified = Verified::of(&self.sides.dataset.name, self.level, &seen, &targets);
        Ok(Verification { targets, verified, interrupted: false, since: None, seen })
    }

    /// A verification that was stopped before its end.
    fn interrupted(&self) -> Verification {
        let targets = self.sides.followers.iter().map(|follower| self.nothing_found(follower)).collect();
        Verification { targets, verified: None, interrupted: true, since: None, seen: Vec::new() }
    }

    fn nothing_found(&self, follower: &Follower) -> Found {
        Found {
            name: self.sides.dataset.name.to_string(),
            target: follower.at.clone(),
            lead: self.sides.lead().location().to_owned(),
            unlisted: follower.why_down(self.sides.redactor).map(|(reason, _)| reason),
            ..Found::default()
        }
    }

    /// What the comparison has found at a follower; `None` if the run is to stop.
    async fn found(
        &self,
        compared: &Compared,
        follower: &Follower,
        began: Timestamp,
    ) -> Result<Option<Found>, EngineError> {
        let mut differs = Differing::default();
        let Some(groups) = self.sides.groups(compared, follower, began).await? else { return Ok(None) };
        for group in groups {
            let Some(candidates) = self.sides.candidates(&group, follower, began).await? else { return Ok(None) };
            for some in candidates.chunks(LOOKED_AT_ONCE) {
                let Some(settled) = self.settle(some, follower).await? else { return Ok(None) };
                for (key, kind) in settled {
                    differs.add(key, kind);
                }
            }
        }
        let mut found = self.nothing_found(follower);
        if found.unlisted.is_some() {
            return Ok(Some(found));
        }
        self.count(&mut found, (compared, follower.place), differs);
        Ok(Some(found))
    }

    /// Counts and tells what differs.
    fn count(&self, found: &mut Found, (compared, at): (&Compared, PlaceIndex), differs: Differing) {
        let compared_items = compared.belong(at);
        found.counts = differs.counts;
        found.counts.compared = compared_items;
        // Of a table the ledger knows no item, so no pass and no repair deletes one without the plan's word.
        found.extra_is_repaired = self.sides.dataset.extra == Extra::Delete;
        if !found.extra_is_repaired {
            found.counts.strays = found.counts.extra;
        }
        let not_equal = found.counts.missing + found.counts.different + found.counts.unstable;
        // All of each item was read, on both sides.
        found.counts.decided.bytes = compared_items.saturating_sub(not_equal);
        for (key, kind) in differs.listed {
            let difference = Difference { key, kind, detail: detail(kind, self.sides.dataset.extra).to_owned() };
            self.sides.sink.tell(EventKind::Differs {
                dataset: self.sides.dataset.name.clone(),
                target: found.target.clone(),
                difference: difference.clone(),
                kept: false,
            });
            found.differences.push(difference);
        }
        found.differences_omitted = differs.omitted;
        let expired = compared.expired(at);
        if expired > 0 {
            let spot =
                format!("{} expired, which the servers delete when they like", count(expired, "item had", "items had"));
            found.blind_spots.push(spot);
        }
    }

    /// Brings over what has changed, if the stream of the lead is read.
    async fn bring_changes(&self) -> Result<Settled, EngineError> {
        let tails = self.work.map(TableWork::tails_of_leads).unwrap_or_default();
        let Some(work) = self.work.filter(|_| !tails.is_empty()) else { return Ok(Settled::Done) };
        match work.all_caught_up(&tails).await? {
            None => Ok(Settled::Stopped),
            Some(CaughtUp::Yes) if self.brings => work.catch_up(now()).await,
            // The comparison does not rest on the stream; if that lost changes, the next pass compares all items.
            Some(CaughtUp::Yes | CaughtUp::Broken(_)) => Ok(Settled::Done),
        }
    }

    /// Which of these keys really differ; `None` if the run is to stop.
    async fn settle(
        &self,
        candidates: &[Candidate],
        follower: &Follower,
    ) -> Result<Option<Vec<(Key, DifferenceKind)>>, EngineError> {
        let mut open: Vec<(Key, Option<Option<Item>>)> = candidates.iter().map(|one| (one.key.clone(), None)).collect();
        let mut differs = Vec::new();
        for _ in 0..LOOKS_MAX {
            if open.is_empty() {
                return Ok(Some(differs));
            }
            if self.bring_changes().await? == Settled::Stopped {
                return Ok(None);
            }
            let keys = open.iter().map(|(key, _)| self.sides.read_key(key)).collect::<Result<Vec<_>, _>>()?;
            let shutdown = &self.sides.shutdown;
            let Some(mut lead) = get_all(self.sides.lead(), &keys, shutdown).await? else { return Ok(None) };
            for item in &mut lead {
                let elsewhere =
                    |item: &Item| Ok::<_, EngineError>(!self.sides.destination(item)?.holds(follower.place));
                if item.as_ref().map(elsewhere).transpose()?.unwrap_or(false) {
                    *item = None;
                }
            }
            let held = match get_all(&*follower.store, &keys, shutdown).await {
                Ok(Some(held)) => held,
                Ok(None) => return Ok(None),
                Err(error) => {
                    follower.close(error);
                    return Ok(Some(Vec::new()));
                }
            };
            let dirty = match self.ledger {
                Some(ledger) => {
                    let keys = open.iter().map(|(key, _)| key.clone()).collect();
                    ledger.are_dirty(&self.sides.dataset.name, follower.place, keys).await?
                }
                None => Vec::new(),
            };
            let mut again = Vec::new();
            for (((key, before), lead), held) in open.into_iter().zip(lead).zip(held) {
                if self.sides.are_equal(follower.place, lead.as_ref(), held.as_ref()) {
                    continue;
                }
                if before.as_ref() == Some(&lead) && dirty.binary_search(&key).is_err() {
                    differs.push((key, kind(lead.as_ref(), held.as_ref())));
                } else {
                    again.push((key, Some(lead)));
                }
            }
            open = again;
        }
        differs.extend(open.into_iter().map(|(key, _)| (key, DifferenceKind::Unstable)));
        Ok(Some(differs))
    }
}

fn kind(lead: Option<&Item>, held: Option<&Item>) -> DifferenceKind {
    match (lead, held) {
        (Some(_), None) => DifferenceKind::Missing,
        (None, _) => DifferenceKind::Extra,
        (Some(_), Some(_)) => DifferenceKind::Different,
    }
}

fn detail(kind: DifferenceKind, extra: Extra) -> &'static str {
    match kind {
        DifferenceKind::Missing => "the lead has the item, the target does not",
        DifferenceKind::Extra if extra == Extra::Delete => {
            "the target has the item, and it does not belong there; `migrate verify --repair` deletes it"
        }
        DifferenceKind::Extra => {
            "the target has the item, and it does not belong there; if nothing else writes there, extra = \"delete\" lets a \
             comparison delete it"
        }
        DifferenceKind::Unstable => "it changed at every look",
        _ => "the items are not equal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_counted_as_what_it_is() {
        let mut differs = Differing::default();
        let kinds =
            [DifferenceKind::Missing, DifferenceKind::Extra, DifferenceKind::Different, DifferenceKind::Unstable];
        for number in 0..DIFFERENCES_KEPT + 8 {
            differs.add(Key::new(format!("{number:06}")), kinds[number % 4]);
        }
        let Counted { missing, extra, different, unstable, .. } = differs.counts;
        let each = DIFFERENCES_KEPT as u64 / 4 + 2;
        assert_eq!([missing, extra, different, unstable], [each; 4]);
        assert_eq!((differs.listed.len(), differs.omitted), (DIFFERENCES_KEPT, 8));
    }
}
