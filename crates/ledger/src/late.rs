//! Late writes: records written at the old lead after its last comparison.
//!
//! The new lead lacks them, and only a person can decide what they are worth. Each is kept until a look finds both
//! leads equal, or an operator decides, whose name is kept with it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    apply::{Apply, RecordAt},
    code::{KeyColumn, Tag, TagColumn, key as blob, number},
    failure::Failure,
    query::gather,
};
use migrate_core::model::{DatasetName, Key, PlaceIndex, Timestamp, Token};

/// How many late writes a dataset has, by their outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LateCounts {
    /// Without a decision, and the leads were not found equal.
    pub open: u64,
    /// A look found both leads equal.
    pub equal: u64,
    /// An operator has decided.
    pub resolved: u64,
}

/// An operator's decision about a late write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The operator who decided.
    pub by: String,
    /// Milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// Why, if the operator gave a reason.
    pub reason: Option<String>,
}

/// A late write, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// What the old lead showed; `None` if the record was deleted there.
    pub shown: Option<Token>,
    /// Whether nothing has settled it.
    pub is_open: bool,
}

impl Apply<'_> {
    /// Forgets all late writes of the dataset, because a new look begins.
    pub(super) fn begin_late(&mut self, dataset: &DatasetName) -> Result<(), Failure> {
        let dataset = self.known(dataset)?;
        self.run("DELETE FROM late WHERE dataset = ?1", [dataset])?;
        Ok(())
    }

    /// Keeps a late write. One that was settled is open again only if another version is shown.
    pub(super) fn late(&mut self, at: RecordAt<'_>, shown: Option<&Token>) -> Result<(), Failure> {
        let (size, tag) = (shown.map(|token| number(token.size)).transpose()?, shown.map(|token| Tag(&token.tag)));
        self.run(
            "INSERT INTO late (dataset, key, size, tag, modified_s) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (dataset, key) DO UPDATE SET size = excluded.size, tag = excluded.tag,
                 modified_s = excluded.modified_s, at_ms = NULL, by = NULL, reason = NULL
             WHERE late.size IS NOT excluded.size OR late.tag IS NOT excluded.tag
                 OR late.modified_s <> excluded.modified_s",
            params![at.dataset, blob(at.key), size, tag, shown.and_then(|token| token.modified.at())],
        )?;
        Ok(())
    }

    /// Settles those of `keys` that are open; without `keys`, all open ones. What somebody has settled of a table, the old
    /// lead owes: there is no listing that would show that it differs.
    pub(super) fn settle_late(
        &mut self,
        dataset: &DatasetName,
        keys: Option<&[Key]>,
        by: Option<&str>,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Failure> {
        const SET: &str = "UPDATE late SET by = ?2, reason = ?3, at_ms = ?4 WHERE dataset = ?1 AND at_ms IS NULL";
        const OWED: &str = "INSERT INTO dirty (dataset, key, place, mark, since_ms)
            SELECT dataset, key, ?2, 1, ?3 FROM late WHERE dataset = ?1 AND at_ms IS NULL
                AND EXISTS (SELECT 1 FROM segment WHERE segment.dataset = ?1 AND place = ?2)";
        const NEWER: &str = "ON CONFLICT DO UPDATE SET mark = mark + 1";
        let dataset = self.known(dataset)?;
        let source = PlaceIndex::SOURCE.0;
        let Some(keys) = keys else {
            if by.is_some() {
                self.run(&format!("{OWED} {NEWER}"), params![dataset, source, at.0])?;
            }
            self.run(SET, params![dataset, by, reason, at.0])?;
            return Ok(());
        };
        for key in keys {
            if by.is_some() {
                self.run(&format!("{OWED} AND key = ?4 {NEWER}"), params![dataset, source, at.0, blob(key)])?;
            }
            self.run(&format!("{SET} AND key = ?5"), params![dataset, by, reason, at.0, blob(key)])?;
        }
        Ok(())
    }
}

/// The open late writes, ascending by key, at most `limit`.
pub(super) fn open(
    connection: &Connection,
    dataset: i64,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Key>, Failure> {
    let bound = if after.is_some() { "AND key > ?2" } else { "AND ?2 IS NULL" };
    let sql = format!("SELECT key FROM late WHERE dataset = ?1 AND at_ms IS NULL {bound} ORDER BY key LIMIT ?3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    gather(statement.query(params![dataset, after.map(blob), limit])?, |row| Ok(row.get::<_, KeyColumn>(0)?.0))
}

/// The late write of this key, if there is one.
pub(super) fn find(connection: &Connection, dataset: i64, key: &Key) -> Result<Option<Late>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT size, tag, modified_s, at_ms IS NULL FROM late WHERE dataset = ?1 AND key = ?2")?;
    let found = statement.query_row(params![dataset, blob(key)], |row| {
        let tag = row.get::<_, Option<TagColumn>>(1)?;
        let token = |TagColumn(tag)| {
            Ok::<_, rusqlite::Error>(Token { size: row.get(0)?, tag, modified: row.get::<_, Option<i64>>(2)?.into() })
        };
        Ok(Late { shown: tag.map(token).transpose()?, is_open: row.get(3)? })
    });
    Ok(found.optional()?)
}

/// How many late writes there are.
pub(super) fn counts(connection: &Connection, dataset: i64) -> Result<LateCounts, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE at_ms IS NULL), count(*) FILTER (WHERE at_ms IS NOT NULL AND by IS NULL),
         count(by) FROM late WHERE dataset = ?1",
    )?;
    Ok(statement
        .query_row([dataset], |row| Ok(LateCounts { open: row.get(0)?, equal: row.get(1)?, resolved: row.get(2)? }))?)
}

/// The latest decisions, at most `limit`.
pub(super) fn resolved(connection: &Connection, dataset: i64, limit: usize) -> Result<Vec<Resolved>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, by, at_ms, reason FROM late WHERE dataset = ?1 AND by IS NOT NULL
         ORDER BY at_ms DESC, key LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    gather(statement.query(params![dataset, limit])?, |row| {
        let key = row.get::<_, KeyColumn>(0)?.0;
        Ok(Resolved { key, by: row.get(1)?, at: Timestamp(row.get(2)?), reason: row.get(3)? })
    })
}
