//! Routes in directories, switched by several processes at once.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use migrate::{
    cutover::{RouteDocument, RouteStore},
    model::{DatasetName, Epoch, SiteName},
    plan::{Route, Scheme},
    store::{ObjectStore, file::FileStore},
};
use tempfile::tempdir;

use crate::running::Running;

/// The environment variable of a switching process: the folder of the route.
const RACER: &str = "MIGRATE_TEST_RACER";
const EPOCHS: u64 = 40;
const RACERS: usize = 3;

/// Moves the lead again and again, and prints each epoch that it wins.
#[expect(clippy::print_stdout, reason = "the process that began this one reads what it has won")]
async fn race(folder: &Path) {
    let site = SiteName::new("control").unwrap();
    let route =
        Route { scheme: Scheme::File, site: site.clone(), container: "routes/shop.json".into(), key: String::new() };
    let store = FileStore::open(folder.to_owned(), "file://control/routes".into()).unwrap();
    assert!(store.probe().await.unwrap().put_if_absent);
    let route = RouteStore::of(Arc::new(store), &route, DatasetName::new("shop").unwrap());
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

#[test]
fn of_several_processes_one_wins_each_epoch() {
    if let Some(folder) = std::env::var_os(RACER) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(race(Path::new(&folder)));
    }
    let folder = tempdir().unwrap();
    let racer = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["routes::of_several_processes_one_wins_each_epoch", "--exact", "--nocapture"]);
        Running::start(command.env(RACER, folder.path()).stdout(Stdio::piped()))
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
    for (epoch, by) in won {
        let text = std::fs::read_to_string(folder.path().join(format!("shop.json.{epoch:012}"))).unwrap();
        let document: RouteDocument = serde_json::from_str(&text).unwrap();
        assert_eq!((document.epoch, document.attempt), (Epoch(epoch), by), "what was shown is what has won");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left as u64, EPOCHS, "nothing is left over");
}
