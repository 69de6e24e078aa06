//! An embedded local cloud: an S3 server in memory, for tests and rehearsals.
//!
//! # Overview
//!
//! One [`S3Server`] is one endpoint on 127.0.0.1, with the root of one account and any other
//! identities. The protocol (routes, signatures, XML) is `s3s`'s; what lies behind it is ours:
//!
//! ```text
//! hyper ── front: collects the body, counts, injects faults
//!            └─ s3s: routes, checks the signature against identity
//!                 ├─ gate: bucket owner, access (what a request needs ─▶ policy), payload hash,
//!                 │        Content-MD5, missing features
//!                 └─ service: one small translation an operation
//!                      │  buckets, settings, acls ── reads, writes, lists, uploads, properties
//!                      └─ state, objects, listing, multipart, locks: the state, pure logic
//! ```
//!
//! Around it, for rehearsals: [`standin`] takes all that is real out of a plan, [`sample`] makes data
//! that the plan would move, [`Cloud`] puts servers, directories and data together, and a [`Writer`] goes
//! on writing as an application would.
//!
//! # Who may do what
//!
//! An identity of the account may do all that no bucket policy denies, another account's only what
//! one allows. Policies are evaluated on every request, before its input is read; what this server
//! does not understand of one is refused when it is put, never ignored, so a fence that is accepted
//! holds. ACLs are kept and grant nothing.
//!
//! # Honesty
//!
//! Without [`Quirks`] it answers as AWS does, as far as a migration can tell: conditions hold, wrong
//! checksums are refused, times have whole seconds, parts below 5 MiB do not complete, locked
//! versions stay, archived objects must be restored (which takes no time here). Each quirk switches
//! one such thing off, the way some real server does. [`Faults`] break single requests; a fault is a
//! function of a seed and of how many requests came before, so a failure replays. Lifecycle rules
//! and CORS are kept and given back; nothing expires by them.
//!
//! # What happens behind a tool's back
//!
//! [`Buckets`] is the state itself, for tests: it can write, delete and silently corrupt without a
//! request, show all that a bucket holds, and make one digest of it that depends on the end alone,
//! not on the way there.

mod access;
mod acls;
mod buckets;
mod checksums;
pub mod cloud;
mod config;
mod direct;
mod end_state;
mod faults;
mod front;
mod gate;
mod held;
mod identity;
mod listing;
mod lists;
mod locks;
mod multipart;
mod objects;
mod operation;
mod policy;
mod properties;
mod quirks;
mod reads;
pub mod sample;
mod server;
mod service;
mod settings;
pub mod standin;
mod state;
mod text;
mod uploads;
mod writer;
mod writes;
mod xml;

pub use cloud::{Cloud, CloudOptions};
pub use config::S3ServerConfig;
pub use direct::NewObject;
pub use end_state::EndState;
pub use faults::{Fault, FaultRule, Faults, When};
pub use held::{HeldObject, HeldVersion};
pub use identity::Identity;
pub use multipart::UnfinishedUpload;
pub use objects::Versioning;
pub use operation::Operation;
pub use quirks::{IfMatchQuirk, MetadataQuirk, Quirks, Untyped};
pub use server::{S3Server, Stats};
pub use state::Buckets;
pub use writer::{Promise, Writer, WriterError};
