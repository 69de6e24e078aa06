//! Runs, what was counted for them, and all that is known of one record.

use super::*;
use migrate_core::{
    model::SiteName,
    report::{RequestsAtOnce, RunWork, WhyAtOnce},
};

fn run(id: &str, step: RunStep) -> Record {
    Record::Run(RunRecord { id: id.to_owned(), step })
}

fn began(id: &str, ms: i64) -> Record {
    let (command, by) = ("migrate run plan.toml".to_owned(), "ann@here".to_owned());
    run(id, RunStep::Began { command, by, at: Timestamp(ms) })
}

fn work(copied: u64) -> RunWork {
    RunWork { copied, copied_bytes: Some(copied * 10), deleted: 1, compared: 2 }
}

fn ended(id: &str, copied: u64, ms: i64) -> Record {
    run(id, RunStep::Ended { how: "complete".to_owned(), work: work(copied), at: Timestamp(ms) })
}

#[tokio::test]
async fn a_run_is_kept_from_its_begin_and_one_that_was_killed_has_no_end() {
    let bench = Bench::begun().await;
    assert_eq!(bench.ledger.runs(9).await.unwrap(), []);
    bench.append(vec![began("a", 10)]).await;
    bench.append(vec![run("a", RunStep::Progressed { work: work(3), at: Timestamp(20) })]).await;
    bench.append(vec![ended("a", 5, 30)]).await;
    bench.append(vec![began("b", 40)]).await;
    bench.append(vec![run("b", RunStep::Progressed { work: work(1), at: Timestamp(50) })]).await;
    // It is killed.
    let bench = bench.reopened().await;
    let runs = bench.ledger.runs(9).await.unwrap();
    let told: Vec<_> = runs.iter().map(|run| (run.number, run.id.as_str(), run.work, run.ended.as_deref())).collect();
    assert_eq!(told, [(2, "b", work(1), None), (1, "a", work(5), Some("complete"))]);
    assert_eq!((runs[1].began, runs[1].seen, runs[0].seen), (Timestamp(10), Timestamp(30), Timestamp(50)));
    assert_eq!(bench.ledger.runs(1).await.unwrap().len(), 1);
    assert_eq!(bench.ledger.runs_total().await.unwrap(), 2);
}

#[tokio::test]
async fn a_run_begins_once_and_does_nothing_after_its_end() {
    let bench = Bench::begun().await;
    bench.append(vec![began("a", 10)]).await;
    assert!(bench.refused(vec![began("a", 11)]).await.contains("has begun already"));
    assert!(bench.refused(vec![ended("b", 1, 12)]).await.contains("no run b is under way"));
    bench.append(vec![ended("a", 1, 13)]).await;
    let late = run("a", RunStep::Progressed { work: work(2), at: Timestamp(14) });
    assert!(bench.refused(vec![late]).await.contains("no run a is under way"));
}

#[tokio::test]
async fn the_last_word_on_requests_at_once_is_that_of_the_run_that_said_it() {
    let bench = Bench::begun().await;
    let site = |now| RequestsAtOnce { site: SiteName::new("s").unwrap(), now, most: 512, why: WhyAtOnce::Level };
    let at_once = |id, now, ms| run(id, RunStep::AtOnce { sites: vec![site(now)], at: Timestamp(ms) });
    assert!(bench.refused(vec![at_once("a", 1, 5)]).await.contains("no run a is under way"));
    bench.append(vec![began("a", 10), at_once("a", 16, 20)]).await;
    bench.append(vec![at_once("a", 32, 30)]).await;
    let bench = bench.reopened().await;
    assert_eq!(bench.ledger.at_once("a").await.unwrap(), Some((vec![site(32)], Timestamp(30))));
    bench.append(vec![ended("a", 1, 40), began("b", 50)]).await;
    assert_eq!(bench.ledger.at_once("b").await.unwrap(), None);
    bench.append(vec![at_once("b", 64, 60)]).await;
    assert_eq!(bench.ledger.at_once("a").await.unwrap(), None);
    assert_eq!(bench.ledger.at_once("b").await.unwrap(), Some((vec![site(64)], Timestamp(60))));
}

#[tokio::test]
async fn a_record_is_known_with_all_that_concerns_it_and_nothing_of_others() {
    let bench = Bench::begun().await;
    bench.append(vec![paired("d", 0, "k", 7), paired("d", 1, "k", 7), paired("d", 0, "l", 9)]).await;
    bench.append(vec![waits("d", 0, "k", Open::Damaged), failed("d", 1, "k"), failed("d", 1, "l")]).await;
    let unknown = Fact::Unknown { at: Timestamp(3) };
    let upload = Unclaimed { at: Timestamp(4), before: None, ids: vec!["u".into()] };
    bench.append(vec![at("d", 0, "k", unknown), at("d", 1, "k", Fact::UploadUnclaimed(upload.clone()))]).await;
    let source = token(7, "\"x\"");
    let intent = UploadIntent { source: source.clone(), part_size: 5, at: Timestamp(6), before: None };
    bench.append(vec![at("d", 0, "k", Fact::UploadIntended(intent))]).await;
    bench.append(vec![at("d", 0, "k", Fact::Late { shown: Some(source.clone()) })]).await;

    let known = bench.ledger.known(&name("d"), &"k".into()).await.unwrap();
    let shown: Vec<_> = known.shown.iter().map(|one| (one.place.0, one.written, one.paired.is_some())).collect();
    assert_eq!(shown, [(0, false, false), (1, true, true), (2, true, true)]);
    assert_eq!(known.evidence, pair_of(7).evidence);
    let waiting: Vec<_> = known.waits.iter().map(|one| (one.place.0, one.why, one.reason.as_deref())).collect();
    assert_eq!(waiting, [(1, Open::Damaged, None), (2, Open::Failed, Some("k is \0 odd"))]);
    assert_eq!((known.uploads.len(), known.unknown), (1, vec![(PlaceIndex(1), Timestamp(3))]));
    assert_eq!(known.unclaimed, [(PlaceIndex(2), upload)]);
    assert_eq!(known.late, Some(LateWrite { shown: Some(source), settled: None, by: None, reason: None }));
    assert!(bench.ledger.known(&name("d"), &"nothing".into()).await.unwrap().is_nothing());
    assert!(bench.ledger.known(&name("e"), &"k".into()).await.unwrap().is_nothing());

    let found = bench.ledger.find_key(&name("d"), |key| key.as_str().starts_with('l')).await.unwrap();
    assert_eq!(found, Some("l".into()));
    assert_eq!(bench.ledger.find_key(&name("e"), |_| true).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_counted_holds_until_the_next_pass_begins() {
    let bench = Bench::begun().await;
    let counted = async |bench: &Bench| bench.ledger.counted(&name("d")).await.unwrap();
    assert_eq!(counted(&bench).await, None);
    bench.append(vec![Record::Counted { dataset: name("d"), records: 5, bytes: None }]).await;
    assert_eq!(counted(&bench).await, Some((5, None)));
    bench.append(vec![Record::Counted { dataset: name("d"), records: 6, bytes: Some(60) }]).await;
    assert_eq!(counted(&bench).await, Some((6, Some(60))));
    bench
        .append(vec![Record::ShardsPlanned { dataset: name("d"), shards: vec![(ShardId(1), range(None, None))] }])
        .await;
    assert_eq!(counted(&bench).await, None);
}
