//! `migrate show`: all that is known of one record.

mod command;
mod record;
mod text;

pub(in crate::cli) use command::{ShowArgs, show};
