//! Digests off the reactor, for large bodies: hashing a part of 8 MiB takes some ten milliseconds, in which a
//! worker thread of the runtime could answer hundreds of requests.

use bytes::Bytes;

use migrate_core::{
    digest::{self, Body},
    model::Sha256,
};

/// The least number of bytes that a blocking thread hashes. Below it, the handover costs more than it saves.
const OFF_REACTOR_MIN: usize = 128 << 10;

/// A body with its digests, hashed off the reactor if it is large.
pub async fn body(bytes: Bytes) -> Body {
    hashed(bytes, Body::new).await
}

/// The SHA-256 of the bytes.
pub async fn sha256(bytes: &Bytes) -> Sha256 {
    hashed(bytes.clone(), |bytes| digest::sha256(&bytes)).await
}

/// The MD5 of the bytes.
pub async fn md5(bytes: &Bytes) -> [u8; 16] {
    hashed(bytes.clone(), |bytes| digest::md5(&bytes)).await
}

/// Runs `digest` over the bytes. A panic of `digest` goes on in the caller.
async fn hashed<T: Send + 'static>(bytes: Bytes, digest: impl FnOnce(Bytes) -> T + Send + 'static) -> T {
    if bytes.len() < OFF_REACTOR_MIN {
        return digest(bytes);
    }
    match tokio::task::spawn_blocking(move || digest(bytes)).await {
        Ok(digest) => digest,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_digest_is_the_same_wherever_it_is_computed() {
        for length in [0, 1, OFF_REACTOR_MIN - 1, OFF_REACTOR_MIN, OFF_REACTOR_MIN + 1] {
            let bytes = Bytes::from(vec![7; length]);
            assert_eq!(sha256(&bytes).await, digest::sha256(&bytes), "{length}");
        }
    }

    #[tokio::test]
    #[should_panic(expected = "it fails")]
    async fn a_panic_goes_on() {
        hashed(Bytes::from(vec![7; OFF_REACTOR_MIN]), |_| -> () { panic!("it fails") }).await;
    }
}
