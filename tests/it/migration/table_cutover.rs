//! Cutovers of tables: no write is lost, and none comes back, whoever writes where.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use migrate::{
    cutover::RouteDocument,
    engine::sites::{Given, Opened},
    engine::{RunOutcome, Shutdown, Sites},
    item::{Item, Value},
    ledger::{CommitFate, Options},
    lifecycle::{Goal, State},
    model::{DatasetName, Epoch, Key},
    plan::{Level, Location},
    report::{EventKind, Sink},
    store::{
        memory::MemoryStore,
        memory_table::MemoryTable,
        table::{ItemWrite, TableStore as _},
    },
    table::{KeyType, Structure},
};
use tempfile::tempdir;

use super::{Rig, Stores, quick};

/// `users` goes from `src` to `a` and `b`, and `a` leads it then. Its route is at the site `control`.
pub(super) fn plan(more: &str, cutover: &str) -> String {
    let site = |name: &str| {
        format!(
            "[sites.{name}]\ns3 = {{ endpoint = \"https://{name}.example.com\", path_style = true }}\n\
             dynamodb = {{ endpoint = \"https://{name}.example.com\", region = \"r\" }}\n\
             credentials = {{ env = \"UNUSED\" }}\n"
        )
    };
    let sites: String = ["src", "a", "b", "control"].map(site).concat();
    format!(
        "name = \"leads\"\n{sites}\n[[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"users\"\nlive = true\n\
         source = \"dynamodb://src/users\"\ntargets = [\"dynamodb://a/users\", \"dynamodb://b/users\"]\nlead = \"a\"\n\
         {more}\n[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
         route_max_age = \"0s\"\nroute = \"s3://control/routes/users.json\"\n{cutover}\n"
    )
}

/// Commits of a run at which it is cut off; it has fewer.
const COMMITS: u64 = 64;

/// The tables of three sites, and the routes at a fourth.
pub(super) struct Places {
    pub(super) tables: BTreeMap<String, MemoryTable>,
    pub(super) control: Arc<MemoryStore>,
}

fn structure() -> Structure {
    Structure { ttl: Some("expires".to_owned()), ..Structure::plain(("id", KeyType::Text), None) }
}

pub(super) fn item(id: &str, value: &str) -> Item {
    Item::from([("id".to_owned(), Value::Text(id.to_owned())), ("value".to_owned(), Value::Text(value.to_owned()))])
}

pub(super) fn key(id: &str) -> Key {
    let names = structure().key_names();
    names.text(&names.key_of(&item(id, "")).unwrap())
}

impl Places {
    pub(super) fn filled() -> Self {
        let table = |site: &str| MemoryTable::new(&format!("dynamodb://{site}/users"));
        let mut tables: BTreeMap<_, _> = ["a", "b"].map(|site| (site.to_owned(), table(site))).into();
        tables.insert("src".to_owned(), MemoryTable::with("dynamodb://src/users", structure()));
        let places = Self { tables, control: Arc::new(MemoryStore::new("s3://control/")) };
        for n in 0..50 {
            places.put("src", &format!("user-{n:02}"), "first");
        }
        places
    }

    pub(super) fn put(&self, site: &str, id: &str, value: &str) {
        self.tables[site].apply(&ItemWrite::Put(item(id, value))).unwrap();
    }

    pub(super) fn delete(&self, site: &str, id: &str) {
        let names = structure().key_names();
        self.tables[site].apply(&ItemWrite::Delete(names.key_of(&item(id, "")).unwrap())).unwrap();
    }

    /// What a site holds of an id.
    pub(super) fn value(&self, site: &str, id: &str) -> Option<String> {
        let found = self.tables[site].snapshot().into_values().find(|found| found["id"] == Value::Text(id.to_owned()));
        found.map(|found| match &found["value"] {
            Value::Text(value) => value.clone(),
            other => panic!("{other:?}"),
        })
    }

    pub(super) fn values(&self, id: &str) -> [Option<String>; 3] {
        ["src", "a", "b"].map(|site| self.value(site, id))
    }

    pub(super) fn rig(&self, text: &str, directory: &Path, options: Options) -> Rig {
        let mut rig = Rig::with_ledger(text, Stores::new(), directory, options);
        let (tables, control) = (self.tables.clone(), Arc::clone(&self.control));
        let open = move |at: &Location, _| match at.site.as_str() {
            "control" => Some(Opened::Store(control.clone())),
            site => tables.get(site).map(|table| Opened::Table(Arc::new(table.clone()))),
        };
        rig.sites = Sites::new(Arc::new(Given::places(open)), quick());
        rig
    }

    pub(super) fn route(&self) -> Option<RouteDocument> {
        let snapshot = self.control.snapshot();
        Some(serde_json::from_slice(&snapshot.get(&Key::from("users.json"))?.bytes).unwrap())
    }

    pub(super) fn lead(&self) -> String {
        self.route().map_or("src".to_owned(), |route| route.lead.to_string())
    }
}

pub(super) fn name() -> DatasetName {
    DatasetName::new("users").unwrap()
}

/// Does something as soon as a step begins.
pub(super) async fn once(rig: &Rig, step: &str, act: impl FnOnce()) {
    let began = Instant::now();
    loop {
        let is_step = |event: &EventKind| matches!(event, EventKind::CutoverStep { step: told, .. } if *told == step);
        if rig.events.lock().unwrap().iter().any(is_step) {
            return act();
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{step} does not begin");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(super) fn cut_over(outcome: &RunOutcome) -> u64 {
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    match &outcome.datasets[0].state {
        State::CutOver { late, .. } => *late,
        other => panic!("{other:?} {outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_of_a_table_moves_and_the_others_follow_it() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let rig = places.rig(&plan("", "max_lag = \"1h\""), directory.path(), Options::default());
    assert_eq!(cut_over(&rig.try_run(Goal::CutOver).await.unwrap()), 0);
    let route = places.route().unwrap();
    assert_eq!((route.epoch, route.lead.as_str()), (Epoch(1), "a"));
    let steps: Vec<_> = rig
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            EventKind::CutoverStep { step, .. } => Some(*step),
            _ => None,
        })
        .collect();
    assert_eq!(steps.first(), Some(&"gate"), "{steps:?}");
    assert!(steps.contains(&"drain") && steps.contains(&"last look"), "{steps:?}");
    let ttl = async |site: &str| places.tables[site].describe().await.unwrap().unwrap().structure.ttl;
    assert_eq!(ttl("a").await.as_deref(), Some("expires"), "items expire at the new lead");
    assert_eq!(ttl("b").await, None, "and at nobody who follows it");

    // What the application does at the new lead comes to the old one, and to the other target.
    places.put("a", "user-00", "second");
    places.put("a", "new", "first");
    places.delete("a", "user-01");
    for round in ["second", "third"] {
        places.put("a", "user-02", round);
        let again = places.rig(&plan("", ""), directory.path(), Options::default());
        let outcome = again.try_run(Goal::CutOver).await.unwrap();
        assert!(outcome.datasets[0].reached && outcome.stopped.is_none(), "{outcome:?}");
        assert_eq!(places.values("user-02"), [0; 3].map(|_| Some(round.to_owned())));
    }
    assert_eq!(places.values("user-00"), [0; 3].map(|_| Some("second".to_owned())));
    assert_eq!(places.values("new"), [0; 3].map(|_| Some("first".to_owned())));
    assert_eq!(places.values("user-01"), [None, None, None]);
    assert_eq!(rig.ledger.late_counts(&name()).await.unwrap().open, 0, "what we bring there is no late write");
}

/// What is written during the quiet time is brought over before the lead moves.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_lead_moves_is_brought_over_first() {
    for step in ["quiet", "drain", "final verify", "last look"] {
        let (places, directory) = (Places::filled(), tempdir().unwrap());
        let rig = places.rig(&plan("", ""), directory.path(), Options::default());
        let write = once(&rig, step, || {
            places.put("src", "user-03", "second");
            places.put("src", "new", "second");
            places.delete("src", "user-04");
        });
        let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
        assert_eq!(cut_over(&outcome.unwrap()), 0, "{step}");
        assert_eq!(places.values("user-03"), [0; 3].map(|_| Some("second".to_owned())), "{step}");
        assert_eq!(places.values("new"), [0; 3].map(|_| Some("second".to_owned())), "{step}");
        assert_eq!(places.values("user-04"), [None, None, None], "{step}");
    }
}

/// A client that read the route too late: its write is told, and nothing is written over it until somebody decides.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_the_old_lead_after_the_switch_is_told_and_stays() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let text = plan("", "").replace("route_max_age = \"0s\"", "route_max_age = \"1s\"");
    let rig = places.rig(&text, directory.path(), Options::default());
    let write = once(&rig, "watch", || {
        places.put("src", "user-05", "too late");
        places.put("src", "user-06", "first");
        places.put("a", "user-05", "at the new lead");
    });
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    assert_eq!(cut_over(&outcome.unwrap()), 1, "an equal write is none");
    let late = rig.events.lock().unwrap().iter().find_map(|event| match event {
        EventKind::LateWrites { keys, records: 1, .. } => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(late.unwrap(), [key("user-05")]);

    // So do writes of what the new lead does not have.
    places.put("src", "only here", "far too late");
    // Another one comes long after the switch, at a key that the new lead has changed, too.
    places.put("src", "user-07", "far too late");
    places.put("a", "user-07", "at the new lead");
    places.put("a", "user-08", "at the new lead");
    let again = places.rig(&text, directory.path(), Options::default());
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    let waits = outcome.datasets[0].waits_for.as_ref().unwrap().to_string();
    assert!(waits.contains("3 records that were written at its old lead"), "{waits}");
    assert_eq!(places.value("src", "user-05").as_deref(), Some("too late"));
    assert_eq!(places.value("src", "user-07").as_deref(), Some("far too late"));
    assert_eq!(places.value("src", "user-08").as_deref(), Some("at the new lead"), "the others follow");
    assert_eq!(places.value("b", "user-07").as_deref(), Some("at the new lead"));

    // One is carried over by hand, the other is decided.
    places.put("a", "user-05", "too late");
    let settled = migrate::ledger::Record::LateSettled {
        dataset: name(),
        keys: Some(vec![key("only here"), key("user-07")]),
        by: Some("ann".to_owned()),
        reason: None,
        at: migrate::model::Timestamp(1),
    };
    again.ledger.append(vec![settled]).await.unwrap();
    for _ in 0..2 {
        // The run that finds them equal settles them at its end.
        again.try_run(Goal::CutOver).await.unwrap();
    }
    assert_eq!(again.ledger.late_counts(&name()).await.unwrap().open, 0);
    assert_eq!(places.value("src", "only here").as_deref(), Some("far too late"), "nobody deletes it");
    places.delete("src", "only here");
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets[0].reached, "{outcome:?}");
    assert_eq!(places.values("user-05"), [0; 3].map(|_| Some("too late".to_owned())));
    assert_eq!(places.values("user-07"), [0; 3].map(|_| Some("at the new lead".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_somebody_else_at_the_new_lead_stops_the_move() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let rig = places.rig(&plan("", ""), directory.path(), Options::default());
    // After the final verification only the new lead's own stream shows it.
    let write = once(&rig, "last look", || places.put("a", "user-09", "somebody else's"));
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    let stopped = outcome.unwrap().stopped.expect("it is refused");
    assert!(stopped.to_string().contains("something else writes there"), "{stopped}");
    assert_eq!(places.lead(), "src");
    // Nothing is written over it unasked, and it is told as what it is.
    let again = places.rig(&plan("", ""), directory.path(), Options::default());
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    assert!(matches!(outcome.datasets[0].state, State::Different { .. }), "{outcome:?}");
    assert_eq!((places.lead().as_str(), places.value("a", "user-09").as_deref()), ("src", Some("somebody else's")));
    let (_, mended) = again.try_repair(Level::Bytes, &[]).await.unwrap();
    assert_eq!(mended, 1);
    assert_eq!(cut_over(&again.try_run(Goal::CutOver).await.unwrap()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_does_not_move_to_a_table_without_a_stream() {
    let (mut places, directory) = (Places::filled(), tempdir().unwrap());
    places.tables.insert("a".to_owned(), MemoryTable::new("dynamodb://a/users").without_streams());
    let rig = places.rig(&plan("", ""), directory.path(), Options::default());
    let outcome = rig.try_run(Goal::CutOver).await.unwrap();
    let stopped = outcome.stopped.expect("it is refused");
    assert!(stopped.to_string().contains("dynamodb://a/users has no stream of changes"), "{stopped}");
    assert_eq!(places.lead(), "src");
    assert!(outcome.datasets[0].verified.is_some(), "all the same it is proved");
}

/// A run looks at the tables before it comes to the gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_refuses_tables_that_a_run_refuses() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let rig = places.rig(&plan("", ""), directory.path(), Options::default());
    rig.try_run(Goal::Verified).await.unwrap();
    let phase = rig.plan.phases[0].name.clone();
    let dry_run = async || rig.inspection(Sink::none(), Shutdown::new()).dry_run(&phase).await;
    assert!(dry_run().await.unwrap()[0].ready);
    // An operator prepares the new lead, or a follower: what is copied may vanish there.
    for site in ["a", "b"] {
        places.tables[site].set_ttl(Some("expires")).await.unwrap();
        let refused = rig.try_run(Goal::CutOver).await.unwrap_err().to_string();
        assert_eq!(dry_run().await.unwrap_err().to_string(), refused);
        assert!(refused.contains("also before it leads"), "{refused}");
        places.tables[site].set_ttl(None).await.unwrap();
    }
    assert!(dry_run().await.unwrap()[0].ready);
}

/// An application that follows the route writes between the runs, of which the first is cut off at each commit in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_commit_leaves_one_lead_and_loses_no_write() {
    // Most of the time is waits for streams, so many go on at once.
    let runs = (1..=COMMITS).map(|commit| tokio::spawn(cut_off_at(commit, commit % 3 == 0)));
    let runs: Vec<_> = stream::iter(runs).buffer_unordered(16).collect().await;
    let leads: Vec<_> = runs.into_iter().map(Result::unwrap).collect();
    let count = |wanted: &str| leads.iter().filter(|lead| lead.as_deref() == Some(wanted)).count();
    let (before, after) = (count("src"), count("a") + count("b"));
    assert!(before > 15 && after > 2, "it was cut off before and after the switch: {before} and {after} times");
    assert!(leads.contains(&None), "and once not at all");
}

/// Cuts a run off at a commit, and carries it to its end; returns which site led in between if it was cut off.
async fn cut_off_at(commit: u64, is_split: bool) -> Option<String> {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    let fate = move |number: u64| match number.cmp(&commit) {
        Ordering::Less => CommitFate::Go,
        // Every other crash comes after the write.
        _ if commit.is_multiple_of(2) => CommitFate::FailAfter,
        _ => CommitFate::FailBefore,
    };
    let options = Options { on_commit: Some(Arc::new(fate)), ..Options::default() };
    let text = if is_split { parted("") } else { plan("", "") };
    let rig = places.rig(&text, directory.path(), options);
    let crashed = rig.try_run(Goal::CutOver).await;
    let is_whole = crashed.is_ok_and(|outcome| outcome.stopped.is_none() && outcome.datasets[0].reached);
    drop(rig);
    // What the application writes between the two runs, it writes at the lead that the route shows.
    let lead = places.lead();
    places.put(&lead, "user-10", "between");
    places.delete(&lead, "user-11");
    if is_split && lead != "src" {
        places.delete("b", "user-12");
        places.put("a", "user-12", "a between");
    }
    let again = places.rig(&text, directory.path(), Options::default());
    // What is proved, or was cut off in its switch, the run takes to its end.
    let phase = again.plan.phases[0].name.clone();
    for dry in again.inspection(Sink::none(), Shutdown::new()).dry_run(&phase).await.unwrap() {
        let is_proved = ["verified", "switching", "switched", "cut_over"].contains(&dry.state);
        assert_eq!(dry.ready, is_proved, "{commit}: {dry:?}");
    }
    let mut outcome = again.try_run(Goal::CutOver).await.unwrap_or_else(|error| panic!("{commit}: {error}"));
    if lead != "src" {
        // It was behind the switch already: if this run was to watch, the next one follows back.
        outcome = again.try_run(Goal::CutOver).await.unwrap_or_else(|error| panic!("{commit}: {error}"));
    }
    assert!(outcome.datasets[0].reached && outcome.stopped.is_none(), "{commit}: {outcome:?}");
    assert_eq!(places.route().unwrap().epoch, Epoch(1), "{commit}");
    let between = Some("between".to_owned());
    let at_a = between.clone().filter(|_| !is_split);
    assert_eq!(places.values("user-10"), [between.clone(), at_a, between], "{commit}");
    assert_eq!(places.values("user-11"), [None, None, None], "{commit}");
    if is_split && lead != "src" {
        assert_eq!(places.value("src", "user-12").as_deref(), Some("a between"), "{commit}: it follows both");
    }
    assert_eq!(again.ledger.late_counts(&name()).await.unwrap().open, 0, "{commit}");
    (!is_whole).then_some(lead)
}

/// The plan in which each target leads its own part: `a` those whose value begins with "a", `b` the others.
fn parted(more: &str) -> String {
    let targets = "[[phase.dataset.target]]\nat = \"dynamodb://a/users\"\nwhere = 'item.value.startsWith(\"a\")'\n\
                   [[phase.dataset.target]]\nat = \"dynamodb://b/users\"\nwhere = \"otherwise\"\n";
    let whole = "targets = [\"dynamodb://a/users\", \"dynamodb://b/users\"]\nlead = \"a\"\n";
    plan("", more)
        .replace(whole, "")
        .replace("\n[phase.dataset.cutover]", &format!("\n{targets}[phase.dataset.cutover]"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_table_is_led_by_its_own_target_and_the_old_lead_follows_both() {
    let (places, directory) = (Places::filled(), tempdir().unwrap());
    for n in 50..70 {
        places.put("src", &format!("user-{n}"), "a first");
    }
    let rig = places.rig(&parted(""), directory.path(), Options::default());
    // A record changes sides while the lead moves.
    let write = once(&rig, "drain", || {
        places.put("src", "user-50", "moved to the others");
        places.put("src", "user-00", "a moved");
        places.delete("src", "user-51");
    });
    let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
    assert_eq!(cut_over(&outcome.unwrap()), 0);
    let route = places.route().unwrap();
    let parts: Vec<_> = route.partitions.iter().map(|part| (part.filter.as_str(), part.lead.as_str())).collect();
    assert_eq!(parts, [("item.value.startsWith(\"a\")", "a"), ("otherwise", "b")]);
    assert_eq!((route.epoch, route.lead.as_str()), (Epoch(1), "b"), "the rest stands for all");
    assert_eq!(route.followers.iter().map(migrate::model::SiteName::as_str).collect::<Vec<_>>(), ["src"]);
    let held = |id| ["a", "b"].map(|site| places.value(site, id));
    assert_eq!(held("user-50"), [None, Some("moved to the others".to_owned())]);
    assert_eq!(held("user-00"), [Some("a moved".to_owned()), None]);
    assert_eq!(held("user-51"), [None, None]);
    for site in ["a", "b"] {
        let ttl = places.tables[site].describe().await.unwrap().unwrap().structure.ttl;
        assert_eq!(ttl.as_deref(), Some("expires"), "{site}");
    }

    // The application writes each at its lead, moves one, and deletes one; somebody still writes at the old lead.
    places.put("a", "user-52", "a second");
    places.put("b", "user-01", "second");
    places.delete("a", "user-53");
    places.delete("b", "user-02");
    places.put("a", "user-02", "a came over");
    places.put("src", "user-03", "too late");
    let again = places.rig(&parted(""), directory.path(), Options::default());
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    let waits = outcome.datasets[0].waits_for.as_ref().unwrap().to_string();
    assert!(waits.contains("1 record that was written at its old lead"), "{waits}");
    let old = |id| places.value("src", id);
    assert_eq!(old("user-52").as_deref(), Some("a second"));
    assert_eq!(old("user-01").as_deref(), Some("second"));
    assert_eq!(old("user-02").as_deref(), Some("a came over"));
    assert_eq!((old("user-53"), old("user-03").as_deref()), (None, Some("too late")));
    // It is carried over by hand.
    places.put("b", "user-03", "too late");
    again.try_run(Goal::CutOver).await.unwrap();
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    assert!(outcome.datasets[0].reached && outcome.stopped.is_none(), "{outcome:?}");
    assert!(again.verify(Level::Bytes).await.verified.is_some(), "the parts are together what the old lead holds");

    // A key that two leads hold is nobody's to decide.
    places.put("a", "user-04", "a twin");
    let outcome = again.try_run(Goal::CutOver).await.unwrap();
    let stopped = outcome.stopped.expect("it is refused").to_string();
    assert!(stopped.contains("two"), "{stopped}");
    assert_eq!(old("user-04").as_deref(), Some("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_somebody_else_at_any_part_stops_the_move_of_all() {
    for site in ["a", "b"] {
        let (places, directory) = (Places::filled(), tempdir().unwrap());
        places.put("src", "user-90", "a first");
        let rig = places.rig(&parted(""), directory.path(), Options::default());
        let write = once(&rig, "last look", || places.put(site, "user-91", "somebody else's"));
        let (outcome, ()) = tokio::join!(rig.try_run(Goal::CutOver), write);
        let stopped = outcome.unwrap().stopped.expect("it is refused");
        assert!(stopped.to_string().contains("something else writes there"), "{stopped}");
        assert_eq!(places.lead(), "src", "{site}");
    }
}
