//! From a site's configuration to an SDK client: retries and checksums of its own off.

use aws_sdk_s3::{
    Client, Config,
    config::{
        AppName, BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};

use super::whole::WholeAnswers;
use crate::{
    s3::{client::S3Config, wire::direct::sending::Connection},
    sdk::connect::{APP_NAME, CONNECT_TIME, Connecting, credentials},
};
use migrate_store::Result;

/// A connection to an endpoint as one identity; cheap to clone.
pub(in crate::s3) type Connected = Client;

/// Builds the client, and connections beside it with the same keys, trust and proxies. Sends nothing to S3 yet; a role
/// fetches its keys at the first use.
pub(in crate::s3) async fn connect(config: &S3Config) -> Result<(Connected, Connection)> {
    let region = Region::new(config.region.clone());
    let server = config.endpoint.as_ref();
    let url = server.map(|server| &*server.url);
    let connecting = Connecting::new(&config.site, url, server.and_then(|server| server.ca_pem.as_deref()))?;
    let keys = credentials(&config.credentials, region.clone()).await;
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .app_name(AppName::new(APP_NAME).expect("a legal application name"))
        .region(region)
        .credentials_provider(keys.clone())
        .http_client(connecting.client())
        // Only `store::retry` retries; deadlines, which grow with the body, are in `wire`.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIME).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Our own digests are sent as plain headers: many servers refuse trailers (aws-chunked), and on others they
        // leak into Content-Encoding.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(WholeAnswers);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(&endpoint.url).force_path_style(endpoint.path_style);
    }
    Ok((Client::from_conf(builder.build()), Connection::new(connecting.dialer(), keys)))
}
