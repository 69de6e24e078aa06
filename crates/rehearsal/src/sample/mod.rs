//! Sample data shaped like a plan: invented contents for its sources.
//!
//! # What is made
//!
//! For each dataset that no other dataset fills: objects that its globs select, of the kind that its
//! name suggests; a few that they do not select; names that are hard to get right (spaces, `+`,
//! letters of other scripts, `a//b` if the keys meet only buckets); an empty object. One object a plan is
//! large enough to travel in parts. If another dataset begins below a target of this one, a share of the
//! keys lies there, and so on down the phases: everything that the plan moves exists.
//!
//! A source that is a table gets items: accounts with nested values, sets, numbers in many forms and binaries, or
//! messages with a sort key. Each has a `country`.
//!
//! # Repeatable
//!
//! Plan, seed and scale determine every key, byte and header. Each object has a generator of its own,
//! made of the seed, the dataset's name and the object's number, so that neither order nor machine
//! matters.
//!
//! # Memory
//!
//! Samples are made one by one, and their bytes only on request. Memory grows by eight bytes a sample, which
//! keep keys apart.

mod body;
mod filling;
mod globs;
mod items;
mod kind;
mod object;
mod properties;
mod random;
mod shape;

pub use filling::{Samples, samples};
pub use items::{SampleTable, tables};
pub(crate) use items::{changed, is_written};
pub use object::Sample;

#[cfg(test)]
mod tests;
