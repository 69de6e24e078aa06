//! S3 and servers that speak its protocol, on the AWS SDK.
//!
//! # Layout
//!
//! [`client`] turns configuration into an SDK client; [`wire`] holds the hot path; [`listing`] pages through keys;
//! [`read`] reads bytes; [`attest`] proves a write; [`probe`] finds out what a server really does; [`document`]
//! refuses answers that are not whole; [`error`] says what an answer means; [`convert`] is headers to types;
//! [`uploads`] lists and ends multipart uploads. This file is the [`ObjectStore`] over them, with the cold path.
//!
//! # What is never assumed
//!
//! Compatible servers accept conditions, checksums and tags that they then ignore. So none of these is relied on
//! before [`ObjectStore::probe`] (or an earlier probe, adopted) has seen it work; until then no conditions are sent
//! and every write is read back.
//!
//! # Retries
//!
//! None here: the SDK's are switched off and `store::retry` wraps the whole. A write without an answer is marked as
//! of unknown outcome.

mod attest;
mod client;
mod convert;
mod counts;
mod document;
mod error;
mod listing;
mod probe;
mod read;
mod scratch;
mod store;
mod uploads;
mod wire;

pub use client::{S3Config, S3Credentials, S3Endpoint};
pub use store::{S3Client, S3Store};
