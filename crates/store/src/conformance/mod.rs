//! What every backend must keep to, as suites that a backend's tests call with one line.
//!
//! [`tables`] holds the suite for any [`TableStore`](crate::table::TableStore).

mod ground;
mod scans;
mod streams;
pub mod tables;
mod values;
mod writes;
