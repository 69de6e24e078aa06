//! [`S3Store`] over reads, writes and listings, with the cold path; [`S3Client`] makes it.

use super::client::{S3Config, S3Wire};
use super::convert::{bare_tag, head_of, md5_of_tag, sent_metadata, tagging_header, token};
use super::counts::TagCounts;
use super::wire::bucket::{How, Wire};
use super::wire::plain::{Carried, Guard};
use super::wire::server::Connected;
use super::{listing, probe, scratch};
use crate::{deadline::within, operation::Operation};
use async_trait::async_trait;
use migrate_core::{
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};
use migrate_store::{
    BeforeSending, ByteRange, Capabilities, Condition, EndpointId, Entry, ErrorKind, Head, Listing, ObjectStore, Part,
    Proof, Properties, Read, Result, StoreError, Upload, UploadTags, hashing, must_be_gone,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU32},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How often a write is repeated if its bytes did not arrive as sent.
const CORRUPT_WRITES_MAX: u32 = 3;
/// The failure of a write whose bytes did not arrive as sent.
pub(super) const CORRUPT: &str = "what it holds is not what was sent";

/// A connection to one endpoint as one identity; cheap to clone, shared by all its stores.
#[derive(Debug, Clone)]
pub struct S3Client {
    client: Connected,
    config: Arc<S3Config>,
    endpoint: EndpointId,
    probing: Arc<Mutex<()>>,
}

impl S3Client {
    /// Prepares the connection; sends nothing to S3 yet.
    pub async fn connect(config: S3Config) -> Result<Self> {
        let wire = S3Wire::chosen(&config.site)?;
        Self::connect_by(config, wire).await
    }

    /// The same, by a way of one's own choice.
    pub async fn connect_by(config: S3Config, wire: S3Wire) -> Result<Self> {
        let client = Connected::new(&config, wire).await?;
        Ok(Self { client, endpoint: config.endpoint_id(), config: Arc::new(config), probing: Arc::default() })
    }

    /// The store of a bucket and prefix; the prefix is empty or ends in `/`.
    pub fn store(&self, bucket: &str, prefix: &str) -> S3Store {
        let site = &self.config.site;
        S3Store {
            wire: Wire {
                server: self.client.bucket(&self.config, bucket),
                prefix: prefix.into(),
                // As the plan spells it: nothing after the bucket's name if there is no prefix.
                location: format!("s3://{site}/{bucket}{}{prefix}", if prefix.is_empty() { "" } else { "/" }).into(),
            },
            endpoint: self.endpoint.clone(),
            scratch: scratch::scratch_key(),
            probing: Arc::clone(&self.probing),
            capabilities: RwLock::new(Capabilities::unproved()),
            tag_counts: TagCounts::new(self.config.endpoint.as_ref().map(|endpoint| &*endpoint.url)),
            md5_tags: AtomicU32::new(0),
            other_tags: AtomicU32::new(0),
        }
    }
}

/// Objects under a prefix of a bucket.
#[derive(Debug)]
pub struct S3Store {
    pub(super) wire: Wire,
    endpoint: EndpointId,
    /// The key that probes write.
    pub(super) scratch: Key,
    /// A probe holds it: two stores of one place share the scratch key, and would collide there.
    pub(super) probing: Arc<Mutex<()>>,
    pub(super) capabilities: RwLock<Capabilities>,
    pub(super) tag_counts: TagCounts,
    /// How many `ETag`s were the MD5 of their object, and how many looked like an MD5 and were none.
    pub(super) md5_tags: AtomicU32,
    pub(super) other_tags: AtomicU32,
}

impl S3Store {
    /// Lets probes write under the scratch key of this migration, so that a later probe removes the leftovers of a
    /// killed one.
    #[must_use]
    pub fn probing_for(mut self, name: &str) -> Self {
        self.scratch = scratch::scratch_of(name, &self.wire.location);
        self
    }

    pub(super) fn known(&self) -> Capabilities {
        self.capabilities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the key can exist: S3 has no object without a key, which the empty key is without a prefix.
    pub(super) fn holds(&self, key: &Key) -> bool {
        !(self.wire.prefix.is_empty() && key.as_str().is_empty())
    }

    /// Looks in place of a condition that this endpoint ignores, right before our own write is repeated. The first
    /// look was [`conditional`](migrate_store::conditional)'s.
    pub(super) async fn must_hold_still(&self, key: &Key, condition: &Condition) -> Result<()> {
        let Condition::Matches(token) = condition else { return Ok(()) };
        let began = Instant::now();
        let shown = self.head(key).await.map_err(StoreError::with_unknown_outcome)?;
        if shown.is_some_and(|head| token.agrees_with(&head.token)) {
            return must_be_young(self.wire.writes("write"), began).map_err(StoreError::with_unknown_outcome);
        }
        let detail = "a damaged write is to be repeated, and the object there is another one by now";
        Err(self.wire.writes("write").error(ErrorKind::Precondition, detail).with_unknown_outcome().on(key))
    }

    /// Fails, in a way that may pass, if a look still shows the version that an answer says was deleted.
    async fn must_have_gone(&self, key: &Key, condition: &Condition) -> Result<()> {
        let Condition::Matches(token) = condition else { return Ok(()) };
        if !self.head(key).await?.is_some_and(|head| token.agrees_with(&head.token)) {
            return Ok(());
        }
        let detail = "an answer says that it was deleted, and a look shows the same version";
        Err(self.wire.writes("delete").error(ErrorKind::Unavailable, detail).with_unknown_outcome().on(key))
    }

    fn must_hold(&self, key: &Key, operation: &'static str) -> Result<()> {
        match self.refuses(key) {
            None => Ok(()),
            Some(reason) => Err(self.wire.reads(operation).error(ErrorKind::KeyUnholdable, reason).on(key)),
        }
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self) -> &str {
        &self.wire.location
    }

    fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    fn capabilities(&self) -> Capabilities {
        self.known()
    }

    async fn probe(&self) -> Result<Capabilities> {
        let _alone = self.probing.lock().await;
        let found = probe::probe(&self.wire, &self.scratch).await?;
        self.adopt(found.clone());
        Ok(found)
    }

    fn adopt(&self, capabilities: Capabilities) {
        *self.capabilities.write().unwrap_or_else(PoisonError::into_inner) = capabilities;
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(listing::S3Listing::new(self.wire.clone(), range, None))
    }

    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        let page = listing::S3Listing::new(self.wire.clone(), range, Some(1)).next().await?;
        Ok(page.and_then(|page| page.into_iter().next()))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        if !self.holds(key) {
            return Ok(None);
        }
        let operation = self.wire.reads("look at");
        let look = |part| within(operation, 0, self.wire.server.head(self.wire.full_key(key), part, true));
        let mut head = match look(None).await {
            Ok(shown) => {
                // Such an answer must not pass for an empty object.
                let unsized_head = || operation.error(ErrorKind::Garbled, "the answer has no Content-Length").on(key);
                let size = shown.length.ok_or_else(unsized_head)?;
                head_of(shown, size)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.on(key)),
        };
        let parts = head.token.tag.rsplit_once('-').and_then(|(_, count)| count.parse::<u32>().ok());
        if parts.is_some_and(|parts| parts > 1) {
            // Some servers lack `partNumber` on HEAD, others ignore it: then the layout of the parts stays unknown.
            if let Ok(first) = look(Some(1)).await {
                head.part_size = first.length.filter(|size| (1..head.token.size).contains(size));
            }
        }
        self.tag_counts.complete(&mut head, &self.known());
        Ok(Some(head))
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let request = self.wire.server.tags(self.wire.full_key(key));
        let tags = match within(self.wire.reads("read tags of"), 0, request).await {
            Ok(tags) => tags,
            // Some servers say so that there are none.
            Err(error) if error.detail().starts_with("NoSuchTagSet") => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.on(key)),
        };
        self.tag_counts.were_read();
        Ok(tags)
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        if !self.holds(key) {
            return Err(self.wire.reads("read").error(ErrorKind::NotFound, "S3 has no empty key").on(key));
        }
        let read = self.read_once(key, range, pin).await.map_err(|error| error.on(key))?;
        match range {
            Some(_) => Ok(read),
            None => self.attest(key, read).await.map_err(|error| error.on(key)),
        }
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        self.must_hold(key, "write")?;
        let known = self.known();
        let mut condition = condition.clone();
        for _ in 0..CORRUPT_WRITES_MAX {
            let guard = Guard::of(&condition, known.on_put());
            let how = How { with_crc: known.keeps_crc64nvme, metadata: known.metadata };
            let written = self
                .wire
                .put(key, body, properties, guard, how)
                .await
                .map_err(|error| refused(error, &condition).on(key))?;
            let token = self.written(key, body.size(), &written).await?;
            // Whatever goes wrong from here on, the object may well be there.
            let proved = self.proved(known.proof, key, body, &token.tag).await;
            if proved.map_err(StoreError::with_unknown_outcome)? {
                return Ok(token);
            }
            // The object there is our own damaged write: replace exactly that.
            if condition != Condition::None {
                condition = Condition::Matches(token);
                if !known.on_put().keeps(&condition) {
                    self.must_hold_still(key, &condition).await?;
                }
            }
        }
        Err(self.wire.writes("write").error(ErrorKind::Corrupt, CORRUPT).on(key))
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        if !self.holds(key) {
            return Some("S3 has no empty key");
        }
        let known = self.capabilities.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.refuses(key, self.wire.prefix.len())
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.must_hold(key, "begin upload of")?;
        let known = self.known();
        let operation = self.wire.writes("begin upload of");
        let metadata = sent_metadata(properties, known.metadata, operation).map_err(|error| error.on(key))?;
        // An endpoint that drops tags may also refuse them: they are set on the finished object.
        let tagging = (known.upload_tags == UploadTags::AtBegin).then(|| tagging_header(&properties.tags)).flatten();
        let carried = Carried { properties, metadata, tagging };
        before.sending().await?;
        let request = self.wire.server.cold().begin(self.wire.full_key(key), carried, known.keeps_crc64nvme);
        match within(operation, 0, request).await.map_err(|error| error.on(key))? {
            Some(id) if !id.is_empty() => Ok(Upload { key: key.clone(), id }),
            _ => Err(operation.error(ErrorKind::Other, "no upload id came back").with_unknown_outcome().on(key)),
        }
    }

    async fn put_part(&self, upload: &Upload, number: u32, _offset: u64, body: &Body) -> Result<Part> {
        let known = self.known();
        for _ in 0..CORRUPT_WRITES_MAX {
            let written = self
                .wire
                .put_part(upload, number, body, known.keeps_crc64nvme)
                .await
                .map_err(|error| error.on(&upload.key))?;
            let tag = bare_tag(written.tag.as_deref());
            // A part cannot be read back; `finish_upload` reads the whole if no other proof exists.
            let arrived = known.proof != Proof::Md5Tag
                || hashing::md5(body.bytes()).await == md5_of_tag(&tag).unwrap_or_default();
            if arrived {
                return Ok(Part { number, size: body.size(), tag: tag.into() });
            }
        }
        Err(self.wire.writes("write part of").error(ErrorKind::Corrupt, CORRUPT).on(&upload.key))
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.wire.list_parts(upload).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        _properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        let known = self.known();
        let total: u64 = parts.iter().map(|part| part.size).sum();
        let guard = Guard::of(condition, known.on_finish());
        let crc = known.keeps_crc64nvme.then_some(evidence.crc64nvme);
        let request = self.wire.server.cold().complete(self.wire.full_key(&upload.key), &upload.id, parts, crc, guard);
        // S3 joins the parts before it answers, which takes minutes for the largest objects.
        let answer = within(self.wire.writes("finish upload of"), total, request).await;
        let written = match answer {
            Ok(written) => written,
            Err(error) => return Err(self.wire.no_upload(upload, refused(error, condition)).await),
        };
        let token = self.written(&upload.key, total, &written).await?;
        if known.proof == Proof::ReadBack {
            self.read_back(&upload.key, &token, evidence).await.map_err(StoreError::with_unknown_outcome)?;
        }
        Ok(token)
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        let operation = self.wire.writes("set tags of");
        let (look, began) = (self.wire.server.head(self.wire.full_key(key), None, false), Instant::now());
        let changed = || operation.error(ErrorKind::Changed, "it is no longer the version that was written").on(key);
        let shown = match within(self.wire.reads("look at"), 0, look).await {
            Ok(shown) => shown,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(changed()),
            Err(error) => return Err(error.on(key)),
        };
        let is_pinned = |size| pin.agrees_with(&token(size, shown.tag.as_deref(), shown.modified_s));
        if !shown.length.is_some_and(is_pinned) {
            return Err(changed());
        }
        must_be_young(operation, began)?;
        let request = self.wire.server.cold().set_tags(self.wire.full_key(key), shown.version, tags);
        within(operation, 0, request).await.map_err(|error| error.on(key))
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.wire.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.wire.list_uploads(key).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        if !self.holds(key) {
            return Ok(());
        }
        let guard = Guard::of(condition, self.known().on_delete());
        let request = self.wire.server.cold().delete(self.wire.full_key(key), None, guard.if_match);
        match within(self.wire.writes("delete"), 0, request).await {
            Ok(_) => self.must_have_gone(key, condition).await,
            Err(error) if error.kind() == ErrorKind::NotFound => must_be_gone(self, "delete", key).await,
            // The condition does not hold either if the object is already gone.
            Err(error) if error.kind() == ErrorKind::Precondition && self.head(key).await?.is_none() => {
                must_be_gone(self, "delete", key).await
            }
            Err(error) => Err(error.on(key)),
        }
    }
}

/// The longest that a look may take right before a write that no condition protects. What the layers above have asked is
/// older then than they allow for.
const LOOK_TIME_MAX: Duration = Duration::from_secs(5);

/// Fails, in a way that may pass, if a look has taken too long to write by it.
fn must_be_young(operation: Operation<'_>, began: Instant) -> Result<()> {
    if began.elapsed() <= LOOK_TIME_MAX {
        return Ok(());
    }
    let detail =
        format!("the look before it took longer than {} s, which is too old to write by", LOOK_TIME_MAX.as_secs());
    Err(operation.error(ErrorKind::Unavailable, detail))
}

/// A write under `If-Match` gets 404 if the object is gone: its condition does not hold.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
fn refused(error: StoreError, condition: &Condition) -> StoreError {
    match (error.kind(), condition) {
        (ErrorKind::NotFound, Condition::Matches(_)) => error.of_kind(ErrorKind::Precondition),
        _ => error,
    }
}
