//! Routes in directories and in tables, switched by several processes at once.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use migrate::{
    cutover::{RouteDocument, RouteStore},
    model::{DatasetName, Epoch, SiteName},
    plan::{Route, Scheme},
    store::{ObjectStore, file::FileStore, table::TableStore as _},
};
use migrate_core::{
    item::Value,
    table::{KeyType, Structure},
};
use tempfile::tempdir;

use crate::{
    dynamodb::{ID, SECRET, client_of, items, server},
    running::Running,
};

/// The environment variables of a switching process: the folder of the route, or the endpoint of its table.
const RACER: &str = "MIGRATE_TEST_RACER";
const RACER_AT: &str = "MIGRATE_TEST_RACER_AT";
const EPOCHS: u64 = 40;
const RACERS: usize = 3;

/// The route in a folder.
async fn in_folder(folder: &Path) -> RouteStore {
    let (site, container) = (SiteName::new("control").unwrap(), "routes/shop.json".into());
    let route = Route { scheme: Scheme::File, site, container, key: String::new() };
    let store = FileStore::open(folder.to_owned(), "file://control/routes".into()).unwrap();
    assert!(store.probe().await.unwrap().put_if_absent);
    RouteStore::of(Arc::new(store), &route, DatasetName::new("shop").unwrap())
}

/// The route in the table of a server.
async fn in_table(endpoint: &str) -> RouteStore {
    let (site, container) = (SiteName::new("control").unwrap(), "routes".into());
    let route = Route { scheme: Scheme::DynamoDb, site, container, key: String::new() };
    let table = Arc::new(client_of(endpoint.to_owned(), ID, SECRET).await.table("routes"));
    let scratch = format!(".migrate-probe-{}", std::process::id());
    let route = RouteStore::in_table(table, &route, DatasetName::new("shop").unwrap(), scratch, None);
    route.prove().await.unwrap();
    route
}

/// Moves the lead again and again, and prints each epoch that it wins.
#[expect(clippy::print_stdout, reason = "the process that began this one reads what it has won")]
async fn race(route: &RouteStore) {
    let site = SiteName::new("control").unwrap();
    loop {
        let shown = route.read().await.unwrap();
        let epoch = shown.as_ref().map_or(0, |shown| shown.document.epoch.0) + 1;
        if epoch > EPOCHS {
            return;
        }
        let document = RouteDocument {
            dataset: DatasetName::new("shop").unwrap(),
            epoch: Epoch(epoch),
            attempt: format!("{} {epoch}", std::process::id()),
            lead: site.clone(),
            partitions: Vec::new(),
            followers: Vec::new(),
            max_age_s: 0,
            since: "2026-01-01T00:00:00Z".into(),
            driver: None,
        };
        if route.swap(shown.as_ref(), &document).await.unwrap() == migrate::cutover::route::Swapped::Done {
            println!("won {epoch} {}", document.attempt);
        }
    }
}

/// Races, if this process is a racer.
fn is_racer() -> bool {
    let (folder, endpoint) = (std::env::var_os(RACER), std::env::var(RACER_AT));
    if folder.is_none() && endpoint.is_err() {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let route = match folder {
            Some(folder) => in_folder(Path::new(&folder)).await,
            None => in_table(&endpoint.unwrap()).await,
        };
        race(&route).await;
    });
    true
}

/// Lets processes race, each of which runs this test, and returns who has won which epoch.
fn raced(test: &str, variable: &str, value: &std::ffi::OsStr) -> Vec<(u64, String)> {
    let racer = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]);
        Running::start(command.env(variable, value).stdout(Stdio::piped()))
    };
    let racers: Vec<_> = (0..RACERS).map(|_| racer()).collect();
    let mut won = Vec::new();
    for racer in racers {
        let output = racer.output();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        // The test's own report may begin the line.
        let wins = said.lines().filter_map(|line| line.split_once("won ")).map(|(_, win)| win.to_owned());
        won.extend(
            wins.map(|win| win.split_once(' ').map(|(epoch, by)| (epoch.parse().unwrap(), by.to_owned())).unwrap()),
        );
    }
    won.sort();
    let epochs: Vec<u64> = won.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(epochs, (1..=EPOCHS).collect::<Vec<_>>(), "each epoch was won once");
    won
}

#[test]
fn of_several_processes_one_wins_each_epoch() {
    if is_racer() {
        return;
    }
    let folder = tempdir().unwrap();
    let won = raced("routes::of_several_processes_one_wins_each_epoch", RACER, folder.path().as_os_str());
    for (epoch, by) in won {
        let text = std::fs::read_to_string(folder.path().join(format!("shop.json.{epoch:012}"))).unwrap();
        let document: RouteDocument = serde_json::from_str(&text).unwrap();
        assert_eq!((document.epoch, document.attempt), (Epoch(epoch), by), "what was shown is what has won");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left as u64, EPOCHS, "nothing is left over");
}

#[test]
fn of_several_processes_one_wins_each_epoch_in_a_table() {
    if is_racer() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(server(|_| {}));
    let table = runtime.block_on(async {
        let table = client_of(server.endpoint(), ID, SECRET).await.table("routes");
        table.create(&Structure::plain(("pk", KeyType::Text), None)).await.unwrap();
        table
    });
    let endpoint = server.endpoint();
    let won = raced("routes::of_several_processes_one_wins_each_epoch_in_a_table", RACER_AT, endpoint.as_ref());
    let held = runtime.block_on(items(&table));
    assert_eq!(held.len(), 1, "nothing is left over: {held:?}");
    let item = held.into_values().next().unwrap();
    assert_eq!(item["attempt"], Value::Text(won.last().unwrap().1.clone()), "what is shown is what has won");
}
