//! Finds the record that was asked for, in every dataset that may have it.

use clap::Args;
use serde::Serialize;

use super::{
    record::{self, InDataset},
    text,
};
use crate::cli::{
    advise::{Situation, documented},
    args::Global,
    complete,
    error::{Code, Failure},
    next::Next,
    plan_file::PlanFile,
    session::{self, Session},
    term,
};
use migrate_core::{
    item::{item_from_json, item_to_json},
    model::{DatasetName, Key, PlanName},
    plan::Dataset,
    report::Redactor,
};
use migrate_ledger::Ledger;

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "Examples:
  migrate show plan.toml images/cat.jpg
  migrate show plan.toml 'key:0123456789abcdef' --dataset catalog      # a hidden key, as it is shown
  migrate show plan.toml '{\"id\":{\"S\":\"a-17\"},\"at\":{\"N\":\"5\"}}'       # an item of a table

The key is typed as every other answer prints it. An object's key is relative to the dataset's prefix. An item's
key is its key attributes as DynamoDB's JSON: the order of the attributes, and blanks, do not matter.")]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// The record, as other answers print its key
    #[arg(value_name = "KEY")]
    key: String,
    /// Only in this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    datasets: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    plan: &'a PlanName,
    /// The record's key, hidden if the plan says so.
    key: Key,
    /// The datasets that know something of it.
    datasets: Vec<InDataset>,
    #[serde(flatten)]
    next: Next,
}

pub(in crate::cli) fn show(args: &ShowArgs, global: &Global) -> Result<Code, Failure> {
    shown(args, global).map_err(|failure| documented(failure, args.json))
}

fn shown(args: &ShowArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load(&args.plan, global)?;
    let asked: Vec<DatasetName> = match &args.datasets[..] {
        [] => session.plan.datasets().map(|dataset| dataset.name.clone()).collect(),
        names => session.datasets(names)?,
    };
    let (key, datasets) = session::block_on(find(&session, &args.key, &asked))?;
    let is_known = !datasets.is_empty();
    let next = session.next(&if is_known { Situation::Changed } else { Situation::UnknownRecord });
    let shown = Shown { plan: &session.plan.name, key: session.redactor.key(&key), datasets, next };
    if args.json {
        term::answer_json(&shown);
    } else {
        term::answer(&format!("{}{}", text::text(&shown.key, &shown.datasets), shown.next));
    }
    Ok(if is_known { Code::Done } else { Code::Differs })
}

/// What each dataset knows of the record, and its key.
async fn find(session: &Session, word: &str, asked: &[DatasetName]) -> Result<(Key, Vec<InDataset>), Failure> {
    let mut key = Key::from(word);
    let Some(ledger) = session.ledger_to_read()? else { return Ok((key, Vec::new())) };
    let failed = |error| Failure::ledger(&error);
    let standing = session.standing(Some(&ledger), session.goal(), 0).await;
    let standing = standing.map_err(|error| Failure::engine(&error, session.redactor))?;
    let mut found = Vec::new();
    for dataset in session.plan.datasets().filter(|dataset| asked.contains(&dataset.name)) {
        let here = key_in(&ledger, dataset, word, session.redactor).await.map_err(failed)?;
        let known = ledger.known(&dataset.name, &here).await.map_err(failed)?;
        // Of a table the ledger does not keep each item, so any of its items may be there.
        let may_be_item = dataset.is_table() && item_from_json(word.as_bytes()).is_ok();
        if known.is_nothing() && !may_be_item {
            continue;
        }
        let one = standing.iter().flat_map(|phase| &phase.datasets).find(|one| one.name == dataset.name);
        let one = one.expect("every dataset of the plan has a standing");
        found.push(record::in_dataset(session.redactor, dataset, one, &here, &known));
        key = here;
    }
    Ok((key, found))
}

/// The key that a word names in a dataset: as it is, as it is shown if it is hidden or holds control characters, and of
/// an item in the spelling of the ledger.
async fn key_in(
    ledger: &Ledger,
    dataset: &Dataset,
    word: &str,
    redactor: Redactor,
) -> Result<Key, migrate_ledger::LedgerError> {
    if dataset.is_table()
        && let Ok(item) = item_from_json(word.as_bytes())
    {
        return Ok(Key::new(item_to_json(&item)));
    }
    if redactor.is_hidden(word) || word.contains('\\') {
        let typed = word.to_owned();
        let is_it = move |key: &Key| redactor.key(key).as_str() == typed || key.to_string() == typed;
        if let Some(key) = ledger.find_key(&dataset.name, is_it).await? {
            return Ok(key);
        }
    }
    Ok(Key::from(word))
}
