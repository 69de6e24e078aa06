//! `migrate limits`: shows or changes limits.

use std::{collections::BTreeMap, fmt::Write as _, iter};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{
    advise::Situation,
    advise::documented,
    args::Global,
    ask::{Driver, drive_or_ask},
    error::{Code, Failure},
    plan_file::PlanFile,
    session::{self, Session},
    term,
};
use migrate_core::model::{DatasetName, SiteName};
use migrate_engine::limits_set;
use migrate_ledger::{Answer, LimitsOf, Request, Setting};

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  migrate limits plan.toml                                  # the limits that replace the plan's
  migrate limits plan.toml beijing bandwidth=50MB/s requests_per_second=200
  migrate limits plan.toml beijing bandwidth=none           # no limit
  migrate limits plan.toml beijing bandwidth=plan           # what the plan says again

A run that is under way keeps the new limits at once, later runs keep them too. The name is a site's or
a dataset's; if both have it, write site:NAME or dataset:NAME.")]
pub(in crate::cli) struct LimitsArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// The site or dataset whose limits these are
    #[arg(value_name = "SITE|DATASET")]
    of: Option<String>,
    /// The limits: `bandwidth`, `requests_per_second`, `requests_at_once` and `window` (these two for sites only)
    #[arg(value_name = "KEY=VALUE", requires = "of")]
    settings: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl LimitsArgs {
    /// What was typed, if the plan was left out: then the word after the name is a setting.
    fn without_plan(&self) -> Self {
        match (&self.of, self.plan.typed()) {
            (Some(setting), Some(of)) if setting.contains('=') => {
                let settings = iter::once(setting).chain(&self.settings).cloned().collect();
                let of = Some(of.to_string_lossy().into_owned());
                Self { plan: PlanFile::default(), of, settings, json: self.json }
            }
            _ => self.clone(),
        }
    }
}

pub(in crate::cli) fn limits(args: &LimitsArgs, global: &Global) -> Result<Code, Failure> {
    limited(args, global).map_err(|failure| documented(failure, args.json))
}

fn limited(args: &LimitsArgs, global: &Global) -> Result<Code, Failure> {
    let args = &args.without_plan();
    let session = Session::load(&args.plan, global)?;
    let of = args.of.as_deref().map(|name| owner(&session, name)).transpose()?;
    if let Some(of) = of.filter(|_| !args.settings.is_empty()) {
        let settings = settings(&args.settings)?;
        // Refuse an impossible limit before asking another process.
        let (checked, _) = limits_set(&session.plan, &of, &settings.clone().into_iter().collect::<Vec<_>>());
        if !checked.done {
            return Err(Failure::new(Code::Wrong, checked.detail)
                .coded("limit_invalid")
                .then(session.next(&Situation::WrongLimit)));
        }
        session::block_on(set(&session, of, settings))?;
    }
    let held = session::block_on(held(&session))?;
    let next = session.next(&Situation::Changed);
    if args.json {
        let rows = held.iter().map(|(of, key, setting)| {
            let (kind, name) = match of {
                LimitsOf::Site(site) => ("site", site.to_string()),
                LimitsOf::Dataset(dataset) => ("dataset", dataset.to_string()),
            };
            json!({ kind: name, "key": key, "value": value(setting) })
        });
        let mut document = json!({ "limits": rows.collect::<Vec<_>>() });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        let mut text = String::new();
        for (of, key, setting) in &held {
            let _ = writeln!(text, "{of}: {key} = {setting}");
        }
        if held.is_empty() {
            text.push_str("the limits of the plan hold\n");
        }
        term::answer(&format!("{text}{next}"));
    }
    Ok(Code::Done)
}

fn value(setting: &Setting) -> Value {
    match setting {
        Setting::To(value) => value.as_str().into(),
        Setting::Plan | Setting::Unlimited => Value::Null,
    }
}

async fn set(session: &Session, of: LimitsOf, settings: BTreeMap<String, Setting>) -> Result<(), Failure> {
    let request = Request::Limits { of: of.clone(), settings: settings.clone() };
    let answer = match drive_or_ask(session, request).await? {
        Driver::Other(answer) => answer,
        Driver::Ourselves(_lock) => {
            let ledger = session.ledger_to_write()?;
            let (answer, records) = limits_set(&session.plan, &of, &settings.into_iter().collect::<Vec<_>>());
            ledger.append(records).await.map_err(|error| Failure::ledger(&error))?;
            ledger.close().await.map_err(|error| Failure::ledger(&error))?;
            answer
        }
    };
    match answer {
        Answer { done: true, .. } => Ok(()),
        Answer { detail, .. } => Err(Failure::new(Code::Differs, detail).then(session.next(&Situation::WrongLimit))),
    }
}

async fn held(session: &Session) -> Result<Vec<(LimitsOf, String, Setting)>, Failure> {
    match session.ledger_to_read()? {
        Some(ledger) => ledger.limits().await.map_err(|error| Failure::ledger(&error)),
        None => Ok(Vec::new()),
    }
}

/// A site or dataset of the plan by its name.
fn owner(session: &Session, name: &str) -> Result<LimitsOf, Failure> {
    let (kind, name) = name.split_once(':').map_or((None, name), |(kind, name)| (Some(kind), name));
    let site = SiteName::new(name).ok().filter(|site| session.plan.sites.contains_key(site));
    let dataset = DatasetName::new(name).ok().filter(|name| session.plan.datasets().any(|one| one.name == *name));
    match (kind, site, dataset) {
        (None | Some("site"), Some(site), None) | (Some("site"), Some(site), Some(_)) => Ok(LimitsOf::Site(site)),
        (None | Some("dataset"), None, Some(dataset)) | (Some("dataset"), Some(_), Some(dataset)) => {
            Ok(LimitsOf::Dataset(dataset))
        }
        (None, Some(_), Some(_)) => {
            Err(Failure::new(Code::Wrong, format!("{name:?} is a site and a dataset of plan {}", session.plan.name))
                .mended_by(format!("write site:{name} or dataset:{name}")))
        }
        _ => {
            let sites = session.plan.sites.keys().map(SiteName::as_str);
            let datasets = session.plan.datasets().map(|dataset| dataset.name.as_str());
            let known: Vec<_> = sites.chain(datasets).collect();
            Err(Failure::new(Code::Wrong, format!("plan {} has no site or dataset {name:?}", session.plan.name))
                .coded("unknown_name")
                .mended_by(format!("it has {}", known.join(", "))))
        }
    }
}

fn settings(words: &[String]) -> Result<BTreeMap<String, Setting>, Failure> {
    let read = |word: &String| {
        let Some((key, value)) = word.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())
        else {
            return Err(Failure::new(Code::Wrong, format!("{word:?} is not a limit"))
                .mended_by("write KEY=VALUE, as in bandwidth=50MB/s"));
        };
        let setting = match value {
            "plan" => Setting::Plan,
            "none" => Setting::Unlimited,
            value => Setting::To(value.to_owned()),
        };
        Ok((key.to_owned(), setting))
    };
    words.iter().map(read).collect()
}
