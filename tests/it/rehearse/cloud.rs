//! The local cloud that stands for a plan's sites.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use migrate::{
    engine::{self, ByFlag, Clock, InFlightMax, Migration, RunOptions, Shutdown, Sites},
    ledger::Ledger,
    lifecycle::Goal,
    model::{KeyRange, PhaseName, SiteName},
    plan::{self, Plan},
    rehearse::{Cloud, CloudOptions, sample},
    report::Sink,
    store::ObjectStore,
};
use tempfile::{TempDir, tempdir};

use crate::migration::quick;

fn read(path: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    plan::parse(&text, &path).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn mission() -> Plan {
    read("plans/global-expansion.toml")
}

const SMALL: f64 = 0.05;

async fn cloud(plan: &Plan, seed: u64) -> (Cloud, TempDir) {
    let root = tempdir().unwrap();
    let options = CloudOptions { seed, scale: SMALL, ..CloudOptions::default() };
    let cloud = Cloud::start(plan, &root.path().join("sites"), &options).await;
    (cloud.unwrap_or_else(|error| panic!("{error:?}")), root)
}

/// The keys of a store, as a listing over HTTP shows them.
async fn listed(store: &dyn ObjectStore) -> BTreeSet<String> {
    let mut listing = store.list(KeyRange::all());
    let mut keys = BTreeSet::new();
    while let Some(page) = listing.next().await.unwrap() {
        keys.extend(page.into_iter().map(|entry| entry.key.as_str().to_owned()));
    }
    keys
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

async fn run(cloud: &Cloud, phases: &[&str], state: &Path) {
    let sites = Sites::new(cloud.connect(), quick());
    let ledger = Arc::new(Ledger::open(&state.join("ledger.sqlite"), &cloud.plan().name).unwrap());
    let options = RunOptions {
        goal: Goal::Verified,
        phases: phases.iter().map(|phase| PhaseName::new(phase).unwrap()).collect(),
        datasets: Vec::new(),
        force: false,
        follow: false,
        counts: false,
        limits: InFlightMax::default(),
        approver: Arc::new(ByFlag::default()),
    };
    let (sink, heard) = Sink::new(Clock::start());
    drop(heard);
    let migration = Migration { plan: cloud.plan(), sites: &sites, ledger, sink, shutdown: Shutdown::new() };
    let outcome = migration.run(&options).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.stopped.is_none(), "{:?}", outcome.stopped);
    for dataset in outcome.datasets {
        assert!(dataset.verified.is_some(), "{}: {:?}", dataset.dataset, dataset.waits_for);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sources_hold_exactly_the_samples() {
    let plan = mission();
    let (cloud, _root) = cloud(&plan, 7).await;
    for (dataset, samples) in sample::samples(cloud.plan(), 7, SMALL) {
        let store = cloud.store(&dataset.source, engine::sites::Role::Source).unwrap();
        let samples: Vec<_> = samples.collect();
        let wanted: BTreeSet<String> = samples.iter().map(|sample| sample.key.as_str().to_owned()).collect();
        assert_eq!(listed(&*store).await, wanted, "{}", dataset.name);
        for sample in samples.iter().step_by(5) {
            let read = store.read(&sample.key, None, None).await.unwrap();
            assert_eq!(read.bytes, sample.body(), "{:?}", sample.key);
            assert_eq!(read.head.properties.headers, sample.properties.headers, "{:?}", sample.key);
            assert_eq!(read.head.properties.metadata, sample.properties.metadata, "{:?}", sample.key);
            assert_eq!(store.tags(&sample.key).await.unwrap(), sample.properties.tags, "{:?}", sample.key);
        }
        let filled = cloud.filled()[&dataset.name];
        assert_eq!(filled.selected + filled.left_out, wanted.len() as u64);
        for target in &dataset.targets {
            let store = cloud.store(&target.at, engine::sites::Role::Look).unwrap();
            assert!(listed(&*store).await.is_empty(), "{} is there, and empty", target.at);
        }
    }
    let control = cloud.server(&site("singapore")).unwrap().state();
    assert_eq!(control.keys("mi-control"), Vec::<String>::new(), "the routes' bucket is there: nothing panicked");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_through_the_opener_ends_equal_phase_by_phase() {
    let plan = mission();
    let (cloud, root) = cloud(&plan, 8).await;
    let before = cloud.end_state().await.unwrap();
    run(&cloud, &["e-commerce"], root.path()).await;
    let dataset = plan.datasets().next().unwrap();
    let source = cloud.server(&site("beijing")).unwrap().state();
    let mut compared = 0;
    for target in &dataset.targets {
        let copies = cloud.server(&target.at.site).unwrap().state();
        let keys = copies.keys(&target.at.container);
        for key in &keys {
            assert_eq!(source.get("mi-storefront", key), copies.get(&target.at.container, key), "{key:?}");
            assert!(dataset.select.holds(&key.strip_prefix("static/").unwrap().into()), "{key:?} is excluded");
            compared += 1;
        }
        assert_eq!(keys.len() as u64, cloud.filled()[&dataset.name].selected);
    }
    assert!(compared > 0);
    run(&cloud, &[], root.path()).await;
    let count = cloud.server(&site("mumbai")).unwrap().state().count("mi-orders");
    assert!(count > 0, "the last phase moved nothing");
    assert!(cloud.server(&site("saopaulo")).is_none() && cloud.table_server(&site("saopaulo")).is_some());
    let after = cloud.end_state().await.unwrap();
    for (name, digest) in &after.sites {
        assert_eq!(*digest == before.sites[name], name.as_str() == "beijing", "{name}");
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_cloud_and_another_does_not() {
    for plan in [mission(), read("plans/quickstart.toml")] {
        let (first, _first) = cloud(&plan, 1).await;
        let (second, _second) = cloud(&plan, 1).await;
        let (other, _other) = cloud(&plan, 2).await;
        let state = first.end_state().await.unwrap();
        assert_eq!(state, second.end_state().await.unwrap());
        let differs = other.end_state().await.unwrap();
        assert_ne!(state.all, differs.all);
        for (name, digest) in &state.sites {
            let filled = plan
                .datasets()
                .any(|dataset| dataset.source.site == *name && first.filled().contains_key(&dataset.name));
            assert_eq!(*digest != differs.sites[name], filled, "{name}");
        }
        for cloud in [first, second, other] {
            cloud.stop().await;
        }
    }
}

/// The same for directories, whose stand-ins are directories.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_directories_is_rehearsed_below_the_given_one() {
    let plan = read("plans/quickstart.toml");
    let (cloud, root) = cloud(&plan, 3).await;
    run(&cloud, &[], root.path()).await;
    let mumbai = cloud.directory(&site("mumbai")).unwrap();
    assert!(mumbai.starts_with(root.path()), "{}", mumbai.display());
    assert!(std::fs::read_dir(mumbai.join("accounts")).unwrap().count() > 0);
    assert!(cloud.server(&site("mumbai")).is_none(), "nobody asks for a server");
    cloud.stop().await;
}

/// The environment's proxies do not apply to servers of this machine: a rehearsal through one would neither
/// work nor be harmless.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_hears_of_a_server_on_this_machine() {
    let (cloud, root) = cloud(&mission(), 5).await;
    let tripwire = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", tripwire.local_addr().unwrap());
    let endpoint = cloud.server(&site("beijing")).unwrap().endpoint();
    let config = cloud.server(&site("beijing")).unwrap().config().clone();
    let plan = format!(
        "name = \"proxied\"\n[sites.here]\ns3 = {{ endpoint = \"{endpoint}\", path_style = true }}\n\
         credentials = {{ env = \"HERE\" }}\n[sites.there]\ndirectory = \"there\"\n[[phase]]\nname = \"one\"\n\
         [[phase.dataset]]\nname = \"d\"\nsource = \"s3://here/mi-orders/\"\ntargets = [\"file://there/d\"]\n\
         exclude = [\"**/twice/**\", \"**/dots/**\"]\nwaive = [\"properties\"]\n"
    );
    std::fs::write(root.path().join("plan.toml"), plan).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_migrate"));
    command.args(["run", "plan.toml", "--until", "verified"]).current_dir(root.path());
    command.env("HERE_ACCESS_KEY_ID", &config.access_key).env("HERE_SECRET_ACCESS_KEY", &config.secret_key);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &proxy);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let ran = tokio::select! {
        ran = tokio::task::spawn_blocking(move || command.output().unwrap()) => ran.unwrap(),
        _ = tripwire.accept() => panic!("the proxy was asked"),
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    cloud.stop().await;
}

/// A caller that forgets to stop a cloud does not hang, and leaves no thread.
#[tokio::test]
async fn a_cloud_that_is_dropped_ends() {
    let (cloud, _root) = cloud(&mission(), 4).await;
    let endpoint = cloud.server(&site("singapore")).unwrap().endpoint();
    let address = endpoint.strip_prefix("http://").unwrap().to_owned();
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    drop(cloud);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err(), "{address} still listens");
}
