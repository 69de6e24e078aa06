//! Runs, which drive the datasets of a plan.

mod abort;
pub(crate) mod active;
pub(crate) mod approval;
mod claims;
mod context;
mod cutovers;
mod decide;
pub(crate) mod dry_run;
pub(crate) mod ends;
mod lanes;
pub(crate) mod late;
pub(crate) mod leftovers;
mod means;
pub(crate) mod moved_data;
mod moved_on;
mod phases;
pub(crate) mod requests;
mod shards;
mod tables;
mod told;
mod verification;
pub(crate) mod walks;
mod worker;
