//! Drives the migration, or has the process that drives it carry a request out.

use std::time::Duration;

use super::{
    clock,
    error::{Code, Failure},
    operator,
    session::{self, Session},
    state::Lock,
    term,
};
use migrate_ledger::{Answer, Record, Request, RequestRow};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often to try a taken lock whose file names no holder.
const TRIES: u32 = 20;

/// The answer about a request that is being carried out.
const TAKEN: &str = "the running process carries it out, and `migrate status` will show what came of it";

/// The process that carries a command out.
pub(super) enum Driver {
    /// This process, for as long as it holds the lock.
    Ourselves(Lock),
    /// Another one, with its answer.
    Other(Answer),
}

/// Takes the lock, or leaves the request with the process that holds it and waits for its answer.
pub(super) async fn drive_or_ask(session: &Session, request: Request) -> Result<Driver, Failure> {
    session.state.prepare()?;
    let mut tried = 0;
    let holder = loop {
        let held = match session.state.lock(&session::typed()) {
            Ok(lock) => return Ok(Driver::Ourselves(lock)),
            Err(held) => held,
        };
        tried += 1;
        // A process that is just ending has removed its name from the lock file and still holds the lock.
        match session.state.holder() {
            Some(holder) => break holder,
            None if tried < TRIES => {}
            None => return Err(held),
        }
    };
    term::tell(&format!("asking {holder}"));
    let ledger = session.ledger_to_write()?;
    let failed = |error| Failure::ledger(&error);
    let id = format!("{}-{}", std::process::id(), clock::now().0);
    let row = RequestRow { id: id.clone(), by: operator::me(), at: clock::now(), request, answer: None };
    ledger.append(vec![Record::Requested(row)]).await.map_err(failed)?;
    loop {
        let stopped = tokio::time::timeout(LOOK_EVERY, tokio::signal::ctrl_c()).await.is_ok();
        if stopped {
            ledger.append(vec![Record::RequestTakenBack { id: id.clone(), at: clock::now() }]).await.map_err(failed)?;
            if ledger.request_taken(&id).await.map_err(failed)? {
                return Err(Failure::new(Code::Incomplete, format!("it is too late to take it back: {TAKEN}"))
                    .coded("too_late"));
            }
        }
        if let Some(answer) = ledger.answer_to(&id).await.map_err(failed)? {
            if stopped && !answer.done {
                let taken_back = "the request was taken back before it was carried out";
                return Err(Failure::new(Code::Incomplete, taken_back).coded("taken_back"));
            }
            return Ok(Driver::Other(answer));
        }
        if session.state.holder().is_some() {
            continue;
        }
        // It ended without an answer: take the request back and carry it out here.
        let lock = session.state.lock(&session::typed())?;
        if let Some(answer) = ledger.answer_to(&id).await.map_err(failed)? {
            return Ok(Driver::Other(answer));
        }
        let answer = Answer { done: false, detail: "no process was there to carry it out".to_owned() };
        ledger.append(vec![Record::Answered { id, answer, at: clock::now() }]).await.map_err(failed)?;
        return Ok(Driver::Ourselves(lock));
    }
}
