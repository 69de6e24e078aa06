//! Cutovers: the lead moves once, with proof, and never by a guess.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use migrate::{
    cutover::RouteDocument,
    engine::Shutdown,
    ledger::{CommitFate, Options, Record},
    lifecycle::{Goal, Lead, MoveId, State, Transition},
    model::{DatasetName, Decided, Epoch, Key, SiteName, Timestamp},
    plan::Level,
    report::EventKind,
    store::{
        Capabilities, ObjectStore, Properties,
        faulty::{Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, Stores, conditions::Racing, dynamic, memory};

/// A plan of two phases: `shop` goes from `src` to `a` and `b`, and `a` leads it then; `part` goes on from
/// `a` to `c`. Both routes are at the site `control`.
pub(super) fn plan(more: &str) -> String {
    let site = |name: &str| {
        format!(
            "[sites.{name}]\ns3 = {{ endpoint = \"https://{name}.example.com\", path_style = true }}\n\
             credentials = {{ env = \"UNUSED\" }}\n"
        )
    };
    let sites: String = ["src", "a", "b", "c", "control"].map(site).concat();
    let cutover = |name: &str| {
        format!(
            "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
             route_max_age = \"0s\"\nroute = \"s3://control/routes/{name}.json\"\n{more}\n"
        )
    };
    format!(
        "name = \"leads\"\n{sites}\n[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"shop\"\n\
         source = \"s3://src/data/\"\ntargets = [\"s3://a/data/\", \"s3://b/data/\"]\nlead = \"a\"\n{}\
         [[phase]]\nname = \"second\"\nafter = [\"first\"]\n[[phase.dataset]]\nname = \"part\"\n\
         source = \"s3://a/data/\"\ntargets = [\"s3://c/data/\"]\n{}",
        cutover("shop"),
        cutover("part")
    )
}

pub(super) fn filled() -> BTreeMap<String, Arc<MemoryStore>> {
    let stores = memory(&["src", "a", "b", "c", "control"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("page/{n:02}"), format!("value {n}"), Properties::default());
    }
    stores
}

fn rig(stores: &BTreeMap<String, Arc<MemoryStore>>, directory: &Path) -> Rig {
    Rig::new(&plan(""), dynamic(stores), directory)
}

fn route(stores: &BTreeMap<String, Arc<MemoryStore>>, name: &str) -> Option<RouteDocument> {
    let snapshot = stores["control"].snapshot();
    let object = snapshot.get(&Key::from(format!("{name}.json").as_str()))?;
    Some(serde_json::from_slice(&object.bytes).unwrap())
}

fn epoch(stores: &BTreeMap<String, Arc<MemoryStore>>, name: &str) -> Epoch {
    route(stores, name).map_or(Epoch(0), |shown| shown.epoch)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_leads_move_phase_by_phase_and_stay_there() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = rig(&stores, directory.path());
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    for dataset in &outcome.datasets {
        assert!(dataset.reached, "{dataset:?}");
        assert!(matches!(dataset.state, State::CutOver { late: 0, .. }), "{dataset:?}");
    }
    let shop = route(&stores, "shop").unwrap();
    assert_eq!((shop.epoch, shop.lead.as_str()), (Epoch(1), "a"));
    assert_eq!(shop.followers.iter().map(migrate::model::SiteName::as_str).collect::<Vec<_>>(), ["src", "b"]);
    assert_eq!(route(&stores, "part").unwrap().lead.as_str(), "c");

    for level in [Level::Listing, Level::Bytes] {
        assert!(rig.verify(level).await.verified.is_some(), "all that moved is equal at {level:?}");
    }
    // The application writes at the new lead: no later run brings the old data back, and the others follow. What is
    // written at an old lead stays, also where that is the lead of another dataset.
    stores["a"].put_raw("page/00", "written by the shop", Properties::default());
    stores["src"].put_raw("page/01", "written by nobody who reads routes", Properties::default());
    let again = rig.try_run(Goal::CutOver).await.unwrap();
    let waits = again.datasets.iter().map(|dataset| dataset.waits_for.as_ref().map(ToString::to_string));
    let one = Some("a decision about 1 record that was written at its old lead".to_owned());
    assert_eq!(waits.collect::<Vec<_>>(), [one, None], "what another dataset leads does not follow: {again:?}");
    assert_eq!(stores["a"].snapshot()[&Key::from("page/00")].bytes, "written by the shop");
    let shown = route(&stores, "shop").unwrap();
    assert_eq!((shown.epoch, shown.lead), (shop.epoch, shop.lead), "a lead that has moved stays");
    // Every follower is compared with the new lead.
    stores["a"].put_raw("page/02", "written since", Properties::default());
    for level in [Level::Checksum, Level::Listing] {
        let verification = rig.verify(level).await;
        assert!(verification.verified.is_none(), "{level:?}");
        let of = |place: usize| {
            let found = &verification.targets[place];
            let keys: Vec<_> = found.differences.iter().map(|difference| difference.key.as_str().to_owned()).collect();
            (found.lead.clone(), found.target.clone(), keys)
        };
        let (lead, both) = ("s3://a/data/".to_owned(), vec!["page/01".to_owned(), "page/02".to_owned()]);
        assert_eq!(of(0), (lead.clone(), "s3://src/data/".to_owned(), both), "{level:?}");
        assert_eq!(of(1), (lead, "s3://b/data/".to_owned(), vec!["page/02".to_owned()]), "{level:?}");
    }
    let (_, mended) = rig.try_repair(Level::Checksum, &["shop"]).await.unwrap();
    assert_eq!(mended, 2, "from the new lead to both places");
    let at = |site: &str, key: &str| stores[site].snapshot()[&Key::from(key)].bytes.clone();
    assert_eq!((at("src", "page/02"), at("b", "page/02")), ("written since".into(), "written since".into()));
    assert_eq!(at("src", "page/01"), "written by nobody who reads routes");
    assert_eq!(at("a", "page/00"), "written by the shop");
}

/// A stop comes between any two commits, so also between the intents of two switches.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_any_moment_never_parts_the_leads_of_a_phase() {
    let text = plan("").replace("[[phase]]\nname = \"second\"\nafter = [\"first\"]\n", "");
    let text = text.replace("source = \"s3://a/data/\"", "source = \"s3://src/data/\"");
    let (mut moved, mut stayed) = (0, 0);
    // The ledger groups commits by chance, so one sweep does not stop between all of them.
    for stop_at in (0..6).flat_map(|_| 24..40) {
        let (stores, directory) = (filled(), tempdir().unwrap());
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        let on_commit = move |number| {
            if number == stop_at {
                asked.drain();
            }
            CommitFate::Go
        };
        let options = Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() };
        let mut rig = Rig::with_ledger(&text, dynamic(&stores), directory.path(), options);
        rig.shutdown = shutdown;
        let outcome = rig.try_run(Goal::CutOver).await.unwrap();
        let leads = ["shop", "part"].map(|name| epoch(&stores, name) == Epoch(1));
        assert_eq!(leads[0], leads[1], "stopped at commit {stop_at}: {outcome:?}");
        *(if leads[0] { &mut moved } else { &mut stayed }) += 1;
    }
    assert!(moved > 1 && stayed > 1, "it was stopped before and after the switches: {stayed} and {moved} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_approval_everything_is_proved_and_nothing_moves() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let mut rig = rig(&stores, directory.path());
    rig.approves = false;
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    let [first, second] = &outcome.datasets[..] else { panic!("{outcome:?}") };
    assert!(first.needs_approval() && !first.reached && matches!(first.state, State::Verified { .. }), "{first:?}");
    assert_eq!(second.waits_for.as_ref().unwrap().to_string(), "phase first, which comes first");
    let shown = route(&stores, "shop").unwrap();
    assert_eq!((shown.epoch, shown.lead.as_str()), (Epoch(0), "src"), "it is claimed, and no lead has moved");
    assert_eq!(stores["c"].snapshot().len(), 0, "the next phase waits");

    rig.approves = true;
    assert!(rig.try_run(Goal::CutOver).await.unwrap().datasets.iter().all(|dataset| dataset.reached));
    let given = rig.ledger.approvals().await.unwrap();
    assert_eq!(
        given.iter().map(|one| (one.phase.as_str(), one.by.as_str())).collect::<Vec<_>>(),
        [("first", "the test"), ("second", "the test")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_kept_but_not_for_another_cutover() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let mut first = rig(&stores, directory.path());
    first.approves = false;
    first.try_run(Goal::CutOver).await.unwrap();
    let binds = "what it was".to_owned();
    let phase = migrate::model::PhaseName::new("first").unwrap();
    let at = migrate::model::Timestamp(0);
    let approval = migrate::ledger::Approval { phase, binds, by: "ann".into(), at };
    first.ledger.append(vec![migrate::ledger::Record::Approved(approval)]).await.unwrap();
    let outcome = first.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets[0].needs_approval(), "it approved another cutover: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_somebody_else_moved_stops_the_run() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = rig(&stores, directory.path());
    let document = RouteDocument {
        dataset: migrate::model::DatasetName::new("shop").unwrap(),
        epoch: Epoch(4),
        attempt: "theirs".into(),
        lead: migrate::model::SiteName::new("elsewhere").unwrap(),
        partitions: Vec::new(),
        followers: Vec::new(),
        max_age_s: 1,
        since: "2026-01-01T00:00:00Z".into(),
        driver: None,
    };
    stores["control"].put_raw("shop.json", serde_json::to_vec(&document).unwrap(), Properties::default());
    let refused = rig.try_run(Goal::CutOver).await.unwrap_err();
    assert!(refused.is_blocking(), "{refused}");
    assert!(refused.to_string().contains("elsewhere leads dataset shop since epoch 4"), "{refused}");
    assert_eq!(stores["a"].snapshot().len(), 0, "nothing is written before the route is read");
    assert_eq!(route(&stores, "shop").unwrap(), document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_holds_no_route() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let honest = MemoryStore::new("s3://control/").probe().await.unwrap();
    let blind = Capabilities { put_if_absent: false, ..honest };
    let control: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("s3://control/").with_capabilities(blind));
    let mut shared: Stores = dynamic(&stores);
    shared.insert("control".into(), Arc::clone(&control));
    let outcome = Rig::new(&plan(""), shared, directory.path()).try_run(Goal::CutOver).await.unwrap();
    let stopped = outcome.stopped.expect("the gate refuses");
    assert!(stopped.is_blocking() && stopped.to_string().contains("ignores conditional writes"), "{stopped}");
    assert_eq!(control.head(&"shop.json".into()).await.unwrap(), None);
}

/// What is written at the old lead during the quiet time is brought over before the lead moves, and the
/// quiet time begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_the_quiet_time_is_brought_over_first() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let text = plan("").replace("quiet = \"0s\"", "quiet = \"1s\"");
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    let source = Arc::clone(&stores["src"]);
    let events = Arc::clone(&rig.events);
    let write = async {
        loop {
            let waits = events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Waiting { .. }));
            if waits {
                source.put_raw("page/05", "a late one", Properties::default());
                source.put_raw("new", "a new one", Properties::default());
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    let outcome = outcome.unwrap();
    assert!(outcome.datasets.iter().all(|dataset| dataset.reached), "{outcome:?}");
    for lead in ["a", "c"] {
        let snapshot = stores[lead].snapshot();
        assert_eq!(snapshot[&Key::from("page/05")].bytes, "a late one", "{lead}");
        assert_eq!(snapshot[&Key::from("new")].bytes, "a new one", "{lead}");
    }
}

/// A client that did not read the route again in time loses nothing silently.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_the_old_lead_after_the_switch_is_found() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let text = plan("").replace("route_max_age = \"0s\"", "route_max_age = \"1s\"");
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    let source = Arc::clone(&stores["src"]);
    let write = async {
        while epoch(&stores, "shop") == Epoch(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        source.put_raw("page/07", "too late", Properties::default());
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    let outcome = outcome.unwrap();
    assert!(matches!(outcome.datasets[0].state, State::CutOver { late: 1, .. }), "{outcome:?}");
    let events = rig.events.lock().unwrap();
    let late = events.iter().find_map(|event| match event {
        EventKind::LateWrites { keys, records: 1, .. } => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(late.unwrap(), [Key::from("page/07")]);
    let held = stores["a"].snapshot()[&Key::from("page/07")].bytes.clone();
    assert_eq!(held, "value 7", "it is not copied over what may have been written at the new lead");
}

/// The ledger may be lost, or another operator's: a run first reads the route, which names the lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_ledger_does_not_write_the_old_leads_data_over_the_new_ones() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    rig(&stores, directory.path()).try_run(Goal::CutOver).await.unwrap();
    stores["a"].put_raw("page/00", "written by the shop", Properties::default());
    let elsewhere = tempdir().unwrap();
    let anew = rig(&stores, elsewhere.path());
    for goal in [Goal::Copied, Goal::Verified, Goal::CutOver] {
        let error = anew.try_run(goal).await.unwrap_err();
        assert!(error.is_blocking() && error.to_string().contains("a leads dataset shop since epoch 1"), "{error}");
    }
    let error = anew.try_repair(Level::Bytes, &[]).await.unwrap_err();
    assert!(error.to_string().contains("a leads dataset shop since epoch 1"), "{error}");
    assert_eq!(stores["a"].snapshot()[&Key::from("page/00")].bytes, "written by the shop");
}

/// What a run leaves in the ledger that is cut off right after it has intended a switch.
fn cut_off_switch(dataset: &str, epoch: u64, route: &str) -> Vec<Record> {
    let (id, to) = (MoveId("cut off".into()), SiteName::new("a").unwrap());
    let verified = Transition::Verified {
        level: "listing".into(),
        compared: 1,
        decided: Decided { digests: 1, ..Decided::default() },
        blind_spots: Vec::new(),
        waived: vec![0],
        epoch: Epoch(0),
        of: Some(id.clone()),
    };
    let (lead, attempt) = (Lead { epoch: Epoch(epoch), lead: to.clone() }, "cut off".into());
    let intended = Transition::SwitchIntended { id: id.clone(), lead, attempt, route: route.to_owned(), max_age_s: 0 };
    let happened = |event| Record::Happened { dataset: DatasetName::new(dataset).unwrap(), event, at: Timestamp(0) };
    vec![happened(Transition::MoveBegun { id, to }), happened(verified), happened(intended)]
}

/// Only the route of a switch that was begun tells whether it happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_settled_at_its_own_route_and_nowhere_else() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let first = rig(&stores, directory.path());
    first.try_run(Goal::Verified).await.unwrap();
    let claimed = route(&stores, "shop");
    let route_at = "s3://control/routes/shop.json (https://elsewhere.example.com)";
    first.ledger.append(cut_off_switch("shop", 1, route_at)).await.unwrap();
    let error = first.try_run(Goal::CutOver).await.unwrap_err();
    assert!(
        error.to_string().contains("its switch was begun at the route s3://control/routes/shop.json (https://else"),
        "{error}"
    );
    assert_eq!(route(&stores, "shop"), claimed, "it was not sealed at another place");
}

/// Clients obey the maximal age in the document that they have read, not the one in the plan now.
#[tokio::test(flavor = "multi_thread")]
async fn the_watch_lasts_as_long_as_the_older_document_allows() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let document = RouteDocument {
        dataset: migrate::model::DatasetName::new("shop").unwrap(),
        epoch: Epoch(4),
        attempt: "theirs".into(),
        lead: migrate::model::SiteName::new("src").unwrap(),
        partitions: Vec::new(),
        followers: Vec::new(),
        max_age_s: 1,
        since: "2026-01-01T00:00:00Z".into(),
        driver: None,
    };
    stores["control"].put_raw("shop.json", serde_json::to_vec(&document).unwrap(), Properties::default());
    let rig = rig(&stores, directory.path());
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets.iter().all(|dataset| dataset.reached), "{outcome:?}");
    assert_eq!(route(&stores, "shop").unwrap().epoch, Epoch(5));
    let events = rig.events.lock().unwrap();
    let waits = events
        .iter()
        .filter(|event| matches!(event, EventKind::Waiting { seconds: 1, reason, .. } if reason.contains("read")));
    assert_eq!(waits.count(), 1, "the plan alone would not wait at all");
}

/// An object that was at a target before, and was found equal, is not ours to delete, also if we wrote it elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_discard_keeps_what_was_there_before() {
    let (stores, directory) = (memory(&["src", "a", "b"]), tempdir().unwrap());
    for (site, keys) in [("src", &["one", "two"][..]), ("a", &["one"]), ("b", &["two"])] {
        for key in keys {
            stores[site].put_raw(key, format!("value of {key}"), Properties::default());
        }
    }
    let rig = Rig::new(&super::one_dataset(&["a", "b"], ""), dynamic(&stores), directory.path());
    rig.run().await;
    let ends = rig.discard().await;
    assert_eq!((ends[0].discarded, ends[0].kept, ends[0].done), (2, 2, true), "{ends:?}");
    for (site, kept) in [("a", "one"), ("b", "two")] {
        assert_eq!(stores[site].snapshot().into_keys().collect::<Vec<_>>(), [Key::from(kept)], "{site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_has_moved_is_not_called_done_where_the_plan_wants_another() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    rig(&stores, directory.path()).try_run(Goal::CutOver).await.unwrap();
    let mut other = rig(&stores, directory.path());
    other.plan.phases[0].datasets[0].lead = Some(migrate::model::SiteName::new("b").unwrap());
    let error = other.try_run(Goal::CutOver).await.unwrap_err();
    assert!(error.to_string().contains("the plan wants another lead"), "{error}");
}

/// Another tool moves the lead while this run waits: the store refuses the run's switch.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_moves_meanwhile_loses_the_switch() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let text = plan("").replace("quiet = \"0s\"", "quiet = \"1s\"");
    // Nothing looks at the route before the switch does.
    let text = text.replace("route_max_age = \"0s\"", "route_max_age = \"1h\"");
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    let (events, control) = (Arc::clone(&rig.events), Arc::clone(&stores["control"]));
    let theirs = RouteDocument {
        dataset: migrate::model::DatasetName::new("shop").unwrap(),
        epoch: Epoch(1),
        attempt: "theirs".into(),
        lead: migrate::model::SiteName::new("b").unwrap(),
        partitions: Vec::new(),
        followers: Vec::new(),
        max_age_s: 1,
        since: "2026-01-01T00:00:00Z".into(),
        driver: None,
    };
    let move_it = async {
        while !events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Waiting { .. })) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        control.put_raw("shop.json", serde_json::to_vec(&theirs).unwrap(), Properties::default());
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), move_it);
    let stopped = outcome.unwrap().stopped.expect("the switch is lost");
    let told = "is no longer what was read: its lead was src and is b, its epoch was 0 and is 1";
    assert!(stopped.to_string().contains(told), "{stopped}");
    assert_eq!(route(&stores, "shop").unwrap(), theirs);
    assert!(rig.try_run(Goal::CutOver).await.unwrap_err().to_string().contains("b leads dataset shop"), "and stays so");
}

/// The last look asks the two sites between which the lead moves, and no other follower.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_down_delays_no_switch() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let on_listings = |fault, when| FaultRule::new(fault, when).on([Operation::List]);
    let counted = on_listings(Fault::SlowFirstByte(Duration::ZERO), When::Every(1));
    let faults = Arc::new(Faults::with_rules(1, vec![counted]));
    let mut shared = dynamic(&stores);
    let b = Arc::clone(&stores["b"]) as Arc<dyn ObjectStore>;
    shared.insert("b".into(), Arc::new(Faulty::new(b, Arc::clone(&faults))));
    let rig = Rig::new(&plan(""), shared, directory.path());
    let asked = || faults.struck().values().sum::<u64>();
    rig.try_run(Goal::Verified).await.unwrap();
    let before = asked();
    rig.try_run(Goal::Verified).await.unwrap();
    // That was a pass and a verification. The next run adds the final verification.
    let answers = (asked() - before) / 2 * 3;
    let down = (answers + 1..answers + 100).map(|nth| on_listings(Fault::Unreachable, When::Only(nth)));
    faults.set_rules(1, down.collect());
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    assert!(outcome.datasets.iter().all(|dataset| dataset.reached), "{outcome:?}");
}

/// The last look includes the new lead: something writes there before the lead has moved. The digest of what it
/// writes is equal, so the final verification finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_the_new_lead_before_the_switch_stops_it() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let rig = Rig::new(&plan("").replace("quiet = \"0s\"", "quiet = \"1s\""), dynamic(&stores), directory.path());
    let (events, lead) = (Arc::clone(&rig.events), Arc::clone(&stores["a"]));
    let write = async {
        while !events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Waiting { .. })) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lead.put_raw("page/03", "value 3", Properties::default());
    };
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    let stopped = outcome.unwrap().stopped.expect("the last look refuses");
    assert!(stopped.is_blocking(), "{stopped}");
    assert!(stopped.to_string().contains("1 record at a is not what was compared, the first is page/03"), "{stopped}");
    assert_eq!(epoch(&stores, "shop"), Epoch(0), "the lead has not moved");
}

/// A store refuses a condition that holds, although its probe said otherwise: the error accuses no other writer,
/// and a request that may still be on its way is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_refused_while_the_route_is_as_it_was_read_accuses_nobody() {
    let (stores, directory) = (filled(), tempdir().unwrap());
    let document = RouteDocument {
        dataset: migrate::model::DatasetName::new("shop").unwrap(),
        epoch: Epoch(4),
        attempt: "earlier".into(),
        lead: migrate::model::SiteName::new("src").unwrap(),
        partitions: Vec::new(),
        followers: Vec::new(),
        max_age_s: 0,
        since: "2026-01-01T00:00:00Z".into(),
        driver: None,
    };
    let control = Arc::new(Racing::of(MemoryStore::new("s3://control/routes/")));
    control.inner.put_raw("shop.json", serde_json::to_vec(&document).unwrap(), Properties::default());
    let mut shared = dynamic(&stores);
    shared.insert("control".into(), control.clone());
    let rig = Rig::new(&plan(""), shared, directory.path());
    rig.try_run(Goal::Verified).await.unwrap();
    control.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    let stopped = rig.try_run(Goal::CutOver).await.unwrap().stopped.expect("the store refuses").to_string();
    assert!(stopped.contains("still shows just what was read") && !stopped.contains("somebody"), "{stopped}");

    // The same for a switch that a crash has cut off: its request may still come, and its condition holds.
    rig.try_run(Goal::Verified).await.unwrap();
    let route_at = "s3://control/routes/shop.json (https://control.example.com)";
    rig.ledger.append(cut_off_switch("shop", 5, route_at)).await.unwrap();
    let refused = match rig.try_run(Goal::CutOver).await {
        Ok(outcome) => outcome.stopped.expect("the store refuses").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("still shows just what was read"), "{refused}");
    let events = rig.ledger.events(&document.dataset).await.unwrap();
    let (last, _) = events.last().unwrap();
    assert!(matches!(last, Transition::SwitchIntended { .. }), "{last:?}");
}
