//! How long to wait between attempts, and how many there are.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    error::{ErrorKind, Retry, StoreError},
    meter::{Meter, Paused, Waiting},
};

/// After more refusals, a clock that is wrong will stay so.
const CLOCKS_MAX: u32 = 2;
/// After fewer attempts a failure is a hiccup, and the display does not show it.
const ATTEMPTS_UNSHOWN: u32 = 3;

/// How failed attempts are repeated.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least one.
    pub attempts_max: u32,
    /// The longest first pause after a transient failure; it doubles with each attempt.
    pub pause: Duration,
    /// The longest first pause if the store asked for fewer requests.
    pub pause_throttled: Duration,
    /// The longest pause of all.
    pub pause_max: Duration,
    /// Seed of the jitter; from the system if absent.
    pub seed: Option<u64>,
    /// Shared with other stores: together they repeat no more than it holds.
    pub budget: Option<Arc<RetryBudget>>,
    /// Counts repeated attempts.
    pub meter: Option<Arc<Meter>>,
}

impl Default for RetryPolicy {
    /// Eight attempts over about a minute.
    fn default() -> Self {
        Self {
            attempts_max: 8,
            pause: Duration::from_millis(200),
            pause_throttled: Duration::from_secs(1),
            pause_max: Duration::from_secs(20),
            seed: None,
            budget: None,
            meter: None,
        }
    }
}

/// How many repeated attempts are left. So an endpoint that fails on everything is given up after a bounded number
/// of requests, whatever the number of workers; every success earns a tenth back.
#[derive(Debug)]
pub struct RetryBudget {
    /// In tenths of an attempt.
    left: AtomicU64,
    max: u64,
}

impl RetryBudget {
    /// A budget of so many repeated attempts.
    pub fn new(attempts: u32) -> Arc<Self> {
        let max = u64::from(attempts) * 10;
        Arc::new(Self { left: AtomicU64::new(max), max })
    }

    fn take(&self) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(10)).is_ok()
    }

    fn earn(&self) {
        let _ = self.left.fetch_update(Relaxed, Relaxed, |left| (left < self.max).then_some(left + 1));
    }
}

/// A policy at work: its random numbers and counts.
#[derive(Debug)]
pub(super) struct Pacer {
    policy: RetryPolicy,
    random: Mutex<SmallRng>,
}

impl Pacer {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        let seed = policy.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Self { policy, random: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    /// The pause before the next attempt, after `attempts` of them; `None` if there is none.
    pub(super) fn pause_after(&self, attempts: u32, error: &StoreError) -> Option<Duration> {
        let first = match error.kind().retry() {
            Retry::Permanent => return None,
            Retry::Transient => self.policy.pause,
            Retry::Throttled => self.policy.pause_throttled,
        };
        if attempts >= self.policy.attempts_max || !self.policy.budget.as_ref().is_none_or(|budget| budget.take()) {
            return None;
        }
        if let Some(meter) = &self.policy.meter {
            meter.count_retry();
        }
        Some(self.jittered(first, attempts))
    }

    /// The pause after this many refusals because of a wrong clock; `None` if that was one too many. A refusal has told the
    /// server's time, by which the next attempt is signed, and was not carried out.
    pub(super) fn pause_after_clock(&self, refusals: u32) -> Option<Duration> {
        if refusals > CLOCKS_MAX {
            return None;
        }
        if let Some(meter) = &self.policy.meter {
            meter.count_retry();
        }
        Some(Duration::ZERO)
    }

    /// The pause before a store that took nothing is asked again, after so many times: there is always a next one.
    pub(super) fn pause_throttled(&self, times: u32) -> Duration {
        if let Some(meter) = &self.policy.meter {
            meter.count_retry();
        }
        self.jittered(self.policy.pause_throttled, times)
    }

    fn jittered(&self, first: Duration, attempts: u32) -> Duration {
        let longest = first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(self.policy.pause_max);
        // Full jitter: workers that failed together do not come back together.
        // https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        let share = self.random.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        longest.mul_f64(share)
    }

    /// Shows on a display that a request waits, once it is more than a hiccup. A missing answer is more than that
    /// from the first time on.
    pub(super) fn waits(&self, error: &StoreError, attempts: u32) -> Option<Paused<'_>> {
        self.shown(error, attempts, Some(self.policy.attempts_max))
    }

    /// The same of a request that is repeated for as long as the patience lasts.
    pub(super) fn waits_patiently(&self, error: &StoreError, attempts: u32) -> Option<Paused<'_>> {
        self.shown(error, attempts, None)
    }

    fn shown(&self, error: &StoreError, attempts: u32, attempts_max: Option<u32>) -> Option<Paused<'_>> {
        let meter = self
            .policy
            .meter
            .as_ref()
            .filter(|_| attempts >= ATTEMPTS_UNSHOWN || error.kind() == ErrorKind::TimedOut)?;
        let (key, mut failure) = (error.key().cloned(), error.to_string());
        if let Some(what) = error.at_limit() {
            failure = format!("{} asked for fewer requests because of {what}", error.location());
        }
        Some(meter.pause(Waiting { key, failure, attempt: attempts + 1, attempts_max }))
    }

    pub(super) fn succeeded(&self) {
        if let Some(budget) = &self.policy.budget {
            budget.earn();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn error(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "read", "test", "failed")
    }

    #[test]
    fn pauses_grow_to_the_cap_and_are_jittered() {
        let pacer = Pacer::new(RetryPolicy { attempts_max: 100, seed: Some(1), ..RetryPolicy::default() });
        let longest =
            |attempts, kind| (0..200).filter_map(|_| pacer.pause_after(attempts, &error(kind))).max().unwrap();
        let first = longest(1, ErrorKind::Unavailable);
        assert!(first <= Duration::from_millis(200) && first > Duration::from_millis(150));
        let third = longest(3, ErrorKind::Unavailable);
        assert!(third <= Duration::from_millis(800) && third > Duration::from_millis(600));
        assert!(longest(1, ErrorKind::Throttled) > Duration::from_millis(700), "throttled backs off further");
        assert!(longest(50, ErrorKind::Unavailable) <= Duration::from_secs(20));
        let shortest = (0..200).filter_map(|_| pacer.pause_after(3, &error(ErrorKind::Unavailable))).min().unwrap();
        assert!(shortest < Duration::from_millis(100), "jitter is full");
    }

    #[test]
    fn attempts_and_budget_are_bounded() {
        let budget = RetryBudget::new(3);
        let pacer = Pacer::new(RetryPolicy { budget: Some(budget), ..RetryPolicy::default() });
        assert!(pacer.pause_after(8, &error(ErrorKind::Unavailable)).is_none());
        assert!(pacer.pause_after(1, &error(ErrorKind::Denied)).is_none());
        let repeated = (0..10).filter(|_| pacer.pause_after(1, &error(ErrorKind::Unavailable)).is_some()).count();
        assert_eq!(repeated, 3);
        (0..10).for_each(|_| pacer.succeeded());
        assert!(pacer.pause_after(1, &error(ErrorKind::Unavailable)).is_some(), "ten successes earn one");
        assert!(pacer.pause_after(1, &error(ErrorKind::Unavailable)).is_none());
    }

    /// The refusal itself has told the time.
    #[test]
    fn a_wrong_clock_is_tried_again_at_once_and_twice_only() {
        let pacer = Pacer::new(RetryPolicy::default());
        let told = |attempts| pacer.pause_after_clock(attempts);
        assert_eq!((told(1), told(2), told(3)), (Some(Duration::ZERO), Some(Duration::ZERO), None));
    }
}
