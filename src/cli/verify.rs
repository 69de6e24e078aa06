//! `migrate verify`: proves that every target equals its source, or lists what differs.

use std::{fmt::Write as _, sync::Arc};

use serde::Serialize;

use super::{
    args::{Global, VerifyArgs},
    documented,
    error::{Code, Failure},
    interrupt,
    progress::{self, Show},
    render,
    session::{self, Session},
    term,
};
use crate::{
    engine::{self, Found, Shutdown, Sites, Verification, VerifyOptions},
    plan::Dataset,
    report::Sink,
};

pub(super) fn verify(args: &VerifyArgs, global: &Global) -> Result<Code, Failure> {
    verified(args, global).map_err(|failure| documented(failure, args.json))
}

/// What came of a verification: the document of `--json`.
#[derive(Debug, Serialize)]
struct Answer {
    equal: bool,
    /// `listing`, `checksum`, `bytes`, or `mixed` where the plan asks for different ones.
    level: &'static str,
    /// It was stopped before its end: what is not listed was not compared.
    interrupted: bool,
    /// Records that were copied again; `None` where nothing was to be repaired.
    repaired: Option<u64>,
    datasets: Vec<Row>,
    next: String,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    found: Found,
    equal: bool,
    level: &'static str,
}

fn verified(args: &VerifyArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let options = VerifyOptions {
        datasets: session.datasets(&args.datasets)?,
        level: args.level.map(Into::into),
        limits: engine::Limits::default(),
    };
    let show = if session.quiet || args.json { Show::Quiet } else { Show::Progress };
    let (verifications, repaired) = session::block_on(look(&session, &options, args.repair, show))?;
    let answer = Answer::new(&session, &options, verifications, repaired);
    if args.json {
        term::answer_json(&answer);
    } else {
        term::answer(&answer.text());
    }
    Ok(answer.code())
}

async fn look(
    session: &Session,
    options: &VerifyOptions,
    repair: bool,
    show: Show,
) -> Result<(Vec<Verification>, Option<u64>), Failure> {
    let shutdown = Shutdown::new();
    let _listening = interrupt::listen(&shutdown)?;
    let (sink, events) = Sink::new();
    let _lock = if repair {
        session.state.prepare()?;
        Some(session.state.lock(&session::typed())?)
    } else {
        None
    };
    let sites = Sites::new();
    let failed = |error| Failure::engine(&error, session.redactor);
    let display = progress::show(events, show, session.redactor);
    let done = if repair {
        let ledger = Arc::new(session.ledger_to_write()?);
        let done = engine::repair(&session.plan, &sites, Arc::clone(&ledger), options, sink, shutdown).await;
        let closed = session::close(ledger).await;
        let (verifications, mended) = done.map_err(failed)?;
        closed?;
        (verifications, Some(mended))
    } else {
        let ledger = session.ledger_to_read()?.map(Arc::new);
        let done = engine::verify(&session.plan, &sites, ledger, options, sink, shutdown).await;
        (done.map_err(failed)?, None)
    };
    let _seen = display.await;
    Ok(done)
}

impl Answer {
    fn new(
        session: &Session,
        options: &VerifyOptions,
        verifications: Vec<Verification>,
        repaired: Option<u64>,
    ) -> Self {
        let asked: Vec<&Dataset> = engine::asked(&session.plan, &[], &options.datasets).collect();
        // A stop between two datasets leaves the rest unseen.
        let interrupted = verifications.len() < asked.len() || verifications.iter().any(|one| one.interrupted);
        let equal = !interrupted && verifications.iter().all(|one| one.verified.is_some());
        let level_of = |dataset: &Dataset| options.level.unwrap_or(dataset.verify).as_str();
        let mut rows = Vec::new();
        for (dataset, verification) in asked.iter().zip(verifications) {
            let (unseen, level) = (verification.interrupted, level_of(dataset));
            rows.extend(verification.targets.into_iter().map(|mut found| {
                for difference in &mut found.differences {
                    *difference = session.redactor.difference(difference);
                }
                Row { equal: !unseen && found.is_equal(), found, level }
            }));
        }
        let first = asked.first().map_or("checksum", |dataset| level_of(dataset));
        let level = if asked.iter().all(|dataset| level_of(dataset) == first) { first } else { "mixed" };
        let mut answer = Self { equal, level, interrupted, repaired, datasets: rows, next: String::new() };
        answer.next = answer.next(session, options);
        answer
    }

    fn next(&self, session: &Session, options: &VerifyOptions) -> String {
        let mut more = Vec::new();
        for dataset in &options.datasets {
            more.extend(["--dataset", dataset.as_str()]);
        }
        if let Some(level) = options.level {
            more.extend(["--level", level.as_str()]);
        }
        // Nothing is copied back to those that a moved lead has left behind.
        let mendable = self.datasets.iter().any(|row| !row.found.moved && row.found.missing + row.found.different > 0);
        if self.datasets.iter().all(|row| row.equal || row.found.moved) {
            return session.command("status", &[]);
        }
        if self.equal {
            return session.command("status", &[]);
        }
        if mendable && self.repaired.is_none() && !self.interrupted {
            more.push("--repair");
        } else if self.only_unreadable() || self.interrupted {
            if self.repaired.is_some() {
                more.push("--repair");
            }
        } else {
            // What a repair leaves over, a pass settles: deletions, and what changes meanwhile.
            return session.run_command();
        }
        session.command("verify", &more)
    }

    fn only_unreadable(&self) -> bool {
        self.datasets.iter().all(|row| row.found.broken() == 0)
    }

    fn code(&self) -> Code {
        match self {
            _ if self.equal => Code::Done,
            _ if self.interrupted || self.only_unreadable() => Code::Incomplete,
            _ => Code::Differs,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.datasets {
            for difference in &row.found.differences {
                let (kind, key, detail) = (difference.kind.as_str(), &difference.key, &difference.detail);
                let _ = writeln!(text, "{kind} {key} at {}: {detail}", row.found.target);
            }
            if row.found.differences_omitted > 0 {
                let _ = writeln!(text, "... and {} more at {}", row.found.differences_omitted, row.found.target);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        for row in &self.datasets {
            let Found { name, target, compared, missing, extra, different, unreadable, .. } = &row.found;
            let verdict = if row.equal { "equal" } else { "NOT EQUAL" };
            let compared = render::count(*compared, "record", "records");
            let _ = writeln!(
                text,
                "{name} at {target}: {verdict} by {}; {compared} compared, {missing} missing, {extra} extra{}, \
                 {different} different, {unreadable} unreadable",
                row.level,
                if row.equal && *extra > 0 { " (the plan keeps them)" } else { "" },
            );
            if row.found.moved {
                let lead = &row.found.lead;
                let _ = writeln!(text, "  {lead} leads; what is written there since is not copied back yet");
            }
            for spot in &row.found.blind_spots {
                let _ = writeln!(text, "  not seen: {spot}");
            }
        }
        if let Some(repaired) = self.repaired {
            let _ = writeln!(text, "{} copied again", render::count(repaired, "record", "records"));
        }
        if self.interrupted {
            text.push_str("It was stopped before its end: what is not listed was not compared.\n");
        }
        let _ = write!(text, "next: {}", self.next);
        text
    }
}
