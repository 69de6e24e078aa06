//! [`AwsCredentials`]: who signs requests.

use std::fmt;

use migrate_store::Identity;

/// The identity that signs requests.
#[derive(Clone)]
pub enum AwsCredentials {
    /// The AWS credential chain: environment, profile, instance.
    Ambient,
    /// Keys of an access key pair.
    Keys {
        /// The access key id, as AWS issued it.
        id: String,
        /// The secret access key.
        secret: String,
        /// The session token, for temporary keys.
        session_token: Option<String>,
    },
    /// Name of a profile of the AWS configuration files.
    Profile(String),
    /// A role that the identity of the AWS credential chain assumes.
    Role {
        /// ARN of the role.
        arn: String,
        /// The external id, if the role requires one.
        external_id: Option<String>,
    },
}

/// What chooses an identity within the AWS credential chain.
const CHAIN: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"];

impl AwsCredentials {
    /// The fingerprint of the identity, which changes with it as far as that can be told without a request.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Ambient => {
                let chosen = CHAIN.map(|name| std::env::var(name).unwrap_or_default());
                Identity::of("the AWS credential chain", chosen.iter().map(String::as_str))
            }
            Self::Keys { id, .. } => Identity::of("keys", [&**id]),
            Self::Profile(name) => Identity::of("profile", [&**name]),
            Self::Role { arn, .. } => Identity::of("role", [&**arn]),
        }
    }
}

/// Shows the kind, never the keys.
impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambient => f.write_str("Ambient"),
            Self::Keys { .. } => f.write_str("Keys(..)"),
            Self::Profile(name) => write!(f, "Profile({name:?})"),
            Self::Role { arn, .. } => write!(f, "Role({arn:?})"),
        }
    }
}
