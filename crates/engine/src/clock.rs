//! The one place of the engine that reads the wall clock.

use migrate_core::model::Timestamp;

/// The moment, for the ledger.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
