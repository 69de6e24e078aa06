//! Carries out a plan.
//!
//! # Who owns what
//!
//! *Phases* (`run/phases.rs`) owns the state of the run: it asks [`lifecycle`](migrate_core::lifecycle) what is next
//! for each dataset. *Shards* (`run/shards.rs`) hands shards to workers and splits them while workers idle, as
//! `run/decide.rs` decides. A *worker* joins both sides' listings of one shard and copies what differs. The *scribe*
//! alone writes the ledger, in the order in which reports reach it. The display listens to events and decides nothing.
//!
//! ```text
//! phases ─▶ shards ──shards──▶ worker ──rows──▶ copy ──▶ stores
//!   │         │                  │               │
//!   └─────────┴──── records ─────┴───────────────┴──▶ scribe ──▶ ledger
//! ```
//!
//! # Consistency
//!
//! A record is written at the target before it is reported to the scribe, and its cursor moves in the
//! same batch. A first run is a resumed run with an empty ledger: there is no other recovery.
//!
//! # Stopping
//!
//! [`Shutdown`] first drains: no new record is begun, those under way are finished and committed.
//! Asked again, it drops requests where they stand; multipart uploads keep their ids.
//!
//! # Memory
//!
//! Memory is bounded: by [`InFlightMax`] for records and bytes in flight, by constants for pages ahead per listing and
//! windows per shard. It does not grow with the number of records.

mod approver;
mod asked;
mod budget;
mod clock;
pub mod compare;
mod control;
mod copy;
pub mod cutover;
mod driver;
mod error;
mod failed;
mod journal;
pub mod layout;
mod lease;
mod lifecycle;
mod meaning;
mod migration;
pub mod route;
mod routed;
mod rows;
mod rules;
mod run;
mod scout;
mod scribe;
mod seen;
mod shutdown;
mod sink;
pub mod sites;
pub mod standing;
mod star;
pub mod survey;
mod tables;
mod trail;
mod verify;
mod waits;
mod walk;
mod writes;

pub use approver::{Approver, ByFlag, Ready};
pub use asked::{AbortOptions, Aborted, DatasetOutcome, InFlightMax, RunOptions, RunOutcome, VerifyOptions};
pub use asked::{asked, refuse_unsupported};
pub use clock::Clock;
pub use driver::Driver;
pub use error::EngineError;
pub use meaning::meaning_of;
pub use migration::{Inspection, Migration};
pub use run::{
    approval::binds as approval_binds,
    dry_run::{DryRun, DryStep, LESS},
    late::resolution,
    requests::{limits_set, withdrawal},
};
pub use shutdown::Shutdown;
pub use sink::Sink;
pub use sites::{DatasetStores, Sites, Unreached};
pub use verify::{Found, SwitchProof, Verification, Verified};
pub use waits::WaitsFor;
