//! What a command that drives the migration does, as the ledger keeps it: who, when, which command, how much, how it
//! ended. `migrate history` shows it.

mod recorder;
mod totals;

pub(super) use recorder::{Recorder, listen};
pub(super) use totals::Totals;
