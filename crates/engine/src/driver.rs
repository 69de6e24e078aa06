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
//! begins. The wait counts from the answer to its own claim, and by no wall clock. Until it is over the route says that
//! there was another driver, so a new driver that is cut off waits once more.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// The ledger that it has replaced, as long as that one may still write.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_named_by_what_helps_to_find_it() {
        let (ledger, since) = ("ours".into(), "2026-01-01T00:00:00Z".into());
        let mut driver = Driver { ledger, since, by: None, state: None, instead_of: None };
        assert_eq!(driver.to_string(), "the migration with the ledger ours");
        (driver.by, driver.state) = (Some("ann@depot".into()), Some("/srv/state".into()));
        assert_eq!(driver.to_string(), "the migration with the state directory /srv/state of ann@depot");
    }
}
