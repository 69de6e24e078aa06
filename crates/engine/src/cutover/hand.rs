//! The interface of the engine for the steps of a cutover.

use std::{
    fmt::{self, Debug},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    cutover::{halt::Halt, moves::Move},
    driver::Driver,
    route::RouteStore,
    verify::witness::Verified,
};
use migrate_core::{
    lifecycle::{LATE_KEYS_MAX, Lifecycle, Transition},
    model::{Key, Timestamp},
    report::count,
};

/// The engine, as the steps of one dataset's cutover use it.
#[async_trait]
pub trait Hand: Debug + Send + Sync {
    /// Where the dataset stands.
    fn lifecycle(&self) -> Lifecycle;

    /// Applies an event to the dataset's lifecycle; returns once the event is on disk.
    async fn happened(&self, event: Transition) -> Result<(), Halt>;

    /// Checks that the data lets its lead move, and changes nothing.
    async fn check_ready(&self) -> Result<(), Halt>;

    /// Checks that the data lets its lead move, and begins what tells of changes at both leads.
    async fn make_ready(&self) -> Result<(), Halt>;

    /// Brings over what has changed at the old lead, until that shows nothing more; [`Halt::MovedOn`] if it does not end.
    async fn drain(&self) -> Result<(), Halt>;

    /// Compares both sides in full, now, and writes nothing.
    async fn verify(&self) -> Result<Verified, Halt>;

    /// Whether this driver, in the route, lets this ledger move the lead.
    fn drives(&self, driver: Option<&Driver>) -> bool;

    /// Whether the run is to stop, or the dataset's lease is lost: then no step begins, unless a switch of the phase has begun.
    fn stops(&self) -> bool;

    /// Waits until the run is to drop its requests.
    async fn cancelled(&self);

    /// Finds what was written at the old lead and at the new one since the final verification, by a listing or the
    /// stream of each; [`Halt::Interrupted`] as soon as the run is to stop.
    async fn changes(&self) -> Result<Changes, Halt>;

    /// Gives the new lead what it may have only once it leads.
    async fn complete_lead(&self) -> Result<(), Halt>;

    /// Finds and records what was written at the old lead since the final verification, by a listing or the stream of
    /// it; [`Halt::Interrupted`] as soon as the run is to stop.
    async fn late(&self) -> Result<Written, Halt>;

    /// Tells people of late writes.
    fn tell_late(&self, late: &Written);

    /// A key, redacted if the plan says so.
    fn shown(&self, key: &Key) -> Key;

    /// What this migration may still write at the dataset's places, if anything is younger than `settle`.
    async fn open_writes(&self, settle: Duration) -> Result<Option<OpenWrites>, Halt>;

    /// Waits for a reason that people are told; [`Halt::Interrupted`] as soon as the run is to stop.
    async fn wait(&self, time: Duration, reason: &str) -> Result<(), Halt>;

    /// When the route was switched; `None` if the ledger has no such event.
    async fn switched_at(&self) -> Result<Option<Timestamp>, Halt>;

    /// Tells people what a step does.
    fn tell(&self, step: &'static str, detail: &str);

    /// The current time.
    fn now(&self) -> Timestamp;

    /// A new name for a move or an attempt, which no other has.
    fn attempt(&self) -> String;
}

/// Writes of this migration that may still act, because they got no answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenWrites {
    /// The time until the youngest has come to rest.
    pub left: Duration,
    /// Those that the ledger knows, one for each record and place.
    pub known: u64,
    /// The record of one of them, redacted if the plan says so.
    pub key: Option<Key>,
    /// Whether an earlier process did not end cleanly, so that nobody knows what it had under way.
    pub is_cut_off: bool,
}

/// Completes "waits for ...".
impl fmt::Display for OpenWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, self.known) {
            (Some(key), 1) => write!(f, "a write without an answer to come to rest: {key}")?,
            (Some(key), known) => {
                write!(f, "{} without an answer to come to rest, the last is {key}", count(known, "write", "writes"))?;
            }
            (None, _) if self.is_cut_off => {
                return f.write_str("what an earlier process had under way to come to rest: it did not end cleanly");
            }
            (None, _) => return f.write_str("writes that were cut short to come to rest"),
        }
        if self.is_cut_off {
            f.write_str("; and an earlier process did not end cleanly")?;
        }
        Ok(())
    }
}

/// Records whose versions are not those that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Those that changed at the old lead.
    pub old: Written,
    /// Those that changed at the new lead alone.
    pub new: Written,
}

/// Records that were written at one site since the final verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The number of records.
    pub count: u64,
    /// Their first keys in key order, at most [`LATE_KEYS_MAX`].
    pub keys: Vec<Key>,
    /// Whether there may be more than were counted.
    pub is_least: bool,
}

impl Written {
    /// "at least", if that has to be said before the count.
    pub(crate) fn at_least(&self) -> &'static str {
        if self.is_least { "at least " } else { "" }
    }

    /// Adds one record.
    pub(crate) fn add(&mut self, key: Key) {
        self.count += 1;
        // Shards are listed at once, so keys do not come in order.
        let at = self.keys.partition_point(|known| *known < key);
        if at < LATE_KEYS_MAX {
            self.keys.insert(at, key);
            self.keys.truncate(LATE_KEYS_MAX);
        }
    }
}

/// One dataset's cutover: its move, its route, and the engine that carries it out.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// The move in the plan.
    pub what: &'a Move,
    /// The dataset's route.
    pub route: &'a RouteStore,
    /// The engine, for this dataset.
    pub hand: &'a dyn Hand,
}
