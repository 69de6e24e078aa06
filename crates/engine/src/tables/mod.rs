//! Table datasets: copied while they are written to, by what changed and what it is now.
//!
//! # The scheme
//!
//! The stream of a table says *which keys* have changed, and the table says *what they are*.
//!
//! 1. **Capture first** ([`tail`]). The stream of the lead is enabled, or reused, and each of its shards is read from its
//!    oldest record on. The keys go to the ledger in the same transaction as the position in the shard, so a stream that
//!    keeps records for a day limits nothing, as long as some process reads it.
//! 2. **Bulk** ([`bulk`]). Only then the table is scanned, in segments, by strong reads: an eventual read may be older
//!    than the begin of the stream, and no record would repair it. A segment's cursor moves once every item of the page
//!    is at the follower.
//! 3. **Catch up** ([`catch_up`]). Only after all segments have ended, each changed key is read at the lead, strongly,
//!    and put or deleted at the followers. A key is handled by one task at a time. Then that mark of it is cleared: a
//!    newer mark stays.
//! 4. **Proof** ([`compare`], [`proof`]). Both sides are folded into bucket digests, and only buckets that differ are
//!    looked at key by key.
//!
//! # Why it is right
//!
//! Let *t* be the last change of a key. If the stream showed it, the key is handled at or after *t*: the strong read
//! returns the final value, and no older value is written after it, because the bulk has ended and no other task handles
//! the key. If the stream did not show it, the key has not changed since before the scan began, and the bulk has written
//! it. Order, replays, duplicates, splits and expiry in the stream do not matter. Only completeness does, and a
//! verification at rest proves that: a stream that has lost records is told, and leads to a comparison of all items.
//!
//! A write whose answer was lost may still act after a newer one. It is noted, and no lead moves before it is old
//! enough; the verification after that finds what it did.
//!
//! # Afterwards
//!
//! The stream is read for as long as the process lives, and with `run --follow` its changes are brought over until the
//! run is stopped ([`follow`]). A cutover finds little left to do then.
//!
//! # Without a stream
//!
//! If a source has no stream, or the plan does not ask for one, every further pass compares all items and marks what
//! differs as changed: the same tasks mend it.

#[cfg(test)]
mod broken_off_tests;
pub(crate) mod bulk;
pub(crate) mod captures;
pub(crate) mod catch_up;
pub(crate) mod compare;
pub(crate) mod cutover;
pub(crate) mod expiry;
pub(crate) mod follow;
pub(crate) mod follower;
pub(crate) mod old_lead;
pub(crate) mod pass;
pub(crate) mod proof;
pub(crate) mod readiness;
pub(crate) mod reads;
pub(crate) mod settled;
pub(crate) mod sides;
pub(crate) mod structure;
pub(crate) mod tail;
#[cfg(test)]
pub(crate) mod test_rig;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trap_tests;
pub(crate) mod union;
pub(crate) mod work;
