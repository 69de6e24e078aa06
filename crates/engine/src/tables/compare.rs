//! Compares two tables: by bucket digests first, and key by key in the buckets that differ.
//!
//! Both sides are scanned once and folded into 65,536 buckets. If no bucket differs, that is all. Otherwise both are
//! scanned once more, and of the buckets that differ only, the keys are held and compared.
//!
//! # What is held at once
//!
//! The number of buckets is fixed, because no server says reliably how many items it holds. So a bucket of a large table
//! holds very many, and those that differ may hold more than may be held. Then both sides are folded again: only the
//! keys of the buckets that differ, in up to 262,144 finer buckets. That is repeated while it at least halves what must
//! be looked at. A few differences among a billion items take one such fold, and thousands of them a few, because what is
//! looked at then depends on how many items differ and no longer on how many there are. It is not tried if the numbers of
//! items alone tell that most of them differ.
//!
//! What is left is taken in groups that may be held, each by a scan of both sides; a bucket that may not be held is split. So a comparison takes two scans of each
//! side, a few more for a large table, and two for each further 100,000 items that differ. At most are held: the finer
//! buckets (10 MB for each side), or the keys and digests of a group.
//!
//! An item that has expired, by the attribute that says when at either side, is skipped on both: a server deletes it when
//! it likes. So an item of the lead may be skipped for one follower and not for another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinSet;

use crate::{
    clock::now,
    error::EngineError,
    tables::{follower::Follower, sides::Sides},
};
use migrate_core::{
    item::{Item, digest, key_digest},
    model::{Key, PlaceIndex, Sha256, Timestamp},
    report::DifferenceKind,
    table::{Buckets, Grain},
};
use migrate_store::table::{Scanned, Segment, TableStore};

/// The segments in which a table is scanned.
const SEGMENTS: u32 = 16;

/// What may be held at once.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The buckets of the first fold of a side, as bits of their number.
    bits: u8,
    /// Those of a finer one.
    finer_bits: u8,
    /// The items that are compared one by one.
    held: u64,
}

const BOUNDS: Bounds = Bounds { bits: 16, finer_bits: 18, held: 100_000 };

/// A key that the two sides do not show alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) kind: DifferenceKind,
    /// Whether the lead has the item, and it belongs at another follower.
    pub(super) is_misplaced: bool,
}

/// The items that belong at these places, or all that one place holds, folded.
#[derive(Default)]
struct Folded {
    of: Vec<FoldedFor>,
}

/// The items that belong at a place.
struct FoldedFor {
    buckets: Buckets,
    /// Those that had expired, which are not among these.
    expired: u64,
}

/// Which side of a comparison is folded.
#[derive(Debug, Clone)]
enum Side {
    /// The lead's, by the places where its items belong.
    Lead(Arc<[PlaceIndex]>),
    /// That of a follower.
    Follower(PlaceIndex),
}

impl Side {
    fn places(&self) -> &[PlaceIndex] {
        match self {
            Self::Lead(places) => places,
            Self::Follower(place) => std::slice::from_ref(place),
        }
    }
}

/// What a fold of both sides has found.
pub(super) struct Compared {
    bounds: Bounds,
    /// The followers that could be scanned.
    sides: BTreeMap<PlaceIndex, Outcome>,
}

/// What the folds of the lead and of a follower have found.
struct Outcome {
    /// Items on both sides that had expired.
    expired: u64,
    /// How many items belong there.
    belong: u64,
    /// How many it holds.
    held: u64,
    differing: Differing,
}

/// The buckets of a follower that differ from the lead's.
#[derive(Clone)]
struct Differing {
    grain: Arc<Grain>,
    /// The number of each, and how many items it holds, on the side that holds more.
    buckets: Vec<(usize, u64)>,
    /// How many items differ at least: those that one side holds more of.
    apart: u64,
}

impl Differing {
    fn of(lead: &Buckets, held: &Buckets) -> Self {
        let numbers = lead.differing(held).expect("both were folded alike");
        let (mut buckets, mut apart) = (Vec::new(), 0);
        for number in numbers {
            let (lead, held) = (lead.all()[number].count, held.all()[number].count);
            buckets.push((number, lead.max(held)));
            apart += lead.abs_diff(held);
        }
        Self { grain: Arc::clone(lead.grain()), buckets, apart }
    }

    fn items(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Finer buckets, if they may show that fewer items must be looked at.
    fn finer(&self, bounds: Bounds) -> Option<Grain> {
        let items = self.items();
        let numbers: Vec<_> = self.buckets.iter().map(|(number, _)| *number).collect();
        let finer = || self.grain.finer(&numbers, bounds.finer_bits);
        let may_help = items > bounds.held && self.apart < items / 2;
        may_help.then(finer).filter(|finer| finer.buckets() > numbers.len())
    }

    /// The keys of the buckets, in groups of which few enough are held at once. A bucket that holds more is split: digests
    /// of keys are spread evenly.
    fn groups(&self, bounds: Bounds) -> Vec<Grain> {
        let (mut groups, mut held): (Vec<Vec<usize>>, u64) = (Vec::new(), 0);
        let mut split = Vec::new();
        for (number, count) in &self.buckets {
            let times = count / bounds.held.max(1);
            if times > 0 {
                let bits = u8::try_from(times.ilog2() + 1).unwrap_or(u8::MAX);
                let parts = self.grain.finer(&[*number], bits);
                split.extend((0..parts.buckets()).map(|part| parts.finer(&[part], 0)));
            } else if let Some(group) = groups.last_mut().filter(|_| held + count <= bounds.held) {
                group.push(*number);
                held += count;
            } else {
                groups.push(vec![*number]);
                held = *count;
            }
        }
        split.extend(groups.iter().map(|numbers| self.grain.finer(numbers, 0)));
        split
    }
}

impl Compared {
    /// How many items of the lead and of a follower had expired; 0 if that could not be scanned.
    pub(super) fn expired(&self, place: PlaceIndex) -> u64 {
        self.sides.get(&place).map_or(0, |side| side.expired)
    }

    /// How many items a follower holds; `None` if it could not be scanned.
    pub(super) fn held(&self, place: PlaceIndex) -> Option<u64> {
        self.sides.get(&place).map(|side| side.held)
    }

    /// How many items belong at a follower; 0 if it could not be scanned.
    pub(super) fn belong(&self, place: PlaceIndex) -> u64 {
        self.sides.get(&place).map_or(0, |side| side.belong)
    }
}

impl Sides {
    /// Folds the lead and all followers that take part. A follower that fails is down.
    pub(super) async fn fold(self: &Arc<Self>, now: Timestamp) -> Result<Option<Compared>, EngineError> {
        self.fold_within(BOUNDS, now).await
    }

    async fn fold_within(self: &Arc<Self>, bounds: Bounds, now: Timestamp) -> Result<Option<Compared>, EngineError> {
        let grain = Arc::new(Grain::whole(bounds.bits));
        let places: Vec<_> = self.open().map(|follower| follower.place).collect();
        let lead = self.fold_one(Arc::clone(&self.led), Side::Lead(places.clone().into()), &grain, now);
        let of = |follower: &Follower| (Arc::clone(&follower.store), Side::Follower(follower.place));
        let followers = self.open().map(of).map(|(store, side)| self.fold_one(store, side, &grain, now));
        let (lead, followers) = futures::join!(lead, futures::future::join_all(followers));
        let Some(lead) = lead? else { return Ok(None) };
        let mut sides = BTreeMap::new();
        for ((place, lead), folded) in places.into_iter().zip(lead.of).zip(followers) {
            match folded {
                Ok(Some(Folded { of })) => {
                    let held = &of[0];
                    let outcome = Outcome {
                        expired: lead.expired + held.expired,
                        belong: lead.buckets.count(),
                        held: held.buckets.count(),
                        differing: Differing::of(&lead.buckets, &held.buckets),
                    };
                    sides.insert(place, outcome);
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    if let Some(follower) = self.follower(place) {
                        follower.close(error);
                    }
                }
            }
        }
        Ok(Some(Compared { bounds, sides }))
    }

    /// The keys that a follower may not show as the lead does, in groups that are held at once; `None` if the run is to
    /// stop. A follower that fails is down.
    pub(super) async fn groups(
        self: &Arc<Self>,
        compared: &Compared,
        follower: &Follower,
        now: Timestamp,
    ) -> Result<Option<Vec<Grain>>, EngineError> {
        let Some(side) = compared.sides.get(&follower.place) else { return Ok(Some(Vec::new())) };
        let mut differing = side.differing.clone();
        while let Some(grain) = differing.finer(compared.bounds).map(Arc::new) {
            let lead = self.fold_one(Arc::clone(&self.led), Side::Lead([follower.place].into()), &grain, now);
            let held = self.fold_one(Arc::clone(&follower.store), Side::Follower(follower.place), &grain, now);
            let (lead, held) = futures::join!(lead, held);
            let held = match held {
                Ok(held) => held,
                Err(error) => {
                    follower.close(error);
                    return Ok(Some(Vec::new()));
                }
            };
            let Some((lead, held)) = lead?.zip(held) else { return Ok(None) };
            let before = std::mem::replace(&mut differing, Differing::of(&lead.of[0].buckets, &held.of[0].buckets));
            if differing.items() > before.items() / 2 {
                break;
            }
        }
        Ok(Some(differing.groups(compared.bounds)))
    }

    /// Folds the items of a side; `None` if the run is to stop.
    async fn fold_one(
        self: &Arc<Self>,
        store: Arc<dyn TableStore>,
        side: Side,
        grain: &Arc<Grain>,
        now: Timestamp,
    ) -> Result<Option<Folded>, EngineError> {
        let empty = |_: &PlaceIndex| FoldedFor { buckets: Buckets::new(Arc::clone(grain)), expired: 0 };
        let folded = Arc::new(Mutex::new(Folded { of: side.places().iter().map(empty).collect() }));
        let mut tasks = JoinSet::new();
        for index in 0..SEGMENTS {
            let (sides, store, side) = (Arc::clone(self), Arc::clone(&store), side.clone());
            let folded = Arc::clone(&folded);
            tasks.spawn(async move {
                let take = |sides: &Self, item: Item| sides.fold_item(&*store, &item, &side, now, &folded);
                sides.scan_all(&*store, Segment { index, of: SEGMENTS }, take).await
            });
        }
        while let Some(whole) = tasks.join_next().await {
            if !whole?? {
                return Ok(None);
            }
        }
        let mut folded = folded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(std::mem::take(&mut *folded)))
    }

    fn fold_item(
        &self,
        store: &dyn TableStore,
        item: &Item,
        side: &Side,
        now: Timestamp,
        folded: &Mutex<Folded>,
    ) -> Result<(), EngineError> {
        let lock = || folded.lock().unwrap_or_else(PoisonError::into_inner);
        let expired: Vec<_> = side.places().iter().map(|place| self.is_expired(item, *place, now)).collect();
        if expired.iter().all(|expired| *expired) {
            lock().of.iter_mut().for_each(|place| place.expired += 1);
            return Ok(());
        }
        let key = key_digest(&self.names, &self.key_of(store, item)?);
        let to = matches!(side, Side::Lead(_)).then(|| self.destination(item)).transpose()?;
        let item = digest(item);
        for ((of, place), expired) in lock().of.iter_mut().zip(side.places()).zip(expired) {
            match to.as_ref().is_none_or(|to| to.holds(*place)) {
                true if expired => of.expired += 1,
                true => of.buckets.add(key, item),
                false => {}
            }
        }
        Ok(())
    }

    /// Hands all items of a store to `take`; `false` if the run is to stop.
    async fn scan_store(
        &self,
        store: &dyn TableStore,
        take: impl Fn(&Self, Item) -> Result<(), EngineError>,
    ) -> Result<bool, EngineError> {
        let segments = (0..SEGMENTS).map(|index| self.scan_all(store, Segment { index, of: SEGMENTS }, &take));
        Ok(futures::future::try_join_all(segments).await?.into_iter().all(|whole| whole))
    }

    /// Hands all items of a segment to `take`; `false` if the run is to stop.
    async fn scan_all(
        &self,
        store: &dyn TableStore,
        segment: Segment,
        take: impl Fn(&Self, Item) -> Result<(), EngineError>,
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

    /// Whether an item had expired at this moment where it is led, or at another place.
    fn is_expired(&self, item: &Item, place: PlaceIndex, now: Timestamp) -> bool {
        self.expires_by.is_over(item, self.leads.iter().copied().chain([place]), now)
    }

    /// Whether the lead and another place are equal on a key: they hold the same item, or none that has not expired.
    pub(super) fn are_equal(&self, place: PlaceIndex, lead: Option<&Item>, held: Option<&Item>) -> bool {
        let at = now();
        let lasting = |item: &&Item| !self.is_expired(item, place, at);
        lead.filter(lasting) == held.filter(lasting)
    }

    /// The key of an item, if such keys are looked at for a follower.
    fn open_key(
        &self,
        store: &dyn TableStore,
        item: &Item,
        (group, place): (&Grain, PlaceIndex),
        now: Timestamp,
    ) -> Result<Option<Key>, EngineError> {
        let key = self.key_of(store, item)?;
        let is_open = group.number(key_digest(&self.names, &key)).is_some() && !self.is_expired(item, place, now);
        Ok(is_open.then(|| self.names.text(&key)))
    }

    /// The keys of a group that a follower does not show as the lead does, ascending; `None` if the run is to stop. A
    /// follower that fails is down.
    pub(super) async fn candidates(
        &self,
        group: &Grain,
        follower: &Follower,
        now: Timestamp,
    ) -> Result<Option<Vec<Candidate>>, EngineError> {
        let held: Mutex<BTreeMap<Key, Sha256>> = Mutex::default();
        let take = |sides: &Self, item: Item| {
            let Some(key) = sides.open_key(&*follower.store, &item, (group, follower.place), now)? else {
                return Ok(());
            };
            let digest = digest(&item);
            match held.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), digest) {
                Some(_) => Err(sides.twice(&*follower.store, &key)),
                None => Ok(()),
            }
        };
        match self.scan_store(&*follower.store, take).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(EngineError::Store(error)) => {
                follower.close(error);
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(error),
        }
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        let looked = Mutex::new(Looked { held, ..Looked::default() });
        let take = |sides: &Self, item: Item| {
            let Some(key) = sides.open_key(sides.lead(), &item, (group, follower.place), now)? else { return Ok(()) };
            let (digest, belongs) = (digest(&item), sides.destination(&item)?.holds(follower.place));
            let is_first = looked.lock().unwrap_or_else(PoisonError::into_inner).at_lead(&key, digest, belongs);
            if is_first { Ok(()) } else { Err(sides.twice(sides.lead(), &key)) }
        };
        if !self.scan_store(self.lead(), take).await? {
            return Ok(None);
        }
        let Looked { held, mut found, .. } = looked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let extra = |key| Candidate { key, kind: DifferenceKind::Extra, is_misplaced: false };
        found.extend(held.into_keys().map(extra));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Some(found))
    }
}

/// The keys of a group, while the lead is scanned. Only what belongs at the follower, or is there, is held.
#[derive(Default)]
struct Looked {
    /// What the follower holds, and the lead has not shown.
    held: BTreeMap<Key, Sha256>,
    /// What the lead has shown.
    shown: BTreeSet<Key>,
    found: Vec<Candidate>,
}

impl Looked {
    /// Compares an item of the lead; `false` if the lead has shown its key before.
    fn at_lead(&mut self, key: &Key, digest: Sha256, belongs: bool) -> bool {
        let held = self.held.remove(key);
        if belongs && !self.shown.insert(key.clone()) {
            return false;
        }
        let kind = match (belongs, held) {
            (true, Some(held)) if held == digest => return true,
            (true, Some(_)) => DifferenceKind::Different,
            (true, None) => DifferenceKind::Missing,
            (false, Some(_)) => DifferenceKind::Extra,
            (false, None) => return true,
        };
        self.found.push(Candidate { key: key.clone(), kind, is_misplaced: !belongs });
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::tables::test_rig::{Rig, delete, item, put, structure};

    const NOW: Timestamp = Timestamp(0);

    fn key(id: u32) -> Key {
        let names = structure().key_names();
        names.text(&names.key_of(&item(id, "")).unwrap())
    }

    /// What each follower does not show as the lead does, and how many items were read at each place, the lead's first.
    async fn found(rig: &Rig, bounds: Bounds) -> (Vec<Vec<Candidate>>, Vec<u64>) {
        let sides = rig.sides().await;
        let compared = sides.fold_within(bounds, NOW).await.unwrap().unwrap();
        let mut all = Vec::new();
        for follower in &sides.followers {
            let mut candidates = Vec::new();
            for group in sides.groups(&compared, follower, NOW).await.unwrap().unwrap() {
                let some = sides.candidates(&group, follower, NOW).await.unwrap().unwrap();
                // Each bucket of a group by the side that holds more of it, so at most twice as many differ.
                assert!(some.len() as u64 <= 8 * bounds.held + 40, "{} of {bounds:?}", some.len());
                candidates.extend(some);
            }
            candidates.sort_by(|a, b| a.key.cmp(&b.key));
            all.push(candidates);
        }
        (all, sides.stores.meters.iter().map(|meter| meter.items().read).collect())
    }

    /// Whether an item belongs at the first follower, and its version.
    type State = Option<(bool, u8)>;

    fn value((is_first, version): (bool, u8)) -> String {
        format!("{}{version}", if is_first { "a" } else { "b" })
    }

    /// An item as the lead and both followers hold it.
    fn any_row() -> impl Strategy<Value = [State; 3]> {
        let any_state = || option::of((any::<bool>(), 0_u8..2));
        let equal = any_state().prop_map(|state| {
            let at = |is_first| state.filter(|(first, _)| *first == is_first);
            [state, at(true), at(false)]
        });
        let other = (any_state(), any_state(), any_state()).prop_map(|(lead, a, b)| [lead, a, b]);
        prop_oneof![9 => equal, 1 => other]
    }

    /// What a follower is to be found not to show.
    fn expected(rows: &[[State; 3]], at: usize) -> Vec<Candidate> {
        let of = |(id, row): (usize, &[State; 3])| {
            let lead = row[0].filter(|(is_first, _)| *is_first == (at == 1));
            let kind = match (lead, row[at]) {
                (lead, held) if lead == held => return None,
                (Some(_), Some(_)) => DifferenceKind::Different,
                (Some(_), None) => DifferenceKind::Missing,
                (None, _) => DifferenceKind::Extra,
            };
            let is_misplaced = kind == DifferenceKind::Extra && row[0].is_some();
            Some(Candidate { key: key(u32::try_from(id).unwrap()), kind, is_misplaced })
        };
        rows.iter().enumerate().filter_map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_key_that_differs_is_found_and_no_other_however_little_may_be_held(
            rows in vec(any_row(), 0..250),
            (bits, finer_bits, held) in (0_u8..7, 0_u8..10, 1_u64..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (found, _) = runtime.block_on(async {
                let rig = Rig::new(&["a item.value.startsWith(\"a\")", "b otherwise"], "");
                for site in ["a", "b"] {
                    rig.table(site).create(&structure()).await.unwrap();
                }
                for (id, row) in (0..).zip(&rows) {
                    for (site, state) in ["src", "a", "b"].into_iter().zip(row) {
                        if let Some(state) = state {
                            rig.table(site).apply(&put(id, &value(*state))).unwrap();
                        }
                    }
                }
                found(&rig, Bounds { bits, finer_bits, held }).await
            });
            prop_assert_eq!(&found[0], &expected(&rows, 1));
            prop_assert_eq!(&found[1], &expected(&rows, 2));
        }
    }

    /// Two scans of each side if little differs, a few more if what differs is in buckets that hold too much, and no more
    /// than that needs if very much differs.
    #[tokio::test]
    async fn a_table_is_scanned_a_few_times_however_many_items_there_are() {
        const N: u32 = 2000;
        let bounds = Bounds { bits: 3, finer_bits: 8, held: 100 };
        let rig = Rig::new(&["a"], "");
        rig.table("a").create(&structure()).await.unwrap();
        rig.fill(0..N);
        (0..N).for_each(|id| rig.table("a").apply(&put(id, "first")).unwrap());
        let scans = |read: &[u64]| read.iter().map(|read| read.div_ceil(N.into())).collect::<Vec<_>>();
        let (all, read) = found(&rig, bounds).await;
        assert_eq!((all[0].len(), scans(&read)), (0, vec![1, 1]));
        (0..3).for_each(|id| rig.table("a").apply(&put(id * 7, "other")).unwrap());
        let (all, read) = found(&rig, Bounds { bits: 16, ..bounds }).await;
        assert_eq!((all[0].len(), scans(&read)), (3, vec![2, 2]), "what differs is held at once");
        // Three buckets of 250 items each, at least; the finer ones hold eight.
        let (all, read) = found(&rig, bounds).await;
        assert_eq!((all[0].len(), scans(&read)), (3, vec![3, 3]), "once more, in finer buckets");
        // Nothing is refined, and buckets that hold too much are split: 4 for each of 8.
        (0..N).for_each(|id| rig.table("a").apply(&delete(id)).unwrap());
        let (all, read) = found(&rig, bounds).await;
        assert_eq!((all[0].len(), scans(&read)), (N as usize, vec![1 + 32, 0]));
    }
}
