//! The clocks: the wall clock, for the ledger and for events, and ages that a suspended machine does not hide.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngCore as _, SeedableRng as _};
use tokio::time::Instant;

use migrate_core::{
    model::Timestamp,
    report::{Event, FORMAT},
};

/// The current time, in milliseconds since the Unix epoch.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// The moment that lies this long before another.
pub(crate) fn before(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp(i64::try_from(time.as_millis()).map_or(i64::MIN, |ms| moment.0.saturating_sub(ms)))
}

/// Adds to what a command tells the time, and which one it is of which run. There is one for each command; clones
/// count together.
#[derive(Debug, Clone)]
pub struct Clock {
    began: std::time::Instant,
    at: Timestamp,
    run: Arc<str>,
    told: Arc<AtomicU64>,
}

impl Clock {
    /// A clock for a command that begins now.
    pub fn start() -> Self {
        let run = format!("{:016x}", rand::rngs::StdRng::from_os_rng().next_u64()).into();
        Self { began: std::time::Instant::now(), at: now(), run, told: Arc::default() }
    }

    /// The id of the command's run: 16 hexadecimal digits, drawn by lot.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// When the command began, by the wall clock.
    pub fn began(&self) -> Timestamp {
        self.at
    }

    /// The time since the command began, by a clock that never goes back.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is told now, as an event.
    pub fn stamp<K>(&self, kind: K) -> Event<K> {
        let sequence = 1 + self.told.fetch_add(1, Ordering::Relaxed);
        let format = (sequence == 1).then_some(FORMAT);
        Event { kind, format, run: Arc::clone(&self.run), sequence, at: now(), elapsed: self.began.elapsed() }
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
    fn events_are_counted_from_one_and_the_first_has_the_format() {
        let clock = Clock::start();
        let [first, second] = [clock.stamp(()), clock.clone().stamp(())];
        assert_eq!((first.sequence, first.format), (1, Some(FORMAT)));
        assert_eq!((second.sequence, second.format), (2, None));
        assert_eq!((&*first.run, first.run.len()), (clock.run(), 16));
        assert_ne!(Clock::start().run(), clock.run());
    }

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
