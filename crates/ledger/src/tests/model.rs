//! The ledger against maps: for any records in batches of any size, with failing batches and reopenings in between,
//! both show the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TARGETS: u16 = 2;

#[derive(Debug, Clone)]
enum Deed {
    Batch { records: Vec<Record>, illegal: bool },
    Reopen,
}

/// What the ledger should hold for one dataset.
#[derive(Debug, Clone, Default)]
struct Model {
    /// What the lead showed last, per key.
    leads: BTreeMap<Key, Token>,
    held: BTreeMap<(Key, PlaceIndex), Held>,
    /// By place, kind and key.
    waiting: BTreeMap<(PlaceIndex, u8, Key), Option<String>>,
}

impl Model {
    fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::At { place, key, fact, .. } => self.learn(place, key, fact),
            Record::ShardsPlanned { .. } => self.waiting.retain(|(_, why, _), _| *why == Open::Damaged as u8),
            other => panic!("{other:?} is not part of this model"),
        }
    }

    fn learn(&mut self, place: PlaceIndex, key: Key, fact: Fact) {
        if matches!(fact, Fact::Paired { .. } | Fact::Unpaired) {
            self.clear(place, &key, &Open::ALL);
        }
        match fact {
            Fact::Paired { pair, .. } | Fact::Learned { pair, .. } => self.pair(key, place, pair),
            Fact::Unpaired => self.unpair(&key, place),
            Fact::Waits(why) => self.wait(place, key, why, None),
            Fact::Failed { reason, .. } => self.wait(place, key, Open::Failed, Some(reason)),
            Fact::Settled => {
                if !self.clear(place, &key, &[Open::Doomed]) {
                    self.clear(place, &key, &Open::ALL);
                }
            }
            other => panic!("{other:?} is not part of this model"),
        }
    }

    /// Once the lead shows another version, no place is equal to it but the one that was paired with that version.
    fn pair(&mut self, key: Key, place: PlaceIndex, pair: Pair) {
        let Pair { lead, follower, evidence, waived, written } = pair;
        if self.leads.insert(key.clone(), lead.clone()).is_some_and(|before| before != lead) {
            for (_, held) in self.held.iter_mut().filter(|((other, _), _)| *other == key) {
                (held.lead, held.evidence) = (None, None);
            }
        }
        self.held.insert((key, place), Held { lead: Some(lead), here: follower, evidence, waived, written });
    }

    fn unpair(&mut self, key: &Key, place: PlaceIndex) {
        self.held.remove(&(key.clone(), place));
        if !self.held.keys().any(|(other, _)| other == key) {
            self.leads.remove(key);
        }
    }

    /// Whether it waited for one of these.
    fn clear(&mut self, place: PlaceIndex, key: &Key, kinds: &[Open]) -> bool {
        let before = self.waiting.len();
        for kind in kinds {
            self.waiting.remove(&(place, *kind as u8, key.clone()));
        }
        self.waiting.len() < before
    }

    /// A damaged record stays damaged until it is written or deleted; it can be doomed beside.
    fn wait(&mut self, place: PlaceIndex, key: Key, why: Open, reason: Option<String>) {
        let damage = (place, Open::Damaged as u8, key.clone());
        match why {
            Open::Deferred | Open::Failed if self.waiting.contains_key(&damage) => {
                self.clear(place, &key, &[Open::Doomed]);
                self.waiting.insert(damage, reason);
                return;
            }
            Open::Doomed => self.clear(place, &key, &[Open::Deferred, Open::Failed]),
            _ => self.clear(place, &key, &Open::ALL),
        };
        self.waiting.insert((place, why as u8, key), reason);
    }

    fn waiting(&self, of: PlaceIndex, which: Open) -> Vec<OpenRow> {
        let rows = self.waiting.iter().filter(|((place, why, _), _)| *place == of && *why == which as u8);
        rows.map(|((place, _, key), reason)| OpenRow { key: key.clone(), place: *place, reason: reason.clone() })
            .collect()
    }

    fn counts(&self, of: PlaceIndex) -> Counts {
        let held = || self.held.iter().filter(|((_, place), _)| *place == of).map(|(_, held)| held.here.size);
        Counts {
            paired: held().count() as u64,
            paired_bytes: held().sum(),
            deferred: self.waiting(of, Open::Deferred).len() as u64,
            failed: self.waiting(of, Open::Failed).len() as u64,
            doomed: self.waiting(of, Open::Doomed).len() as u64,
            damaged: self.waiting(of, Open::Damaged).len() as u64,
        }
    }

    async fn check(&self, ledger: &Ledger, page: usize) {
        let dataset = name("d");
        for place in (1..=TARGETS).map(PlaceIndex) {
            assert_eq!(ledger.counts(&dataset, place).await.unwrap(), self.counts(place));
            for which in Open::ALL {
                let found = ledger.open_records(&dataset, place, which, None, usize::MAX).await.unwrap();
                assert_eq!(found, self.waiting(place, which));
            }
        }
        let mut found = Vec::new();
        let mut range = KeyRange::all();
        loop {
            let rows = ledger.held(&dataset, LEAD, &range, page).await.unwrap();
            let Some(last) = rows.last() else { break };
            range.after = Some(last.key.clone());
            found.extend(rows.into_iter().map(|row| ((row.key, row.place), row.held)));
        }
        let expected: Vec<_> = self.held.clone().into_iter().collect();
        assert_eq!(found, expected);
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let place = ("[ab\0é]{0,2}", 0..TARGETS);
    (place, 0_u64..1000, 0..13).prop_map(|((key, target), size, kind)| {
        let fact = match kind {
            0..=3 => Fact::Paired { lead: LEAD, pair: pair_of(size) },
            4 | 5 => Fact::Unpaired,
            6 | 7 => Fact::Waits([Open::Deferred, Open::Doomed, Open::Damaged][usize::try_from(size % 3).unwrap()]),
            8 | 9 => Fact::Failed { reason: size.to_string(), at: Timestamp(0) },
            10 => Fact::Settled,
            11 => Fact::Learned { lead: LEAD, pair: pair_of(size) },
            // Ids are never given again, so they are numbered on append.
            _ => return Record::ShardsPlanned { dataset: name("d"), shards: vec![(ShardId(0), KeyRange::all())] },
        };
        at("d", target, &key, fact)
    })
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        1 => Just(Deed::Reopen),
        12 => (proptest::collection::vec(any_record(), 1..12), proptest::bool::weighted(0.2))
            .prop_map(|(records, illegal)| Deed::Batch { records, illegal }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_agrees_with_maps(deeds in proptest::collection::vec(any_deed(), 1..20), page in 1_usize..5) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::begun().await;
            let mut model = Model::default();
            for deed in deeds {
                match deed {
                    Deed::Reopen => bench = bench.reopened().await,
                    Deed::Batch { mut records, illegal } => {
                        for record in &mut records {
                            if let Record::ShardsPlanned { shards, .. } = record {
                                shards[0].0 = bench.ledger.next_shard_id().await.unwrap();
                            }
                        }
                        if illegal {
                            records.push(paired("never", 0, "k", 1));
                            bench.refused(records).await;
                        } else {
                            for record in &records {
                                model.apply(record);
                            }
                            bench.append(records).await;
                        }
                    }
                }
                model.check(&bench.ledger, page).await;
            }
        });
    }
}
