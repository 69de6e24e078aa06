//! `migrate local-s3`: servers in memory, to try plans against.

mod args;
mod command;
mod orders;

pub(in crate::cli) use args::LocalS3Args;
pub(in crate::cli) use command::local_s3;
