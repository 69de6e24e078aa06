//! The configuration of one server: its identities, its limits and its differences from AWS.

use std::{fmt, time::Duration};

use super::{faults::Faults, quirks::Quirks};
use crate::identity::Identity;

/// The configuration of a server.
#[derive(Clone)]
pub struct S3ServerConfig {
    /// The access key of the root of the account that owns all buckets.
    pub access_key: String,
    /// Its secret; never shown by `Debug`.
    pub secret_key: String,
    /// The other identities. Those of the owning account may do all that no policy denies, those of other
    /// accounts only what a policy allows.
    pub identities: Vec<Identity>,
    /// The region that buckets are in.
    pub region: String,
    /// The account that owns all buckets, compared with `x-amz-expected-bucket-owner`.
    pub account_id: String,
    /// The smallest part of a multipart upload, except the last, in bytes. S3's own limit is 5 MiB.
    pub part_size_min: u64,
    /// The delay of every request, as over a distance. None by default.
    pub latency: Option<Duration>,
    /// What goes wrong with single requests.
    pub faults: Faults,
    /// How the server differs from AWS.
    pub quirks: Quirks,
}

impl S3ServerConfig {
    /// A server like AWS, for the root of one account.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            identities: Vec::new(),
            region: "us-east-1".to_owned(),
            account_id: "111122223333".to_owned(),
            part_size_min: 5 << 20,
            latency: None,
            faults: Faults::default(),
            quirks: Quirks::default(),
        }
    }

    /// Adds a user of the owning account: `arn:aws:iam::ACCOUNT:user/NAME`. Set the account first.
    #[must_use]
    pub fn with_user(mut self, name: &str, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        let arn = format!("arn:aws:iam::{}:user/{name}", self.account_id);
        self.identities.push(Identity::new(arn, access_key, secret_key));
        self
    }
}

impl fmt::Debug for S3ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ServerConfig")
            .field("access_key", &self.access_key)
            .field("identities", &self.identities)
            .field("region", &self.region)
            .field("account_id", &self.account_id)
            .field("part_size_min", &self.part_size_min)
            .field("latency", &self.latency)
            .field("faults", &self.faults)
            .field("quirks", &self.quirks)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_secret_and_shows_the_seed() {
        let mut config = S3ServerConfig::new("AKIDEXAMPLE", "hush-hush");
        config.faults.seed = 4711;
        let text = format!("{config:?}");
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains("4711") && text.contains("AKIDEXAMPLE"), "{text}");
    }
}
