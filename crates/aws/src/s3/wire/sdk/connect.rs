//! From a site's configuration to an SDK client: credentials, trust, proxies, retries off.

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain, profile::ProfileFileCredentialsProvider,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::{
    Client, Config,
    config::{
        AppName, BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
        SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::whole::WholeAnswers;
use crate::s3::client::{S3Config, S3Credentials};
use migrate_store::{ErrorKind, Result, StoreError};

/// A connection to an endpoint as one identity; cheap to clone.
pub(in crate::s3) type Connected = Client;

/// Builds the client. Sends nothing to S3 yet; a role fetches its keys at the first use.
pub(in crate::s3) async fn connect(config: &S3Config) -> Result<Connected> {
    let region = Region::new(config.region.clone());
    let http = http_client(config)?;
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .app_name(AppName::new("migrate").expect("a legal application name"))
        .region(region.clone())
        .credentials_provider(credentials(&config.credentials, region).await)
        .http_client(http)
        // Only `store::retry` retries; deadlines, which grow with the body, are in `wire`.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(std::time::Duration::from_secs(10)).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Our own digests are sent as plain headers: many servers refuse trailers (aws-chunked), and on others they
        // leak into Content-Encoding.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(WholeAnswers);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(&endpoint.url).force_path_style(endpoint.path_style);
    }
    Ok(Client::from_conf(builder.build()))
}

async fn credentials(credentials: &S3Credentials, region: Region) -> SharedCredentialsProvider {
    match credentials {
        S3Credentials::Ambient => {
            SharedCredentialsProvider::new(DefaultCredentialsChain::builder().region(region).build().await)
        }
        S3Credentials::Keys { id, secret, session_token } => {
            SharedCredentialsProvider::new(Credentials::new(id, secret, session_token.clone(), None, "plan"))
        }
        S3Credentials::Profile(name) => {
            SharedCredentialsProvider::new(ProfileFileCredentialsProvider::builder().profile_name(name).build())
        }
        S3Credentials::Role { arn, external_id } => {
            let mut role = AssumeRoleProvider::builder(arn).session_name("migrate").region(region);
            if let Some(external_id) = external_id {
                role = role.external_id(external_id);
            }
            SharedCredentialsProvider::new(role.build().await)
        }
    }
}

/// The HTTP client: it trusts the system's authorities or the site's own. Proxies come from the usual environment
/// variables, but not for endpoints on this machine.
fn http_client(config: &S3Config) -> Result<SharedHttpClient> {
    let mut trust = TrustStore::default();
    if let Some(pem) = config.endpoint.as_ref().and_then(|endpoint| endpoint.ca_pem.clone()) {
        if !pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
            return Err(StoreError::new(
                ErrorKind::Other,
                "connect",
                &config.site,
                "ca_file holds no PEM certificate (-----BEGIN CERTIFICATE-----)",
            ));
        }
        trust = TrustStore::empty().with_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
        StoreError::new(ErrorKind::Other, "connect", &config.site, "ca_file cannot be used").because(error)
    })?;
    // A proxy would look for the server on its own machine, and would see traffic that must stay on this one.
    let own = config.endpoint.as_ref().is_some_and(|endpoint| is_this_machine(&endpoint.url));
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .proxy_config(if own { ProxyConfig::disabled() } else { ProxyConfig::from_env() });
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }))
}

fn is_this_machine(url: &str) -> bool {
    let uri = url.parse::<hyper::Uri>();
    let host = uri.as_ref().ok().and_then(hyper::Uri::host).unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for url in ["http://127.0.0.1:9000", "http://127.8.7.6", "http://[::1]:9000", "https://localhost:9000/"] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in ["", "https://s3.example.com", "http://10.0.0.1:9000", "http://localhost.example.com"] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
