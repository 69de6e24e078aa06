//! `migrate completions`: makes a shell complete this program's words, and the names of the plan.
//!
//! The script asks the program itself at each completion, by an environment variable, so that names of phases and
//! datasets are those of the plan that is on the command line, or of `migrate.toml`.

use clap::CommandFactory as _;
use clap_complete::{
    CompleteEnv,
    env::{Bash, EnvCompleter, Fish, Zsh},
};

use crate::cli::{
    command_line::Cli,
    complete::Shell,
    error::{Code, Failure},
    term,
};

/// Asks the program what completes a command line.
const VARIABLE: &str = "MIGRATE_COMPLETE";
const NAME: &str = "migrate";

/// Prints the script of a shell.
pub(in crate::cli) fn completions(shell: Shell) -> Result<Code, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(|error| Failure::new(Code::Incomplete, format!("failed to write the script: {error}")))?;
    term::answer(String::from_utf8_lossy(&script).trim_end());
    Ok(Code::Done)
}

/// Answers if a shell asks what completes a command line; whether it did.
pub(in crate::cli) fn answered() -> bool {
    let words = std::env::args_os();
    let here = std::env::current_dir().ok();
    // A shell gets no complaint for a word that it completes.
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).try_complete(words, here.as_deref()).unwrap_or(true)
}
