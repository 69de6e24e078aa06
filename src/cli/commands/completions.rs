//! `migrate completions`: what a shell completes.

use clap::CommandFactory;

use crate::cli::{command_line::Cli, error::Code, term};

pub(in crate::cli) fn completions(shell: clap_complete::Shell) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "migrate", &mut script);
    term::answer(String::from_utf8_lossy(&script).trim_end());
    Code::Done
}
