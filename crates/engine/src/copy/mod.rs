//! Copies records from the source to their targets.

pub(crate) mod copier;
mod crowded;
mod disputed;
mod equal;
mod outcome;
pub(crate) mod parts;
mod record;
pub(crate) mod unclaimed;
