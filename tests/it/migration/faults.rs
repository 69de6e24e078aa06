//! Migrations over endpoints that fail: whatever happens, the end is equal or says that it is not.

use migrate::{
    lifecycle::Goal,
    local_cloud::{Fault, FaultRule, Faults, Operation, When},
    store::Properties,
};
use tempfile::tempdir;

use super::{
    Rig, dynamic, memory, one_dataset,
    s3::{assert_servers_equal, server, stores},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_fault_on_every_seventh_request_ends_equal() {
    for fault in [
        Fault::InternalError,
        Fault::SlowDown,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::TruncateResponse,
        Fault::FlipResponseBit,
        Fault::FlipRequestBit,
        Fault::ErrorInside,
        Fault::CutXml,
        Fault::CutEntry,
        Fault::UnclosedXml,
        Fault::LostEntry,
    ] {
        let (from, to) = (server(|_| {}).await, server(|_| {}).await);
        for n in 0..150 {
            from.state().put("data", &format!("{n:03}"), format!("the body of {n}"));
        }
        let directory = tempdir().unwrap();
        let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
        assert!(rig.sites_probe().await);
        for server in [&from, &to] {
            server.set_faults(Faults::one(7, FaultRule::new(fault, When::Every(7))));
        }
        rig.run().await;
        assert_servers_equal(&from, &to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_target_does_not_hold_the_other_back() {
    let (from, a, b) = (server(|_| {}).await, server(|_| {}).await, server(|_| {}).await);
    for n in 0..400 {
        from.state().put("data", &format!("{n:03}"), format!("body {n}"));
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a", "b"], "");
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b)]).await, directory.path());
    assert!(rig.sites_probe().await);
    b.set_faults(Faults::one(1, FaultRule::new(Fault::SlowDown, When::Every(1)).on([Operation::PutObject])));
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached);
    let named = outcome.datasets[0].waits_for.as_ref().map(ToString::to_string);
    assert!(named.is_some_and(|named| named.contains("s3://b/")), "the target that does not answer is named");
    assert_servers_equal(&from, &a);
    assert_eq!(b.state().count("data"), 0);
    drop(rig);

    b.set_faults(Faults::default());
    let rig = Rig::new(&text, stores(&from, &[("a", &a), ("b", &b)]).await, directory.path());
    rig.run().await;
    assert_servers_equal(&from, &b);
    assert_eq!(rig.last_pass()[1].copied, 400);
    assert_eq!(rig.last_pass()[0].copied, 400, "nothing was written twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_fails_alone_and_is_named() {
    let (from, to) = (server(|_| {}).await, server(|_| {}).await);
    for n in 0..30 {
        from.state().put("data", &format!("{n:02}"), format!("body {n}"));
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["to"], ""), stores(&from, &[("to", &to)]).await, directory.path());
    from.set_faults(Faults::one(1, FaultRule::new(Fault::TruncateResponse, When::Every(1)).on([Operation::GetObject])));
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached);
    assert!(outcome.datasets[0].verified.is_none());
    assert_eq!(rig.failures().len(), 30, "{:?}", rig.failures());
    assert_eq!(to.state().count("data"), 0, "half a body is never written");
    from.set_faults(Faults::default());
    rig.run().await;
    assert_servers_equal(&from, &to);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_ledger_stops_the_run_and_loses_nothing() {
    let stores = memory(&["src", "a"]);
    for n in 0..3000 {
        stores["src"].put_raw(&format!("a/rather/long/key/to/fill/pages/{n:06}"), n.to_string(), Properties::default());
    }
    let directory = tempdir().unwrap();
    let text = one_dataset(&["a"], "");
    let full = migrate::ledger::Options { pages_max: Some(60), ..migrate::ledger::Options::default() };
    let rig = Rig::with_ledger(&text, dynamic(&stores), directory.path(), full);
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    let stopped = outcome.stopped.expect("the run stopped").to_string();
    assert!(stopped.contains("disk") && stopped.contains("full"), "{stopped}");
    drop(rig);
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    rig.run().await;
    super::assert_equal(&stores["src"], &stores["a"]);
}
