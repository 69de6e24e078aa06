//! Answers: their bodies, and the failures of S3.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
};

/// The body of an answer: pieces that are sent as they are, without a copy.
#[derive(Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: u64,
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into(), bytes }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.bytes -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

pub(crate) type Answer = Response<Pieces>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Pieces::default());
    *answer.status_mut() = status;
    answer
}

/// An answer with a document.
pub(crate) fn document(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Pieces::from(vec![Bytes::from(text)]));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer with an XML document, given without its first line.
pub(crate) fn xml(root: &str, inside: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inside}</{root}>"
    );
    document(StatusCode::OK, "application/xml", text)
}

/// Text as XML holds it.
pub(crate) fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            control if control < ' ' => {
                let _ = write!(written, "&#{};", u32::from(control));
            }
            other => written.push(other),
        }
    }
    written
}

/// A refusal: its status and S3's name of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) u16, pub(crate) &'static str);

impl Failure {
    pub(crate) const BAD_DIGEST: Self = Self(400, "BadDigest");
    pub(crate) const INVALID: Self = Self(400, "InvalidRequest");
    pub(crate) const INCOMPLETE: Self = Self(400, "IncompleteBody");
    pub(crate) const INVALID_PART: Self = Self(400, "InvalidPart");
    pub(crate) const KEY_TOO_LONG: Self = Self(400, "KeyTooLongError");
    pub(crate) const MALFORMED_XML: Self = Self(400, "MalformedXML");
    pub(crate) const WRONG_SHA256: Self = Self(400, "XAmzContentSHA256Mismatch");
    pub(crate) const DISCARDED: Self = Self(403, "InvalidObjectState");
    pub(crate) const WRONG_SIGNATURE: Self = Self(403, "SignatureDoesNotMatch");
    pub(crate) const DENIED: Self = Self(403, "AccessDenied");
    pub(crate) const NO_BUCKET: Self = Self(404, "NoSuchBucket");
    pub(crate) const NO_KEY: Self = Self(404, "NoSuchKey");
    pub(crate) const NO_UPLOAD: Self = Self(404, "NoSuchUpload");
    pub(crate) const NOT_MODIFIED: Self = Self(304, "NotModified");
    pub(crate) const PRECONDITION: Self = Self(412, "PreconditionFailed");
    pub(crate) const RANGE: Self = Self(416, "InvalidRange");
    pub(crate) const NOT_IMPLEMENTED: Self = Self(501, "NotImplemented");

    pub(crate) fn answer(self) -> Answer {
        let status = StatusCode::from_u16(self.0).expect("the statuses above");
        if status == StatusCode::NOT_MODIFIED {
            return empty(status);
        }
        let code = self.1;
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        );
        document(status, "application/xml", text)
    }
}
