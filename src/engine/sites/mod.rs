//! The sites of a plan: their stores, their limits, and the directories that are known there.

pub(crate) mod limits;
pub(crate) mod met;
pub(crate) mod opening;
pub(crate) mod places;

pub use opening::{DatasetStores, Opener, Role, Sites};
