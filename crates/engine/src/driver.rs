//! The driver of a dataset: the one ledger whose process may write at the dataset's places, as its route names it.
//!
//! Two state directories on one plan know nothing of each other. So a pass, a repair, an abort and a move begin with a
//! *claim*: the route is swapped, at the same epoch and with the same lead, for one that names this ledger as the
//! driver. A route names one driver at most, and a swap is atomic, so two ledgers never drive one dataset.
//!
//! # How long a claim holds
//!
//! It stays between the runs of its ledger: an upload or a write of unknown outcome may be left from the last one.
//! It ends with the switch, whose document names no driver, because from there on nothing is written for the dataset;
//! with `abort`, once all is taken back; or if another ledger takes the dataset over.
//!
//! # Taking over
//!
//! The ledger that is replaced may still be at work. It writes only while its last look at the route is younger than
//! the route's maximum age, so the new driver waits that long, and then for writes of unknown outcome, before it
//! begins. The route says that there was another driver, so a new driver that is cut off waits for the rest.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use migrate_core::model::Timestamp;

/// Who drives a dataset. Clients ignore it: applications write at the lead, whoever drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The id of the ledger, which no other ledger has.
    pub ledger: String,
    /// When it claimed the dataset, in RFC 3339 and UTC.
    pub since: String,
    /// The person and machine that claimed it, as `user@machine`, if the command knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The directory of the ledger on that machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The ledger that it has replaced, if it took the dataset over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

/// Completes "... drives the dataset".
impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            Some(state) => write!(f, "the migration with the state directory {state}")?,
            None => write!(f, "the migration with the ledger {}", self.ledger)?,
        }
        match &self.by {
            Some(by) => write!(f, " of {by}"),
            None => Ok(()),
        }
    }
}

impl Driver {
    /// What is left of the time in which the driver that this one replaced may still write; zero if there was none.
    /// `whole` is all of that time. A clock that was set back makes the wait longer, up to the whole time again.
    pub(crate) fn waits(&self, whole: Duration, now: Timestamp) -> Duration {
        if self.instead_of.is_none() {
            return Duration::ZERO;
        }
        let since = self.since.parse::<jiff::Timestamp>().map_or(now.0, jiff::Timestamp::as_millisecond);
        let passed = Duration::from_millis(u64::try_from(now.0 - since).unwrap_or(0));
        whole.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(instead_of: Option<&str>) -> Driver {
        Driver {
            ledger: "ours".into(),
            since: "2026-01-01T00:00:00Z".into(),
            by: None,
            state: None,
            instead_of: instead_of.map(str::to_owned),
        }
    }

    #[test]
    fn a_new_driver_waits_until_the_one_before_it_writes_no_more() {
        let waits = |driver: &Driver, after_s: i64| {
            let begun = driver.since.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            driver.waits(Duration::from_secs(40), Timestamp(begun + after_s * 1000)).as_secs()
        };
        let replaced = driver(Some("theirs"));
        assert_eq!([0, 15, 40, 100].map(|after| waits(&replaced, after)), [40, 25, 0, 0]);
        assert_eq!(waits(&replaced, -5), 40, "the clock was set back");
        assert_eq!(waits(&driver(None), 0), 0, "no other can be at work");
    }

    #[test]
    fn a_driver_is_named_by_what_helps_to_find_it() {
        let mut driver = driver(None);
        assert_eq!(driver.to_string(), "the migration with the ledger ours");
        (driver.by, driver.state) = (Some("ann@depot".into()), Some("/srv/state".into()));
        assert_eq!(driver.to_string(), "the migration with the state directory /srv/state of ann@depot");
    }
}
