//! A `DynamoDB` server in memory: `dynoxide` behind a front of our own.
//!
//! `dynoxide` keeps the tables and their streams. It checks no identity, knows no policy and never fails. So each
//! request first passes the [`front`]: [`signature`] says whose it is, [`access`] whether a resource policy lets it
//! pass ([`tables`] names what it touches), [`faults`] whether it goes wrong. [`own`] are the operations that
//! `dynoxide` does not have, [`iterators`] what it is too kind with in streams, [`engine`] hands the rest on.
//!
//! # What it is not
//!
//! A table is active at once and never throttles by itself; a stream has one shard, which does not end; nothing expires
//! (`dynoxide` sweeps only when asked). `PartiQL` is refused, since no policy could look into it. ARNs are those of
//! `dynoxide`: `arn:aws:dynamodb:dynoxide:000000000000:table/NAME`.

mod access;
mod answers;
mod config;
mod engine;
mod faults;
mod front;
mod iterators;
mod operation;
mod own;
mod pace;
mod policy_words;
mod server;
mod signature;
mod stats;
mod tables;

pub use config::DynamoServerConfig;
pub use faults::{DynamoFault, DynamoFaultRule, DynamoFaults};
pub use operation::DynamoOperation;
pub use server::DynamoServer;
pub use stats::DynamoStats;
