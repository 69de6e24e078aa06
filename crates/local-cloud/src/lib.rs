//! A local cloud: servers in memory that answer like those of a cloud, for tests and rehearsals.
//!
//! Of the workspace only [`fault`](migrate_fault) is known here. This member does not know what a migration
//! is: the caller that starts a server decides what it holds and what goes wrong with it.
//!
//! # Overview
//!
//! One [`S3Server`] is one endpoint on 127.0.0.1, with the root of one account and any other
//! identities. The protocol (routes, signatures, XML) is `s3s`'s; what lies behind it is ours:
//!
//! ```text
//! server ── front: collects the body, counts, injects faults (xml, stats)
//!             └─ s3s: routes, checks the signature against identities
//!                  ├─ gate: bucket owner, access (needed_actions ─▶ policy), payload hash,
//!                  │        Content-MD5, missing features
//!                  └─ routes: one line an operation
//!                       │  buckets, configure, acls ── reads, writes, copies, deletes, uploads, lists,
//!                       │  tags, object_locks, archive: the operations, each on the service
//!                       └─ state, versions, multipart, listing, direct, held: the state, pure logic
//!                            └─ objects, upload, settings, locks, condition: what it consists of
//! ```
//!
//! One [`DynamoServer`] is such an endpoint for tables. What lies behind it is `dynoxide`'s; the front, which checks,
//! counts and fails on purpose, is ours. Both servers share identities, policies and the listener.
//!
//! No file imports itself by way of others: what several of them need is in a file of its own
//! (headers, errors, arrived, caller, identity, quirks, checksums, faults, operation).
//!
//! # Rights
//!
//! An identity of the account may do all that no bucket policy denies, another account's only what
//! one allows. The server evaluates policies on every request, before it reads the input. It refuses to
//! take a policy with a part that it does not understand, and never ignores one, so a fence that is
//! accepted holds. ACLs are kept and grant nothing.
//!
//! # Honesty
//!
//! Without [`Quirks`] it answers as AWS does, as far as a client can tell: conditions hold, wrong
//! checksums are refused, times have whole seconds, parts below 5 MiB do not complete, locked
//! versions stay, archived objects must be restored (which takes no time here). Each quirk switches
//! one of these off, as some real server does. [`Faults`] break single requests; a fault is a
//! function of a seed and of how many requests came before, so a failure replays. Lifecycle rules
//! and CORS are kept and given back; nothing expires by them.
//!
//! # What happens behind a client's back
//!
//! [`Buckets`] is the state itself, for tests: they can write, delete and silently corrupt through it
//! without a request, and see all that a bucket holds.

mod caller;
mod dynamodb;
mod identities;
mod identity;
mod listener;
mod policy;
mod s3;

pub use dynamodb::{
    DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, DynamoServerConfig, DynamoStats,
};
pub use identity::Identity;
pub use s3::{
    Buckets, Fault, FaultRule, Faults, HeldObject, HeldVersion, IfMatchQuirk, MetadataQuirk, NewObject, Operation,
    Quirks, S3Server, S3ServerConfig, Stats, UnfinishedUpload, Untyped, Versioning, When,
};
