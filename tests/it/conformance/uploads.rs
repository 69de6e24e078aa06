//! The part of the suite that is about multipart uploads.

use std::collections::BTreeMap;

use migrate::{
    digest::{Body, Parts},
    model::{Evidence, Key, KeyRange},
    store::{Condition, ErrorKind, ObjectStore, Part, Properties, Upload},
};

use super::{Holds, begin, body, head_token, keys, put, read};

/// Bodies of three parts, the last one small.
fn three_bodies(holds: Holds) -> [Body; 3] {
    let size = holds.part_min.max(1_000);
    [body(vec![1; size]), body(vec![2; size]), body(vec![3; 10])]
}

fn evidence_of(bodies: &[Body]) -> Evidence {
    let mut parts = Parts::default();
    for body in bodies {
        parts.push(body.size(), body.sha256(), body.crc64nvme());
    }
    parts.finish()
}

/// Writes three parts out of order, the second one twice, and finishes.
pub(super) async fn write_parts(
    store: &dyn ObjectStore,
    upload: &Upload,
    holds: Holds,
    properties: &Properties,
    condition: &Condition,
) -> Vec<u8> {
    let bodies = three_bodies(holds);
    let parts = put_parts(store, upload, holds, &bodies).await;
    let finished = store.finish_upload(upload, &parts, &evidence_of(&bodies), properties, condition).await;
    let token = finished.unwrap_or_else(|error| panic!("{error}"));
    let shown = head_token(store, upload.key.as_str()).await.expect("it is there");
    assert!(token.agrees_with(&shown), "{token:?} is not {shown:?}");
    bodies.iter().flat_map(|body| body.bytes().to_vec()).collect()
}

async fn put_parts(store: &dyn ObjectStore, upload: &Upload, holds: Holds, bodies: &[Body; 3]) -> Vec<Part> {
    let mut parts = BTreeMap::new();
    for number in [3, 1, 2, 2_u32] {
        let index = usize::try_from(number - 1).expect("it fits");
        let offset = bodies[..index].iter().map(Body::size).sum();
        let part = store.put_part(upload, number, offset, &bodies[index]).await;
        let part = part.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((part.number, part.size), (number, bodies[index].size()));
        parts.insert(number, part);
    }
    let parts: Vec<Part> = parts.into_values().collect();
    assert_parts(store, upload, holds, &parts).await;
    parts
}

/// Asserts that an upload's parts are listed, or that listing them fails: the list is never wrong.
async fn assert_parts(store: &dyn ObjectStore, upload: &Upload, holds: Holds, parts: &[Part]) {
    match store.list_parts(upload).await {
        Ok(listed) => assert_eq!(listed, parts),
        Err(error) => assert!(!holds.lists_parts && error.kind() == ErrorKind::Garbled, "{error}"),
    }
}

pub(super) async fn uploads_make_objects(store: &dyn ObjectStore, holds: Holds) {
    let upload = begin(store, "d/k").await.expect("it begins");
    assert_parts(store, &upload, holds, &[]).await;
    assert_eq!(head_token(store, "d/k").await, None, "an unfinished upload is no object");
    assert!(keys(store, KeyRange::all()).await.is_empty(), "and is in no listing");
    let whole = write_parts(store, &upload, holds, &Properties::default(), &Condition::Absent).await;
    assert_eq!(read(store, "d/k").await, whole);
    assert_eq!(keys(store, KeyRange::all()).await, ["d/k".into()]);
    let ended = store.list_parts(&upload).await.expect_err("it has ended");
    assert_eq!(ended.kind(), ErrorKind::NoUpload, "{ended}");
    let bodies = three_bodies(holds);
    let late = store.put_part(&upload, 1, 0, &bodies[0]).await.expect_err("it has ended");
    // A server was seen that answers 500.
    assert!(holds.foreign || late.kind() == ErrorKind::NoUpload, "{late}");
}

pub(super) async fn uploads_can_be_aborted_and_found(store: &dyn ObjectStore, holds: Holds) {
    let key = Key::from("d/k");
    let first = begin(store, "d/k").await.expect("it begins");
    let second = begin(store, "d/k").await.expect("it begins");
    let other = begin(store, "d/k2").await.expect("it begins");
    let found = async || -> Vec<Upload> {
        let found = store.list_uploads(&key).await.expect("uploads are listed");
        found.into_iter().map(|(upload, _)| upload).collect()
    };
    let shown = found().await;
    assert!(shown.contains(&first) && shown.contains(&second) && !shown.contains(&other));
    assert!(holds.orphans || shown.len() == 2, "{shown:?}");
    put_parts(store, &first, holds, &three_bodies(holds)).await;
    for _ in 0..2 {
        store.abort_upload(&first).await.expect("an abort may be repeated");
    }
    let gone = store.list_parts(&first).await.expect_err("it was aborted");
    assert_eq!(gone.kind(), ErrorKind::NoUpload, "{gone}");
    assert!(!found().await.contains(&first));
    for upload in found().await.iter().chain([&other]) {
        store.abort_upload(upload).await.expect("it is aborted");
    }
    assert!(found().await.is_empty() && keys(store, KeyRange::all()).await.is_empty());
}

pub(super) async fn finishes_keep_their_condition(store: &dyn ObjectStore, holds: Holds) {
    let old = put(store, "k", "old").await;
    let (bodies, none) = (three_bodies(holds), Properties::default());
    let capabilities = store.capabilities();
    let upload = begin(store, "k").await.expect("it begins");
    let parts = put_parts(store, &upload, holds, &bodies).await;
    if capabilities.put_if_absent {
        let refused = store.finish_upload(&upload, &parts, &evidence_of(&bodies), &none, &Condition::Absent).await;
        let refused = refused.expect_err("an object is there");
        assert_eq!(refused.kind(), ErrorKind::Precondition, "{refused}");
        assert_eq!(read(store, "k").await, "old");
    }
    let finished = store.finish_upload(&upload, &parts, &evidence_of(&bodies), &none, &Condition::Matches(old)).await;
    finished.expect("it is still the old one");
    assert_eq!(read(store, "k").await.len() as u64, bodies.iter().map(Body::size).sum::<u64>());
}
