//! Objects in parts: one read for all targets, resumed after a stop, settled after lost answers.

use std::sync::Arc;

use bytes::Bytes;
use migrate::{
    lifecycle::Goal,
    local_cloud::{Fault, FaultRule, Faults, Operation, S3ServerConfig, When},
    model::{KeyRange, PlaceIndex},
    plan::Level,
    store::faulty,
};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use tempfile::tempdir;

use super::{
    Rig, dynamic, memory, one_dataset,
    s3::{assert_servers_equal, server, stores},
};

fn noise(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

fn small_parts(config: &mut S3ServerConfig) {
    config.part_size_min = 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_read_once_for_two_targets_and_its_evidence_kept() {
    let (from, a, b) = (server(|_| {}).await, server(|_| {}).await, server(|_| {}).await);
    let size = 37 << 20;
    from.state().put("data", "large", noise(1, size));
    from.state().put("data", "empty", Bytes::new());
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a", "b"], ""), stores(&from, &[("a", &a), ("b", &b)]).await, directory.path());
    rig.run().await;
    assert_servers_equal(&from, &a);
    assert_servers_equal(&from, &b);
    assert_eq!(rig.source_bytes_read(), size as u64, "source bytes read 1.00 times");
    let dataset = &rig.plan.phases[0].datasets[0].name;
    let pairs = rig.ledger.held(dataset, PlaceIndex::SOURCE, &KeyRange::all(), 10).await.unwrap();
    let large: Vec<_> = pairs.iter().filter(|row| row.key.as_str() == "large").collect();
    assert_eq!(large.len(), 2);
    for row in large {
        let evidence = row.held.evidence.as_ref().unwrap();
        assert_eq!(evidence.parts.len(), 3);
        let first = migrate::digest::sha256(&noise(1, size)[..16 << 20]);
        assert_eq!(evidence.parts[0].1, first);
    }
    for server in [&a, &b] {
        assert!(server.state().uploads("data").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_stopped_goes_on_with_the_parts_that_are_there() {
    let stores = memory(&["src", "a"]);
    stores["src"].put_raw("large", noise(2, 3 << 20), migrate::store::Properties::default());
    let directory = tempdir().unwrap();
    let mut text = one_dataset(&["a"], "");
    text = text.replace(
        "targets = [\"s3://a/data/\"]",
        "[[phase.dataset.target]]\nat = \"s3://a/data/\"\npart_size = \"5MiB\"",
    );
    // 3 MiB in parts of 64 KiB: the memory store takes parts of any size, the plan's check does not.
    let mut rig = Rig::new(&text, dynamic(&stores), directory.path());
    rig.plan.phases[0].datasets[0].targets[0].part_size = Some(64 << 10);
    let stop = async {
        while stores["a"].unfinished_uploads() == 0 {
            tokio::task::yield_now().await;
        }
        rig.shutdown.ask();
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::Verified), stop);
    assert!(outcome.unwrap().interrupted);
    let dataset = rig.plan.phases[0].datasets[0].name.clone();
    let uploads = rig.ledger.uploads(&dataset).await.unwrap();
    let there = uploads.first().map_or(0, |upload| upload.parts.len() as u64);
    drop(rig);

    let mut rig = Rig::new(&text, dynamic(&stores), directory.path());
    rig.plan.phases[0].datasets[0].targets[0].part_size = Some(64 << 10);
    rig.run().await;
    assert_eq!(rig.source_bytes_read(), (3 << 20) - there * (64 << 10), "parts that were there are not read again");
    assert_eq!(stores["a"].bytes("large"), stores["src"].bytes("large"));
    assert_eq!(stores["a"].unfinished_uploads(), 0);
    assert!(rig.ledger.uploads(&dataset).await.unwrap().is_empty());
}

/// Damage on the way that only the checksum of the whole shows: all parts are read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_unnoticed_in_a_part_is_mended_within_the_run() {
    let stores = memory(&["src", "a"]);
    stores["src"].put_raw("large", noise(7, 1 << 20), migrate::store::Properties::default());
    let rule = faulty::FaultRule::new(faulty::Fault::FlippedBitUnnoticed, When::Only(3));
    let faults = Arc::new(faulty::Faults::with_rules(1, vec![rule]));
    let mut shared = dynamic(&stores);
    let source = Arc::new(faulty::Faulty::new(Arc::clone(&shared["src"]), Arc::clone(&faults)));
    shared.insert("src".to_owned(), source);
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], ""), shared, directory.path());
    rig.plan.phases[0].datasets[0].targets[0].part_size = Some(64 << 10);
    rig.run().await;
    assert_eq!(faults.struck(), [("flipped bit unnoticed", 1)].into());
    assert_eq!(stores["a"].bytes("large"), stores["src"].bytes("large"));
    assert_eq!(stores["a"].unfinished_uploads(), 0);
}

/// If the parts that are there cannot be listed, the upload begins anew within the same run.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_parts_cannot_be_listed_begins_anew() {
    let from = server(|_| {}).await;
    let to = server(|config| config.quirks.misnamed_list_of_parts = true).await;
    from.state().put("data", "large", noise(6, 24 << 20));
    let directory = tempdir().unwrap();
    let rig = async || {
        let text = one_dataset(&["to"], "");
        let mut rig = Rig::new(&text, stores(&from, &[("to", &to)]).await, directory.path());
        rig.plan.phases[0].datasets[0].targets[0].part_size = Some(5 << 20);
        rig
    };
    let stopped = rig().await;
    let stop = async {
        // This upload, not the probe's own.
        while !to.state().uploads("data").iter().any(|upload| upload.key == "large") {
            tokio::task::yield_now().await;
        }
        stopped.shutdown.ask();
    };
    let (outcome, ()) = tokio::join!(stopped.try_run(Goal::Verified), stop);
    assert!(outcome.unwrap().interrupted);
    let left = to.state().uploads("data");
    assert_eq!(left.len(), 1, "it was stopped on its way");
    drop(stopped);
    rig().await.run().await;
    assert_servers_equal(&from, &to);
    assert!(to.state().uploads("data").is_empty(), "the old upload is dropped");
}

/// The end of a pass sweeps uploads that nothing will go on with, not those that wait for the next try.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_waits_keeps_the_parts_that_are_there() {
    let (from, to) = (server(small_parts).await, server(small_parts).await);
    from.state().put("data", "large", noise(8, 12 << 20));
    let directory = tempdir().unwrap();
    let rig = async || {
        let text = one_dataset(&["to"], "");
        let mut rig = Rig::new(&text, stores(&from, &[("to", &to)]).await, directory.path());
        rig.plan.phases[0].datasets[0].targets[0].part_size = Some(5 << 20);
        rig
    };
    let failing = rig().await;
    assert!(failing.sites_probe().await);
    let rule = FaultRule::new(Fault::InternalError, When::Every(1)).on([Operation::CompleteMultipartUpload]);
    to.set_faults(Faults::one(1, rule));
    let outcome = failing.try_run(Goal::Verified).await.unwrap();
    assert!(outcome.stopped.is_none() && !outcome.datasets[0].reached, "{outcome:?}");
    let left = to.state().uploads("data");
    assert_eq!(left.iter().map(|upload| upload.parts.len()).collect::<Vec<_>>(), [3], "the pass is over");
    drop(failing);

    to.set_faults(Faults::default());
    let going_on = rig().await;
    going_on.run().await;
    assert_eq!(going_on.source_bytes_read(), 0, "no part is read again");
    assert_servers_equal(&from, &to);
    assert!(to.state().uploads("data").is_empty());
}

/// Each answer of each write operation is lost once, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_settled_by_looking() {
    use Operation::{CompleteMultipartUpload, CreateMultipartUpload, PutObject, UploadPart};
    for operation in [PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload] {
        for fault in [Fault::ResetAfter, Fault::ResetBefore, Fault::ErrorInside] {
            let (from, to) = (server(small_parts).await, server(small_parts).await);
            from.state().put("data", "large", noise(3, 6 << 20));
            from.state().put("data", "small", "little");
            let directory = tempdir().unwrap();
            let mut rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
            rig.plan.phases[0].datasets[0].targets[0].part_size = Some(5 << 20);
            // The probe's requests come first; no fault strikes them.
            let rule = FaultRule::new(fault, When::Every(2)).on([operation]);
            let probed = rig.sites_probe().await;
            assert!(probed);
            to.set_faults(Faults::one(1, rule));
            rig.run().await;
            assert_servers_equal(&from, &to);
            assert!(to.state().uploads("data").is_empty(), "{operation:?} {fault:?} left an upload");
            to.set_faults(Faults::default());
            assert!(rig.verify(Level::Bytes).await.verified.is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_while_it_is_copied_is_never_mixed() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    from.state().put("data", "large", noise(4, 40 << 20));
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    let state = std::sync::Arc::clone(from.state());
    let target = std::sync::Arc::clone(to.state());
    let change = async {
        while target.uploads("data").is_empty() {
            tokio::task::yield_now().await;
        }
        state.put("data", "large", noise(5, 36 << 20));
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::Verified), change);
    let outcome = outcome.unwrap();
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    assert!(outcome.datasets[0].reached, "{:?} {:?}", outcome.datasets[0], rig.failures());
    assert_servers_equal(&from, &to);
    assert!(to.state().uploads("data").is_empty(), "the upload of the old version is dropped");
}
