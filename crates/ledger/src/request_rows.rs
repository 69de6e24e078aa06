//! Approvals, requests and limits in the file.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{
    apply::Apply,
    failure::Failure,
    request::{Answer, Approval, LimitsOf, RequestRow, Setting},
};
use migrate_core::model::{PhaseName, Timestamp};

impl Apply<'_> {
    pub(super) fn approve(&self, approval: &Approval) -> Result<(), Failure> {
        let Approval { phase, binds, by, at } = approval;
        self.run(
            "INSERT OR REPLACE INTO approval (phase, binds, by, at_ms) VALUES (?1, ?2, ?3, ?4)",
            params![phase.as_str(), binds, by, at.0],
        )?;
        Ok(())
    }

    pub(super) fn withdraw_approval(&self, phase: &PhaseName) -> Result<(), Failure> {
        self.run("DELETE FROM approval WHERE phase = ?1", [phase.as_str()])?;
        Ok(())
    }

    pub(super) fn request(&self, row: &RequestRow) -> Result<(), Failure> {
        let request = serde_json::to_string(&row.request).expect("a request of names and texts is JSON");
        self.run(
            "INSERT INTO request (id, by, at_ms, request) VALUES (?1, ?2, ?3, ?4)",
            params![row.id, row.by, row.at.0, request],
        )?;
        Ok(())
    }

    pub(super) fn answer(&self, id: &str, answer: &Answer, at: Timestamp) -> Result<(), Failure> {
        let sql = "UPDATE request SET answer = ?2, answered_ms = ?3 WHERE id = ?1 AND answer IS NULL";
        self.run(sql, params![id, json(answer), at.0])?;
        Ok(())
    }

    pub(super) fn take_request(&self, id: &str) -> Result<(), Failure> {
        self.run("UPDATE request SET taken = 1 WHERE id = ?1 AND answer IS NULL", [id])?;
        Ok(())
    }

    pub(super) fn take_request_back(&self, id: &str, at: Timestamp) -> Result<(), Failure> {
        let answer = Answer { done: false, detail: "it was taken back".to_owned() };
        let sql = "UPDATE request SET answer = ?2, answered_ms = ?3 WHERE id = ?1 AND answer IS NULL AND taken = 0";
        self.run(sql, params![id, json(&answer), at.0])?;
        Ok(())
    }

    pub(super) fn set_limit(&self, of: &LimitsOf, key: &str, setting: &Setting) -> Result<(), Failure> {
        let of = json(of);
        if *setting == Setting::Plan {
            self.run("DELETE FROM limit_set WHERE of = ?1 AND key = ?2", params![of, key])?;
        } else {
            let sql = "INSERT OR REPLACE INTO limit_set (of, key, setting) VALUES (?1, ?2, ?3)";
            self.run(sql, params![of, key, json(setting)])?;
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and texts are JSON")
}

fn parsed<T: for<'a> Deserialize<'a>>(text: &str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Damaged(format!("{what}: {error}")))
}

/// The current approvals, by phase.
pub(super) fn approvals(connection: &Connection) -> Result<Vec<Approval>, Failure> {
    let mut statement = connection.prepare_cached("SELECT phase, binds, by, at_ms FROM approval ORDER BY phase")?;
    super::query::gather(statement.query([])?, |row| {
        let phase = PhaseName::new(&row.get::<_, String>(0)?).map_err(|error| Failure::Damaged(error.to_string()))?;
        Ok(Approval { phase, binds: row.get(1)?, by: row.get(2)?, at: Timestamp(row.get(3)?) })
    })
}

/// The unanswered requests, in order of arrival.
pub(super) fn open_requests(connection: &Connection) -> Result<Vec<RequestRow>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT id, by, at_ms, request FROM request WHERE answer IS NULL ORDER BY number")?;
    super::query::gather(statement.query([])?, |row| {
        let request = parsed(&row.get::<_, String>(3)?, "a request")?;
        Ok(RequestRow { id: row.get(0)?, by: row.get(1)?, at: Timestamp(row.get(2)?), request, answer: None })
    })
}

/// Whether a request is being carried out.
pub(super) fn is_taken(connection: &Connection, id: &str) -> Result<bool, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM request WHERE id = ?1 AND taken = 1 AND answer IS NULL")?;
    Ok(statement.exists([id])?)
}

/// The answer to a request; `None` while there is none.
pub(super) fn answer_to(connection: &Connection, id: &str) -> Result<Option<Answer>, Failure> {
    let mut statement = connection.prepare_cached("SELECT answer FROM request WHERE id = ?1")?;
    let answer: Option<Option<String>> = statement.query_row([id], |row| row.get(0)).optional()?;
    answer.flatten().map(|answer| parsed(&answer, "an answer")).transpose()
}

/// The limits that replace the plan's.
pub(super) fn limits(connection: &Connection) -> Result<Vec<(LimitsOf, String, Setting)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT of, key, setting FROM limit_set ORDER BY of, key")?;
    super::query::gather(statement.query([])?, |row| {
        let (of, setting) = (row.get::<_, String>(0)?, row.get::<_, String>(2)?);
        Ok((parsed(&of, "a limit's owner")?, row.get(1)?, parsed(&setting, "a limit")?))
    })
}
