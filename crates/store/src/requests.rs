//! The log of what is asked of places, in one form for all of them: a request to a server, or an operation on files.

use std::time::Duration;

use crate::error::{ErrorKind, StoreError};

/// Logs what was asked, where, what came of it, the bytes that it carried there, and how long it took. Neither the key
/// nor the words of an answer are told here: they may name a person.
pub fn log(operation: &'static str, place: &str, bytes: u64, took: Duration, failed: Option<&StoreError>) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match failed.map(StoreError::kind) {
        None => tracing::trace!(operation, place, outcome = "done", bytes, took_ms, "request"),
        // An answer, as good as another.
        Some(kind @ (ErrorKind::NotFound | ErrorKind::Precondition | ErrorKind::NoUpload)) => {
            tracing::trace!(operation, place, outcome = kind.code(), bytes, took_ms, "request");
        }
        Some(kind) => tracing::debug!(operation, place, outcome = kind.code(), bytes, took_ms, "request failed"),
    }
}
