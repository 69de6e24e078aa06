//! One version of an object: found by its key and id, and changed in place.

use std::sync::Arc;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use s3s::{S3Result, s3_error};

use super::{
    objects::{Content, Stored},
    service::Service,
    state::State,
};

/// Finds a version with content, or says why there is none.
pub(super) fn find(state: &State, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Arc<Stored>> {
    let bucket = state.bucket(bucket)?;
    let versions = bucket.keys.get(key.as_bytes()).map_or(&[] as &[_], Vec::as_slice);
    let stored = match version {
        None => versions.last(),
        Some(version) => versions.iter().find(|stored| &*stored.version == version),
    };
    let mut error = match stored {
        Some(stored) if stored.content.is_some() => return Ok(stored.clone()),
        Some(_) if version.is_some() => {
            s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")
        }
        None if version.is_some() => return Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
        _ => s3_error!(NoSuchKey, "The specified key does not exist."),
    };
    if stored.is_some() {
        let marker = (HeaderName::from_static("x-amz-delete-marker"), HeaderValue::from_static("true"));
        error.set_headers(HeaderMap::from_iter([marker]));
    }
    Err(error)
}

impl Service {
    /// Changes a version in place, and returns it.
    pub(super) fn change<T>(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        change: impl FnOnce(&mut Content) -> S3Result<T>,
    ) -> S3Result<(T, Option<String>)> {
        let mut state = self.buckets.write();
        let found = find(&state, bucket, key, version)?;
        let bucket = state.bucket_mut(bucket)?;
        let stored = bucket.version_mut(key, version).expect("it was just found");
        let changed = change(stored.content.as_mut().expect("only versions with content are found"))?;
        Ok((changed, bucket.shown_version(&found)))
    }
}
