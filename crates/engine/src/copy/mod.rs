//! Copies records from the source to their targets.

mod answers;
pub(crate) mod copier;
mod crowded;
mod disputed;
mod equal;
pub(crate) mod lane;
mod outcome;
pub(crate) mod parts;
mod record;
mod rerouted;
pub(crate) mod unclaimed;
