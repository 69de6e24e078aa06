//! Connections, and what is sent over them.

use std::{sync::Arc, time::Instant};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::http::HttpResponse;
use aws_smithy_runtime_api::client::{
    connection::CaptureSmithyConnection,
    http::{HttpConnector as _, SharedHttpConnector},
};

use super::{asked::Asked, clock::Clock, identity::Identity, place::Place, signing::Signing};
use crate::{
    failed::Failed,
    sdk::{connect::Connecting, failure::not_answered},
};

/// Connections to a server, as one identity; cheap to clone, and shared by all buckets there.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Connection {
    connector: SharedHttpConnector,
    identity: Arc<Identity>,
    clock: Arc<Clock>,
    signing: Arc<Signing>,
}

impl Connection {
    pub(in crate::s3) fn new(connecting: &Connecting, keys: SharedCredentialsProvider) -> Self {
        let connector = SharedHttpConnector::new(connecting.bare());
        Self { connector, identity: Identity::new(keys), clock: Arc::default(), signing: Arc::default() }
    }

    /// Sends a request, and one that reads once again if it was refused because this machine's clock is wrong. A write
    /// goes back: its lease and its condition are asked above, right before each time that it is sent. The answer's body
    /// is yet to be read.
    pub(super) async fn send(&self, asked: &Asked, place: &Place) -> Result<HttpResponse, Failed> {
        let (answer, was_wrong) = self.send_at(asked, place).await?;
        if was_wrong && asked.body.is_none() {
            return Ok(self.send_at(asked, place).await?.0);
        }
        Ok(answer)
    }

    /// Sends a request; with whether it was refused because of a wrong clock, and so is not done.
    async fn send_at(&self, asked: &Asked, place: &Place) -> Result<(HttpResponse, bool), Failed> {
        let signer = self.identity.signer().await?;
        let signed_at = self.clock.now();
        let mut request = self.signing.signed(asked, place, &signer, signed_at)?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let begun = Instant::now();
        let answer = self.connector.call(request).await.map_err(not_answered)?;
        let status = answer.status().as_u16();
        // A server in trouble may be another one behind a new connection: the SDK does the same.
        if matches!(status, 500 | 502..=504)
            && let Some(connection) = connection.get()
        {
            connection.poison();
        }
        let is_wrong =
            matches!(status, 400 | 403) && self.clock.was_wrong(answer.headers(), signed_at, begun.elapsed());
        Ok((answer, is_wrong))
    }
}
