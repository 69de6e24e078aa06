//! The standing of a migration, from the ledger alone: `status` shows it, and `run` ends with it.

mod read;
mod table;
mod values;

pub use read::standing;
pub use table::{StreamStanding, TableStanding, TableTargetStanding};
pub use values::{
    Approved, DatasetStanding, Decision, FAILURES_SHOWN, Failed, Following, MoveStanding, PhaseStanding, Proof,
    TargetStanding, UnclaimedUpload,
};
