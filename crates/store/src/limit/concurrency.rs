//! How many requests run at once: as many as [`growth`](super::growth) finds to be worth it, and fewer after refusals
//! (additive increase, multiplicative decrease).
//!
//! An overloaded store refuses any request. If a store refuses the same thing again although it has served other
//! requests since, this says something about that thing and nothing about the load: it does not slow the others
//! down. Some servers answer so for ever to keys that they cannot hold.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::growth::{Growth, Window};
use crate::error::{ErrorKind, StoreError};
use migrate_core::{model::Key, report::WhyAtOnce};

/// How many refused things are remembered; beyond it all are forgotten.
const REFUSED_MAX: usize = 1024;
/// A window is as long as this many round trips of all slots, and at least as long as the second. It is short while every
/// try was worth it: twice as many slots show more than chance does, and a server far away has room for many. One round
/// trip before it shows requests of the width before.
const ROUND_TRIPS: u64 = 4;
const WINDOW_MIN: Duration = Duration::from_millis(250);
const ROUND_TRIPS_AT_FIRST: u64 = 1;
const WINDOW_MIN_AT_FIRST: Duration = Duration::from_millis(100);
/// Requests that began together end together: those that end right after a short window's beginning are of the burst
/// before it, which would count for a whole round trip.
const BURST: Duration = Duration::from_millis(10);

/// How many requests may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// So many in any case, unless the store asks for fewer.
    pub least: usize,
    /// As many as this, if they are found to be worth it.
    pub most: usize,
}

impl AtOnce {
    /// Always so many.
    pub fn fixed(number: usize) -> Self {
        Self { least: number, most: number }
    }

    /// The same, but no more than this.
    #[must_use]
    pub fn limited(self, most: Option<u32>) -> Self {
        let most = most.map_or(self.most, |most| self.most.min(usize::try_from(most).unwrap_or(usize::MAX)));
        Self { least: self.least.min(most), most }
    }

    fn bounds(self) -> (usize, usize) {
        let most = self.most.clamp(1, Semaphore::MAX_PERMITS);
        (self.least.clamp(1, most), most)
    }
}

/// Where a gate stands, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// How many requests may run at once now.
    pub at_once: usize,
    /// It is never more than this.
    pub most: usize,
    /// Why it is not another number.
    pub why: WhyAtOnce,
}

/// The subject of a request: an object, or one of its parts, by number.
pub(super) type About<'a> = Option<(&'a Key, u32)>;

/// Why a request was not served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unserved<'a> {
    kind: ErrorKind,
    /// What is at its limit, if the store tells it.
    at_limit: Option<&'a str>,
}

impl From<ErrorKind> for Unserved<'_> {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, at_limit: None }
    }
}

impl<'a> From<&'a StoreError> for Unserved<'a> {
    fn from(error: &'a StoreError) -> Self {
        Self { kind: error.kind(), at_limit: error.at_limit() }
    }
}

/// The gate of an endpoint.
#[derive(Debug)]
pub(super) struct Concurrency {
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    growth: Growth,
    measured: Measured,
    /// How many requests may run at once now: what the growth has found, or fewer after refusals.
    current: usize,
    /// Permits in use that must vanish when they come back.
    surplus: usize,
    /// Counts halvings: a request from before the last one says nothing about the state after it.
    epoch: u64,
    successes: usize,
    /// What was last told to be at its limit, since the gate was wide open. Most answers to a batch do not tell it, so
    /// one that does holds until then.
    at_limit: Option<Box<str>>,
    /// Requests served so far.
    served: u64,
    /// Refused things that were not served since, with `served` at that time.
    refused: HashMap<(Key, u32), u64>,
}

/// The window that is being measured.
#[derive(Debug)]
struct Measured {
    began: Instant,
    /// Requests that began before the gate had its present width: they say nothing about it.
    stale: u64,
    served: u64,
    /// Requests that found a free slot, and those that had to wait for one.
    free: u64,
    waited: u64,
}

impl Measured {
    /// A window of a gate in which this many requests are under way.
    fn new(stale: u64) -> Self {
        Self { began: Instant::now(), stale, served: 0, free: 0, waited: 0 }
    }

    /// Counts a request that was served; `true` once the window is long enough.
    fn served(&mut self, current: usize, is_fresh: bool) -> bool {
        if self.stale > 0 {
            self.stale -= 1;
            if self.stale == 0 {
                *self = Self::new(0);
            }
            return false;
        }
        if is_fresh && self.began.elapsed() < BURST {
            return false;
        }
        self.served += 1;
        let (round_trips, time) =
            if is_fresh { (ROUND_TRIPS_AT_FIRST, WINDOW_MIN_AT_FIRST) } else { (ROUND_TRIPS, WINDOW_MIN) };
        self.served >= round_trips * current as u64 && self.began.elapsed() >= time
    }

    /// What it has shown; `None` if most requests found a free slot: the gate holds up nobody.
    fn window(&self) -> Option<Window> {
        (self.waited >= self.free / 3).then(|| Window { served: self.served, time: self.began.elapsed() })
    }
}

impl State {
    fn is_narrowed(&self) -> bool {
        self.current < self.growth.width()
    }

    /// Remembers a refusal; `true` if it says something about the load.
    fn is_overload(&mut self, about: About<'_>) -> bool {
        let Some((key, part)) = about else { return true };
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        let before = self.refused.insert((key.clone(), part), self.served);
        before.is_none_or(|served| served == self.served)
    }

    fn serve(&mut self, about: About<'_>) {
        self.served += 1;
        if let (Some((key, part)), false) = (about, self.refused.is_empty()) {
            self.refused.remove(&(key.clone(), part));
        }
    }
}

/// The right to run one request.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    gate: &'a Concurrency,
    permit: Option<SemaphorePermit<'a>>,
    epoch: u64,
}

impl Concurrency {
    pub(super) fn new(at_once: AtOnce) -> Self {
        let (least, most) = at_once.bounds();
        let (surplus, epoch, successes, served) = (0, 0, 0, 0);
        let (at_limit, refused) = (None, HashMap::new());
        // The first window begins with the first answer.
        let (growth, measured) = (Growth::new(least, most), Measured::new(1));
        let state = State { growth, measured, current: least, surplus, epoch, successes, at_limit, served, refused };
        Self { permits: Semaphore::new(least), state: Mutex::new(state) }
    }

    /// A slot, if one is free.
    pub(super) fn try_enter(&self) -> Option<Slot<'_>> {
        let permit = self.permits.try_acquire().ok()?;
        let mut state = self.state();
        state.measured.free += 1;
        Some(Slot { gate: self, permit: Some(permit), epoch: state.epoch })
    }

    /// Waits for a slot, in order of arrival.
    pub(super) async fn enter(&self) -> Slot<'_> {
        self.state().measured.waited += 1;
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        Slot { gate: self, permit: Some(permit), epoch: self.state().epoch }
    }

    /// Whether the store has asked for fewer requests and has not yet been given back all.
    pub(super) fn is_narrowed(&self) -> bool {
        self.state().is_narrowed()
    }

    /// How many requests may run at once now, and why.
    pub(super) fn width(&self) -> Width {
        let state = self.state();
        let why = match () {
            () if state.is_narrowed() => WhyAtOnce::Throttled,
            () if state.growth.is_fixed() => WhyAtOnce::Fixed,
            () => state.growth.why(),
        };
        Width { at_once: state.current, most: state.growth.most(), why }
    }

    /// Keeps the width between these bounds from now on. Requests under way end; what refusals have narrowed stays so.
    pub(super) fn bound(&self, at_once: AtOnce) {
        let (least, most) = at_once.bounds();
        let mut state = self.state();
        let was_narrowed = state.is_narrowed();
        state.growth.bound(least, most);
        if !was_narrowed || !state.is_narrowed() {
            self.fit(&mut state);
            state.at_limit = None;
        }
    }

    /// What the store has told to be at its limit, while it is narrowed.
    pub(super) fn at_limit(&self) -> Option<Box<str>> {
        let state = self.state();
        state.at_limit.clone().filter(|_| state.is_narrowed())
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> usize {
        self.state().current
    }

    fn resize(&self, state: &mut State, target: usize) {
        if target > state.current {
            let more = target - state.current;
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            self.permits.add_permits(more - kept);
        } else {
            let fewer = state.current - target;
            state.surplus += fewer - self.permits.forget_permits(fewer);
        }
        state.current = target;
    }

    fn throttled(&self, epoch: u64, about: About<'_>, at_limit: Option<&str>) {
        let mut state = self.state();
        if let Some(what) = at_limit {
            state.at_limit = Some(what.into());
        }
        if state.is_overload(about) && epoch == state.epoch {
            state.epoch += 1;
            state.successes = 0;
            state.growth.throttled();
            let half = (state.current / 2).max(1);
            self.resize(&mut state, half);
            if !state.is_narrowed() {
                // Only what was tried is taken back.
                state.at_limit = None;
            }
        }
    }

    /// The store could not be reached, or did not answer: what is being tried may be too much for it.
    fn unanswered(&self) {
        let mut state = self.state();
        if !state.is_narrowed() {
            state.growth.give_up();
            self.fit(&mut state);
        }
    }

    fn succeeded(&self, about: About<'_>) {
        let mut state = self.state();
        state.serve(about);
        if !state.is_narrowed() {
            self.measure(&mut state);
            return;
        }
        state.successes += 1;
        if state.successes >= state.current {
            state.successes = 0;
            let wider = state.current + 1;
            self.resize(&mut state, wider);
            if !state.is_narrowed() {
                state.at_limit = None;
            }
        }
    }

    fn measure(&self, state: &mut State) {
        if state.growth.is_fixed() {
            return;
        }
        let current = state.current;
        if !state.measured.served(current, state.growth.is_fresh()) {
            return;
        }
        let window = state.measured.window();
        state.measured = Measured::new(0);
        if let Some(window) = window {
            state.growth.ended(window);
            self.fit(state);
        }
    }

    /// Takes the width that the growth has found.
    fn fit(&self, state: &mut State) {
        let (width, current) = (state.growth.width(), state.current);
        if width != current {
            self.resize(state, width);
            state.measured = Measured::new(current as u64);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot<'_> {
    /// Ends the request: what its outcome was decides how many may run from now on.
    pub(crate) fn settle(self, about: About<'_>, failure: Option<Unserved<'_>>) {
        match failure {
            Some(Unserved { kind: ErrorKind::Throttled, at_limit }) => {
                self.gate.throttled(self.epoch, about, at_limit);
            }
            None => self.gate.succeeded(about),
            Some(Unserved { kind: ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Unreachable, .. }) => {
                self.gate.unanswered();
            }
            // Other failures say nothing about how much the store bears.
            Some(_) => {}
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_halves_once_a_round_trip_and_grows_by_one_a_window() {
        let gate = Concurrency::new(AtOnce::fixed(16));
        let slots: Vec<_> = (0..16).map(|_| gate.try_enter().unwrap()).collect();
        for slot in slots {
            slot.settle(None, Some(ErrorKind::Throttled.into()));
        }
        assert_eq!(gate.current(), 8, "sixteen refusals of one round trip halve once");
        gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        assert_eq!(gate.current(), 4, "a refusal after it halves again");
        for _ in 0..4 {
            gate.enter().await.settle(None, None);
        }
        assert_eq!(gate.current(), 5);
        assert!(gate.is_narrowed());
        for _ in 0..1000 {
            gate.enter().await.settle(None, None);
        }
        assert_eq!(gate.current(), 16);
        for _ in 0..10 {
            gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        }
        assert_eq!(gate.current(), 1, "one may always run");
    }

    #[tokio::test]
    async fn what_is_at_its_limit_is_known_until_the_gate_is_wide_open() {
        let gate = Concurrency::new(AtOnce::fixed(4));
        let error = StoreError::new(ErrorKind::Throttled, "write", "orders", "slow").at_limit_of("the index by-date");
        gate.enter().await.settle(None, Some((&error).into()));
        gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        assert_eq!(gate.at_limit().as_deref(), Some("the index by-date"), "the second one tells nothing else");
        while gate.is_narrowed() {
            assert!(gate.at_limit().is_some());
            gate.enter().await.settle(None, None);
        }
        assert_eq!(gate.at_limit(), None);
        gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        assert_eq!(gate.at_limit(), None, "what was told is over");
    }

    #[tokio::test]
    async fn what_is_refused_for_ever_does_not_slow_the_others() {
        let gate = Concurrency::new(AtOnce::fixed(16));
        let (held, other) = (Key::from("held"), Key::from("other"));
        let refuse =
            async |key: &Key, part| gate.enter().await.settle(Some((key, part)), Some(ErrorKind::Throttled.into()));
        refuse(&held, 0).await;
        assert_eq!(gate.current(), 8, "nobody can know yet");
        refuse(&held, 0).await;
        assert_eq!(gate.current(), 4, "nothing was served since");
        for _ in 0..300 {
            gate.enter().await.settle(Some((&other, 0)), None);
            refuse(&held, 0).await;
        }
        assert_eq!(gate.current(), 16, "others are served");
        refuse(&other, 0).await;
        assert_eq!(gate.current(), 8, "something new is refused");
        for part in 1..4 {
            gate.enter().await.settle(Some((&held, part + 10)), None);
            refuse(&other, part).await;
        }
        assert_eq!(gate.current(), 1, "so are the parts of a large object, one after the other");
    }

    #[tokio::test]
    async fn permits_neither_leak_nor_multiply() {
        let gate = Concurrency::new(AtOnce::fixed(8));
        let slots: Vec<_> = (0..8).map(|_| gate.try_enter().unwrap()).collect();
        gate.throttled(0, None, None);
        gate.throttled(1, None, None);
        (0..3).for_each(|_| gate.succeeded(None));
        drop(slots);
        let current = gate.current();
        let free: Vec<_> = std::iter::from_fn(|| gate.try_enter()).collect();
        assert_eq!(free.len(), current);
    }

    /// Sends requests from many tasks for a time to a store that takes 100 ms for each and serves so many at once.
    async fn sent(gate: &Concurrency, bears: usize, seconds: u64) -> Width {
        let store = Semaphore::new(bears);
        let send = || async {
            loop {
                let slot = gate.try_enter();
                let slot = if let Some(slot) = slot { slot } else { gate.enter().await };
                let served = store.acquire().await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(served);
                slot.settle(None, None);
            }
        };
        let all = futures::future::join_all((0..1000).map(|_| send()));
        let _ = tokio::time::timeout(Duration::from_secs(seconds), all).await;
        gate.width()
    }

    #[tokio::test(start_paused = true)]
    async fn it_finds_how_many_a_store_bears() {
        let gate = || Concurrency::new(AtOnce { least: 64, most: 512 });
        let far = sent(&gate(), 10_000, 10).await;
        assert_eq!(far, Width { at_once: 512, most: 512, why: WhyAtOnce::Most });
        let busy = sent(&gate(), 16, 60).await;
        assert!(busy.at_once <= 96, "more than 64 is only tried: {busy:?}");
        let between = sent(&gate(), 150, 60).await;
        assert!((128..=256).contains(&between.at_once), "{between:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_refusals_have_narrowed_opens_by_one_a_window_whatever_was_tried() {
        let gate = Concurrency::new(AtOnce { least: 64, most: 512 });
        sent(&gate, 10_000, 10).await;
        gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        assert_eq!(gate.width(), Width { at_once: 256, most: 512, why: WhyAtOnce::Throttled });
        gate.enter().await.settle(None, Some(ErrorKind::TimedOut.into()));
        assert_eq!(gate.current(), 256);
        for _ in 0..256 {
            gate.enter().await.settle(None, None);
        }
        assert_eq!(gate.width(), Width { at_once: 257, most: 512, why: WhyAtOnce::Throttled });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_tried_is_given_up_if_the_store_does_not_answer() {
        let gate = Concurrency::new(AtOnce { least: 64, most: 1 << 16 });
        sent(&gate, 10_000, 1).await;
        let (tried, why) = (gate.current(), gate.width().why);
        assert!(tried > 64 && why == WhyAtOnce::Growing, "{tried} {why:?}");
        gate.enter().await.settle(None, Some(ErrorKind::Unavailable.into()));
        assert!(gate.current() < tried);
    }

    #[tokio::test(start_paused = true)]
    async fn other_bounds_hold_at_once_and_what_was_refused_stays_so() {
        let gate = Concurrency::new(AtOnce { least: 16, most: 512 });
        assert_eq!(gate.width(), Width { at_once: 16, most: 512, why: WhyAtOnce::Beginning });
        sent(&gate, 10_000, 10).await;
        gate.bound(AtOnce { least: 16, most: 512 }.limited(Some(100)));
        assert_eq!(gate.width(), Width { at_once: 100, most: 100, why: WhyAtOnce::Most });
        gate.bound(AtOnce { least: 16, most: 512 }.limited(Some(8)));
        assert_eq!(gate.width(), Width { at_once: 8, most: 8, why: WhyAtOnce::Fixed });
        let free: Vec<_> = std::iter::from_fn(|| gate.try_enter()).collect();
        assert_eq!(free.len(), 8, "slots neither leak nor multiply");
        drop(free);
        gate.enter().await.settle(None, Some(ErrorKind::Throttled.into()));
        gate.bound(AtOnce { least: 16, most: 512 });
        assert_eq!(gate.width(), Width { at_once: 4, most: 512, why: WhyAtOnce::Throttled });
        sent(&gate, 10_000, 60).await;
        assert!(gate.width().at_once > 16, "{:?}", gate.width());
    }

    #[tokio::test]
    async fn other_failures_change_nothing() {
        let gate = Concurrency::new(AtOnce::fixed(4));
        gate.enter().await.settle(None, Some(ErrorKind::Unavailable.into()));
        drop(gate.enter().await);
        assert_eq!(gate.current(), 4);
    }
}
