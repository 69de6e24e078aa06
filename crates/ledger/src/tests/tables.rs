//! The copy of a table in the ledger.

use super::*;

const A: PlaceIndex = PlaceIndex(1);
const B: PlaceIndex = PlaceIndex(2);

fn step(step: TableStep) -> Record {
    Record::Table(TableRecord { dataset: name("d"), step })
}

fn dirtied(place: PlaceIndex, at: i64) -> Record {
    step(TableStep::Dirtied { keys: vec![Key::from("k")], owed: vec![place], at: Timestamp(at) })
}

fn began(stream: &str, ours: bool) -> Record {
    let (place, stream, at) = (PlaceIndex::SOURCE, stream.to_owned(), Timestamp(1));
    step(TableStep::CaptureBegan { place, stream, ours, at })
}

/// A key that changes all the time would otherwise look as if nobody had ever handled it.
#[tokio::test]
async fn a_key_that_changes_while_it_is_handled_is_owed_since_then() {
    let bench = Bench::begun().await;
    bench.append(vec![dirtied(A, 10), dirtied(A, 20), dirtied(B, 10), dirtied(B, 20)]).await;
    let keys = vec![(Key::from("k"), 1)];
    bench.append(vec![step(TableStep::Handled { place: A, at: Timestamp(15), keys })]).await;
    let owed = bench.ledger.owed(&name("d")).await.unwrap();
    let since: Vec<_> = owed.iter().map(|owed| (owed.place, owed.keys, owed.since.0)).collect();
    assert_eq!(since, [(A, 1, 15), (B, 1, 10)]);
    let keys = vec![(Key::from("k"), 2)];
    bench.append(vec![step(TableStep::Handled { place: A, at: Timestamp(30), keys })]).await;
    assert_eq!(bench.ledger.owed(&name("d")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_filled_before_a_stream_is_read_is_due_for_comparison_until_it_was_compared() {
    let bench = Bench::begun().await;
    let due = async |bench: &Bench| bench.ledger.uncompared(&name("d")).await.unwrap();
    bench.append(vec![began("s", true)]).await;
    assert_eq!(due(&bench).await, [], "nothing was filled before");
    bench.append(vec![step(TableStep::BulkPlanned { segments: 2, places: vec![A] })]).await;
    bench.append(vec![step(TableStep::BulkJoined { places: vec![B] })]).await;
    assert_eq!(bench.ledger.segments(&name("d")).await.unwrap().len(), 4);
    bench.append(vec![began("t", false)]).await;
    assert_eq!(due(&bench).await, [A, B]);
    bench.append(vec![step(TableStep::Compared { place: A })]).await;
    let bench = bench.reopened().await;
    assert_eq!(due(&bench).await, [B]);
    bench.append(vec![dirtied(B, 1), step(TableStep::BulkForgotten { place: B })]).await;
    assert_eq!(due(&bench).await, []);
    assert!(bench.ledger.segments(&name("d")).await.unwrap().iter().all(|row| row.place == A));
    assert_eq!(bench.ledger.owed(&name("d")).await.unwrap(), []);
}

#[tokio::test]
async fn a_stream_of_ours_that_is_read_anew_stays_ours() {
    let bench = Bench::begun().await;
    let ours = async |bench: &Bench| {
        let capture = bench.ledger.capture(&name("d"), PlaceIndex::SOURCE).await.unwrap().unwrap();
        assert_eq!(capture.broken, None);
        capture.ours
    };
    let broke = || step(TableStep::CaptureBroke { place: PlaceIndex::SOURCE, reason: "trimmed".to_owned() });
    bench.append(vec![began("s", true), broke(), began("s", false)]).await;
    assert!(ours(&bench).await);
    bench.append(vec![broke(), began("another", false)]).await;
    assert!(!ours(&bench).await);
}
