//! What a site's configuration says of an S3 endpoint.

use migrate_store::EndpointId;

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
