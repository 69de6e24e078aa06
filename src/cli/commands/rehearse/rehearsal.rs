//! One rehearsal, from the survey to its summary.

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::json;

use crate::cli::{
    advise::Situation,
    args::RunArgs,
    commands::{
        rehearse::{
            applications::{Applications, failed},
            args::RehearseArgs,
            rows::{Row, Told, proof, proved},
            summary::Summary,
            totals::Totals,
        },
        run,
    },
    display::Palette,
    error::{Code, Failure},
    interrupt, render,
    running::{Running, Worked},
    session::{self, Session},
    term,
};
use migrate_core::{lifecycle::Goal, model::ByteCount, plan::Dataset};
use migrate_engine::{
    self as engine, Approver, Clock, Inspection, RunOptions, Shutdown, Sink, Sites,
    cutover::Move,
    standing::DatasetStanding,
    survey::{DatasetPreview, Preview, SurveyOptions},
};
use migrate_rehearsal::Cloud;
use migrate_store::retry::RetryPolicy;

/// One rehearsal.
pub(super) struct Rehearsal<'a> {
    pub(super) args: &'a RehearseArgs,
    pub(super) clock: Clock,
    pub(super) real: &'a Session,
    pub(super) session: &'a Session,
    pub(super) cloud: &'a Cloud,
}

impl Rehearsal<'_> {
    pub(super) async fn hold(&self) -> Result<Code, Failure> {
        let goal = run::goal(self.args.until);
        self.refuse(goal)?;
        let shutdown = Shutdown::new();
        let _listening = interrupt::listen(&shutdown)?;
        let (began, clock) = (Instant::now(), self.clock.clone());
        let preview = self.preview(&shutdown).await?;
        let mut applications = Applications::start(self.cloud, self.args.seed, self.args.scale);
        let run_args = self.run_args();
        let options = self.options(goal, applications.approver());
        let again = session::typed();
        let (session, args, notes) = (self.session, &run_args, Some(applications.notes()));
        let action = vec!["rehearsal".to_owned(), format!("seed {}", self.args.seed)];
        let running = Running { session, args, clock, options, again: again.clone(), action, notes };
        let worked = self.run(&running, &applications, &shutdown).await?;
        let reached = worked.outcome.datasets.iter().all(|dataset| dataset.reached);
        if reached && goal == Goal::CutOver {
            applications.finish(&shutdown).await?;
        }
        let promises = applications.promises().await?;
        running.tell_stopped(&worked.outcome).await;
        let end_state = self.cloud.end_state().await.map_err(|error| failed(&error.into()))?;
        let datasets = self.datasets(&worked);
        let complete = worked.outcome.stopped.is_none()
            && reached
            && promises.iter().all(|promise| promise.broken.is_empty())
            && datasets.iter().all(|dataset| dataset.late_writes == 0);
        let promises: Vec<_> = promises.into_iter().map(Told::from).collect();
        let summary = Summary {
            complete,
            seconds: began.elapsed().as_secs_f64(),
            to_move: preview.phases.iter().flat_map(|phase| &phase.datasets).filter_map(|one| one.records).sum(),
            totals: Totals::of(&datasets, &promises, copied(&worked)),
            datasets,
            promises,
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

    fn options(&self, goal: Goal, approver: Arc<dyn Approver>) -> RunOptions {
        RunOptions {
            goal,
            phases: Vec::new(),
            datasets: Vec::new(),
            force: false,
            follow: false,
            counts: self.args.json || !self.session.quiet,
            limits: engine::InFlightMax::default(),
            approver,
        }
    }

    /// Runs. If no approval waited until the writers rested, runs again once they do, as an operator would.
    async fn run(
        &self,
        running: &Running<'_>,
        applications: &Applications,
        shutdown: &Shutdown,
    ) -> Result<Worked, Failure> {
        let sites = Sites::new(self.cloud.connect(), RetryPolicy::default());
        let worked = running.work(&sites, shutdown.clone()).await?;
        if shutdown.is_draining() || !applications.rest().await {
            return Ok(worked);
        }
        let mut again = running.work(&sites, shutdown.clone()).await?;
        for (name, seen) in worked.seen {
            again.seen.entry(name).or_default().add_earlier(&seen);
        }
        Ok(again)
    }

    /// Refuses what this build cannot carry out, as `run` does.
    fn refuse(&self, goal: Goal) -> Result<(), Failure> {
        let plan = &self.session.plan;
        let Some(keys) = plan.not_built(plan.datasets(), goal == Goal::CutOver) else { return Ok(()) };
        Err(Failure::not_built(keys).then(match plan.not_built(plan.datasets(), false) {
            None => self.real.next(&Situation::UnsupportedCutover("rehearse", Vec::new())),
            Some(_) => self.real.next(&Situation::Unsupported),
        }))
    }

    /// Surveys the plan as `migrate plan` does.
    async fn preview(&self, shutdown: &Shutdown) -> Result<Preview, Failure> {
        let sites = Sites::new(self.cloud.connect(), RetryPolicy::default());
        let options = SurveyOptions { datasets: Vec::new(), probe: true, limits: engine::InFlightMax::default() };
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
        if self.session.verbose && !self.args.json {
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
            plan: self.args.plan.typed().map(Path::to_owned),
            until: self.args.until,
            phases: Vec::new(),
            datasets: Vec::new(),
            approve: Vec::new(),
            force: false,
            follow: false,
            accept_places: false,
            take_over: Vec::new(),
            json: self.args.json,
        }
    }

    fn datasets(&self, worked: &Worked) -> Vec<Row> {
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
                    lead: leads(dataset, one),
                    epoch: one.epoch.0,
                    targets: one.targets.len(),
                    records: one.records_total.or_else(|| items(dataset?, one).filter(|_| one.table.is_some())),
                    bytes: one.bytes_total.map(ByteCount),
                    passes: one.lifecycle.syncing.pass,
                    is_table: one.table.is_some(),
                    proof: proof(one),
                    equal_by: proved(one).map(|proof| proof.decided.to_string()),
                    compared: one.verification.as_ref().and_then(|proof| proof.compared),
                    differences: one.verification.as_ref().map_or(0, |proof| proof.differences + proof.unreadable),
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
            let (plan, palette) = (self.session.plan.name.to_string(), Palette::of_stdout());
            term::answer(&summary.text(self.args.seed, self.args.scale, &plan, palette));
        }
    }
}

/// Bytes of objects that were read from their sources to copy them, and how much was copied to one target each.
fn copied(worked: &Worked) -> (u64, u64) {
    let objects = worked.after.iter().flat_map(|phase| &phase.datasets).filter(|one| one.table.is_none());
    let seen = objects.filter_map(|one| Some((one, worked.seen.get(&one.name)?)));
    let copied = seen.map(|(one, seen)| {
        let most = (0..one.targets.len()).map(|place| seen.copied(place)).max().unwrap_or(0);
        (seen.source_bytes_read, most)
    });
    copied.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Who leads a dataset: a site, or the sites of its parts.
fn leads(dataset: Option<&Dataset>, standing: &DatasetStanding) -> String {
    let what = dataset.filter(|dataset| standing.lead != dataset.source.site).and_then(Move::of);
    what.map_or_else(|| standing.lead.to_string(), |what| what.new_leads())
}

/// How many items of a table were compared, each once: the ledger does not count them one by one.
fn items(dataset: &Dataset, standing: &DatasetStanding) -> Option<u64> {
    let compared = standing.verification.as_ref()?.compared?;
    let is_split = dataset.targets.iter().any(|target| target.filter.is_some());
    Some(if is_split { compared } else { compared / standing.targets.len().max(1) as u64 })
}
