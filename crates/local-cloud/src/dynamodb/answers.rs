//! Answers, and the errors of the protocol.

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc32IsoHdlc;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::json;

/// The body of an answer, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// A success.
    pub(super) fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, body: body.into() }
    }

    /// An error with a code of the protocol.
    pub(super) fn refusal(code: &str, message: &str) -> Self {
        let kind = match code {
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException"
            | "UnknownOperationException"
            | "AccessDeniedException"
            | "ExpiredTokenException" => format!("com.amazon.coral.service#{code}"),
            _ => format!("com.amazonaws.dynamodb.v20120810#{code}"),
        };
        let status = if code == "InternalServerError" { 500 } else { 400 };
        Self { status, body: json!({ "__type": kind, "message": message }).to_string().into() }
    }

    /// The answer as it goes over the wire, with the checksum of this body or of another.
    pub(super) fn send(self, checked: &[u8]) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        headers.insert("x-amz-crc32", HeaderValue::from(crc_fast::checksum(Crc32IsoHdlc, checked)));
        response
    }
}
