//! The ledger's file: its tables, how it is opened, and how it is checked before it is trusted.
//!
//! # Durability
//!
//! Write-ahead logging with `synchronous=FULL`: the log is synced at every commit. The default for this mode
//! elsewhere, `NORMAL`, may lose the last commits in a power failure
//! (<https://sqlite.org/pragma.html#pragma_synchronous>), and a lost commit would be a written object without its
//! evidence or an upload without any record.
//!
//! # Checks
//!
//! A full check reads every page and takes minutes at tens of millions of rows, so opening does what is cheap at
//! any size: SQLite compares the file's length with its header, the small tables that steer the work (plan,
//! datasets, events, shards, cursors, counts) are checked completely, and the large ones are read at both ends.
//! Damage further in shows when it is read: `cell_size_check` makes SQLite look at every page that it loads.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::failure::Failure;
use crate::error::LedgerError;
use migrate_core::model::PlanName;

/// The only format that this build reads and writes: `user_version` in the file.
pub(super) const FORMAT: i64 = 10;

/// "migr": `application_id` in the file.
const APPLICATION: i64 = 0x6d69_6772;

/// How long to wait for another process that holds the file, for example an operator's shell.
const BUSY: Duration = Duration::from_secs(10);

/// Small integers stand for datasets. In `waiting`, `kind` is the number of the
/// [`Open`](super::Open) variant. The views are for people.
const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- changes: rises with each batch that makes an earlier verification worthless. counted: what the pass under way will see, if
-- something has counted it.
CREATE TABLE dataset (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, meaning TEXT NOT NULL, changes INTEGER NOT NULL DEFAULT 0,
    counted_records INTEGER, counted_bytes INTEGER
) STRICT;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL, at_ms INTEGER NOT NULL, event TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_dataset ON event (dataset, id);
-- AUTOINCREMENT: the id of a shard that is gone is never given again.
CREATE TABLE shard (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dataset INTEGER NOT NULL, after_key BLOB, until_key BLOB
) STRICT;
CREATE INDEX shard_by_dataset ON shard (dataset, after_key);
CREATE TABLE cursor (
    shard INTEGER NOT NULL, place INTEGER NOT NULL, stands INTEGER NOT NULL, key BLOB,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, same INTEGER NOT NULL, copied INTEGER NOT NULL,
    copied_bytes INTEGER NOT NULL, deleted INTEGER NOT NULL, extra INTEGER NOT NULL,
    repeated INTEGER NOT NULL, repeated_bytes INTEGER NOT NULL,
    PRIMARY KEY (shard, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE record (
    dataset INTEGER NOT NULL, key BLOB NOT NULL, content INTEGER NOT NULL, size INTEGER NOT NULL, evidence BLOB,
    holdings BLOB NOT NULL, PRIMARY KEY (dataset, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE waiting (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL,
    reason TEXT, at_ms INTEGER,
    PRIMARY KEY (dataset, place, kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE count (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, paired INTEGER NOT NULL, paired_bytes INTEGER NOT NULL,
    deferred INTEGER NOT NULL, failed INTEGER NOT NULL, doomed INTEGER NOT NULL, damaged INTEGER NOT NULL,
    PRIMARY KEY (dataset, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, id TEXT, size INTEGER NOT NULL,
    source_tag ANY NOT NULL, source_s INTEGER, part_size INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    before TEXT, PRIMARY KEY (dataset, place, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE unclaimed (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, at_ms INTEGER NOT NULL, before TEXT,
    ids TEXT NOT NULL, PRIMARY KEY (dataset, place, key, at_ms)
) STRICT, WITHOUT ROWID;
-- Writes that may still act although they got no answer.
CREATE TABLE unknown (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (dataset, place, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX unknown_by_age ON unknown (at_ms);
CREATE TABLE part (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, number INTEGER NOT NULL,
    size INTEGER NOT NULL, tag ANY NOT NULL, sha256 BLOB NOT NULL, crc64nvme BLOB NOT NULL,
    PRIMARY KEY (dataset, place, key, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE probe (
    location TEXT PRIMARY KEY, capabilities TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Which directory was found at a path: one that is another now, or gone, is not written into.
CREATE TABLE directory (path TEXT PRIMARY KEY, identity TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE approval (
    phase TEXT PRIMARY KEY, binds TEXT NOT NULL, by TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE request (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, by TEXT NOT NULL, at_ms INTEGER NOT NULL,
    request TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0, answer TEXT, answered_ms INTEGER
) STRICT;
CREATE INDEX request_open ON request (number) WHERE answer IS NULL;
CREATE TABLE limit_set (of TEXT NOT NULL, key TEXT NOT NULL, setting TEXT NOT NULL, PRIMARY KEY (of, key))
    STRICT, WITHOUT ROWID;
-- With what the old lead shows, if it shows anything. Settled once at_ms is there: by somebody, or, where by is NULL, by a look that found both leads equal.
CREATE TABLE late (
    dataset INTEGER NOT NULL, key BLOB NOT NULL, size INTEGER, tag ANY, modified_s INTEGER, at_ms INTEGER, by TEXT,
    reason TEXT, PRIMARY KEY (dataset, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX late_open ON late (dataset, key) WHERE at_ms IS NULL;
-- The commands that drove the migration, and what each did. A run without an end is under way, or was killed or crashed.
CREATE TABLE run (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, command TEXT NOT NULL, by TEXT NOT NULL,
    began_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, ended TEXT, copied INTEGER NOT NULL DEFAULT 0,
    copied_bytes INTEGER, deleted INTEGER NOT NULL DEFAULT 0, compared INTEGER NOT NULL DEFAULT 0
) STRICT;
-- Tables: how far each segment is at each place, which streams of changes are read and how far, which places
-- are to be compared because changes were lost, and which keys a place owes. mark: a change counts it up, so that handling an older one does not clear it.
CREATE TABLE segment (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, segment INTEGER NOT NULL, after_key BLOB, done INTEGER NOT NULL,
    items INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (dataset, segment, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE capture (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, stream TEXT NOT NULL, ours INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, broken TEXT, PRIMARY KEY (dataset, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE uncompared (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (dataset, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE stream_shard (
    dataset INTEGER NOT NULL, place INTEGER NOT NULL, shard TEXT NOT NULL, sequence TEXT, ended INTEGER NOT NULL,
    PRIMARY KEY (dataset, place, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE dirty (
    dataset INTEGER NOT NULL, key BLOB NOT NULL, place INTEGER NOT NULL, mark INTEGER NOT NULL,
    since_ms INTEGER NOT NULL, PRIMARY KEY (dataset, key, place)
) STRICT, WITHOUT ROWID;
-- What the old lead was last given of a key after the lead had moved, and what it held before: digests of items, NULL for none.
CREATE TABLE written_back (
    dataset INTEGER NOT NULL, key BLOB NOT NULL, after BLOB, before BLOB, PRIMARY KEY (dataset, key)
) STRICT, WITHOUT ROWID;
-- A verification under way.
CREATE TABLE verification (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dataset INTEGER NOT NULL UNIQUE, binds TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE verified_shard (
    verification INTEGER NOT NULL, shard INTEGER NOT NULL, after_key BLOB, until_key BLOB, stands INTEGER NOT NULL,
    key BLOB, PRIMARY KEY (verification, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE verified_count (
    verification INTEGER NOT NULL, follower INTEGER NOT NULL, compared INTEGER NOT NULL, missing INTEGER NOT NULL,
    extra INTEGER NOT NULL, different INTEGER NOT NULL, unreadable INTEGER NOT NULL, unstable INTEGER NOT NULL,
    undecided INTEGER NOT NULL, digests INTEGER NOT NULL, versions INTEGER NOT NULL, bytes INTEGER NOT NULL,
    stale INTEGER NOT NULL, strays INTEGER NOT NULL, PRIMARY KEY (verification, follower)
) STRICT, WITHOUT ROWID;
CREATE TABLE verified_difference (
    verification INTEGER NOT NULL, follower INTEGER NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL,
    detail TEXT NOT NULL, kept INTEGER NOT NULL, PRIMARY KEY (verification, follower, key)
) STRICT, WITHOUT ROWID;

CREATE VIEW records AS SELECT d.name AS dataset, CAST(key AS TEXT) AS key, size,
    lower(hex(substr(evidence, 1, 8))) AS crc64nvme,
    iif(length(evidence) BETWEEN 41 AND 50, lower(hex(substr(evidence, 9, 32))), NULL) AS sha256
    FROM record JOIN dataset d ON d.id = record.dataset;
CREATE VIEW open_records AS SELECT d.name AS dataset, place, CAST(key AS TEXT) AS key,
    CASE kind WHEN 0 THEN 'deferred' WHEN 1 THEN 'failed' WHEN 2 THEN 'doomed' ELSE 'damaged' END AS state, reason, datetime(at_ms / 1000, 'unixepoch') AS at
    FROM waiting JOIN dataset d ON d.id = waiting.dataset;
CREATE VIEW late_writes AS SELECT d.name AS dataset, CAST(key AS TEXT) AS key,
    CASE WHEN at_ms IS NULL THEN 'open' WHEN by IS NULL THEN 'equal' ELSE 'resolved' END AS state, by, reason,
    datetime(at_ms / 1000, 'unixepoch') AS at
    FROM late JOIN dataset d ON d.id = late.dataset;
CREATE VIEW shards AS SELECT d.name AS dataset, s.id AS shard, CAST(after_key AS TEXT) AS after,
    CAST(until_key AS TEXT) AS until, place,
    iif(stands = 2, 'end', CAST(key AS TEXT)) AS cursor, records, bytes, same, copied, deleted
    FROM shard s JOIN dataset d ON d.id = s.dataset LEFT JOIN cursor c ON c.shard = s.id;
CREATE VIEW uploads AS SELECT d.name AS dataset, place, CAST(key AS TEXT) AS key, u.id AS upload, size, part_size,
    datetime(at_ms / 1000, 'unixepoch') AS since,
    (SELECT count(*) FROM part p WHERE p.dataset = u.dataset AND p.place = u.place AND p.key = u.key) AS parts
    FROM upload u JOIN dataset d ON d.id = u.dataset;
CREATE VIEW unclaimed_uploads AS SELECT d.name AS dataset, place, CAST(key AS TEXT) AS key,
    datetime(at_ms / 1000, 'unixepoch') AS asked_for, ids
    FROM unclaimed u JOIN dataset d ON d.id = u.dataset;
CREATE VIEW unknown_outcomes AS SELECT d.name AS dataset, place, CAST(key AS TEXT) AS key,
    datetime(at_ms / 1000, 'unixepoch') AS since
    FROM unknown u JOIN dataset d ON d.id = u.dataset;
CREATE VIEW changed_keys AS SELECT d.name AS dataset, place, CAST(key AS TEXT) AS key,
    datetime(since_ms / 1000, 'unixepoch') AS since
    FROM dirty JOIN dataset d ON d.id = dirty.dataset;
CREATE VIEW segments AS SELECT d.name AS dataset, place, segment, CAST(after_key AS TEXT) AS after, done, items, bytes
    FROM segment s JOIN dataset d ON d.id = s.dataset;
CREATE VIEW runs AS SELECT number, id, command, by, datetime(began_ms / 1000, 'unixepoch') AS began,
    iif(ended IS NULL, NULL, datetime(seen_ms / 1000, 'unixepoch')) AS ended_at, coalesce(ended, 'unended') AS ended,
    copied, copied_bytes, deleted, compared FROM run;
CREATE VIEW events AS SELECT d.name AS dataset, datetime(at_ms / 1000, 'unixepoch') AS at, event
    FROM event JOIN dataset d ON d.id = event.dataset;
";

/// Tables that are checked completely, and tables that are read at both ends.
const SMALL: [&str; 19] = [
    "meta",
    "dataset",
    "event",
    "shard",
    "cursor",
    "count",
    "probe",
    "directory",
    "approval",
    "request",
    "limit_set",
    "run",
    "segment",
    "capture",
    "uncompared",
    "stream_shard",
    "verification",
    "verified_shard",
    "verified_count",
];
const LARGE: [(&str, &str); 10] = [
    ("record", "dataset {0}, key {0}"),
    ("waiting", "dataset {0}, place {0}, kind {0}, key {0}"),
    ("upload", "dataset {0}, place {0}, key {0}"),
    ("part", "dataset {0}, place {0}, key {0}, number {0}"),
    ("unknown", "dataset {0}, place {0}, key {0}"),
    ("unclaimed", "dataset {0}, place {0}, key {0}, at_ms {0}"),
    ("late", "dataset {0}, key {0}"),
    ("dirty", "dataset {0}, key {0}, place {0}"),
    ("written_back", "dataset {0}, key {0}"),
    ("verified_difference", "verification {0}, follower {0}, key {0}"),
];

/// How a connection may use the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads and writes.
    Write,
    /// Reads, beside a process that may write.
    Read,
    /// Reads a file that no process can be writing: no lock, no file beside it.
    Immutable,
}

/// The content of a file before it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Ledger,
}

/// Makes the file if it is missing, readable by its owner only: it contains keys, and keys can be private. SQLite
/// gives the files beside it the same mode.
pub(super) fn create_file(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a connection to an existing file.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, Failure> {
    // This build of SQLite takes any name that begins with "file:" as a URI; an absolute path never does.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = match access {
        Access::Write => {
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
        Access::Read => {
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
        Access::Immutable => Connection::open_with_flags(
            immutable_uri(&path),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI,
        ),
    }?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// <https://sqlite.org/uri.html>
fn immutable_uri(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};

    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            write!(uri, "%{byte:02x}").expect("a String takes any text");
        }
    }
    uri + "?immutable=1"
}

/// Prepares the writing connection: makes the tables if the file is empty, then checks it.
pub(super) fn prepare(connection: &mut Connection, path: &Path, plan: &PlanName) -> Result<(), LedgerError> {
    let failed = |failure: Failure| failure.into_error(path, "open");
    // Looks before it changes anything: the file may belong to another program.
    look(connection, path)?;
    configure(connection).map_err(failed)?;
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(|error| failed(error.into()))?;
    // Looks again, now that no other process can be making the tables.
    if look(&transaction, path)? == Found::Nothing {
        create(&transaction, plan).map_err(failed)?;
    }
    transaction.commit().map_err(|error| failed(error.into()))?;
    check(connection, path, plan)
}

/// Checks a ledger that is only read; `false` if the file is still empty.
pub(super) fn inspect(connection: &Connection, path: &Path, plan: &PlanName) -> Result<bool, LedgerError> {
    match look(connection, path)? {
        Found::Nothing => Ok(false),
        Found::Ledger => check(connection, path, plan).map(|()| true),
    }
}

fn configure(connection: &Connection) -> Result<(), Failure> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Failure::Illegal(format!("its file system allows no write-ahead log, only {mode}")));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         -- On macOS a plain fsync does not reach the platter; elsewhere these two change nothing.
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA cache_size = -1024;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(())
}

fn look(connection: &Connection, path: &Path) -> Result<Found, LedgerError> {
    let read = || -> Result<(i64, i64, i64), Failure> {
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
        Ok((one("PRAGMA application_id")?, one("PRAGMA user_version")?, one("SELECT count(*) FROM sqlite_schema")?))
    };
    match read().map_err(|failure| failure.into_error(path, "open"))? {
        (0, 0, 0) => Ok(Found::Nothing),
        (APPLICATION, FORMAT, _) => Ok(Found::Ledger),
        (APPLICATION, found, _) if found > FORMAT => {
            Err(LedgerError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        (APPLICATION, found, _) if found > 0 => Err(LedgerError::Older { path: path.to_owned(), found, known: FORMAT }),
        _ => Err(Failure::Damaged("it is no ledger of this tool".into()).into_error(path, "open")),
    }
}

fn create(connection: &Connection, plan: &PlanName) -> Result<(), Failure> {
    connection.execute_batch(TABLES)?;
    connection.execute("INSERT INTO meta (name, value) VALUES ('plan', ?1)", [plan.as_str()])?;
    // Distinguishes this ledger from every other one, even an earlier one of the same plan.
    connection.execute("INSERT INTO meta (name, value) VALUES ('id', lower(hex(randomblob(16))))", [])?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

fn check(connection: &Connection, path: &Path, plan: &PlanName) -> Result<(), LedgerError> {
    let found = read_through(connection).map_err(|failure| match failure.into_error(path, "open") {
        // A missing table or column is damage, whatever SQLite calls it.
        LedgerError::Other { path, source, .. } if source.to_string().contains("no such") => {
            LedgerError::Corrupt { path, detail: source.to_string() }
        }
        error => error,
    })?;
    match found {
        Some(found) if found == plan.as_str() => Ok(()),
        Some(found) => Err(LedgerError::OtherPlan { path: path.to_owned(), found }),
        None => Err(Failure::Damaged("it does not say which plan it belongs to".into()).into_error(path, "open")),
    }
}

/// Does the checks of the module header; returns the plan's name, if the file holds one.
fn read_through(connection: &Connection) -> Result<Option<String>, Failure> {
    for table in SMALL {
        let verdict: String = connection.query_row(&format!("PRAGMA quick_check('{table}')"), [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Failure::Damaged(verdict));
        }
    }
    for (table, order) in LARGE {
        for direction in ["ASC", "DESC"] {
            let order = order.replace("{0}", direction);
            connection
                .query_row(&format!("SELECT * FROM {table} ORDER BY {order} LIMIT 1"), [], |_| Ok(()))
                .optional()?;
        }
    }
    let plan = connection.query_row("SELECT value FROM meta WHERE name = 'plan'", [], |row| row.get(0));
    Ok(plan.optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_immutable_file_is_read_without_a_file_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("odd name?#%é.sqlite");
        let plan = PlanName::new("p").unwrap();
        create_file(&path).unwrap();
        let mut connection = connect(&path, Access::Write).unwrap();
        prepare(&mut connection, &path, &plan).unwrap();
        drop(connection);
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files(), 1);
        let connection = connect(&path, Access::Immutable).unwrap();
        assert!(inspect(&connection, &path, &plan).unwrap());
        assert_eq!(files(), 1);
    }

    /// Ranges of keys, waiting records and a dataset's events are read by index, without sorting.
    #[test]
    fn queries_are_index_scans() {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection, &PlanName::new("p").unwrap()).unwrap();
        for sql in [
            "SELECT size FROM record WHERE dataset = 1 AND key > x'00' AND key <= x'ff' ORDER BY key",
            "SELECT key FROM waiting WHERE dataset = 1 AND place = 0 AND kind = 1 AND key > x'00' ORDER BY key",
            "SELECT key FROM late WHERE dataset = 1 AND at_ms IS NULL AND key > x'00' ORDER BY key",
            "SELECT key FROM unknown WHERE at_ms >= 5",
            "SELECT event FROM event WHERE dataset = 1 ORDER BY id",
            "SELECT id FROM shard WHERE dataset = 1 ORDER BY after_key",
        ] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
            for step in steps {
                let step = step.unwrap();
                assert!(step.starts_with("SEARCH"), "{sql}: {step}");
            }
        }
    }
}
