//! The seam to data: the [`ObjectStore`] trait, its backends and its decorators.
//!
//! A store is opened on one *container*: a bucket and prefix, or a directory. All keys are
//! relative to it. Backends are [`mod@file`] (a directory), [`memory`] (for tests and examples) and S3, in the
//! member `migrate-aws`. Decorators wrap any store: [`meter`] (counts), [`conditional`] (keeps the conditions
//! that a store ignores), [`limit`] (rates, concurrency, working hours), [`retry`] (the one layer that retries),
//! [`guard`] (residency), `faulty` (fails on purpose, for tests).
//!
//! Tables have a seam of their own, [`TableStore`](table::TableStore): a directory
//! ([`TableDirectory`](file::TableDirectory)), memory ([`memory_table`]), and DynamoDB, in the member `migrate-aws`.
//! Its decorators are in the same modules: [`MeteredTable`](meter::MeteredTable),
//! [`LimitedTable`](limit::LimitedTable), [`RetryingTable`](retry::RetryingTable),
//! [`GuardedTable`](guard::GuardedTable). What every backend keeps is in `conformance`, a suite for its tests.
//!
//! # Rules that every backend keeps (`tests/it/conformance.rs` checks them)
//!
//! - **Listings ascend** in byte order of the key and stay in the requested range.
//! - **A page of a listing is whole or an error**, which may pass: the same call goes on at the same place. The
//!   same holds for lists of parts, uploads and tags.
//! - **A read is whole or an error**: a body that ends early, runs long or fails the store's own checksum is never
//!   returned.
//! - **A write returns only when the target has shown that it holds those bytes**: by checking the signed digest,
//!   by returning a digest, or by reading back, whichever is the strongest that the server does. See
//!   [`Capabilities::proof`].
//! - **A write is atomic**: a reader sees the old object or the new one whole, never a part.
//! - **Errors say** what was tried, on what, why it failed, whether a retry can help ([`ErrorKind::retry`]) and
//!   whether the write may have happened in spite of the error ([`StoreError::outcome_unknown`]).

pub mod both_ways;
pub mod buffers;
pub mod conditional;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod endpoint;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod file;
pub mod guard;
pub mod hashing;
pub mod limit;
pub mod memory;
pub mod memory_table;
pub mod meter;
mod object;
pub mod requests;
pub mod retry;
pub mod survive;
pub mod table;

pub use endpoint::{EndpointId, Identity};
pub use error::{ErrorKind, Retry, StoreError};
pub use migrate_core::capability::{
    Capabilities, Condition, Conditions, Honoured, IfMatch, KeyRules, KeyShape, MetadataForm, PartRules, Proof,
    UploadTags,
};
pub use object::must_be_gone;
pub use object::{
    BeforeSending, ByteRange, Checksums, Entry, Head, Header, Listing, ObjectStore, Part, Properties, Read, Result,
    Upload, is_listed,
};
