//! The copy of a table: segments, streams that are read, and keys that are owed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const A: PlaceIndex = PlaceIndex(1);
const B: PlaceIndex = PlaceIndex(2);

fn record(step: TableStep) -> Record {
    Record::Table(TableRecord { dataset: name("d"), step })
}

fn planned(segments: u32) -> Record {
    record(TableStep::BulkPlanned { segments, places: vec![A, B] })
}

fn moved(place: PlaceIndex, segment: u32, after: Option<&str>, items: u64) -> Record {
    let after = after.map(Key::from);
    record(TableStep::SegmentMoved { place, segment, after, items, bytes: 10 * items })
}

fn began(stream: &str) -> Record {
    record(TableStep::CaptureBegan {
        place: LEAD,
        stream: stream.to_owned(),
        ours: true,
        leads: true,
        at: Timestamp(5),
    })
}

fn read(shard: &str, sequence: Option<&str>, keys: &[&str], at: i64) -> Record {
    record(TableStep::StreamRead {
        place: LEAD,
        shard: shard.to_owned(),
        sequence: sequence.map(str::to_owned),
        ended: false,
        keys: keys.iter().map(|key| Key::from(*key)).collect(),
        owed: vec![A, B],
        at: Timestamp(at),
    })
}

fn handled(place: PlaceIndex, keys: &[(&str, u64)]) -> Record {
    let keys = keys.iter().map(|(key, mark)| (Key::from(*key), *mark)).collect();
    record(TableStep::Handled { place, at: Timestamp(0), keys })
}

async fn dirty(bench: &Bench, until: i64) -> Vec<DirtyRow> {
    bench.ledger.dirty(&name("d"), None, Timestamp(until), usize::MAX).await.unwrap()
}

fn row(key: &str, owed: &[(PlaceIndex, u64)]) -> DirtyRow {
    DirtyRow { key: key.into(), owed: owed.to_vec() }
}

#[tokio::test]
async fn segments_move_at_each_place_by_themselves_and_add_up() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(2), moved(A, 1, Some("k"), 3), moved(B, 1, Some("c"), 1), moved(A, 1, None, 4)]).await;
    let bench = bench.reopened().await;
    let rows = bench.ledger.segments(&name("d")).await.unwrap();
    let of = |place, segment, after: Option<&str>, done, items| {
        let after = after.map(Key::from);
        SegmentRow { place, segment, after, done, items, bytes: 10 * items }
    };
    let expected =
        [of(A, 0, None, false, 0), of(B, 0, None, false, 0), of(A, 1, None, true, 7), of(B, 1, Some("c"), false, 1)];
    assert_eq!(rows, expected);
    assert!(bench.ledger.segments(&name("e")).await.unwrap().is_empty(), "another dataset's");
}

#[tokio::test]
async fn a_segment_that_has_ended_or_was_never_planned_does_not_move() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(1), moved(A, 0, None, 1)]).await;
    for illegal in [moved(A, 0, Some("k"), 1), moved(A, 1, None, 1), moved(PlaceIndex(3), 0, None, 1)] {
        // What stands beside it in the batch is not kept either.
        let why = bench.refused(vec![moved(B, 0, None, 9), illegal]).await;
        assert!(why.contains("is not under way at place"), "{why}");
    }
    let rows = bench.ledger.segments(&name("d")).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.done, row.items)).collect::<Vec<_>>(), [(true, 1), (false, 0)]);
}

#[tokio::test]
async fn a_copy_that_begins_anew_forgets_segments_and_keys_and_goes_on_with_its_stream() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(3), began("s"), read("1", Some("7"), &["k"], 5), moved(A, 0, None, 1)]).await;
    bench.append(vec![planned(1)]).await;
    assert_eq!(bench.ledger.segments(&name("d")).await.unwrap().len(), 2);
    assert!(dirty(&bench, 100).await.is_empty());
    assert_eq!(bench.ledger.stream_shards(&name("d"), LEAD).await.unwrap()[0].sequence.as_deref(), Some("7"));
    assert!(bench.ledger.capture(&name("d"), LEAD).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_is_read_on_where_it_was_and_a_new_one_from_its_begin() {
    let bench = Bench::begun().await;
    assert_eq!(bench.ledger.capture(&name("d"), LEAD).await.unwrap(), None);
    bench.append(vec![began("first"), read("1", Some("7"), &["k"], 6), read("2", None, &[], 6)]).await;
    // A read without records, or of the end, takes no position away.
    bench.append(vec![read("1", None, &[], 7)]).await;
    let bench = bench.reopened().await;
    let shards = bench.ledger.stream_shards(&name("d"), LEAD).await.unwrap();
    let of = |shard: &str, sequence: Option<&str>, ended| StreamShardRow {
        shard: shard.to_owned(),
        sequence: sequence.map(str::to_owned),
        ended,
    };
    assert_eq!(shards, [of("1", Some("7"), false), of("2", None, false)]);
    let broke = TableStep::CaptureBroke { place: LEAD, reason: "it was trimmed".to_owned() };
    bench.append(vec![record(TableStep::CaptureGoesOn { place: LEAD, at: Timestamp(9) }), record(broke)]).await;
    let capture = bench.ledger.capture(&name("d"), LEAD).await.unwrap().unwrap();
    assert_eq!((capture.at, capture.broken.as_deref()), (Timestamp(9), Some("it was trimmed")));
    // Anew: whole, from its oldest record on; what was owed stays owed.
    bench.append(vec![began("second")]).await;
    let capture = bench.ledger.capture(&name("d"), LEAD).await.unwrap().unwrap();
    assert_eq!((capture.stream.as_str(), capture.broken, capture.ours), ("second", None, true));
    assert!(bench.ledger.stream_shards(&name("d"), LEAD).await.unwrap().is_empty());
    assert_eq!(dirty(&bench, 100).await, [row("k", &[(A, 1), (B, 1)])]);
    assert_eq!(bench.ledger.capture(&name("d"), A).await.unwrap(), None, "another place's");
}

#[tokio::test]
async fn a_position_and_the_keys_up_to_it_are_one_fact() {
    let bench = Bench::begun().await;
    bench.append(vec![began("s")]).await;
    bench.refused(vec![read("1", Some("7"), &["k"], 6), moved(A, 0, None, 1)]).await;
    assert!(bench.ledger.stream_shards(&name("d"), LEAD).await.unwrap().is_empty());
    assert!(dirty(&bench, 100).await.is_empty());
}

#[tokio::test]
async fn a_newer_mark_survives_the_handling_of_an_older_one() {
    let bench = Bench::begun().await;
    bench.append(vec![read("1", Some("1"), &["k"], 5)]).await;
    let seen = dirty(&bench, 5).await;
    assert_eq!(seen, [row("k", &[(A, 1), (B, 1)])]);
    // It changes again while it is brought over.
    bench.append(vec![read("1", Some("2"), &["k"], 6)]).await;
    bench.append(vec![handled(A, &[("k", 1)])]).await;
    assert_eq!(dirty(&bench, 6).await, [row("k", &[(A, 2), (B, 2)])]);
    bench.append(vec![handled(A, &[("k", 2)])]).await;
    assert_eq!(dirty(&bench, 6).await, [row("k", &[(B, 2)])], "each place owes it by itself");
    assert_eq!(bench.ledger.owed(&name("d")).await.unwrap(), [Owed { place: B, keys: 1, since: Timestamp(5) }]);
    bench.append(vec![handled(B, &[("k", 2)]), handled(B, &[("other", 1)])]).await;
    assert!(bench.ledger.owed(&name("d")).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_are_paged_in_their_order_and_only_those_that_are_old_enough() {
    let bench = Bench::begun().await;
    let keys: Vec<String> = (0..2500).map(|n| format!("{n:05}")).collect();
    let of = |range: std::ops::Range<usize>| keys[range].iter().map(String::as_str).collect::<Vec<_>>();
    bench.append(vec![read("1", Some("1"), &of(0..2000), 5), read("1", Some("2"), &of(1500..2500), 9)]).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = bench.ledger.dirty(&name("d"), after.as_ref(), Timestamp(8), 300).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 300 && page.iter().all(|row| row.owed.len() == 2));
        after = Some(last.key.clone());
        found.extend(page.into_iter().map(|row| row.key.as_str().to_owned()));
    }
    assert_eq!(found, keys[..2000], "what changed later is not due, what changed again is");
    let owed = bench.ledger.owed(&name("d")).await.unwrap();
    assert_eq!(owed, [A, B].map(|place| Owed { place, keys: 2500, since: Timestamp(5) }));
    let asked = ["00007", "nothing"].map(Key::from).to_vec();
    assert_eq!(bench.ledger.are_dirty(&name("d"), A, asked).await.unwrap(), [Key::from("00007")]);
}

fn dirtied(place: PlaceIndex, at: i64) -> Record {
    record(TableStep::Dirtied { keys: vec![Key::from("k")], owed: vec![place], at: Timestamp(at) })
}

fn begun(stream: &str, ours: bool) -> Record {
    let (place, stream, at) = (LEAD, stream.to_owned(), Timestamp(1));
    record(TableStep::CaptureBegan { place, stream, ours, leads: true, at })
}

/// A key that changes all the time would otherwise look as if nobody had ever handled it.
#[tokio::test]
async fn a_key_that_changes_while_it_is_handled_is_owed_since_then() {
    let bench = Bench::begun().await;
    bench.append(vec![dirtied(A, 10), dirtied(A, 20), dirtied(B, 10), dirtied(B, 20)]).await;
    let keys = vec![(Key::from("k"), 1)];
    bench.append(vec![record(TableStep::Handled { place: A, at: Timestamp(15), keys })]).await;
    let owed = bench.ledger.owed(&name("d")).await.unwrap();
    let since: Vec<_> = owed.iter().map(|owed| (owed.place, owed.keys, owed.since.0)).collect();
    assert_eq!(since, [(A, 1, 15), (B, 1, 10)]);
    let keys = vec![(Key::from("k"), 2)];
    bench.append(vec![record(TableStep::Handled { place: A, at: Timestamp(30), keys })]).await;
    assert_eq!(bench.ledger.owed(&name("d")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_filled_before_a_stream_is_read_is_due_for_comparison_until_it_was_compared() {
    let bench = Bench::begun().await;
    let due = async |bench: &Bench| bench.ledger.uncompared(&name("d")).await.unwrap();
    bench.append(vec![begun("s", true)]).await;
    assert_eq!(due(&bench).await, [], "nothing was filled before");
    bench.append(vec![record(TableStep::BulkPlanned { segments: 2, places: vec![A] })]).await;
    bench.append(vec![record(TableStep::BulkJoined { places: vec![B] })]).await;
    assert_eq!(bench.ledger.segments(&name("d")).await.unwrap().len(), 4);
    bench.append(vec![begun("t", false)]).await;
    assert_eq!(due(&bench).await, [A, B]);
    bench.append(vec![record(TableStep::Compared { place: A })]).await;
    let bench = bench.reopened().await;
    assert_eq!(due(&bench).await, [B]);
    bench.append(vec![dirtied(B, 1), record(TableStep::BulkForgotten { place: B })]).await;
    assert_eq!(due(&bench).await, []);
    assert!(bench.ledger.segments(&name("d")).await.unwrap().iter().all(|row| row.place == A));
    assert_eq!(bench.ledger.owed(&name("d")).await.unwrap(), []);
}

/// What somebody has settled, the old lead owes, because no listing shows that it differs. What a look has found equal,
/// nobody owes.
#[tokio::test]
async fn what_somebody_settles_of_a_table_the_old_lead_owes() {
    let bench = Bench::begun().await;
    let late = |key: &str| Record::at(&name("d"), LEAD, &Key::from(key), Fact::Late { shown: None });
    let settled = |key: Option<&str>, by: Option<&str>| Record::LateSettled {
        dataset: name("d"),
        keys: key.map(|key| vec![Key::from(key)]),
        by: by.map(str::to_owned),
        reason: None,
        at: Timestamp(7),
    };
    let owed = async |bench: &Bench| {
        let rows = bench.ledger.dirty(&name("d"), None, Timestamp(9), 9).await.unwrap();
        rows.into_iter().map(|row| (row.key.as_str().to_owned(), row.owed)).collect::<Vec<_>>()
    };
    bench.append(vec![late("objects"), settled(None, Some("ops"))]).await;
    assert_eq!(owed(&bench).await, [], "what is no table is listed");
    bench.append(vec![planned(1), record(TableStep::LeadMoved { from: LEAD, to: vec![A] })]).await;
    bench.append(vec![late("a"), late("b"), late("c"), late("d"), dirtied(LEAD, 1)]).await;
    bench.append(vec![settled(Some("a"), None), settled(Some("b"), Some("ops")), late("k")]).await;
    assert_eq!(owed(&bench).await, [("b".to_owned(), vec![(LEAD, 1)]), ("k".to_owned(), vec![(LEAD, 1)])]);
    bench.append(vec![settled(None, Some("ops"))]).await;
    let all = ["b", "c", "d"].map(|key| (key.to_owned(), vec![(LEAD, 1)]));
    assert_eq!(owed(&bench).await[..3], all);
    assert_eq!(owed(&bench).await[3..], [("k".to_owned(), vec![(LEAD, 2)])], "a newer mark survives an older one");
}

#[tokio::test]
async fn a_stream_of_ours_that_is_read_anew_stays_ours() {
    let bench = Bench::begun().await;
    let ours = async |bench: &Bench| {
        let capture = bench.ledger.capture(&name("d"), LEAD).await.unwrap().unwrap();
        assert_eq!(capture.broken, None);
        capture.ours
    };
    let broke = || record(TableStep::CaptureBroke { place: LEAD, reason: "trimmed".to_owned() });
    bench.append(vec![begun("s", true), broke(), begun("s", false)]).await;
    assert!(ours(&bench).await);
    bench.append(vec![broke(), begun("another", false)]).await;
    assert!(!ours(&bench).await);
}

/// What the ledger should hold of one table.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    segments: BTreeMap<(u32, PlaceIndex), SegmentRow>,
    capture: Option<CaptureRow>,
    uncompared: BTreeSet<PlaceIndex>,
    shards: BTreeMap<String, StreamShardRow>,
    /// The mark, and since when it is owed.
    dirty: BTreeMap<(Key, PlaceIndex), (u64, Timestamp)>,
    /// What the old lead was given, by digest.
    written_back: BTreeMap<Key, WrittenBack>,
}

impl Model {
    /// Whether the step is legal; if it is not, the model is not to be used any more.
    fn apply(&mut self, step: &TableStep) -> bool {
        match step.clone() {
            TableStep::BulkPlanned { segments, places } => {
                self.dirty.clear();
                self.uncompared.clear();
                self.written_back.clear();
                let (done, items, bytes) = (false, 0, 0);
                let row = |place, segment| SegmentRow { place, segment, after: None, done, items, bytes };
                let all = places.iter().flat_map(|place| (0..segments).map(move |segment| (segment, *place)));
                self.segments = all.map(|(segment, place)| ((segment, place), row(place, segment))).collect();
            }
            TableStep::SegmentMoved { place, segment, after, items, bytes } => {
                let Some(row) = self.segments.get_mut(&(segment, place)).filter(|row| !row.done) else { return false };
                (row.done, row.after) = (after.is_none(), after);
                (row.items, row.bytes) = (row.items + items, row.bytes + bytes);
            }
            TableStep::CaptureBegan { place, stream, ours, leads, at } => {
                if leads {
                    self.uncompared.extend(self.segments.values().map(|row| row.place));
                }
                let known = self.capture.take().is_some_and(|known| known.ours && known.stream == stream);
                self.capture = Some(CaptureRow { place, stream, ours: ours || known, at, broken: None });
                self.shards.clear();
            }
            TableStep::CaptureBroke { reason, .. } => {
                self.capture.iter_mut().for_each(|capture| capture.broken = Some(reason.clone()));
            }
            TableStep::Compared { place } => _ = self.uncompared.remove(&place),
            TableStep::BulkJoined { .. } => unreachable!("no such step is made"),
            TableStep::BulkForgotten { place } => {
                self.segments.retain(|_, row| row.place != place);
                self.dirty.retain(|(_, at), _| *at != place);
                self.uncompared.remove(&place);
            }
            TableStep::CaptureGoesOn { at, .. } => self.capture.iter_mut().for_each(|capture| capture.at = at),
            TableStep::StreamRead { shard, sequence, ended, keys, owed, at, .. } => {
                let known = self.shards.remove(&shard).and_then(|row| row.sequence);
                let row = StreamShardRow { shard: shard.clone(), sequence: sequence.or(known), ended };
                self.shards.insert(shard, row);
                self.mark(&keys, &owed, at);
            }
            TableStep::Dirtied { keys, owed, at } => self.mark(&keys, &owed, at),
            TableStep::MarksCleared { place } => self.dirty.retain(|(_, at), _| *at != place),
            TableStep::ToCompare { place } => _ = self.uncompared.insert(place),
            TableStep::LeadMoved { from, to } => self.move_lead(from, &to),
            TableStep::WritesBack { keys } => self.written_back.extend(keys),
            TableStep::Handled { place, at, keys } => {
                for (key, mark) in keys {
                    self.handle(place, at, key, mark);
                }
            }
        }
        true
    }

    fn handle(&mut self, place: PlaceIndex, at: Timestamp, key: Key, mark: u64) {
        if let Some(known) = self.written_back.get_mut(&key).filter(|_| place == LEAD) {
            known.before = known.after;
        }
        match self.dirty.get_mut(&(key.clone(), place)) {
            Some((now, _)) if *now == mark => _ = self.dirty.remove(&(key, place)),
            Some((now, since)) if *now > mark => *since = at.max(*since),
            _ => {}
        }
    }

    fn move_lead(&mut self, from: PlaceIndex, to: &[PlaceIndex]) {
        self.segments.retain(|_, row| row.place != from && !to[1..].contains(&row.place));
        let rows = std::mem::take(&mut self.segments).into_values();
        let moved = rows.map(|row| if row.place == to[0] { SegmentRow { place: from, ..row } } else { row });
        self.segments = moved.map(|row| ((row.segment, row.place), row)).collect();
        let open: BTreeSet<_> = self.segments.values().filter(|row| !row.done).map(|row| row.place).collect();
        for row in self.segments.values_mut().filter(|row| open.contains(&row.place)) {
            (row.after, row.done, row.items, row.bytes) = (None, false, 0, 0);
        }
        self.uncompared.retain(|place| !to.contains(place));
        self.written_back.clear();
    }

    fn mark(&mut self, keys: &[Key], owed: &[PlaceIndex], at: Timestamp) {
        for key in keys {
            for place in owed {
                self.dirty.entry((key.clone(), *place)).or_insert((0, at)).0 += 1;
            }
        }
    }

    fn rows(&self, until: Timestamp) -> Vec<DirtyRow> {
        let due: BTreeSet<_> =
            self.dirty.iter().filter(|(_, (_, since))| *since <= until).map(|((key, _), _)| key).collect();
        let owed = |key: &Key| {
            let of_key = self.dirty.iter().filter(|((other, _), _)| other == key);
            of_key.map(|((_, place), (mark, _))| (*place, *mark)).collect()
        };
        due.into_iter().map(|key| DirtyRow { key: key.clone(), owed: owed(key) }).collect()
    }

    fn owed(&self) -> Vec<Owed> {
        let of = |place| {
            let since = self.dirty.iter().filter(|((_, at), _)| *at == place).map(|(_, (_, since))| *since);
            let all: Vec<_> = since.collect();
            Some(Owed { place, keys: all.len() as u64, since: *all.iter().min()? })
        };
        [A, B].into_iter().filter_map(of).collect()
    }

    async fn check(&self, ledger: &Ledger, page: usize) {
        let d = name("d");
        assert_eq!(ledger.segments(&d).await.unwrap(), self.segments.values().cloned().collect::<Vec<_>>());
        assert_eq!(ledger.capture(&d, LEAD).await.unwrap(), self.capture);
        assert_eq!(ledger.uncompared(&d).await.unwrap(), self.uncompared.iter().copied().collect::<Vec<_>>());
        let shards = ledger.stream_shards(&d, LEAD).await.unwrap();
        assert_eq!(shards, self.shards.values().cloned().collect::<Vec<_>>());
        assert_eq!(ledger.owed(&d).await.unwrap(), self.owed());
        for place in [LEAD, A, B] {
            let owed = ledger.owed_keys(&d, place, None, usize::MAX).await.unwrap();
            let ours = self.dirty.iter().filter(|((_, at), _)| *at == place);
            assert_eq!(owed, ours.map(|((key, _), (mark, _))| (key.clone(), *mark)).collect::<Vec<_>>());
            if let Some((first, _)) = owed.first() {
                let rest = ledger.owed_keys(&d, place, Some(first), 2).await.unwrap();
                assert_eq!(rest, owed.iter().skip(1).take(2).cloned().collect::<Vec<_>>());
            }
        }
        for key in self.dirty.keys().map(|(key, _)| key).chain(self.written_back.keys()) {
            assert_eq!(ledger.written_back(&d, key).await.unwrap(), self.written_back.get(key).copied());
            for place in [A, B] {
                let is_dirty = !ledger.are_dirty(&d, place, vec![key.clone()]).await.unwrap().is_empty();
                assert_eq!(is_dirty, self.dirty.contains_key(&(key.clone(), place)));
            }
        }
        for until in [2, 5, 9].map(Timestamp) {
            let (mut after, mut found) = (None, Vec::new());
            loop {
                let rows = ledger.dirty(&d, after.as_ref(), until, page).await.unwrap();
                let Some(last) = rows.last() else { break };
                assert!(rows.len() <= page);
                after = Some(last.key.clone());
                found.extend(rows);
            }
            assert_eq!(found, self.rows(until));
        }
    }
}

fn any_step() -> impl Strategy<Value = TableStep> {
    let key = || "[ab\0é]{0,2}".prop_map(|key| Key::from(key.as_str()));
    let keys = || proptest::collection::vec(key(), 0..4);
    let places = || prop_oneof![Just(vec![A]), Just(vec![B]), Just(vec![A, B])];
    let place = || prop_oneof![Just(A), Just(B)];
    let at = || (0_i64..10).prop_map(Timestamp);
    let sequence = || proptest::option::of("[0-9]{1,2}");
    let digest = || proptest::option::of((0_u8..3).prop_map(|byte| Sha256([byte; 32])));
    let back = || (digest(), digest()).prop_map(|(after, before)| WrittenBack { after, before });
    prop_oneof![
        1 => (1_u32..4, places()).prop_map(|(segments, places)| TableStep::BulkPlanned { segments, places }),
        4 => (place(), 0_u32..4, proptest::option::weighted(0.7, key()), 0_u64..9).prop_map(
            |(place, segment, after, items)| TableStep::SegmentMoved { place, segment, after, items, bytes: 7 * items }
        ),
        1 => ("[st]", any::<bool>(), any::<bool>(), at())
            .prop_map(|(stream, ours, leads, at)| TableStep::CaptureBegan { place: LEAD, stream, ours, leads, at }),
        1 => places().prop_map(|to| TableStep::LeadMoved { from: LEAD, to }),
        1 => place().prop_map(|place| TableStep::ToCompare { place }),
        2 => proptest::collection::vec((key(), back()), 0..4).prop_map(|keys| TableStep::WritesBack { keys }),
        1 => Just(TableStep::CaptureBroke { place: LEAD, reason: "trimmed".to_owned() }),
        1 => place().prop_map(|place| TableStep::Compared { place }),
        1 => place().prop_map(|place| TableStep::BulkForgotten { place }),
        1 => place().prop_map(|place| TableStep::MarksCleared { place }),
        1 => at().prop_map(|at| TableStep::CaptureGoesOn { place: LEAD, at }),
        5 => ("[12]", sequence(), any::<bool>(), keys(), places(), at()).prop_map(
            |(shard, sequence, ended, keys, owed, at)| {
                TableStep::StreamRead { place: LEAD, shard, sequence, ended, keys, owed, at }
            }
        ),
        3 => (keys(), places(), at()).prop_map(|(keys, owed, at)| TableStep::Dirtied { keys, owed, at }),
        5 => (place(), at(), proptest::collection::vec((key(), 1_u64..4), 0..6))
            .prop_map(|(place, at, keys)| TableStep::Handled { place, at, keys }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// For any batches, the illegal among them, with reopenings in between, the ledger and maps show the same.
    #[test]
    fn tables_agree_with_maps(
        batches in proptest::collection::vec((proptest::collection::vec(any_step(), 1..8), any::<bool>()), 1..16),
        page in 1_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::begun().await;
            let mut model = Model::default();
            for (steps, reopens) in batches {
                let mut after = model.clone();
                let is_legal = steps.iter().all(|step| after.apply(step));
                let batch = steps.into_iter().map(record).collect();
                if is_legal {
                    bench.append(batch).await;
                    model = after;
                } else {
                    bench.refused(batch).await;
                }
                if reopens {
                    bench = bench.reopened().await;
                }
                model.check(&bench.ledger, page).await;
            }
        });
    }
}
