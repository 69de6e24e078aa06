//! The faults of one run, shared by its stores: rules, counts and the crash.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use super::kinds::{Fault, Operation};
use crate::{
    error::{ErrorKind, StoreError},
    object::Result,
};
use migrate_core::model::Key;
use migrate_fault::{Counted, Rule, Rules, Strike, When};

/// How the text of an error after a crash begins.
const CRASHED: &str = "crashed on purpose";

/// A request that is still under way although its caller has given it up.
pub(super) type Late = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests under way, in the order in which they were sent.
#[derive(Default)]
struct UnderWay(Mutex<Vec<Late>>);

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").finish_non_exhaustive()
    }
}

/// One kind of fault, and which calls it strikes.
pub type FaultRule = Rule<Fault>;

/// The moment at which a run crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Right before the n-th durable write, counted from 1, acts.
    Before(u64),
    /// Right after it acted; its answer is lost.
    After(u64),
}

/// The faults of one run, shared by its stores.
#[derive(Debug)]
pub struct Faults {
    rules: RwLock<Counted<Fault>>,
    crash: Option<Crash>,
    writes: AtomicU64,
    crashed: AtomicBool,
    /// Calls that still fail because the credentials have expired.
    expired: AtomicU64,
    struck: Mutex<BTreeMap<&'static str, u64>>,
    under_way: UnderWay,
}

impl Faults {
    /// Faults by these rules; the first rule that strikes decides.
    pub fn with_rules(seed: u64, rules: Vec<FaultRule>) -> Self {
        Self {
            rules: RwLock::new(Counted::new(Rules { seed, rules })),
            crash: None,
            writes: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
            expired: AtomicU64::new(0),
            struck: Mutex::default(),
            under_way: UnderWay::default(),
        }
    }

    /// Fails about `rate_permille` of a thousand calls, picked by `seed`, each in one of the ways that pass without
    /// help.
    pub fn new(seed: u64, rate_permille: u16) -> Self {
        use Fault::{
            CutAnswer, ErrorInside, FlippedBit, FlippedBitSent, InternalError, OverlongBody, ResetAfter, ResetBefore,
            SlowDown, TimedOut, TruncatedBody, Unreachable,
        };
        let everywhere = [InternalError, SlowDown, Unreachable, TimedOut, ResetBefore, ResetAfter];
        let somewhere = [TruncatedBody, OverlongBody, FlippedBit, FlippedBitSent, ErrorInside, CutAnswer];
        let share =
            f64::from(rate_permille) / 1000.0 / f64::from(u8::try_from(everywhere.len()).expect("they are few"));
        // Of tables alone; the last ones, so that the seeds of earlier runs replay.
        let tables = [Fault::LeftOver, Fault::EmptyPage];
        let kinds = somewhere.into_iter().chain(everywhere).chain(tables);
        Self::with_rules(seed, kinds.map(|fault| FaultRule::new(fault, When::Probability(share))).collect())
    }

    /// Fails nothing, and counts durable writes.
    pub fn none() -> Self {
        Self::with_rules(0, Vec::new())
    }

    /// Crashes at this write.
    #[must_use]
    pub fn with_crash(mut self, crash: Crash) -> Self {
        self.crash = Some(crash);
        self
    }

    /// Replaces the rules, which count from 1 again. Credentials that have expired stay so.
    pub fn set_rules(&self, seed: u64, rules: Vec<FaultRule>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Counted::new(Rules { seed, rules });
    }

    /// Lets the held requests act, in the order in which they were sent; returns how many there were.
    pub async fn release(&self) -> usize {
        let late = std::mem::take(&mut *self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner));
        let count = late.len();
        for late in late {
            late.await;
        }
        count
    }

    pub(super) fn hold(&self, late: Late) {
        self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner).push(late);
    }

    /// Renews credentials that have expired.
    pub fn renew(&self) {
        self.expired.store(0, SeqCst);
    }

    /// How many calls each kind of fault has struck, by [`Fault::name`].
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many durable writes were asked for.
    pub fn writes(&self) -> u64 {
        self.writes.load(SeqCst)
    }

    /// Whether the run has crashed.
    pub fn crashed(&self) -> bool {
        self.crashed.load(SeqCst)
    }

    /// Counts a durable write outside the stores (a ledger commit). `act` is the write itself; an error says that
    /// the process is dead.
    pub fn durable_write<T>(&self, act: impl FnOnce() -> T) -> Result<T, StoreError> {
        let after = self.begin_write("write", "elsewhere", None)?;
        let done = act();
        if after { Err(self.crash_now("write", "elsewhere", None)) } else { Ok(done) }
    }

    /// The fault of a call that begins now, if one strikes.
    pub(super) fn fate(&self, operation: Operation) -> Option<Strike<Fault>> {
        let strike = self.rules.read().unwrap_or_else(PoisonError::into_inner).next(operation);
        let expired = |fault| Strike { fault, draw: 0 };
        let strike = if let Ok(left) = self.expired.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Some(expired(Fault::ExpiredCredentials(left)))
        } else {
            if let Some(Strike { fault: Fault::ExpiredCredentials(calls), .. }) = strike {
                self.expired.store(calls.saturating_sub(1), SeqCst);
            }
            strike
        };
        if let Some(strike) = strike {
            let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
            *struck.entry(strike.fault.name()).or_default() += 1;
        }
        strike
    }

    /// The error of a struck call; `None` if the fault is no error.
    pub(super) fn error(
        &self,
        fault: Fault,
        operation: Operation,
        location: &str,
        key: Option<&Key>,
    ) -> Option<StoreError> {
        let seed = self.rules.read().unwrap_or_else(PoisonError::into_inner).seed();
        let detail = format!("failed on purpose: {} (seed {seed})", fault.name());
        let error = with_key(StoreError::new(fault.error()?, operation.verb(), location, detail), key);
        Some(if operation.writes() && fault.hides_outcome() { error.with_unknown_outcome() } else { error })
    }

    /// Counts a write. The answer says whether the crash comes right after it.
    pub(super) fn begin_write(&self, verb: &'static str, location: &str, key: Option<&Key>) -> Result<bool> {
        self.check_alive(verb, location, key)?;
        let number = self.writes.fetch_add(1, SeqCst) + 1;
        match self.crash {
            Some(Crash::Before(at)) if number >= at => Err(self.crash_now(verb, location, key)),
            Some(Crash::After(at)) if number > at => Err(self.crash_now(verb, location, key)),
            Some(Crash::After(at)) => Ok(number == at),
            _ => Ok(false),
        }
    }

    pub(super) fn check_alive(&self, verb: &'static str, location: &str, key: Option<&Key>) -> Result<()> {
        if self.crashed() { Err(self.crash_now(verb, location, key)) } else { Ok(()) }
    }

    pub(super) fn crash_now(&self, verb: &'static str, location: &str, key: Option<&Key>) -> StoreError {
        self.crashed.store(true, SeqCst);
        let detail = format!("{CRASHED} ({:?})", self.crash);
        with_key(StoreError::new(ErrorKind::Other, verb, location, detail), key)
    }
}

fn with_key(error: StoreError, key: Option<&Key>) -> StoreError {
    match key {
        Some(key) => error.on(key),
        None => error,
    }
}

/// Whether an error comes from a crash on purpose.
pub fn is_crash(error: &StoreError) -> bool {
    error.detail().starts_with(CRASHED)
}
