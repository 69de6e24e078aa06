//! Whole migrations of tables in memory: plan text in, equal tables out.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::{
    approver::ByFlag,
    asked::{AbortOptions, InFlightMax, RunOptions, RunOutcome, VerifyOptions},
    clock::{Clock, now},
    migration::{Inspection, Migration},
    shutdown::Shutdown,
    sink::Sink,
    sites::{connect::Given, opening::Sites},
    verify::found::Found,
    waits::WaitsFor,
};
use migrate_core::{
    item::{Item, Value},
    lifecycle::{Goal, State},
    model::DatasetName,
    plan::{self, Plan},
    report::EventKind,
    table::{KeyType, Structure},
};
use migrate_ledger::Ledger;
use migrate_store::{
    faulty::{Crash, Fault, FaultRule, Faults, FaultyTable, Operation, When},
    memory_table::MemoryTable,
    retry::RetryPolicy,
    table::{ItemWrite, TableStore},
};

/// A migration of one table, `src`, to others.
struct Rig {
    plan: Plan,
    sites: Sites,
    ledger: Arc<Ledger>,
    tables: BTreeMap<String, MemoryTable>,
    events: Arc<Mutex<Vec<EventKind>>>,
    _directory: tempfile::TempDir,
}

/// Retries without waits.
fn quick() -> RetryPolicy {
    let pause = std::time::Duration::from_millis(1);
    RetryPolicy { pause, pause_throttled: pause, pause_max: pause, ..RetryPolicy::default() }
}

fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), Some(("n", KeyType::Number)))
}

fn item(id: u32, value: &str) -> Item {
    Item::from([
        ("id".to_owned(), Value::Text(format!("user-{id:05}"))),
        ("n".to_owned(), Value::Number(id.to_string().parse().unwrap())),
        ("value".to_owned(), Value::Text(value.to_owned())),
    ])
}

fn put(id: u32, value: &str) -> ItemWrite {
    ItemWrite::Put(item(id, value))
}

fn delete(id: u32) -> ItemWrite {
    let names = structure().key_names();
    ItemWrite::Delete(names.key_of(&item(id, "")).unwrap())
}

impl Rig {
    fn new(targets: &[&str], more: &str) -> Self {
        let sites: Vec<_> = std::iter::once(&"src")
            .chain(targets)
            .map(|target| {
                let site = target.split(' ').next().unwrap();
                format!(
                    "[sites.{site}]\ndynamodb = {{ endpoint = \"https://{site}.example.com\", region = \"r\" }}\n\
                     credentials = {{ env = \"UNUSED\" }}\n"
                )
            })
            .collect();
        let sites = sites.concat();
        // A target is a site, or a site and which items belong there.
        let target = |target: &&str| {
            let (site, rule) = target.split_once(' ').unwrap_or((target, ""));
            let rule = if rule.is_empty() { String::new() } else { format!("where = '{rule}'\n") };
            format!("[[phase.dataset.target]]\nat = \"dynamodb://{site}/users\"\n{rule}")
        };
        let at: String = targets.iter().map(target).collect();
        let text = format!(
            "name = \"test\"\n{sites}[[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"users\"\n\
             source = \"dynamodb://src/users\"\n{more}\n{at}"
        );
        let plan = plan::parse(&text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let mut tables = BTreeMap::new();
        tables.insert("src".to_owned(), MemoryTable::with("dynamodb://src/users", structure()).with_page_size(7));
        for target in targets {
            let site = target.split(' ').next().unwrap();
            tables.insert(site.to_owned(), MemoryTable::new(&format!("dynamodb://{site}/users")));
        }
        let directory = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(&directory.path().join("ledger.sqlite"), &plan.name).unwrap());
        let given = tables.clone();
        let given = Given::tables(move |at, _| {
            given.get(at.site.as_str()).map(|table| Arc::new(table.clone()) as Arc<dyn TableStore>)
        });
        let sites = Sites::new(Arc::new(given), quick());
        Self { plan, sites, ledger, tables, events: Arc::default(), _directory: directory }
    }

    fn table(&self, site: &str) -> &MemoryTable {
        &self.tables[site]
    }

    fn fill(&self, ids: std::ops::Range<u32>) {
        ids.for_each(|id| self.table("src").apply(&put(id, "first")).unwrap());
    }

    async fn run_with(&self, force: bool, shutdown: Shutdown) -> RunOutcome {
        let (sink, mut told) = Sink::new(Clock::start());
        let migration =
            Migration { plan: &self.plan, sites: &self.sites, ledger: Arc::clone(&self.ledger), sink, shutdown };
        let outcome = migration.run(&Self::options(force)).await.unwrap();
        drop(migration);
        while let Some(event) = told.recv().await {
            self.events.lock().unwrap().push(event.kind);
        }
        outcome
    }

    async fn run(&self) -> RunOutcome {
        self.run_with(false, Shutdown::new()).await
    }

    /// Runs, and expects that nothing can begin.
    async fn refused(&self) -> String {
        let migration = Migration {
            plan: &self.plan,
            sites: &self.sites,
            ledger: Arc::clone(&self.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        migration.run(&Self::options(false)).await.unwrap_err().to_string()
    }

    fn options(force: bool) -> RunOptions {
        RunOptions {
            goal: Goal::Verified,
            phases: Vec::new(),
            datasets: Vec::new(),
            force,
            limits: InFlightMax::default(),
            approver: Arc::new(ByFlag::default()),
        }
    }

    /// Runs, and expects a proof that compared this many items.
    async fn proves(&self, compared: u64) {
        let outcome = self.run().await;
        assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
        let dataset = &outcome.datasets[0];
        assert!(dataset.reached && matches!(dataset.state, State::Verified { .. }), "{dataset:?}");
        assert_eq!(dataset.verified.as_ref().unwrap().compared(), compared);
    }

    /// The same migration, with one of its tables failing as these faults say.
    fn failing(&mut self, at: &str, faults: Arc<Faults>) {
        let (tables, at) = (self.tables.clone(), at.to_owned());
        let given = Given::tables(move |location, _| {
            let site = location.site.as_str();
            let table = Arc::new(tables.get(site)?.clone()) as Arc<dyn TableStore>;
            Some(if site == at { Arc::new(FaultyTable::new(table, Arc::clone(&faults))) } else { table })
        });
        self.sites = Sites::new(Arc::new(given), quick());
    }

    /// The same migration, with a table that cannot be reached.
    fn without(&mut self, at: &str) {
        self.failing(at, Arc::new(Faults::with_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1))])));
    }

    /// The same migration, with all tables as they are.
    fn whole(&mut self) {
        self.failing("", Arc::new(Faults::none()));
    }

    /// The keys that are owed.
    async fn owed(&self) -> u64 {
        let name = DatasetName::new("users").unwrap();
        self.ledger.owed(&name).await.unwrap().iter().map(|owed| owed.keys).sum()
    }

    #[track_caller]
    fn is_equal(&self, site: &str) {
        assert_eq!(self.table(site).snapshot(), self.table("src").snapshot());
    }
}

#[tokio::test]
async fn a_table_is_made_copied_and_proved_at_all_targets() {
    let rig = Rig::new(&["a", "b"], "");
    rig.fill(0..500);
    rig.proves(1000).await;
    rig.is_equal("a");
    rig.is_equal("b");
    // Nothing has changed, so a second run has nothing to bring.
    rig.proves(1000).await;
}

#[tokio::test]
async fn without_a_stream_the_next_run_compares_and_mends() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..300);
    rig.proves(300).await;
    for write in [put(7, "changed"), delete(8), put(1000, "new")] {
        rig.table("src").apply(&write).unwrap();
    }
    rig.table("a").apply(&put(2000, "stray")).unwrap();
    rig.proves(300).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_live_table_is_followed_by_its_stream() {
    let rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..300);
    rig.proves(600).await;
    for write in [put(7, "changed"), delete(8), put(1000, "new")] {
        rig.table("src").apply(&write).unwrap();
    }
    rig.proves(600).await;
    rig.is_equal("a");
    rig.is_equal("b");
    assert_eq!(rig.owed().await, 0);
    let compared = rig.events.lock().unwrap().iter().any(|event| matches!(event, EventKind::Warning { .. }));
    assert!(!compared || rig.table("src").changes().is_some());
}

/// Writers put, delete and put again while the table is copied, and for a while longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_during_the_copy_arrive() {
    let rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..2000);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4u32)
        .map(|writer| {
            let (table, stop) = (rig.table("src").clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut turn = 0;
                while !stop.load(Relaxed) {
                    for id in (writer * 500..).step_by(37).take(13) {
                        let write = if (id + turn) % 3 == 0 { delete(id) } else { put(id, &format!("turn {turn}")) };
                        table.set_time(now());
                        table.apply(&write).unwrap();
                    }
                    turn += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    let first = rig.run().await;
    assert!(first.stopped.is_none(), "{:?}", first.stopped);
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let left = rig.table("src").snapshot().len() as u64;
    rig.proves(2 * left).await;
    rig.is_equal("a");
    rig.is_equal("b");
}

#[tokio::test]
async fn shards_that_split_and_iterators_that_expire_lose_nothing() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..100);
    rig.proves(100).await;
    let source = rig.table("src");
    source.read_at_most(3);
    for round in 0..4 {
        for id in 0..20 {
            source.apply(&put(id * 5, &format!("round {round}"))).unwrap();
        }
        source.split_shards();
        source.expire_iterators();
    }
    source.read_nothing(5);
    rig.proves(100).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_stream_that_lost_changes_is_told_and_all_items_are_compared() {
    for lose in [MemoryTable::trim as fn(&MemoryTable), MemoryTable::renew_stream, |table| {
        table.split_shards();
        table.expire_shards();
    }] {
        let rig = Rig::new(&["a"], "live = true");
        rig.fill(0..100);
        rig.proves(100).await;
        rig.table("src").apply(&put(1, "seen")).unwrap();
        rig.proves(100).await;
        let source = rig.table("src");
        source.apply(&put(5, "lost")).unwrap();
        source.apply(&delete(6)).unwrap();
        lose(source);
        rig.proves(99).await;
        rig.is_equal("a");
        let events = rig.events.lock().unwrap();
        let told = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("lost"));
        assert!(events.iter().any(told), "{events:?}");
    }
}

/// What was copied before the stream was read may have changed before it was read, too.
#[tokio::test]
async fn a_copy_that_was_begun_without_a_stream_is_compared_once_it_has_one() {
    let mut rig = Rig::new(&["a"], "");
    rig.fill(0..100);
    let faults = Arc::new(Faults::none().with_crash(Crash::Before(5)));
    let (source, target) = (rig.table("src").clone(), FaultyTable::new(Arc::new(rig.table("a").clone()), faults));
    let target: Arc<dyn TableStore> = Arc::new(target);
    let given = Given::tables(move |at, _| {
        Some(if at.site.as_str() == "src" {
            Arc::new(source.clone()) as Arc<dyn TableStore>
        } else {
            Arc::clone(&target)
        })
    });
    let whole = std::mem::replace(&mut rig.sites, Sites::new(Arc::new(given), quick()));
    let outcome = rig.run().await;
    assert!(!outcome.datasets.iter().any(|dataset| dataset.reached), "{outcome:?}");
    assert!(!rig.table("a").snapshot().is_empty());
    rig.sites = whole;
    (0..100).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
    rig.plan = Rig::new(&["a"], "live = true").plan;
    rig.proves(100).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_source_without_streams_is_followed_by_comparing_and_says_so() {
    let mut rig = Rig::new(&["a"], "live = true");
    let source = MemoryTable::with("dynamodb://src/users", structure()).without_streams();
    rig.tables.insert("src".to_owned(), source);
    let given = rig.tables.clone();
    let given = Given::tables(move |at, _| {
        given.get(at.site.as_str()).map(|table| Arc::new(table.clone()) as Arc<dyn TableStore>)
    });
    rig.sites = Sites::new(Arc::new(given), quick());
    rig.fill(0..50);
    rig.proves(50).await;
    rig.table("src").apply(&put(3, "changed")).unwrap();
    rig.proves(50).await;
    rig.is_equal("a");
    let events = rig.events.lock().unwrap();
    let told = |event: &EventKind| matches!(event, EventKind::Warning { message, .. } if message.contains("no stream"));
    assert!(events.iter().any(told));
}

/// What an inspection that writes nothing finds at each target: missing, different, extra.
async fn inspected(rig: &Rig) -> Vec<(u64, u64, u64)> {
    let inspection = Inspection {
        plan: &rig.plan,
        sites: &rig.sites,
        ledger: Some(Arc::clone(&rig.ledger)),
        sink: Sink::none(),
        shutdown: Shutdown::new(),
    };
    let verifications = inspection.verify(&verify_options()).await.unwrap();
    let counts = |found: &Found| (found.counts.missing, found.counts.different, found.counts.extra);
    verifications[0].targets.iter().map(counts).collect()
}

fn verify_options() -> VerifyOptions {
    VerifyOptions { datasets: Vec::new(), level: None, limits: InFlightMax::default(), progress: None, anew: false }
}

#[tokio::test]
async fn a_verification_names_what_differs_and_a_repair_mends_just_that() {
    for live in ["live = true", ""] {
        let rig = Rig::new(&["a", "b"], live);
        rig.fill(0..300);
        rig.proves(600).await;
        assert_eq!(inspected(&rig).await, [(0, 0, 0), (0, 0, 0)]);
        rig.table("a").apply(&put(1, "changed")).unwrap();
        rig.table("a").apply(&delete(2)).unwrap();
        rig.table("b").apply(&put(1000, "extra")).unwrap();
        assert_eq!(inspected(&rig).await, [(1, 1, 0), (0, 0, 1)]);
        let migration = Migration {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Arc::clone(&rig.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        let (verifications, mended) = migration.repair(&verify_options()).await.unwrap();
        assert_eq!((mended, verifications[0].verified.is_some()), (3, true));
        rig.is_equal("a");
        rig.is_equal("b");
    }
}

#[tokio::test]
async fn numbers_of_one_value_are_equal_however_they_are_written() {
    let rig = Rig::new(&["a"], "");
    let with = |number: &str| {
        let mut item = item(1, "x");
        item.insert("price".to_owned(), Value::Number(number.parse().unwrap()));
        ItemWrite::Put(item)
    };
    rig.table("src").apply(&with("1.5")).unwrap();
    rig.proves(1).await;
    rig.table("a").apply(&with("1.50")).unwrap();
    assert_eq!(inspected(&rig).await, [(0, 0, 0)]);
    rig.table("a").apply(&with("1.51")).unwrap();
    assert_eq!(inspected(&rig).await, [(0, 1, 0)]);
}

#[tokio::test]
async fn a_table_that_is_given_up_loses_the_stream_that_was_enabled_for_it_and_no_item() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..10);
    rig.proves(10).await;
    assert!(rig.table("src").describe().await.unwrap().unwrap().stream.is_some());
    let abort = async |discard| {
        let migration = Migration {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Arc::clone(&rig.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        migration
            .abort(&AbortOptions { datasets: Vec::new(), discard }, InFlightMax::default())
            .await
            .unwrap()
            .remove(0)
    };
    let refused = abort(true).await;
    assert!(!refused.done && refused.refused.unwrap().contains("--discard"));
    assert!(abort(false).await.done);
    assert_eq!(rig.table("src").describe().await.unwrap().unwrap().stream, None);
    assert_eq!(rig.table("a").snapshot().len(), 10);
    rig.table("src").apply(&put(3, "changed")).unwrap();
    rig.proves(10).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_target_with_items_of_its_own_is_refused_and_left_as_it_was() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    rig.table("a").create(&structure()).await.unwrap();
    rig.table("a").apply(&put(77, "its own")).unwrap();
    let outcome = rig.run().await;
    let stopped = outcome.stopped.unwrap().to_string();
    assert!(stopped.contains("holds items of its own"), "{stopped}");
    assert_eq!(rig.table("a").snapshot().len(), 1);
}

#[tokio::test]
async fn another_key_schema_is_refused_before_anything_is_written() {
    let rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    rig.table("a").create(&Structure::plain(("id", KeyType::Number), None)).await.unwrap();
    let stopped = rig.refused().await;
    assert!(stopped.contains("dynamodb://a/users differs from dynamodb://src/users"), "{stopped}");
}

#[tokio::test]
async fn a_comparison_deletes_no_more_than_the_plan_allows() {
    let rig = Rig::new(&["a"], "delete_share = \"10%\"");
    rig.fill(0..100);
    rig.proves(100).await;
    (0..50).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("delete_share"), "{stopped}");
    assert_eq!(rig.table("a").snapshot().len(), 100);
    let forced = rig.run_with(true, Shutdown::new()).await;
    assert!(forced.stopped.is_none() && forced.datasets[0].reached, "{forced:?}");
    rig.is_equal("a");
}

#[tokio::test]
async fn a_batch_that_is_taken_in_part_arrives_whole() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..200);
    rig.table("a").answer_at_most(Some(20));
    rig.table("src").answer_at_most(Some(60));
    rig.proves(200).await;
    (0..200).for_each(|id| rig.table("src").apply(&put(id, "second")).unwrap());
    rig.proves(200).await;
    rig.is_equal("a");
}

#[tokio::test]
async fn a_run_that_is_stopped_goes_on_where_it_was() {
    let rig = Rig::new(&["a"], "live = true");
    rig.fill(0..500);
    let shutdown = Shutdown::new();
    shutdown.drain();
    let outcome = rig.run_with(false, shutdown).await;
    assert!(outcome.interrupted && !outcome.datasets[0].reached, "{outcome:?}");
    assert!(!matches!(outcome.datasets[0].waits_for, Some(WaitsFor::Failure(_))), "{outcome:?}");
    rig.proves(500).await;
    rig.is_equal("a");
}

/// Two targets share the items by the first character of their value, and items move between them.
#[tokio::test]
async fn items_go_where_they_belong_and_move_with_what_they_hold() {
    for live in ["live = true", "delete_share = \"100%\""] {
        let rig = Rig::new(&["a item.value.startsWith(\"a\")", "b otherwise"], live);
        for id in 0..200 {
            rig.table("src").apply(&put(id, if id % 4 == 0 { "a" } else { "b" })).unwrap();
        }
        rig.proves(200).await;
        assert_eq!((rig.table("a").snapshot().len(), rig.table("b").snapshot().len()), (50, 150));
        (0..40).for_each(|id| rig.table("src").apply(&put(id, if id % 4 == 0 { "b" } else { "a" })).unwrap());
        rig.table("src").apply(&delete(100)).unwrap();
        rig.proves(199).await;
        let (a, b) = (rig.table("a").snapshot(), rig.table("b").snapshot());
        assert_eq!((a.len(), b.len()), (50 - 10 + 30 - 1, 150 - 30 + 10));
        let both: BTreeMap<_, _> = a.into_iter().chain(b).collect();
        assert_eq!(both, rig.table("src").snapshot());
    }
}

#[tokio::test]
async fn an_item_at_the_wrong_target_is_a_difference_there() {
    let rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "live = true");
    (0..100).for_each(|id| rig.table("src").apply(&put(id, if id % 2 == 0 { "a" } else { "b" })).unwrap());
    rig.proves(100).await;
    rig.table("b").apply(&put(0, "a")).unwrap();
    let outcome = rig.run().await;
    let dataset = &outcome.datasets[0];
    assert!(!dataset.reached && matches!(dataset.state, State::Different { differences: 1, .. }), "{dataset:?}");
}

#[tokio::test]
async fn an_item_that_no_expression_can_judge_stops_the_dataset_by_its_key() {
    let rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "");
    rig.fill(0..10);
    let without: Item = item(3, "").into_iter().filter(|(name, _)| name != "value").collect();
    rig.table("src").apply(&ItemWrite::Put(without)).unwrap();
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("user-00003") && stopped.contains("where"), "{stopped}");
}

/// Changes were lost, the comparison was not made, and the next run makes it: that it is due is in the ledger.
#[tokio::test]
async fn a_comparison_that_was_refused_is_due_at_the_next_run() {
    let rig = Rig::new(&["a"], "live = true\ndelete_share = \"10%\"");
    rig.fill(0..100);
    rig.proves(100).await;
    (0..50).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
    rig.table("src").apply(&put(70, "lost")).unwrap();
    rig.table("src").renew_stream();
    for _ in 0..2 {
        let outcome = rig.run().await;
        let stopped = outcome.stopped.map(|error| error.to_string());
        assert!(stopped.as_ref().is_some_and(|stopped| stopped.contains("delete_share")), "{stopped:?}");
        assert_eq!(rig.table("a").snapshot().len(), 100);
    }
    let forced = rig.run_with(true, Shutdown::new()).await;
    assert!(forced.stopped.is_none() && forced.datasets[0].reached, "{forced:?}");
    rig.is_equal("a");
}

#[tokio::test]
async fn a_follower_that_was_down_while_the_others_were_compared_is_compared_once_it_is_back() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..100);
    rig.proves(200).await;
    rig.table("src").apply(&put(5, "lost")).unwrap();
    rig.table("src").apply(&delete(6)).unwrap();
    rig.table("src").renew_stream();
    rig.without("b");
    let outcome = rig.run().await;
    assert!(!outcome.datasets[0].reached, "{outcome:?}");
    rig.is_equal("a");
    rig.whole();
    rig.proves(198).await;
    rig.is_equal("b");
}

#[tokio::test]
async fn a_target_that_was_down_when_the_copy_began_may_not_hold_items_of_its_own_either() {
    let mut rig = Rig::new(&["a", "b"], "live = true");
    rig.fill(0..100);
    rig.table("b").create(&structure()).await.unwrap();
    rig.table("b").apply(&put(7, "its own")).unwrap();
    rig.without("b");
    assert!(!rig.run().await.datasets[0].reached);
    rig.is_equal("a");
    rig.whole();
    let stopped = rig.run().await.stopped.unwrap().to_string();
    assert!(stopped.contains("dynamodb://b/users holds items of its own"), "{stopped}");
    assert_eq!(rig.table("b").snapshot().len(), 1);
    // It is emptied, as the error says, and joins.
    rig.table("b").apply(&delete(7)).unwrap();
    rig.table("src").apply(&put(8, "changed")).unwrap();
    rig.proves(200).await;
    rig.is_equal("b");
}

#[tokio::test]
async fn a_target_that_was_deleted_is_made_and_filled_anew() {
    for live in ["live = true", ""] {
        let mut rig = Rig::new(&["a", "b"], live);
        rig.fill(0..100);
        rig.proves(200).await;
        rig.tables.insert("a".to_owned(), MemoryTable::new("dynamodb://a/users"));
        rig.whole();
        rig.table("src").apply(&put(7, "changed")).unwrap();
        rig.proves(200).await;
        rig.is_equal("a");
        rig.is_equal("b");
    }
}

/// The process ends before or after each of its writes, at either table of a live and partitioned one, while the lead
/// changes. The next run ends with every item where it belongs, and nothing anywhere else.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_loses_nothing() {
    let belongs = |rig: &Rig| {
        let (a, b) = (rig.table("a").snapshot(), rig.table("b").snapshot());
        assert!(a.values().all(|item| item["value"] == Value::Text("a".to_owned())));
        assert!(b.values().all(|item| item["value"] == Value::Text("b".to_owned())));
        assert_eq!(a.into_iter().chain(b).collect::<BTreeMap<_, _>>(), rig.table("src").snapshot());
    };
    for at in ["a", "b"] {
        let mut n = 1;
        loop {
            let mut crashed = false;
            for crash in [Crash::Before(n), Crash::After(n)] {
                let mut rig = Rig::new(&["a item.value == \"a\"", "b otherwise"], "live = true");
                (0..60).for_each(|id| {
                    rig.table("src").apply(&put(id, if id % 2 == 0 { "a" } else { "b" })).unwrap();
                });
                let faults = Arc::new(Faults::none().with_crash(crash));
                rig.failing(at, Arc::clone(&faults));
                rig.run().await;
                let moves = |rig: &Rig| {
                    (0..20).for_each(|id| {
                        rig.table("src").apply(&put(id, if id % 2 == 0 { "b" } else { "a" })).unwrap();
                    });
                    (20..25).for_each(|id| rig.table("src").apply(&delete(id)).unwrap());
                };
                moves(&rig);
                rig.run().await;
                crashed |= faults.crashed();
                rig.whole();
                rig.proves(55).await;
                belongs(&rig);
            }
            if !crashed {
                break;
            }
            n += 1;
        }
        assert!(n > 3, "it was hit at {n} writes");
    }
}

/// A target that takes nothing holds nobody up who wants to stop.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_to_stop_does_not_wait_for_a_target_that_takes_nothing() {
    let mut rig = Rig::new(&["a"], "");
    rig.fill(0..10);
    let rule = FaultRule::new(Fault::LeftOver, When::Every(1)).on([Operation::Write]);
    rig.failing("a", Arc::new(Faults::with_rules(1, vec![rule])));
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        stop.drain();
    });
    let outcome = rig.run_with(false, shutdown).await;
    assert!(outcome.interrupted && outcome.stopped.is_none(), "{outcome:?}");
    assert!(!matches!(outcome.datasets[0].waits_for, Some(WaitsFor::Failure(_))), "{outcome:?}");
    rig.whole();
    rig.proves(10).await;
}
