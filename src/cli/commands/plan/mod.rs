//! `migrate plan`: what a run would do.

mod command;
mod listing;
mod text;
mod total;

pub(in crate::cli) use command::{PlanArgs, plan};
