//! What a probe has written, and how it is removed again.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt as _, future::join_all, stream};

use crate::s3::{
    convert::percent_decode,
    wire::{bucket::Wire, plain::Guard},
};
use crate::{deadline::within, patience::patiently};
use migrate_core::model::Key;
use migrate_store::{ErrorKind, Result};

/// How many scratch objects are removed at once: about as many as are asked at.
const AT_ONCE: usize = 16;

/// What was written at all keys of a probe.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Full keys that may hold an object, since a listing may be a moment behind, and whether a write there was
    /// accepted.
    written: Mutex<BTreeMap<String, bool>>,
    /// Whether the bucket keeps old versions.
    versioned: AtomicBool,
}

impl Traces {
    /// Keeps a full key in mind before it is written, and again if a write there was accepted.
    pub(super) fn keep(&self, full_key: String, is_accepted: bool) {
        *held(&self.written).entry(full_key).or_default() |= is_accepted;
    }

    /// Deletes one full key, once.
    pub(super) async fn delete(
        &self,
        wire: &Wire,
        full_key: &str,
        version: Option<String>,
        guard: Guard,
    ) -> Result<()> {
        let request = wire.server.cold().delete(full_key.to_owned(), version, guard.if_match);
        match within(wire.writes("delete"), 0, request).await {
            Ok(version) => {
                self.versioned.fetch_or(version.is_some(), Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes all objects, including those that a server put under another name and leftovers of an earlier probe; in
    /// a versioned bucket each version and marker. After a failed removal it still tries the others.
    pub(super) async fn remove(&self, wire: &Wire, scratch: &Key) -> Result<()> {
        let written = held(&self.written).clone();
        let removals = written.into_iter().map(async |(full_key, is_accepted)| {
            let delete = || self.delete(wire, &full_key, None, Guard::default());
            // An endpoint that accepts no write under a key may refuse the delete too. The listing shows what exists.
            patiently(&[], delete).await.err().filter(|_| is_accepted)
        });
        let deleted: Vec<_> = stream::iter(removals).buffered(AT_ONCE).collect().await;
        let failed = deleted.into_iter().flatten().next();
        let listed = join_all(["", "/"].map(|slash| self.remove_shown(wire, scratch, slash))).await;
        let failed = failed.or(listed.into_iter().find_map(Result::err));
        failed.map_or(Ok(()), |error| Err(error.on(scratch)))
    }

    /// Removes what the listings show past a slash or not; versions also if an object could not be removed.
    async fn remove_shown(&self, wire: &Wire, scratch: &Key, slash: &str) -> Result<()> {
        let objects = self.remove_listed(wire, scratch, slash).await;
        if self.versioned.load(Ordering::Relaxed) {
            return objects.and(self.remove_versions(wire, scratch, slash).await);
        }
        objects
    }

    async fn remove_listed(&self, wire: &Wire, scratch: &Key, slash: &str) -> Result<()> {
        for key in list(wire, scratch, slash).await? {
            patiently(&[], || self.delete(wire, &key, None, Guard::default())).await?;
        }
        Ok(())
    }

    async fn remove_versions(&self, wire: &Wire, scratch: &Key, slash: &str) -> Result<()> {
        let prefix = format!("{}{slash}{}", wire.prefix, scratch.as_str());
        loop {
            let page = || within(wire.reads("list versions of"), 0, wire.server.cold().list_versions(&prefix));
            let page = patiently(&[], page).await?;
            let named = page.entries.into_iter();
            let named = named.filter_map(|one| Some((decoded(one.key?, page.is_encoded)?, one.version?)));
            for (key, version) in named {
                patiently(&[], || self.delete(wire, &key, Some(version.clone()), Guard::default())).await?;
            }
            if page.follows != Some(true) {
                return Ok(());
            }
        }
    }
}

/// The existing full keys that begin with a scratch key, past a slash or not.
pub(super) async fn list(wire: &Wire, scratch: &Key, slash: &str) -> Result<Vec<String>> {
    let prefix = format!("{}{slash}{}", wire.prefix, scratch.as_str());
    let page = || within(wire.reads("list"), 0, wire.server.list(&prefix, None, None, None));
    let page = patiently(&[], page).await?;
    let keys = page.entries.into_iter().filter_map(|object| object.key);
    Ok(keys.filter_map(|key| decoded(key, page.is_encoded)).collect())
}

/// A listed key; `None` if it cannot be decoded.
fn decoded(key: String, is_encoded: bool) -> Option<String> {
    if is_encoded { percent_decode(&key).map(Cow::into_owned) } else { Some(key) }
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
