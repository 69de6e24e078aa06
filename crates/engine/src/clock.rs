//! The clocks: the wall clock, for the ledger and for events, and ages that a suspended machine does not hide.

use std::time::Duration;

use tokio::time::Instant;

use migrate_core::{model::Timestamp, report::Event};

/// The current time, in milliseconds since the Unix epoch.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// The moment that lies this long before another.
pub(crate) fn before(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp(i64::try_from(time.as_millis()).map_or(i64::MIN, |ms| moment.0.saturating_sub(ms)))
}

/// Adds the time to what a command tells. There is one for each command: `elapsed` counts from its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: std::time::Instant,
}

impl Clock {
    /// A clock for a command that begins now.
    pub fn start() -> Self {
        Self { began: std::time::Instant::now() }
    }

    /// The time since the command began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is told now, as an event.
    pub fn stamp<K>(self, kind: K) -> Event<K> {
        Event { kind, at: now(), elapsed: self.began.elapsed() }
    }
}

/// A moment by two clocks. The monotonic one stops on some systems while the machine is suspended (Linux's
/// `CLOCK_MONOTONIC`, macOS's `CLOCK_UPTIME_RAW`), and the wall clock may be set; so an age is the greater of the two.
/// Only a suspension during which the wall clock is set back by as much hides from both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    monotonic: Instant,
    wall: Timestamp,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: now() }
    }

    /// The time that has passed since; the longest possible if the wall clock was set back beyond it, because it is
    /// unknown then.
    pub(crate) fn age(self) -> Duration {
        self.age_at(Self::now())
    }

    fn age_at(self, now: Self) -> Duration {
        let by_wall = u64::try_from(now.wall.0 - self.wall.0).map_or(Duration::MAX, Duration::from_millis);
        now.monotonic.saturating_duration_since(self.monotonic).max(by_wall)
    }

    /// Whether it is no earlier than another moment of this process.
    pub(crate) fn is_since(self, other: Self) -> bool {
        self.monotonic >= other.monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_the_greater_of_what_two_clocks_say() {
        let begun = Moment::now();
        let later = |monotonic_s: u64, wall_s: i64| {
            let wall = Timestamp(begun.wall.0 + wall_s * 1000);
            begun.age_at(Moment { monotonic: begun.monotonic + Duration::from_secs(monotonic_s), wall })
        };
        assert_eq!(later(5, 5), Duration::from_secs(5));
        assert_eq!(later(1, 3600), Duration::from_hours(1), "the machine was suspended");
        assert_eq!(later(5, 2), Duration::from_secs(5), "the wall clock was set back a little");
        assert_eq!(later(5, -1), Duration::MAX, "the wall clock was set back, and its age is unknown");
    }
}
