//! Runs in the file.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{
    apply::{Apply, illegal},
    code::number,
    failure::Failure,
    query::gather,
    run::{RunRecord, RunRow, RunStep},
};
use migrate_core::{
    model::Timestamp,
    report::{RequestsAtOnce, RunWork},
};

/// The name under which the last word on requests at once is kept.
const AT_ONCE: &str = "requests_at_once";

/// What is kept of requests at once.
#[derive(Serialize, Deserialize)]
struct AtOnce {
    run: String,
    /// Milliseconds since 1970 UTC.
    at: i64,
    sites: Vec<RequestsAtOnce>,
}

impl Apply<'_> {
    pub(super) fn run_record(&self, record: &RunRecord) -> Result<(), Failure> {
        let RunRecord { id, step } = record;
        match step {
            RunStep::Began { command, by, at } => {
                let sql = "INSERT INTO run (id, command, by, began_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)
                           ON CONFLICT DO NOTHING";
                let added = self.run(sql, params![id, command, by, at.0])?;
                if added == 1 { Ok(()) } else { illegal(format!("run {id} has begun already")) }
            }
            RunStep::Progressed { work, at } => self.note_work(id, None, work, *at),
            RunStep::AtOnce { sites, at } => self.note_at_once(id, sites, *at),
            RunStep::Ended { how, work, at } => self.note_work(id, Some(how), work, *at),
        }
    }

    fn note_at_once(&self, id: &str, sites: &[RequestsAtOnce], at: Timestamp) -> Result<(), Failure> {
        let told = serde_json::to_string(&AtOnce { run: id.to_owned(), at: at.0, sites: sites.to_vec() })
            .expect("numbers of requests are plain data");
        let sql = "INSERT OR REPLACE INTO meta (name, value)
                   SELECT ?1, ?2 FROM run WHERE id = ?3 AND ended IS NULL";
        if self.run(sql, params![AT_ONCE, told, id])? == 1 { Ok(()) } else { illegal(not_under_way(id)) }
    }

    fn note_work(&self, id: &str, how: Option<&str>, work: &RunWork, at: Timestamp) -> Result<(), Failure> {
        let RunWork { copied, copied_bytes, deleted, compared } = *work;
        let sql = "UPDATE run SET ended = ?2, seen_ms = ?3, copied = ?4, copied_bytes = ?5, deleted = ?6, compared = ?7
                   WHERE id = ?1 AND ended IS NULL";
        let (copied, copied_bytes) = (number(copied)?, copied_bytes.map(number).transpose()?);
        let values = params![id, how, at.0, copied, copied_bytes, number(deleted)?, number(compared)?];
        if self.run(sql, values)? == 1 { Ok(()) } else { illegal(not_under_way(id)) }
    }
}

fn not_under_way(id: &str) -> String {
    format!("no run {id} is under way")
}

/// What a run has last said of its requests at once, and when; `None` if it has said nothing, or another run did since.
pub(super) fn at_once(connection: &Connection, run: &str) -> Result<Option<(Vec<RequestsAtOnce>, Timestamp)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let told: Option<String> = statement.query_row([AT_ONCE], |row| row.get(0)).optional()?;
    // Nothing depends on it: what another build wrote in another form is not known.
    let told = told.and_then(|told| serde_json::from_str::<AtOnce>(&told).ok());
    Ok(told.filter(|told| told.run == run).map(|told| (told.sites, Timestamp(told.at))))
}

/// The latest runs, the latest first, at most `limit`.
pub(super) fn runs(connection: &Connection, limit: usize) -> Result<Vec<RunRow>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT number, id, command, by, began_ms, seen_ms, ended, copied, copied_bytes, deleted, compared FROM run
         ORDER BY number DESC LIMIT ?1",
    )?;
    gather(statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?, |row| {
        Ok(RunRow {
            number: row.get(0)?,
            id: row.get(1)?,
            command: row.get(2)?,
            by: row.get(3)?,
            began: Timestamp(row.get(4)?),
            seen: Timestamp(row.get(5)?),
            ended: row.get(6)?,
            work: RunWork {
                copied: row.get(7)?,
                copied_bytes: row.get(8)?,
                deleted: row.get(9)?,
                compared: row.get(10)?,
            },
        })
    })
}

/// How many runs there were.
pub(super) fn runs_total(connection: &Connection) -> Result<u64, Failure> {
    Ok(connection.query_row("SELECT count(*) FROM run", [], |row| row.get(0))?)
}
