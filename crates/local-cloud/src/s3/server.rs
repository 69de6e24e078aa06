//! The server: an endpoint with its identities and buckets.

use std::{fmt, io, sync::Arc};

use s3s::{config::StaticConfigProvider, service::S3ServiceBuilder};

use super::{
    access::Access, admission::Admission, config::S3ServerConfig, faults::Faults, front::Front, service::Service,
    state::Buckets, stats::Stats,
};
use crate::{identities::Identities, listener::Listener};

/// An S3 endpoint in this process, with its identities and buckets.
pub struct S3Server {
    buckets: Arc<Buckets>,
    front: Arc<Front>,
    listener: Listener,
}

impl S3Server {
    /// Binds a free port of 127.0.0.1 and serves it from the current tokio runtime. Fails if no port can
    /// be bound, or the identities of the configuration make no sense.
    pub async fn start(config: S3ServerConfig) -> io::Result<Self> {
        Self::start_with(config, Arc::default()).await
    }

    /// Serves buckets that exist already, for example those of another endpoint: two servers, same data.
    pub async fn start_with(config: S3ServerConfig, buckets: Arc<Buckets>) -> io::Result<Self> {
        let config = Arc::new(config);
        let root = (&*config.access_key, &*config.secret_key);
        let identities = Identities::of(&config.account_id, root, &config.identities)?;
        let access = Access { identities: identities.clone(), buckets: buckets.clone(), config: config.clone() };
        let access = Arc::new(access);
        let service = Service { buckets: buckets.clone(), config: config.clone(), access: access.clone() };
        let mut builder = S3ServiceBuilder::new(service);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config.quirks.signatures()))));
        builder.set_auth(identities);
        builder.set_access(Admission { config: config.clone(), access });
        let front = Arc::new(Front::new(builder.build(), config));
        let answering = front.clone();
        let listener = Listener::start(move |request| {
            let front = answering.clone();
            async move { front.answer(request).await }
        });
        Ok(Self { listener: listener.await?, buckets, front })
    }

    /// The endpoint's URL: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// The state, to look at and to change without a request.
    pub fn state(&self) -> &Arc<Buckets> {
        &self.buckets
    }

    /// Its configuration.
    pub fn config(&self) -> &S3ServerConfig {
        &self.front.config
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.front.stats()
    }

    /// Replaces the faults; their rules count from 1 again.
    pub fn set_faults(&self, faults: Faults) {
        self.front.set_faults(faults);
    }

    /// Takes no more connections, lets requests in flight finish and joins all tasks. Resumes the panic of
    /// a task.
    pub async fn stop(self) {
        self.listener.stop().await;
    }
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Server")
            .field("address", &self.listener.address)
            .field("config", &self.front.config)
            .finish_non_exhaustive()
    }
}
