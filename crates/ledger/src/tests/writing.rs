//! Atomicity, order, crashes, full disks and other processes.

use std::sync::Mutex;

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    let bench = Bench::begun().await;
    bench.append(vec![paired("d", 0, "before", 1)]).await;
    let illegal = paired("never", 0, "k", 1);
    bench.refused(vec![paired("d", 0, "a", 5), failed("d", 0, "b"), illegal]).await;
    assert_eq!(keys(&bench.ledger, &KeyRange::all(), 9).await, [("before".into(), 0)]);
    // The rollback also reached the writer's memory.
    bench.append(vec![paired("d", 0, "after", 2)]).await;
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
    assert_eq!(counts, Counts { paired: 2, paired_bytes: 3, ..Counts::default() });
}

/// Batches that share a commit with an illegal one are still written.
#[tokio::test(flavor = "multi_thread")]
async fn an_illegal_batch_fails_alone() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (gate, commits) = (Mutex::new(gate), Arc::new(Mutex::new(0)));
    let seen = Arc::clone(&commits);
    let hook: CommitHook = Arc::new(move |number| {
        *seen.lock().unwrap() = number;
        if number == 2 {
            // Waits until the batches behind this commit have queued up.
            gate.lock().unwrap().recv().unwrap();
        }
        CommitFate::Go
    });
    let bench = Bench::with(Options { on_commit: Some(hook), ..Options::default() });
    bench.append(vec![begin("d")]).await;
    let spawn = |batch| {
        let ledger = Arc::clone(&bench.ledger);
        tokio::spawn(async move { ledger.append(batch).await.is_ok() })
    };
    let first = spawn(vec![paired("d", 0, "first", 1)]);
    while *commits.lock().unwrap() < 2 {
        tokio::task::yield_now().await;
    }
    let mut batches: Vec<_> = (0..20).map(|i| spawn(vec![paired("d", 0, &format!("{i:02}"), 1)])).collect();
    batches.insert(10, spawn(vec![paired("d", 0, "lost", 1), paired("never", 0, "k", 1)]));
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    assert!(first.await.unwrap());
    for (i, batch) in batches.into_iter().enumerate() {
        assert_eq!(batch.await.unwrap(), i != 10);
    }
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
    assert_eq!((counts.paired, counts.paired_bytes), (21, 21));
    assert_eq!(bench.ledger.held_at(&name("d"), LEAD, PlaceIndex(1), &"lost".into()).await.unwrap(), None);
}

/// Fewer than tokio's budget of 128 steps, past which a task yields and its appends change places.
#[tokio::test]
async fn appends_take_effect_in_the_order_of_their_first_poll() {
    let bench = Bench::begun().await;
    let appends = (1..=50).map(|size| bench.ledger.append(vec![paired("d", 0, "k", size)]));
    let outcomes = futures::future::join_all(appends).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    let held = bench.ledger.held_at(&name("d"), LEAD, PlaceIndex(1), &"k".into()).await.unwrap();
    assert_eq!(held.and_then(Held::pair), Some(pair_of(50)));
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
    assert_eq!(counts, Counts { paired: 1, paired_bytes: 50, ..Counts::default() });
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let bench = Bench::begun().await;
    for i in 0..50 {
        bench.append(vec![paired("d", 0, &format!("{i:02}"), 1)]).await;
        let copy = bench.directory.path().join(format!("crash-{i}.sqlite"));
        crash_copy(&bench.path(), &copy);
        let survivor = Ledger::open(&copy, &plan()).unwrap();
        assert_eq!(keys(&survivor, &KeyRange::all(), 99).await.len(), i + 1);
    }
}

#[tokio::test]
async fn a_dropped_ledger_opens_again() {
    let bench = Bench::begun().await;
    bench.append(vec![paired("d", 0, "k", 1)]).await;
    let path = bench.path();
    drop(bench.ledger);
    let again = Ledger::open(&path, &plan()).unwrap();
    assert_eq!(keys(&again, &KeyRange::all(), 9).await.len(), 1);
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let bench = Bench::begun().await;
    bench.append(vec![paired("d", 0, "k", 1)]).await;
    Arc::into_inner(bench.ledger).unwrap().close().await.unwrap();
    let files: Vec<_> =
        std::fs::read_dir(bench.directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["ledger.sqlite"]);
}

/// A full disk loses nothing that was acknowledged, and the ledger goes on once there is room.
#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let bench = Bench::with(Options { pages_max: Some(100), ..Options::default() });
    bench.append(vec![begin("d")]).await;
    let batch = |from: usize| (from..from + 100).map(|i| paired("d", 0, &format!("{i:06}"), 1)).collect::<Vec<_>>();
    let mut acknowledged = 0;
    let error = loop {
        match bench.ledger.append(batch(acknowledged)).await {
            Ok(()) => acknowledged += 100,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "100 pages held {acknowledged} records");
    };
    assert!(matches!(&error, LedgerError::Full { path } if *path == bench.path()), "{error:?}");
    assert!(acknowledged >= 100);
    let counts = bench.ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
    assert_eq!(usize::try_from(counts.paired).unwrap(), acknowledged);
    assert_eq!(keys(&bench.ledger, &KeyRange::all(), usize::MAX).await.len(), acknowledged);

    let bench = bench.reopened().await;
    bench.append(batch(acknowledged)).await;
    assert_eq!(keys(&bench.ledger, &KeyRange::all(), usize::MAX).await.len(), acknowledged + 100);
}

#[tokio::test]
async fn a_ledger_can_be_stopped_at_any_commit() {
    for (fate, survives) in [(CommitFate::FailBefore, 0), (CommitFate::FailAfter, 1)] {
        let hook: CommitHook = Arc::new(move |number| if number == 2 { fate } else { CommitFate::Go });
        let bench = Bench::with(Options { on_commit: Some(hook), ..Options::default() });
        bench.append(vec![begin("d")]).await;
        assert!(bench.refused(vec![paired("d", 0, "k", 1)]).await.contains("stopped at a commit"));
        assert!(bench.refused(vec![paired("d", 0, "later", 1)]).await.contains("stopped at a commit"));
        let path = bench.path();
        drop(bench.ledger);
        let again = Ledger::open(&path, &plan()).unwrap();
        assert_eq!(keys(&again, &KeyRange::all(), 9).await.len(), survives, "{fate:?}");
    }
}

/// The process lock is another room's task. If two processes write in spite of it, neither hangs and the counts hold.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_take_turns() {
    let bench = Bench::begun().await;
    let second = Ledger::open(&bench.path(), &plan()).unwrap();
    for i in 0..20 {
        let (mine, theirs) = (paired("d", 0, &format!("a{i}"), 1), paired("d", 0, &format!("b{i}"), 1));
        let (first, second) = tokio::join!(bench.ledger.append(vec![mine]), second.append(vec![theirs]));
        first.unwrap();
        second.unwrap();
    }
    for ledger in [&bench.ledger, &second] {
        let counts = ledger.counts(&name("d"), PlaceIndex(1)).await.unwrap();
        assert_eq!((counts.paired, counts.paired_bytes), (40, 40));
    }
}

/// An operator's open transaction in another program does not delay reading.
#[tokio::test]
async fn a_reader_elsewhere_blocks_nothing() {
    let bench = Bench::begun().await;
    let shell = Connection::open(bench.path()).unwrap();
    shell.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    bench.append(vec![paired("d", 0, "k", 1)]).await;
    let seen: i64 = shell.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    assert_eq!(seen, 0, "it keeps its snapshot");
    Arc::into_inner(bench.ledger).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn an_abandoned_append_is_written_all_the_same() {
    let bench = Bench::begun().await;
    {
        let append = bench.ledger.append(vec![paired("d", 0, "k", 1)]);
        futures::pin_mut!(append);
        assert!(futures::poll!(append.as_mut()).is_pending());
    }
    bench.append(vec![paired("d", 0, "l", 1)]).await;
    assert_eq!(keys(&bench.ledger, &KeyRange::all(), 9).await.len(), 2);
}
