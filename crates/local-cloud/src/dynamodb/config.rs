//! The configuration of one server.

use std::{fmt, num::NonZeroU32, time::Duration};

use super::faults::DynamoFaults;
use crate::identity::Identity;

/// The configuration of a server.
#[derive(Clone)]
pub struct DynamoServerConfig {
    /// The access key of the root of the account that owns all tables.
    pub access_key: String,
    /// Its secret; never shown by `Debug`.
    pub secret_key: String,
    /// The other identities. Those of the owning account may do all that no policy denies, those of other accounts
    /// only what a policy allows.
    pub identities: Vec<Identity>,
    /// The account that owns all tables.
    pub account_id: String,
    /// The delay of every request, as over a distance. None by default.
    pub latency: Option<Duration>,
    /// How many items a second are taken; each waits for its turn. No limit by default.
    pub writes_a_second: Option<NonZeroU32>,
    /// What goes wrong with single requests.
    pub faults: DynamoFaults,
}

impl DynamoServerConfig {
    /// A server for the root of one account.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            identities: Vec::new(),
            account_id: "111122223333".to_owned(),
            latency: None,
            writes_a_second: None,
            faults: DynamoFaults::default(),
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

impl fmt::Debug for DynamoServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoServerConfig")
            .field("access_key", &self.access_key)
            .field("identities", &self.identities)
            .field("account_id", &self.account_id)
            .field("latency", &self.latency)
            .field("writes_a_second", &self.writes_a_second)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
