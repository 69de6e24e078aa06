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
//! `entry` starts the command; `command_line` and `args` are what clap reads, `complete` what a shell completes. A
//! `plan_file` is where a plan comes from, and a `session` is one that was read, with its state directory; `saved` keeps
//! what `plan` has seen until `run` carries it out. `advise` alone decides which command is next, and `next` is how an answer says it. Each command has a file in `commands` and ends with a
//! [`Code`](error::Code) or a [`Failure`](error::Failure). `access` names the places
//! that cannot be asked, all at once. `display` listens to events and decides nothing;
//! `record` counts what they tell, and keeps in the ledger who ran what, and how it ended. No other
//! part of the workspace prints, exits or hears signals.

mod access;
mod advise;
mod approve;
mod args;
mod ask;
mod at_once;
mod clock;
mod command_line;
mod commands;
mod complete;
mod display;
mod entry;
mod error;
mod interrupt;
mod log;
mod next;
mod open_files;
mod operator;
mod plan_file;
mod record;
mod render;
mod running;
mod saved;
mod screen;
mod session;
mod state;
mod summary;
mod term;

pub use entry::{command, run};
