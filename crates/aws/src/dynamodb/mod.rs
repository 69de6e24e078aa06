//! Tables of `DynamoDB` and of servers that speak its protocol, on the AWS SDK.
//!
//! # Layout
//!
//! [`store`] is the [`TableStore`](migrate_store::table::TableStore) over all the others. [`client`] is the
//! configuration; [`wire`] speaks to the server, and `wire::sdk` alone knows the SDK; [`items`] reads and writes
//! items, [`keys`] and [`size`] say which keys there can be and how long they are as they are sent; [`structure`] describes and makes tables; [`stream`] reads
//! changes; [`probe`] finds out what a server really does, in tables that [`scratch`] names; [`error`] says what an
//! answer means.
//!
//! # What is never assumed
//!
//! An answer that lacks what it must have is an error, not an empty answer: an empty body reads as the end of a scan.
//! What a batch did not do is told in a success, and is returned. A server that does not know a setting of a table
//! has it left out of the description. A value that cannot be held as it is, is an error.
//!
//! # Auto scaling
//!
//! It belongs to another service of AWS, whose interface is not spoken here: a description does not tell of it.
//!
//! # Retries
//!
//! None here, but for probes and for waiting: the SDK's are switched off. A write without an answer is marked as of
//! unknown outcome.

mod client;
mod error;
mod items;
mod keys;
mod probe;
mod scratch;
mod size;
mod store;
mod stream;
mod structure;
mod wire;

pub use client::{DynamoConfig, DynamoEndpoint};
pub use store::{DynamoClient, DynamoTable};
