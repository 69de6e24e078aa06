//! What each kind of [`Record`] does to the tables.
//!
//! A record that contradicts the ledger is refused ([`Failure::Illegal`]): it is a bug of this tool, and a ledger
//! that took it would be wrong from then on.
//!
//! Counts are kept in [`Memory`] while records are written, and go to their table at the end of each batch, inside
//! its savepoint. After a rollback, memory is cleared and read again.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    code::{self, KeyColumn, Tag, key as blob, number},
    failure::Failure,
};
use crate::{
    fact::Fact,
    record::Record,
    rows::{Counts, Open, Unclaimed, UploadIntent, WrittenPart},
};
use migrate_core::{
    lifecycle::{Lifecycle, Transition},
    model::{DatasetName, Key, KeyRange, PlaceIndex, ShardId, Timestamp},
    shard::{self, Cursor, Tally},
};

/// The writer's memory between batches. Always in step with the tables, or empty.
#[derive(Debug, Default)]
pub(super) struct Memory {
    datasets: HashMap<DatasetName, i64>,
    counts: HashMap<(i64, PlaceIndex), Remembered>,
    /// Datasets that this batch has changed in a way that makes an earlier verification worthless.
    pub(super) changed: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    counts: Counts,
    changed: bool,
}

impl Memory {
    /// Forgets everything, so that it is read again.
    pub(super) fn forget(&mut self) {
        self.datasets.clear();
        self.counts.clear();
        self.changed.clear();
    }
}

/// A record at a place, in the tables' terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordAt<'a> {
    pub(super) dataset: i64,
    pub(super) place: PlaceIndex,
    pub(super) key: &'a Key,
}

/// Writes batches within a transaction of the connection.
#[derive(Debug)]
pub(super) struct Apply<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    /// The time of the batch, kept with what is paired by it.
    pub(super) now: Timestamp,
}

pub(super) fn illegal<T>(detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Illegal(detail.into()))
}

impl Apply<'_> {
    /// Writes a batch, and the counts that it changed. After an error the caller rolls back.
    pub(super) fn batch(&mut self, batch: &[Record]) -> Result<(), Failure> {
        // What one record became at several places is written at once.
        for together in batch.chunk_by(Record::pairs_the_same) {
            match together {
                [one] if one.pairing().is_none() => self.record(one)?,
                _ => self.pairings(together)?,
            }
        }
        self.keep_changes()?;
        self.keep_counts()
    }

    fn record(&mut self, record: &Record) -> Result<(), Failure> {
        match record {
            Record::DatasetBegun { dataset, meaning } => self.begin(dataset, meaning),
            Record::Happened { dataset, event, at } => self.happen(dataset, event, *at),
            Record::ShardsPlanned { dataset, shards } => self.plan_shards(dataset, shards),
            Record::Counted { dataset, records, bytes } => self.keep_counted(dataset, *records, *bytes),
            Record::ShardSplit { shard, at, new } => self.split(*shard, at, *new),
            Record::CursorMoved { shard, place, cursor, done } => self.move_cursor(*shard, *place, cursor, done),
            Record::At { dataset, place, key, fact } => {
                let at = RecordAt { dataset: self.known(dataset)?, place: *place, key };
                self.fact(at, fact)
            }
            Record::Probed { location, capabilities, at } => self.probe(location, capabilities, *at),
            Record::DirectorySeen { path, identity, at } => self.see_directory(path, identity, *at),
            Record::DriveBegan { at, forget } => self.begin_drive(*at, *forget),
            Record::DriveEnded => self.end_drive(),
            Record::Approved(approval) => self.approve(approval),
            Record::ApprovalWithdrawn { phase } => self.withdraw_approval(phase),
            Record::Requested(row) => self.request(row),
            Record::RequestTaken { id } => self.take_request(id),
            Record::RequestTakenBack { id, at } => self.take_request_back(id, *at),
            Record::Answered { id, answer, at } => self.answer(id, answer, *at),
            Record::LateLookBegan { dataset } => self.begin_late(dataset),
            Record::LateSettled { dataset, keys, by, reason, at } => {
                self.settle_late(dataset, keys.as_deref(), by.as_deref(), reason.as_deref(), *at)
            }
            Record::Table(record) => self.table(record),
            Record::Verification(record) => self.verification(record),
            Record::Run(record) => self.run_record(record),
            Record::LimitSet { of, key, setting } => self.set_limit(of, key, setting),
        }
    }

    fn fact(&mut self, at: RecordAt<'_>, fact: &Fact) -> Result<(), Failure> {
        match fact {
            Fact::Paired { .. } | Fact::Learned { .. } => illegal("a pairing is written with its record's others"),
            Fact::Unpaired => {
                self.memory.changed.insert(at.dataset);
                self.unpair(at)
            }
            Fact::Waits(why) => self.wait(at, *why, None, None),
            Fact::Failed { reason, at: since } => self.wait(at, Open::Failed, Some(reason), Some(*since)),
            Fact::Settled => self.leave(at),
            Fact::Late { shown } => self.late(at, shown.as_ref()),
            Fact::UploadIntended(upload) => self.intend(at, upload),
            Fact::UploadBegun { id } => self.begin_upload(at, id),
            Fact::PartWritten(part) => self.part(at, part),
            Fact::UploadEnded => self.end_upload(at),
            Fact::UploadUnclaimed(upload) => self.keep_unclaimed(at, upload),
            Fact::Unknown { at: since } => self.keep_unknown(at, *since),
            Fact::UploadGone { at: asked } => self.forget_unclaimed(at, *asked),
        }
    }

    fn probe(&self, location: &str, capabilities: &str, at: Timestamp) -> Result<(), Failure> {
        self.run(
            "INSERT OR REPLACE INTO probe (location, capabilities, at_ms) VALUES (?1, ?2, ?3)",
            params![location, capabilities, at.0],
        )?;
        Ok(())
    }

    fn see_directory(&self, path: &str, identity: &str, at: Timestamp) -> Result<(), Failure> {
        self.run(
            "INSERT OR REPLACE INTO directory (path, identity, at_ms) VALUES (?1, ?2, ?3)",
            params![path, identity, at.0],
        )?;
        Ok(())
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<usize, Failure> {
        Ok(self.connection.prepare_cached(sql)?.execute(values)?)
    }

    fn find(&mut self, name: &DatasetName) -> Result<Option<i64>, Failure> {
        if let Some(id) = self.memory.datasets.get(name) {
            return Ok(Some(*id));
        }
        let mut statement = self.connection.prepare_cached("SELECT id FROM dataset WHERE name = ?1")?;
        let id = statement.query_row([name.as_str()], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.memory.datasets.insert(name.clone(), id);
        }
        Ok(id)
    }

    pub(super) fn known(&mut self, name: &DatasetName) -> Result<i64, Failure> {
        match self.find(name)? {
            Some(id) => Ok(id),
            None => illegal(format!("dataset {name} has not begun")),
        }
    }

    fn begin(&mut self, name: &DatasetName, meaning: &str) -> Result<(), Failure> {
        let Some(id) = self.find(name)? else {
            return self
                .run("INSERT INTO dataset (name, meaning) VALUES (?1, ?2)", params![name.as_str(), meaning])
                .map(|_| ());
        };
        let mut statement = self.connection.prepare_cached("SELECT meaning FROM dataset WHERE id = ?1")?;
        let begun: String = statement.query_row([id], |row| row.get(0))?;
        if begun == meaning { Ok(()) } else { illegal(format!("dataset {name} has begun with another meaning")) }
    }

    fn happen(&mut self, name: &DatasetName, event: &Transition, at: Timestamp) -> Result<(), Failure> {
        let dataset = self.known(name)?;
        let past = super::query::events(self.connection, dataset)?;
        let before = Lifecycle::replay(past.iter().map(|(event, _)| event));
        if let Err(refused) = before.and_then(|before| before.apply(event)) {
            return illegal(format!("dataset {name}: {refused}"));
        }
        let json = serde_json::to_string(event).expect("an event of numbers and texts is JSON");
        self.run("INSERT INTO event (dataset, at_ms, event) VALUES (?1, ?2, ?3)", params![dataset, at.0, json])?;
        self.note_change(dataset, event);
        Ok(())
    }

    fn plan_shards(&mut self, name: &DatasetName, shards: &[(ShardId, KeyRange)]) -> Result<(), Failure> {
        let dataset = self.known(name)?;
        if !shard::tile(shards.iter().map(|(_, range)| range)) {
            return illegal(format!("the shards of {name} overlap or leave keys out"));
        }
        self.run("UPDATE dataset SET counted_records = NULL, counted_bytes = NULL WHERE id = ?1", [dataset])?;
        self.run("DELETE FROM cursor WHERE shard IN (SELECT id FROM shard WHERE dataset = ?1)", [dataset])?;
        self.run("DELETE FROM shard WHERE dataset = ?1", [dataset])?;
        // Damaged records stay: both listings may agree with the pair, so no pass would find them again.
        self.run("DELETE FROM waiting WHERE dataset = ?1 AND kind <> ?2", params![dataset, Open::Damaged as u8])?;
        self.keep_counts()?;
        self.run("UPDATE count SET deferred = 0, failed = 0, doomed = 0 WHERE dataset = ?1", [dataset])?;
        self.memory.counts.clear();
        shards.iter().try_for_each(|(id, range)| self.insert_shard(dataset, *id, range))
    }

    fn keep_counted(&mut self, name: &DatasetName, records: u64, bytes: Option<u64>) -> Result<(), Failure> {
        let values = params![self.known(name)?, number(records)?, bytes.map(number).transpose()?];
        self.run("UPDATE dataset SET counted_records = ?2, counted_bytes = ?3 WHERE id = ?1", values)?;
        Ok(())
    }

    fn insert_shard(&self, dataset: i64, id: ShardId, range: &KeyRange) -> Result<(), Failure> {
        let (after, until) = (range.after.as_ref().map(blob), range.until.as_ref().map(blob));
        let added = self.run(
            "INSERT INTO shard (id, dataset, after_key, until_key) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![number(id.0)?, dataset, after, until],
        )?;
        if added == 1 { Ok(()) } else { illegal(format!("shard {} is there already", id.0)) }
    }

    fn shard(&self, id: ShardId) -> Result<(i64, KeyRange), Failure> {
        let mut statement =
            self.connection.prepare_cached("SELECT dataset, after_key, until_key FROM shard WHERE id = ?1")?;
        let found = statement.query_row([number(id.0)?], |row| {
            let bound = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<KeyColumn>>(at)?.map(|column| column.0));
            Ok((row.get(0)?, KeyRange { after: bound(1)?, until: bound(2)? }))
        });
        match found.optional()? {
            Some(found) => Ok(found),
            None => illegal(format!("there is no shard {}", id.0)),
        }
    }

    /// If a place's cursor is past `at`, the lower part is done and the new shard takes over the cursor. The tally
    /// stays with the shard that earned it.
    fn split(&mut self, id: ShardId, at: &Key, new: ShardId) -> Result<(), Failure> {
        let (dataset, range) = self.shard(id)?;
        let Some((_, upper)) = shard::split(&range, at) else {
            return illegal(format!("shard {} cannot be split at {at}: it lies not within", id.0));
        };
        self.run("UPDATE shard SET until_key = ?2 WHERE id = ?1", params![number(id.0)?, blob(at)])?;
        self.insert_shard(dataset, new, &upper)?;
        for (place, cursor, done) in super::query::cursors(self.connection, id)? {
            if cursor > Cursor::At(at.clone()) {
                self.put_cursor(new, place, &cursor, &Tally::default())?;
                self.put_cursor(id, place, &Cursor::End, &done)?;
            }
        }
        Ok(())
    }

    fn move_cursor(&mut self, id: ShardId, place: PlaceIndex, cursor: &Cursor, done: &Tally) -> Result<(), Failure> {
        let (_, range) = self.shard(id)?;
        if let Cursor::At(key) = cursor
            && !range.contains(key)
        {
            return illegal(format!("shard {} does not hold {key}, where its cursor is to stand", id.0));
        }
        let found = super::query::cursors(self.connection, id)?.into_iter().find(|(found, ..)| *found == place);
        let (before, mut tally) = found.map_or((Cursor::Start, Tally::default()), |(_, at, tally)| (at, tally));
        if *cursor < before {
            return illegal(format!("the cursor of shard {} cannot go back from {before:?} to {cursor:?}", id.0));
        }
        tally += *done;
        self.put_cursor(id, place, cursor, &tally)
    }

    fn put_cursor(&self, id: ShardId, place: PlaceIndex, cursor: &Cursor, tally: &Tally) -> Result<(), Failure> {
        let (stands, key) = code::cursor(cursor);
        let [records, bytes, same, copied, copied_bytes, deleted, extra, repeated, repeated_bytes] =
            code::tally(tally)?;
        self.run(
            "INSERT OR REPLACE INTO cursor VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                number(id.0)?,
                place.0,
                stands,
                key,
                records,
                bytes,
                same,
                copied,
                copied_bytes,
                deleted,
                extra,
                repeated,
                repeated_bytes
            ],
        )?;
        Ok(())
    }

    /// A damaged record stays damaged until it is written or deleted: a deferral or a failed repair must not make
    /// the ledger forget it, nor a deletion that is not carried out. So it can be doomed beside.
    fn wait(
        &mut self,
        at: RecordAt<'_>,
        kind: Open,
        reason: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let since = since.map(|since| since.0);
        match kind {
            Open::Deferred | Open::Failed if self.remembered(at)?.counts.damaged > 0 => {
                let damaged = self.run(
                    "UPDATE waiting SET reason = ?5, at_ms = ?6 \
                     WHERE dataset = ?1 AND place = ?2 AND kind = ?3 AND key = ?4",
                    params![at.dataset, at.place.0, Open::Damaged as u8, blob(at.key), reason, since],
                )?;
                if damaged > 0 {
                    return self.clear(at, &[Open::Doomed]).map(|_| ());
                }
                self.settle(at)?;
            }
            Open::Doomed => _ = self.clear(at, &[Open::Deferred, Open::Failed, Open::Doomed])?,
            Open::Deferred | Open::Failed | Open::Damaged => self.settle(at)?,
        }
        self.run(
            "INSERT INTO waiting (dataset, place, kind, key, reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![at.dataset, at.place.0, kind as u8, blob(at.key), reason, since],
        )?;
        self.count(at, |counts| *counts.waiting_mut(kind) += 1)
    }

    /// What the record waited for is over, and it was neither written nor deleted: one that is not deleted after all
    /// stays damaged if it was.
    fn leave(&mut self, at: RecordAt<'_>) -> Result<(), Failure> {
        if self.clear(at, &[Open::Doomed])? { Ok(()) } else { self.settle(at) }
    }

    /// Clears whatever the record waits for.
    pub(super) fn settle(&mut self, at: RecordAt<'_>) -> Result<(), Failure> {
        self.clear(at, &Open::ALL).map(|_| ())
    }

    /// Clears what the record waits for, of these kinds; whether it waited for one. If no record waits at the place,
    /// as usual, this runs no statement.
    fn clear(&mut self, at: RecordAt<'_>, kinds: &[Open]) -> Result<bool, Failure> {
        let (waiting, mut waited) = (self.remembered(at)?.counts, false);
        for kind in kinds.iter().filter(|kind| waiting.waiting(**kind) > 0) {
            let cleared = self.run(
                "DELETE FROM waiting WHERE dataset = ?1 AND place = ?2 AND kind = ?3 AND key = ?4",
                params![at.dataset, at.place.0, *kind as u8, blob(at.key)],
            )?;
            if cleared > 0 {
                self.count(at, |counts| *counts.waiting_mut(*kind) -= 1)?;
                waited = true;
            }
        }
        Ok(waited)
    }

    fn intend(&mut self, at: RecordAt<'_>, upload: &UploadIntent) -> Result<(), Failure> {
        self.end_upload(at)?;
        let source = &upload.source;
        self.run(
            "INSERT INTO upload VALUES (?1, ?2, ?3, NULL, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                at.dataset,
                at.place.0,
                blob(at.key),
                number(source.size)?,
                Tag(&source.tag),
                source.modified.at(),
                number(upload.part_size)?,
                upload.at.0,
                code::texts(upload.before.as_deref())
            ],
        )?;
        Ok(())
    }

    /// The upload's id, if the store has named it; refused if no upload was intended.
    fn upload_id(&self, at: RecordAt<'_>) -> Result<Option<String>, Failure> {
        let mut statement =
            self.connection.prepare_cached("SELECT id FROM upload WHERE dataset = ?1 AND place = ?2 AND key = ?3")?;
        let found = statement.query_row(params![at.dataset, at.place.0, blob(at.key)], |row| row.get(0));
        match found.optional()? {
            Some(id) => Ok(id),
            None => illegal(format!("no upload of {} was intended", at.key)),
        }
    }

    fn begin_upload(&mut self, at: RecordAt<'_>, id: &str) -> Result<(), Failure> {
        match self.upload_id(at)? {
            Some(known) if known != id => illegal(format!("the upload of {} has begun under another id", at.key)),
            _ => self
                .run(
                    "UPDATE upload SET id = ?4 WHERE dataset = ?1 AND place = ?2 AND key = ?3",
                    params![at.dataset, at.place.0, blob(at.key), id],
                )
                .map(|_| ()),
        }
    }

    fn part(&mut self, at: RecordAt<'_>, part: &WrittenPart) -> Result<(), Failure> {
        if self.upload_id(at)?.is_none() {
            return illegal(format!("the upload of {} has no id yet, so it can have no part", at.key));
        }
        self.run(
            "INSERT OR REPLACE INTO part VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                at.dataset,
                at.place.0,
                blob(at.key),
                part.number,
                number(part.size)?,
                Tag(&part.tag),
                &part.sha256.0[..],
                &part.crc64nvme.to_be_bytes()[..]
            ],
        )?;
        Ok(())
    }

    fn end_upload(&mut self, at: RecordAt<'_>) -> Result<(), Failure> {
        for sql in [
            "DELETE FROM part WHERE dataset = ?1 AND place = ?2 AND key = ?3",
            "DELETE FROM upload WHERE dataset = ?1 AND place = ?2 AND key = ?3",
        ] {
            self.run(sql, params![at.dataset, at.place.0, blob(at.key)])?;
        }
        Ok(())
    }

    fn keep_unclaimed(&self, at: RecordAt<'_>, upload: &Unclaimed) -> Result<(), Failure> {
        let (before, ids) = (code::texts(upload.before.as_deref()), code::texts(Some(&upload.ids)));
        self.run(
            "INSERT OR REPLACE INTO unclaimed (dataset, place, key, at_ms, before, ids) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![at.dataset, at.place.0, blob(at.key), upload.at.0, before, ids],
        )?;
        Ok(())
    }

    fn forget_unclaimed(&self, at: RecordAt<'_>, asked: Timestamp) -> Result<(), Failure> {
        self.run(
            "DELETE FROM unclaimed WHERE dataset = ?1 AND place = ?2 AND key = ?3 AND at_ms = ?4",
            params![at.dataset, at.place.0, blob(at.key), asked.0],
        )?;
        Ok(())
    }

    fn remembered(&mut self, at: RecordAt<'_>) -> Result<&mut Remembered, Failure> {
        let slot = (at.dataset, at.place);
        if !self.memory.counts.contains_key(&slot) {
            let counts = super::query::counts(self.connection, at.dataset, at.place)?;
            self.memory.counts.insert(slot, Remembered { counts, changed: false });
        }
        Ok(self.memory.counts.get_mut(&slot).expect("it was put there"))
    }

    pub(super) fn count(&mut self, at: RecordAt<'_>, change: impl FnOnce(&mut Counts)) -> Result<(), Failure> {
        let remembered = self.remembered(at)?;
        change(&mut remembered.counts);
        remembered.changed = true;
        Ok(())
    }

    fn keep_counts(&mut self) -> Result<(), Failure> {
        let mut statement =
            self.connection.prepare_cached("INSERT OR REPLACE INTO count VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        for ((dataset, place), remembered) in self.memory.counts.iter_mut().filter(|(_, kept)| kept.changed) {
            let Counts { paired, paired_bytes, deferred, failed, doomed, damaged } = remembered.counts;
            statement.execute(params![
                dataset,
                place.0,
                number(paired)?,
                number(paired_bytes)?,
                number(deferred)?,
                number(failed)?,
                number(doomed)?,
                number(damaged)?
            ])?;
            remembered.changed = false;
        }
        Ok(())
    }
}
