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
                let read = self.read_once(key, None, None).await?;
                hashing::sha256(&read.bytes).await == body.sha256()
            }
        })
    }

    /// The token of an object just written. If the answer has no tag, a look provides it.
    pub(super) async fn written(&self, key: &Key, size: u64, written: &Written) -> Result<Token> {
        let tag = bare_tag(written.tag.as_deref());
        if !tag.is_empty() {
            let date_s = written.date_s.filter(|_| self.known().dates_writes);
            let by = date_s.map(|date_s| Modified::By(date_s.saturating_add(DATE_AGE_MAX_S)));
            return Ok(Token { size, tag, modified: by.unwrap_or_default() });
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
