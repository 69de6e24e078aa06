//! How many requests run at once: additive increase, multiplicative decrease.
//!
//! An overloaded store refuses any request. If a store refuses the same thing again although it has served other
//! requests since, this says something about that thing and nothing about the load: it does not slow the others
//! down. Some servers answer so for ever to keys that they cannot hold.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{ErrorKind, StoreError};
use migrate_core::model::Key;

/// How many refused things are remembered; beyond it all are forgotten.
const REFUSED_MAX: usize = 1024;

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
    max: usize,
    /// How many requests may run at once now.
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

impl State {
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
    pub(super) fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let (surplus, epoch, successes, served) = (0, 0, 0, 0);
        let (at_limit, refused) = (None, HashMap::new());
        let state = State { max, current: max, surplus, epoch, successes, at_limit, served, refused };
        Self { permits: Semaphore::new(max), state: Mutex::new(state) }
    }

    /// A slot, if one is free.
    pub(super) fn try_enter(&self) -> Option<Slot<'_>> {
        self.permits.try_acquire().ok().map(|permit| self.slot(permit))
    }

    /// Waits for a slot, in order of arrival.
    pub(super) async fn enter(&self) -> Slot<'_> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        self.slot(permit)
    }

    fn slot<'a>(&'a self, permit: SemaphorePermit<'a>) -> Slot<'a> {
        Slot { gate: self, permit: Some(permit), epoch: self.state().epoch }
    }

    /// Sets how many may run at once at most; a gate that was wide open stays so.
    pub(super) fn set_max(&self, max: usize) {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let mut state = self.state();
        let open = state.current == state.max;
        state.max = max;
        let target = if open { max } else { state.current.min(max) };
        self.resize(&mut state, target);
    }

    /// Whether the store has asked for fewer requests and has not yet been given back all.
    pub(super) fn is_narrowed(&self) -> bool {
        let state = self.state();
        state.current < state.max
    }

    /// What the store has told to be at its limit, while it is narrowed.
    pub(super) fn at_limit(&self) -> Option<Box<str>> {
        let state = self.state();
        state.at_limit.clone().filter(|_| state.current < state.max)
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
            let half = (state.current / 2).max(1);
            self.resize(&mut state, half);
        }
    }

    fn succeeded(&self, about: About<'_>) {
        let mut state = self.state();
        state.serve(about);
        if state.current >= state.max {
            return;
        }
        state.successes += 1;
        if state.successes >= state.current {
            state.successes = 0;
            let wider = state.current + 1;
            self.resize(&mut state, wider);
            if state.current == state.max {
                state.at_limit = None;
            }
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
        let gate = Concurrency::new(16);
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
        let gate = Concurrency::new(4);
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
        let gate = Concurrency::new(16);
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
        let gate = Concurrency::new(8);
        let slots: Vec<_> = (0..8).map(|_| gate.try_enter().unwrap()).collect();
        gate.throttled(0, None, None);
        gate.set_max(2);
        gate.set_max(6);
        drop(slots);
        let current = gate.current();
        let free: Vec<_> = std::iter::from_fn(|| gate.try_enter()).collect();
        assert_eq!(free.len(), current);
    }

    #[tokio::test]
    async fn other_failures_change_nothing() {
        let gate = Concurrency::new(4);
        gate.enter().await.settle(None, Some(ErrorKind::Unavailable.into()));
        drop(gate.enter().await);
        assert_eq!(gate.current(), 4);
    }
}
