//! The suite for any [`TableStore`].
//!
//! ```ignore
//! conforms(&Suite::new(&|name: &str| Arc::new(MemoryTable::new(name)) as _)).await;
//! ```
//!
//! Each check opens a table of its own, by a name that no other check of the process uses. Nothing is removed: the
//! server is a test's.
//!
//! # In what a backend may differ
//!
//! - **By its abilities**, as its probe found them: without `strong_reads` the checks write, and read until it shows;
//!   without `conditions` `put_if` is not tried, without `numeric_keys`, `empty_values` and `streams` what these are
//!   about; without `ttl`, the setting of an expiry.
//! - **By the limits of the suite**: [`Suite::batch_bytes_max`], [`Suite::item_bytes_max`], [`Suite::depth_max`]. They
//!   begin as those of AWS. A server with lower ones says so there, so that the difference is written down.
//! - What a server leaves over of a batch is sent again by the suite, and a page without items is no end.
//!
//! In nothing else.

mod everything;
mod ground;
mod scans;
mod streams;
mod suite;
mod values;
mod writes;

pub use everything::conforms;
pub use suite::{Suite, Tables};
