//! Cutovers of tables that are stopped, or whose servers are out of reach, and what is written late meanwhile.

use std::{cmp::Ordering, path::Path, sync::Arc};

use futures::{StreamExt as _, stream};
use migrate::{
    engine::{
        Sites,
        sites::{Given, Opened},
    },
    ledger::{CommitFate, Options},
    lifecycle::Goal,
    model::Epoch,
    plan::Location,
    store::{
        faulty::{Fault, FaultRule, Faults, FaultyTable, When},
        table::TableStore,
    },
};
use tempfile::tempdir;

use super::{
    Rig, quick,
    table_cutover::{Places, cut_over, key, name, once, plan},
};

/// A rig with one site whose table fails by these faults.
fn failing(places: &Places, directory: &Path, at: &'static str, faults: &Arc<Faults>) -> Rig {
    let mut rig = places.rig(&plan("", ""), directory, Options::default());
    let (tables, control, faults) = (places.tables.clone(), Arc::clone(&places.control), Arc::clone(faults));
    let open = move |location: &Location, _| match location.site.as_str() {
        "control" => Some(Opened::Store(control.clone())),
        site => tables.get(site).map(|table| {
            let table: Arc<dyn TableStore> = Arc::new(table.clone());
            Opened::Table(if site == at { Arc::new(FaultyTable::new(table, Arc::clone(&faults))) } else { table })
        }),
    };
    rig.sites = Sites::new(Arc::new(Given::places(open)), quick());
    rig
}

/// Carries a cutover to its end, and checks that it lost nothing.
async fn carried_on(places: &Places, directory: &Path, what: &str) {
    let lead = places.lead();
    places.put(&lead, "user-10", "between");
    places.delete(&lead, "user-11");
    let mut reached = 0;
    for _ in 0..3 {
        let again = places.rig(&plan("", ""), directory, Options::default());
        let outcome = again.try_run(Goal::CutOver).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(outcome.stopped.is_none(), "{what}: {outcome:?}");
        reached += u32::from(outcome.datasets[0].reached);
        if reached == 2 {
            break;
        }
    }
    assert_eq!(reached, 2, "{what}");
    assert_eq!(places.route().unwrap().epoch, Epoch(1), "{what}");
    assert_eq!(places.values("user-10"), [0; 3].map(|_| Some("between".to_owned())), "{what}");
    assert_eq!(places.values("user-11"), [None, None, None], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_that_is_asked_to_stop_at_any_step_goes_on_with_the_next_run() {
    let steps = ["gate", "quiet", "drain", "final verify", "last look", "switch", "watch"];
    let all = steps.into_iter().flat_map(|step| [1, 2].map(|times| (step, times)));
    let all = all.map(|(step, times)| async move {
        let (places, directory) = (Places::filled(), tempdir().unwrap());
        let rig = places.rig(&plan("", ""), directory.path(), Options::default());
        let ask = || (0..times).for_each(|_| _ = rig.shutdown.ask());
        let (_, ()) = tokio::join!(rig.try_run(Goal::CutOver), once(&rig, step, ask));
        drop(rig);
        carried_on(&places, directory.path(), &format!("{step}, {times} times")).await;
    });
    stream::iter(all).buffer_unordered(14).collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_whose_servers_are_out_of_reach_from_any_step_on_goes_on_with_the_next_run() {
    let steps = ["gate", "quiet", "drain", "final verify", "last look", "switch", "watch"];
    let all = steps.into_iter().flat_map(|step| ["src", "a"].map(|site| (step, site)));
    let all = all.map(|(step, site)| async move {
        let (places, directory) = (Places::filled(), tempdir().unwrap());
        let faults = Arc::new(Faults::none());
        let rig = failing(&places, directory.path(), site, &faults);
        let strike = || faults.set_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1))]);
        let (_, ()) = tokio::join!(rig.try_run(Goal::CutOver), once(&rig, step, strike));
        drop(rig);
        carried_on(&places, directory.path(), &format!("{step}, {site}")).await;
    });
    stream::iter(all).buffer_unordered(14).collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_lead_that_is_out_of_reach_stops_nobody_else_and_is_looked_at_later() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let rig = places.rig(&plan("", ""), directory.path(), Options::default());
    cut_over(&rig.try_run(Goal::CutOver).await.unwrap());
    drop(rig);
    places.put("src", "user-05", "too late");
    places.put("a", "user-05", "at the new lead");
    places.put("a", "user-06", "second");
    let faults = Arc::new(Faults::none());
    faults.set_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1))]);
    let outcome = failing(&places, directory.path(), "src", &faults).try_run(Goal::CutOver).await.unwrap();
    assert!(!outcome.datasets[0].reached, "{outcome:?}");
    assert_eq!(places.value("b", "user-06").as_deref(), Some("second"), "{outcome:?}");
    let again = places.rig(&plan("", ""), directory.path(), Options::default());
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    assert_eq!(places.value("src", "user-05").as_deref(), Some("too late"));
    assert_eq!(places.value("src", "user-06").as_deref(), Some("second"));
    assert_eq!(again.ledger.late_open(&name(), None, 10).await.unwrap(), [key("user-05")]);
}

/// The run that finds a late write is cut off at each of its commits in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_outlives_a_crash_at_any_commit_of_the_run_that_finds_it() {
    let all = (1..=28_u64).map(|commit| async move {
        let (places, directory) = (Places::filled(), tempdir().unwrap());
        let rig = places.rig(&plan("", ""), directory.path(), Options::default());
        cut_over(&rig.try_run(Goal::CutOver).await.unwrap());
        drop(rig);
        places.put("src", "user-05", "too late");
        places.put("a", "user-05", "at the new lead");
        places.put("a", "user-06", "second");
        let fate = move |number: u64| match number.cmp(&commit) {
            Ordering::Less => CommitFate::Go,
            _ if commit.is_multiple_of(2) => CommitFate::FailAfter,
            _ => CommitFate::FailBefore,
        };
        let options = Options { on_commit: Some(Arc::new(fate)), ..Options::default() };
        let _ = places.rig(&plan("", ""), directory.path(), options).try_run(Goal::CutOver).await;
        let again = places.rig(&plan("", ""), directory.path(), Options::default());
        let outcome = again.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.stopped.is_none(), "{commit}: {outcome:?}");
        assert_eq!(places.value("src", "user-05").as_deref(), Some("too late"), "{commit}");
        assert_eq!(places.values("user-06"), [0; 3].map(|_| Some("second".to_owned())), "{commit}");
        assert_eq!(again.ledger.late_open(&name(), None, 10).await.unwrap(), [key("user-05")], "{commit}");
    });
    stream::iter(all).buffer_unordered(14).collect::<Vec<_>>().await;
}
