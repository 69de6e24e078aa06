//! [`CapacityLimits`]: how many capacity units of a table may be used a second.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{sync::Notify, time::Instant};

use super::rate::Rate;

/// Capacity units a second, of reads and of writes; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Capacity {
    /// Read units.
    pub read: Option<f64>,
    /// Write units.
    pub write: Option<f64>,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

/// The limits of one table, shared by all who read and write it.
///
/// Rates are debts here too: a request passes as soon as nothing is owed, and is charged with what the server says
/// that it took. What a page takes is known only then, so requests that run side by side may run ahead by what they take
/// together, and the next ones wait it off.
#[derive(Debug)]
pub struct CapacityLimits {
    name: Box<str>,
    now: Mutex<Capacity>,
    rates: [Rate; 2],
    waiting: [AtomicUsize; 2],
    changed: Notify,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A limit of nothing would wait for ever.
fn at_least(rate: Option<f64>) -> Option<f64> {
    rate.map(|rate| rate.max(0.1))
}

impl CapacityLimits {
    /// The limits of the table called `name`, for people.
    pub fn new(name: &str, capacity: Capacity) -> Arc<Self> {
        let rate = |rate| Rate::new(at_least(rate), 0.0);
        Arc::new(Self {
            name: name.into(),
            now: Mutex::new(capacity),
            rates: [rate(capacity.read), rate(capacity.write)],
            waiting: Default::default(),
            changed: Notify::new(),
        })
    }

    /// Changes the limits; waiting requests see the new ones at once.
    pub fn set(&self, capacity: Capacity) {
        let now = Instant::now();
        for (rate, units) in self.rates.iter().zip([capacity.read, capacity.write]) {
            rate.bucket().set_rate(at_least(units), now);
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = capacity;
        self.changed.notify_waiters();
    }

    /// Why requests wait now, for people: "accounts: write capacity limit 500/s". `None` if none waits.
    pub fn reason(&self) -> Option<String> {
        let now = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = [(Side::Write, "write", now.write), (Side::Read, "read", now.read)];
        let (_, what, units) = sides.into_iter().find(|(side, ..)| self.waiting[*side as usize].load(Relaxed) > 0)?;
        Some(format!("{}: {what} capacity limit {}/s", self.name, units.unwrap_or_default()))
    }

    /// Whether there is a limit, for which requests must be measured.
    pub(super) fn counts(&self, side: Side) -> bool {
        self.rates[side as usize].bucket().rate().is_some()
    }

    /// Waits until nothing is owed, and takes what is known of a request.
    pub(super) async fn admit(&self, side: Side, units: f64) {
        let count = &self.waiting[side as usize];
        let waits = || {
            count.fetch_add(1, Relaxed);
            Waiting(count)
        };
        self.rates[side as usize].take(units, &self.changed, waits).await;
    }

    /// Charges what a request took beyond what was taken before it; less gives back.
    pub(super) fn charge(&self, side: Side, units: f64) {
        self.rates[side as usize].bucket().charge(units, Instant::now());
    }
}
