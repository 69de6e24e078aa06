//! Starts the command that was typed, and turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser;

use super::{
    advise,
    command_line::{Cli, Command},
    commands::{abort, completions, cutover, exit_codes, limits, plan, rehearse, resolve, run, schema, status, verify},
    display,
    error::Code,
    term,
};

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
    display::choose(global.color);
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
        Command::Schema => Ok(schema::schema()),
        Command::Completions { shell } => Ok(completions::completions(shell)),
        Command::ExitCodes => Ok(exit_codes::exit_codes()),
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
