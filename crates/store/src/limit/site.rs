//! The limits of one site, shared by all its stores.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::{
    concurrency::{AtOnce, Concurrency, Slot, Width},
    hours::WorkingHours,
    rate::Rate,
};
use migrate_core::{model::ByteCount, report::WhyAtOnce};

/// The current time of day.
pub type WallClock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// The longest sleep before the next look at the wall clock, because it may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// The limits of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// Body bytes per second, read and written together.
    pub bandwidth: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u32>,
    /// The hours in which requests may begin.
    pub window: Option<WorkingHours>,
    /// How many requests may run at once, as an operator allows.
    pub requests_at_once: Option<u32>,
    /// How many requests may run at once, by the kind of the site.
    pub at_once: AtOnce,
}

impl Default for Quota {
    fn default() -> Self {
        let at_once = AtOnce::fixed(64);
        Self { bandwidth: None, requests_per_second: None, window: None, requests_at_once: None, at_once }
    }
}

/// The limits of one site and their use.
pub struct SiteLimits {
    name: Box<str>,
    clock: WallClock,
    limits: Mutex<Quota>,
    bandwidth: Rate,
    requests: Rate,
    gate: Concurrency,
    changed: Notify,
    waiting: [AtomicUsize; 4],
}

/// What a request waits for; `reason` tells the first of these that any request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Window,
    Requests,
    Bandwidth,
    Slot,
}

const WAITS: [Wait; 4] = [Wait::Window, Wait::Requests, Wait::Bandwidth, Wait::Slot];

/// Counts a request as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for SiteLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.limits();
        f.debug_struct("SiteLimits").field("name", &self.name).field("limits", &limits).finish_non_exhaustive()
    }
}

impl SiteLimits {
    /// The limits of the site called `name`. `clock` decides the working hours.
    pub fn new(name: &str, limits: Quota, clock: WallClock) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            clock,
            // A body may always begin when nothing is owed; a request needs one whole unit.
            bandwidth: Rate::new(bytes_rate(&limits), 0.0),
            requests: Rate::new(requests_rate(&limits), 1.0),
            gate: Concurrency::new(limits.at_once.limited(limits.requests_at_once)),
            limits: Mutex::new(limits),
            changed: Notify::new(),
            waiting: Default::default(),
        })
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Quota {
        self.lock().clone()
    }

    /// Changes the limits; waiting requests see the new ones at once.
    pub fn set(&self, limits: Quota) {
        let now = Instant::now();
        self.bandwidth.bucket().set_rate(bytes_rate(&limits), now);
        self.requests.bucket().set_rate(requests_rate(&limits), now);
        self.gate.bound(limits.at_once.limited(limits.requests_at_once));
        *self.lock() = limits;
        self.changed.notify_waiters();
    }

    /// How many requests may run at once now, and why.
    pub fn width(&self) -> Width {
        let width = self.gate.width();
        let is_limited = width.most < self.lock().at_once.most;
        match width.why {
            WhyAtOnce::Most | WhyAtOnce::Fixed if is_limited => Width { why: WhyAtOnce::Limit, ..width },
            _ => width,
        }
    }

    /// Why requests wait now, for people: "california: bandwidth limit 400 MB/s". `None` if none waits for a limit.
    pub fn reason(&self) -> Option<String> {
        let name = &self.name;
        let wait = WAITS.into_iter().find(|wait| self.waiting[*wait as usize].load(Relaxed) > 0)?;
        let limits = self.limits();
        Some(match wait {
            Wait::Window => {
                format!("{name}: outside working hours {}", limits.window.map(|w| w.to_string()).unwrap_or_default())
            }
            Wait::Requests => {
                format!("{name}: request limit {}/s", limits.requests_per_second.unwrap_or_default())
            }
            Wait::Bandwidth => format!("{name}: bandwidth limit {}/s", ByteCount(limits.bandwidth.unwrap_or_default())),
            Wait::Slot if self.gate.is_narrowed() => match self.gate.at_limit() {
                Some(what) => format!("{name} asked for fewer requests because of {what}"),
                None => format!("{name} asked for fewer requests"),
            },
            // A busy site uses all its slots. The operator set no such limit.
            Wait::Slot => return None,
        })
    }

    /// Whether requests wait now for the working hours to begin.
    pub fn waits_for_hours(&self) -> bool {
        self.waiting[Wait::Window as usize].load(Relaxed) > 0
    }

    /// Waits until a request with a body of `bytes` may be sent.
    pub(super) async fn admit(&self, bytes: u64) {
        self.wait_for_window().await;
        self.take(Wait::Requests, &self.requests, 1.0).await;
        if bytes > 0 {
            self.take(Wait::Bandwidth, &self.bandwidth, as_units(bytes)).await;
        }
    }

    /// Whether the bandwidth is limited, for which bodies must be measured.
    pub(super) fn counts_bytes(&self) -> bool {
        self.bandwidth.bucket().rate().is_some()
    }

    /// Charges a body of previously unknown size.
    pub(super) fn charge(&self, bytes: u64) {
        self.bandwidth.bucket().charge(as_units(bytes), Instant::now());
    }

    /// Waits for one of the slots that the site bears.
    pub(super) async fn slot(&self) -> Slot<'_> {
        if let Some(slot) = self.gate.try_enter() {
            return slot;
        }
        let _waiting = self.wait(Wait::Slot);
        self.gate.enter().await
    }

    async fn wait_for_window(&self) {
        let mut waiting = None;
        loop {
            // Registered before the look, so that no change between look and sleep is missed.
            let changed = self.changed.notified();
            let Some(window) = self.lock().window.clone() else { return };
            let opens_in = window.opens_in((self.clock)());
            if opens_in.is_zero() {
                return;
            }
            waiting.get_or_insert_with(|| self.wait(Wait::Window));
            let _ = tokio::time::timeout(opens_in.min(LOOK_AGAIN), changed).await;
        }
    }

    async fn take(&self, wait: Wait, rate: &Rate, units: f64) {
        rate.take(units, &self.changed, || self.wait(wait)).await;
    }

    fn wait(&self, wait: Wait) -> Waiting<'_> {
        let count = &self.waiting[wait as usize];
        count.fetch_add(1, Relaxed);
        Waiting(count)
    }

    fn lock(&self) -> MutexGuard<'_, Quota> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_rate(limits: &Quota) -> Option<f64> {
    // A limit of 0 would wait for ever; one byte per second comes close enough.
    limits.bandwidth.map(|bytes| as_units(bytes.max(1)))
}

fn requests_rate(limits: &Quota) -> Option<f64> {
    limits.requests_per_second.map(|requests| f64::from(requests.max(1)))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and a rate needs no more")]
fn as_units(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, StoreError};

    #[tokio::test(start_paused = true)]
    async fn a_site_that_asked_for_less_is_named() {
        let limits = SiteLimits::new(
            "california",
            Quota { at_once: AtOnce::fixed(2), ..Quota::default() },
            Arc::new(jiff::Timestamp::now),
        );
        limits.slot().await.settle(None, Some(ErrorKind::Throttled.into()));
        let reason = async || {
            let _held = limits.slot().await;
            let waiting = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                limits.reason()
            };
            tokio::join!(waiting, tokio::time::timeout(Duration::from_secs(2), limits.slot())).0
        };
        assert_eq!(reason().await.unwrap(), "california asked for fewer requests");
        let named = StoreError::new(ErrorKind::Throttled, "write", "orders", "slow");
        let named = named.at_limit_of("the index by-date of the table orders");
        limits.slot().await.settle(None, Some((&named).into()));
        assert_eq!(
            reason().await.unwrap(),
            "california asked for fewer requests because of the index by-date of the table orders"
        );
        assert_eq!(limits.reason(), None);
    }
}
