//! [`Rig`]: a migration of one table in memory, for tests.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::{
    approver::ByFlag,
    asked::{InFlightMax, RunOptions, RunOutcome},
    clock::Clock,
    migration::Migration,
    shutdown::Shutdown,
    sink::Sink,
    sites::{connect::Given, opening::Sites, tables::TablesOf},
    star::Star,
    tables::sides::Sides,
};
use migrate_core::{
    item::{Item, Value},
    lifecycle::{Goal, State},
    model::{DatasetName, PlaceIndex},
    plan::{self, Plan},
    report::{EventKind, Redactor},
    table::{KeyType, Structure},
};
use migrate_ledger::Ledger;
use migrate_store::{
    faulty::{Fault, FaultRule, Faults, FaultyTable, When},
    memory_table::MemoryTable,
    retry::RetryPolicy,
    table::{ItemWrite, TableStore},
};

/// A migration of one table, `src`, to others.
pub(crate) struct Rig {
    pub(crate) plan: Plan,
    pub(crate) sites: Sites,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tables: BTreeMap<String, MemoryTable>,
    pub(crate) events: Arc<Mutex<Vec<EventKind>>>,
    _directory: tempfile::TempDir,
}

/// Retries without waits.
pub(crate) fn quick() -> RetryPolicy {
    let pause = std::time::Duration::from_millis(1);
    RetryPolicy { pause, pause_throttled: pause, pause_max: pause, ..RetryPolicy::default() }
}

pub(crate) fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), Some(("n", KeyType::Number)))
}

pub(crate) fn item(id: u32, value: &str) -> Item {
    Item::from([
        ("id".to_owned(), Value::Text(format!("user-{id:05}"))),
        ("n".to_owned(), Value::Number(id.to_string().parse().unwrap())),
        ("value".to_owned(), Value::Text(value.to_owned())),
    ])
}

pub(crate) fn put(id: u32, value: &str) -> ItemWrite {
    ItemWrite::Put(item(id, value))
}

pub(crate) fn delete(id: u32) -> ItemWrite {
    let names = structure().key_names();
    ItemWrite::Delete(names.key_of(&item(id, "")).unwrap())
}

/// Sites that hold these tables.
pub(crate) fn sites_of(tables: &BTreeMap<String, MemoryTable>) -> Sites {
    let given = tables.clone();
    let given = Given::tables(move |at, _| {
        given.get(at.site.as_str()).map(|table| Arc::new(table.clone()) as Arc<dyn TableStore>)
    });
    Sites::new(Arc::new(given), quick())
}

impl Rig {
    pub(crate) fn new(targets: &[&str], more: &str) -> Self {
        Self::with(structure(), targets, more)
    }

    /// With a source of this structure.
    pub(crate) fn with(structure: Structure, targets: &[&str], more: &str) -> Self {
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
        tables.insert("src".to_owned(), MemoryTable::with("dynamodb://src/users", structure).with_page_size(7));
        for target in targets {
            let site = target.split(' ').next().unwrap();
            tables.insert(site.to_owned(), MemoryTable::new(&format!("dynamodb://{site}/users")));
        }
        let directory = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(&directory.path().join("ledger.sqlite"), &plan.name).unwrap());
        let sites = sites_of(&tables);
        Self { plan, sites, ledger, tables, events: Arc::default(), _directory: directory }
    }

    pub(crate) fn table(&self, site: &str) -> &MemoryTable {
        &self.tables[site]
    }

    /// Lets the calls to a site's table fail.
    pub(crate) fn strike(&mut self, site: &str, faults: &Arc<Faults>) {
        let (struck, faults, tables) = (site.to_owned(), Arc::clone(faults), self.tables.clone());
        let given = Given::tables(move |at, _| {
            let table = Arc::new(tables.get(at.site.as_str())?.clone()) as Arc<dyn TableStore>;
            let is_struck = at.site.as_str() == struck;
            Some(if is_struck { Arc::new(FaultyTable::new(table, Arc::clone(&faults))) } else { table })
        });
        self.sites = Sites::new(Arc::new(given), quick());
    }

    /// Puts another table in the place of a site's.
    pub(crate) fn replace(&mut self, site: &str, table: MemoryTable) {
        self.tables.insert(site.to_owned(), table);
        self.sites = sites_of(&self.tables);
    }

    pub(crate) fn fill(&self, ids: std::ops::Range<u32>) {
        ids.for_each(|id| self.table("src").apply(&put(id, "first")).unwrap());
    }

    pub(crate) async fn run_with(&self, force: bool, shutdown: Shutdown) -> RunOutcome {
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

    pub(crate) async fn run(&self) -> RunOutcome {
        self.run_with(false, Shutdown::new()).await
    }

    /// The tables, opened to be looked at.
    pub(crate) async fn sides(&self) -> Arc<Sides> {
        let dataset = &self.plan.phases[0].datasets[0];
        let of = TablesOf { plan: &self.plan, dataset, writes: None };
        let star = Star::new(PlaceIndex::SOURCE, self.tables.len());
        let stores = Arc::new(self.sites.open_tables(of, star).await.unwrap());
        let redactor = Redactor::new(false);
        Arc::new(Sides::of(dataset, &stores, &structure(), Shutdown::new(), &Sink::none(), redactor).await)
    }

    /// Runs, and expects that nothing can begin.
    pub(crate) async fn refused(&self) -> String {
        let migration = Migration {
            plan: &self.plan,
            sites: &self.sites,
            ledger: Arc::clone(&self.ledger),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        };
        migration.run(&Self::options(false)).await.unwrap_err().to_string()
    }

    pub(crate) fn options(force: bool) -> RunOptions {
        RunOptions {
            goal: Goal::Verified,
            phases: Vec::new(),
            datasets: Vec::new(),
            force,
            follow: false,
            counts: false,
            limits: InFlightMax::default(),
            approver: Arc::new(ByFlag::default()),
        }
    }

    /// Runs, and expects a proof that compared this many items.
    pub(crate) async fn proves(&self, compared: u64) {
        let outcome = self.run().await;
        assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
        let dataset = &outcome.datasets[0];
        assert!(dataset.reached && matches!(dataset.state, State::Verified { .. }), "{dataset:?}");
        assert_eq!(dataset.verified.as_ref().unwrap().compared(), compared);
    }

    /// The same migration, with one of its tables failing as these faults say.
    pub(crate) fn failing(&mut self, at: &str, faults: Arc<Faults>) {
        self.failing_by(at, faults, quick());
    }

    /// The same with the pauses of a real run, for tests whose clock is paused.
    pub(crate) fn failing_slowly(&mut self, at: &str, faults: Arc<Faults>) {
        self.failing_by(at, faults, RetryPolicy::default());
    }

    fn failing_by(&mut self, at: &str, faults: Arc<Faults>, policy: RetryPolicy) {
        let (tables, at) = (self.tables.clone(), at.to_owned());
        let given = Given::tables(move |location, _| {
            let site = location.site.as_str();
            let table = Arc::new(tables.get(site)?.clone()) as Arc<dyn TableStore>;
            Some(if site == at { Arc::new(FaultyTable::new(table, Arc::clone(&faults))) } else { table })
        });
        self.sites = Sites::new(Arc::new(given), policy);
    }

    /// The same migration, with a table that cannot be reached.
    pub(crate) fn without(&mut self, at: &str) {
        self.failing(at, Arc::new(Faults::with_rules(1, vec![FaultRule::new(Fault::Unreachable, When::Every(1))])));
    }

    /// The same migration, with all tables as they are.
    pub(crate) fn whole(&mut self) {
        self.failing("", Arc::new(Faults::none()));
    }

    /// The keys that are owed.
    pub(crate) async fn owed(&self) -> u64 {
        let name = DatasetName::new("users").unwrap();
        self.ledger.owed(&name).await.unwrap().iter().map(|owed| owed.keys).sum()
    }

    #[track_caller]
    pub(crate) fn is_equal(&self, site: &str) {
        assert_eq!(self.table(site).snapshot(), self.table("src").snapshot());
    }
}
