//! When an answer is believed: what fails in passing is sent again, and a refusal must come twice.

use migrate_store::{ErrorKind, Result, Retry, StoreError};

/// How often one request is sent if it fails in passing.
pub(crate) const TRIES_MAX: u32 = 4;
/// How often a test of several requests begins.
const TESTS_MAX: u32 = 8;
/// How often a refusal that may be a passing failure must come before it is believed.
pub(crate) const REFUSALS_MIN: u32 = 2;

/// Runs a test of several requests again from its beginning if it fails in passing: after a lost answer the store
/// may no longer be as the test prepared it.
pub(crate) async fn afresh<T, F: Future<Output = Result<T>>>(test: impl Fn() -> F) -> Result<T> {
    let mut tries = 1;
    loop {
        match test().await {
            Err(error) if error.kind().retry() != Retry::Permanent && tries < TESTS_MAX => tries += 1,
            answer => return answer,
        }
    }
}

/// Sends a request again if it fails in passing, unless the failure is one of the `refusals` that are an answer here.
pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(
    refusals: &[ErrorKind],
    send: impl Fn() -> F,
) -> Result<T> {
    let mut tries = 1;
    loop {
        match send().await {
            Err(error)
                if error.kind().retry() != Retry::Permanent
                    && !refusals.contains(&error.kind())
                    && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            answer => return answer,
        }
    }
}

/// `true` for a refusal of an expected kind, `false` if there is no refusal. Other errors stay errors, because they
/// say nothing about the ability.
pub(crate) fn refused(answer: Result<()>, expected: &[ErrorKind]) -> Result<bool, StoreError> {
    match answer {
        Ok(()) => Ok(false),
        Err(error) if expected.contains(&error.kind()) => Ok(true),
        // An endpoint without conditions or checksums lacks the ability.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}
