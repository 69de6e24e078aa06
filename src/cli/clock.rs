//! The clock of this process's command: its times, and the id of its run.

use std::sync::LazyLock;

use migrate_core::model::Timestamp;
use migrate_engine::Clock;

/// One for each process, since a process carries out one command.
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

/// The clock of the command; it starts when it is first asked for.
pub(super) fn clock() -> Clock {
    CLOCK.clone()
}

/// The current time, by the wall clock.
pub(super) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
