//! A rate as a debt: taking units makes a debt, and time pays it off.

use tokio::time::{Duration, Instant};

/// The largest saving while idle, in seconds of the rate.
const BURST_SECONDS: f64 = 0.1;

/// A debt that is paid off at a rate.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Units per second; `None` for no limit.
    rate: Option<f64>,
    /// The smallest burst, in units. Without it a single unit could not be taken at once.
    burst_min: f64,
    /// Units that may be taken; negative during a debt.
    balance: f64,
    paid_until: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Option<f64>, burst_min: f64, now: Instant) -> Self {
        Self { rate, burst_min, balance: burst_min, paid_until: now }
    }

    /// Changes the rate and forgets debts to the old one.
    pub(super) fn set_rate(&mut self, rate: Option<f64>, now: Instant) {
        if self.rate != rate {
            *self = Self::new(rate, self.burst_min, now);
        }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Takes `units` if nothing is owed; otherwise the error is the time until the debt is paid.
    pub(super) fn take(&mut self, units: f64, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        self.pay(rate, now);
        // The least that a request takes must be available, so that one unit per request is exact.
        let missing = units.min(self.burst_min) - self.balance;
        if missing > 0.0 {
            // Rounded up, so that the debt is paid when the task wakes.
            return Err(Duration::from_secs_f64(missing / rate) + Duration::from_micros(10));
        }
        self.balance -= units;
        Ok(())
    }

    /// Takes `units` whatever is owed.
    pub(super) fn charge(&mut self, units: f64, now: Instant) {
        if let Some(rate) = self.rate {
            self.pay(rate, now);
            self.balance -= units;
        }
    }

    fn pay(&mut self, rate: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.paid_until).as_secs_f64();
        self.paid_until = now;
        self.balance = (self.balance + elapsed * rate).min((rate * BURST_SECONDS).max(self.burst_min));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_time_saves_up_no_more_than_a_burst() {
        let mut bucket = Bucket::new(Some(100.0), 1.0, Instant::now());
        tokio::time::advance(Duration::from_hours(1)).await;
        let taken = (0..100).filter(|_| bucket.take(1.0, Instant::now()).is_ok()).count();
        assert_eq!(taken, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_charge_is_waited_off() {
        let mut bucket = Bucket::new(Some(100.0), 0.0, Instant::now());
        bucket.charge(1_000.0, Instant::now());
        let wait = bucket.take(5.0, Instant::now()).unwrap_err();
        assert_eq!(wait.as_secs(), 10);
        tokio::time::advance(wait).await;
        bucket.take(5.0, Instant::now()).unwrap();
    }
}
