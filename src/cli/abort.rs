//! `migrate abort`: gives datasets up before their lead has moved.

use std::sync::Arc;

use serde_json::json;

use super::{
    args::{AbortArgs, Global},
    ask::{Driver, drive_or_ask},
    documented,
    error::{Code, Failure},
    interrupt,
    next::Situation,
    session::{self, Session},
    term,
};
use crate::{
    engine::{self, AbortOptions, Aborted, Shutdown, Sites},
    ledger::{Answer, Request},
    report::Sink,
};

pub(super) fn abort(args: &AbortArgs, global: &Global) -> Result<Code, Failure> {
    aborted(args, global).map_err(|failure| documented(failure, args.json))
}

fn aborted(args: &AbortArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = AbortOptions { datasets: session.datasets(&args.datasets)?, discard: args.discard };
    if session.ledger_to_read()?.is_none() {
        return Err(Failure::new(Code::Differs, "nothing has begun, so there is nothing to give up")
            .then(session.next(&Situation::NotBegun)));
    }
    let request = Request::Abort { datasets: options.datasets.clone(), discard: options.discard };
    let (done, text, ends): (_, _, Option<Vec<Aborted>>) = session::block_on(async {
        Ok(match drive_or_ask(&session, request).await? {
            Driver::Other(Answer { done, detail }) => (done, detail, None),
            Driver::Ourselves(_lock) => {
                let ends = carry_out(&session, &options).await?;
                let text: Vec<_> = ends.iter().map(ToString::to_string).collect();
                (ends.iter().all(|end| end.done), text.join("\n"), Some(ends))
            }
        })
    })?;
    let next = session.next(&Situation::Changed);
    if args.json {
        let mut document = json!({ "done": done, "datasets": ends, "detail": text });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        term::answer(&format!("{text}\n{next}"));
    }
    let blocked = ends.iter().flatten().all(|end| end.done || end.blocked);
    Ok(match (done, blocked) {
        (true, _) => Code::Done,
        (false, true) => Code::Differs,
        (false, false) => Code::Incomplete,
    })
}

async fn carry_out(session: &Session, options: &AbortOptions) -> Result<Vec<Aborted>, Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let ledger = Arc::new(session.ledger_to_write()?);
    let (sites, limits) = (Sites::new(), engine::Limits::default());
    let ends = engine::abort(&session.plan, &sites, Arc::clone(&ledger), options, limits, Sink::none(), shutdown).await;
    let closed = session::close(ledger).await;
    let ends = ends.map_err(|error| Failure::engine(&error, session.redactor))?;
    closed.map(|()| ends)
}
