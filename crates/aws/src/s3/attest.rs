//! The proof that a written object is at the target.

use super::{
    convert::{bare_tag, md5_of_tag},
    store::{CORRUPT, S3Store},
    wire::plain::{DATE_AGE_MAX_S, Written},
};
use migrate_core::{
    digest::Body,
    model::{Evidence, Key, Modified, Token},
};
use migrate_store::{ByteRange, ErrorKind, ObjectStore as _, Proof, Result, hashing};

impl S3Store {
    /// Whether the target has shown that it holds `body` under `tag`.
    pub(super) async fn proved(&self, proof: Proof, key: &Key, body: &Body, tag: &str) -> Result<bool> {
        Ok(match proof {
            Proof::SignedPayload | Proof::Checksum | Proof::Fsynced => true,
            Proof::Md5Tag => hashing::md5(body.bytes()).await == md5_of_tag(tag).unwrap_or_default(),
            Proof::ReadBack => {
                let read = Box::pin(self.read_once(key, None, None)).await?;
                hashing::sha256(&read.bytes).await == body.sha256()
            }
        })
    }

    /// The token of an object just written. If the answer has no tag, a look provides it; if the answer bounds no time, a
    /// look provides that.
    pub(super) async fn written(&self, key: &Key, size: u64, written: &Written) -> Result<Token> {
        let tag = bare_tag(written.tag.as_deref());
        if !tag.is_empty() {
            let date_s = written.date_s.filter(|_| self.known().dates_writes);
            let Some(date_s) = date_s else {
                return Ok(self.timed(key, Token { size, tag, modified: Modified::Unknown }).await);
            };
            return Ok(Token { size, tag, modified: Modified::By(date_s.saturating_add(DATE_AGE_MAX_S)) });
        }
        match self.head(key).await? {
            Some(head) if head.token.size == size => Ok(head.token),
            _ => Err(self
                .wire
                .writes("write")
                .error(ErrorKind::Conflict, "it is not there as it was written")
                .with_unknown_outcome()
                .on(key)),
        }
    }

    /// What was written, with the time that a look right after it shows: by nothing else is it told from the same bytes that
    /// another writer writes later. The write is done whatever the look comes to.
    async fn timed(&self, key: &Key, written: Token) -> Token {
        match self.head(key).await {
            Ok(Some(head)) if written.agrees_with(&head.token) => head.token,
            Ok(_) => written,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the time of what was written is not known");
                written
            }
        }
    }

    /// Reads an object of parts back, part by part, and compares it with the digests of what was sent.
    pub(super) async fn read_back(&self, key: &Key, token: &Token, evidence: &Evidence) -> Result<()> {
        let mut start = 0;
        for (size, expected) in evidence.parts.iter().filter(|(size, _)| *size > 0) {
            let range = ByteRange { start, end: start + size };
            let read = self.read_once(key, Some(range), Some(token)).await.map_err(|error| error.on(key))?;
            let found = hashing::sha256(&read.bytes).await;
            if found != *expected {
                return Err(self.wire.writes("finish upload of").error(ErrorKind::Corrupt, CORRUPT).on(key));
            }
            start += size;
        }
        Ok(())
    }
}
