//! The arguments of a rehearsal.

use clap::Args;

use crate::cli::{args::Until, plan_file::PlanFile};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate rehearse plans/global-expansion.toml
  migrate rehearse plan.toml --seed 7 --scale 3      # other data, three times as much
  migrate rehearse plan.toml --until verified        # no cutover

A local stand-in replaces every endpoint, directory, route, credential, hook, CDN and probe of the plan.
The same plan, seed and scale end in the same state; the answer names its digest.")]
pub(in crate::cli) struct RehearseArgs {
    #[command(flatten)]
    pub(super) plan: PlanFile,
    /// The seed of the sample data
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// How much sample data: 1 is about a thousand objects
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = scale)]
    pub(super) scale: f64,
    /// How far to go; without it, as far as the plan says
    #[arg(long, value_name = "STEP")]
    pub(super) until: Option<Until>,
    /// Print events, one JSON object a line; the last is `rehearsal_ended`
    #[arg(long)]
    pub(super) json: bool,
}

/// The local cloud keeps its data in memory, and more would not fit.
const SCALE_MAX: f64 = 100.0;

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= SCALE_MAX => Ok(scale),
        _ => Err(format!("write a number above 0, at most {SCALE_MAX}: the local cloud keeps its data in memory")),
    }
}
