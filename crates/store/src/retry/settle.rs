//! Settles a write whose answer was lost by looking at the object.
//!
//! After a lost answer the store can refuse the repeated write because of our own success: its condition no longer
//! holds, or its upload is used up. A look then compares the object with the intended one, properties included. If
//! another writer wrote an equal object, that counts as success too.

use crate::{
    error::ErrorKind,
    hashing,
    object::{ByteRange, Head, ObjectStore, Properties, Result},
    survive::{self, Scope},
};
use migrate_core::{
    digest::Body,
    model::{Aspects, Evidence, Key, Sha256, Token},
};

/// The token of the object at `key` if it is exactly `body` with `properties`.
pub(super) async fn written(
    store: &dyn ObjectStore,
    key: &Key,
    body: &Body,
    properties: &Properties,
) -> Result<Option<Token>> {
    let Some(head) = store.head(key).await?.filter(|head| head.token.size == body.size()) else { return Ok(None) };
    if !same_properties(store, key, &head, properties).await? {
        return Ok(None);
    }
    let same = match head.checksums.sha256 {
        Some(stored) => stored == body.sha256(),
        None => matches(store, key, None, &head.token, body.sha256()).await?,
    };
    Ok(same.then_some(head.token))
}

/// The token of the object at `key` if it equals the parts of `evidence`, with `properties`.
pub(super) async fn finished(
    store: &dyn ObjectStore,
    key: &Key,
    evidence: &Evidence,
    properties: &Properties,
) -> Result<Option<Token>> {
    let size: u64 = evidence.parts.iter().map(|(size, _)| size).sum();
    let Some(head) = store.head(key).await?.filter(|head| head.token.size == size) else { return Ok(None) };
    if !same_properties(store, key, &head, properties).await? {
        return Ok(None);
    }
    if let Some(stored) = head.checksums.crc64nvme {
        return Ok((stored == evidence.crc64nvme).then_some(head.token));
    }
    let mut start = 0;
    for (size, sha256) in &evidence.parts {
        let range = ByteRange { start, end: start + size };
        if *size > 0 && !matches(store, key, Some(range), &head.token, *sha256).await? {
            return Ok(None);
        }
        start = range.end;
    }
    Ok(Some(head.token))
}

/// Reads back and hashes. An object that changed or vanished meanwhile does not match.
async fn matches(
    store: &dyn ObjectStore,
    key: &Key,
    range: Option<ByteRange>,
    token: &Token,
    expected: Sha256,
) -> Result<bool> {
    let read = match store.read(key, range, Some(token)).await {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(hashing::sha256(&read.bytes).await == expected)
}

/// Whether the object has the requested properties, as far as the store keeps them.
async fn same_properties(store: &dyn ObjectStore, key: &Key, head: &Head, asked: &Properties) -> Result<bool> {
    let can = store.capabilities();
    let scope = Scope::new(&can, &can, Aspects::NONE);
    let mut found = head.properties.clone();
    if scope.has_tags() {
        match survive::tags_at(store, key, head).await {
            Ok(tags) => found.tags = tags,
            Err(error) if error.kind() == ErrorKind::Changed => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(scope.properties_differ(asked, &found).is_none())
}
