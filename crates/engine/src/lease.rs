//! The lease on a dataset: for how long this process may write at the dataset's places without another look at its
//! route.
//!
//! A client must not write by a route that is older than the route's maximum age, and this tool is a client. While a
//! dataset is active, its route is read again before half of that age has passed ([`Lease::keep`]). If it shows
//! another lead, another epoch or another driver, the lease is lost: the dataset takes no new work, nothing more is
//! written, and its uploads stay for a later run.
//!
//! # Writes
//!
//! Every write at a place that could lead waits in [`Lease::admit`], right before it is sent, until the last good look
//! is young enough. So a process that was stopped (`SIGSTOP`) or a machine that was suspended looks before it writes.
//! The age of a look is counted from before its request was sent, by two clocks ([`Moment`]). A maximum age of zero
//! asks for a look of its own before each write; writes that wait at the same time share one.
//!
//! A request that was sent in time may still take effect later, after a suspension perhaps much later. The same holds
//! for every client, and a plan's `settle` is for that: a driver that takes over waits for it, too. Beyond it only the
//! condition of the write protects, at a store that keeps conditions: the object is then no longer the one that was seen.
//!
//! # Errors
//!
//! A look that fails changes nothing while the last good one is young enough. After that the lease is lost.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    clock::Moment,
    driver::Driver,
    error::EngineError,
    route::{RouteDocument, RouteError, RouteStore, Shown},
    shutdown::Shutdown,
};
use migrate_core::model::{DatasetName, Epoch, SiteName};

/// Looks in a row that may take longer than the maximum age: no write is admitted meanwhile, and a busy machine or
/// route is no reason to stop a dataset at once.
const SLOW_LOOKS_MAX: u32 = 20;
/// The longest time between two looks if the maximum age is zero, and after a look that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two looks that no write has asked for.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// What the route must go on to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    lead: SiteName,
    epoch: Epoch,
    /// The ledger that drives; `None` if the route's store cannot hold a claim.
    driver: Option<String>,
    /// Whether there is a document.
    is_written: bool,
}

impl Expected {
    /// Expects what a document shows.
    pub(crate) fn of(document: &RouteDocument) -> Self {
        let driver = document.driver.as_ref().map(|driver| driver.ledger.clone());
        Self { lead: document.lead.clone(), epoch: document.epoch, driver, is_written: true }
    }

    /// Expects that there is no document, so that the site of the plan's source leads.
    pub(crate) fn unwritten(source: &SiteName) -> Self {
        Self { lead: source.clone(), epoch: Epoch(0), driver: None, is_written: false }
    }

    /// Why the dataset must stop, if the route shows something else.
    fn differs(&self, shown: Option<&RouteDocument>) -> Option<Lost> {
        let Some(shown) = shown else { return self.is_written.then_some(Lost::Gone) };
        if shown.lead != self.lead || shown.epoch != self.epoch {
            return Some(Lost::LeadMoved(shown.lead.clone(), shown.epoch));
        }
        match &shown.driver {
            Some(driver) if Some(&driver.ledger) != self.driver.as_ref() => {
                Some(Lost::Driven(Box::new(driver.clone())))
            }
            None if self.driver.is_some() => Some(Lost::Released),
            _ => None,
        }
    }
}

/// Why a lease was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lost {
    LeadMoved(SiteName, Epoch),
    Driven(Box<Driver>),
    Released,
    Gone,
    /// The route could not be read in time.
    Unread(String),
}

/// What a lease rests on.
#[derive(Debug, Clone)]
struct Held {
    route: Arc<RouteStore>,
    expected: Expected,
    max_age: Duration,
    /// When the last good look was sent.
    seen: Moment,
    /// Looks in a row that took longer than the maximum age.
    slow: u32,
}

#[derive(Debug, Clone)]
enum Standing {
    /// Nothing was claimed yet, or the lease was given back: no write is admitted.
    Idle,
    Held(Held),
    Lost(Lost),
}

/// The lease on one dataset, which its stores, its tasks and the keeper share. Until it is held no write is admitted.
#[derive(Debug)]
pub(crate) struct Lease {
    dataset: DatasetName,
    /// The route's location, for people.
    location: String,
    standing: watch::Sender<Standing>,
    /// A write waits for a look.
    wanted: Notify,
    /// Stops the dataset's work, and that of no other.
    pub(crate) shutdown: Shutdown,
}

impl Lease {
    /// A lease that is not held yet. Losing it drains `shutdown`.
    pub(crate) fn new(dataset: DatasetName, location: String, shutdown: Shutdown) -> Self {
        let standing = watch::Sender::new(Standing::Idle);
        Self { dataset, location, standing, wanted: Notify::new(), shutdown }
    }

    /// Holds the lease by a look that was sent at `seen` and showed what is expected; `true` if it was not held before,
    /// so that it must now be kept.
    pub(crate) fn hold(&self, route: Arc<RouteStore>, expected: Expected, max_age: Duration, seen: Moment) -> bool {
        let held = Held { route, expected, max_age, seen, slow: 0 };
        !matches!(self.standing.send_replace(Standing::Held(held)), Standing::Held(_))
    }

    /// Gives the lease back: no further write is admitted, and whatever the route shows from now on is no loss.
    pub(crate) fn give_back(&self) {
        self.standing.send_if_modified(|standing| {
            let held = matches!(standing, Standing::Held(_));
            if held {
                *standing = Standing::Idle;
            }
            held
        });
    }

    /// The error of a lease that was lost.
    pub(crate) fn lost(&self) -> Option<EngineError> {
        let dataset = self.dataset.clone();
        let Standing::Lost(lost) = &*self.standing.borrow() else { return None };
        Some(match lost.clone() {
            Lost::LeadMoved(lead, epoch) => EngineError::LeadMoved {
                dataset,
                lead,
                epoch,
                refused: "another migration has moved it meanwhile, and what the source holds would be written over \
                          what applications write there; nothing more was written",
            },
            Lost::Driven(driver) => EngineError::Driven { dataset, driver },
            Lost::Released => self.unclaimed("it names no driver any more"),
            Lost::Gone => self.unclaimed("it is gone"),
            Lost::Unread(detail) => self.unclaimed(&detail),
        })
    }

    fn unclaimed(&self, detail: &str) -> EngineError {
        let (dataset, route) = (self.dataset.clone(), self.location.clone());
        EngineError::ClaimLost { dataset, route, detail: detail.to_owned() }
    }

    /// Waits until a write may be sent.
    ///
    /// # Errors
    ///
    /// If the lease was lost, or is not held; the text says why.
    pub(crate) async fn admit(&self) -> Result<(), String> {
        let asked = Moment::now();
        let mut looks = None;
        loop {
            match &*self.standing.borrow() {
                Standing::Held(held) if held.admits(asked) => return Ok(()),
                Standing::Idle => return Err(format!("dataset {} is not claimed in its route", self.dataset)),
                Standing::Held(_) | Standing::Lost(_) => {}
            }
            if let Some(error) = self.lost() {
                return Err(error.to_string());
            }
            // Subscribed before the standing is read once more, so that no look in between is missed.
            let Some(looks) = &mut looks else {
                looks = Some(self.standing.subscribe());
                continue;
            };
            self.wanted.notify_one();
            if looks.changed().await.is_err() {
                return Err("its lease has ended".to_owned());
            }
        }
    }

    /// Whether a write that was admitted may still be sent, after a look at its object; `false` if the look at the route has
    /// aged meanwhile. Never waits.
    ///
    /// # Errors
    ///
    /// As for [`admit`](Self::admit).
    pub(crate) fn still_admits(&self) -> Result<bool, String> {
        match &*self.standing.borrow() {
            // Without an age of its own a look holds as long as one lasts that no write asks for.
            Standing::Held(held) => return Ok(held.seen.age() <= held.max_age.max(PAUSE)),
            Standing::Idle => return Err(format!("dataset {} is not claimed in its route", self.dataset)),
            Standing::Lost(_) => {}
        }
        Err(self.lost().map_or_else(|| "its lease has ended".to_owned(), |error| error.to_string()))
    }

    /// Reads the route again whenever it is due, until the lease ends, or nothing is left that could write by it.
    async fn keep(self: Arc<Self>) {
        let mut failed = false;
        while let Some(due) = self.due(failed).filter(|_| Arc::strong_count(&self) > 1) {
            tokio::select! {
                () = tokio::time::sleep(due) => {}
                () = self.wanted.notified() => {}
            }
            failed = self.look().await.is_err();
        }
    }

    /// The time until the next look; `None` if the lease is not held.
    fn due(&self, failed: bool) -> Option<Duration> {
        let Standing::Held(held) = &*self.standing.borrow() else { return None };
        let half = held.max_age / 2;
        let pause = if failed { PAUSE.min(half / 4).max(PAUSE_MIN) } else { PAUSE_MIN };
        let due = if half.is_zero() { PAUSE } else { half.saturating_sub(held.seen.age()) };
        Some(due.max(pause))
    }

    /// Reads the route once, and judges it. Does nothing if the lease is not held.
    async fn look(&self) -> Result<(), RouteError> {
        let route = match &*self.standing.borrow() {
            Standing::Held(held) => Arc::clone(&held.route),
            Standing::Idle | Standing::Lost(_) => return Ok(()),
        };
        let asked = Moment::now();
        let read = route.read().await;
        let mut lost = false;
        self.standing.send_modify(|standing| {
            // It may have been given back meanwhile.
            let Standing::Held(held) = standing else { return };
            if let Some(reason) = held.judge(&read, asked) {
                *standing = Standing::Lost(reason);
                lost = true;
            }
        });
        if lost {
            self.shutdown.drain();
        }
        read.map(drop)
    }
}

impl Held {
    /// Whether a write that was asked for at this moment may be sent now.
    fn admits(&self, asked: Moment) -> bool {
        if self.max_age.is_zero() { self.seen.is_since(asked) } else { self.seen.age() <= self.max_age }
    }

    /// Takes a look that was sent at `asked`; returns why the lease is lost, if it is.
    fn judge(&mut self, read: &Result<Option<Shown>, RouteError>, asked: Moment) -> Option<Lost> {
        let shown = match read {
            Ok(shown) => shown,
            // What stands there is no route of the dataset: the next look would say the same.
            Err(error) if self.seen.age() > self.max_age || !matches!(error, RouteError::Store(_)) => {
                return Some(Lost::Unread(error.to_string()));
            }
            Err(_) => return None,
        };
        if let Some(lost) = self.expected.differs(shown.as_ref().map(|shown| &shown.document)) {
            return Some(lost);
        }
        self.seen = asked;
        let is_slow = !self.max_age.is_zero() && asked.age() > self.max_age;
        self.slow = if is_slow { self.slow + 1 } else { 0 };
        let age = self.max_age.as_secs();
        (self.slow >= SLOW_LOOKS_MAX)
            .then(|| Lost::Unread(format!("reading it takes longer than its route_max_age of {age} s")))
    }
}

/// Does the work, and keeps the leases that it takes meanwhile.
pub(crate) async fn keeping<T>(mut taken: mpsc::UnboundedReceiver<Arc<Lease>>, work: impl Future<Output = T>) -> T {
    let (mut work, mut kept) = (pin!(work), FuturesUnordered::new());
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(lease) = taken.recv() => kept.push(lease.keep()),
            Some(()) = kept.next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::Key;
    use migrate_store::{
        ObjectStore, Properties,
        faulty::{Fault, FaultRule, Faults, Faulty, When},
        memory::MemoryStore,
    };

    const AGE: Duration = Duration::from_secs(30);

    fn document(lead: &str, epoch: u64, driver: Option<&str>) -> RouteDocument {
        let driver = driver.map(|ledger| Driver {
            ledger: ledger.into(),
            since: "2026-01-01T00:00:00Z".into(),
            by: None,
            state: None,
            instead_of: None,
        });
        RouteDocument {
            dataset: DatasetName::new("shop").unwrap(),
            epoch: Epoch(epoch),
            attempt: "a".into(),
            lead: SiteName::new(lead).unwrap(),
            partitions: Vec::new(),
            followers: Vec::new(),
            max_age_s: 30,
            since: "2026-01-01T00:00:00Z".into(),
            driver,
        }
    }

    /// A lease on a route that may be changed and may fail.
    struct Bench {
        memory: MemoryStore,
        faults: Arc<Faults>,
        run: Shutdown,
        lease: Arc<Lease>,
        route: Arc<RouteStore>,
    }

    impl Bench {
        fn new() -> Self {
            let (memory, faults) = (MemoryStore::new("s3://c/"), Arc::new(Faults::none()));
            let store: Arc<dyn ObjectStore> = Arc::new(Faulty::new(Arc::new(memory.clone()), Arc::clone(&faults)));
            let (name, run) = (DatasetName::new("shop").unwrap(), Shutdown::new());
            let route = Arc::new(RouteStore::new(store, "shop.json".into(), "s3://c/shop.json".into(), name.clone()));
            let lease = Arc::new(Lease::new(name, "s3://c/shop.json".into(), run.child()));
            Self { memory, faults, run, lease, route }
        }

        fn show(&self, document: &RouteDocument) {
            self.memory.put_raw("shop.json", serde_json::to_vec(document).unwrap(), Properties::default());
        }

        /// Claims for the ledger `ours`, by a look right now.
        fn hold(&self, max_age: Duration) {
            let claimed = document("beijing", 0, Some("ours"));
            self.show(&claimed);
            self.lease.hold(Arc::clone(&self.route), Expected::of(&claimed), max_age, Moment::now());
        }

        fn fail_reads(&self) {
            self.faults.set_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1))]);
        }

        /// Keeps the lease while a write asks.
        async fn admitted(&self) -> Result<(), String> {
            let (leases, taken) = mpsc::unbounded_channel();
            leases.send(Arc::clone(&self.lease)).unwrap();
            keeping(taken, self.lease.admit()).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_look_admits_writes_without_another_one() {
        let bench = Bench::new();
        assert!(bench.lease.admit().await.unwrap_err().contains("not claimed"), "nothing was claimed");
        bench.hold(AGE);
        bench.fail_reads();
        tokio::time::advance(AGE / 2).await;
        bench.lease.admit().await.unwrap();
        bench.lease.give_back();
        assert!(bench.lease.admit().await.is_err(), "it was given back");
        assert!(bench.lease.lost().is_none(), "and not lost");
    }

    /// As after a suspension: nothing has looked for longer than the maximum age.
    #[tokio::test(start_paused = true)]
    async fn a_write_by_an_old_look_waits_for_a_new_one() {
        let bench = Bench::new();
        bench.hold(AGE);
        tokio::time::advance(AGE * 2).await;
        let write = bench.lease.admit();
        tokio::pin!(write);
        assert!(futures::poll!(&mut write).is_pending(), "no look is young enough");
        bench.admitted().await.unwrap();
        write.await.unwrap();

        tokio::time::advance(AGE * 2).await;
        bench.show(&document("oregon", 1, None));
        let refused = bench.admitted().await.unwrap_err();
        assert!(refused.contains("oregon leads dataset shop since epoch 1"), "{refused}");
        assert!(bench.lease.shutdown.is_draining() && !bench.run.is_draining(), "it stops no other dataset");
    }

    /// A look at the object may take longer than the look at the route holds.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_admitted_is_not_sent_once_the_look_at_the_route_has_aged() {
        let bench = Bench::new();
        assert!(bench.lease.still_admits().unwrap_err().contains("not claimed"));
        for age in [AGE, Duration::ZERO] {
            bench.hold(age);
            assert_eq!(bench.lease.still_admits(), Ok(true), "{age:?}");
            tokio::time::advance(AGE * 2).await;
            assert_eq!(bench.lease.still_admits(), Ok(false), "{age:?}");
        }
        bench.hold(AGE);
        bench.show(&document("oregon", 1, None));
        bench.lease.look().await.unwrap();
        assert!(bench.lease.still_admits().unwrap_err().contains("oregon leads"), "it is lost");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_before_half_of_the_age_has_passed() {
        let bench = Bench::new();
        bench.hold(AGE);
        let (leases, taken) = mpsc::unbounded_channel();
        leases.send(Arc::clone(&bench.lease)).unwrap();
        let work = async {
            for _ in 0..10 {
                tokio::time::sleep(AGE).await;
                let Standing::Held(held) = &*bench.lease.standing.borrow() else { panic!("it was lost") };
                assert!(held.seen.age() <= AGE / 2, "{:?}", held.seen.age());
            }
        };
        keeping(taken, work).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_route_shows_ends_it_with_the_reason() {
        let theirs = document("beijing", 0, Some("theirs"));
        for (shown, reason) in [
            (Some(theirs), "the ledger theirs drives dataset shop"),
            (Some(document("beijing", 0, None)), "names no driver"),
            (Some(document("beijing", 2, Some("ours"))), "beijing leads dataset shop since epoch 2"),
            (Some(document("oregon", 1, Some("ours"))), "oregon leads dataset shop since epoch 1"),
            (None, "it is gone"),
        ] {
            let bench = Bench::new();
            bench.hold(AGE);
            match shown {
                Some(shown) => bench.show(&shown),
                None => _ = bench.memory.remove("shop.json"),
            }
            bench.lease.look().await.unwrap();
            let lost = bench.lease.lost().expect(reason).to_string();
            assert!(lost.contains(reason), "{lost}");
            assert!(bench.lease.admit().await.is_err(), "{reason}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_fails_ends_it_only_once_the_last_good_one_is_too_old() {
        let bench = Bench::new();
        bench.hold(AGE);
        bench.fail_reads();
        tokio::time::advance(AGE).await;
        assert!(bench.lease.look().await.is_err());
        assert!(bench.lease.lost().is_none(), "the last good look still holds");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(bench.admitted().await.unwrap_err().contains("is unknown"));
        assert!(!bench.lease.lost().unwrap().is_blocking(), "another run may find the route again");
        // What is no route of the dataset is none at the next look, either.
        let bench = Bench::new();
        bench.hold(AGE);
        bench.memory.put_raw("shop.json", "hello", Properties::default());
        assert!(bench.lease.look().await.is_err());
        assert!(bench.lease.lost().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_maximum_age_of_zero_asks_for_a_look_of_its_own() {
        let bench = Bench::new();
        bench.hold(Duration::ZERO);
        bench.admitted().await.unwrap();
        bench.show(&document("oregon", 1, None));
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert!(bench.admitted().await.is_err(), "no earlier look counts");
        assert_eq!(bench.memory.snapshot().keys().next(), Some(&Key::from("shop.json")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_is_always_read_too_late_ends_the_lease_and_one_look_in_time_begins_the_count_anew() {
        let (bench, claimed) = (Bench::new(), document("beijing", 0, Some("ours")));
        bench.show(&claimed);
        let (shown, expected) = (bench.route.read().await, Expected::of(&claimed));
        let seen = Moment::now();
        let mut held = Held { route: Arc::clone(&bench.route), expected, max_age: AGE, seen, slow: 0 };
        for _ in 1..SLOW_LOOKS_MAX {
            let asked = Moment::now();
            tokio::time::advance(AGE * 2).await;
            assert_eq!(held.judge(&shown, asked), None);
            assert!(!held.admits(Moment::now()), "what was seen is too old for a write");
        }
        assert_eq!(held.clone().judge(&shown, Moment::now()), None, "this look came in time");
        let asked = Moment::now();
        tokio::time::advance(AGE * 2).await;
        assert!(matches!(held.judge(&shown, asked), Some(Lost::Unread(_))));
    }
}
