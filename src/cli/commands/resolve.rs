//! `migrate resolve`: records what a person has decided about late writes.

use std::{fmt::Write as _, iter, sync::Arc};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{
    advise::Situation,
    advise::documented,
    args::Global,
    ask::{Driver, drive_or_ask},
    clock, complete,
    error::{Code, Failure},
    operator,
    plan_file::PlanFile,
    render::{self, Grouped},
    session::{self, Session},
    term,
};
use migrate_core::{
    model::{DatasetName, Key},
    report::Redactor,
};
use migrate_engine::{self as engine, EngineError};
use migrate_ledger::{Answer, Ledger, Request};

/// Late writes of each dataset that the answer lists.
const SHOWN: usize = 100;
/// Late writes read from the ledger at once.
const PAGE: usize = 1000;

/// A selection of late writes, by dataset: these keys, or all that are open.
type Late = Vec<(DatasetName, Option<Vec<Key>>)>;

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  migrate resolve plan.toml                                 # which late writes are open
  migrate resolve plan.toml 2026/07/a.json --reason 'the shop wrote it again'
  migrate resolve 2026/07/a.json                            # of migrate.toml
  migrate resolve plan.toml --dataset storefront --all

A late write came to the old lead after the final verification, or since: the new lead lacks it. Carry over what
the new lead is to hold, and run again: that settles what both leads hold alike. A person decides about
the rest; `resolve` records the decision, the operator and the time, and copies and deletes nothing.
If the old lead follows, the next run then copies over just that version what the new lead holds.

The first word is the plan if a file has that name; otherwise it is a key, and the plan is migrate.toml.")]
pub(in crate::cli) struct ResolveArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Which records, as `migrate resolve PLAN` lists them
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// All late writes that are open
    #[arg(long)]
    all: bool,
    /// Only late writes of this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    datasets: Vec<String>,
    /// Why; kept with the decision
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl ResolveArgs {
    /// What was typed, if the plan was left out: then the first word is a key, since no file has its name.
    fn without_plan(&self) -> Self {
        match self.plan.typed().filter(|_| self.plan.is_another_word()) {
            Some(key) => {
                let keys = iter::once(key.to_string_lossy().into_owned()).chain(self.keys.iter().cloned()).collect();
                Self { plan: PlanFile::default(), keys, ..self.clone() }
            }
            None => self.clone(),
        }
    }
}

pub(in crate::cli) fn resolve(args: &ResolveArgs, global: &Global) -> Result<Code, Failure> {
    resolved(args, global).map_err(|failure| documented(failure, args.json))
}

fn resolved(args: &ResolveArgs, global: &Global) -> Result<Code, Failure> {
    let args = &args.without_plan();
    if args.all && !args.keys.is_empty() {
        return Err(Failure::new(Code::Wrong, "--all is all records: name either some of them or --all"));
    }
    let session = Session::load(&args.plan, global)?;
    let asked: Vec<_> = match &args.datasets[..] {
        [] => session.plan.datasets().map(|dataset| dataset.name.clone()).collect(),
        names => session.datasets(names)?,
    };
    let only_looks = args.keys.is_empty() && !args.all;
    let detail = if only_looks { None } else { Some(session::block_on(decide(&session, args, &asked))?) };
    let open = session::block_on(open(&session, &asked))?;
    answer(&session, args, &open, detail.as_deref());
    let is_left = only_looks && open.iter().any(|one| one.count > 0);
    Ok(if is_left { Code::Differs } else { Code::Done })
}

/// Records the decision, or has the process that drives the migration record it; returns what was done.
async fn decide(session: &Session, args: &ResolveArgs, asked: &[DatasetName]) -> Result<String, Failure> {
    let late = named(session, args, asked).await?;
    let request = Request::Resolve { late: late.clone(), reason: args.reason.clone() };
    match drive_or_ask(session, request).await? {
        Driver::Other(Answer { done: true, detail }) => Ok(detail),
        Driver::Other(Answer { detail, .. }) => Err(Failure::new(Code::Differs, detail)),
        Driver::Ourselves(_lock) => {
            let ledger = Arc::new(session.ledger_to_write()?);
            let at = clock::now();
            let resolution = engine::resolution(&ledger, late, &operator::me(), args.reason.as_deref(), at).await;
            let written = match resolution {
                Ok((count, records)) => ledger.append(records).await.map(|()| count).map_err(EngineError::from),
                Err(error) => Err(error),
            };
            session::close(ledger).await?;
            let count = written.map_err(|error| Failure::engine(&error, session.redactor))?;
            Ok(format!("{} resolved", render::count(count, "late record", "late records")))
        }
    }
}

/// Finds the named records among the open late writes. A name that is not there is a typing error, and nothing
/// is recorded.
async fn named(session: &Session, args: &ResolveArgs, asked: &[DatasetName]) -> Result<Late, Failure> {
    let ledger = session.ledger_to_read()?;
    if args.all {
        return Ok(asked.iter().filter(|_| ledger.is_some()).map(|dataset| (dataset.clone(), None)).collect());
    }
    let failed = |error| Failure::ledger(&error);
    let mut late: Late = asked.iter().map(|dataset| (dataset.clone(), Some(Vec::new()))).collect();
    for word in &args.keys {
        let mut known = false;
        for (dataset, keys) in &mut late {
            let Some(ledger) = &ledger else { continue };
            if let Some(key) = find(ledger, dataset, word, session.redactor).await.map_err(failed)? {
                keys.get_or_insert_default().push(key);
                known = true;
            }
        }
        if !known {
            return Err(Failure::new(Code::Wrong, format!("no late record {word:?} is open"))
                .coded("unknown_record")
                .mended_by("name it as `migrate resolve PLAN` lists it, or all of them with --all")
                .then(session.next(&Situation::Late)));
        }
    }
    late.retain(|(_, keys)| keys.as_ref().is_some_and(|keys| !keys.is_empty()));
    Ok(late)
}

/// The late write of this name, which may be the shown form of a hidden key.
async fn find(
    ledger: &Ledger,
    dataset: &DatasetName,
    word: &str,
    redactor: Redactor,
) -> Result<Option<Key>, migrate_ledger::LedgerError> {
    let key = Key::from(word);
    if ledger.late_at(dataset, &key).await?.is_some_and(|late| late.is_open) {
        return Ok(Some(key));
    }
    let mut after = None;
    while redactor.is_hidden(word) {
        let page = ledger.late_open(dataset, after.as_ref(), PAGE).await?;
        let Some(last) = page.last().cloned() else { break };
        if let Some(found) = page.into_iter().find(|key| redactor.key(key).as_str() == word) {
            return Ok(Some(found));
        }
        after = Some(last);
    }
    Ok(None)
}

/// The open late writes of one dataset.
struct Left {
    dataset: DatasetName,
    count: u64,
    keys: Vec<Key>,
}

async fn open(session: &Session, asked: &[DatasetName]) -> Result<Vec<Left>, Failure> {
    let Some(ledger) = session.ledger_to_read()? else { return Ok(Vec::new()) };
    let failed = |error| Failure::ledger(&error);
    let mut open = Vec::new();
    for dataset in asked {
        let count = ledger.late_counts(dataset).await.map_err(failed)?.open;
        let keys = ledger.late_open(dataset, None, SHOWN).await.map_err(failed)?;
        let keys = keys.iter().map(|key| session.redactor.key(key)).collect();
        open.push(Left { dataset: dataset.clone(), count, keys });
    }
    Ok(open)
}

fn answer(session: &Session, args: &ResolveArgs, open: &[Left], detail: Option<&str>) {
    let left: u64 = open.iter().map(|one| one.count).sum();
    let next = match (left, detail) {
        (0, _) => session.next(&Situation::Changed),
        (_, None) => session.next(&Situation::LateListed),
        (_, Some(_)) => session.next(&Situation::Late),
    };
    if args.json {
        let of = |one: &Left| json!({ "name": one.dataset, "late_writes": one.count, "late_keys": one.keys });
        let datasets: Vec<Value> = open.iter().filter(|one| one.count > 0).map(of).collect();
        let mut document = json!({ "done": detail.is_some(), "detail": detail, "open": left, "datasets": datasets });
        next.add_to(&mut document);
        term::answer_json(&document);
        return;
    }
    let mut text = detail.map(|detail| format!("{detail}\n")).unwrap_or_default();
    for one in open.iter().filter(|one| one.count > 0) {
        let records = render::count(one.count, "late record is open", "late records are open");
        let _ = writeln!(text, "{}: {records}:", one.dataset);
        for key in &one.keys {
            let _ = writeln!(text, "  {key}");
        }
        if one.count > one.keys.len() as u64 {
            let _ = writeln!(text, "  ... and {} more", Grouped(one.count - one.keys.len() as u64));
        }
    }
    if left == 0 {
        text.push_str("no late record is open\n");
    }
    term::answer(&format!("{text}{next}"));
}
