//! One suite over the `ObjectStore` trait, one line a backend.
//!
//! A backend calls [`conforms`] with a function that makes an empty store, and with a [`Holds`] that says
//! what the store holds. It must refuse everything else, never change it.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use bytes::Bytes;
use futures::StreamExt as _;
use migrate::{
    digest::Body,
    model::{Key, KeyRange, Modified, Token},
    store::{ByteRange, Condition, Entry, ErrorKind, Header, ObjectStore, Properties, Retry, StoreError, Upload},
};

mod backends;
mod uploads;

/// What a backend can hold.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent answer")]
pub(crate) struct Holds {
    /// Whether it can hold this key, of those in [`NASTY_KEYS`] and the like.
    pub(crate) key: fn(&str) -> bool,
    /// Others wrote it: beyond `key` it is unknown which keys it holds. It must refuse a key for good, but may
    /// name the refusal differently.
    pub(crate) foreign: bool,
    /// Whether it can hold `a` beside `a/b`.
    pub(crate) object_beside_its_prefix: bool,
    /// Whether its list of an upload's parts can be understood; if not, it must be an error.
    pub(crate) lists_parts: bool,
    /// Smallest part, in bytes.
    pub(crate) part_min: usize,
    /// Whether begun uploads may be left over because their answer was lost.
    pub(crate) orphans: bool,
}

impl Holds {
    pub(crate) const ALL: Self = Self {
        key: |_| true,
        foreign: false,
        object_beside_its_prefix: true,
        lists_parts: true,
        part_min: 1,
        orphans: false,
    };

    pub(crate) const DIRECTORY: Self = Self {
        key: |key| {
            key.split('/').all(|segment| !["", ".", ".."].contains(&segment) && segment.len() <= 255)
                && !key.contains('\0')
        },
        object_beside_its_prefix: false,
        ..Self::ALL
    };
}

/// Keys that tools like to spoil.
pub(crate) const NASTY_KEYS: &[&str] = &[
    "",
    "/",
    "//",
    "/leading",
    ".",
    "..",
    "./dot",
    "../up",
    "a//b",
    "a/../b",
    "a/./b",
    "trailing/",
    "deep/er/trailing/",
    "order/a-b",
    "order/a/x",
    "order/a0",
    "order/a b",
    "order/a.",
    "order/a.b/c",
    "order/ab/c",
    "trailing dot.",
    " space at both ends ",
    "plus+plus",
    "percent%2Fpercent%",
    "and&and=and",
    "question?mark",
    "hash#hash",
    "quote\"apostrophe'",
    "back\\slash",
    "star*{}[]<>|^~`",
    "colon:semi;comma,",
    "tab\there",
    "line\nfeed",
    "carriage\rreturn",
    "delete\u{7f}",
    "control\u{1}",
    "nul\0",
    "nfc-\u{e9}",
    "nfd-e\u{301}",
    "emoji-\u{1f980}",
    "astral-\u{10ffff}",
    "bmp-\u{ffff}",
    "arabic-\u{645}\u{631}\u{62d}\u{628}\u{627}",
    "UPPER",
    "index.html",
    "con",
    "-rf",
    "~",
];

/// Runs the whole suite; `make` gives an empty store each time.
pub(crate) async fn conforms<F>(holds: Holds, make: impl Fn() -> F)
where
    F: Future<Output = Arc<dyn ObjectStore>>,
{
    let fresh = async || {
        let store = make().await;
        let probed = store.probe().await.expect("the store can be probed");
        assert_eq!(store.capabilities(), probed);
        assert!(keys(&*store, KeyRange::all()).await.is_empty(), "a probe leaves nothing behind");
        store
    };
    nasty_keys_list_in_byte_order_and_read_back(&*fresh().await, holds).await;
    listings_keep_to_their_range(&*fresh().await).await;
    listings_come_in_pages(&*fresh().await).await;
    bodies_and_ranges_read_back(&*fresh().await).await;
    pinned_reads_notice_a_change(&*fresh().await).await;
    what_is_absent_is_absent(&*fresh().await).await;
    writes_keep_their_condition(&*fresh().await).await;
    deletes_keep_their_condition(&*fresh().await).await;
    one_token_everywhere(&*fresh().await).await;
    properties_and_tags_survive(&*fresh().await, holds).await;
    uploads::uploads_make_objects(&*fresh().await, holds).await;
    uploads::uploads_can_be_aborted_and_found(&*fresh().await, holds).await;
    uploads::finishes_keep_their_condition(&*fresh().await, holds).await;
    of_many_that_create_one_wins(&fresh().await).await;
    replacing_is_atomic(&fresh().await).await;
    if !holds.object_beside_its_prefix {
        objects_beside_their_prefix_are_refused(&*fresh().await).await;
    }
}

fn body(bytes: impl Into<Bytes>) -> Body {
    Body::new(bytes.into())
}

async fn put(store: &dyn ObjectStore, key: &str, text: &'static str) -> Token {
    let put = store.put(&key.into(), &body(text), &Properties::default(), &Condition::None).await;
    put.unwrap_or_else(|error| panic!("{error}"))
}

async fn read(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.read(&key.into(), None, None).await.unwrap_or_else(|error| panic!("{error}")).bytes
}

async fn head_token(store: &dyn ObjectStore, key: &str) -> Option<Token> {
    store.head(&key.into()).await.unwrap_or_else(|error| panic!("{error}")).map(|head| head.token)
}

/// Lists a range, checking what every listing promises.
async fn list(store: &dyn ObjectStore, range: KeyRange) -> Vec<Entry> {
    let mut listing = store.list(range.clone());
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(page) = listing.next().await.unwrap_or_else(|error| panic!("{error}")) {
        assert!(!page.is_empty(), "a page is never empty");
        entries.extend(page);
    }
    assert!(listing.next().await.expect("the end is no error").is_none(), "the end stays the end");
    assert!(entries.is_sorted_by(|a, b| a.key < b.key), "keys ascend");
    assert!(entries.iter().all(|entry| range.contains(&entry.key)), "keys stay in the range");
    entries
}

async fn keys(store: &dyn ObjectStore, range: KeyRange) -> Vec<Key> {
    list(store, range).await.into_iter().map(|entry| entry.key).collect()
}

/// Begins an upload. If the answer is lost the caller has to settle it, so this asks again.
async fn begin(store: &dyn ObjectStore, key: &str) -> Result<Upload, StoreError> {
    begin_with(store, key, &Properties::default()).await
}

async fn begin_with(store: &dyn ObjectStore, key: &str, properties: &Properties) -> Result<Upload, StoreError> {
    loop {
        match store.begin_upload(&key.into(), properties, &()).await {
            Err(error) if error.outcome_unknown() => {}
            answer => return answer,
        }
    }
}

async fn nasty_keys_list_in_byte_order_and_read_back(store: &dyn ObjectStore, holds: Holds) {
    let long = "x".repeat(1024);
    let long_path =
        ["y".repeat(200), "z".repeat(200), "\u{e9}".repeat(100), "w".repeat(200), "v".repeat(220)].join("/");
    assert_eq!(long_path.len(), 1024);
    let mut held = BTreeMap::new();
    for key in NASTY_KEYS.iter().copied().chain([long.as_str(), &long_path]) {
        let content = body(format!("content of {key:?}"));
        let written = store.put(&key.into(), &content, &Properties::default(), &Condition::None).await;
        if (holds.key)(key) {
            match written {
                Ok(_) => drop(held.insert(Key::from(key), content)),
                Err(error) if holds.foreign => {
                    assert_eq!(error.kind().retry(), Retry::Permanent, "{error}");
                    assert!(!error.outcome_unknown(), "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        } else {
            let error = written.expect_err(key);
            assert_eq!(error.kind(), ErrorKind::KeyUnholdable, "{error}");
            assert_eq!(head_token(store, key).await, None, "{key:?}");
            let read = store.read(&key.into(), None, None).await.expect_err(key);
            assert_eq!(read.kind(), ErrorKind::NotFound, "{key:?}");
            let begun = begin(store, key).await.expect_err(key);
            assert_eq!(begun.kind(), ErrorKind::KeyUnholdable, "{key:?}");
            store.delete(&key.into(), &Condition::None).await.expect("deleting nothing is no error");
        }
    }
    assert!(!holds.foreign || held.len() > NASTY_KEYS.len() / 2, "it holds hardly any: {:?}", held.keys());
    assert_eq!(keys(store, KeyRange::all()).await, held.keys().cloned().collect::<Vec<_>>());
    for (key, content) in &held {
        assert_eq!(read(store, key.as_str()).await, content.bytes(), "{key:?}");
        store.delete(key, &Condition::None).await.unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(keys(store, KeyRange::all()).await.is_empty());
}

async fn listings_keep_to_their_range(store: &dyn ObjectStore) {
    let all = ["a", "b/a", "b/b/c", "b/b/d", "b/c", "b-", "b0", "c", "d/x", "\u{e9}/y", "\u{1f980}"];
    for key in all {
        put(store, key, "v").await;
    }
    let bounds = all.iter().copied().chain(["", "b", "b/", "b/b", "b/b/", "b/b/cc", "d", "zz", "\u{10ffff}"]);
    let bounds: Vec<Option<Key>> = bounds.map(|key| Some(key.into())).chain([None]).collect();
    for after in &bounds {
        for until in &bounds {
            let range = KeyRange { after: after.clone(), until: until.clone() };
            let mut expected: Vec<Key> = all.map(Key::from).into_iter().filter(|key| range.contains(key)).collect();
            expected.sort();
            assert_eq!(keys(store, range.clone()).await, expected, "{range:?}");
        }
    }
}

async fn listings_come_in_pages(store: &dyn ObjectStore) {
    let content = &body("v");
    let put = async |n: usize| {
        let key = Key::new(format!("{}/{n:05}", n % 3));
        store.put(&key, content, &Properties::default(), &Condition::None).await.unwrap_or_else(|e| panic!("{e}"));
    };
    futures::stream::iter(0..1_050).for_each_concurrent(32, put).await;
    assert_eq!(keys(store, KeyRange::all()).await.len(), 1_050);
}

async fn bodies_and_ranges_read_back(store: &dyn ObjectStore) {
    put(store, "empty", "").await;
    let empty = store.read(&"empty".into(), None, None).await.expect("an empty object is read");
    assert_eq!((empty.bytes.len(), empty.head.token.size), (0, 0));

    let bytes: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n * 7 % 251).expect("below 251")).collect();
    let content = body(bytes.clone());
    store.put(&"k".into(), &content, &Properties::default(), &Condition::None).await.expect("it is written");
    assert_eq!(read(store, "k").await, bytes);
    for (start, end) in [(0, 1), (0, 100_000), (99_999, 100_000), (1_234, 56_789)] {
        let part = store.read(&"k".into(), Some(ByteRange { start, end }), None).await.expect("a range is read");
        let range = usize::try_from(start).expect("it fits")..usize::try_from(end).expect("it fits");
        assert_eq!(part.bytes, bytes[range]);
        assert_eq!(part.head.token.size, 100_000, "a range tells the size of the whole");
    }
    let beyond = store.read(&"k".into(), Some(ByteRange { start: 99_999, end: 100_001 }), None).await;
    assert!(beyond.is_err(), "a short read is an error");
}

async fn pinned_reads_notice_a_change(store: &dyn ObjectStore) {
    put(store, "k", "one").await;
    let pin = head_token(store, "k").await.expect("it is there");
    let range = Some(ByteRange { start: 1, end: 2 });
    assert_eq!(store.read(&"k".into(), range, Some(&pin)).await.expect("it is unchanged").bytes, "n");
    put(store, "k", "two").await;
    for range in [range, None] {
        let changed = store.read(&"k".into(), range, Some(&pin)).await.expect_err("it changed");
        assert_eq!(changed.kind(), ErrorKind::Changed, "{changed}");
    }
    store.delete(&"k".into(), &Condition::None).await.expect("it is deleted");
    let gone = store.read(&"k".into(), None, Some(&pin)).await.expect_err("it is gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
}

async fn what_is_absent_is_absent(store: &dyn ObjectStore) {
    put(store, "there/k", "v").await;
    for key in ["none", "there", "there/none", "there/k/below", "none/at/all"] {
        assert_eq!(head_token(store, key).await, None, "{key:?}");
        let read = store.read(&key.into(), None, None).await.expect_err(key);
        assert_eq!(read.kind(), ErrorKind::NotFound, "{read}");
        store.delete(&key.into(), &Condition::None).await.expect("deleting nothing is no error");
        assert!(store.list_uploads(&key.into()).await.expect("nothing is no error").is_empty());
    }
    assert_eq!(read(store, "there/k").await, "v");
}

async fn writes_keep_their_condition(store: &dyn ObjectStore) {
    let capabilities = store.capabilities();
    let write = async |text: &'static str, condition: Condition| {
        store.put(&"k".into(), &body(text), &Properties::default(), &condition).await
    };
    let refused = async |text: &'static str, condition: Condition| {
        let error = write(text, condition).await.expect_err("the condition does not hold");
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    };
    let never = Token { size: 3, tag: "\"00000000000000000000000000000000\"".into(), modified: Modified::Unknown };
    if capabilities.put_if_matches.is_honoured() {
        refused("zero", Condition::Matches(never)).await;
    }
    let one = write("one", Condition::Absent).await.expect("nothing is there");
    if capabilities.put_if_absent {
        refused("two", Condition::Absent).await;
        assert_eq!(read(store, "k").await, "one");
    }
    if capabilities.put_if_matches.is_honoured() {
        let two = write("two", Condition::Matches(one.clone())).await.expect("it is still the first");
        refused("bad", Condition::Matches(one)).await;
        assert_eq!(read(store, "k").await, "two");
        write("three", Condition::Matches(two)).await.expect("it is still the second");
    }
    write("four", Condition::None).await.expect("no condition always holds");
    assert_eq!(read(store, "k").await, "four");
}

async fn deletes_keep_their_condition(store: &dyn ObjectStore) {
    let old = put(store, "d/k", "old").await;
    put(store, "d/k", "newer").await;
    if store.capabilities().delete_if_matches.is_honoured() {
        let refused = store.delete(&"d/k".into(), &Condition::Matches(old.clone())).await.expect_err("it was replaced");
        assert_eq!(refused.kind(), ErrorKind::Precondition, "{refused}");
        assert_eq!(read(store, "d/k").await, "newer");
    }
    let shown = head_token(store, "d/k").await.expect("it is there");
    store.delete(&"d/k".into(), &Condition::Matches(shown)).await.expect("it is as it was shown");
    assert_eq!(head_token(store, "d/k").await, None);
    store.delete(&"d/k".into(), &Condition::Matches(old)).await.expect("what is gone is no error");
    assert!(keys(store, KeyRange::all()).await.is_empty());
}

async fn one_token_everywhere(store: &dyn ObjectStore) {
    let written = put(store, "k", "v").await;
    let shown = head_token(store, "k").await.expect("it is there");
    let listed = &list(store, KeyRange::all()).await[0];
    let read = store.read(&"k".into(), None, None).await.expect("it is read").head.token;
    assert_eq!((&listed.token, &listed.problem), (&shown, &None));
    assert_eq!(read, shown);
    assert!(written.agrees_with(&shown), "{written:?} is not {shown:?}");
    let again = put(store, "k", "w").await;
    assert!(!written.agrees_with(&again), "another version has another token");
    assert!(!shown.agrees_with(&head_token(store, "k").await.expect("it is there")));
}

async fn properties_and_tags_survive(store: &dyn ObjectStore, holds: Holds) {
    let capabilities = store.capabilities();
    let headers = [
        (Header::CacheControl, "max-age=60"),
        (Header::ContentDisposition, "attachment; filename=\"a b.txt\""),
        (Header::ContentEncoding, "gzip"),
        (Header::ContentLanguage, "de"),
        (Header::ContentType, "text/plain; charset=utf-8"),
    ];
    let mut properties = Properties {
        headers: headers.map(|(header, value)| (header, value.to_owned())).into(),
        metadata: [("plain".into(), "value".into()), ("name".into(), "Gr\u{fc}\u{df}e, \u{4e16}".into())].into(),
        tags: [("team".into(), "a+b = c/d".into()), ("empty".into(), String::new())].into(),
    };
    if !capabilities.properties {
        properties.headers.clear();
        properties.metadata.clear();
    }
    if !capabilities.tags {
        properties.tags.clear();
    }
    store.put(&"whole".into(), &body("v"), &properties, &Condition::Absent).await.expect("it is written");
    let upload = begin_with(store, "parts", &properties).await.expect("it begins");
    uploads::write_parts(store, &upload, holds, &properties, &Condition::None).await;
    for key in ["whole", "parts"] {
        let head = store.head(&key.into()).await.expect("it is shown").expect("it is there");
        let tags = store.tags(&key.into()).await.expect("tags are read");
        if capabilities.properties {
            assert_eq!(head.properties.headers, properties.headers);
            let (shown, sent) = (&head.properties.metadata, &properties.metadata);
            assert!(shown.keys().eq(sent.keys()), "{shown:?}");
            for (name, value) in sent {
                assert!(capabilities.metadata.reads_alike(&shown[name], value), "{name} is shown as {}", shown[name]);
            }
        }
        assert_eq!(tags, properties.tags);
        if capabilities.tag_count {
            assert_eq!(head.tag_count, u32::try_from(tags.len()).ok());
        }
    }
    if capabilities.properties {
        store.put(&"whole".into(), &body("v"), &Properties::default(), &Condition::None).await.expect("it is written");
        let head = store.head(&"whole".into()).await.expect("it is shown").expect("it is there");
        assert!(head.properties.metadata.is_empty(), "a replaced object keeps nothing of the old one");
        assert!(store.tags(&"whole".into()).await.expect("tags are read").is_empty());
    }
    let none = store.tags(&"none".into()).await.expect_err("nothing has no tags");
    assert_eq!(none.kind(), ErrorKind::NotFound, "{none}");
}

async fn of_many_that_create_one_wins(store: &Arc<dyn ObjectStore>) {
    if !store.capabilities().put_if_absent {
        return;
    }
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            let content = body(format!("writer {n}"));
            let written = store.put(&"d/k".into(), &content, &Properties::default(), &Condition::Absent).await;
            match written {
                Ok(_) => Some(content.bytes().clone()),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Conflict), "{error}");
                    None
                }
            }
        });
    }
    let winners: Vec<Bytes> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(read(&**store, "d/k").await, winners[0]);
}

async fn replacing_is_atomic(store: &Arc<dyn ObjectStore>) {
    let size = 200_000;
    store
        .put(&"k".into(), &body(vec![0; size]), &Properties::default(), &Condition::None)
        .await
        .expect("it is written");
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 1..20_u8 {
                let (content, none) = (body(vec![n; size]), Properties::default());
                let written = store.put(&"k".into(), &content, &none, &Condition::None).await;
                written.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    });
    while !writer.is_finished() {
        match store.read(&"k".into(), None, None).await {
            Ok(read) => {
                assert_eq!(read.bytes.len(), size);
                assert!(read.bytes.iter().all(|byte| *byte == read.bytes[0]), "two versions in one read");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{error}"),
        }
    }
    writer.await.expect("the writer ends well");
}

async fn objects_beside_their_prefix_are_refused(store: &dyn ObjectStore) {
    put(store, "a", "v").await;
    put(store, "b/c", "v").await;
    for key in ["a/b", "b"] {
        let written = store.put(&key.into(), &body("v"), &Properties::default(), &Condition::None).await;
        assert_eq!(written.expect_err(key).kind(), ErrorKind::KeyUnholdable, "{key:?}");
    }
    assert_eq!(keys(store, KeyRange::all()).await, ["a".into(), "b/c".into()]);
}
