//! The words and rules of migrate, as plain values and functions.
//!
//! Nothing here uses a runtime, a file, a clock or chance. [`plan`] turns text into a checked plan; [`diff`] is the
//! merge-join of listings and the table of decisions; [`lifecycle`] says what a dataset needs next; [`lane`] says
//! whether a target takes part in a run; [`shard`] keeps key ranges and their progress; [`digest`] computes what proves
//! bytes; [`capability`] describes the abilities of an endpoint; [`report`] holds the messages of a run; [`model`]
//! holds the words that all of them use.

pub mod capability;
pub mod diff;
pub mod digest;
pub mod expression;
pub mod item;
pub mod lane;
pub mod lifecycle;
pub mod model;
pub mod plan;
pub mod report;
pub mod routing;
pub mod shard;
pub mod table;
