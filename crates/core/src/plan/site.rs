//! Places that hold data, as the plan describes them.

use std::path::PathBuf;

use crate::model::SiteName;

/// A place that holds data.
#[derive(Debug, Clone)]
pub struct Site {
    /// Unique in the plan.
    pub name: SiteName,
    /// The jurisdiction of the place: usually an upper-case country code.
    pub jurisdiction: Option<String>,
    /// The AWS region, for a site in AWS.
    pub region: Option<String>,
    /// The S3-compatible endpoint, for a site that has one of its own.
    pub s3: Option<Endpoint>,
    /// The DynamoDB-compatible endpoint, for a site that has one of its own.
    pub dynamodb: Option<Endpoint>,
    /// The directory below which `file://` locations lie; absolute, or relative to the plan file.
    pub directory: Option<PathBuf>,
    /// Where its credentials come from.
    pub credentials: Credentials,
    /// Limits for all work at this site.
    pub limits: Limits,
    /// The AWS account that must own its buckets.
    pub expected_bucket_owner: Option<String>,
}

impl Site {
    /// A site without any setting.
    pub fn empty(name: SiteName) -> Self {
        Self {
            name,
            jurisdiction: None,
            region: None,
            s3: None,
            dynamodb: None,
            directory: None,
            credentials: Credentials::Ambient,
            limits: Limits::default(),
            expected_bucket_owner: None,
        }
    }
}

/// A compatible server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host[:port]`.
    pub url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket is in the path, not in the host name.
    pub path_style: bool,
    /// A PEM file with the authorities to trust instead of the system's; absolute, or relative to
    /// the plan file.
    pub ca_file: Option<PathBuf>,
}

/// Where a site's credentials come from; never the secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The AWS credential chain; only for AWS's own endpoints.
    Ambient,
    /// `PREFIX_ACCESS_KEY_ID`, `PREFIX_SECRET_ACCESS_KEY` and, if set, `PREFIX_SESSION_TOKEN`.
    Env {
        /// The `PREFIX` of these variables.
        prefix: String,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// Name of the profile.
        name: String,
    },
    /// A role that the identity of the AWS credential chain assumes.
    Role {
        /// ARN of the role.
        arn: String,
        /// The external id, if the role requires one.
        external_id: Option<String>,
    },
}

/// Limits of a site.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Bytes per second, read and written together.
    pub bandwidth: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u32>,
    /// Requests that run at once.
    pub requests_at_once: Option<u32>,
    /// The hours of the day in which work may be done.
    pub window: Option<Window>,
}

/// Hours of the day in a time zone; if `start` is after `end` the window spans midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Start in minutes after midnight.
    pub start_min: u16,
    /// End in minutes after midnight; up to 24 × 60.
    pub end_min: u16,
    /// IANA name of the time zone.
    pub zone: String,
}
