//! How fast a dataset goes, and how long it will take.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The time that rates are measured over.
const RATE_OVER: Duration = Duration::from_secs(15);

/// How far a dataset was at each moment of the last stretch of time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    samples: VecDeque<(Instant, f64, u64)>,
}

/// How fast it goes, as far as that is known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Speed {
    pub(super) bytes_per_second: Option<u64>,
    pub(super) left: Option<Duration>,
}

impl Pace {
    pub(super) fn add(&mut self, now: Instant, fraction: f64, bytes: u64) -> Speed {
        self.samples.push_back((now, fraction, bytes));
        while self.samples.get(1).is_some_and(|(at, ..)| now.duration_since(*at) >= RATE_OVER) {
            self.samples.pop_front();
        }
        let Some(&(from, fraction_then, bytes_then)) = self.samples.front() else { return Speed::default() };
        let seconds = now.duration_since(from).as_secs_f64();
        if seconds < 1.0 {
            return Speed::default();
        }
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let rate = bytes.saturating_sub(bytes_then) as f64 / seconds;
        let per_second = (fraction - fraction_then) / seconds;
        // A fraction is an estimate: if it hardly moves, it says nothing about the end.
        let left = (per_second > 1e-7).then(|| ((1.0 - fraction) / per_second).max(0.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is a positive number")]
        let bytes_per_second = (rate > 0.0).then_some(rate as u64);
        Speed { bytes_per_second, left: left.and_then(|left| Duration::try_from_secs_f64(left).ok()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_stretch() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.add(start, 0.0, 0), Speed::default());
        let speed = pace.add(start + Duration::from_secs(10), 0.5, 1000);
        assert_eq!(speed, Speed { bytes_per_second: Some(100), left: Some(Duration::from_secs(10)) });
        // The oldest entries no longer count.
        let _between = pace.add(start + Duration::from_secs(40), 0.5, 1000);
        let stalled = pace.add(start + Duration::from_secs(61), 0.5, 1000);
        assert_eq!(stalled, Speed::default());
    }
}
