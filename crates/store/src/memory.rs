//! An object store in memory, for tests and examples: it allows no false assumptions.
//!
//! It has the full semantics (conditions, properties, tags, multipart) and the habits of real servers that code
//! tends to forget: a write does not return the time that the listing will show, pages are small, a missing
//! capability is *ignored*, not refused, and capabilities are unknown before a probe.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{
        BeforeSending, ByteRange, Checksums, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload,
    },
};
use migrate_core::{
    capability::{Capabilities, Condition, Honoured, IfMatch, KeyRules, MetadataForm, PartRules, Proof, UploadTags},
    digest::Body,
    model::{Evidence, Key, KeyRange, Modified, Timestamp, Token},
};

/// An object store in memory. Clones share its objects.
#[derive(Clone)]
pub struct MemoryStore {
    location: Arc<str>,
    state: Arc<Mutex<State>>,
}

/// One object of a [`MemoryStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The whole body.
    pub bytes: Bytes,
    /// Headers, metadata and tags.
    pub properties: Properties,
    /// The version that a listing shows.
    pub token: Token,
    /// Size of the first part, if it was written in parts.
    pub part_size: Option<u64>,
    /// CRC-64/NVME from the time of the write: corrupting the bytes does not change it.
    pub crc64nvme: u64,
}

struct State {
    truth: Capabilities,
    known: Capabilities,
    page_size: usize,
    /// Counts writes; the source of versions, times and upload ids.
    clock: u64,
    objects: BTreeMap<Key, Object>,
    uploads: BTreeMap<String, Pending>,
}

struct Pending {
    key: Key,
    properties: Properties,
    begun: Timestamp,
    parts: BTreeMap<u32, (Part, Body)>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("location", &self.location).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// A store with every ability, parts of at least one byte and pages of 1,000.
    pub fn new(location: &str) -> Self {
        let capabilities = Capabilities {
            proof: Proof::SignedPayload,
            put_if_absent: true,
            put_if_matches: IfMatch::Quoted,
            finish_if_absent: true,
            finish_if_matches: IfMatch::Quoted,
            delete_if_matches: IfMatch::Quoted,
            keeps_crc64nvme: true,
            dates_writes: true,
            properties: true,
            tags: true,
            tag_count: true,
            upload_tags: UploadTags::AtBegin,
            metadata: MetadataForm::Raw,
            keys: KeyRules::ALL,
            parts: PartRules { size_min: 1, ..PartRules::S3 },
        };
        let state = State {
            truth: capabilities,
            known: Capabilities::unproved(),
            page_size: 1_000,
            clock: 0,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        };
        Self { location: location.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// Sets how many objects a page of a listing holds, at least one.
    #[must_use]
    pub fn with_page_size(self, page_size: usize) -> Self {
        self.state().page_size = page_size.max(1);
        self
    }

    /// Sets the abilities of the store. It silently ignores what it lacks, as some servers do.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        self.state().truth = capabilities;
        self
    }

    /// Writes an object past all rules, as an application would.
    pub fn put_raw(&self, key: &str, bytes: impl Into<Bytes>, properties: Properties) -> Token {
        let body = Body::new(bytes.into());
        let mut state = self.state();
        let token = state.next_token(body.size());
        state.objects.insert(key.into(), Object::new(&body, properties, token.clone(), None));
        token
    }

    /// Changes bytes in place without a trace: token and stored checksum stay.
    ///
    /// # Panics
    /// If there is no such object, or the size changes.
    pub fn corrupt(&self, key: &str, bytes: impl Into<Bytes>) {
        let mut state = self.state();
        let object = state.objects.get_mut(&Key::from(key)).expect("the object to corrupt is there");
        let bytes = bytes.into();
        assert_eq!(bytes.len(), object.bytes.len(), "rot does not change the size");
        object.bytes = bytes;
    }

    /// Removes an object past all rules; `true` if there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.state().objects.remove(&Key::from(key)).is_some()
    }

    /// A copy of all objects.
    pub fn snapshot(&self) -> BTreeMap<Key, Object> {
        self.state().objects.clone()
    }

    /// The bytes of one object; `None` if it is absent.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(&Key::from(key)).map(|object| object.bytes.clone())
    }

    /// How many uploads of all keys are unfinished.
    pub fn unfinished_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, operation: &'static str, key: &Key, detail: &str) -> StoreError {
        StoreError::new(kind, operation, &self.location, detail).on(key)
    }

    fn precondition(&self, operation: &'static str, key: &Key) -> StoreError {
        self.error(ErrorKind::Precondition, operation, key, "the object there is not the one that was expected")
    }

    fn no_upload(&self, operation: &'static str, upload: &Upload) -> StoreError {
        self.error(ErrorKind::NoUpload, operation, &upload.key, "there is no such upload")
    }
}

impl Object {
    fn new(body: &Body, properties: Properties, token: Token, part_size: Option<u64>) -> Self {
        Self { bytes: body.bytes().clone(), properties, token, part_size, crc64nvme: body.crc64nvme() }
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn next_token(&mut self, size: u64) -> Token {
        let tick = self.tick();
        Token { size, tag: format!("v{tick}").into(), modified: i64::try_from(tick).ok().into() }
    }

    /// Whether a write may go ahead. A condition that the store does not honour always holds.
    fn holds(&self, key: &Key, condition: &Condition, honoured: Honoured) -> bool {
        let object = self.objects.get(key);
        match condition {
            Condition::Absent if honoured.absent => object.is_none(),
            Condition::Matches(token) if honoured.matches.is_honoured() => {
                object.is_some_and(|object| token.agrees_with(&object.token))
            }
            _ => true,
        }
    }

    fn kept(&self, properties: &Properties) -> Properties {
        let mut kept = properties.clone();
        if !self.truth.properties {
            kept.headers.clear();
            kept.metadata.clear();
        }
        if !self.truth.tags {
            kept.tags.clear();
        }
        kept
    }

    /// Stores an object and returns its token as the answer to a write shows it: with the time of the answer, or without any.
    fn store(&mut self, key: &Key, body: &Body, properties: &Properties, part_size: Option<u64>) -> Token {
        let token = self.next_token(body.size());
        let object = Object::new(body, self.kept(properties), token.clone(), part_size);
        self.objects.insert(key.clone(), object);
        let modified = match token.modified {
            Modified::At(tick) if self.truth.dates_writes => Modified::By(tick),
            _ => Modified::Unknown,
        };
        Token { modified, ..token }
    }

    fn head(&self, object: &Object) -> Head {
        let mut properties = object.properties.clone();
        let tags = std::mem::take(&mut properties.tags);
        Head {
            left_behind: Vec::new(),
            archived: false,
            token: object.token.clone(),
            properties,
            tag_count: self.truth.tag_count.then(|| u32::try_from(tags.len()).unwrap_or(u32::MAX)),
            checksums: Checksums {
                crc64nvme: self.truth.keeps_crc64nvme.then_some(object.crc64nvme),
                ..Checksums::default()
            },
            part_size: object.part_size,
        }
    }

    /// Checks the parts of a finish and joins them.
    fn assemble(&self, upload: &Upload, parts: &[Part], evidence: &Evidence) -> Result<Body, &'static str> {
        let Some(pending) = self.uploads.get(&upload.id) else { return Err("there is no such upload") };
        let mut whole = BytesMut::new();
        for (index, part) in parts.iter().enumerate() {
            let Some((written, body)) = pending.parts.get(&part.number) else { return Err("a part was never written") };
            if written != part || (index > 0 && parts[index - 1].number >= part.number) {
                return Err("a part is not the one that was written last, or they do not ascend");
            }
            if index + 1 < parts.len() && part.size < self.truth.parts.size_min {
                return Err("a part is too small");
            }
            whole.extend_from_slice(body.bytes());
        }
        let whole = Body::new(whole.freeze());
        if whole.crc64nvme() == evidence.crc64nvme { Ok(whole) } else { Err("the parts are not those of the evidence") }
    }
}

struct MemoryListing {
    store: MemoryStore,
    range: KeyRange,
}

#[async_trait]
impl Listing for MemoryListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let page: Vec<Entry> = {
            let state = self.store.state();
            let after = self.range.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let objects = state.objects.range((after, Bound::Unbounded));
            let entries = objects.take_while(|(key, _)| self.range.contains(key)).take(state.page_size);
            entries.map(|(key, o)| Entry { key: key.clone(), token: o.token.clone(), problem: None }).collect()
        };
        let Some(last) = page.last() else { return Ok(None) };
        self.range.after = Some(last.key.clone());
        Ok(Some(page))
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn location(&self) -> &str {
        &self.location
    }

    fn endpoint(&self) -> &EndpointId {
        &EndpointId::Memory
    }

    fn capabilities(&self) -> Capabilities {
        self.state().known.clone()
    }

    async fn probe(&self) -> Result<Capabilities> {
        let mut state = self.state();
        state.known = state.truth.clone();
        Ok(state.known.clone())
    }

    fn adopt(&self, capabilities: Capabilities) {
        self.state().known = capabilities;
    }

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(MemoryListing { store: self.clone(), range })
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        let state = self.state();
        Ok(state.objects.get(key).map(|object| state.head(object)))
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let object = self.state().objects.get(key).map(|object| object.properties.tags.clone());
        object.ok_or_else(|| self.error(ErrorKind::NotFound, "read tags of", key, "there is no such object"))
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let state = self.state();
        let error = |kind, detail| Err(self.error(kind, "read", key, detail));
        let Some(object) = state.objects.get(key) else {
            return error(ErrorKind::NotFound, "there is no such object");
        };
        if pin.is_some_and(|pin| !pin.agrees_with(&object.token)) {
            return error(ErrorKind::Changed, "the object is no longer the version that was seen first");
        }
        let mut head = state.head(object);
        let Some(range) = range else { return Ok(Read { head, bytes: object.bytes.clone() }) };
        head.checksums = Checksums::default();
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match bounds.filter(|(start, end)| start <= end && *end <= object.bytes.len()) {
            Some((start, end)) => Ok(Read { head, bytes: object.bytes.slice(start..end) }),
            None => error(ErrorKind::Changed, "the object is shorter than the range that was asked for"),
        }
    }

    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        let mut state = self.state();
        if !state.holds(key, condition, state.truth.on_put()) {
            return Err(self.precondition("write", key));
        }
        Ok(state.store(key, body, properties, None))
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.state().known.keys.refuses(key, 0)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        before.sending().await?;
        let mut state = self.state();
        let tick = state.tick();
        let begun = Timestamp(i64::try_from(tick).unwrap_or(i64::MAX));
        let id = format!("upload-{tick}");
        let pending = Pending { key: key.clone(), properties: properties.clone(), begun, parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), pending);
        Ok(Upload { key: key.clone(), id })
    }

    async fn put_part(&self, upload: &Upload, number: u32, _offset: u64, body: &Body) -> Result<Part> {
        let mut state = self.state();
        let tick = state.tick();
        match state.uploads.get_mut(&upload.id).filter(|pending| pending.key == upload.key) {
            Some(pending) => {
                let part = Part { number, size: body.size(), tag: format!("p{tick}") };
                pending.parts.insert(number, (part.clone(), body.clone()));
                Ok(part)
            }
            None => Err(self.no_upload("write part of", upload)),
        }
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let state = self.state();
        match state.uploads.get(&upload.id).filter(|pending| pending.key == upload.key) {
            Some(pending) => Ok(pending.parts.values().map(|(part, _)| part.clone()).collect()),
            None => Err(self.no_upload("list parts of", upload)),
        }
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        _properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        const OPERATION: &str = "finish upload of";
        let mut state = self.state();
        if state.uploads.get(&upload.id).is_none_or(|pending| pending.key != upload.key) {
            return Err(self.no_upload(OPERATION, upload));
        }
        let assembled = state.assemble(upload, parts, evidence);
        let body = assembled.map_err(|detail| self.error(ErrorKind::Other, OPERATION, &upload.key, detail))?;
        if !state.holds(&upload.key, condition, state.truth.on_finish()) {
            return Err(self.precondition(OPERATION, &upload.key));
        }
        let mut properties = state.uploads.remove(&upload.id).map(|pending| pending.properties).unwrap_or_default();
        if state.truth.upload_tags != UploadTags::AtBegin {
            properties.tags.clear();
        }
        let part_size = parts.first().map(|part| part.size);
        Ok(state.store(&upload.key, &body, &properties, part_size))
    }

    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        let mut state = self.state();
        let keeps = state.truth.tags && state.truth.upload_tags != UploadTags::Lost;
        match state.objects.get_mut(key).filter(|object| pin.agrees_with(&object.token)) {
            Some(object) if keeps => object.properties.tags.clone_from(tags),
            Some(_) => return Err(self.error(ErrorKind::Unsupported, "set tags of", key, "it keeps none")),
            None => return Err(self.error(ErrorKind::Changed, "set tags of", key, "it is another version")),
        }
        Ok(())
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let mut state = self.state();
        if state.uploads.get(&upload.id).is_some_and(|pending| pending.key == upload.key) {
            state.uploads.remove(&upload.id);
        }
        Ok(())
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        let state = self.state();
        let mut found: Vec<_> = state.uploads.iter().filter(|(_, pending)| pending.key == *key).collect();
        found.sort_by_key(|(_, pending)| pending.begun);
        Ok(found.into_iter().map(|(id, _)| (Upload { key: key.clone(), id: id.clone() }, None)).collect())
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        let mut state = self.state();
        let Some(object) = state.objects.get(key) else { return Ok(()) };
        let held = match condition {
            Condition::None => true,
            Condition::Absent => false,
            Condition::Matches(token) => {
                !state.truth.delete_if_matches.is_honoured() || token.agrees_with(&object.token)
            }
        };
        if !held {
            return Err(self.precondition("delete", key));
        }
        state.objects.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_capability_that_is_off_is_ignored_not_refused() {
        let store = MemoryStore::new("memory");
        let mut capabilities = store.probe().await.unwrap();
        capabilities.put_if_absent = false;
        capabilities.tags = false;
        let store = store.with_capabilities(capabilities);
        store.put_raw("k", "old", Properties::default());
        let body = Body::new(Bytes::from_static(b"new"));
        let tagged = Properties { tags: [("a".into(), "b".into())].into(), ..Properties::default() };
        store.put(&"k".into(), &body, &tagged, &Condition::Absent).await.unwrap();
        assert_eq!(store.bytes("k").unwrap(), "new");
        assert!(store.tags(&"k".into()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn corruption_leaves_token_and_checksum_as_they_were() {
        let store = MemoryStore::new("memory");
        store.put_raw("k", "good", Properties::default());
        let before = store.snapshot();
        store.corrupt("k", "evil");
        let after = store.snapshot();
        let (before, after) = (&before[&"k".into()], &after[&"k".into()]);
        assert_eq!((&before.token, before.crc64nvme), (&after.token, after.crc64nvme));
        assert_eq!(after.bytes, "evil");
        assert!(store.remove("k") && !store.remove("k"));
    }

    #[tokio::test]
    async fn nothing_is_known_before_a_probe() {
        let store = MemoryStore::new("memory");
        assert_eq!(store.capabilities(), Capabilities::unproved());
        let probed = store.probe().await.unwrap();
        assert!(probed.put_if_absent && store.capabilities() == probed);
    }
}
