//! What the engine tells the world: [`Event`]s, for progress bars, logs and NDJSON alike.
//!
//! The engine sends and never waits for a display; nothing it does depends on who listens.

mod event;
mod redact;

pub use event::{Difference, DifferenceKind, Event, Proved, ProvedDataset, TargetProgress};
pub use redact::Redactor;
