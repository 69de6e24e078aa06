//! Proves that every follower equals its lead.
//!
//! # What each level proves
//!
//! - `listing` compares two listings with the recorded pairs and reads no object. It cannot see a
//!   property that changes while the listing shows the same version.
//! - `checksum` looks at each object on both sides: stored checksums and properties. If no
//!   checksum is comparable, versions that the ledger has paired stand for their bytes; if there
//!   is no pair either, the bytes are read.
//! - `bytes` reads every byte on both sides.
//!
//! # What does not count as equal
//!
//! A record that could not be read, that the level cannot decide, or that differs at some looks only never counts as
//! equal. A key that changed during a look is looked at again before it counts as different.
//!
//! # Without a ledger
//!
//! A verification needs no ledger: it also proves what another tool copied, but `listing` can then decide
//! only presence and size.
//!
//! # In shards
//!
//! A verification walks shards, as a pass does: [`shard`] compares the rows of one shard, and `run/walks.rs` hands shards
//! out and splits them while workers are idle. A shard's cursor moves only over rows that are compared at every
//! follower; the counts and differences up to it go to the ledger in the same batch ([`findings`]). So what was found
//! adds up exactly, also over a crash: [`progress`] tells when another process may go on.
//!
//! # The witness
//!
//! [`Verified`] is the only witness of a clean verification. Only `Verified::of` makes one, of ranges that were seen to
//! their end and together hold every key (`seen.rs`).

pub use found::Found;
pub use witness::{SwitchProof, Verification, Verified};

pub(crate) mod again;
mod blind;
mod conclude;
pub(crate) mod findings;
pub(crate) mod found;
pub(crate) mod late;
mod look;
pub(crate) mod progress;
pub(crate) mod recorded;
mod row;
pub(crate) mod shard;
mod sides;
pub(crate) mod verifier;
pub(crate) mod witness;
