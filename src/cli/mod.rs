//! The command line: reads arguments, starts the command, shows its answer, and turns its end into an
//! exit code.
//!
//! # What goes where
//!
//! The answer goes to stdout, progress and complaints to stderr. With `--json` stdout carries only
//! JSON: one document, or for `run` one event a line, `run_ended` last. A command that fails still answers
//! with a document, `{"error": ...}`.
//!
//! # Who does what
//!
//! `command_line` and `args` are what clap reads. A `session` is a plan that was read, with its state directory; `saved`
//! keeps what `plan` has seen until `run` carries it out. `advise` alone decides which command is next, and
//! `next` is how an answer says it. Each command has a file in
//! `commands` and ends with a [`Code`] or a
//! [`Failure`](error::Failure). `progress` listens to events and decides nothing. No other part of the
//! workspace prints, exits or hears signals.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

mod advise;
mod approve;
mod args;
mod ask;
mod command_line;
mod commands;
mod error;
mod interrupt;
mod log;
mod next;
mod progress;
mod render;
mod running;
mod saved;
mod session;
mod state;
mod summary;
mod term;

use command_line::{Cli, Command};
use commands::{abort, cutover, limits, plan, rehearse, resolve, run, status, verify};
use error::Code;

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) => {
            // Help and versions come this way too, with exit code 0.
            let code = asked.exit_code();
            let _unheard = asked.print();
            return if code == 0 { Code::Done.into() } else { Code::Wrong.into() };
        }
    };
    let global = cli.global;
    let ended = match cli.command {
        Command::Plan(args) => plan::plan(&args, &global),
        Command::Run(args) => run::run(&args, &global),
        Command::Verify(args) => verify::verify(&args, &global),
        Command::Status(args) => status::status(&args, &global),
        Command::Cutover(args) => cutover::cutover(&args, &global),
        Command::Abort(args) => abort::abort(&args, &global),
        Command::Rehearse(args) => rehearse::rehearse(&args, &global),
        Command::Resolve(args) => resolve::resolve(&args, &global),
        Command::Limits(args) => limits::limits(&args, &global),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&migrate_core::plan::schema()).expect("a schema is plain data");
            term::answer(&schema);
            Ok(Code::Done)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "migrate", &mut script);
            term::answer(String::from_utf8_lossy(&script).trim_end());
            Ok(Code::Done)
        }
        Command::ExitCodes => {
            term::answer(command_line::exit_codes());
            Ok(Code::Done)
        }
    };
    match ended {
        Ok(code) => code.into(),
        Err(failure) => {
            let failure = advise::completed(failure);
            term::tell(&failure.to_text());
            failure.code.into()
        }
    }
}
