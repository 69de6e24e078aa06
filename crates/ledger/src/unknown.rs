//! Writes whose outcome is not known, and whether the process before ended cleanly.
//!
//! A process that drives the migration says so before it writes anything, and says when it ends that no write is under
//! way. If the second record is missing, nobody knows what it had under way, and the moment at which the next process
//! takes the ledger is kept: from then on nothing of that process is sent any more.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    apply::{Apply, RecordAt},
    code::{KeyColumn, key as blob},
    failure::Failure,
    query::gather,
};
use migrate_core::model::{DatasetName, Key, Timestamp};

/// When the process began that drives the migration, or that did not end cleanly.
const DRIVEN: &str = "driven_since_ms";
/// When a process took the ledger after one that did not end cleanly.
const CUT_OFF: &str = "cut_off_ms";

/// The writes of a dataset whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The dataset's name in the plan.
    pub dataset: DatasetName,
    /// How many records at how many places, counted together.
    pub count: u64,
    /// The record of the youngest.
    pub key: Key,
    /// When the youngest was given up, in milliseconds since 1970 UTC.
    pub at: Timestamp,
}

/// How the processes before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastDrive {
    /// Whether the last one has not ended cleanly: it has crashed, or goes on.
    pub open: bool,
    /// When a process last took the ledger after one that had not ended cleanly.
    pub cut_off: Option<Timestamp>,
}

impl Apply<'_> {
    /// Keeps the youngest write of a record.
    pub(super) fn keep_unknown(&self, at: RecordAt<'_>, since: Timestamp) -> Result<(), Failure> {
        self.run(
            "INSERT INTO unknown (dataset, place, key, at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
            params![at.dataset, at.place.0, blob(at.key), since.0],
        )?;
        Ok(())
    }

    /// A process begins to drive the migration.
    pub(super) fn begin_drive(&self, at: Timestamp, forget: Timestamp) -> Result<(), Failure> {
        if moment(self.connection, DRIVEN)?.is_some() {
            self.note_moment(CUT_OFF, at)?;
        }
        self.note_moment(DRIVEN, at)?;
        self.run("DELETE FROM unknown WHERE at_ms < ?1", [forget.0])?;
        Ok(())
    }

    /// It ends, and no write of it is under way.
    pub(super) fn end_drive(&self) -> Result<(), Failure> {
        self.run("DELETE FROM meta WHERE name = ?1", [DRIVEN])?;
        Ok(())
    }

    fn note_moment(&self, name: &str, at: Timestamp) -> Result<(), Failure> {
        self.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", params![name, at.0.to_string()])?;
        Ok(())
    }
}

fn moment(connection: &Connection, name: &str) -> Result<Option<Timestamp>, Failure> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let text: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
    let read = |text: String| text.parse().map(Timestamp).map_err(|_| Failure::Damaged(format!("{name} is {text:?}")));
    text.map(read).transpose()
}

/// How the processes before have ended.
pub(super) fn last_drive(connection: &Connection) -> Result<LastDrive, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    Ok(LastDrive { open: moment(&snapshot, DRIVEN)?.is_some(), cut_off: moment(&snapshot, CUT_OFF)? })
}

/// The writes that were given up no earlier than `since`, by dataset.
pub(super) fn unknown(connection: &Connection, since: Timestamp) -> Result<Vec<Unknown>, Failure> {
    // SQLite takes the key from the row with the maximum: https://sqlite.org/lang_select.html#bareagg
    let mut statement = connection.prepare_cached(
        "SELECT d.name, count(*), u.key, max(u.at_ms) FROM unknown u JOIN dataset d ON d.id = u.dataset
         WHERE u.at_ms >= ?1 GROUP BY u.dataset ORDER BY d.name",
    )?;
    gather(statement.query([since.0])?, |row| {
        let (name, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let dataset = DatasetName::new(&name).map_err(|_| Failure::Damaged(format!("{name:?} is no dataset")))?;
        let count = u64::try_from(count).unwrap_or(0);
        Ok(Unknown { dataset, count, key: row.get::<_, KeyColumn>(2)?.0, at: Timestamp(row.get(3)?) })
    })
}
