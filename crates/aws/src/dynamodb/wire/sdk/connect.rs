//! From a site's configuration to SDK clients; retries off.

use aws_sdk_dynamodb::config::{
    AppName, BehaviorVersion, Region, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};

use super::whole::WholeAnswers;
use crate::{
    dynamodb::client::DynamoConfig,
    sdk::connect::{APP_NAME, CONNECT_TIME, Connecting, credentials},
};
use migrate_store::Result;

/// The connections to the tables and to the streams of an endpoint, as one identity; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::dynamodb) struct Connected {
    pub(super) tables: aws_sdk_dynamodb::Client,
    pub(super) streams: aws_sdk_dynamodbstreams::Client,
}

impl Connected {
    /// One table there.
    pub(in crate::dynamodb) fn table(&self, table: &str) -> Sdk {
        Sdk { client: self.clone(), table: table.to_owned() }
    }
}

/// One table at one endpoint.
#[derive(Debug, Clone)]
pub(in crate::dynamodb) struct Sdk {
    pub(super) client: Connected,
    pub(super) table: String,
}

/// Builds the clients. Sends nothing yet; a role fetches its keys at the first use.
pub(in crate::dynamodb) async fn connect(config: &DynamoConfig) -> Result<Connected> {
    let region = Region::new(config.region.clone());
    let server = config.endpoint.as_ref();
    let url = server.map(|server| &*server.url);
    let http = Connecting::new(&config.site, url, server.and_then(|server| server.ca_pem.as_deref()))?.client();
    let keys = credentials(&config.credentials, region.clone()).await;
    // The same settings, of two types of the SDK.
    macro_rules! client {
        ($sdk:ident) => {{
            let mut builder = $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .app_name(AppName::new(APP_NAME).expect("a legal application name"))
                .region(region.clone())
                .credentials_provider(keys.clone())
                .http_client(http.clone())
                // Only `store::retry` retries; deadlines are in `wire`.
                .retry_config(RetryConfig::disabled())
                .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIME).build())
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .interceptor(WholeAnswers);
            builder.set_endpoint_url(url.map(ToOwned::to_owned));
            $sdk::Client::from_conf(builder.build())
        }};
    }
    Ok(Connected { tables: client!(aws_sdk_dynamodb), streams: client!(aws_sdk_dynamodbstreams) })
}
