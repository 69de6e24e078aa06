//! `migrate check`: whether a file is a plan, without asking anybody.

use clap::Args;
use serde_json::json;

use crate::cli::{
    advise::{Situation, documented},
    args::Global,
    error::{Code, Failure},
    plan_file::PlanFile,
    render,
    session::Session,
    term,
};
use migrate_core::plan::Plan;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate check                            # migrate.toml
  migrate check plans/quickstart.toml --json
  generate-plan | migrate check -          # for CI

It reads the plan file and nothing else: no place, no state, no credentials. `migrate plan` looks at the places.

The exit code is 0; 1 if the plan is right and a run would refuse it, because one of its own policies forbids it or a key
is not built yet; 2 if it is wrong. Every problem is listed.")]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    plan: PlanFile,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn check(args: &CheckArgs, global: &Global) -> Result<Code, Failure> {
    checked(args, global).map_err(|failure| documented(failure, args.json))
}

fn checked(args: &CheckArgs, global: &Global) -> Result<Code, Failure> {
    let session = Session::load_without_state(&args.plan, global)?;
    let plan = &session.plan;
    let all = || plan.datasets();
    let (blocked, not_built) = (plan.not_built(all(), false).is_some(), plan.not_built(all(), true));
    let next = session.next(&if blocked { Situation::Unsupported } else { Situation::Checked });
    if args.json {
        let mut document = json!({
            "plan": plan.name, "phases": plan.phases.len(), "datasets": all().count(), "targets": targets(plan),
            "sites": plan.sites.len(), "not_built": not_built.as_ref().map_or(json!([]), |all| json!(all)),
        });
        next.add_to(&mut document);
        term::answer_json(&document);
    } else {
        let (phases, datasets) = (plan.phases.len() as u64, all().count() as u64);
        term::answer(&format!(
            "{} is a plan: {}, {}, {}",
            session.origin(),
            render::count(phases, "phase", "phases"),
            render::count(datasets, "dataset", "datasets"),
            render::count(targets(plan) as u64, "target", "targets"),
        ));
        if let Some(not_built) = not_built {
            term::answer(&format!("\n{not_built}\n"));
        }
        term::answer(&next.to_string());
    }
    Ok(if blocked { Code::Differs } else { Code::Done })
}

fn targets(plan: &Plan) -> usize {
    plan.datasets().map(|dataset| dataset.targets.len()).sum()
}
