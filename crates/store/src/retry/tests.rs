//! Every guard of the layer that retries, triggered by a store that follows a script.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    faulty,
    memory::MemoryStore,
    meter::Meter,
    object::{BeforeSending, ByteRange, Entry, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::{Body, Parts},
    model::{Evidence, Key, KeyRange, Modified, Timestamp, Token},
};

/// What happens to the next request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// It fails and nothing happens.
    Fail(ErrorKind),
    /// It fails, nothing happens, and the caller cannot know that.
    FailUnknown,
    /// Nothing happens, and the answer is none of this operation.
    Garble,
    /// It happens, and the answer is lost.
    Lose,
    /// It happens and is answered.
    Pass,
}

/// A store whose next requests follow a script; after the script it works.
#[derive(Debug)]
pub(super) struct Scripted {
    inner: MemoryStore,
    script: Mutex<VecDeque<Act>>,
    requests: std::sync::atomic::AtomicU32,
}

impl Scripted {
    async fn run<T>(&self, act: impl Future<Output = Result<T>>) -> Result<T> {
        self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let next = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let fail = |kind| StoreError::new(kind, "try", "scripted", "as scripted");
        match next {
            None | Some(Act::Pass) => act.await,
            Some(Act::Fail(kind)) => Err(fail(kind)),
            Some(Act::FailUnknown) => Err(fail(ErrorKind::Unavailable).with_unknown_outcome()),
            Some(Act::Garble) => Err(fail(ErrorKind::Garbled).with_unknown_outcome()),
            Some(Act::Lose) => {
                let _ = act.await;
                Err(fail(ErrorKind::Unavailable).with_unknown_outcome())
            }
        }
    }
}

struct ScriptedListing(Arc<Scripted>, Box<dyn Listing>);

#[async_trait]
impl Listing for ScriptedListing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        self.0.run(self.1.next()).await
    }
}

#[derive(Debug)]
struct Store(Arc<Scripted>);

#[async_trait]
impl ObjectStore for Store {
    fn location(&self) -> &str {
        self.0.inner.location()
    }
    fn endpoint(&self) -> &EndpointId {
        self.0.inner.endpoint()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.inner.capabilities()
    }
    async fn probe(&self) -> Result<Capabilities> {
        self.0.run(self.0.inner.probe()).await
    }
    fn adopt(&self, capabilities: Capabilities) {
        self.0.inner.adopt(capabilities);
    }
    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(ScriptedListing(self.0.clone(), self.0.inner.list(range)))
    }
    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        self.0.run(self.0.inner.head(key)).await
    }
    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.0.run(self.0.inner.tags(key)).await
    }
    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        self.0.run(self.0.inner.read(key, range, pin)).await
    }
    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token> {
        self.0.run(self.0.inner.put(key, body, properties, condition)).await
    }
    fn refuses(&self, key: &Key) -> Option<&'static str> {
        self.0.inner.refuses(key)
    }

    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        self.0.run(self.0.inner.begin_upload(key, properties, before)).await
    }
    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.0.run(self.0.inner.put_part(upload, number, offset, body)).await
    }
    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        self.0.run(self.0.inner.list_parts(upload)).await
    }
    async fn finish_upload(
        &self,
        u: &Upload,
        parts: &[Part],
        e: &Evidence,
        p: &Properties,
        c: &Condition,
    ) -> Result<Token> {
        self.0.run(self.0.inner.finish_upload(u, parts, e, p, c)).await
    }
    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()> {
        self.0.run(self.0.inner.set_tags(key, tags, pin)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.0.run(self.0.inner.abort_upload(upload)).await
    }
    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        self.0.run(self.0.inner.list_uploads(key)).await
    }
    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        self.0.run(self.0.inner.delete(key, condition)).await
    }
}

pub(super) struct Stage {
    pub(super) memory: MemoryStore,
    scripted: Arc<Scripted>,
    pub(super) store: Retrying,
    meter: Arc<crate::meter::Meter>,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let memory = MemoryStore::new("memory");
        memory.probe().await.unwrap();
        let scripted = Scripted { inner: memory.clone(), script: Mutex::default(), requests: 0.into() };
        let scripted = Arc::new(scripted);
        let meter = Arc::default();
        let policy = RetryPolicy { seed: Some(1), meter: Some(Arc::clone(&meter)), ..RetryPolicy::default() };
        let store = Retrying::new(Arc::new(Store(scripted.clone())), policy);
        Self { memory, scripted, store, meter }
    }

    pub(super) fn script(&self, acts: &[Act]) {
        self.scripted.script.lock().unwrap().extend(acts);
    }

    pub(super) async fn put(&self, text: &'static str, condition: Condition) -> Result<Token> {
        self.store.put(&"k".into(), &Body::new(text.into()), &Properties::default(), &condition).await
    }

    /// An upload of two parts, ready to be finished.
    pub(super) async fn upload(&self) -> (Upload, Vec<Part>, Evidence) {
        let (a, b) = (Body::new("first ".into()), Body::new("second".into()));
        let upload = self.memory.begin_upload(&"k".into(), &Properties::default(), &()).await.unwrap();
        let one = self.memory.put_part(&upload, 1, 0, &a).await.unwrap();
        let two = self.memory.put_part(&upload, 2, a.size(), &b).await.unwrap();
        let mut parts = Parts::default();
        parts.push(a.size(), a.sha256(), a.crc64nvme());
        parts.push(b.size(), b.sha256(), b.crc64nvme());
        (upload, vec![one, two], parts.finish())
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_what_does_not_pass_is_not() {
    let stage = Stage::new().await;
    stage.memory.put_raw("k", "v", Properties::default());
    let passing = [
        Act::Fail(ErrorKind::Unavailable),
        Act::Fail(ErrorKind::Throttled),
        Act::Fail(ErrorKind::Corrupt),
        Act::Fail(ErrorKind::TimedOut),
    ];
    stage.script(&passing);
    assert_eq!(stage.store.read(&"k".into(), None, None).await.unwrap().bytes, "v");
    assert_eq!(stage.meter.snapshot().retries, 4);
    stage.script(&[Act::Fail(ErrorKind::Denied)]);
    assert_eq!(stage.store.head(&"k".into()).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(stage.meter.snapshot().retries, 4);
}

/// A machine that wakes up may have no network at first, and then a wrong clock.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_counted_by_itself() {
    let stage = Stage::new().await;
    stage.memory.put_raw("k", "v", Properties::default());
    let clock = Act::Fail(ErrorKind::ClockSkew);
    stage.script(&[Act::Fail(ErrorKind::Unavailable), Act::Fail(ErrorKind::Unavailable), clock, clock]);
    assert!(stage.store.head(&"k".into()).await.unwrap().is_some());
    stage.script(&[clock, clock, clock]);
    assert_eq!(stage.store.head(&"k".into()).await.unwrap_err().kind(), ErrorKind::ClockSkew);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let stage = Stage::new().await;
    stage.script(&[Act::Fail(ErrorKind::Unavailable); 50]);
    assert_eq!(stage.store.head(&"k".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(stage.scripted.requests.load(std::sync::atomic::Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_on_after_a_failed_page() {
    let stage = Stage::new().await;
    for n in 0..2_500 {
        stage.memory.put_raw(&format!("{n:04}"), "v", Properties::default());
    }
    stage.script(&[Act::Fail(ErrorKind::Unavailable)]);
    let mut listing = stage.store.list(KeyRange::all());
    let mut keys = Vec::new();
    while let Some(page) = listing.next().await.unwrap() {
        keys.extend(page.into_iter().map(|entry| entry.key));
        stage.script(&[Act::Fail(ErrorKind::Throttled)]);
    }
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_our_own_lost_success_is_a_success() {
    let stage = Stage::new().await;
    stage.script(&[Act::Lose]);
    let token = stage.put("mine", Condition::Absent).await.unwrap();
    let shown = stage.memory.head(&"k".into()).await.unwrap().unwrap().token;
    assert!(token.agrees_with(&shown));
    // The same for a replaced version.
    stage.script(&[Act::Lose]);
    stage.put("mine again", Condition::Matches(token)).await.unwrap();
    assert_eq!(stage.memory.bytes("k").unwrap(), "mine again");
}

/// An attempt that may still act would write a version that is ours, and later than the answer to the next one: a look
/// shows the time of what is there.
#[tokio::test(start_paused = true)]
async fn an_answer_bounds_no_time_if_an_earlier_attempt_may_still_act() {
    let stage = Stage::new().await;
    for (earlier, is_bound) in [(Act::Pass, true), (Act::Fail(ErrorKind::Throttled), true), (Act::FailUnknown, false)] {
        stage.script(&[earlier]);
        let token = stage.put("mine", Condition::None).await.unwrap();
        assert_eq!(matches!(token.modified, Modified::By(_)), is_bound, "{earlier:?}");
        assert_eq!(matches!(token.modified, Modified::At(_)), !is_bound, "{earlier:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_another_writer_stays_a_conflict() {
    let stage = Stage::new().await;
    for other in ["their", "others"] {
        stage.memory.put_raw("k", other, Properties::default());
        stage.script(&[Act::FailUnknown]);
        let error = stage.put("mine!", Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
        assert!(!error.outcome_unknown(), "the look has settled it");
        assert_eq!(stage.memory.bytes("k").unwrap(), other);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_with_other_properties_or_tags_are_not_ours() {
    let stage = Stage::new().await;
    let tagged = Properties { tags: [("a".into(), "b".into())].into(), ..Properties::default() };
    let described = Properties { metadata: [("a".into(), "b".into())].into(), ..Properties::default() };
    let typed =
        Properties { headers: [(crate::object::Header::CacheControl, "no".into())].into(), ..Properties::default() };
    for theirs in [tagged, described, typed] {
        stage.memory.put_raw("k", "mine", theirs);
        stage.script(&[Act::FailUnknown]);
        let error = stage.put("mine", Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_said_to_be() {
    let stage = Stage::new().await;
    stage.script(&[Act::Lose]);
    stage.script(&[Act::Fail(ErrorKind::Throttled); 7]);
    let error = stage.put("mine", Condition::Absent).await.unwrap_err();
    assert!(error.outcome_unknown(), "the first attempt may have acted, whatever the last one said");
    stage.script(&[Act::Fail(ErrorKind::Denied)]);
    let error = stage.put("mine", Condition::None).await.unwrap_err();
    assert!(!error.outcome_unknown());
    // A failed look settles nothing.
    stage.script(&[Act::Lose, Act::Fail(ErrorKind::Precondition), Act::Fail(ErrorKind::Denied)]);
    let error = stage.put("mine", Condition::Absent).await.unwrap_err();
    assert!(error.outcome_unknown() && error.kind() == ErrorKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_finish_whose_answer_was_lost_is_settled_by_checksum_or_by_reading_back() {
    for keeps_crc64nvme in [true, false] {
        let stage = Stage::new().await;
        let capabilities = Capabilities { keeps_crc64nvme, ..stage.memory.capabilities() };
        let _ = stage.memory.clone().with_capabilities(capabilities);
        let (upload, parts, evidence) = stage.upload().await;
        stage.script(&[Act::Lose]);
        let token = stage
            .store
            .finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::Absent)
            .await
            .unwrap();
        let shown = stage.memory.head(&"k".into()).await.unwrap().unwrap().token;
        assert!(token.agrees_with(&shown));
    }
}

/// The same bytes with other properties belong to another writer.
#[tokio::test(start_paused = true)]
async fn a_finish_whose_answer_was_lost_is_not_settled_by_an_object_with_other_properties() {
    let asked = Properties { tags: [("team".into(), "shop".into())].into(), ..Properties::default() };
    for there in [Properties::default(), asked.clone()] {
        let stage = Stage::new().await;
        stage.memory.put_raw("k", "first second", there.clone());
        let (upload, parts, evidence) = stage.upload().await;
        stage.script(&[Act::FailUnknown]);
        let settled = stage.store.finish_upload(&upload, &parts, &evidence, &asked, &Condition::Absent).await;
        assert_eq!(settled.is_ok(), there == asked, "{settled:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_refused_because_its_object_is_there_already_does_not_stay() {
    let stage = Stage::new().await;
    stage.memory.put_raw("k", "first second", Properties::default());
    let (upload, parts, evidence) = stage.upload().await;
    stage.script(&[Act::FailUnknown]);
    stage.store.finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::Absent).await.unwrap();
    assert_eq!(stage.memory.unfinished_uploads(), 0);
    // If the upload cannot be dropped, the caller must not believe that it has ended.
    let (upload, parts, evidence) = stage.upload().await;
    stage.script(&[Act::FailUnknown]);
    stage.memory.put_raw("k", "first second", Properties::default());
    stage.script(&[Act::Pass, Act::Pass, Act::Fail(ErrorKind::Denied)]);
    let error = stage
        .store
        .finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::Absent)
        .await
        .unwrap_err();
    assert!(error.outcome_unknown() && stage.memory.unfinished_uploads() == 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_gone_without_its_object_is_a_failure() {
    for keeps_crc64nvme in [true, false] {
        let stage = Stage::new().await;
        let capabilities = Capabilities { keeps_crc64nvme, ..stage.memory.capabilities() };
        let _ = stage.memory.clone().with_capabilities(capabilities);
        let (upload, parts, evidence) = stage.upload().await;
        stage.memory.abort_upload(&upload).await.unwrap();
        stage.memory.put_raw("k", "first sECOND", Properties::default());
        stage.script(&[Act::FailUnknown]);
        let error = stage
            .store
            .finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoUpload);
    }
    // Without an unknown attempt there is no look.
    let stage = Stage::new().await;
    let (upload, parts, evidence) = stage.upload().await;
    stage.memory.finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::None).await.unwrap();
    let error = stage
        .store
        .finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoUpload);
}

/// The same bytes are there already, without the requested properties: that is not the object to write.
#[tokio::test(start_paused = true)]
async fn a_finish_that_is_answered_with_something_else_is_not_taken_for_done() {
    let stage = Stage::new().await;
    let (upload, parts, evidence) = stage.upload().await;
    stage.memory.finish_upload(&upload, &parts, &evidence, &Properties::default(), &Condition::None).await.unwrap();
    let (upload, parts, evidence) = stage.upload().await;
    let asked = Properties { tags: [("a".to_owned(), "b".to_owned())].into(), ..Properties::default() };
    stage.script(&[Act::Garble]);
    let done = stage.store.finish_upload(&upload, &parts, &evidence, &asked, &Condition::None).await;
    // The repeated request is done. If the bytes alone decided, the upload would be left and the object would be
    // the old one.
    let head = stage.memory.head(&upload.key).await.unwrap().unwrap();
    assert_eq!((done.unwrap().tag, stage.memory.unfinished_uploads()), (head.token.tag, 0));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_finds_nothing_is_done_only_if_a_listing_says_so() {
    let stage = Stage::new().await;
    stage.memory.put_raw("k", "v", Properties::default());
    stage.script(&[Act::Fail(ErrorKind::NotFound)]);
    let error = stage.store.delete(&"k".into(), &Condition::None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    stage.memory.remove("k");
    stage.script(&[Act::Fail(ErrorKind::NotFound)]);
    stage.store.delete(&"k".into(), &Condition::None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delete_whose_answer_was_lost_is_done_when_the_object_is_gone() {
    let stage = Stage::new().await;
    let token = stage.memory.put_raw("k", "v", Properties::default());
    stage.script(&[Act::Lose, Act::Fail(ErrorKind::Precondition)]);
    stage.store.delete(&"k".into(), &Condition::Matches(token.clone())).await.unwrap();
    stage.memory.put_raw("k", "newer", Properties::default());
    stage.script(&[Act::FailUnknown]);
    let error = stage.store.delete(&"k".into(), &Condition::Matches(token)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    assert_eq!(stage.memory.bytes("k").unwrap(), "newer");
}

#[tokio::test(start_paused = true)]
async fn a_display_can_see_what_is_tried_again_and_again() {
    let meter = Arc::new(Meter::default());
    let policy = RetryPolicy { seed: Some(1), meter: Some(meter.clone()), ..RetryPolicy::default() };
    let faults =
        faulty::Faults::with_rules(1, vec![faulty::FaultRule::new(faulty::Fault::SlowDown, faulty::When::Every(1))]);
    let store = faulty::Faulty::new(Arc::new(MemoryStore::new("memory")), Arc::new(faults));
    let store = Retrying::new(Arc::new(store), policy);
    let seen = async {
        let mut attempts = Vec::new();
        while attempts.last() != Some(&8) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let Some(waiting) = meter.waiting() else { continue };
            assert_eq!((waiting.key, waiting.attempts_max), (Some("k".into()), Some(8)));
            assert!(waiting.failure.contains("failed to look at k at memory"), "{}", waiting.failure);
            attempts.push(waiting.attempt);
            attempts.dedup();
        }
        attempts
    };
    let key = Key::from("k");
    let (failed, seen) = tokio::join!(store.head(&key), seen);
    failed.unwrap_err();
    assert_eq!(seen, [4, 5, 6, 7, 8], "a hiccup is not shown");
    assert_eq!(meter.waiting(), None, "it is over");
}
