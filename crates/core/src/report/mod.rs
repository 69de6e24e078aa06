//! The messages of the engine: [`Event`]s, for progress bars, logs and NDJSON alike.
//!
//! The engine sends and never waits for a display; its work does not depend on any listener.

mod at_once;
mod event;
mod pace;
mod redact;
mod words;
mod work;

pub use at_once::{RequestsAtOnce, WhyAtOnce};
pub use event::{Difference, DifferenceKind, Event, EventKind, FORMAT, Proved, ProvedDataset, TargetProgress};
pub use pace::{Advance, Pace, Work};
pub use redact::Redactor;
pub use words::{Grouped, bytes, count, records};
pub use work::RunWork;
