//! All that is known of one record, for a person who asks about it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    code::{KeyColumn, TagColumn, key as blob},
    failure::Failure,
    holdings::Shown,
    query::{self, Uploads, gather},
    rows::{Open, Unclaimed, UploadRow},
};
use migrate_core::model::{Evidence, Key, PlaceIndex, Timestamp, Token};

/// All that a ledger knows of one record of a dataset. Of a table it keeps no record by record: only what is owed,
/// late or given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// What the places show, ascending by place, by the last look at each.
    pub shown: Vec<Shown>,
    /// What was read and proved of the content that was copied last.
    pub evidence: Option<Evidence>,
    /// What it waits for, ascending by place.
    pub waits: Vec<Waits>,
    /// Its uploads under way, ascending by place.
    pub uploads: Vec<UploadRow>,
    /// Its uploads that were requested and never named, ascending by place.
    pub unclaimed: Vec<(PlaceIndex, Unclaimed)>,
    /// The places at which a write got no answer and may still act, and when each was given up.
    pub unknown: Vec<(PlaceIndex, Timestamp)>,
    /// The write at the old lead that came too late, if there was one.
    pub late: Option<LateWrite>,
    /// The places that owe it, and since when: its item of a table has changed.
    pub owed: Vec<(PlaceIndex, Timestamp)>,
}

/// What a record waits for at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// The place.
    pub place: PlaceIndex,
    /// What it waits for.
    pub why: Open,
    /// Why it could not be copied, if it was tried.
    pub reason: Option<String>,
    /// When that was, in milliseconds since 1970 UTC.
    pub at: Option<Timestamp>,
}

/// A late write with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateWrite {
    /// What the old lead showed; `None` if the record was deleted there, or is an item of a table.
    pub shown: Option<Token>,
    /// When it was settled, in milliseconds since 1970 UTC; `None` while it is open.
    pub settled: Option<Timestamp>,
    /// The operator who settled it; `None` if a look found both leads equal.
    pub by: Option<String>,
    /// Why, if the operator gave a reason.
    pub reason: Option<String>,
}

impl Known {
    /// Whether the ledger knows nothing of the record.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// All that is known of one record.
pub(super) fn known(connection: &Connection, dataset: i64, key: &Key) -> Result<Known, Failure> {
    // In a snapshot of their own: parts come and go while a copy is under way.
    let mut uploads = Vec::new();
    for place in places_of(connection, "SELECT place FROM upload WHERE dataset = ?1 AND key = ?2", dataset, key)? {
        uploads.extend(query::uploads(connection, dataset, Uploads::One(place, key))?);
    }
    let snapshot = connection.unchecked_transaction()?;
    let holdings = query::holdings(&snapshot, dataset, key)?.unwrap_or_default();
    Ok(Known {
        shown: holdings.shown().collect(),
        evidence: holdings.evidence.clone(),
        waits: waits(&snapshot, dataset, key)?,
        uploads,
        unclaimed: unclaimed(&snapshot, dataset, key)?,
        unknown: moments(&snapshot, "SELECT place, at_ms FROM unknown", dataset, key)?,
        late: late(&snapshot, dataset, key)?,
        owed: moments(&snapshot, "SELECT place, since_ms FROM dirty", dataset, key)?,
    })
}

fn places_of(connection: &Connection, sql: &str, dataset: i64, key: &Key) -> Result<Vec<PlaceIndex>, Failure> {
    let mut statement = connection.prepare_cached(&format!("{sql} ORDER BY place"))?;
    gather(statement.query(params![dataset, blob(key)])?, |row| Ok(PlaceIndex(row.get(0)?)))
}

fn waits(connection: &Connection, dataset: i64, key: &Key) -> Result<Vec<Waits>, Failure> {
    // By index, a kind and place at a time: the table has an entry for each record that waits.
    let mut statement = connection.prepare_cached("SELECT place FROM count WHERE dataset = ?1 ORDER BY place")?;
    let places = gather(statement.query([dataset])?, |row| Ok(PlaceIndex(row.get(0)?)))?;
    let mut statement = connection.prepare_cached(
        "SELECT reason, at_ms FROM waiting WHERE dataset = ?1 AND place = ?2 AND kind = ?3 AND key = ?4",
    )?;
    let mut found = Vec::new();
    for (place, why) in places.into_iter().flat_map(|place| Open::ALL.map(|why| (place, why))) {
        let row = statement.query_row(params![dataset, place.0, why as u8, blob(key)], |row| {
            Ok(Waits { place, why, reason: row.get(0)?, at: row.get::<_, Option<i64>>(1)?.map(Timestamp) })
        });
        found.extend(row.optional()?);
    }
    Ok(found)
}

fn unclaimed(connection: &Connection, dataset: i64, key: &Key) -> Result<Vec<(PlaceIndex, Unclaimed)>, Failure> {
    let rows = query::unclaimed(connection, dataset)?.into_iter();
    Ok(rows.filter(|row| row.key == *key).map(|row| (row.place, row.upload)).collect())
}

fn late(connection: &Connection, dataset: i64, key: &Key) -> Result<Option<LateWrite>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT size, tag, modified_s, at_ms, by, reason FROM late WHERE dataset = ?1 AND key = ?2")?;
    let found = statement.query_row(params![dataset, blob(key)], |row| {
        let tag = row.get::<_, Option<TagColumn>>(1)?;
        let token = |TagColumn(tag)| {
            Ok::<_, rusqlite::Error>(Token { size: row.get(0)?, tag, modified: row.get::<_, Option<i64>>(2)?.into() })
        };
        let settled = row.get::<_, Option<i64>>(3)?.map(Timestamp);
        Ok(LateWrite { shown: tag.map(token).transpose()?, settled, by: row.get(4)?, reason: row.get(5)? })
    });
    Ok(found.optional()?)
}

/// Places with a moment.
fn moments(
    connection: &Connection,
    select: &str,
    dataset: i64,
    key: &Key,
) -> Result<Vec<(PlaceIndex, Timestamp)>, Failure> {
    let sql = format!("{select} WHERE dataset = ?1 AND key = ?2 ORDER BY place");
    let mut statement = connection.prepare_cached(&sql)?;
    gather(statement.query(params![dataset, blob(key)])?, |row| Ok((PlaceIndex(row.get(0)?), Timestamp(row.get(1)?))))
}

/// The first key of a dataset that is known and is the one; looks through all of them.
pub(super) fn find(
    connection: &Connection,
    dataset: i64,
    is_it: impl Fn(&Key) -> bool,
) -> Result<Option<Key>, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    for table in ["record", "waiting", "late", "dirty", "upload", "unclaimed", "unknown"] {
        let mut statement = snapshot.prepare_cached(&format!("SELECT key FROM {table} WHERE dataset = ?1"))?;
        let mut rows = statement.query([dataset])?;
        while let Some(row) = rows.next()? {
            let KeyColumn(key) = row.get(0)?;
            if is_it(&key) {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}
