//! Starts the command that was typed, and turns its end into an exit code.

use std::{io::ErrorKind, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use super::{
    advise, clock,
    command_line::{Cli, Command},
    commands::{
        abort, check, completions, cutover, exit_codes, history, init, limits, local_s3, man, plan, rehearse, resolve,
        run, schema, show, status, verify,
    },
    display,
    error::Code,
    open_files, term,
};

/// The command line as clap reads it, for who wants to know whether a line is one.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    if completions::answered() {
        return Code::Done.into();
    }
    // The time of the command counts from here.
    let _started = clock::clock();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) => {
            // Help and versions come this way too, with exit code 0.
            let code = if asked.exit_code() == 0 { Code::Done } else { Code::Wrong };
            return match asked.print() {
                Err(error) if code == Code::Done && error.kind() != ErrorKind::BrokenPipe => Code::Incomplete.into(),
                _ => code.into(),
            };
        }
    };
    let global = cli.global;
    display::choose(global.color);
    open_files::lift();
    global.s3_wire.choose();
    let ended = match cli.command {
        Command::Init(args) => init::init(&args),
        Command::Check(args) => check::check(&args, &global),
        Command::Plan(args) => plan::plan(&args, &global),
        Command::Run(args) => run::run(&args, &global),
        Command::Verify(args) => verify::verify(&args, &global),
        Command::Status(args) => status::status(&args, &global),
        Command::Show(args) => show::show(&args, &global),
        Command::History(args) => history::history(&args, &global),
        Command::Cutover(args) => cutover::cutover(&args, &global),
        Command::Abort(args) => abort::abort(&args, &global),
        Command::Rehearse(args) => rehearse::rehearse(&args, &global),
        Command::Resolve(args) => resolve::resolve(&args, &global),
        Command::Limits(args) => limits::limits(&args, &global),
        Command::LocalS3(args) => local_s3::local_s3(&args, &global),
        Command::Man { out } => man::man(out.as_deref()),
        Command::Schema(args) => Ok(schema::schema(&args)),
        Command::Completions { shell } => completions::completions(shell),
        Command::ExitCodes => Ok(exit_codes::exit_codes()),
    };
    let code = match ended {
        Ok(code) => code,
        Err(failure) => {
            let failure = advise::completed(failure);
            term::tell(&failure.to_text());
            failure.code
        }
    };
    match term::unwritten() {
        Some(why) => {
            term::tell(&format!("error: the answer could not be written to its end: {why}"));
            if code == Code::Done { Code::Incomplete.into() } else { code.into() }
        }
        None => code.into(),
    }
}
