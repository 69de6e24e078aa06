//! The queries of the tables. Every function reads one snapshot.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::ValueRef};

use super::{
    code::{self, KeyColumn, TagColumn, key as blob},
    failure::Failure,
    holdings::Holdings,
};
use crate::rows::{
    Counts, Held, HeldRow, Open, OpenRow, ShardRow, Unclaimed, UnclaimedRow, UploadIntent, UploadRow, WrittenPart,
};
use migrate_core::{
    lifecycle::Transition,
    model::{DatasetName, Key, KeyRange, PlaceIndex, Sha256, ShardId, Timestamp, Token},
    shard::{Cursor, Tally},
};

/// A dataset's id; `None` if it has not begun.
pub(super) fn dataset(connection: &Connection, name: &DatasetName) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT id FROM dataset WHERE name = ?1")?;
    Ok(statement.query_row([name.as_str()], |row| row.get(0)).optional()?)
}

/// The meaning of a dataset, as canonical JSON.
pub(super) fn meaning(connection: &Connection, dataset: i64) -> Result<String, Failure> {
    let mut statement = connection.prepare_cached("SELECT meaning FROM dataset WHERE id = ?1")?;
    Ok(statement.query_row([dataset], |row| row.get(0))?)
}

/// What the pass under way will see, records and, if they are known, bytes; `None` if nothing has counted it.
pub(super) fn counted(connection: &Connection, dataset: i64) -> Result<Option<(u64, Option<u64>)>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT counted_records, counted_bytes FROM dataset WHERE id = ?1")?;
    let (records, bytes): (Option<u64>, Option<u64>) =
        statement.query_row([dataset], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(records.map(|records| (records, bytes)))
}

/// How often a dataset was changed.
pub(super) fn changes(connection: &Connection, dataset: i64) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached("SELECT changes FROM dataset WHERE id = ?1")?;
    Ok(statement.query_row([dataset], |row| row.get(0))?)
}

/// A dataset's events, in the order in which they were appended.
pub(super) fn events(connection: &Connection, dataset: i64) -> Result<Vec<(Transition, Timestamp)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT event, at_ms FROM event WHERE dataset = ?1 ORDER BY id")?;
    gather(statement.query([dataset])?, |row| {
        let ValueRef::Text(json) = row.get_ref(0)? else { return Err(Failure::Damaged("an event is no text".into())) };
        let event = serde_json::from_slice(json).map_err(|error| Failure::Damaged(format!("an event: {error}")))?;
        Ok((event, Timestamp(row.get(1)?)))
    })
}

/// A dataset's shards, ascending by range.
pub(super) fn shards(connection: &Connection, dataset: i64) -> Result<Vec<ShardRow>, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    // NULL, no bound, sorts first.
    let mut statement =
        snapshot.prepare_cached("SELECT id, after_key, until_key FROM shard WHERE dataset = ?1 ORDER BY after_key")?;
    gather(statement.query([dataset])?, |row| {
        let id = ShardId(row.get(0)?);
        let bound = |at| Ok::<_, Failure>(row.get::<_, Option<KeyColumn>>(at)?.map(|column| column.0));
        let range = KeyRange { after: bound(1)?, until: bound(2)? };
        Ok(ShardRow { id, range, places: cursors(&snapshot, id)? })
    })
}

/// A shard's cursors and tallies, ascending by place.
pub(super) fn cursors(connection: &Connection, shard: ShardId) -> Result<Vec<(PlaceIndex, Cursor, Tally)>, Failure> {
    let sql = format!("SELECT place, stands, key, {} FROM cursor WHERE shard = ?1 ORDER BY place", code::TALLY);
    let mut statement = connection.prepare_cached(&sql)?;
    gather(statement.query([code::number(shard.0)?])?, |row| {
        Ok((PlaceIndex(row.get(0)?), code::read_cursor(row, 1)?, code::read_tally(row, 3)?))
    })
}

/// The greatest id that a shard ever had; 0 if there was none.
pub(super) fn shard_last(connection: &Connection) -> Result<u64, Failure> {
    let last = connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'shard'", [], |row| row.get(0));
    Ok(last.optional()?.unwrap_or(0))
}

/// What the followers of `lead` hold of the records of a range, ascending by key and place: at least `limit` rows if
/// there are as many, and then the remaining places of the last key.
pub(super) fn held(
    connection: &Connection,
    dataset: i64,
    lead: PlaceIndex,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<HeldRow>, Failure> {
    let after = if range.after.is_some() { "AND key > ?2" } else { "AND ?2 IS NULL" };
    let until = if range.until.is_some() { "AND key <= ?3" } else { "AND ?3 IS NULL" };
    let sql = format!("SELECT {HOLDINGS}, key FROM record WHERE dataset = ?1 {after} {until} ORDER BY key");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![dataset, range.after.as_ref().map(blob), range.until.as_ref().map(blob)])?;
    let mut page: Vec<HeldRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let KeyColumn(key) = row.get(4)?;
        read_holdings(row)?.hand_on(lead, |place, held| page.push(HeldRow { key: key.clone(), place, held }));
        if page.len() >= limit.max(1) {
            break;
        }
    }
    Ok(page)
}

/// What a follower holds of one record.
pub(super) fn held_at(
    connection: &Connection,
    dataset: i64,
    lead: PlaceIndex,
    place: PlaceIndex,
    key: &Key,
) -> Result<Option<Held>, Failure> {
    let holdings = holdings(connection, dataset, key)?.unwrap_or_default();
    Ok(holdings.followers(lead).find(|(follower, _)| *follower == place).map(|(_, held)| held))
}

/// What the places hold of one record.
pub(super) fn holdings(connection: &Connection, dataset: i64, key: &Key) -> Result<Option<Holdings>, Failure> {
    let sql = format!("SELECT {HOLDINGS} FROM record WHERE dataset = ?1 AND key = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![dataset, blob(key)])?;
    rows.next()?.map(read_holdings).transpose()
}

/// The columns that [`read_holdings`] reads.
const HOLDINGS: &str = "content, size, evidence, holdings";

fn read_holdings(row: &Row<'_>) -> Result<Holdings, Failure> {
    let bytes = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_blob_or_null()?);
    Holdings::read(row.get(0)?, row.get(1)?, bytes(2)?, bytes(3)?.unwrap_or_default())
}

/// Waiting records of one kind, ascending by key, at most `limit`.
pub(super) fn open_records(
    connection: &Connection,
    dataset: i64,
    place: PlaceIndex,
    which: Open,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<OpenRow>, Failure> {
    let bound = if after.is_some() { "AND key > ?4" } else { "AND ?4 IS NULL" };
    let sql = format!(
        "SELECT key, reason FROM waiting WHERE dataset = ?1 AND place = ?2 AND kind = ?3 {bound} ORDER BY key LIMIT ?5"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    gather(statement.query(params![dataset, place.0, which as u8, after.map(blob), limit])?, |row| {
        Ok(OpenRow { key: row.get::<_, KeyColumn>(0)?.0, place, reason: row.get(1)? })
    })
}

/// The counts of a place.
pub(super) fn counts(connection: &Connection, dataset: i64, place: PlaceIndex) -> Result<Counts, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT paired, paired_bytes, deferred, failed, doomed, damaged FROM count WHERE dataset = ?1 AND place = ?2",
    )?;
    let found = statement.query_row(params![dataset, place.0], |row| {
        Ok(Counts {
            paired: row.get(0)?,
            paired_bytes: row.get(1)?,
            deferred: row.get(2)?,
            failed: row.get(3)?,
            doomed: row.get(4)?,
            damaged: row.get(5)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// How many objects this migration has written at a place, and their bytes. Reads every record of the dataset.
pub(super) fn written(connection: &Connection, dataset: i64, place: PlaceIndex) -> Result<(u64, u64), Failure> {
    let sql = format!("SELECT {HOLDINGS} FROM record WHERE dataset = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([dataset])?;
    let mut written = (0, 0);
    while let Some(row) = rows.next()? {
        if let Some(size) = read_holdings(row)?.written_at(place) {
            written = (written.0 + 1, written.1 + size);
        }
    }
    Ok(written)
}

/// Which of a dataset's current uploads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Uploads<'a> {
    All,
    One(PlaceIndex, &'a Key),
    /// Those of a place whose record waits for nothing, or only for its deletion: no copy would use them.
    Idle(PlaceIndex),
}

/// Uploads under way, ascending by place and key.
pub(super) fn uploads(connection: &Connection, dataset: i64, which: Uploads<'_>) -> Result<Vec<UploadRow>, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let doomed = Open::Doomed as u8;
    let waits = format!(
        "AND place = ?2 AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.dataset = upload.dataset
         AND w.place = upload.place AND w.kind <> {doomed} AND w.key = upload.key)"
    );
    let bound = match which {
        Uploads::All => "",
        Uploads::One(..) => "AND place = ?2 AND key = ?3",
        Uploads::Idle(_) => &waits,
    };
    let sql = format!(
        "SELECT place, key, id, size, source_tag, source_s, part_size, at_ms, before FROM upload
         WHERE dataset = ?1 {bound} ORDER BY place, key"
    );
    let mut statement = snapshot.prepare_cached(&sql)?;
    let (place, key) = match which {
        Uploads::All => (None, None),
        Uploads::One(place, key) => (Some(place.0), Some(blob(key))),
        Uploads::Idle(place) => (Some(place.0), None),
    };
    let mut values: Vec<&dyn ToSql> = vec![&dataset];
    values.extend(place.as_ref().map(|place| place as &dyn ToSql));
    values.extend(key.as_ref().map(|key| key as &dyn ToSql));
    gather(statement.query(&values[..])?, |row| {
        let (place, KeyColumn(key)) = (PlaceIndex(row.get(0)?), row.get(1)?);
        let modified = row.get::<_, Option<i64>>(5)?.into();
        let source = Token { size: row.get(3)?, tag: row.get::<_, TagColumn>(4)?.0, modified };
        let parts = parts(&snapshot, dataset, place, &key)?;
        let (part_size, at) = (row.get(6)?, Timestamp(row.get(7)?));
        let intent = UploadIntent { source, part_size, at, before: code::read_texts(row, 8)? };
        Ok(UploadRow { key, place, intent, id: row.get(2)?, parts })
    })
}

fn parts(connection: &Connection, dataset: i64, place: PlaceIndex, key: &Key) -> Result<Vec<WrittenPart>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT number, size, tag, sha256, crc64nvme FROM part
         WHERE dataset = ?1 AND place = ?2 AND key = ?3 ORDER BY number",
    )?;
    gather(statement.query(params![dataset, place.0, blob(key)])?, |row| {
        Ok(WrittenPart {
            number: row.get(0)?,
            size: row.get(1)?,
            tag: row.get::<_, TagColumn>(2)?.0.into(),
            sha256: Sha256(row.get(3)?),
            crc64nvme: u64::from_be_bytes(row.get(4)?),
        })
    })
}

/// A dataset's unclaimed uploads, ascending by place and key.
pub(super) fn unclaimed(connection: &Connection, dataset: i64) -> Result<Vec<UnclaimedRow>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT place, key, at_ms, before, ids FROM unclaimed WHERE dataset = ?1 ORDER BY place, key, at_ms",
    )?;
    gather(statement.query([dataset])?, |row| {
        let (place, KeyColumn(key), at) = (PlaceIndex(row.get(0)?), row.get(1)?, Timestamp(row.get(2)?));
        let (before, ids) = (code::read_texts(row, 3)?, code::read_texts(row, 4)?.unwrap_or_default());
        Ok(UnclaimedRow { key, place, upload: Unclaimed { at, before, ids } })
    })
}

/// The result of an endpoint's last probe, and when it was.
pub(super) fn capabilities(connection: &Connection, location: &str) -> Result<Option<(String, Timestamp)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT capabilities, at_ms FROM probe WHERE location = ?1")?;
    Ok(statement.query_row([location], |row| Ok((row.get(0)?, Timestamp(row.get(1)?)))).optional()?)
}

/// Path and identity of each directory that was met.
pub(super) fn directories(connection: &Connection) -> Result<Vec<(String, String)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT path, identity FROM directory")?;
    gather(statement.query([])?, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The ledger's own id.
pub(super) fn id(connection: &Connection) -> Result<String, Failure> {
    Ok(connection.query_row("SELECT value FROM meta WHERE name = 'id'", [], |row| row.get(0))?)
}

/// Collects every row.
pub(super) fn gather<T>(
    mut rows: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut gathered = Vec::new();
    while let Some(row) = rows.next()? {
        gathered.push(read(row)?);
    }
    Ok(gathered)
}
