//! For how long a request is waited for.

use std::time::Duration;

use tokio::time::Instant;

use migrate_store::{Result, requests};

use crate::{failed::Failed, operation::Operation};

/// The slowest transfer that is accepted: a slower request counts as hung.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// The time that every request gets, in addition to the time for its bytes.
const ANSWER_SECONDS_MAX: u64 = 60;

/// Sends a request within a time that grows with the bytes it carries.
pub(crate) async fn within<T>(
    operation: Operation<'_>,
    bytes: u64,
    request: impl Future<Output = Result<T, Failed>>,
) -> Result<T> {
    let (seconds, sent) = (seconds_for(bytes), Instant::now());
    let answer = match tokio::time::timeout(Duration::from_secs(seconds), request).await {
        Ok(answer) => answer.map_err(|error| operation.failed(error)),
        Err(_) => Err(operation.timed_out(seconds)),
    };
    requests::log(operation.name, operation.location, bytes, sent.elapsed(), answer.as_ref().err());
    answer
}

/// How long a request may take that carries so many bytes.
pub(crate) fn seconds_for(bytes: u64) -> u64 {
    ANSWER_SECONDS_MAX + bytes / BYTES_PER_SECOND_MIN
}
