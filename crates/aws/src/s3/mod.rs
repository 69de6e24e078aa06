//! S3 and servers that speak its protocol, on the AWS SDK.
//!
//! # Layout
//!
//! [`store`] is the [`ObjectStore`](migrate_store::ObjectStore) over all the others, with the cold path.
//! [`client`] is the configuration; [`wire`] speaks to the server, in plain types, and [`wire::sdk`] alone knows the
//! SDK; [`listing`] pages through keys; [`read`] brings bytes; [`attest`] is what must be shown after a write;
//! [`probe`] finds out what a server really does; [`scratch`] names its keys; [`counts`] says when a missing tag
//! count means that there are no tags; [`document`] refuses answers that are not whole; [`error`] says what an answer
//! means; [`convert`] is headers to types; [`uploads`] lists and ends what was begun in parts.
//!
//! # What is never assumed
//!
//! Compatible servers accept conditions, checksums and tags that they then ignore. So nothing of
//! the kind is relied on before [`ObjectStore::probe`](migrate_store::ObjectStore::probe) (or an earlier probe, adopted) has seen it
//! work; until then conditions are not sent and what was written is read back.
//!
//! # Retries
//!
//! None here: the SDK's are switched off and [`retry`](migrate_store::retry) wraps the whole. A write without an
//! answer is marked as of unknown outcome.

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

pub use client::{S3Config, S3Endpoint, S3Wire};
pub use store::{S3Client, S3Store};
#[cfg(feature = "bench")]
pub use wire::bench;
