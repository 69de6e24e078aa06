//! Compares two tables: by bucket digests first, and key by key in the buckets that differ.
//!
//! Both sides are scanned once and folded. If no bucket differs, that is all. Otherwise both are scanned once more, and
//! of the buckets that differ only, the digests of the lead's items are kept, a bounded number at a time.
//!
//! An item that has expired, by the attribute that says when, is skipped on both sides: the server deletes it when it
//! likes.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::JoinSet;

use crate::{
    error::EngineError,
    tables::{follower::Follower, work::TableWork},
};
use migrate_core::{
    item::{Item, Value, digest, key_digest},
    model::{Key, PlaceIndex, Sha256, Timestamp},
    report::DifferenceKind,
    table::{BUCKET_BITS_MAX, Buckets},
};
use migrate_store::table::{Scanned, Segment, TableStore};

/// The segments in which a table is folded.
const FOLD_SEGMENTS: u32 = 16;
/// The least bits of a bucket's number, and the most that are used: 65,536 buckets are 2.6 MB for each side.
const BITS: (u8, u8) = (8, 16);
/// Items of buckets that differ whose digests are held at once.
const HELD_MAX: u64 = 100_000;

/// What is no number of seconds of the last five years never expires.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html>
const EXPIRY_AGE_MAX_S: i64 = 5 * 365 * 24 * 60 * 60;

/// A key that the two sides do not show alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) kind: DifferenceKind,
}

/// One side, folded.
struct Folded {
    buckets: Buckets,
    expired: u64,
}

/// What a fold of both sides has found.
pub(super) struct Compared {
    /// Items of the lead.
    pub(super) items: u64,
    /// Items on both sides that had expired.
    pub(super) expired: u64,
    /// The followers that could be scanned.
    sides: BTreeMap<PlaceIndex, Side>,
    lead: Buckets,
}

/// A follower, folded.
struct Side {
    buckets: Buckets,
    /// The numbers of its buckets that differ from the lead's.
    differing: Vec<usize>,
}

impl Compared {
    /// How many items a follower holds; `None` if it could not be scanned.
    pub(super) fn held(&self, place: PlaceIndex) -> Option<u64> {
        self.sides.get(&place).map(|side| side.buckets.count())
    }

    /// The buckets of a follower that differ, in groups of which few enough items are held at once.
    pub(super) fn groups(&self, place: PlaceIndex) -> Vec<Vec<usize>> {
        let (mut groups, mut held): (Vec<Vec<usize>>, u64) = (Vec::new(), 0);
        let Some(side) = self.sides.get(&place) else { return groups };
        for number in &side.differing {
            let count = self.lead.all()[*number].count.max(side.buckets.all()[*number].count);
            if let Some(group) = groups.last_mut().filter(|_| held + count <= HELD_MAX) {
                group.push(*number);
                held += count;
            } else {
                groups.push(vec![*number]);
                held = count;
            }
        }
        groups
    }
}

impl TableWork {
    /// Folds the lead and all followers that take part. A follower that fails is down.
    pub(super) async fn fold(self: &Arc<Self>, now: Timestamp) -> Result<Option<Compared>, EngineError> {
        let items = self.lead().describe().await?.and_then(|described| described.items).unwrap_or(0);
        // About sixteen items a bucket.
        let bits = u8::try_from((items / 16).max(1).ilog2()).unwrap_or(BUCKET_BITS_MAX).clamp(BITS.0, BITS.1);
        let lead = self.fold_one(Arc::clone(self.stores.lead()), bits, now);
        let places: Vec<_> = self.open().map(|follower| follower.place).collect();
        let followers = self.open().map(|follower| self.fold_one(Arc::clone(&follower.store), bits, now));
        let (lead, followers) = futures::join!(lead, futures::future::join_all(followers));
        let Some(lead) = lead? else { return Ok(None) };
        let (mut sides, mut expired) = (BTreeMap::new(), lead.expired);
        for (place, folded) in places.into_iter().zip(followers) {
            match folded {
                Ok(Some(folded)) => {
                    expired += folded.expired;
                    let differing = lead.buckets.differing(&folded.buckets).expect("both have as many buckets");
                    sides.insert(place, Side { buckets: folded.buckets, differing });
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    if let Some(follower) = self.follower(place) {
                        follower.close(error);
                    }
                }
            }
        }
        Ok(Some(Compared { items: lead.buckets.count(), expired, sides, lead: lead.buckets }))
    }

    /// Folds all items of a store; `None` if the run is to stop.
    async fn fold_one(
        self: &Arc<Self>,
        store: Arc<dyn TableStore>,
        bits: u8,
        now: Timestamp,
    ) -> Result<Option<Folded>, EngineError> {
        let mut tasks = JoinSet::new();
        for index in 0..FOLD_SEGMENTS {
            let (work, store) = (Arc::clone(self), Arc::clone(&store));
            tasks.spawn(async move {
                let mut folded = Folded { buckets: Buckets::new(bits), expired: 0 };
                let whole = work.scan_all(&*store, Segment { index, of: FOLD_SEGMENTS }, |work, item| {
                    if work.is_expired(&item, now) {
                        folded.expired += 1;
                        return Ok(());
                    }
                    let key = key_digest(&work.names, &work.key_of(&*store, &item)?);
                    folded.buckets.add(key, digest(&item));
                    Ok(())
                });
                Ok::<_, EngineError>(whole.await?.then_some(folded))
            });
        }
        let mut all = Folded { buckets: Buckets::new(bits), expired: 0 };
        while let Some(part) = tasks.join_next().await {
            let Some(part) = part?? else { return Ok(None) };
            all.buckets.merge(&part.buckets).expect("all have as many buckets");
            all.expired += part.expired;
        }
        Ok(Some(all))
    }

    /// Hands all items of a segment to `take`; `false` if the run is to stop.
    async fn scan_all(
        &self,
        store: &dyn TableStore,
        segment: Segment,
        mut take: impl FnMut(&Self, Item) -> Result<(), EngineError>,
    ) -> Result<bool, EngineError> {
        let mut after = None;
        while !self.shutdown.is_draining() {
            let Scanned { items, next, .. } = store.scan(segment, after.as_ref(), true).await?;
            for item in items {
                take(self, item)?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Whether an item had expired at this moment.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html>
    pub(super) fn is_expired(&self, item: &Item, now: Timestamp) -> bool {
        let Some(Value::Number(at)) = self.ttl.as_ref().and_then(|name| item.get(name)) else { return false };
        let seconds = at.to_string().split('.').next().and_then(|whole| whole.parse::<i64>().ok());
        let now_s = now.0 / 1000;
        seconds.is_some_and(|at| at < now_s && at > now_s - EXPIRY_AGE_MAX_S)
    }

    /// The keys in these buckets that a follower does not show as the lead does, ascending; `None` if the run is to
    /// stop.
    pub(super) async fn candidates(
        &self,
        compared: &Compared,
        group: &[usize],
        follower: &Follower,
        now: Timestamp,
    ) -> Result<Option<Vec<Candidate>>, EngineError> {
        let (whole, numbers) = (Segment { index: 0, of: 1 }, &compared.lead);
        let counts = |number: &usize| group.binary_search(number).is_ok();
        let mut held: BTreeMap<Key, Sha256> = BTreeMap::new();
        let take = |work: &Self, item: Item| {
            let key = work.key_of(work.lead(), &item)?;
            if counts(&numbers.number(key_digest(&work.names, &key))) && !work.is_expired(&item, now) {
                held.insert(work.names.text(&key), digest(&item));
            }
            Ok(())
        };
        if !self.scan_all(self.lead(), whole, take).await? {
            return Ok(None);
        }
        let mut found = Vec::new();
        let take = |work: &Self, item: Item| {
            let key = work.key_of(&*follower.store, &item)?;
            if counts(&numbers.number(key_digest(&work.names, &key))) && !work.is_expired(&item, now) {
                let key = work.names.text(&key);
                match held.remove(&key) {
                    Some(lead) if lead == digest(&item) => {}
                    Some(_) => found.push(Candidate { key, kind: DifferenceKind::Different }),
                    None => found.push(Candidate { key, kind: DifferenceKind::Extra }),
                }
            }
            Ok(())
        };
        if !self.scan_all(&*follower.store, whole, take).await? {
            return Ok(None);
        }
        found.extend(held.into_keys().map(|key| Candidate { key, kind: DifferenceKind::Missing }));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Some(found))
    }
}
