//! A request before it is signed.

use aws_sdk_s3::error::BoxError;
use bytes::Bytes;
use hyper::{
    Method,
    header::{HeaderName, HeaderValue},
};

use crate::failed::Failed;
use migrate_core::model::Sha256;

/// What is asked of a server.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body and its hash, of a write.
    pub(super) body: Option<(Bytes, Sha256)>,
}

impl Asked {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::with_capacity(12), body: None }
    }

    /// Sets a header, if there is a value for it.
    pub(super) fn header<V>(&mut self, name: HeaderName, value: Option<V>) -> Result<(), Failed>
    where
        V: TryInto<HeaderValue, Error: Into<BoxError>>,
    {
        if let Some(value) = value {
            self.headers.push((name, value.try_into().map_err(not_made)?));
        }
        Ok(())
    }
}

/// The request cannot be made.
pub(super) fn not_made(error: impl Into<BoxError>) -> Failed {
    Failed::NotMade(error.into())
}
