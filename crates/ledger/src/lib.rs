//! The durable record of one migration, in SQLite.
//!
//! # What it holds
//!
//! Per dataset: its meaning (to refuse a plan that changed), its lifecycle events, the shards and cursors of the
//! current pass, and per record its *holdings*: which place shows which content under which token, with the evidence.
//! Also the uploads under way with the digests of their parts, deferred and failed records, the result of each
//! endpoint's probe, the directories met, what operators said (approvals, requests, limits), the shards, cursors
//! and findings of verifications under way, and the writes whose outcome is not known. Of a table it holds how far each
//! segment is, how far its stream of changes was read, and the keys that have changed, and no record by record. And it
//! holds the runs: who drove the migration, when, with which command, what that did and how it ended. A run without an
//! end is under way, or its process was killed or crashed.
//!
//! # How it is written
//!
//! One thread owns the writing connection. [`Ledger::append`] hands it a batch of [`Record`]s through a bounded
//! channel and returns when the batch is on disk: the thread drains the channel and commits what it finds as one
//! transaction (group commit), so that a batch is atomic and many batches share one sync. Reads go through a second
//! connection in WAL mode and see what was committed.
//!
//! # Consistency
//!
//! A target is written before the ledger says so, never the other way round. A cursor moves in the same batch as
//! the records that it passes. So after a crash at any instant, the ledger claims nothing false, and a look finds
//! what it does not know yet.

mod apply;
mod code;
mod error;
mod fact;
mod failure;
mod holdings;
mod known;
mod late;
mod pairings;
mod query;
mod reader;
mod record;
mod request;
mod request_rows;
mod rows;
mod run;
mod run_rows;
mod schema;
mod sqlite;
mod table;
mod table_rows;
#[cfg(test)]
mod tests;
mod trail;
mod unknown;
mod verification;
mod verification_rows;
mod writer;

pub use error::LedgerError;
pub use fact::Fact;
pub use holdings::Shown;
pub use known::{Known, LateWrite, Waits};
pub use late::{Late, LateCounts, Resolved};
pub use migrate_core::shard::{Cursor, Tally};
pub use record::Record;
pub use request::{Answer, Approval, LimitsOf, Request, RequestRow, Setting};
pub use rows::{
    Counts, Held, HeldRow, Open, OpenRow, Pair, ShardRow, Unclaimed, UnclaimedRow, UploadIntent, UploadRow, WrittenPart,
};
pub use run::{RunRecord, RunRow, RunStep};
pub use sqlite::{Ledger, Options};
pub use table::{CaptureRow, DirtyRow, Owed, SegmentRow, StreamShardRow, TableRecord, TableStep, WrittenBack};
pub use unknown::{LastDrive, Unknown};
pub use verification::{PartFound, VerificationRecord, VerificationRow, VerificationStep, VerifiedShard};
pub use writer::{CommitFate, CommitHook};
