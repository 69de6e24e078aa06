//! The sites of a plan: their stores, their limits, and their known directories.

pub(crate) mod connect;
mod leased;
pub(crate) mod limits;
pub(crate) mod met;
mod noted;
pub(crate) mod opening;
pub(crate) mod places;
pub(crate) mod probed;
mod reach;
mod routes;
pub(crate) mod tables;
mod unopened;
pub(crate) mod widths;

pub use connect::{Connect, Given, Opened, Role};
pub use opening::{DatasetStores, Sites};
pub use reach::Unreached;
