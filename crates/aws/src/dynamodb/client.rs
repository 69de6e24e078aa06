//! What a site's configuration says of an endpoint with tables.

use migrate_store::EndpointId;

use crate::{credentials::AwsCredentials, endpoint::endpoint_id};

/// How to reach one endpoint, and the identity. One per site, shared by its tables.
#[derive(Debug, Clone)]
pub struct DynamoConfig {
    /// Name of the site, for messages.
    pub site: String,
    /// The region that requests are signed for.
    pub region: String,
    /// A compatible server; if absent, AWS's endpoint of the region.
    pub endpoint: Option<DynamoEndpoint>,
    /// The identity that signs requests.
    pub credentials: AwsCredentials,
}

impl DynamoConfig {
    /// Which server it is, and who signs.
    pub(super) fn endpoint_id(&self) -> EndpointId {
        endpoint_id(&self.region, self.endpoint.as_ref().map(|server| &*server.url), &self.credentials)
    }
}

/// A compatible server.
#[derive(Debug, Clone)]
pub struct DynamoEndpoint {
    /// `https://host[:port]`.
    pub url: String,
    /// The authorities to trust instead of the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
}
