//! The one layer that retries.
//!
//! It repeats every operation that fails for a passing reason
//! ([`ErrorKind::retry`](crate::ErrorKind::retry)), with full-jitter exponential pauses, a bounded number of times. What
//! was refused because of a wrong clock is sent again at once: the refusal told the time, and the client signs by it.
//! No layer below retries, or attempts would multiply. A table that throttles, or leaves batches over, is asked for as long
//! as it takes something, and five minutes more; a run that is to stop ends that wait.
//!
//! # Writes whose answer was lost
//!
//! An attempt can fail after the store acted
//! ([`StoreError::outcome_unknown`](crate::StoreError::outcome_unknown)). The store may then refuse the next attempt
//! because of that very success; a look at the object settles it. After such an attempt every returned failure says
//! that the outcome is unknown, whatever the last attempt failed of, unless a look has settled it.
//!
//! If the begin of an upload got no answer, the upload may exist and its id is unknown. This layer does not begin
//! it again; the caller, which keeps the record of intents, decides.
//!
//! That a later attempt succeeds says nothing of an earlier one without an answer: its request may still be under way.
//! [`TrackWrites`] is told of it, unless a look has shown its effect and no other attempt is open.
//!
//! A cancelled call leaves no state behind: a listing goes on at the same place.

mod attempts;
mod patience;
mod policy;
mod settle;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod track;

pub use policy::{RetryBudget, RetryPolicy};
pub use store::Retrying;
pub use table::RetryingTable;
pub use track::TrackWrites;
