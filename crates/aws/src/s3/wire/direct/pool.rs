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
/// For how long a connection may be busy after the end of an answer. One that takes longer still sends what the server has
/// answered before it was there.
const READY_TIME: Duration = Duration::from_millis(100);

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
                        // The next attempt takes it.
                        if error.is_parse_too_large() {
                            self.dialer.take_long_heads();
                            self.idle().clear();
                        }
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
            match tokio::time::timeout(READY_TIME, line.sender.ready()).await {
                Ok(Ok(())) => return Some(line),
                // The server has closed it.
                Ok(Err(_)) => {}
                // A write that waits for a connection has asked its lease already: it waits for no second one.
                Err(_) => return None,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt as _;
    use hyper::Method;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers each request of a connection with the next of these texts, and then closes it. With how many
    /// connections it has taken.
    async fn server(answers: &'static [&'static str]) -> (Arc<Pool>, Arc<AtomicUsize>) {
        serving(answers, true).await
    }

    /// One that reads no more after its answers and closes nothing, or one that closes.
    async fn serving(answers: &'static [&'static str], closes: bool) -> (Arc<Pool>, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    for answer in answers {
                        // Each request comes in one piece, and so small that nothing is left of it.
                        let read = stream.read(&mut [0; 4096]).await;
                        if !matches!(read, Ok(1..)) || stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                    if !closes {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        (Pool::new(Dialer::new(None, false).unwrap(), url.parse().unwrap()), taken)
    }

    async fn ask(pool: &Arc<Pool>, body: &'static str) -> Result<(u16, Bytes), Failed> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = if body.is_empty() { Method::GET } else { Method::PUT };
        let mut answer = pool.send(request).await?;
        if answer.status.is_server_error() {
            answer.body.leave_connection();
        }
        Ok((answer.status.as_u16(), answer.body.collect().await.unwrap().to_bytes()))
    }

    const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
    const REFUSED: &str = "HTTP/1.1 412 No\r\ncontent-length: 2\r\n\r\nno";
    const TROUBLED: &str = "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno";

    #[tokio::test]
    async fn a_connection_serves_one_request_after_the_other() {
        let (pool, taken) = server(&[FINE, REFUSED, FINE, FINE]).await;
        for (body, status) in [("", 200), ("", 412), ("a", 200), ("", 200)] {
            assert_eq!(ask(&pool, body).await.unwrap().0, status);
        }
        assert_eq!(taken.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn requests_at_the_same_time_have_a_connection_each() {
        let (pool, taken) = server(&[FINE, FINE]).await;
        let all = tokio::join!(ask(&pool, ""), ask(&pool, "a"), ask(&pool, ""));
        assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok(), "{all:?}");
        assert_eq!(taken.load(Ordering::SeqCst), 3);
        assert_eq!(pool.idle().len(), 3);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_not_used_again() {
        let (pool, taken) = server(&[FINE]).await;
        for number in 1..=20 {
            assert_eq!(ask(&pool, "a").await.unwrap(), (200, Bytes::from_static(b"fine")));
            assert_eq!(taken.load(Ordering::SeqCst), number);
            // The end of the connection has come by then.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_connection_that_still_sends_what_was_answered_is_not_waited_for() {
        static LARGE: [u8; 16 << 20] = [0; 16 << 20];
        for (answers, kept) in [(&[FINE], 1), (&[REFUSED], 0)] {
            let (pool, taken) = serving(answers, false).await;
            let mut request = Request::new(Full::from(&LARGE[..]));
            *request.method_mut() = Method::PUT;
            let answer = pool.send(request).await.unwrap();
            answer.body.collect().await.unwrap();
            assert_eq!(pool.idle().len(), kept);
            assert!(ask(&pool, "").await.is_ok());
            assert_eq!(taken.load(Ordering::SeqCst), 2);
        }
    }

    #[tokio::test]
    async fn a_server_in_trouble_is_asked_through_another_connection() {
        let (pool, taken) = server(&[TROUBLED, FINE]).await;
        for _ in 0..2 {
            assert_eq!(ask(&pool, "").await.unwrap(), (503, Bytes::from_static(b"no")));
        }
        assert_eq!((taken.load(Ordering::SeqCst), pool.idle().len()), (2, 0));
    }

    #[tokio::test]
    async fn a_body_that_is_not_read_leaves_no_connection_behind() {
        let (pool, _) = server(&[FINE, FINE]).await;
        let answer = pool.send(Request::new(Full::default())).await.unwrap();
        drop(answer);
        assert_eq!(pool.idle().len(), 0);
        assert!(ask(&pool, "").await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_with_a_thousand_headers_is_taken_by_the_next_attempt() {
        let headers: Vec<_> = (0..1000).map(|number| format!("x-amz-meta-{number}: a\r\n")).collect();
        let headers = headers.concat();
        let answer: &str = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 4\r\n\r\nfine").leak();
        let answers: &[&str] = vec![answer; 3].leak();
        let (pool, _) = server(answers).await;
        assert!(matches!(ask(&pool, "").await, Err(Failed::Broke(..))));
        for _ in 0..2 {
            assert_eq!(ask(&pool, "").await.unwrap().0, 200);
        }
    }

    #[tokio::test]
    async fn no_connection_and_a_broken_one_are_told_apart() {
        let (pool, _) = server(&["HTTP/1.1 200 OK\r\ncontent-le"]).await;
        assert!(matches!(ask(&pool, "a").await, Err(Failed::Broke(..))));
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let pool = Pool::new(Dialer::new(None, false).unwrap(), format!("http://{free}/").parse().unwrap());
        let told = ask(&pool, "a").await;
        assert!(matches!(&told, Err(Failed::NoConnection(why, _)) if why.contains("refused")), "{told:?}");
    }
}
