//! `migrate init`: a first plan, from what is to be copied and where to.

mod args;
mod command;
mod place;
mod text;

pub(in crate::cli) use args::InitArgs;
pub(in crate::cli) use command::init;
