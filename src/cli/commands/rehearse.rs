//! `migrate rehearse`: the whole plan against a local cloud, with everything that a real run does.

use std::{path::PathBuf, sync::Arc, time::Instant};

use async_trait::async_trait;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use super::run;
use crate::cli::{
    advise::{self, Situation},
    args::{Global, RunArgs, Until},
    error::{Code, Failure},
    interrupt, render,
    running::{Running, Worked},
    session::{self, Session},
    term,
};
use migrate_core::{lifecycle::Goal, model::ByteCount};
use migrate_engine::{
    self as engine, Approver, Clock, EngineError, Inspection, Ready, RunOptions, Shutdown, Sink, Sites,
    survey::{DatasetPreview, Preview, SurveyOptions},
};
use migrate_rehearsal::{Cloud, CloudOptions, Writer, WriterError, cloud::CloudError};
use migrate_store::retry::RetryPolicy;

mod summary;

use summary::{Row, Summary, Told, proof};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate rehearse plans/global-expansion.toml
  migrate rehearse plan.toml --seed 7 --scale 3      # other data, three times as much
  migrate rehearse plan.toml --until verified        # no cutover

A local stand-in replaces every endpoint, directory, route, credential, hook, CDN and probe of the plan.
The same plan, seed and scale end in the same state; the answer names its digest.")]
pub(in crate::cli) struct RehearseArgs {
    /// The plan file
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// The seed of the sample data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How much sample data: 1 is about a thousand objects
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// How far to go; without it, as far as the plan says
    #[arg(long, value_name = "STEP")]
    until: Option<Until>,
    /// Print events, one JSON object a line; the last is `rehearsal_ended`
    #[arg(long)]
    json: bool,
}

/// The local cloud keeps its data in memory, and more would not fit.
const SCALE_MAX: f64 = 100.0;

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= SCALE_MAX => Ok(scale),
        _ => Err(format!("write a number above 0, at most {SCALE_MAX}: the local cloud keeps its data in memory")),
    }
}

pub(in crate::cli) fn rehearse(args: &RehearseArgs, global: &Global) -> Result<Code, Failure> {
    let clock = Clock::start();
    rehearsed(args, global, clock).map_err(advise::completed).inspect_err(|failure| {
        if args.json {
            let mut line = failure.to_json();
            line["event"] = "error".into();
            term::answer_line(&clock.stamp(line));
        }
    })
}

fn rehearsed(args: &RehearseArgs, global: &Global, clock: Clock) -> Result<Code, Failure> {
    let real = Session::load(&args.plan, global)?;
    let state = real.rehearsal_state();
    state.prepare()?;
    let _lock = state.lock(&session::typed())?;
    state.clear().map_err(|error| {
        let message = format!("failed to clear the last rehearsal in {}: {error}", state.path().display());
        Failure::new(Code::Incomplete, message).mended_by("remove it by hand")
    })?;
    let root = state.path().join("sites");
    session::block_on(async {
        let options = CloudOptions { seed: args.seed, scale: args.scale, ..CloudOptions::default() };
        tell(args, global, &format!("rehearsing {}: a local cloud for every site of the plan", real.plan.name));
        let cloud = Cloud::start(&real.plan, &root, &options).await.map_err(|error| no_cloud(&error))?;
        let session = real.rehearsing(cloud.plan().clone(), state);
        let rehearsal = Rehearsal { args, clock, real: &real, session: &session, cloud: &cloud };
        let ended = rehearsal.hold().await;
        cloud.stop().await;
        ended
    })
}

fn tell(args: &RehearseArgs, global: &Global, text: &str) {
    if !args.json && !global.quiet {
        term::tell(text);
    }
}

fn no_cloud(error: &CloudError) -> Failure {
    Failure::new(
        Code::Incomplete,
        format!("the local cloud did not come up: {}", crate::cli::error::with_causes(error)),
    )
}

/// One rehearsal.
struct Rehearsal<'a> {
    args: &'a RehearseArgs,
    clock: Clock,
    real: &'a Session,
    session: &'a Session,
    cloud: &'a Cloud,
}

impl Rehearsal<'_> {
    async fn hold(&self) -> Result<Code, Failure> {
        let goal = run::goal(self.args.until);
        self.refuse(goal)?;
        let shutdown = Shutdown::new();
        let _listening = interrupt::listen(&shutdown)?;
        let began = Instant::now();
        let preview = self.preview(&shutdown).await?;
        let writers: Vec<_> = self.cloud.writers(self.args.seed, self.args.scale).into_iter().map(Arc::new).collect();
        let mut writing = JoinSet::new();
        for writer in &writers {
            let writer = Arc::clone(writer);
            writing.spawn(async move { writer.write().await });
        }
        let run_args = self.run_args();
        let approver = Arc::new(AtRest { writers: writers.clone() });
        let options = RunOptions {
            goal,
            phases: Vec::new(),
            datasets: Vec::new(),
            force: false,
            limits: engine::InFlightMax::default(),
            approver,
        };
        let again = session::typed();
        let running =
            Running { session: self.session, args: &run_args, clock: self.clock, options, again: again.clone() };
        let mut worked = self.run(&running, &writers, &shutdown).await?;
        if worked.outcome.datasets.iter().all(|dataset| dataset.reached) && goal == Goal::CutOver {
            // Writers whose lead has moved go on at the new one until they have written everything.
            while !shutdown.is_draining()
                && let Some(ended) = writing.join_next().await
            {
                ended.map_err(|error| failed(&error.into()))?.map_err(|error| broke_off(&error))?;
            }
        }
        writing.shutdown().await;
        let mut promises = Vec::new();
        for writer in &writers {
            promises.push(writer.check().await.map_err(|error| broke_off(&error))?);
        }
        running.tell_stopped(&worked.outcome);
        let end_state = self.cloud.end_state().await.map_err(|error| failed(&error.into()))?;
        let datasets = self.datasets(&mut worked);
        let complete = worked.outcome.stopped.is_none()
            && worked.outcome.datasets.iter().all(|dataset| dataset.reached)
            && promises.iter().all(|promise| promise.broken.is_empty())
            && datasets.iter().all(|dataset| dataset.late_writes == 0);
        let summary = Summary {
            complete,
            seconds: began.elapsed().as_secs_f64(),
            to_move: preview
                .phases
                .iter()
                .flat_map(|phase| &phase.datasets)
                .filter_map(|dataset| dataset.records)
                .sum(),
            datasets,
            promises: promises.into_iter().map(Told::from).collect(),
            left_out: self.cloud.notes().iter().map(ToString::to_string).collect(),
            end_state: end_state.all,
            state: self.session.state.path().display().to_string(),
            next: self.real.next(&if complete { Situation::Rehearsed } else { Situation::Stopped(&again) }),
        };
        self.answer(&summary);
        Ok(match (&worked.outcome, complete) {
            (_, true) => Code::Done,
            (outcome, false) if outcome.interrupted => Code::Incomplete,
            _ => Code::Differs,
        })
    }

    /// Runs. If no approval waits until the writers rest, runs again once they do, as an operator would.
    async fn run(
        &self,
        running: &Running<'_>,
        writers: &[Arc<Writer>],
        shutdown: &Shutdown,
    ) -> Result<Worked, Failure> {
        let sites = Sites::new(self.cloud.connect(), RetryPolicy::default());
        let worked = running.work(&sites, shutdown.clone()).await?;
        let to_cutover = running.options.goal == Goal::CutOver;
        let unasked = |writer: &&Arc<Writer>| !(writer.is_at_rest() || to_cutover && writer.follows_a_route());
        let unasked: Vec<_> = writers.iter().filter(unasked).collect();
        if unasked.is_empty() || shutdown.is_draining() {
            return Ok(worked);
        }
        for writer in unasked {
            writer.rest().await;
        }
        running.work(&sites, shutdown.clone()).await
    }

    /// Refuses what this build cannot carry out, as `run` does.
    fn refuse(&self, goal: Goal) -> Result<(), Failure> {
        for dataset in self.session.plan.datasets() {
            let with_cutover = goal == Goal::CutOver && dataset.cutover.is_some();
            if let Err(error) = engine::refuse_unsupported(dataset, with_cutover) {
                let failure = Failure::engine(&error, self.session.redactor);
                let cutover_only = matches!(error, EngineError::Unsupported { cutover_only: true, .. });
                return Err(if cutover_only {
                    let next = self.real.next(&Situation::UnsupportedCutover("rehearse", Vec::new()));
                    failure.then(next).mended_by("rehearse what comes before the cutover")
                } else {
                    failure.then(self.real.next(&Situation::Unsupported))
                });
            }
        }
        Ok(())
    }

    /// Surveys the plan as `migrate plan` does.
    async fn preview(&self, shutdown: &Shutdown) -> Result<Preview, Failure> {
        let sites = Sites::new(self.cloud.connect(), RetryPolicy::default());
        let options = SurveyOptions { datasets: Vec::new(), probe: true };
        let (plan, sink, shutdown) = (&self.session.plan, Sink::none(), shutdown.clone());
        let inspection = Inspection { plan, sites: &sites, ledger: None, sink, shutdown };
        let preview = inspection.survey(&options).await.map_err(|error| failed(&error))?;
        let blocks: Vec<_> = preview
            .phases
            .iter()
            .flat_map(|phase| &phase.datasets)
            .flat_map(|dataset| dataset.blocks.iter().map(move |block| format!("{}: {block}", dataset.name)))
            .collect();
        if !blocks.is_empty() && !preview.stopped {
            return Err(Failure::new(Code::Differs, format!("the plan is blocked: {}", blocks.join("; ")))
                .then(self.real.next(&Situation::Blocked)));
        }
        if !self.args.json && !self.session.quiet {
            for phase in &preview.phases {
                let sum =
                    |count: fn(&DatasetPreview) -> Option<u64>| phase.datasets.iter().filter_map(count).sum::<u64>();
                let records = render::count(sum(|dataset| dataset.records), "object", "objects");
                let bytes = ByteCount(sum(|dataset| dataset.bytes));
                term::tell(&format!("plan: phase {}: {records}, {bytes} at the sources now", phase.name));
            }
        }
        Ok(preview)
    }

    fn run_args(&self) -> RunArgs {
        RunArgs {
            plan: self.args.plan.clone(),
            until: self.args.until,
            phases: Vec::new(),
            datasets: Vec::new(),
            approve: Vec::new(),
            force: false,
            accept_places: false,
            take_over: Vec::new(),
            json: self.args.json,
        }
    }

    fn datasets(&self, worked: &mut Worked) -> Vec<Row> {
        let plan = &self.session.plan;
        let standing = worked.after.iter().flat_map(|phase| phase.datasets.iter().map(move |one| (&phase.name, one)));
        standing
            .map(|(phase, one)| {
                let dataset = plan.datasets().find(|dataset| dataset.name == one.name);
                let from = dataset.map_or_else(|| one.lead.clone(), |dataset| dataset.source.site.clone());
                Row {
                    phase: phase.to_string(),
                    name: one.name.clone(),
                    state: one.state,
                    from,
                    lead: one.lead.clone(),
                    epoch: one.epoch.0,
                    targets: one.targets.len(),
                    records: one.records_total.unwrap_or(0),
                    bytes: ByteCount(one.bytes_total.unwrap_or(0)),
                    passes: one.lifecycle.pass(),
                    proof: proof(one),
                    late_writes: one.late_writes,
                    waits_for: one.waits_for.as_ref().map(ToString::to_string),
                }
            })
            .collect()
    }

    fn answer(&self, summary: &Summary) {
        if self.args.json {
            let mut line = serde_json::to_value(summary).expect("a summary is plain data");
            line["event"] = json!("rehearsal_ended");
            line["seed"] = self.args.seed.into();
            line["scale"] = self.args.scale.into();
            term::answer_line(&self.clock.stamp(line));
        } else {
            term::answer(&summary.text(self.args.seed, self.args.scale, &self.session.plan.name.to_string()));
        }
    }
}

fn failed(error: &EngineError) -> Failure {
    Failure::new(Code::Incomplete, crate::cli::error::with_causes(error))
}

fn broke_off(error: &WriterError) -> Failure {
    let cause = crate::cli::error::with_causes(error);
    Failure::new(Code::Incomplete, format!("the rehearsal's application broke off: {cause}"))
}

/// Approves a phase once its applications rest, like an operator who makes them read-only first.
#[derive(Debug)]
struct AtRest {
    writers: Vec<Arc<Writer>>,
}

#[async_trait]
impl Approver for AtRest {
    async fn approve(&self, ready: &Ready) -> Option<String> {
        for writer in &self.writers {
            if ready.moves.iter().any(|one| one.dataset == *writer.dataset()) {
                writer.rest().await;
            }
        }
        Some("the rehearsal".to_owned())
    }
}
