//! An embedded local cloud: an S3 server in memory, for tests and rehearsals.
//!
//! # Overview
//!
//! One [`S3Server`] is one endpoint on 127.0.0.1 with one identity. The protocol (routes, signatures,
//! XML) is `s3s`'s; what lies behind it is ours:
//!
//! ```text
//! hyper ── front: collects the body, counts, injects faults
//!            └─ s3s: routes, checks the signature
//!                 ├─ gate: payload hash, Content-MD5, bucket owner, missing features
//!                 └─ service: one small translation an operation ── reads, writes, lists, uploads
//!                                └─ objects, listing, multipart: the state, pure logic
//! ```
//!
//! Around it, for rehearsals: [`standin`] takes all that is real out of a plan, [`sample`] makes data
//! that the plan would move, and [`Cloud`] puts servers, directories and data together.
//!
//! # Honesty
//!
//! Without [`Quirks`] it answers as AWS does, as far as a migration can tell: conditions hold, wrong
//! checksums are refused, times have whole seconds, parts below 5 MiB do not complete. Each quirk
//! switches one such thing off, the way some real server does. [`Faults`] break single requests; a
//! fault is a function of a seed and of how many requests came before, so a failure replays.
//!
//! # What happens behind a tool's back
//!
//! [`Buckets`] is the state itself, for tests: it can write, delete and silently corrupt without a
//! request.

mod checksums;
pub mod cloud;
mod config;
mod end_state;
mod faults;
mod front;
mod gate;
mod listing;
mod lists;
mod multipart;
mod objects;
mod operation;
mod reads;
pub mod sample;
mod server;
mod service;
pub mod standin;
mod text;
mod uploads;
mod writes;

pub use cloud::{Cloud, CloudOptions};
pub use config::{Quirks, S3ServerConfig};
pub use end_state::EndState;
pub use faults::{Fault, FaultRule, Faults, When};
pub use multipart::UnfinishedUpload;
pub use objects::{Buckets, NewObject, Versioning};
pub use operation::Operation;
pub use server::{S3Server, Stats};
