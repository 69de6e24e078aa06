//! `migrate rehearse`: the whole plan against a local cloud, with everything that a real run does.

mod applications;
mod args;
mod command;
mod rehearsal;
mod rows;
mod summary;
mod totals;

pub(in crate::cli) use args::RehearseArgs;
pub(in crate::cli) use command::rehearse;
