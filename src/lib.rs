//! `migrate` moves a company's data from one data center to many places, phase by phase, and can prove at every
//! moment what has moved.
//!
//! This is the root of the workspace: the command line ([`cli`]) and the real places ([`connect`]). It hands on
//! every other member under a short name, so that the integration tests use one library.
//!
//! # Words
//!
//! A **plan** says what must be where. It names **sites** (places that hold data) and **phases** (what moves
//! together, and after what). A phase holds **datasets**: one source, one or more targets. The source's site is the
//! **lead**, and the targets' sites are **followers**, until a **cutover** moves the lead. The **route** tells
//! applications which site leads. Work is cut into **shards** (key ranges); a **cursor** says how far a shard is done
//! for one target. The **ledger** remembers all that, and for every record the **pair**: which source version became
//! which target version, with the **evidence**, its digests.
//!
//! # Members, from the ground up
//!
//! | member | name here | what it holds |
//! |---|---|---|
//! | `migrate-core` | [`model`], [`plan`], [`diff`], [`shard`], [`digest`], [`lifecycle`], [`capability`], [`report`] | words and rules, as plain values and functions |
//! | `migrate-fault` | not handed on | which operation a fault strikes |
//! | `migrate-store` | [`store`] | the seam to data, directories, and the decorators of any store |
//! | `migrate-aws` | [`aws`] | S3 and DynamoDB, on the AWS SDK |
//! | `migrate-ledger` | [`ledger`] | the durable record of one migration, in SQLite |
//! | `migrate-engine` | [`engine`], [`survey`], [`cutover`] | looks, copies, proves, moves leads |
//! | `migrate-local-cloud` | [`local_cloud`] | an S3 and a DynamoDB server in memory, with faults and quirks |
//! | `migrate-rehearsal` | [`rehearse`] | a plan with a stand-in for everything that is real |
//!
//! A member depends only on members above it in this table, and not on all of them. ARCHITECTURE.md says on which and
//! why, what each file holds, and which rules keep data safe. In code, begin with [`diff::decide`], the table of
//! decisions; then read the headers of [`engine`], [`store`] and [`ledger`].

pub mod cli;
pub mod connect;

pub use migrate_aws as aws;
pub use migrate_core::{capability, diff, digest, item, lifecycle, model, plan, shard, table};
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
