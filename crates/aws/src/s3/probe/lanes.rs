//! Asks for every ability, and removes what was written.
//!
//! What does not depend on each other is asked at the same time, each at a scratch key of its own: a probe is some
//! eighty requests, and one after the other they would take that many times the way to the server.

use std::sync::Mutex;

use bytes::Bytes;
use futures::future::join_all;
use tokio::task::JoinSet;

use super::{
    ask::{CONTENT, Probe, plain},
    conditions::Act,
    traces::Traces,
};
use crate::s3::{
    convert::md5_of_tag,
    wire::{bucket::Wire, plain::Guard},
};
use migrate_core::{
    digest::{Body, md5},
    model::Key,
};
use migrate_store::{Capabilities, PartRules, Proof, Result};

/// Tests everything, then removes what it has written, whatever the outcome.
///
/// It runs in a task of its own, because its futures are deep and stand below a whole run.
pub(in crate::s3) async fn probe(wire: &Wire, key: &Key) -> Result<Capabilities> {
    let (wire, key) = (wire.clone(), key.clone());
    let mut task = JoinSet::new();
    task.spawn(async move {
        let traces = Traces::default();
        let lanes = Lanes::new(&wire, &key, &traces);
        let found = lanes.ask().await;
        let removed = lanes.remove().await;
        let found = found?;
        removed?;
        Ok(found)
    });
    match task.join_next().await.expect("one task was spawned") {
        Ok(found) => found,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// What is asked at the same time, each at a key of its own.
struct Lanes<'a> {
    kept: Probe<'a>,
    checksums: Probe<'a>,
    wrong_body: Probe<'a>,
    metadata: Probe<'a>,
    put_absent: Probe<'a>,
    put_matches: Probe<'a>,
    finish_absent: Probe<'a>,
    finish_matches: Probe<'a>,
    deleted: Probe<'a>,
    dated: Probe<'a>,
}

impl<'a> Lanes<'a> {
    /// Their keys begin with the scratch key, so that one listing shows all of them, and are hardly longer, as a prefix may
    /// leave little room.
    fn new(wire: &'a Wire, scratch: &Key, traces: &'a Traces) -> Self {
        let body = Body::new(Bytes::from_static(CONTENT));
        let at = |name: &str| Probe {
            wire,
            key: Key::new(format!("{}{name}", scratch.as_str())),
            body: body.clone(),
            uploads: Mutex::default(),
            traces,
        };
        Self {
            kept: at(""),
            checksums: at("-c"),
            wrong_body: at("-b"),
            metadata: at("-w"),
            put_absent: at("-a"),
            put_matches: at("-m"),
            finish_absent: at("-f"),
            finish_matches: at("-g"),
            deleted: at("-d"),
            dated: at("-t"),
        }
    }

    /// Removes what all have written, whatever became of them.
    async fn remove(&self) -> Result<()> {
        let begins_uploads = [&self.kept, &self.finish_absent, &self.finish_matches];
        let Probe { wire, key, traces, .. } = &self.kept;
        // Before: a finish whose answer was lost cannot make an object any more once its upload is gone.
        let aborted = join_all(begins_uploads.map(Probe::abort_uploads)).await;
        let removed = traces.remove(wire, key).await;
        aborted.into_iter().collect::<Result<()>>().and(removed)
    }

    async fn ask(&self) -> Result<Capabilities> {
        // The first write needs no special ability: if it fails, the target cannot be written at all.
        let tag = self.kept.write(&self.kept.body, &plain(), Guard::default(), false, &[]).await?.tag;
        // All go on to their end, so that nothing is written after the removal.
        let (kept, crc, body, words, put_absent, put_matches, finish_absent, finish_matches, deleted, dated) = tokio::join!(
            Box::pin(self.kept.what_is_kept()),
            Box::pin(self.checksums.checksums()),
            Box::pin(self.wrong_body.refuses_wrong_body()),
            Box::pin(self.metadata.metadata()),
            Box::pin(self.put_absent.absent(Act::Put)),
            Box::pin(self.put_matches.matches(Act::Put)),
            Box::pin(self.finish_absent.absent(Act::Finish)),
            Box::pin(self.finish_matches.matches(Act::Finish)),
            Box::pin(self.deleted.matches(Act::Delete)),
            Box::pin(self.dated.dates_writes()),
        );
        let (kept, crc, wrong_body_is_refused, metadata) = (kept?, crc?, body?, words?);
        // Alone: whatever keeps a write under a key from success, but the key, must be the same for the write beside it.
        let keys = Box::pin(self.kept.keys()).await?;
        let tag_is_md5 = tag.as_deref().and_then(|tag| md5_of_tag(tag.trim_matches('"'))) == Some(md5(CONTENT));
        let proof = if wrong_body_is_refused {
            Proof::SignedPayload
        } else if crc.wrong_refused {
            Proof::Checksum
        } else if tag_is_md5 {
            Proof::Md5Tag
        } else {
            Proof::ReadBack
        };
        Ok(Capabilities {
            proof,
            put_if_absent: put_absent?,
            put_if_matches: put_matches?,
            finish_if_absent: finish_absent?,
            finish_if_matches: finish_matches?,
            delete_if_matches: deleted?,
            keeps_crc64nvme: crc.kept,
            dates_writes: dated?,
            properties: kept.properties,
            tags: kept.tags.is_some(),
            tag_count: kept.tags.unwrap_or(false),
            upload_tags: kept.upload_tags,
            metadata,
            keys,
            parts: PartRules::S3,
        })
    }
}
