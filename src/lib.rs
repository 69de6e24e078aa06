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
//! remembers all that, and for every record the **pair**: which source version became which target
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
//! - [`cli`]: arguments, one file a command, progress, exit codes. It alone prints.
//! - [`plan`]: text to a checked plan, with every problem at its line and column. Pure.
//! - [`model`]: the words as types. Pure.
//! - [`lifecycle`]: the state machine of a dataset. Pure.
//! - [`survey`]: looks at both sides and counts; says what of a saved plan has changed; changes nothing.
//! - [`engine`]: carries a plan out: copy, verify, repair.
//! - [`cutover`]: moves the lead, step by step, once everything is proved.
//! - [`shard`]: key ranges, splits, gapless cursors. Pure.
//! - [`diff`]: joins ordered listings and decides what a record needs. Pure.
//! - [`digest`]: digests of bytes, each computed once. Pure.
//! - [`fault`]: which operation a fault strikes, on purpose and replayable. Pure.
//! - [`store`]: the seam to data: directories, S3, and decorators around them.
//! - [`ledger`]: the seam to durable state: one SQLite file a migration.
//! - [`report`]: events for whoever listens.
//! - [`local_cloud`]: an S3 server in memory, with faults, for tests and rehearsals.
//! - [`rehearse`]: a plan with a stand-in for everything that is real, sample data, applications that write.
//!
//! # Walls
//!
//! Pure rooms know no runtime, file, clock or chance, and no room that does. `store` and `ledger`
//! know neither each other nor what uses them. AWS's crates stay in `store::s3`, `local_cloud` and `rehearse`.
//! `tests/it/tidy.rs` holds all of this.
//!
//! # How to read on
//!
//! ARCHITECTURE.md tells the whole with its reasons. In code: [`diff::decide`] is the heart, a
//! table; then [`engine`], then the header of [`store`], then that of [`ledger`].

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

/// What a run tells, and whoever listens.
pub mod report {
    pub use migrate_core::report::*;
    pub use migrate_engine::Sink;
}
