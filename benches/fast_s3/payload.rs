//! A body as it arrives: each byte is looked at once, on the way in.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::{
    answer::Failure,
    checksum::{Announced, Crc64},
    chunked::Chunked,
    object::MD5_BYTES_MAX,
    signature::Signed,
};

/// A body that was found to be the one that was sent.
pub(crate) struct Payload {
    /// `None` if they were discarded.
    pub(crate) pieces: Option<Vec<Bytes>>,
    pub(crate) size: u64,
    /// `None` above [`MD5_BYTES_MAX`].
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) crc64: u64,
    /// Those that the client has sent.
    pub(crate) checksums: Vec<(HeaderName, HeaderValue)>,
}

/// Bodies up to this size are kept in any case: a client that asks what a server can do reads what it wrote.
const KEPT_BYTES_MIN: u64 = 1024;

/// Bodies above this size are not hashed where they are discarded: a server elsewhere would do that on a machine of its
/// own, and a client whose bodies are signed would wait here for a second hash of the same bytes.
const HASHED_BYTES_MAX: u64 = 1 << 20;

struct Running {
    /// Above this size they are dropped.
    kept_bytes_max: u64,
    pieces: Option<Vec<Bytes>>,
    size: u64,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc64: Crc64,
    announced: Vec<Announced>,
}

impl Running {
    fn take(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(&bytes);
        }
        self.crc64.update(&bytes);
        for announced in &mut self.announced {
            announced.update(&bytes);
        }
        if self.size > self.kept_bytes_max {
            self.pieces = None;
        } else if let Some(pieces) = &mut self.pieces {
            pieces.push(bytes);
        }
    }
}

impl Payload {
    /// Reads a body, and checks it against all that its headers and trailers say of it.
    pub(crate) async fn read(
        headers: &HeaderMap,
        signed: Signed,
        mut body: Incoming,
        discards: bool,
    ) -> Result<Self, Failure> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let form = text("x-amz-content-sha256").unwrap_or_default();
        let number = |name| text(name).and_then(|length| length.parse::<u64>().ok());
        let length = number("x-amz-decoded-content-length").or_else(|| number("content-length"));
        let content_md5 = text("content-md5");
        let mut running = Running {
            kept_bytes_max: if discards { KEPT_BYTES_MIN } else { u64::MAX },
            pieces: Some(Vec::new()),
            size: 0,
            sha256: (form.len() == 64 && !(discards && length.is_some_and(|length| length > HASHED_BYTES_MAX)))
                .then(Sha256::new),
            md5: (content_md5.is_some() || length.is_none_or(|length| length <= MD5_BYTES_MAX)).then(Md5::new),
            crc64: Crc64::new(),
            announced: Announced::of(headers)?,
        };
        let mut chunked = match form {
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Chunked::new(None)),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Some(Chunked::new(Some(signed)))
            }
            "UNSIGNED-PAYLOAD" => None,
            _ if form.len() == 64 => None,
            _ => return Err(Failure::NOT_IMPLEMENTED),
        };
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|_| Failure::INCOMPLETE)?.into_data() else { continue };
            match &mut chunked {
                Some(chunked) => chunked.take(bytes, &mut |piece| running.take(piece))?,
                None => running.take(bytes),
            }
        }
        for (name, value) in chunked.map(Chunked::finish).transpose()?.into_iter().flatten() {
            running.announced.iter_mut().for_each(|announced| announced.announce(&name, &value));
        }
        running.finish(form, length, content_md5)
    }
}

impl Running {
    fn finish(self, form: &str, length: Option<u64>, content_md5: Option<&str>) -> Result<Payload, Failure> {
        if length.is_some_and(|length| length != self.size) {
            return Err(Failure::INCOMPLETE);
        }
        if self.sha256.is_some_and(|sha256| hex::encode(sha256.finalize()) != form) {
            return Err(Failure::WRONG_SHA256);
        }
        let md5: Option<[u8; 16]> = self.md5.map(|md5| md5.finalize().into());
        if content_md5.is_some_and(|wanted| md5.map(|md5| BASE64_STANDARD.encode(md5)).as_deref() != Some(wanted)) {
            return Err(Failure::BAD_DIGEST);
        }
        let checksums = self.announced.into_iter().map(Announced::finish).collect::<Result<_, _>>()?;
        Ok(Payload { pieces: self.pieces, size: self.size, md5, crc64: self.crc64.value(), checksums })
    }
}
