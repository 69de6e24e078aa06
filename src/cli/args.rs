//! Arguments that commands share, as clap reads them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{complete, display::ColorChoice};
use migrate_aws::s3::S3Wire;

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Keep the state in DIR/<plan name>/, not beside the plan file; `MIGRATE_STATE` does the same
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,

    /// What to log to stderr: error, warn, info, debug or trace, `json` for JSON lines, or both as `debug,json`
    #[arg(long, global = true, value_name = "LEVEL|json", default_value = "warn", value_parser = LogFormat::parse)]
    #[arg(env = "MIGRATE_LOG", hide_env_values = true)]
    pub(super) log: LogFormat,

    /// Show no progress
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,

    /// Tell everything that happens as plain lines, in place of a live block
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(super) verbose: bool,

    /// Whether to show colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,

    /// The way of the hot S3 requests: `own`, or `sdk` as all others; stays for one release
    #[arg(long, global = true, value_name = "own|sdk", default_value = "own", value_parser = s3_wire)]
    #[arg(env = S3Wire::VARIABLE, hide_env_values = true)]
    pub(super) s3_wire: S3Wire,
}

/// An empty variable says nothing.
fn s3_wire(text: &str) -> Result<S3Wire, String> {
    match text {
        "" | "own" => Ok(S3Wire::Own),
        "sdk" => Ok(S3Wire::Sdk),
        _ => Err("expected own or sdk".to_owned()),
    }
}

/// The level of logs, and whether they are JSON lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogFormat {
    pub(super) level: tracing::Level,
    pub(super) json: bool,
}

impl LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        let mut format = Self { level: tracing::Level::WARN, json: false };
        // An empty variable says nothing.
        for word in text.split(',').filter(|_| !text.is_empty()) {
            match word {
                "json" => format.json = true,
                "error" | "warn" | "info" | "debug" | "trace" => {
                    format.level = word.parse().map_err(|_| "not a level".to_owned())?;
                }
                _ => return Err("expected error, warn, info, debug, trace or json".to_owned()),
            }
        }
        Ok(format)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate run plans/quickstart.toml
  migrate run plan.toml --until verified --phase e-commerce
  migrate run plan.toml --approve e-commerce   # move the lead of this phase, once everything is proved
  migrate run saved.json   # what `migrate plan --out saved.json` showed; refused if that has changed
  migrate run plan.toml --json > events.ndjson")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct RunArgs {
    /// The plan file, or a saved plan; without it migrate.toml in the working directory, and `-` for standard input
    #[arg(value_name = "PLAN|SAVED")]
    pub(super) plan: Option<PathBuf>,
    /// How far to go; without it, as far as the plan says
    #[arg(long, value_name = "STEP")]
    pub(super) until: Option<Until>,
    /// Only this phase (may be given again)
    #[arg(long = "phase", short, value_name = "NAME", add = complete::phases())]
    pub(super) phases: Vec<String>,
    /// Only this dataset (may be given again)
    #[arg(long = "dataset", short, value_name = "NAME", add = complete::datasets())]
    pub(super) datasets: Vec<String>,
    /// Cut this phase over once everything is proved; `all` for every phase (may be given again)
    #[arg(long, value_name = "PHASE|all", add = complete::approvals())]
    pub(super) approve: Vec<String>,
    /// Delete more at a target than the plan's `delete_share` allows
    #[arg(long)]
    pub(super) force: bool,
    /// Go on following tables with `live = true` once all else is done, until the run is stopped
    #[arg(long)]
    pub(super) follow: bool,
    /// Go on with the directories that are there now, though they are not those of earlier runs
    #[arg(long)]
    pub(super) accept_places: bool,
    /// Take this dataset over from the migration that its route names, which must have stopped for good (may be given
    /// again)
    #[arg(long, value_name = "DATASET", add = complete::datasets())]
    pub(super) take_over: Vec<String>,
    /// Print events, one JSON object a line; the last is `run_ended`
    #[arg(long)]
    pub(super) json: bool,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// Copied, not proved
    Copied,
    /// Copied and proved equal
    Verified,
    /// Cut over, if the plan says so: the lead moves, once the phase is approved
    Cutover,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_format_is_a_level_json_or_both() {
        let json = LogFormat { level: tracing::Level::WARN, json: true };
        assert_eq!(LogFormat::parse("json"), Ok(json));
        assert_eq!(LogFormat::parse("debug,json"), Ok(LogFormat { level: tracing::Level::DEBUG, json: true }));
        assert!(LogFormat::parse("loud").is_err());
    }
}
