//! Copies records from the source to their targets.

pub(crate) mod copier;
mod crowded;
mod equal;
pub(crate) mod lanes;
pub(crate) mod outcome;
pub(crate) mod parts;
mod record;
pub(crate) mod unclaimed;
