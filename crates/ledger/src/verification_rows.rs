//! Verifications under way in the file.
//!
//! Counts are kept per verification and not per shard: each batch moves one cursor and adds what was found up to it,
//! so a row that is looked at again after a crash was not counted before.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    apply::Apply,
    code::{self, KeyColumn, key as blob, number},
    failure::Failure,
    query::gather,
    verification::{PartFound, VerificationRecord, VerificationRow, VerificationStep, VerifiedShard},
};
use migrate_core::{
    lifecycle::Transition,
    model::{Counted, Decided, Key, KeyRange, ShardId, Timestamp},
    report::{Difference, DifferenceKind},
    shard::{self, Cursor},
};

fn illegal<T>(detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Illegal(detail.into()))
}

impl Apply<'_> {
    pub(super) fn verification(&mut self, record: &VerificationRecord) -> Result<(), Failure> {
        let VerificationRecord { dataset: name, step } = record;
        let dataset = self.known(name)?;
        if let VerificationStep::Began { binds, at, shards } = step {
            self.forget_verification(dataset)?;
            if !shard::tile(shards.iter().map(|(_, range)| range)) {
                return illegal(format!("the shards of a verification of {name} overlap or leave keys out"));
            }
            let sql = "INSERT INTO verification (dataset, binds, at_ms) VALUES (?1, ?2, ?3)";
            self.run(sql, params![dataset, binds, at.0])?;
            let id = self.connection.last_insert_rowid();
            return shards.iter().try_for_each(|(shard, range)| self.put_verified(id, *shard, range, &Cursor::Start));
        }
        if *step == VerificationStep::Ended {
            return self.forget_verification(dataset);
        }
        let Some(id) = under_way(self.connection, dataset)? else {
            return illegal(format!("no verification of {name} is under way"));
        };
        match step {
            VerificationStep::Split { shard, at, new } => self.split_verified(id, *shard, at, *new),
            VerificationStep::Moved { shard, cursor, found } => self.move_verified(id, *shard, cursor, found),
            VerificationStep::Began { .. } | VerificationStep::Ended => Ok(()),
        }
    }

    /// Notes a transition that makes an earlier verification worthless. What a pass changes, it records of each record.
    pub(super) fn note_change(&mut self, dataset: i64, transition: &Transition) {
        match transition {
            Transition::PassBegun { .. }
            | Transition::PassEnded { .. }
            | Transition::TargetDown { .. }
            | Transition::TargetUp { .. }
            | Transition::Verified { .. }
            | Transition::Differed { .. }
            | Transition::MoveBegun { .. }
            | Transition::Step { .. }
            | Transition::MoveEnded { .. } => {}
            Transition::SwitchIntended { .. }
            | Transition::Switched { .. }
            | Transition::SwitchAbandoned { .. }
            | Transition::CutOver { .. }
            | Transition::Aborted => _ = self.memory.changed.insert(dataset),
        }
    }

    /// Notes which datasets the batch has changed.
    pub(super) fn keep_changes(&mut self) -> Result<(), Failure> {
        for dataset in std::mem::take(&mut self.memory.changed) {
            self.run("UPDATE dataset SET changes = changes + 1 WHERE id = ?1", [dataset])?;
        }
        Ok(())
    }

    fn forget_verification(&self, dataset: i64) -> Result<(), Failure> {
        let Some(id) = under_way(self.connection, dataset)? else { return Ok(()) };
        self.run("DELETE FROM verified_shard WHERE verification = ?1", [id])?;
        self.run("DELETE FROM verified_count WHERE verification = ?1", [id])?;
        self.run("DELETE FROM verified_difference WHERE verification = ?1", [id])?;
        self.run("DELETE FROM verification WHERE id = ?1", [id])?;
        Ok(())
    }

    fn put_verified(&self, id: i64, shard: ShardId, range: &KeyRange, cursor: &Cursor) -> Result<(), Failure> {
        let (after, until) = (range.after.as_ref().map(blob), range.until.as_ref().map(blob));
        let (stands, key) = code::cursor(cursor);
        let added = self.run(
            "INSERT INTO verified_shard VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![id, number(shard.0)?, after, until, stands, key],
        )?;
        if added == 1 { Ok(()) } else { illegal(format!("the verification has a shard {} already", shard.0)) }
    }

    fn verified(&self, id: i64, shard: ShardId) -> Result<VerifiedShard, Failure> {
        let sql = "SELECT shard, after_key, until_key, stands, key FROM verified_shard WHERE verification = ?1 AND \
                   shard = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![id, number(shard.0)?])?;
        match rows.next()? {
            Some(row) => verified_shard(row),
            None => illegal(format!("the verification has no shard {}", shard.0)),
        }
    }

    fn split_verified(&self, id: i64, shard: ShardId, at: &Key, new: ShardId) -> Result<(), Failure> {
        let VerifiedShard { range, cursor, .. } = self.verified(id, shard)?;
        let Some((_, upper)) = shard::split(&range, at) else {
            return illegal(format!("shard {} of a verification cannot be split at {at}: it lies not within", shard.0));
        };
        if cursor > Cursor::At(at.clone()) {
            return illegal(format!("shard {} of a verification is past {at}, where it is to be split", shard.0));
        }
        let sql = "UPDATE verified_shard SET until_key = ?3 WHERE verification = ?1 AND shard = ?2";
        self.run(sql, params![id, number(shard.0)?, blob(at)])?;
        self.put_verified(id, new, &upper, &Cursor::Start)
    }

    fn move_verified(&self, id: i64, shard: ShardId, to: &Cursor, found: &[PartFound]) -> Result<(), Failure> {
        let VerifiedShard { range, cursor, .. } = self.verified(id, shard)?;
        // Only forward: what lies before the cursor was counted.
        let within = if let Cursor::At(key) = to { range.contains(key) } else { true };
        if !within || *to <= cursor {
            let shard = shard.0;
            return illegal(format!(
                "the cursor of shard {shard} of a verification cannot go from {cursor:?} to {to:?}"
            ));
        }
        let (stands, key) = code::cursor(to);
        let sql = "UPDATE verified_shard SET stands = ?3, key = ?4 WHERE verification = ?1 AND shard = ?2";
        self.run(sql, params![id, number(shard.0)?, stands, key])?;
        for (follower, part) in (0_i64..).zip(found) {
            self.add_counts(id, follower, &part.counts)?;
            for (Difference { key, kind, detail }, kept) in &part.differences {
                self.run(
                    "INSERT INTO verified_difference VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![id, follower, blob(key), kind.as_str(), detail, kept],
                )?;
            }
        }
        Ok(())
    }

    fn add_counts(&self, id: i64, follower: i64, counts: &Counted) -> Result<(), Failure> {
        let Counted { compared, missing, extra, different, unreadable, unstable, undecided, decided, stale, strays } =
            *counts;
        let Decided { digests, versions, bytes } = decided;
        self.run(
            "INSERT INTO verified_count VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT DO UPDATE SET compared = compared + excluded.compared, missing = missing + excluded.missing,
             extra = extra + excluded.extra, different = different + excluded.different,
             unreadable = unreadable + excluded.unreadable, unstable = unstable + excluded.unstable,
             undecided = undecided + excluded.undecided, digests = digests + excluded.digests,
             versions = versions + excluded.versions, bytes = bytes + excluded.bytes,
             stale = stale + excluded.stale, strays = strays + excluded.strays",
            params![
                id,
                follower,
                number(compared)?,
                number(missing)?,
                number(extra)?,
                number(different)?,
                number(unreadable)?,
                number(unstable)?,
                number(undecided)?,
                number(digests)?,
                number(versions)?,
                number(bytes)?,
                number(stale)?,
                number(strays)?
            ],
        )?;
        Ok(())
    }
}

fn under_way(connection: &Connection, dataset: i64) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT id FROM verification WHERE dataset = ?1")?;
    Ok(statement.query_row([dataset], |row| row.get(0)).optional()?)
}

fn verified_shard(row: &Row<'_>) -> Result<VerifiedShard, Failure> {
    let bound = |at| Ok::<_, Failure>(row.get::<_, Option<KeyColumn>>(at)?.map(|column| column.0));
    let range = KeyRange { after: bound(1)?, until: bound(2)? };
    Ok(VerifiedShard { id: ShardId(row.get(0)?), range, cursor: code::read_cursor(row, 3)? })
}

/// The verification under way, with its shards in order and the sum of what they found.
pub(super) fn verification(connection: &Connection, dataset: i64) -> Result<Option<VerificationRow>, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached("SELECT id, binds, at_ms FROM verification WHERE dataset = ?1")?;
    let found = statement.query_row([dataset], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, Timestamp(row.get(2)?))));
    let Some((id, binds, at)) = found.optional()? else { return Ok(None) };
    let sql = "SELECT shard, after_key, until_key, stands, key FROM verified_shard WHERE verification = ?1 \
               ORDER BY after_key";
    let shards = gather(snapshot.prepare_cached(sql)?.query([id])?, verified_shard)?;
    let sql = "SELECT compared, missing, extra, different, unreadable, unstable, undecided, digests, versions, bytes, \
               stale, strays FROM verified_count WHERE verification = ?1 ORDER BY follower";
    let counts = gather(snapshot.prepare_cached(sql)?.query([id])?, read_counts)?;
    let mut parts = Vec::new();
    for (follower, counts) in (0_i64..).zip(counts) {
        let sql = "SELECT key, kind, detail, kept FROM verified_difference WHERE verification = ?1 AND follower = ?2 \
                   ORDER BY key";
        let differences = gather(snapshot.prepare_cached(sql)?.query([id, follower])?, read_difference)?;
        parts.push(PartFound { counts, differences });
    }
    Ok(Some(VerificationRow { binds, at, shards, found: parts }))
}

fn read_counts(row: &Row<'_>) -> Result<Counted, Failure> {
    Ok(Counted {
        compared: row.get(0)?,
        missing: row.get(1)?,
        extra: row.get(2)?,
        different: row.get(3)?,
        unreadable: row.get(4)?,
        unstable: row.get(5)?,
        undecided: row.get(6)?,
        decided: Decided { digests: row.get(7)?, versions: row.get(8)?, bytes: row.get(9)? },
        stale: row.get(10)?,
        strays: row.get(11)?,
    })
}

fn read_difference(row: &Row<'_>) -> Result<(Difference, bool), Failure> {
    let name: String = row.get(1)?;
    let kind = DifferenceKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    let kind = kind.ok_or_else(|| Failure::Damaged(format!("a difference is of no known kind: {name}")))?;
    Ok((Difference { key: row.get::<_, KeyColumn>(0)?.0, kind, detail: row.get(2)? }, row.get(3)?))
}
