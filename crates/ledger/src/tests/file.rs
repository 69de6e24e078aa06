//! The file: its owner, its shape, its growth, and its view for a person.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn closed() -> (tempfile::TempDir, PathBuf) {
    let bench = Bench::begun().await;
    bench.append((0..2000).map(|i| paired("d", 0, &format!("{i:04}"), 1)).collect()).await;
    let path = bench.path();
    Arc::into_inner(bench.ledger).unwrap().close().await.unwrap();
    (bench.directory, path)
}

/// Both ways to open it must refuse alike.
fn open_both(path: &Path) -> [LedgerError; 2] {
    [Ledger::open(path, &plan()).unwrap_err(), Ledger::open_read_only(path, &plan()).unwrap_err()]
}

#[tokio::test]
async fn only_its_owner_can_read_it() {
    let bench = Bench::begun().await;
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&PathBuf::from(format!("{}{suffix}", bench.path().display()))), 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_newer_file_is_refused_untouched() {
    let (_directory, path) = closed().await;
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::FORMAT + 1).unwrap();
    drop(connection);
    for error in open_both(&path) {
        assert!(matches!(error, LedgerError::Newer { found, known: schema::FORMAT, .. } if found > schema::FORMAT));
    }
}

#[tokio::test]
async fn an_older_file_is_refused_and_says_so() {
    let (_directory, path) = closed().await;
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::FORMAT - 1).unwrap();
    drop(connection);
    for error in open_both(&path) {
        assert!(matches!(error, LedgerError::Older { found, known: schema::FORMAT, .. } if found < schema::FORMAT));
    }
}

#[tokio::test]
async fn every_ledger_has_an_id_of_its_own_and_keeps_it() {
    let (_one, path) = closed().await;
    let (_other, elsewhere) = closed().await;
    let id = async |path: &PathBuf| Ledger::open(path, &PlanName::new("global").unwrap()).unwrap().id().await.unwrap();
    let first = id(&path).await;
    assert_eq!(first.len(), 32);
    assert_eq!(id(&path).await, first);
    assert_ne!(id(&elsewhere).await, first);
}

#[tokio::test]
async fn another_plan_is_refused() {
    let (_directory, path) = closed().await;
    let other = PlanName::new("other").unwrap();
    for error in [Ledger::open(&path, &other).unwrap_err(), Ledger::open_read_only(&path, &other).unwrap_err()] {
        assert!(matches!(&error, LedgerError::OtherPlan { found, .. } if found == "global"), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    std::fs::write(&path, "not a database, but long enough to have a header of a hundred bytes".repeat(9)).unwrap();
    for error in open_both(&path) {
        assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    }
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    for error in open_both(&path) {
        assert!(matches!(&error, LedgerError::Corrupt { detail, .. } if detail.contains("no ledger")), "{error:?}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_directory, path) = closed().await;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(std::fs::metadata(&path).unwrap().len() / 2).unwrap();
    for error in open_both(&path) {
        assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    }
}

/// Damage to the tables that steer the work is found when the ledger is opened.
#[tokio::test]
async fn damaged_tables_are_refused() {
    for table in ["dataset", "count", "record"] {
        let (_directory, path) = closed().await;
        let connection = Connection::open(&path).unwrap();
        let root: u64 = connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
            .unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&path).unwrap();
        let start = usize::try_from((root - 1) * 4096).unwrap();
        bytes[start + 3..start + 64].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        for error in open_both(&path) {
            assert!(matches!(error, LedgerError::Corrupt { .. }), "{table}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_missing_table_is_damage() {
    let (_directory, path) = closed().await;
    Connection::open(&path).unwrap().execute_batch("DROP TABLE part").unwrap();
    for error in open_both(&path) {
        assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    }
}

/// Damage further in shows when it is read, as an error and not as fewer records.
#[tokio::test]
async fn damage_further_in_is_met_when_read() {
    let (_directory, path) = closed().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"1033").unwrap();
    let page = at / 4096 * 4096;
    bytes[page..page + 64].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let ledger = Ledger::open(&path, &plan()).unwrap();
    let error = ledger.held(&name("d"), LEAD, &KeyRange::all(), usize::MAX).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn columns_that_this_tool_never_writes_are_damage() {
    let (_directory, path) = closed().await;
    Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE record SET evidence = x'00' WHERE key = x'30303037'")
        .unwrap();
    let ledger = Ledger::open(&path, &plan()).unwrap();
    let error = ledger.held_at(&name("d"), LEAD, PlaceIndex(1), &"0007".into()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn reading_only_sees_what_the_writer_commits_and_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    assert!(Ledger::open_read_only(&path, &plan()).unwrap().is_none());
    assert!(!path.exists());
    // The state after a crash between creating the file and its tables.
    std::fs::write(&path, "").unwrap();
    assert!(Ledger::open_read_only(&path, &plan()).unwrap().is_none());

    let writer = Ledger::open(&path, &plan()).unwrap();
    let reader = Ledger::open_read_only(&path, &plan()).unwrap().unwrap();
    writer.append(vec![begin("d"), paired("d", 0, "k", 1)]).await.unwrap();
    assert_eq!(keys(&reader, &KeyRange::all(), 9).await.len(), 1);
    let error = reader.append(vec![paired("d", 0, "l", 1)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Other { action: "write", .. }), "{error:?}");
    writer.close().await.unwrap();
    assert_eq!(keys(&reader, &KeyRange::all(), 9).await.len(), 1);
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_missing_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = Ledger::open(&directory.path().join("none/ledger.sqlite"), &plan()).unwrap_err();
    assert!(matches!(error, LedgerError::Other { action: "open", .. }), "{error:?}");
}

/// At most 200 bytes a record beside its key and part list, for records in and out of key order.
#[tokio::test]
async fn records_are_small() {
    const RECORDS: u64 = 20_000;
    // A size (3 bytes here) and a SHA-256.
    const PART_LIST: u64 = 35;
    // A multiplier without common factors with RECORDS visits every key once.
    for step in [1, 7_919] {
        let bench = Bench::begun().await;
        let key = |i: u64| format!("photos/2024/{:08}.jpg", i * step % RECORDS);
        for start in (0..RECORDS).step_by(500) {
            bench.append((start..start + 500).map(|i| paired("d", 0, &key(i), 200_000 + i)).collect()).await;
        }
        let path = bench.path();
        Arc::into_inner(bench.ledger).unwrap().close().await.unwrap();
        let size = std::fs::metadata(path).unwrap().len();
        let each = size / RECORDS - key(0).len() as u64 - PART_LIST;
        assert!(each <= 200, "{each} bytes a record with step {step}");
    }
}

#[tokio::test]
async fn a_person_can_read_it() {
    let bench = Bench::begun().await;
    let shards = Record::ShardsPlanned { dataset: name("d"), shards: vec![(ShardId(1), KeyRange::all())] };
    let moved = Record::CursorMoved {
        shard: ShardId(1),
        place: PlaceIndex(1),
        cursor: Cursor::At("é".into()),
        done: Tally::default(),
    };
    let upload = UploadIntent { source: token(9, "t"), part_size: 5, at: Timestamp(0), before: None };
    let intended = at("d", 0, "u", Fact::UploadIntended(upload));
    let happened = Record::Happened { dataset: name("d"), event: Transition::PassBegun { pass: 1 }, at: Timestamp(0) };
    let unknown = at("d", 0, "w", Fact::Unknown { at: Timestamp(0) });
    bench.append(vec![shards, moved, intended, happened, unknown, paired("d", 0, "é", 1), failed("d", 0, "f")]).await;
    let shell = Connection::open(bench.path()).unwrap();
    let read = |sql: &str| shell.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(read("SELECT key FROM records"), "é");
    assert_eq!(read("SELECT sha256 FROM records"), "07".repeat(32));
    assert_eq!(read("SELECT crc64nvme FROM records"), "fffffffffffffffe");
    assert_eq!(read("SELECT dataset || key || state FROM open_records"), "dffailed");
    assert_eq!(read("SELECT cursor FROM shards"), "é");
    assert_eq!(read("SELECT since FROM uploads"), "1970-01-01 00:00:00");
    assert_eq!(read("SELECT key || since FROM unknown_outcomes"), "w1970-01-01 00:00:00");
    assert!(read("SELECT event FROM events").contains("pass_begun"));
}

#[tokio::test]
async fn a_file_that_is_removed_takes_no_more_and_leaves_its_successor_alone() {
    for replaced in [false, true] {
        let bench = Bench::begun().await;
        let file = |suffix: &str| PathBuf::from(format!("{}{suffix}", bench.path().display()));
        for suffix in ["", "-wal", "-shm"] {
            std::fs::rename(file(suffix), file(&format!("{suffix}.aside"))).unwrap();
        }
        let successor = replaced.then(|| Ledger::open(&bench.path(), &plan()).unwrap());
        if let Some(successor) = &successor {
            successor.append(vec![begin("d")]).await.unwrap();
        }
        for _ in 0..2 {
            let error = bench.ledger.append(vec![paired("d", 0, "k", 1)]).await.unwrap_err();
            assert!(matches!(error, LedgerError::Gone { .. }), "{error:?}");
        }
        let log = file("-wal");
        let Bench { ledger, directory: _kept } = bench;
        let closed = Arc::into_inner(ledger).unwrap().close().await;
        assert!(matches!(closed, Err(LedgerError::Gone { .. })), "closing it says so too: {closed:?}");
        assert_eq!(log.exists(), replaced, "what the successor has committed is in its log");
        if let Some(successor) = successor {
            successor.append(vec![paired("d", 0, "k", 1)]).await.unwrap();
            successor.close().await.unwrap();
        }
    }
}
