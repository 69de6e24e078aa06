//! A decorator that fails on purpose, for tests: seeded, replayable, and able to crash.
//!
//! # Layout
//!
//! [`kinds`] holds the faults of a call and the error that a careful backend makes of each; [`faults`] decides when
//! each strikes, shared by the stores of one run; [`apply`] applies one to a call; [`store`] and [`mod@table`] are the
//! stores and tables that fail.
//!
//! # Replay
//!
//! The fate of a call is a function of the seed and of how many calls each rule has seen
//! ([`fault`](migrate_fault)), so a sequential test replays exactly; every error names the seed.
//!
//! # Crashes
//!
//! A *crash* stops the world at the n-th durable write: this write and everything after it fails, as if the process
//! had died, either just before the write acted or just after. If a test counts its decorated stores and its ledger
//! in one [`Faults`], it can sweep over every write of a run.

mod apply;
mod faults;
mod kinds;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use faults::{Crash, FaultRule, Faults, is_crash};
pub use kinds::{Fault, Operation};
pub use migrate_fault::When;
pub use store::Faulty;
pub use table::FaultyTable;
