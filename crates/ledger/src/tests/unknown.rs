//! Writes of unknown outcome, and processes that did not end cleanly.

use super::*;

fn unknown(dataset: &str, target: u16, key: &str, ms: i64) -> Record {
    at(dataset, target, key, Fact::Unknown { at: Timestamp(ms) })
}

fn began(ms: i64, forget: i64) -> Record {
    Record::DriveBegan { at: Timestamp(ms), forget: Timestamp(forget) }
}

fn found(dataset: &str, count: u64, key: &str, ms: i64) -> Unknown {
    Unknown { dataset: name(dataset), count, key: key.into(), at: Timestamp(ms) }
}

#[tokio::test]
async fn the_youngest_write_of_a_record_at_a_place_is_kept_until_it_is_old() {
    let bench = Bench::begun().await;
    assert_eq!(bench.ledger.unknown(Timestamp(0)).await.unwrap(), []);
    let writes =
        [("d", 0, "k", 5), ("d", 1, "k", 7), ("d", 0, "k", 9), ("d", 0, "k", 8), ("d", 0, "l", 2), ("e", 0, "m", 4)];
    bench.append(writes.map(|(dataset, target, key, ms)| unknown(dataset, target, key, ms)).to_vec()).await;
    let bench = bench.reopened().await;
    let all = bench.ledger.unknown(Timestamp(0)).await.unwrap();
    assert_eq!(all, [found("d", 3, "k", 9), found("e", 1, "m", 4)]);
    assert_eq!(bench.ledger.unknown(Timestamp(7)).await.unwrap(), [found("d", 2, "k", 9)]);
    bench.append(vec![began(100, 7)]).await;
    assert_eq!(bench.ledger.unknown(Timestamp(0)).await.unwrap(), [found("d", 2, "k", 9)], "what is old is forgotten");
}

#[tokio::test]
async fn a_process_that_does_not_end_cleanly_is_cut_off_when_the_next_one_begins() {
    let last = |open, cut_off: Option<i64>| LastDrive { open, cut_off: cut_off.map(Timestamp) };
    let bench = Bench::begun().await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(false, None));
    bench.append(vec![began(10, 0)]).await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(true, None), "it goes on");
    bench.append(vec![Record::DriveEnded]).await;
    bench.append(vec![began(20, 0)]).await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(true, None), "the one before ended cleanly");
    // It is killed.
    let bench = bench.reopened().await;
    bench.append(vec![began(30, 0), Record::DriveEnded]).await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(false, Some(30)));
    bench.append(vec![began(40, 0), Record::DriveEnded]).await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(false, Some(30)), "it is kept, however often others end");
    bench.append(vec![began(50, 0)]).await;
    bench.append(vec![began(60, 0)]).await;
    assert_eq!(bench.ledger.last_drive().await.unwrap(), last(true, Some(60)));
}
