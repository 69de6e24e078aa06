//! What a site's configuration says of an S3 endpoint.

use std::sync::OnceLock;

use migrate_store::{EndpointId, ErrorKind, Result, StoreError};

use crate::{credentials::AwsCredentials, endpoint::endpoint_id};

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
    pub credentials: AwsCredentials,
    /// The AWS account that must own the bucket: AWS refuses every request otherwise.
    pub expected_bucket_owner: Option<String>,
}

impl S3Config {
    /// Which server it is, and who signs.
    pub(super) fn endpoint_id(&self) -> EndpointId {
        endpoint_id(&self.region, self.endpoint.as_ref().map(|server| &*server.url), &self.credentials)
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

/// The way that the hot requests take to a server: GET, HEAD, PUT of objects and parts, pages of objects,
/// and tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum S3Wire {
    /// The program's own, with the SDK's credentials, endpoints, signatures and connections.
    #[default]
    Own,
    /// The SDK's, as all other requests. It stays for one release, as the proof that both do alike.
    Sdk,
}

/// What the process has chosen.
static CHOSEN: OnceLock<S3Wire> = OnceLock::new();

impl S3Wire {
    /// The environment variable that chooses: `own` or `sdk`.
    pub const VARIABLE: &str = "MIGRATE_S3_WIRE";

    /// Chooses for all clients of this process that are made later. The first choice stays.
    pub fn choose(self) {
        let _ = CHOSEN.set(self);
    }

    /// What was chosen, or else what the environment says. The error names a word that is neither.
    pub(super) fn chosen(site: &str) -> Result<Self> {
        if let Some(chosen) = CHOSEN.get() {
            return Ok(*chosen);
        }
        match std::env::var(Self::VARIABLE).as_deref() {
            Err(_) | Ok("" | "own") => Ok(Self::Own),
            Ok("sdk") => Ok(Self::Sdk),
            Ok(other) => {
                let detail = format!("{} is {other:?}, and must be own or sdk", Self::VARIABLE);
                Err(StoreError::new(ErrorKind::Other, "connect", site, detail))
            }
        }
    }
}
