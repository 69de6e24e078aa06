//! What every client is made with: credentials, trust, proxies.

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain, profile::ProfileFileCredentialsProvider,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::config::{Region, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use crate::{credentials::AwsCredentials, dial::Dialer, endpoint::is_this_machine, failed::Cause};
use migrate_store::{ErrorKind, Result, StoreError};

/// The name under which requests are sent.
pub(crate) const APP_NAME: &str = "migrate";
/// For how long a connection is waited for.
pub(crate) const CONNECT_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// The provider of the keys that requests are signed with; a role fetches its keys at the first use.
pub(crate) async fn credentials(credentials: &AwsCredentials, region: Region) -> SharedCredentialsProvider {
    match credentials {
        AwsCredentials::Ambient => {
            SharedCredentialsProvider::new(DefaultCredentialsChain::builder().region(region).build().await)
        }
        AwsCredentials::Keys { id, secret, session_token } => {
            SharedCredentialsProvider::new(Credentials::new(id, secret, session_token.clone(), None, "plan"))
        }
        AwsCredentials::Profile(name) => {
            SharedCredentialsProvider::new(ProfileFileCredentialsProvider::builder().profile_name(name).build())
        }
        AwsCredentials::Role { arn, external_id } => {
            let mut role = AssumeRoleProvider::builder(arn).session_name("migrate").region(region);
            if let Some(external_id) = external_id {
                role = role.external_id(external_id);
            }
            SharedCredentialsProvider::new(role.build().await)
        }
    }
}

/// How connections are made: who is trusted, and whether proxies are asked.
#[derive(Clone)]
pub(crate) struct Connecting {
    context: TlsContext,
    proxy: ProxyConfig,
    dialer: Dialer,
}

impl Connecting {
    /// The system's authorities are trusted, or the site's own. Proxies come from the usual environment variables, but
    /// not for endpoints on this machine.
    pub(crate) fn new(site: &str, url: Option<&str>, ca_pem: Option<&[u8]>) -> Result<Self> {
        let mut trust = TrustStore::default();
        if let Some(pem) = ca_pem {
            if !pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
                return Err(StoreError::new(
                    ErrorKind::Other,
                    "connect",
                    site,
                    "ca_file holds no PEM certificate (-----BEGIN CERTIFICATE-----)",
                ));
            }
            trust = TrustStore::empty().with_pem_certificate(pem);
        }
        let unusable =
            |error: Cause| StoreError::new(ErrorKind::Other, "connect", site, "ca_file cannot be used").because(error);
        let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| unusable(error.into()))?;
        // A proxy would look for the server on its own machine, and would see traffic that must stay on this one.
        let own = url.is_some_and(is_this_machine);
        let proxy = if own { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
        let dialer = Dialer::new(ca_pem, !own).map_err(unusable)?;
        Ok(Self { context, proxy, dialer })
    }

    /// Connections for the SDK.
    pub(crate) fn client(&self) -> SharedHttpClient {
        let this = self.clone();
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder()
                .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(this.context.clone())
                .proxy_config(this.proxy.clone());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            connector.build()
        })
    }

    /// What makes the same connections for requests that do not go through the SDK.
    pub(crate) fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
