//! The keys that requests are signed with, fetched before they expire, and by one request at a time.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity as Signer;
use tokio::{sync::Mutex, time::Instant};

use crate::{failed::Failed, sdk::failure::root};

/// For how long keys are waited for, as the SDK does.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// How long before their end keys are fetched anew.
const BEFORE_END: Duration = Duration::from_mins(1);
/// How long keys are used that tell no end, as the SDK does.
const NO_END: Duration = Duration::from_mins(15);
/// How long the old keys go on after new ones could not be fetched, or were as old.
const PAUSE: Duration = Duration::from_secs(10);

/// Keys as they were fetched.
#[derive(Clone)]
struct Held {
    signer: Signer,
    fetch_at: SystemTime,
    end: Option<SystemTime>,
}

impl Held {
    fn is_fresh(&self) -> bool {
        let now = SystemTime::now();
        now < self.fetch_at && self.end.is_none_or(|end| now < end)
    }
}

/// The keys of one identity.
pub(super) struct Identity {
    provider: SharedCredentialsProvider,
    held: RwLock<Option<Held>>,
    /// The one who fetches holds it, and leaves the last failure there: who waited meanwhile has the same answer.
    fetching: Mutex<Option<(Instant, String)>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Arc<Self> {
        Arc::new(Self { provider, held: RwLock::default(), fetching: Mutex::default() })
    }

    /// Keys to sign with now.
    pub(super) async fn signer(&self) -> Result<Signer, Failed> {
        match self.held() {
            Some(held) if held.is_fresh() => Ok(held.signer),
            // In memory of its own, which the usual request does not take.
            held => Box::pin(self.signer_anew(held)).await,
        }
    }

    async fn signer_anew(&self, held: Option<Held>) -> Result<Signer, Failed> {
        let (arrived, now) = (Instant::now(), SystemTime::now());
        let valid = held.filter(|held| held.end.is_none_or(|end| now < end));
        let mut failed = match &valid {
            Some(held) if now < held.fetch_at => return Ok(held.signer.clone()),
            // Somebody else fetches, and these are still good.
            Some(held) => match self.fetching.try_lock() {
                Ok(guard) => guard,
                Err(_taken) => return Ok(held.signer.clone()),
            },
            None => self.fetching.lock().await,
        };
        // Another may have fetched while this one waited.
        if let Some(held) = self.held().filter(|held| SystemTime::now() < held.fetch_at) {
            return Ok(held.signer);
        }
        if let Some((_, why)) = failed.as_ref().filter(|(at, _)| *at >= arrived) {
            return Err(Failed::NoCredentials(why.clone()));
        }
        let fetched = self.fetch().await;
        let valid = valid.filter(|held| held.end.is_none_or(|end| SystemTime::now() < end));
        match (fetched, valid) {
            (Ok(fetched), _) => {
                let signer = fetched.signer.clone();
                self.hold(fetched);
                Ok(signer)
            }
            (Err(why), Some(old)) => {
                tracing::warn!(
                    why = why.lines().next(),
                    "new credentials could not be fetched; the old ones still hold"
                );
                let signer = old.signer.clone();
                let again = SystemTime::now() + PAUSE;
                self.hold(Held { fetch_at: old.end.map_or(again, |end| again.min(end)), ..old });
                Ok(signer)
            }
            (Err(why), None) => {
                *failed = Some((Instant::now(), why.clone()));
                Err(Failed::NoCredentials(why))
            }
        }
    }

    /// Fetches keys; the error is the first cause.
    async fn fetch(&self) -> Result<Held, String> {
        let fetched = tokio::time::timeout(FETCH_TIME, self.provider.provide_credentials()).await;
        let credentials = fetched
            .map_err(|_| format!("the credentials' source gives no answer within {} s", FETCH_TIME.as_secs()))?
            .map_err(|error| root(&error))?;
        let (now, end) = (SystemTime::now(), credentials.expiry());
        let early = end.and_then(|end| end.checked_sub(BEFORE_END)).unwrap_or(now + NO_END);
        // Keys that have ended by this machine's clock may be good by the server's.
        let soon = early.max(now + PAUSE);
        let fetch_at = end.filter(|end| now < *end).map_or(soon, |end| soon.min(end));
        Ok(Held { signer: credentials.into(), fetch_at, end })
    }

    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_credential_types::{
        Credentials,
        provider::{ProvideCredentials, error::CredentialsError, future},
    };

    use super::*;

    /// Gives keys that end after some seconds, a number of times.
    #[derive(Debug)]
    struct Giving {
        seconds: u64,
        times: u32,
        asked: Arc<AtomicU32>,
    }

    impl ProvideCredentials for Giving {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let end = SystemTime::now() + Duration::from_secs(self.seconds);
            let given = if number < self.times {
                Ok(Credentials::new(format!("id{number}"), "a-secret", None, Some(end), "test"))
            } else {
                Err(CredentialsError::provider_error("the source is gone"))
            };
            future::ProvideCredentials::new(async {
                tokio::task::yield_now().await;
                given
            })
        }
    }

    fn identity(seconds: u64, times: u32) -> (Arc<Identity>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let giving = Giving { seconds, times, asked: Arc::clone(&asked) };
        (Identity::new(SharedCredentialsProvider::new(giving)), asked)
    }

    async fn id(identity: &Identity) -> String {
        let signer = identity.signer().await.unwrap();
        signer.data::<Credentials>().unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn keys_are_fetched_once_and_then_before_they_end() {
        let (fresh, asked) = identity(3600, 9);
        let all = tokio::join!(id(&fresh), id(&fresh), id(&fresh));
        assert_eq!((&*all.0, &*all.1, &*all.2), ("id0", "id0", "id0"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let (near, asked) = identity(30, 9);
        assert_eq!(id(&near).await, "id0");
        near.hold(Held { fetch_at: SystemTime::now(), ..near.held().unwrap() });
        assert_eq!((id(&near).await, asked.load(Ordering::SeqCst)), ("id1".to_owned(), 2));
    }

    #[tokio::test]
    async fn old_keys_go_on_while_they_hold_and_no_longer() {
        let (identity, asked) = identity(30, 1);
        assert_eq!(id(&identity).await, "id0");
        identity.hold(Held { fetch_at: SystemTime::now(), ..identity.held().unwrap() });
        assert_eq!((id(&identity).await, id(&identity).await), ("id0".to_owned(), "id0".to_owned()));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a failure is not repeated at once");
        identity.hold(Held { fetch_at: SystemTime::now(), end: Some(SystemTime::now()), ..identity.held().unwrap() });
        let told = identity.signer().await.unwrap_err();
        assert!(matches!(&told, Failed::NoCredentials(why) if why == "the source is gone"), "{told:?}");
        assert!(!format!("{identity:?}").contains("a-secret"));
    }

    #[tokio::test]
    async fn old_keys_are_not_used_beyond_their_end_whatever_pause_a_failure_brings() {
        let (identity, _) = identity(1, 1);
        assert_eq!(id(&identity).await, "id0");
        identity.hold(Held { fetch_at: SystemTime::now(), ..identity.held().unwrap() });
        assert_eq!(id(&identity).await, "id0", "they hold for a moment more");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(identity.signer().await.is_err());
    }

    #[tokio::test]
    async fn who_waits_for_keys_shares_the_failure_of_the_one_who_fetches() {
        let (identity, asked) = identity(30, 0);
        let all = tokio::join!(identity.signer(), identity.signer(), identity.signer());
        assert!(all.0.is_err() && all.1.is_err() && all.2.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(identity.signer().await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a later request asks again");
    }
}
