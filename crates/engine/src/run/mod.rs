//! Runs, which drive the datasets of a plan.

use std::sync::Arc;

mod abort;
pub(crate) mod approval;
mod claims;
mod context;
mod cutovers;
mod decide;
pub(crate) mod dry_run;
pub(crate) mod late;
pub(crate) mod leftovers;
mod means;
mod moved_on;
mod phases;
pub(crate) mod requests;
mod shards;
mod verification;
mod walks;
mod worker;

use crate::sink::Sink;
use crate::{
    approver::ByFlag,
    asked::{AbortOptions, Aborted, InFlightMax, RunOptions, RunOutcome, VerifyOptions, asked, refuse_unsupported},
    error::EngineError,
    shutdown::{Shutdown, cancellable},
    sites::opening::Sites,
    verify::witness::Verification,
};
use migrate_core::{lifecycle::Goal, plan::Plan};
use migrate_ledger::Ledger;

/// Carries out the plan, as far as the options ask.
///
/// Errors of single records are in the ledger. An error that ends the run early is in [`RunOutcome::stopped`] if there
/// is an outcome; otherwise it is returned, also if work has begun.
pub async fn run(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &RunOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<RunOutcome, EngineError> {
    for dataset in asked(plan, &options.phases, &options.datasets) {
        refuse_unsupported(dataset, options.goal == Goal::CutOver && dataset.cutover.is_some())?;
    }
    phases::run(plan, sites, ledger, options, sink, shutdown).await
}

/// Verifies every follower of these datasets; changes nothing.
pub async fn verify(
    plan: &Plan,
    sites: &Sites,
    ledger: Option<Arc<Ledger>>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<Vec<Verification>, EngineError> {
    let work = verification::verify(plan, sites, ledger, options, sink, shutdown.clone());
    cancellable(&shutdown, work).await
}

/// Verifies, copies exactly the differing records again, and compares these again.
/// Returns the verifications, and how many records were mended.
pub async fn repair(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<(Vec<Verification>, u64), EngineError> {
    let work = verification::repair(plan, sites, ledger, options, sink, shutdown.clone());
    cancellable(&shutdown, work).await
}

/// Gives up datasets whose lead has not moved.
pub async fn abort(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &AbortOptions,
    limits: InFlightMax,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<Vec<Aborted>, EngineError> {
    let run_options = RunOptions {
        goal: Goal::Copied,
        phases: Vec::new(),
        datasets: options.datasets.clone(),
        force: false,
        limits,
        approver: Arc::new(ByFlag::default()),
    };
    let work = async |run: &context::Run<'_>| run.abort(options).await;
    let (done, written) = context::with_run(plan, sites, ledger, &run_options, sink, shutdown.clone(), work).await;
    written?;
    done
}
