//! The wall clock, for the ledger.

use migrate_core::model::Timestamp;

/// The current time, in milliseconds since the Unix epoch.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
