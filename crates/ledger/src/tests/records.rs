//! Every kind of record: what it writes, what it clears, and what is refused.

use super::*;

#[tokio::test]
async fn a_dataset_keeps_its_meaning() {
    let bench = Bench::begun().await;
    bench.append(vec![begin("d")]).await;
    let other = Record::DatasetBegun { dataset: name("d"), meaning: "{\"other\":1}".into() };
    assert!(bench.refused(vec![other]).await.contains("another meaning"));
    let bench = bench.reopened().await;
    assert_eq!(bench.ledger.meaning(&name("d")).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(bench.ledger.meaning(&name("never")).await.unwrap(), None);
}

#[tokio::test]
async fn what_has_not_begun_is_empty_and_takes_no_records() {
    let bench = Bench::new();
    assert!(bench.refused(vec![paired("d", 0, "k", 1)]).await.contains("has not begun"));
    assert_eq!(keys(&bench.ledger, &KeyRange::all(), 9).await, []);
    assert_eq!(bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap(), Counts::default());
    assert_eq!(bench.ledger.events(&name("d")).await.unwrap(), []);
}

#[tokio::test]
async fn events_come_back_in_order_and_illegal_ones_are_refused() {
    let bench = Bench::begun().await;
    let events = [
        Transition::PassBegun { pass: 1 },
        Transition::PassEnded { pass: 1, failed: 0 },
        Transition::Differed {
            level: "checksum".into(),
            differences: 1,
            unreadable: 2,
            strays: 1,
            unlisted: vec![("a".into(), "b".into())],
        },
        Transition::Verified {
            level: "bytes".into(),
            compared: 7,
            decided: Decided { digests: 3, versions: 0, bytes: 4 },
            blind_spots: vec!["tags: waived by the plan".into()],
            waived: vec![Aspects::TAGS.bits(), 0],
            epoch: Epoch(0),
            of: None,
        },
    ];
    // Times need not ascend: clocks jump.
    let happened =
        |at: i64, event: &Transition| Record::Happened { dataset: name("d"), event: event.clone(), at: Timestamp(at) };
    bench.append(vec![happened(9, &events[0]), happened(3, &events[1])]).await;
    bench.append(vec![happened(5, &events[2])]).await;
    bench.append(vec![happened(4, &events[3])]).await;
    assert!(bench.refused(vec![happened(8, &events[1])]).await.contains("not legal"));
    let bench = bench.reopened().await;
    let expected: Vec<_> = events.into_iter().zip([9, 3, 5, 4].map(Timestamp)).collect();
    assert_eq!(bench.ledger.events(&name("d")).await.unwrap(), expected);
    assert_eq!(bench.ledger.events(&name("e")).await.unwrap(), []);
}

#[tokio::test]
async fn pairs_come_back_as_they_were() {
    let bench = Bench::begun().await;
    let pairs = [
        ("", pair_of(0)),
        ("a\0b", Pair { evidence: None, ..pair_of(4) }),
        (
            "é/😀",
            Pair {
                lead: token(9, "in\0ode:7"),
                follower: token(9, ""),
                evidence: None,
                waived: Aspects::TAGS,
                written: false,
            },
        ),
        (
            "parts",
            Pair {
                evidence: Some(Evidence {
                    crc64nvme: 1,
                    parts: vec![(1 << 30, Sha256([1; 32])), (5, Sha256([2; 32]))],
                }),
                ..pair_of((1 << 30) + 5)
            },
        ),
        ("empty", Pair { evidence: Some(Evidence { crc64nvme: 0, parts: vec![] }), ..pair_of(0) }),
    ];
    let record = |(key, pair): &(&str, Pair)| at("d", 3, key, Fact::Paired { lead: LEAD, pair: pair.clone() });
    bench.append(pairs.iter().map(record).collect()).await;
    let bench = bench.reopened().await;
    for (key, pair) in pairs {
        let found = bench.ledger.held_at(&name("d"), LEAD, PlaceIndex(4), &key.into()).await.unwrap();
        assert_eq!(found.and_then(Held::pair), Some(pair), "{key:?}");
    }
    assert_eq!(bench.ledger.held_at(&name("d"), LEAD, PlaceIndex(1), &"".into()).await.unwrap(), None);
    assert_eq!(bench.ledger.held_at(&name("e"), LEAD, PlaceIndex(4), &"".into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_pair_that_contradicts_itself_is_refused() {
    let bench = Bench::begun().await;
    let record = |pair| vec![at("d", 0, "k", Fact::Paired { lead: LEAD, pair })];
    let sizes = Pair { follower: token(6, "t"), ..pair_of(5) };
    assert!(bench.refused(record(sizes)).await.contains("cannot pair 5 bytes with 6 bytes"));
    let evidence = Some(Evidence { crc64nvme: 0, parts: vec![(4, Sha256([0; 32]))] });
    assert!(bench.refused(record(Pair { evidence, ..pair_of(5) })).await.contains("do not add up"));
    assert!(bench.refused(record(pair_of(u64::MAX))).await.contains("more than a ledger can count"));
}

#[tokio::test]
async fn pages_of_pairs_ascend_and_keep_the_targets_of_a_key_together() {
    let bench = Bench::begun().await;
    let mut batch: Vec<_> = ["b", "", "a", "a\0", "é", "B"].iter().map(|key| paired("d", 0, key, 1)).collect();
    batch.extend([paired("d", 2, "a", 1), paired("d", 1, "a", 1), paired("e", 0, "other", 1)]);
    bench.append(batch).await;
    let all = ["", "B", "a", "a", "a", "a\0", "b", "é"];
    let found: Vec<_> = keys(&bench.ledger, &KeyRange::all(), 100).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, all);
    let page = keys(&bench.ledger, &range(Some("B"), None), 1).await;
    assert_eq!(page, [("a".into(), 0), ("a".into(), 1), ("a".into(), 2)]);
    assert_eq!(keys(&bench.ledger, &range(Some(""), Some("B")), 9).await, [("B".into(), 0)]);
    assert_eq!(
        keys(&bench.ledger, &range(Some("a\0"), None), 0).await.len(),
        1,
        "a page is never empty before the end"
    );
    assert_eq!(keys(&bench.ledger, &range(Some("é"), None), 9).await, []);
}

#[tokio::test]
async fn a_record_waits_once_and_a_pair_ends_it() {
    let bench = Bench::begun().await;
    let waiting = async |which| {
        let rows = bench.ledger.open_records(&name("d"), PlaceIndex(2), which, None, 9).await.unwrap();
        rows.into_iter().map(|row| (row.key.as_str().to_owned(), row.reason)).collect::<Vec<_>>()
    };
    bench.append(vec![deferred("d", 1, "b"), deferred("d", 1, "a"), deferred("d", 0, "c")]).await;
    assert_eq!(waiting(Open::Deferred).await, [("a".into(), None), ("b".into(), None)]);
    bench.append(vec![failed("d", 1, "b")]).await;
    assert_eq!(waiting(Open::Deferred).await, [("a".into(), None)]);
    assert_eq!(waiting(Open::Failed).await, [("b".into(), Some("b is \0 odd".into()))]);
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(2)).await.unwrap();
    assert_eq!(counts, Counts { deferred: 1, failed: 1, ..Counts::default() });

    bench.append(vec![paired("d", 1, "b", 3)]).await;
    assert_eq!(waiting(Open::Failed).await, []);
    bench.append(vec![at("d", 1, "a", Fact::Unpaired)]).await;
    assert_eq!(waiting(Open::Deferred).await, []);
    bench.append(vec![failed("d", 1, "z")]).await;
    let settled = at("d", 1, "z", Fact::Settled);
    bench.append(vec![settled.clone(), settled]).await;
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(2)).await.unwrap();
    assert_eq!(counts, Counts { paired: 1, paired_bytes: 3, ..Counts::default() });
}

/// What a record waits for replaces what it waited for before, and each kind is counted. Only a damaged record is
/// not forgotten by a deferral, a failed repair or a deletion that is still to come.
#[tokio::test]
async fn a_record_waits_for_one_thing_of_any_kind() {
    let bench = Bench::begun().await;
    for before in Open::ALL {
        for after in Open::ALL {
            bench.append(vec![waits("d", 0, "k", before), waits("d", 0, "k", after)]).await;
            let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
            let expected = match (before, after) {
                (Open::Damaged, Open::Deferred | Open::Failed) => vec![Open::Damaged],
                (Open::Damaged, Open::Doomed) => vec![Open::Damaged, Open::Doomed],
                _ => vec![after],
            };
            for why in Open::ALL {
                let there = expected.contains(&why);
                assert_eq!(counts.waiting(why), u64::from(there), "{before:?}, then {after:?}");
                let open = bench.ledger.open_records(&name("d"), PlaceIndex(1), why, None, 9).await.unwrap();
                assert_eq!(open.len(), usize::from(there), "{before:?}, then {after:?}");
            }
            bench.append(vec![at("d", 0, "k", Fact::Unpaired)]).await;
        }
    }
    // It is not deleted after all: the source has it again, perhaps the very version that was paired.
    bench.append(vec![waits("d", 0, "k", Open::Damaged), waits("d", 0, "k", Open::Doomed)]).await;
    bench.append(vec![at("d", 0, "k", Fact::Settled)]).await;
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
    assert_eq!((counts.damaged, counts.doomed), (1, 0));
    bench.append(vec![at("d", 0, "k", Fact::Settled)]).await;
    bench.append(vec![waits("d", 0, "k", Open::Damaged)]).await;
    let path = bench.path();
    let view = rusqlite::Connection::open(path).unwrap();
    let state: String = view.query_row("SELECT state FROM open_records", [], |row| row.get(0)).unwrap();
    assert_eq!(state, "damaged");
}

#[tokio::test]
async fn open_records_come_in_pages() {
    let bench = Bench::begun().await;
    bench.append(["d", "b", "a", "c"].iter().map(|key| failed("d", 0, key)).collect()).await;
    let mut after: Option<Key> = None;
    let mut found = Vec::new();
    loop {
        let page = bench.ledger.open_records(&name("d"), PlaceIndex(1), Open::Failed, after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        found.extend(page.into_iter().map(|row| row.key));
    }
    assert_eq!(found, ["a", "b", "c", "d"].map(Key::from));
}

fn planned(shards: &[(u64, Option<&str>, Option<&str>)]) -> Record {
    let shards = shards.iter().map(|(id, after, until)| (ShardId(*id), range(*after, *until))).collect();
    Record::ShardsPlanned { dataset: name("d"), shards }
}

fn moved(shard: u64, target: u16, cursor: Cursor, records: u64) -> Record {
    let done = Tally { records, ..Tally::default() };
    Record::CursorMoved { shard: ShardId(shard), place: PlaceIndex(target + 1), cursor, done }
}

#[tokio::test]
async fn cursors_go_forward_within_their_shard_and_tallies_add_up() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(&[(7, Some("m"), None), (4, None, Some("m"))])]).await;
    bench.append(vec![moved(4, 1, Cursor::At("b".into()), 2), moved(4, 0, Cursor::End, 5)]).await;
    bench.append(vec![moved(4, 1, Cursor::At("b".into()), 1), moved(4, 1, Cursor::At("m".into()), 4)]).await;
    assert!(bench.refused(vec![moved(4, 1, Cursor::At("a".into()), 0)]).await.contains("cannot go back"));
    assert!(bench.refused(vec![moved(4, 0, Cursor::Start, 0)]).await.contains("cannot go back"));
    assert!(bench.refused(vec![moved(4, 1, Cursor::At("n".into()), 0)]).await.contains("does not hold n"));
    assert!(bench.refused(vec![moved(5, 1, Cursor::End, 0)]).await.contains("no shard 5"));

    let bench = bench.reopened().await;
    let tally = |records| Tally { records, ..Tally::default() };
    let places = vec![(PlaceIndex(1), Cursor::End, tally(5)), (PlaceIndex(2), Cursor::At("m".into()), tally(7))];
    let expected = [
        ShardRow { id: ShardId(4), range: range(None, Some("m")), places },
        ShardRow { id: ShardId(7), range: range(Some("m"), None), places: vec![] },
    ];
    assert_eq!(bench.ledger.shards(&name("d")).await.unwrap(), expected);
}

#[tokio::test]
async fn every_number_of_a_tally_comes_back() {
    let bench = Bench::begun().await;
    let done = Tally {
        records: 1,
        bytes: 2,
        same: 3,
        copied: 4,
        copied_bytes: 5,
        deleted: 6,
        extra: 7,
        repeated: 8,
        repeated_bytes: 9,
    };
    let record = Record::CursorMoved { shard: ShardId(1), place: PlaceIndex(1), cursor: Cursor::Start, done };
    bench.append(vec![planned(&[(1, None, None)]), record]).await;
    let shards = bench.ledger.shards(&name("d")).await.unwrap();
    assert_eq!(shards[0].places, [(PlaceIndex(1), Cursor::Start, done)]);
}

#[tokio::test]
async fn a_split_tiles_and_carries_cursors_that_stood_above_it() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(&[(1, Some("b"), Some("x")), (2, None, Some("b")), (3, Some("x"), None)])]).await;
    let below = moved(1, 0, Cursor::At("c".into()), 1);
    bench.append(vec![below, moved(1, 1, Cursor::At("p".into()), 2), moved(1, 2, Cursor::End, 3)]).await;
    let split = |shard, at: &str, new| Record::ShardSplit { shard: ShardId(shard), at: at.into(), new: ShardId(new) };
    for at in ["b", "x", "a", "z"] {
        assert!(bench.refused(vec![split(1, at, 9)]).await.contains("lies not within"), "{at}");
    }
    assert!(bench.refused(vec![split(1, "m", 3)]).await.contains("is there already"));
    bench.append(vec![split(1, "m", 9)]).await;

    let shards = bench.ledger.shards(&name("d")).await.unwrap();
    assert!(migrate_core::shard::tile(shards.iter().map(|shard| &shard.range)));
    assert_eq!(shards.iter().map(|shard| shard.id.0).collect::<Vec<_>>(), [2, 1, 9, 3]);
    let tally = |records| Tally { records, ..Tally::default() };
    let lower = [
        (PlaceIndex(1), Cursor::At("c".into()), tally(1)),
        (PlaceIndex(2), Cursor::End, tally(2)),
        (PlaceIndex(3), Cursor::End, tally(3)),
    ];
    assert_eq!(shards[1].places, lower);
    let upper = [(PlaceIndex(2), Cursor::At("p".into()), tally(0)), (PlaceIndex(3), Cursor::End, tally(0))];
    assert_eq!(shards[2].places, upper);
}

#[tokio::test]
async fn planning_shards_clears_the_last_pass_but_for_what_is_damaged() {
    let bench = Bench::begun().await;
    bench.append(vec![planned(&[(1, None, None)]), moved(1, 0, Cursor::End, 1)]).await;
    bench.append(vec![paired("d", 0, "k", 4), failed("d", 0, "f"), deferred("d", 1, "f"), failed("e", 0, "f")]).await;
    bench.append(vec![waits("d", 0, "doomed", Open::Doomed), waits("d", 0, "damaged", Open::Damaged)]).await;
    for bad in [&[][..], &[(2, None, Some("m"))], &[(2, None, None), (3, None, None)]] {
        assert!(bench.refused(vec![planned(bad)]).await.contains("overlap or leave keys out"));
    }
    bench.append(vec![planned(&[(2, None, None)])]).await;
    let expected = ShardRow { id: ShardId(2), range: KeyRange::all(), places: vec![] };
    assert_eq!(bench.ledger.shards(&name("d")).await.unwrap(), [expected]);
    let counts =
        async |dataset, target: u16| bench.ledger.counts(&name(dataset), PlaceIndex(target + 1)).await.unwrap();
    assert_eq!(counts("d", 0).await, Counts { paired: 1, paired_bytes: 4, damaged: 1, ..Counts::default() });
    assert_eq!(counts("d", 1).await, Counts::default());
    assert_eq!(counts("e", 0).await, Counts { failed: 1, ..Counts::default() });
    let open = bench.ledger.open_records(&name("d"), PlaceIndex(1), Open::Failed, None, 9).await.unwrap();
    assert_eq!(open, []);
}

#[tokio::test]
async fn shard_ids_are_given_once_and_never_again() {
    let bench = Bench::begun().await;
    let next = async |bench: &Bench| bench.ledger.next_shard_id().await.unwrap().0;
    assert_eq!((next(&bench).await, next(&bench).await), (1, 2));
    bench.append(vec![planned(&[(40, None, None)])]).await;
    assert_eq!(next(&bench).await, 41);
    let split = Record::ShardSplit { shard: ShardId(40), at: "m".into(), new: ShardId(50) };
    bench.append(vec![split]).await;
    assert_eq!(next(&bench).await, 51);
    bench.append(vec![planned(&[(3, None, None)])]).await;
    let bench = bench.reopened().await;
    assert_eq!(next(&bench).await, 51, "an id that is gone is not given again");
}

fn intended(key: &str, ms: i64) -> Record {
    let before = (ms == 2).then(|| vec!["old \"1\"".to_owned()]);
    let intent = UploadIntent { source: token(100, "v1"), part_size: 64, at: Timestamp(ms), before };
    at("d", 1, key, Fact::UploadIntended(intent))
}

fn upload_begun(key: &str, id: &str) -> Record {
    at("d", 1, key, Fact::UploadBegun { id: id.into() })
}

fn part(number: u32, tag: &str) -> WrittenPart {
    WrittenPart { number, size: 64, tag: tag.into(), sha256: Sha256([9; 32]), crc64nvme: u64::MAX }
}

fn part_written(key: &str, part: WrittenPart) -> Record {
    at("d", 1, key, Fact::PartWritten(part))
}

#[tokio::test]
async fn uploads_live_from_intent_to_end() {
    let bench = Bench::begun().await;
    let upload = async |key: &str| bench.ledger.upload(&name("d"), PlaceIndex(2), &key.into()).await.unwrap();
    assert!(bench.refused(vec![upload_begun("k", "id")]).await.contains("no upload of k was intended"));
    bench.append(vec![intended("k", 1), intended("j", 2)]).await;
    assert!(bench.refused(vec![part_written("k", part(1, "t"))]).await.contains("has no id yet"));
    assert_eq!(upload("k").await.unwrap().id, None);

    bench
        .append(vec![upload_begun("k", "id\0"), part_written("k", part(2, "b")), part_written("k", part(1, "a"))])
        .await;
    bench.append(vec![upload_begun("k", "id\0"), part_written("k", part(1, "again"))]).await;
    assert!(bench.refused(vec![upload_begun("k", "other")]).await.contains("another id"));
    let row = upload("k").await.unwrap();
    assert_eq!((row.id.as_deref(), row.place, row.intent.at), (Some("id\0"), PlaceIndex(2), Timestamp(1)));
    assert_eq!(row.intent.source, token(100, "v1"));
    assert_eq!(row.parts, [part(1, "again"), part(2, "b")]);
    let all = bench.ledger.uploads(&name("d")).await.unwrap();
    assert_eq!(all.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["j", "k"]);
    assert_eq!(all[1], row);
    assert_eq!(all[0].intent.before, Some(vec!["old \"1\"".to_owned()]));
    assert_eq!(all[1].intent.before, None);

    // A new intent replaces the old one with its parts.
    bench.append(vec![intended("k", 3)]).await;
    let row = upload("k").await.unwrap();
    assert_eq!((row.id, row.parts, row.intent.at), (None, vec![], Timestamp(3)));
    let ended = at("d", 1, "k", Fact::UploadEnded);
    bench.append(vec![ended.clone(), ended]).await;
    assert_eq!(upload("k").await, None);
    assert_eq!(bench.ledger.uploads(&name("d")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_upload_is_idle_while_no_record_waits_to_go_on_with_it() {
    let bench = Bench::begun().await;
    let target = PlaceIndex(2);
    bench.append(vec![intended("a", 1), intended("b", 1), intended("c", 1), intended("d", 1), intended("e", 1)]).await;
    bench
        .append(vec![deferred("d", 1, "a"), waits("d", 1, "c", Open::Damaged), waits("d", 1, "d", Open::Doomed)])
        .await;
    bench.append(vec![failed("d", 1, "e")]).await;
    let idle = bench.ledger.idle_uploads(&name("d"), target).await.unwrap();
    assert_eq!(idle.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    assert!(bench.ledger.idle_uploads(&name("d"), PlaceIndex(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unclaimed_upload_is_kept_until_it_is_gone() {
    let bench = Bench::begun().await;
    let upload = |at, ids: &[&str]| Unclaimed {
        at: Timestamp(at),
        before: (at == 1).then(|| vec!["old".to_owned()]),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let unclaimed = |upload| at("d", 1, "k", Fact::UploadUnclaimed(upload));
    bench
        .append(vec![unclaimed(upload(1, &[])), unclaimed(upload(2, &["x"])), unclaimed(upload(1, &["y", "z"]))])
        .await;
    // A record about the key's own upload does not touch it.
    bench.append(vec![intended("k", 3), at("d", 1, "k", Fact::UploadEnded)]).await;
    let kept = async || bench.ledger.unclaimed(&name("d")).await.unwrap();
    let row = |upload| UnclaimedRow { key: "k".into(), place: PlaceIndex(2), upload };
    assert_eq!(kept().await, [row(upload(1, &["y", "z"])), row(upload(2, &["x"]))]);
    bench.append(vec![at("d", 1, "k", Fact::UploadGone { at: Timestamp(1) })]).await;
    assert_eq!(kept().await, [row(upload(2, &["x"]))]);
}

#[tokio::test]
async fn the_last_probe_of_a_location_counts() {
    let bench = Bench::new();
    let probed = |capabilities: &str, at| Record::Probed {
        location: "s3://a/b".into(),
        capabilities: capabilities.into(),
        at: Timestamp(at),
    };
    bench.append(vec![probed("1", 1), probed("2", 2)]).await;
    assert_eq!(bench.ledger.capabilities("s3://a/b").await.unwrap(), Some(("2".into(), Timestamp(2))));
    assert_eq!(bench.ledger.capabilities("s3://a/").await.unwrap(), None);
}

#[tokio::test]
async fn the_last_directory_that_was_met_at_a_path_counts() {
    let bench = Bench::new();
    let seen = |path: &str, identity: &str| Record::DirectorySeen {
        path: path.into(),
        identity: identity.into(),
        at: Timestamp(1),
    };
    bench.append(vec![seen("/a", "1"), seen("/b", "2"), seen("/a", "3")]).await;
    let directories = bench.ledger.directories().await.unwrap();
    assert_eq!(directories, [("/a".to_owned(), "3".to_owned()), ("/b".to_owned(), "2".to_owned())]);
}

#[tokio::test]
async fn a_request_is_taken_up_or_taken_back() {
    let bench = Bench::new();
    let asked = |id: &str| {
        let request = Request::Withdraw { phase: migrate_core::model::PhaseName::new("p").unwrap() };
        Record::Requested(RequestRow { id: id.into(), by: "me".into(), at: Timestamp(1), request, answer: None })
    };
    let (taken, back) = (
        |id: &str| Record::RequestTaken { id: id.into() },
        |id: &str| Record::RequestTakenBack { id: id.into(), at: Timestamp(2) },
    );
    let done = |id: &str, detail: &str| {
        let answer = Answer { done: true, detail: detail.into() };
        Record::Answered { id: id.into(), answer, at: Timestamp(3) }
    };
    let answer = async |id: &str| bench.ledger.answer_to(id).await.unwrap();
    bench.append(vec![asked("first"), taken("first"), back("first")]).await;
    assert!(bench.ledger.request_taken("first").await.unwrap() && answer("first").await.is_none(), "it is too late");
    // A second answer changes nothing, and is no error.
    bench.append(vec![done("first", "one"), done("first", "two")]).await;
    assert_eq!(answer("first").await.unwrap().detail, "one");
    bench.append(vec![asked("second"), back("second"), taken("second"), done("second", "one")]).await;
    assert!(!bench.ledger.request_taken("second").await.unwrap());
    assert!(!answer("second").await.unwrap().done, "it was taken back first");
    assert_eq!(bench.ledger.open_requests().await.unwrap(), []);
}
