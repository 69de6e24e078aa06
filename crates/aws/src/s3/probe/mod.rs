//! Finds out what an endpoint really does, under scratch keys that are removed again.
//!
//! Some servers accept a condition and ignore it, refuse the right condition too, accept a wrong checksum without
//! complaint, or do not check a signed body. So each ability is tested both ways: with a request that must fail if
//! the ability exists, and with one that must succeed. [`conditions`] does so for conditions, [`uploads`] for what
//! an upload keeps, [`dates`] for the time of a write, [`keys`] finds the keys that are bent or refused; [`traces`] removes what was written.
//!
//! A passing failure must not be taken for an answer: the result holds for a day. So the probe repeats a request
//! whose error could be either, and begins a test again if an answer was lost, since the store may no longer be as
//! the test prepared it.
//!
//! The layer above repeats a probe as a whole. But a probe is some eighty requests, and if one of twenty fails it
//! would never come to its end; so requests and tests are also repeated right here, a few times. This is the one
//! exception to the rule that only `store::retry` retries.
//!
//! All probes of a store share one scratch name, with which all their keys begin, so that a repeated probe also
//! removes the leftovers of a failed one. A leftover would be an extra record of the target.

mod ask;
mod conditions;
mod dates;
mod keys;
mod lanes;
mod traces;
mod uploads;

pub(super) use lanes::probe;
