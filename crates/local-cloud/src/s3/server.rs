//! The listener: accepts on a loopback port, serves each connection, and ends when told.
//!
//! All tasks belong to the server: one accepts and owns those of the connections. [`S3Server::stop`]
//! lets requests in flight finish and joins every task; dropping the server aborts them.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::service::S3ServiceBuilder;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    access::Access, admission::Admission, config::S3ServerConfig, faults::Faults, front::Front, identities::Identities,
    service::Service, state::Buckets, stats::Stats,
};

/// An S3 endpoint in this process, with its identities and buckets.
pub struct S3Server {
    address: SocketAddr,
    buckets: Arc<Buckets>,
    front: Arc<Front>,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
}

impl S3Server {
    /// Binds a free port of 127.0.0.1 and serves it from the current tokio runtime. Fails if no port can
    /// be bound, or the identities of the configuration make no sense.
    pub async fn start(config: S3ServerConfig) -> io::Result<Self> {
        Self::start_with(config, Arc::default()).await
    }

    /// Serves buckets that exist already, for example those of another endpoint: two servers, same data.
    pub async fn start_with(config: S3ServerConfig, buckets: Arc<Buckets>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let config = Arc::new(config);
        let identities = Identities::of(&config)?;
        let access = Access { identities: identities.clone(), buckets: buckets.clone(), config: config.clone() };
        let access = Arc::new(access);
        let service = Service { buckets: buckets.clone(), config: config.clone(), access: access.clone() };
        let mut builder = S3ServiceBuilder::new(service);
        builder.set_auth(identities);
        builder.set_access(Admission { config: config.clone(), access });
        let front = Arc::new(Front::new(builder.build(), config));
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, front.clone(), stopping.clone()));
        Ok(Self { address, buckets, front, stopping, tasks })
    }

    /// The endpoint's URL: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            carry_on(ended);
        }
    }
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Server")
            .field("address", &self.address)
            .field("config", &self.front.config)
            .finish_non_exhaustive()
    }
}

fn carry_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>, stopping: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        // A connection that broke before it was accepted says nothing about the next.
        if let Ok((stream, _)) = accepted {
            connections.spawn(serve(stream, front.clone(), stopping.clone()));
        }
        while let Some(ended) = connections.try_join_next() {
            carry_on(ended);
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        carry_on(ended);
    }
}

async fn serve(stream: TcpStream, front: Arc<Front>, stopping: CancellationToken) {
    // Small answers must not wait for the acknowledgement of the last ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to switch off Nagle's algorithm");
    }
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let ended = if let Some(ended) = stopping.run_until_cancelled(connection.as_mut()).await {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
