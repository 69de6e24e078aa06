//! Verifications under way.

use migrate_core::{
    model::Counted,
    report::{Difference, DifferenceKind},
};

use super::*;

fn record(step: VerificationStep) -> Record {
    Record::Verification(VerificationRecord { dataset: name("d"), step })
}

fn began() -> Record {
    let shards = vec![(ShardId(1), range(None, Some("m"))), (ShardId(2), range(Some("m"), None))];
    record(VerificationStep::Began { binds: "{}".into(), at: Timestamp(7), shards })
}

fn moved(shard: u64, cursor: Cursor, found: Vec<PartFound>) -> Record {
    record(VerificationStep::Moved { shard: ShardId(shard), cursor, found })
}

fn split(shard: u64, at: &str, new: u64) -> Record {
    record(VerificationStep::Split { shard: ShardId(shard), at: at.into(), new: ShardId(new) })
}

fn found(compared: u64, missing: &[&str]) -> PartFound {
    let of = |key: &&str| {
        let detail = "the target does not have it".to_owned();
        (Difference { key: (*key).into(), kind: DifferenceKind::Missing, detail }, false)
    };
    let counts = Counted { compared, missing: missing.len() as u64, ..Counted::default() };
    PartFound { counts, differences: missing.iter().map(of).collect() }
}

async fn under_way(bench: &Bench) -> Option<VerificationRow> {
    bench.ledger.verification(&name("d")).await.unwrap()
}

#[tokio::test]
async fn a_cursor_and_what_was_found_up_to_it_are_one_fact_that_adds_up() {
    let bench = Bench::begun().await;
    assert_eq!(under_way(&bench).await, None);
    bench.append(vec![began()]).await;
    bench.append(vec![moved(1, Cursor::At("c".into()), vec![found(3, &["b"]), found(3, &[])])]).await;
    bench.append(vec![split(1, "g", 3)]).await;
    bench.append(vec![moved(1, Cursor::End, vec![found(2, &[]), found(2, &["d"])])]).await;
    bench.append(vec![moved(3, Cursor::At("h".into()), vec![found(1, &["h"]), found(1, &[])])]).await;
    let bench = bench.reopened().await;
    let row = under_way(&bench).await.unwrap();
    let shards: Vec<_> = row.shards.iter().map(|shard| (shard.id.0, shard.cursor.clone())).collect();
    assert_eq!(shards, [(1, Cursor::End), (3, Cursor::At("h".into())), (2, Cursor::Start)], "in order of their ranges");
    assert!(migrate_core::shard::tile(row.shards.iter().map(|shard| &shard.range)));
    assert_eq!(row.found, [found(6, &["b", "h"]), found(6, &["d"])]);
    assert_eq!((row.binds.as_str(), row.at), ("{}", Timestamp(7)));
}

#[tokio::test]
async fn a_cursor_of_a_verification_goes_only_forward_and_a_split_lies_above_it() {
    let bench = Bench::begun().await;
    assert!(bench.refused(vec![moved(1, Cursor::End, Vec::new())]).await.contains("under way"));
    bench.append(vec![began(), moved(1, Cursor::At("c".into()), vec![found(3, &["b"])])]).await;
    // What lies before the cursor was counted, so the same cursor is refused too.
    for cursor in [Cursor::Start, Cursor::At("b".into()), Cursor::At("c".into()), Cursor::At("z".into())] {
        assert!(bench.refused(vec![moved(1, cursor, vec![found(1, &[])])]).await.contains("cannot go"));
    }
    assert!(bench.refused(vec![split(1, "b", 3)]).await.contains("is past"));
    assert!(bench.refused(vec![split(1, "m", 3)]).await.contains("not within"));
    assert!(bench.refused(vec![split(1, "g", 2)]).await.contains("already"));
    let gap = vec![(ShardId(1), range(None, Some("m")))];
    let gap = VerificationStep::Began { binds: "{}".into(), at: Timestamp(7), shards: gap };
    assert!(bench.refused(vec![record(gap)]).await.contains("leave keys out"));
    assert_eq!(under_way(&bench).await.unwrap().found, [found(3, &["b"])], "nothing was counted twice");
}

async fn changes(bench: &Bench) -> u64 {
    bench.ledger.changes(&name("d")).await.unwrap()
}

#[tokio::test]
async fn only_what_makes_an_earlier_verification_worthless_is_a_change() {
    let bench = Bench::begun().await;
    let at = |fact| super::at("d", 0, "a", fact);
    let paired = |pair| at(Fact::Paired { lead: LEAD, pair });
    let learned = |pair| at(Fact::Learned { lead: LEAD, pair });
    let happened = |event| Record::Happened { dataset: name("d"), event, at: Timestamp(9) };
    let (begun, ended) = (Transition::PassBegun { pass: 1 }, Transition::PassEnded { pass: 1, failed: 0 });
    bench.append(vec![happened(begun), at(Fact::Waits(Open::Deferred)), at(Fact::Settled), happened(ended)]).await;
    assert_eq!(changes(&bench).await, 0, "a pass that did nothing to any record");
    let version = |source_s, target_s| {
        let token = |tag: &str, at: Option<i64>| Token { size: 1, tag: tag.into(), modified: at.into() };
        let (lead, follower) = (token("s", source_s), token("t", target_s));
        Pair { lead, follower, evidence: None, waived: Aspects::NONE, written: true }
    };
    let untimed = version(None, None);
    bench.append(vec![paired(untimed.clone()), paired(untimed)]).await;
    assert_eq!(changes(&bench).await, 1, "a batch counts once");
    bench.append(vec![learned(version(Some(1), Some(2)))]).await;
    bench.append(vec![learned(version(Some(1), Some(2)))]).await;
    assert_eq!(changes(&bench).await, 1, "a verification that learns times goes on");
    bench.append(vec![learned(version(Some(3), Some(2)))]).await;
    assert_eq!(changes(&bench).await, 2, "a look found another version of equal bytes");
    bench.append(vec![at(Fact::Unpaired)]).await;
    let differed = Transition::Differed {
        level: "listing".into(),
        differences: 1,
        unreadable: 0,
        strays: 0,
        unlisted: Vec::new(),
    };
    bench.append(vec![happened(differed)]).await;
    let bench = bench.reopened().await;
    assert_eq!(changes(&bench).await, 3);
    bench.append(vec![happened(Transition::Aborted)]).await;
    assert_eq!(changes(&bench).await, 4);
    assert!(bench.refused(vec![at(Fact::Unpaired), moved(1, Cursor::End, Vec::new())]).await.contains("under way"));
    bench.append(vec![at(Fact::Settled)]).await;
    assert_eq!(changes(&bench).await, 4, "what was refused changed nothing");
}

#[tokio::test]
async fn a_verification_that_ended_is_forgotten() {
    let bench = Bench::begun().await;
    bench.append(vec![began(), moved(1, Cursor::End, vec![found(3, &["b"])])]).await;
    bench.append(vec![record(VerificationStep::Ended)]).await;
    assert!(under_way(&bench).await.is_none());
    // What it had found does not come back with the next one, nor with one that begins over it.
    for _ in 0..2 {
        bench.append(vec![began()]).await;
        assert!(under_way(&bench).await.unwrap().found.is_empty());
        bench.append(vec![moved(1, Cursor::At("c".into()), vec![found(3, &["b"])])]).await;
    }
}
