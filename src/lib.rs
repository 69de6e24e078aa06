//! `migrate` moves a company's data from one data center to many places, phase by phase, and can
//! prove at every moment what has moved.
//!
//! # Words
//!
//! A **plan** says what must be where. It names **sites** (places that hold data) and **phases**
//! (what moves together, and after what). A phase holds **datasets**: one source, one or more
//! targets. The source's site is the **lead**, the targets' sites are **followers**, until a
//! **cutover** moves the lead; the **route** tells applications which site leads. Work is cut into
//! **shards** (key ranges); a **cursor** says how far a shard is done for one target. The **ledger**
//! keeps all that, and for every record the **pair**: which source version became which target
//! version, with the **evidence**, its digests.
//!
//! # Flow
//!
//! ```text
//! text ──▶ plan ──▶ survey ──▶ what a run would do
//!           │
//!           ▼
//!         engine: dispatcher ──shards──▶ workers ──▶ diff ──▶ copy ──▶ stores
//!           │  ▲                                               │
//!           │  └────────── ledger ◀─────────── scribe ◀────────┘
//!           ▼
//!         verify ──▶ Verified, or every difference
//!           │
//!           ▼
//!         cutover: gate ─▶ quiet ─▶ final verify ─▶ switch the route ─▶ watch
//! ```
//!
//! # Rooms, in the order of the flow
//!
//! - [`cli`]: arguments, one file a command, progress, exit codes. Only `cli` prints.
//! - [`plan`]: text to a checked plan, with every problem at its line and column. Pure.
//! - [`model`]: the words as types. Pure.
//! - [`lifecycle`]: the state machine of a dataset. Pure.
//! - [`survey`]: looks at both sides and counts; names what has changed since a plan was saved; changes nothing.
//! - [`engine`]: carries a plan out: copy, verify, repair.
//! - [`cutover`]: moves the lead, step by step, once everything is proved.
//! - [`shard`]: key ranges, splits, gapless cursors. Pure.
//! - [`diff`]: joins ordered listings and decides what a record needs. Pure.
//! - [`digest`]: digests of bytes, each computed once. Pure.
//! - `fault`: which operation a fault strikes, on purpose and replayable. Pure.
//! - [`store`]: the interface to data: directories, and decorators around stores. [`aws`] is the store for S3.
//! - [`ledger`]: the interface to durable state: one SQLite file a migration.
//! - [`report`]: events for every listener.
//! - [`local_cloud`]: an S3 server in memory, with faults, for tests and rehearsals.
//! - [`rehearse`]: a plan with a stand-in for everything that is real, sample data, applications that write.
//!
//! # Walls
//!
//! Pure rooms know no runtime, file, clock or chance, and no room that does. `store` and `ledger`
//! know neither each other nor what uses them. AWS's crates stay in `aws`. The workspace's members and
//! `tests/it/tidy.rs` hold all of this.
//!
//! # How to read on
//!
//! ARCHITECTURE.md explains the whole with its reasons. In code, begin with the table in [`diff::decide`];
//! then read [`engine`], then the headers of [`store`] and [`ledger`].

pub mod cli;
pub mod connect;

pub use migrate_aws as aws;
pub use migrate_core::{capability, diff, digest, lifecycle, model, plan, shard};
pub use migrate_engine as engine;
pub use migrate_engine::{cutover, survey};
pub use migrate_ledger as ledger;
pub use migrate_local_cloud as local_cloud;
pub use migrate_rehearsal as rehearse;
pub use migrate_store as store;

/// The events of a run, and their listeners.
pub mod report {
    pub use migrate_core::report::*;
    pub use migrate_engine::Sink;
}
