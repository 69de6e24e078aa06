//! What a site's configuration says of an S3 endpoint.

use std::fmt;

use migrate_store::{EndpointId, Identity};

/// How to reach one S3 endpoint, and the identity. One per site, shared by its stores.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Name of the site, for messages.
    pub site: String,
    /// The region that requests are signed for.
    pub region: String,
    /// A compatible server; if absent, AWS's endpoint of the region.
    pub endpoint: Option<S3Endpoint>,
    /// The identity that signs requests.
    pub credentials: S3Credentials,
    /// The AWS account that must own the bucket: AWS refuses every request otherwise.
    pub expected_bucket_owner: Option<String>,
}

impl S3Config {
    /// Which server it is, and who signs.
    pub(super) fn endpoint_id(&self) -> EndpointId {
        let at = self.endpoint.as_ref().map_or_else(|| format!("AWS {}", self.region), |server| server.url.clone());
        EndpointId::Server { at: at.into(), identity: self.credentials.identity() }
    }
}

/// A compatible server.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// `https://host[:port]`.
    pub url: String,
    /// Whether the bucket is in the path, not in the host name.
    pub path_style: bool,
    /// The authorities to trust instead of the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// The identity that signs requests.
#[derive(Clone)]
pub enum S3Credentials {
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

impl S3Credentials {
    /// The fingerprint of the identity, which changes with it as far as that can be told without a request.
    fn identity(&self) -> Identity {
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
impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambient => f.write_str("Ambient"),
            Self::Keys { .. } => f.write_str("Keys(..)"),
            Self::Profile(name) => write!(f, "Profile({name:?})"),
            Self::Role { arn, .. } => write!(f, "Role({arn:?})"),
        }
    }
}
