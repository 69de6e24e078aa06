//! Compares two tables: by bucket digests first, and key by key in the buckets that differ.
//!
//! Both sides are scanned once and folded. If no bucket differs, that is all. Otherwise both are scanned once more, and
//! of the buckets that differ only, the digests of the lead's items are kept, a bounded number at a time.
//!
//! An item that has expired, by the attribute that says when, is skipped on both sides: the server deletes it when it
//! likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::task::JoinSet;

use crate::{
    clock::now,
    error::EngineError,
    tables::{follower::Follower, sides::Sides},
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
    /// Whether the lead has the item, and it belongs at another follower.
    pub(super) is_misplaced: bool,
}

/// The items that belong at these places, or all that one place holds, folded.
struct Folded {
    buckets: Vec<Buckets>,
    expired: u64,
}

impl Folded {
    fn empty(sides: usize, bits: u8) -> Self {
        Self { buckets: (0..sides).map(|_| Buckets::new(bits)).collect(), expired: 0 }
    }
}

/// What a fold of both sides has found.
pub(super) struct Compared {
    /// Items on both sides that had expired.
    pub(super) expired: u64,
    /// The followers that could be scanned.
    sides: BTreeMap<PlaceIndex, Side>,
}

/// A follower, folded.
struct Side {
    /// What belongs there.
    lead: Buckets,
    /// What it holds.
    buckets: Buckets,
    /// The numbers of its buckets that differ from the lead's.
    differing: Vec<usize>,
}

impl Compared {
    /// How many items a follower holds; `None` if it could not be scanned.
    pub(super) fn held(&self, place: PlaceIndex) -> Option<u64> {
        self.sides.get(&place).map(|side| side.buckets.count())
    }

    /// How many items belong at a follower; 0 if it could not be scanned.
    pub(super) fn belong(&self, place: PlaceIndex) -> u64 {
        self.sides.get(&place).map_or(0, |side| side.lead.count())
    }

    /// The buckets of a follower that differ, in groups of which few enough items are held at once.
    pub(super) fn groups(&self, place: PlaceIndex) -> Vec<Vec<usize>> {
        let (mut groups, mut held): (Vec<Vec<usize>>, u64) = (Vec::new(), 0);
        let Some(side) = self.sides.get(&place) else { return groups };
        for number in &side.differing {
            let count = side.lead.all()[*number].count.max(side.buckets.all()[*number].count);
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

impl Sides {
    /// Folds the lead and all followers that take part. A follower that fails is down.
    pub(super) async fn fold(self: &Arc<Self>, now: Timestamp) -> Result<Option<Compared>, EngineError> {
        let items = self.lead().describe().await?.and_then(|described| described.items).unwrap_or(0);
        // About sixteen items a bucket.
        let bits = u8::try_from((items / 16).max(1).ilog2()).unwrap_or(BUCKET_BITS_MAX).clamp(BITS.0, BITS.1);
        let places: Vec<_> = self.open().map(|follower| follower.place).collect();
        let lead = self.fold_one(Arc::clone(self.stores.lead()), Some(places.clone().into()), bits, now);
        let followers = self.open().map(|follower| self.fold_one(Arc::clone(&follower.store), None, bits, now));
        let (lead, followers) = futures::join!(lead, futures::future::join_all(followers));
        let Some(lead) = lead? else { return Ok(None) };
        let (mut sides, mut expired) = (BTreeMap::new(), lead.expired);
        for ((place, lead), folded) in places.into_iter().zip(lead.buckets).zip(followers) {
            match folded {
                Ok(Some(Folded { mut buckets, expired: more })) => {
                    expired += more;
                    let buckets = buckets.pop().expect("a follower is one side");
                    let differing = lead.differing(&buckets).expect("both have as many buckets");
                    sides.insert(place, Side { lead, buckets, differing });
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    if let Some(follower) = self.follower(place) {
                        follower.close(error);
                    }
                }
            }
        }
        Ok(Some(Compared { expired, sides }))
    }

    /// Folds all items of a store, for the lead by the places where they belong; `None` if the run is to stop.
    async fn fold_one(
        self: &Arc<Self>,
        store: Arc<dyn TableStore>,
        belong_at: Option<Arc<[PlaceIndex]>>,
        bits: u8,
        now: Timestamp,
    ) -> Result<Option<Folded>, EngineError> {
        let mut tasks = JoinSet::new();
        let places = belong_at.as_ref().map_or(1, |places| places.len());
        for index in 0..FOLD_SEGMENTS {
            let (sides, store, belong_at) = (Arc::clone(self), Arc::clone(&store), belong_at.clone());
            tasks.spawn(async move {
                let mut folded = Folded::empty(places, bits);
                let whole = sides.scan_all(&*store, Segment { index, of: FOLD_SEGMENTS }, |sides, item| {
                    if sides.is_expired(&item, now) {
                        folded.expired += 1;
                        return Ok(());
                    }
                    let key = key_digest(&sides.names, &sides.key_of(&*store, &item)?);
                    let item_digest = digest(&item);
                    match &belong_at {
                        None => folded.buckets[0].add(key, item_digest),
                        Some(places) => {
                            let to = sides.destination(&item)?;
                            let here = folded.buckets.iter_mut().zip(&**places).filter(|(_, place)| to.holds(**place));
                            here.for_each(|(buckets, _)| buckets.add(key, item_digest));
                        }
                    }
                    Ok(())
                });
                Ok::<_, EngineError>(whole.await?.then_some(folded))
            });
        }
        let mut all = Folded::empty(places, bits);
        while let Some(part) = tasks.join_next().await {
            let Some(part) = part?? else { return Ok(None) };
            for (all, part) in all.buckets.iter_mut().zip(&part.buckets) {
                all.merge(part).expect("all have as many buckets");
            }
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

    /// A table that takes two spellings of one number for two keys, or that shows an item twice: no copy of it is equal.
    fn twice(&self, at: &dyn TableStore, key: &Key) -> EngineError {
        EngineError::TableUnfit {
            dataset: self.dataset.name.clone(),
            reason: format!(
                "{} shows two items with the key {}: if it takes two spellings of one number (1e3 and 1000) for two keys, \
                 it cannot be copied; if it was scanned while it was being changed by other means, run again",
                at.location(),
                self.redactor.key(key)
            ),
        }
    }

    /// Whether an item had expired at this moment.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html>
    pub(super) fn is_expired(&self, item: &Item, now: Timestamp) -> bool {
        let Some(Value::Number(at)) = self.ttl.as_ref().and_then(|name| item.get(name)) else { return false };
        let seconds = at.to_string().split('.').next().and_then(|whole| whole.parse::<i64>().ok());
        let now_s = now.0 / 1000;
        seconds.is_some_and(|at| at < now_s && at > now_s - EXPIRY_AGE_MAX_S)
    }

    /// Whether two sides are equal on a key: they hold the same item, or none that has not expired.
    pub(super) fn are_equal(&self, lead: Option<&Item>, held: Option<&Item>) -> bool {
        let at = now();
        let lasting = |item: &&Item| !self.is_expired(item, at);
        lead.filter(lasting) == held.filter(lasting)
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
        let Some(Side { lead: numbers, .. }) = compared.sides.get(&follower.place) else { return Ok(Some(Vec::new())) };
        let whole = Segment { index: 0, of: 1 };
        let counts = |number: &usize| group.binary_search(number).is_ok();
        let (mut held, mut elsewhere): (BTreeMap<Key, Sha256>, BTreeSet<Key>) = Default::default();
        let take = |sides: &Self, item: Item| {
            let key = sides.key_of(sides.lead(), &item)?;
            let is_open = counts(&numbers.number(key_digest(&sides.names, &key))) && !sides.is_expired(&item, now);
            if !is_open {
                return Ok(());
            }
            let key = sides.names.text(&key);
            if !sides.destination(&item)?.holds(follower.place) {
                elsewhere.insert(key);
            } else if held.insert(key.clone(), digest(&item)).is_some() {
                return Err(sides.twice(sides.lead(), &key));
            }
            Ok(())
        };
        if !self.scan_all(self.lead(), whole, take).await? {
            return Ok(None);
        }
        let (mut found, mut shown) = (Vec::new(), BTreeSet::new());
        let take = |sides: &Self, item: Item| {
            let key = sides.key_of(&*follower.store, &item)?;
            if counts(&numbers.number(key_digest(&sides.names, &key))) && !sides.is_expired(&item, now) {
                let key = sides.names.text(&key);
                if !shown.insert(key.clone()) {
                    return Err(sides.twice(&*follower.store, &key));
                }
                let kind = match held.remove(&key) {
                    Some(lead) if lead == digest(&item) => return Ok(()),
                    Some(_) => DifferenceKind::Different,
                    None => DifferenceKind::Extra,
                };
                let is_misplaced = elsewhere.contains(&key);
                found.push(Candidate { key, kind, is_misplaced });
            }
            Ok(())
        };
        match self.scan_all(&*follower.store, whole, take).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(EngineError::Store(error)) => {
                follower.close(error);
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(error),
        }
        let missing = |key| Candidate { key, kind: DifferenceKind::Missing, is_misplaced: false };
        found.extend(held.into_keys().map(missing));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Some(found))
    }
}
