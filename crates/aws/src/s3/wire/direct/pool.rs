//! Connections that are kept between requests.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    body::{Body, Frame, Incoming, SizeHint},
};

use crate::{
    dial::{Dialer, Line},
    failed::Failed,
    sdk::{connect::CONNECT_TIME, failure::root},
};

/// For how long a connection is kept that nobody uses.
const IDLE_TIME: Duration = Duration::from_secs(90);

/// The connections to one server.
pub(super) struct Pool {
    dialer: Dialer,
    /// Scheme and authority.
    server: Uri,
    /// The latest at the back, which is taken first, so that those at the front grow old if fewer are needed.
    idle: Mutex<VecDeque<(Instant, Line)>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The head of an answer, and its body, which is yet to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: AnswerBody,
}

/// The body of an answer. At its end the connection can be used again.
pub(super) struct AnswerBody {
    incoming: Incoming,
    pool: Arc<Pool>,
    /// Until the end.
    line: Option<Line>,
    keep: Keep,
}

/// Whether the connection of an answer is kept at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    /// A refusal may come before a write was sent whole, and the connection goes on with that.
    IfReady,
    No,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(dialer: Dialer, server: Uri) -> Arc<Self> {
        Arc::new(Self { dialer, server, idle: Mutex::default() })
    }

    /// Sends a request, whose URL is a path with its query.
    pub(super) async fn send(self: &Arc<Self>, mut request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let writes = !request.body().is_end_stream();
        loop {
            let (mut line, was_used) = match self.kept().await {
                Some(line) => (line, true),
                // In memory of its own, which the usual request does not take.
                None => (Box::pin(self.dialed()).await?, false),
            };
            line.address(&mut request);
            match line.sender.try_send_request(request).await {
                Ok(answer) => {
                    let (head, incoming) = answer.into_parts();
                    let keep = if writes && !head.status.is_success() { Keep::IfReady } else { Keep::Yes };
                    let body = AnswerBody { incoming, pool: Arc::clone(self), line: Some(line), keep };
                    return Ok(Answer { status: head.status, headers: head.headers, body });
                }
                Err(mut error) => match error.take_message() {
                    // The server had closed the connection, and has seen nothing of it.
                    Some(unsent) if was_used => request = unsent,
                    _ => {
                        let error = error.into_error();
                        return Err(Failed::Broke(root(&error), error.into()));
                    }
                },
            }
        }
    }

    /// A connection that was used before.
    async fn kept(&self) -> Option<Line> {
        loop {
            let (_, mut line) = self.idle().pop_back()?;
            // The end of the last answer is told before the connection is ready for the next request.
            if line.sender.ready().await.is_ok() {
                return Some(line);
            }
        }
    }

    async fn dialed(&self) -> Result<Line, Failed> {
        let dialing = tokio::time::timeout(CONNECT_TIME, self.dialer.dial(&self.server));
        let dialed = dialing.await.unwrap_or_else(|elapsed| Err(elapsed.into()));
        dialed.map_err(|error| Failed::NoConnection(root(&*error), error))
    }

    fn keep(&self, line: Line) {
        self.idle().push_back((Instant::now(), line));
    }

    /// The connections that are young enough.
    fn idle(&self) -> MutexGuard<'_, VecDeque<(Instant, Line)>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| since.elapsed() > IDLE_TIME) {
            idle.pop_front();
        }
        idle
    }
}

impl AnswerBody {
    /// The connection is not used again: a server in trouble may be another one behind a new connection.
    pub(super) fn leave_connection(&mut self) {
        self.keep = Keep::No;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None))
            && let Some(line) = self.line.take()
            && (self.keep == Keep::Yes || self.keep == Keep::IfReady && line.sender.is_ready())
        {
            self.pool.keep(line);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.line.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
