//! The wall clock, for the ledger and for events.

use std::time::Instant;

use migrate_core::{model::Timestamp, report::Event};

/// The current time, in milliseconds since the Unix epoch.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Adds the time to what a command tells. There is one for each command: `elapsed` counts from its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock for a command that begins now.
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// What is told now, as an event.
    pub fn stamp<K>(self, kind: K) -> Event<K> {
        Event { kind, at: now(), elapsed: self.began.elapsed() }
    }
}
