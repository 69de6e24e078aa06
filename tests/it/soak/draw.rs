//! The draws of a seed: places, objects, faults, interruptions and changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use migrate::{
    local_cloud,
    store::faulty::{self, When},
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::place::{Object, Place};
use crate::conformance::NASTY_KEYS;

/// The sites of followers; a seed takes the first one to three.
pub(super) const TARGETS: [&str; 3] = ["a", "b", "c"];

/// A run that is stopped on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interruption {
    /// At this commit of the ledger.
    pub(super) at_commit: u64,
    /// 1 drains, 2 drops requests at once.
    pub(super) asks: u32,
}

/// The random choices of one seed.
pub(super) struct Draw {
    random: StdRng,
    /// Keys that a change has given another version.
    replaced: BTreeSet<String>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), replaced: BTreeSet::new() }
    }

    pub(super) fn targets(&mut self) -> &'static [&'static str] {
        &TARGETS[..self.random.random_range(1..=TARGETS.len())]
    }

    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    /// Objects of all sizes under plain and odd keys; large ones come in parts.
    pub(super) fn objects(&mut self, large_from: u64) -> BTreeMap<String, Object> {
        let plain = self.random.random_range(5..40);
        let odd = NASTY_KEYS.iter().filter(|key| !key.is_empty() && !key.contains('\0'));
        let mut keys: Vec<String> =
            odd.filter(|_| self.random.random_ratio(1, 3)).map(|key| (*key).to_owned()).collect();
        keys.extend((0..plain).map(|n| format!("{}/{n:03}", n % 4)));
        let mut objects: BTreeMap<_, _> = keys.into_iter().map(|key| (key, self.small_object())).collect();
        // Over HTTP parts are of 5 MiB: few objects are enough.
        let large = if large_from > 1 << 20 { u32::from(self.one_in(4)) } else { self.random.random_range(0..=4) };
        for n in 0..large {
            let size = large_from + self.random.random_range(1..=large_from * 3 / 2);
            objects.insert(format!("large/{n}"), self.object(size));
        }
        objects
    }

    /// An object that nothing in a listing can confuse with what was there: tags are of bytes, times have
    /// whole seconds, so equal bytes with other properties within a second are the same version.
    fn other_object(&mut self) -> Object {
        let size = self.random.random_range(16..4_000);
        self.object(size)
    }

    fn small_object(&mut self) -> Object {
        let size = match self.random.random_range(0..10) {
            0 => 0,
            1 => self.random.random_range(1..4),
            2 => self.random.random_range(10_000..60_000),
            _ => self.random.random_range(4..4_000),
        };
        self.object(size)
    }

    fn object(&mut self, size: u64) -> Object {
        let mut bytes = vec![0; usize::try_from(size).expect("it is held in memory")];
        self.random.fill_bytes(&mut bytes);
        let mut some = |values: [(&str, &str); 2]| -> BTreeMap<String, String> {
            let drawn = values.into_iter().filter(|_| self.random.random_ratio(1, 4));
            drawn.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        Object {
            bytes: Bytes::from(bytes),
            content_type: "text/plain".to_owned(),
            metadata: some([("author", "L\u{ed} B\u{e1}i"), ("note", "a b")]),
            tags: some([("team", "shop & site"), ("empty", "")]),
        }
    }

    /// The stops of the first runs, each with even odds.
    pub(super) fn interruptions(&mut self) -> Vec<Option<Interruption>> {
        let runs = self.random.random_range(0..=3);
        let mut drawn = || {
            let interruption =
                Interruption { at_commit: self.random.random_range(3..40), asks: self.random.random_range(1..=2) };
            self.random.random_bool(0.5).then_some(interruption)
        };
        (0..runs).map(|_| drawn()).collect()
    }

    /// How often applications change the source, between runs.
    pub(super) fn changes(&mut self) -> u32 {
        self.random.random_range(0..=2)
    }

    /// Changes the source behind the tool's back: some objects are replaced, some deleted, some new.
    ///
    /// A replaced object is not deleted later: if its new version was written to a target and the answer got
    /// lost, the target holds a version that no pair knows. Once the source has deleted the object, that is a
    /// stray, which is never deleted.
    pub(super) fn change(&mut self, source: &Place) {
        let objects = source.objects();
        let keys: Vec<&String> = objects.keys().collect();
        for _ in 0..keys.len() / 10 {
            if let Some(key) = keys.choose(&mut self.random)
                && !self.replaced.contains(*key)
            {
                source.delete(key);
            }
        }
        for _ in 0..=keys.len() / 10 {
            if let Some(key) = keys.choose(&mut self.random) {
                self.replaced.insert((*key).clone());
                source.put(key, &self.other_object());
            }
            let new = format!("new/{:04x}", self.random.random_range(0..0x1_0000));
            source.put(&new, &self.other_object());
        }
        if objects.contains_key("large/0") {
            let size = source.part_size() + self.random.random_range(1..=source.part_size());
            self.replaced.insert("large/0".to_owned());
            source.put("large/0", &self.object(size));
        }
    }

    /// Makes a place fail in some ways, now and then.
    pub(super) fn trouble(&mut self, place: &Place) {
        let seed = self.random.next_u64();
        match place {
            Place::Memory { faults, .. } => {
                let kinds = self.store_kinds();
                let rules = kinds.into_iter().map(|fault| {
                    let lasting = matches!(fault, faulty::Fault::ExpiredCredentials(_));
                    faulty::FaultRule::new(fault, self.when(lasting))
                });
                faults.set_rules(seed, rules.collect());
            }
            Place::Server { server, .. } => {
                let kinds = self.server_kinds();
                let rules = kinds.into_iter().map(|fault| {
                    let lasting = fault == local_cloud::Fault::ExpiredToken;
                    local_cloud::FaultRule::new(fault, self.when(lasting))
                });
                server.set_faults(local_cloud::Faults { seed, rules: rules.collect() });
            }
        }
    }

    fn store_kinds(&mut self) -> Vec<faulty::Fault> {
        use faulty::Fault::{
            CutAnswer, ErrorInside, ExpiredCredentials, FlippedBit, FlippedBitSent, FlippedBitUnnoticed, InternalError,
            OverlongBody, ResetAfter, ResetBefore, SlowDown, SlowFirstByte, StaleListing, TimedOut, TruncatedBody,
            Unreachable,
        };
        let calls = if self.one_in(2) { u64::MAX } else { self.random.random_range(1..30) };
        let late = SlowFirstByte(Duration::from_millis(self.random.random_range(1..3)));
        self.some([
            CutAnswer,
            ErrorInside,
            ExpiredCredentials(calls),
            FlippedBit,
            FlippedBitSent,
            FlippedBitUnnoticed,
            InternalError,
            OverlongBody,
            ResetAfter,
            ResetBefore,
            SlowDown,
            late,
            StaleListing,
            TimedOut,
            TruncatedBody,
            Unreachable,
        ])
    }

    fn server_kinds(&mut self) -> Vec<local_cloud::Fault> {
        use local_cloud::Fault::{
            CutEntry, CutXml, ErrorInside, ExpiredToken, FlipRequestBit, FlipResponseBit, InternalError, LostEntry,
            OtherRange, OverlongResponse, ResetAfter, ResetBefore, SlowDown, SlowFirstByte, StaleListing,
            TruncateResponse, UnclosedXml, WholeForRange,
        };
        let late = SlowFirstByte(Duration::from_millis(self.random.random_range(1..3)));
        self.some([
            CutEntry,
            CutXml,
            ErrorInside,
            ExpiredToken,
            FlipRequestBit,
            FlipResponseBit,
            InternalError,
            LostEntry,
            OtherRange,
            OverlongResponse,
            ResetAfter,
            ResetBefore,
            SlowDown,
            late,
            StaleListing,
            TruncateResponse,
            UnclosedXml,
            WholeForRange,
        ])
    }

    fn some<T, const N: usize>(&mut self, all: [T; N]) -> Vec<T> {
        all.into_iter().filter(|_| self.random.random_bool(0.4)).collect()
    }

    /// When a kind strikes. A fault that ends a run by itself strikes once, or no run would ever end well.
    fn when(&mut self, lasting: bool) -> When {
        match self.random.random_range(0..3) {
            _ if lasting => When::Only(self.random.random_range(1..300)),
            0 => When::Every(self.random.random_range(12..60)),
            1 => When::Only(self.random.random_range(1..60)),
            _ => When::Probability(self.random.random_range(0.002..0.05)),
        }
    }
}
