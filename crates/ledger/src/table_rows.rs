//! Both halves of [`table`](super::table): what its facts do to the rows, and what is asked of these.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    apply::Apply,
    code::{KeyColumn, key as blob, number},
    failure::Failure,
    query::gather,
    table::{CaptureRow, DirtyRow, Owed, SegmentRow, StreamShardRow, TableRecord, TableStep, WrittenBack},
};
use migrate_core::model::{Key, PlaceIndex, Sha256, Timestamp};

impl Apply<'_> {
    pub(super) fn table(&mut self, record: &TableRecord) -> Result<(), Failure> {
        let dataset = self.known(&record.dataset)?;
        match &record.step {
            TableStep::BulkPlanned { segments, places } => self.plan_bulk(dataset, *segments, places),
            TableStep::BulkJoined { places } => self.join_bulk(dataset, places),
            TableStep::BulkForgotten { place } => {
                for table in ["segment", "dirty", "uncompared"] {
                    let sql = format!("DELETE FROM {table} WHERE dataset = ?1 AND place = ?2");
                    self.run(&sql, params![dataset, place.0])?;
                }
                Ok(())
            }
            TableStep::Compared { place } => {
                self.run("DELETE FROM uncompared WHERE dataset = ?1 AND place = ?2", params![dataset, place.0])?;
                Ok(())
            }
            TableStep::SegmentMoved { place, segment, after, items, bytes } => {
                self.move_segment(dataset, (*place, *segment), after.as_ref(), *items, *bytes)
            }
            TableStep::CaptureBegan { place, stream, ours, leads, at } => {
                self.begin_capture(dataset, *place, stream, *ours, *at)?;
                if *leads { self.doubt_filled(dataset) } else { Ok(()) }
            }
            TableStep::ToCompare { place } => {
                self.run(
                    "INSERT OR IGNORE INTO uncompared (dataset, place) VALUES (?1, ?2)",
                    params![dataset, place.0],
                )?;
                Ok(())
            }
            TableStep::LeadMoved { from, to } => self.move_lead(dataset, *from, to),
            TableStep::WritesBack { keys } => self.write_back(dataset, keys),
            TableStep::CaptureGoesOn { place, at } => {
                self.run(
                    "UPDATE capture SET at_ms = ?3 WHERE dataset = ?1 AND place = ?2",
                    params![dataset, place.0, at.0],
                )?;
                Ok(())
            }
            TableStep::CaptureBroke { place, reason } => {
                self.run(
                    "UPDATE capture SET broken = ?3 WHERE dataset = ?1 AND place = ?2",
                    params![dataset, place.0, reason],
                )?;
                Ok(())
            }
            TableStep::StreamRead { place, shard, sequence, ended, keys, owed, at } => {
                self.read_shard(dataset, *place, (shard, sequence.as_deref(), *ended))?;
                self.dirty(dataset, keys, owed, *at)
            }
            TableStep::Dirtied { keys, owed, at } => self.dirty(dataset, keys, owed, *at),
            TableStep::MarksCleared { place } => {
                self.run("DELETE FROM dirty WHERE dataset = ?1 AND place = ?2", params![dataset, place.0])?;
                Ok(())
            }
            TableStep::Handled { place, at, keys } => self.handle(dataset, *place, *at, keys),
        }
    }

    /// A shard was read up to a sequence number, or to its end.
    fn read_shard(
        &self,
        dataset: i64,
        place: PlaceIndex,
        (shard, sequence, ended): (&str, Option<&str>, bool),
    ) -> Result<(), Failure> {
        self.run(
            "INSERT INTO stream_shard (dataset, place, shard, sequence, ended) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET sequence = coalesce(excluded.sequence, sequence), ended = excluded.ended",
            params![dataset, place.0, shard, sequence, ended],
        )?;
        Ok(())
    }

    /// Clears the marks that were read. A key with a newer one is owed since it was handled.
    fn handle(&self, dataset: i64, place: PlaceIndex, at: Timestamp, keys: &[(Key, u64)]) -> Result<(), Failure> {
        for (key, mark) in keys {
            let (key, mark) = (blob(key), number(*mark)?);
            self.run(
                "DELETE FROM dirty WHERE dataset = ?1 AND key = ?2 AND place = ?3 AND mark = ?4",
                params![dataset, key, place.0, mark],
            )?;
            self.run(
                "UPDATE dirty SET since_ms = max(since_ms, ?5)
                 WHERE dataset = ?1 AND key = ?2 AND place = ?3 AND mark > ?4",
                params![dataset, key, place.0, mark, at.0],
            )?;
            if place == PlaceIndex::SOURCE {
                // The write came there, so what was there before is there again only if somebody else has put it there.
                self.run(
                    "UPDATE written_back SET before = after WHERE dataset = ?1 AND key = ?2",
                    params![dataset, key],
                )?;
            }
        }
        Ok(())
    }

    /// A stream that this migration has enabled stays its own, whoever finds it enabled later.
    fn begin_capture(
        &self,
        dataset: i64,
        place: PlaceIndex,
        stream: &str,
        ours: bool,
        at: Timestamp,
    ) -> Result<(), Failure> {
        self.run("DELETE FROM stream_shard WHERE dataset = ?1 AND place = ?2", params![dataset, place.0])?;
        self.run(
            "INSERT INTO capture (dataset, place, stream, ours, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET ours = excluded.ours OR (ours AND stream = excluded.stream),
             stream = excluded.stream, at_ms = excluded.at_ms, broken = NULL",
            params![dataset, place.0, stream, ours, at.0],
        )?;
        Ok(())
    }

    fn doubt_filled(&self, dataset: i64) -> Result<(), Failure> {
        self.run(
            "INSERT OR IGNORE INTO uncompared (dataset, place) SELECT DISTINCT dataset, place FROM segment
             WHERE dataset = ?1",
            [dataset],
        )?;
        Ok(())
    }

    /// The marks of the new lead stay: they are the keys that were written at the old one.
    fn move_lead(&self, dataset: i64, from: PlaceIndex, to: &[PlaceIndex]) -> Result<(), Failure> {
        for (number, to) in to.iter().enumerate() {
            // The old lead is as far as each of the new ones was.
            if number == 0 {
                self.run("DELETE FROM segment WHERE dataset = ?1 AND place = ?2", params![dataset, from.0])?;
                let sql = "UPDATE segment SET place = ?2 WHERE dataset = ?1 AND place = ?3";
                self.run(sql, params![dataset, from.0, to.0])?;
            } else {
                self.run("DELETE FROM segment WHERE dataset = ?1 AND place = ?2", params![dataset, to.0])?;
            }
            self.run("DELETE FROM uncompared WHERE dataset = ?1 AND place = ?2", params![dataset, to.0])?;
        }
        // Where a segment of one table goes on, in another one there may be any item.
        self.run(
            "UPDATE segment SET after_key = NULL, done = 0, items = 0, bytes = 0 WHERE dataset = ?1 AND place IN
             (SELECT place FROM segment WHERE dataset = ?1 AND NOT done)",
            [dataset],
        )?;
        self.run("DELETE FROM written_back WHERE dataset = ?1", [dataset])?;
        Ok(())
    }

    fn write_back(&self, dataset: i64, keys: &[(Key, WrittenBack)]) -> Result<(), Failure> {
        for (key, WrittenBack { after, before }) in keys {
            let blobs = [after, before].map(|digest| digest.map(|digest| digest.0));
            self.run(
                "INSERT INTO written_back (dataset, key, after, before) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET after = excluded.after, before = excluded.before",
                params![dataset, blob(key), blobs[0], blobs[1]],
            )?;
        }
        Ok(())
    }

    fn plan_bulk(&self, dataset: i64, segments: u32, places: &[PlaceIndex]) -> Result<(), Failure> {
        self.run("DELETE FROM segment WHERE dataset = ?1", [dataset])?;
        self.run("DELETE FROM dirty WHERE dataset = ?1", [dataset])?;
        self.run("DELETE FROM uncompared WHERE dataset = ?1", [dataset])?;
        self.run("DELETE FROM written_back WHERE dataset = ?1", [dataset])?;
        for place in places {
            for segment in 0..segments {
                self.run(
                    "INSERT INTO segment (dataset, place, segment, done, items, bytes) VALUES (?1, ?2, ?3, 0, 0, 0)",
                    params![dataset, place.0, segment],
                )?;
            }
        }
        Ok(())
    }

    fn join_bulk(&self, dataset: i64, places: &[PlaceIndex]) -> Result<(), Failure> {
        for place in places {
            self.run(
                "INSERT INTO segment (dataset, place, segment, done, items, bytes)
                 SELECT DISTINCT dataset, ?2, segment, 0, 0, 0 FROM segment WHERE dataset = ?1",
                params![dataset, place.0],
            )?;
        }
        Ok(())
    }

    fn move_segment(
        &self,
        dataset: i64,
        (place, segment): (PlaceIndex, u32),
        after: Option<&Key>,
        items: u64,
        bytes: u64,
    ) -> Result<(), Failure> {
        let changed = self.run(
            "UPDATE segment SET after_key = ?4, done = ?4 IS NULL, items = items + ?5, bytes = bytes + ?6
             WHERE dataset = ?1 AND place = ?2 AND segment = ?3 AND NOT done",
            params![dataset, place.0, segment, after.map(blob), number(items)?, number(bytes)?],
        )?;
        if changed == 1 {
            return Ok(());
        }
        Err(Failure::Illegal(format!("segment {segment} is not under way at place {}", place.0)))
    }

    fn dirty(&self, dataset: i64, keys: &[Key], owed: &[PlaceIndex], at: Timestamp) -> Result<(), Failure> {
        for key in keys {
            for place in owed {
                self.run(
                    "INSERT INTO dirty (dataset, key, place, mark, since_ms) VALUES (?1, ?2, ?3, 1, ?4)
                     ON CONFLICT DO UPDATE SET mark = mark + 1",
                    params![dataset, blob(key), place.0, at.0],
                )?;
            }
        }
        Ok(())
    }
}

fn place(number: u16) -> PlaceIndex {
    PlaceIndex(number)
}

/// The segments of a table, ascending by segment and place.
pub(super) fn segments(connection: &Connection, dataset: i64) -> Result<Vec<SegmentRow>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT place, segment, after_key, done, items, bytes FROM segment WHERE dataset = ?1 ORDER BY segment, place",
    )?;
    gather(statement.query([dataset])?, |row: &Row<'_>| {
        Ok(SegmentRow {
            place: place(row.get(0)?),
            segment: row.get(1)?,
            after: row.get::<_, Option<KeyColumn>>(2)?.map(|KeyColumn(key)| key),
            done: row.get(3)?,
            items: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
            bytes: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
        })
    })
}

/// The places of which all items are to be compared.
pub(super) fn uncompared(connection: &Connection, dataset: i64) -> Result<Vec<PlaceIndex>, Failure> {
    let mut statement = connection.prepare_cached("SELECT place FROM uncompared WHERE dataset = ?1 ORDER BY place")?;
    gather(statement.query([dataset])?, |row| Ok(place(row.get(0)?)))
}

/// The stream of a place that is read; `None` if none is.
pub(super) fn capture(connection: &Connection, dataset: i64, at: PlaceIndex) -> Result<Option<CaptureRow>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT stream, ours, at_ms, broken FROM capture WHERE dataset = ?1 AND place = ?2")?;
    let found = statement.query_row(params![dataset, at.0], |row| {
        let (stream, ours, broken) = (row.get(0)?, row.get(1)?, row.get(3)?);
        Ok(CaptureRow { place: at, stream, ours, at: Timestamp(row.get(2)?), broken })
    });
    Ok(found.optional()?)
}

/// The shards of the stream of a place, as far as they were read.
pub(super) fn stream_shards(
    connection: &Connection,
    dataset: i64,
    at: PlaceIndex,
) -> Result<Vec<StreamShardRow>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT shard, sequence, ended FROM stream_shard WHERE dataset = ?1 AND place = ?2 ORDER BY 1",
    )?;
    gather(statement.query(params![dataset, at.0])?, |row| {
        Ok(StreamShardRow { shard: row.get(0)?, sequence: row.get(1)?, ended: row.get(2)? })
    })
}

/// The changed keys that some place owes since `until` or longer, ascending by key: at most `limit` of those after a
/// key.
pub(super) fn dirty(
    connection: &Connection,
    dataset: i64,
    after: Option<&Key>,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<DirtyRow>, Failure> {
    let bound = if after.is_some() { "AND key > ?2" } else { "AND ?2 IS NULL" };
    let sql = format!(
        "SELECT key, place, mark FROM dirty WHERE dataset = ?1 {bound} AND key IN (SELECT DISTINCT key FROM dirty
         WHERE dataset = ?1 {bound} AND since_ms <= ?3 ORDER BY key LIMIT ?4) ORDER BY key, place"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = gather(statement.query(params![dataset, after.map(blob), until.0, limit])?, |row| {
        let mark = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        Ok((row.get::<_, KeyColumn>(0)?.0, place(row.get(1)?), mark))
    })?;
    let mut dirty: Vec<DirtyRow> = Vec::new();
    for (key, place, mark) in rows {
        match dirty.last_mut().filter(|last| last.key == key) {
            Some(last) => last.owed.push((place, mark)),
            None => dirty.push(DirtyRow { key, owed: vec![(place, mark)] }),
        }
    }
    Ok(dirty)
}

/// Which of these keys a place owes.
pub(super) fn are_dirty(
    connection: &Connection,
    dataset: i64,
    at: PlaceIndex,
    keys: &[Key],
) -> Result<Vec<Key>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM dirty WHERE dataset = ?1 AND key = ?2 AND place = ?3")?;
    let mut dirty = Vec::new();
    for key in keys {
        if statement.exists(params![dataset, blob(key), at.0])? {
            dirty.push(key.clone());
        }
    }
    Ok(dirty)
}

/// What the old lead was last given of this key; `None` if it was given nothing.
pub(super) fn written_back(connection: &Connection, dataset: i64, key: &Key) -> Result<Option<WrittenBack>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT after, before FROM written_back WHERE dataset = ?1 AND key = ?2")?;
    let found = statement.query_row(params![dataset, blob(key)], |row| {
        let digest = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<[u8; 32]>>(column)?.map(Sha256));
        Ok(WrittenBack { after: digest(0)?, before: digest(1)? })
    });
    Ok(found.optional()?)
}

/// The keys that a place owes, each with its mark, ascending by key: at most `limit` of those after a key.
pub(super) fn owed_keys(
    connection: &Connection,
    dataset: i64,
    at: PlaceIndex,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<(Key, u64)>, Failure> {
    let bound = if after.is_some() { "AND key > ?3" } else { "AND ?3 IS NULL" };
    let sql = format!("SELECT key, mark FROM dirty WHERE dataset = ?1 AND place = ?2 {bound} ORDER BY key LIMIT ?4");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    gather(statement.query(params![dataset, at.0, after.map(blob), limit])?, |row| {
        Ok((row.get::<_, KeyColumn>(0)?.0, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
    })
}

/// What each place owes; a place that owes nothing is not listed.
pub(super) fn owed(connection: &Connection, dataset: i64) -> Result<Vec<Owed>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT place, count(*), min(since_ms) FROM dirty WHERE dataset = ?1 GROUP BY place ORDER BY place",
    )?;
    gather(statement.query([dataset])?, |row| {
        let keys = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(Owed { place: place(row.get(0)?), keys, since: Timestamp(row.get(2)?) })
    })
}
