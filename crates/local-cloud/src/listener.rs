//! The listener: accepts on a loopback port, serves each connection, and ends when told.
//!
//! All tasks belong to it: one accepts and owns those of the connections. [`Listener::stop`] lets requests in flight
//! finish and joins every task; dropping the listener aborts them.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn Error + Send + Sync>;

/// A port of 127.0.0.1 that is served.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
}

impl Listener {
    /// Binds a free port and answers each request from the current tokio runtime; an error closes the connection.
    /// Fails if no port can be bound.
    pub(crate) async fn start<A, F, B, E>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, answer, stopping.clone()));
        Ok(Self { address, stopping, tasks })
    }

    /// Takes no more connections, lets requests in flight finish and joins all tasks. Resumes the panic of a task.
    pub(crate) async fn stop(mut self) {
        self.stopping.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            carry_on(ended);
        }
    }
}

fn carry_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn accept<A, F, B, E>(listener: TcpListener, answer: A, stopping: CancellationToken)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let mut connections = JoinSet::new();
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        // A connection that broke before it was accepted says nothing about the next.
        if let Ok((stream, _)) = accepted {
            connections.spawn(serve(stream, answer.clone(), stopping.clone()));
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

async fn serve<A, F, B, E>(stream: TcpStream, answer: A, stopping: CancellationToken)
where
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    // Small answers must not wait for the acknowledgement of the last ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to switch off Nagle's algorithm");
    }
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
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
