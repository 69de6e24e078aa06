//! The embedded S3 server, driven by the AWS SDK over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
};
use migrate::local_cloud::{FaultRule, Faults, Quirks, S3Server, S3ServerConfig};

mod cloud;
mod faults;
mod keys;
mod locks;
mod objects;
mod policies;
mod quirks;
mod settings;
mod storage_classes;
mod uploads;

const BUCKET: &str = "warehouse";
const SECRET: &str = "the-secret-of-a-rehearsal";

fn client_as(server: &S3Server, access_key: &str, secret_key: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}

/// A client that computes the checksums it is asked for.
fn checksumming(server: &S3Server) -> Client {
    checksumming_of(&client(server))
}

/// The same client, computing checksums.
fn checksumming_of(client: &Client) -> Client {
    let config = client.config().to_builder();
    Client::from_conf(config.request_checksum_calculation(RequestChecksumCalculation::WhenSupported).build())
}

fn client(server: &S3Server) -> Client {
    client_as(server, "AKIDREHEARSAL", SECRET)
}

fn config() -> S3ServerConfig {
    S3ServerConfig::new("AKIDREHEARSAL", SECRET)
}

/// A server with one bucket, and a client for it.
async fn start(config: S3ServerConfig) -> (S3Server, Client) {
    let server = S3Server::start(config).await.unwrap();
    server.state().create_bucket(BUCKET);
    let client = client(&server);
    (server, client)
}

async fn start_with(quirks: Quirks) -> (S3Server, Client) {
    start(S3ServerConfig { quirks, part_size_min: 1, ..config() }).await
}

fn strike(server: &S3Server, rule: FaultRule) {
    server.set_faults(Faults::one(42, rule));
}

/// The error's code, or the kind of failure if the server said nothing.
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>,
) -> String {
    match result {
        Ok(value) => panic!("succeeded: {value:?}"),
        Err(SdkError::DispatchFailure(_)) => "dispatch failure".to_owned(),
        Err(SdkError::ResponseError(_)) => "response error".to_owned(),
        Err(error) => error.code().map_or_else(
            || format!("status {:?}", error.raw_response().map(|response| response.status().as_u16())),
            str::to_owned,
        ),
    }
}
