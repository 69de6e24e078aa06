//! Routes: small documents that tell applications which site leads a dataset.
//!
//! A route changes only by compare-and-swap: it is written under the condition that its store still holds the version
//! that was read. On a store that ignores such conditions two writers could both believe that they won, so a route there
//! is refused.
//!
//! # Where a route is kept
//!
//! `Kept` (`kept.rs`) is the seam. A route is one JSON object in a bucket (`object.rs`), a series of files in a directory
//! (`series.rs`), or one item of a table (`item.rs`). Each says how it is read, so that "there is none" is certain, and how it is swapped.
//!
//! # Attempts
//!
//! Every document carries the name of the attempt that wrote it. So a read settles a lost answer:
//! if the route shows our attempt, we wrote it. If not, it may still change,
//! because the request may be on its way; `RouteStore::swap` then says so, and a caller that must be sure
//! that the request never takes effect writes the route anew (see [`crate::cutover::switch`]).

mod document;
mod error;
mod item;
mod kept;
mod name;
mod object;
mod series;
mod shown;
mod store;
#[cfg(test)]
mod tests;

pub use document::{Partition, RouteDocument};
pub use error::RouteError;
pub use series::number_in_series;
pub(crate) use shown::differs;
pub use shown::{Shown, Swapped};
pub use store::RouteStore;
