//! An identity: a key pair and its principal.

use std::fmt;

/// A key pair and its principal.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The access key.
    pub access_key: String,
    /// Its secret; never shown by `Debug`.
    pub secret_key: String,
    /// Its principal, as policies name it: `arn:aws:iam::111122223333:user/NAME`.
    pub arn: String,
}

impl Identity {
    /// An identity of any account.
    pub fn new(arn: impl Into<String>, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into(), arn: arn.into() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("access_key", &self.access_key).field("arn", &self.arn).finish_non_exhaustive()
    }
}
