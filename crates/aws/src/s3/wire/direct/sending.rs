//! Connections, and what is sent over them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use aws_credential_types::provider::SharedCredentialsProvider;
use hyper::Uri;

use super::{
    asked::Asked,
    clock::Clock,
    identity::Identity,
    place::Place,
    pool::{Answer, Pool},
    signing::Signing,
};
use crate::{dial::Dialer, failed::Failed};

/// Connections to an endpoint, as one identity; cheap to clone, and shared by all buckets there.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Connection {
    dialer: Dialer,
    /// By scheme and authority: a bucket may have a host of its own.
    pools: Arc<Mutex<HashMap<Uri, Arc<Pool>>>>,
    identity: Arc<Identity>,
    clock: Arc<Clock>,
    signing: Arc<Signing>,
}

impl Connection {
    pub(in crate::s3) fn new(dialer: Dialer, keys: SharedCredentialsProvider) -> Self {
        let (clock, signing) = (Arc::default(), Arc::default());
        Self { dialer, pools: Arc::default(), identity: Identity::new(keys), clock, signing }
    }

    /// The connections to the server of a bucket.
    pub(super) fn pool(&self, place: &Place) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(place.server.clone());
        Arc::clone(pool.or_insert_with(|| Pool::new(self.dialer.clone(), place.server.clone())))
    }

    /// Sends a request, and one that reads once again if it was refused because this machine's clock is wrong. A write
    /// goes back: its lease and its condition are asked above, right before each time that it is sent. The answer's body
    /// is yet to be read.
    pub(super) async fn send(&self, asked: &Asked, place: &Place, pool: &Arc<Pool>) -> Result<Answer, Failed> {
        let (answer, was_wrong) = self.send_at(asked, place, pool).await?;
        if was_wrong && asked.body.is_none() {
            return Ok(Box::pin(self.send_at(asked, place, pool)).await?.0);
        }
        Ok(answer)
    }

    /// Sends a request; with whether it was refused because of a wrong clock, and so is not done.
    async fn send_at(&self, asked: &Asked, place: &Place, pool: &Arc<Pool>) -> Result<(Answer, bool), Failed> {
        let signer = self.identity.signer().await?;
        let signed_at = self.clock.now();
        let request = self.signing.signed(asked, place, &signer, signed_at)?;
        let begun = Instant::now();
        let mut answer = pool.send(request).await?;
        let status = answer.status.as_u16();
        // The SDK does the same.
        if matches!(status, 500 | 502..=504) {
            answer.body.leave_connection();
        }
        let is_wrong = matches!(status, 400 | 403) && self.clock.was_wrong(&answer.headers, signed_at, begun.elapsed());
        Ok((answer, is_wrong))
    }
}
