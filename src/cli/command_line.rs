//! The command line, as clap reads it. Its help texts are the manual.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    args::{Global, RunArgs},
    commands::{
        abort::AbortArgs, check::CheckArgs, cutover::CutoverArgs, exit_codes::EXIT_CODES, history::HistoryArgs,
        init::InitArgs, limits::LimitsArgs, local_s3::LocalS3Args, plan::PlanArgs, rehearse::RehearseArgs,
        resolve::ResolveArgs, schema::SchemaArgs, show::ShowArgs, status::StatusArgs, verify::VerifyArgs,
    },
    complete::Shell,
};

const MANUAL: &str = "\
A PLAN is a TOML (or JSON) file that says what must be where, in which order and under which rules.
A command that names none takes migrate.toml of the working directory; `-` is standard input.
The usual course:

  migrate rehearse            see the whole: a shop moves, with sample data; touches nothing real
  migrate init   SOURCE TARGET...   write migrate.toml, a first plan of your own
  migrate check               is it a plan? Asks no place
  migrate plan                look at both sides and show what would move; changes nothing
  migrate run                 copy, and prove that it arrived; run it again to go on after any stop
  migrate verify              prove it again, independently, and list every difference
  migrate status              where everything stands, and the one command that is next

Where the plan moves leads, `run` stops before each cutover until it is approved (--approve).

What `plan` showed can be kept and carried out later, exactly or not at all:

  migrate plan --out saved.json    keep it
  migrate run saved.json           refused if what it depends on has changed

STATE
  What was done is kept beside the plan file, in .migrate/<plan name>/, or in DIR/<plan name>/ with
  --state DIR or the environment variable MIGRATE_STATE. Only its owner can read it. It holds the keys
  of records, which may be personal data; `redact_keys = true` in the plan hashes them in all output.
  One process at a time drives a migration, from whatever directory it is started.

OUTPUT
  The answer goes to stdout, progress and logs to stderr. With --json, stdout carries only JSON:
  one document, or for `run` one event a line.

STOPPING
  ctrl-c once finishes what is in flight and keeps it; twice cancels requests; three times exits.
  After any of these, a crash or a power loss, the same command goes on where it stopped.

EXIT CODES
  0 done and equal   1 differences, or blocked   2 wrong command line or plan   3 incomplete
  `migrate help exit-codes` tells more.";

/// The version, and the commit that it was built from if that is known.
const VERSION: &str = env!("MIGRATE_VERSION");

/// Moves a company's data from one place to many, phase by phase, and proves at every moment what has moved.
#[derive(Debug, Parser)]
#[command(name = "migrate", version = VERSION, after_long_help = MANUAL, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a first plan, from what is to be copied and where to
    Init(InitArgs),
    /// Say whether a file is a plan; asks no place
    Check(CheckArgs),
    /// Show what a run would do, and what stands in its way; changes nothing
    Plan(PlanArgs),
    /// Copy what differs, prove that it arrived, cut over what is approved; run it again to go on
    Run(RunArgs),
    /// Prove independently that every target equals its source; list each difference
    Verify(VerifyArgs),
    /// Show where everything stands, why it waits, and the next command
    Status(StatusArgs),
    /// Show all that is known of one record
    Show(ShowArgs),
    /// Show the runs so far: when, who, how much, how fast, how they ended
    History(HistoryArgs),
    /// Cut over a phase that is proved, and nothing else
    Cutover(CutoverArgs),
    /// Give datasets up before their lead has moved: abort uploads, withdraw approvals
    Abort(AbortArgs),
    /// Show late writes, or record what was decided about them
    Resolve(ResolveArgs),
    /// Show or change limits, also of a run that is under way
    Limits(LimitsArgs),
    /// Run the whole plan against a local cloud filled with sample data; touches nothing real
    Rehearse(RehearseArgs),
    /// Print the JSON Schema of plans, for editors; or that of what `--json` prints
    Schema(SchemaArgs),
    /// Print the script that makes a shell complete commands, flags, and the plan's phases and datasets
    #[command(after_help = "Examples:
  migrate completions bash > ~/.local/share/bash-completion/completions/migrate
  migrate completions zsh  > ~/.zfunc/_migrate      # a directory of $fpath
  migrate completions fish > ~/.config/fish/completions/migrate.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write all of them
    #[command(after_help = "Examples:
  migrate man | man -l -                            # read it
  migrate man --out ~/.local/share/man/man1         # migrate.1, and a page for each command")]
    Man {
        /// Write a page for the program and for each command into this directory, which must be there
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Start S3 servers in memory, to try plans against
    LocalS3(LocalS3Args),
    /// The exit codes of every command
    #[command(hide = true, name = "exit-codes", long_about = EXIT_CODES)]
    #[command(after_help = "Example:\n  migrate help exit-codes")]
    ExitCodes,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Example"), "{}: {help}", sub.get_name());
        }
    }
}
