//! What a plan chooses from.

use serde::{Deserialize, Serialize};

use crate::model::Aspects;

/// What happens to records that only a target has and that were never paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extra {
    /// They stay, and are reported.
    #[default]
    Keep,
    /// They are deleted, within `delete_share`.
    Delete,
    /// They stop the dataset.
    Refuse,
}

/// How thoroughly a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Two listings against the recorded pairs; no object is read.
    Listing,
    /// A look at every object on both sides: stored checksums and properties.
    #[default]
    Checksum,
    /// Every byte on both sides.
    Bytes,
}

impl Level {
    /// The level as a plan writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Listing => "listing",
            Level::Checksum => "checksum",
            Level::Bytes => "bytes",
        }
    }
}

/// Which versions of an object are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// The current one.
    #[default]
    Current,
    /// Every version and delete marker, oldest first. Not built yet: `run` refuses it.
    All,
}

/// What `complete` does with the old lead's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retire {
    /// It stays.
    #[default]
    Keep,
    /// What is proven at the new lead is deleted. Not built yet: it needs `--until verified`.
    Delete,
}

/// What stops the applications' writes at the old lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// A statement in the bucket's policy. Not built yet: it needs `--until verified`.
    BucketPolicy,
    /// A statement in the table's resource policy. Not built yet: it needs `--until verified`.
    ResourcePolicy,
    /// The hooks `fence` and `unfence`. Not built yet: it needs `--until verified`.
    Hook,
    /// Nothing; the plan must accept that, and the final verification is full.
    None,
}

/// How the data is proved equal behind the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FinalVerify {
    /// Both sides are compared in full.
    #[default]
    Full,
    /// What changed since the last clean verification, and a sample; trusts the captured changes.
    Incremental,
}

/// How fast, and at what price, cold objects are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Tier {
    /// Within hours, the cheapest.
    #[default]
    Bulk,
    /// Within a few hours.
    Standard,
    /// Within minutes, the dearest.
    Expedited,
}

/// What a record carries beside its bytes, and what a dataset has beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// Access control lists.
    Acl,
    /// Object tags.
    Tags,
    /// User metadata.
    Metadata,
    /// Content-Type and the other content headers.
    ContentHeaders,
    /// Storage class.
    StorageClass,
    /// Encryption at rest.
    Encryption,
    /// Object Lock modes, dates and legal holds.
    ObjectLock,
    /// Versions and delete markers.
    Versions,
    /// Website redirects.
    Redirect,
    /// `ETag`s.
    Etag,
    /// Times to live.
    Ttl,
    /// Secondary indexes.
    Indexes,
    /// Change streams.
    Stream,
    /// Backups and point-in-time recovery.
    Backups,
    /// Resource policies.
    Policy,
    /// All of them.
    Properties,
}

impl Property {
    /// The kinds of properties behind this name; empty for properties that a copy never sees.
    pub fn aspects(self) -> Aspects {
        match self {
            Self::Properties => Aspects::ALL,
            other => Aspects::named(other.as_str()),
        }
    }

    /// The name that a plan uses in `waive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Tags => "tags",
            Self::Metadata => "metadata",
            Self::ContentHeaders => "content-headers",
            Self::StorageClass => "storage-class",
            Self::Encryption => "encryption",
            Self::ObjectLock => "object-lock",
            Self::Versions => "versions",
            Self::Redirect => "redirect",
            Self::Etag => "etag",
            Self::Ttl => "ttl",
            Self::Indexes => "indexes",
            Self::Stream => "stream",
            Self::Backups => "backups",
            Self::Policy => "policy",
            Self::Properties => "properties",
        }
    }
}
