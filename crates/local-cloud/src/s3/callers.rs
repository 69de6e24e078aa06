//! Who sends a request, for `s3s`: the secrets that signatures are checked with, and the caller of a request.

use std::sync::Arc;

use hyper::StatusCode;
use s3s::{
    S3Request, S3Result,
    auth::{S3Auth, SecretKey},
};

use super::errors::custom_error;
use crate::{caller::Caller, identities::Identities};

/// The caller of a request; the gate adds it to every request.
pub(super) fn caller_of<T>(request: &S3Request<T>) -> Arc<Caller> {
    request.extensions.get::<Arc<Caller>>().expect("the gate adds it to every request").clone()
}

#[async_trait::async_trait]
impl S3Auth for Identities {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if let Some(secret) = self.secret(access_key) {
            return Ok(secret.into());
        }
        let text = "The AWS Access Key Id you provided does not exist in our records.";
        Err(custom_error(StatusCode::FORBIDDEN, "InvalidAccessKeyId", text))
    }
}
