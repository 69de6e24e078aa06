//! The front: takes a request off the wire, counts it, lets faults strike, and hands it to `s3s`.
//!
//! It first collects the whole body. So even a request that a fault leaves undone was read, as a real
//! server would have read it, and the signed hash is checked at once.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Frame, Incoming, SizeHint},
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use s3s::{Body, S3Error, s3_error, service::S3Service};

use super::{
    arrived::Arrived,
    config::S3ServerConfig,
    faults::{ActiveFaults, Fault, Faults, Strike},
    operation::Operation,
    stats::Stats,
    xml,
};
use migrate_fault::flip_bit;

/// Why a connection is dropped without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Dropped {
    #[error("a fault closes the connection")]
    Fault,
    #[error("the request's body ended early")]
    Body(#[source] hyper::Error),
    #[error("no answer could be made")]
    NoAnswer,
}

/// One server's front, shared by its connections.
pub(super) struct Front {
    pub(super) service: S3Service,
    pub(super) config: Arc<S3ServerConfig>,
    faults: RwLock<Arc<ActiveFaults>>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<Operation, u64>,
    faults: BTreeMap<&'static str, u64>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Front {
    pub(super) fn new(service: S3Service, config: Arc<S3ServerConfig>) -> Self {
        let faults = RwLock::new(Arc::new(ActiveFaults::new(config.faults.clone())));
        Self { service, config, faults, counts: Mutex::default() }
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ActiveFaults::new(faults));
    }

    pub(super) fn stats(&self) -> Stats {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            requests: counts.requests.clone(),
            faults: counts.faults.values().sum(),
            faults_by_kind: counts.faults.clone(),
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Answers one request; an error closes the connection.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let mut answer = self.answer_now(request).await?;
        self.config.quirks.stamp(&mut answer);
        Ok(answer)
    }

    async fn answer_now(&self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (mut parts, body) = request.into_parts();
        join_encodings(&mut parts.headers);
        let operation = Operation::of(&parts.method, &parts.uri, &parts.headers);
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner).clone();
        let strike = faults.next(operation);
        let mut body = collect(body).await?;
        self.count(|counts| {
            *counts.requests.entry(operation).or_default() += 1;
            if let Some(strike) = strike {
                *counts.faults.entry(strike.fault.name()).or_default() += 1;
            }
            counts.bytes_in += body.len() as u64;
        });
        if let Some(latency) = self.config.latency {
            tokio::time::sleep(latency).await;
        }
        if let Some(answer) = self.instead(strike, &parts.headers) {
            return answer;
        }
        if let Some(Strike { fault: Fault::FlipRequestBit, draw }) = strike {
            body = flip_bit(&body, draw).into();
        }
        parts.extensions.insert(Arrived { body: body.clone(), strike });
        let method = parts.method.clone();
        let answer = self.service.call(Request::from_parts(parts, Body::from(body))).await;
        let mut answer = answer.map_err(|_| Dropped::NoAnswer)?;
        if operation != Operation::GetObject && answer.headers().get(CONTENT_TYPE).is_some_and(is_xml) {
            answer = map_body(answer, xml::escape_controls).await?;
        }
        let answer = self.spoil(answer, operation, &method, strike).await?;
        self.count(|counts| counts.bytes_out += answer.body().size_hint().exact().unwrap_or(0));
        Ok(answer)
    }

    /// The answer in place of carrying the request out.
    fn instead(&self, strike: Option<Strike>, headers: &HeaderMap) -> Option<Result<Response<Body>, Dropped>> {
        if self.config.quirks.is_skewed(headers) {
            let text = "The difference between the request time and the current time is too large.";
            return Some(error_answer(s3_error!(RequestTimeTooSkewed, "{text}")));
        }
        match strike?.fault {
            Fault::InternalError => Some(error_answer(internal_error())),
            Fault::SlowDown => Some(error_answer(s3_error!(SlowDown, "Please reduce your request rate."))),
            Fault::ResetBefore => Some(Err(Dropped::Fault)),
            Fault::ExpiredToken => Some(error_answer(s3_error!(ExpiredToken, "The provided token has expired."))),
            Fault::BareNotFound => {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::NOT_FOUND;
                Some(Ok(answer))
            }
            Fault::Unheeded => {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Some(Ok(answer))
            }
            Fault::NotImplemented => Some(error_answer(s3_error!(NotImplemented, "It is not implemented."))),
            Fault::ErrorInside => Some(error_answer(internal_error()).map(|mut answer| {
                *answer.status_mut() = StatusCode::OK;
                answer
            })),
            _ => None,
        }
    }

    /// Changes an answer as quirks and faults demand.
    async fn spoil(
        &self,
        answer: Response<Body>,
        operation: Operation,
        method: &Method,
        strike: Option<Strike>,
    ) -> Result<Response<Body>, Dropped> {
        let completed = operation == Operation::CompleteMultipartUpload && answer.status().is_success();
        if completed && self.config.quirks.empty_etag_on_complete {
            return map_body(answer, |bytes| xml::without(&bytes, "ETag")).await;
        }
        if operation == Operation::ListParts && self.config.quirks.misnamed_list_of_parts {
            return map_body(answer, |bytes| {
                String::from_utf8_lossy(&bytes).replace("ListPartsResult", "ListPartsResponse").into()
            })
            .await;
        }
        let failed = answer.status().is_client_error() || answer.status().is_server_error();
        if failed && self.config.quirks.errors_without_message {
            return map_body(answer, |bytes| xml::without(&bytes, "Message")).await;
        }
        let Some(strike) = strike else { return Ok(answer) };
        match strike.fault {
            Fault::CutXml | Fault::CutEntry | Fault::UnclosedXml | Fault::LostEntry
                if answer.headers().get(CONTENT_TYPE).is_some_and(is_xml) =>
            {
                map_body(answer, |bytes| xml::spoiled(&bytes, strike)).await
            }
            Fault::ResetAfter => Err(Dropped::Fault),
            Fault::SlowFirstByte(delay) => {
                tokio::time::sleep(delay).await;
                Ok(answer)
            }
            Fault::FlipResponseBit if *method != Method::HEAD => {
                map_body(answer, |bytes| flip_bit(&bytes, strike.draw).into()).await
            }
            Fault::OverlongResponse if *method != Method::HEAD => {
                map_body(answer, |bytes| [&bytes[..], b"!"].concat().into()).await
            }
            Fault::TruncateResponse if *method != Method::HEAD => truncate(answer).await,
            _ => Ok(answer),
        }
    }
}

fn internal_error() -> S3Error {
    s3_error!(InternalError, "We encountered an internal error. Please try again.")
}

fn error_answer(error: S3Error) -> Result<Response<Body>, Dropped> {
    error.to_http_response().map_err(|_| Dropped::NoAnswer)
}

/// Joins several `Content-Encoding` headers into the list that they stand for. The SDK sends
/// `aws-chunked` as a second one, which `s3s` refuses; the signature covers the joined form.
fn join_encodings(headers: &mut HeaderMap) {
    let values: Vec<&[u8]> = headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    if values.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&values.join(b",".as_slice())) {
        headers.insert(CONTENT_ENCODING, joined);
    }
}

/// Collects a body into memory of its exact size: its frames are slices of larger read buffers,
/// which would live as long as the object.
async fn collect(mut body: Incoming) -> Result<Bytes, Dropped> {
    const TRUSTED: u64 = 64 << 20;
    let expected = body.size_hint().exact().unwrap_or(0).min(TRUSTED);
    let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Dropped::Body)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Replaces an answer's body by what `change` makes of it.
async fn map_body(answer: Response<Body>, change: impl FnOnce(Bytes) -> Bytes) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(|_| Dropped::NoAnswer)?.to_bytes();
    let changed = change(bytes);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(changed.len()));
    Ok(Response::from_parts(parts, Body::from(changed)))
}

/// Announces the whole body, sends half of it and closes the connection.
async fn truncate(answer: Response<Body>) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(|_| Dropped::NoAnswer)?.to_bytes();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let cut = Cut { half: Some(bytes.slice(..bytes.len() / 2)), waited: false, announced: bytes.len() as u64 };
    Ok(Response::from_parts(parts, Body::http_body(cut)))
}

/// A body that gives half of what it announces, then fails.
struct Cut {
    half: Option<Bytes>,
    waited: bool,
    announced: u64,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        // hyper drops what it has not flushed when a body fails; while a body waits, it flushes.
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(std::io::Error::other("a fault cuts the body"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

fn is_xml(content_type: &HeaderValue) -> bool {
    content_type == "application/xml"
}
