//! A request before it is signed.

use std::borrow::Cow;

use aws_sdk_s3::error::BoxError;
use bytes::Bytes;

use crate::failed::Failed;
use migrate_core::model::Sha256;

/// What is asked of a server.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    /// With the query.
    pub(super) url: String,
    /// In lower case.
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
    /// The body and its hash, of a write.
    pub(super) body: Option<(Bytes, Sha256)>,
}

impl Asked {
    pub(super) fn new(method: &'static str, url: String) -> Self {
        Self { method, url, headers: Vec::with_capacity(12), body: None }
    }

    /// Sets a header, if there is a value for it. The names of what a user wrote are checked when the request is made.
    pub(super) fn header(&mut self, name: impl Into<Cow<'static, str>>, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.headers.push((name.into(), value.into()));
        }
    }
}

/// The request cannot be made.
pub(super) fn not_made(error: impl Into<BoxError>) -> Failed {
    Failed::NotMade(error.into())
}
