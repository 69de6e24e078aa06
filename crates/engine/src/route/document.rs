//! [`RouteDocument`]: what applications read.

use serde::{Deserialize, Serialize};

use crate::driver::Driver;
use migrate_core::model::{DatasetName, Epoch, SiteName, Timestamp};

/// The document that applications read. Fields that this build does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDocument {
    /// The dataset whose lead it shows.
    pub dataset: DatasetName,
    /// How often the lead has moved.
    pub epoch: Epoch,
    /// The name of the attempt that wrote it.
    pub attempt: String,
    /// The site to which applications write; if there are [`partitions`](Self::partitions), those tell.
    pub lead: SiteName,
    /// If the records are split: which site leads which of them. Each record belongs to exactly one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// The sites that were equal to the lead when the document was written.
    pub followers: Vec<SiteName>,
    /// Seconds after which a client must read the route again before it writes.
    pub max_age_s: u64,
    /// When it was written, in RFC 3339 and UTC.
    pub since: String,
    /// The migration that may write at the dataset's places; `None` if none has claimed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
}

/// A part of the records, with the site that leads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The CEL expression that is true for its records; `otherwise` for those that belong to no other partition.
    #[serde(rename = "where")]
    pub filter: String,
    /// The site to which applications write them.
    pub lead: SiteName,
}

impl RouteDocument {
    /// The document as stored.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a route of names and numbers is JSON") + "\n"
    }

    /// A time as documents hold it.
    pub(crate) fn moment(at: Timestamp) -> String {
        at.to_string()
    }
}
