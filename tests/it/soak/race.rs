//! The race: four writers against a table that is copied to two partitions by a process that is killed again and
//! again, between servers that fail every 50th request. At its end every key holds its last written value, in the
//! partition where it belongs and nowhere else.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use migrate::{
    aws::dynamodb::DynamoTable,
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoServer, When},
    store::table::{ItemWrite, TableStore as _, WRITE_MAX},
};
use migrate_core::{
    item::{Item, Value},
    table::{KeyType, Structure},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tempfile::{TempDir, tempdir};

use super::{Totals, setting};
use crate::{
    dynamodb::{ID, SECRET, client_of, items, server},
    running::Running,
};

const WRITERS: u32 = 4;
const KILLS: u32 = 5;
/// The most tries of the same command once all is quiet.
const TRIES_MAX: u32 = 10;
const SITES: [&str; 3] = ["src", "germany", "elsewhere"];
const FAULTS: [DynamoFault; 7] = [
    DynamoFault::Throttle,
    DynamoFault::InternalError,
    DynamoFault::InternalErrorAfter,
    DynamoFault::ResetBefore,
    DynamoFault::ResetAfter,
    DynamoFault::CutAnswer,
    DynamoFault::EmptyAnswer,
];

/// The last write of each key by its only writer; `None` for a deletion.
type Written = BTreeMap<u32, Option<Item>>;

/// The servers, the source first, and a directory with the plan.
struct Race {
    servers: [DynamoServer; 3],
    directory: TempDir,
}

fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), None)
}

fn item(n: u32, country: &str, value: u64) -> Item {
    Item::from([
        ("id".to_owned(), Value::Text(format!("{n:06}"))),
        ("country".to_owned(), Value::Text(country.to_owned())),
        ("value".to_owned(), Value::Number(value.to_string().parse().unwrap())),
    ])
}

fn drawn(n: u32, random: &mut StdRng) -> Item {
    let country = if random.random_bool(0.5) { "DE" } else { "FR" };
    item(n, country, random.random())
}

async fn table(server: &DynamoServer) -> DynamoTable {
    client_of(server.endpoint(), ID, SECRET).await.table("users")
}

/// Writes as an application does: until the server has acknowledged it.
async fn write(table: &DynamoTable, mut writes: Vec<ItemWrite>) {
    while !writes.is_empty() {
        if let Ok(written) = table.write(&writes).await {
            writes = written.left.into_iter().map(|left| writes[left].clone()).collect();
        }
    }
}

/// One writer: it alone writes the keys that are its number modulo the number of writers.
async fn writer(table: Arc<DynamoTable>, number: u32, keys: u32, seed: u64, over: Arc<AtomicBool>) -> Written {
    let mut random = StdRng::seed_from_u64(seed ^ (u64::from(number) << 32));
    let names = structure().key_names();
    let mut last = Written::new();
    while !over.load(SeqCst) {
        // A third of the writes goes to a few keys, so that they are written often. Some keys are new.
        let range = if random.random_bool(0.3) { 8 } else { keys / WRITERS * 5 / 4 };
        let n = random.random_range(0..range) * WRITERS + number;
        for _ in 0..random.random_range(1..=3) {
            let put = random.random_bool(0.7).then(|| drawn(n, &mut random));
            let change = match &put {
                Some(item) => ItemWrite::Put(item.clone()),
                None => ItemWrite::Delete(names.key_of(&item(n, "", 0)).unwrap()),
            };
            write(&table, vec![change]).await;
            last.insert(n, put);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
    }
    last
}

impl Race {
    async fn start(keys: u32, seed: u64, random: &mut StdRng) -> Self {
        let servers = [server(|_| {}).await, server(|_| {}).await, server(|_| {}).await];
        let source = table(&servers[0]).await;
        source.create(&structure()).await.unwrap();
        let all: Vec<_> = (0..keys).map(|n| ItemWrite::Put(drawn(n, random))).collect();
        for batch in all.chunks(WRITE_MAX) {
            write(&source, batch.to_vec()).await;
        }
        for (number, server) in servers.iter().enumerate() {
            let general = FAULTS[(usize::try_from(seed).unwrap_or(0) + number) % FAULTS.len()];
            let rules = [(general, 50), (DynamoFault::Unprocessed, 20)];
            let rules = rules.map(|(fault, every)| DynamoFaultRule::new(fault, When::Every(every))).to_vec();
            server.set_faults(DynamoFaults { seed, rules });
        }
        let directory = tempdir().unwrap();
        fs::write(directory.path().join("plan.toml"), plan(&servers)).unwrap();
        Self { servers, directory }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command.args(["run", "plan.toml", "--until", "verified", "--json"]).current_dir(self.directory.path());
        command.env("LOCAL_ACCESS_KEY_ID", ID).env("LOCAL_SECRET_ACCESS_KEY", SECRET).env_remove("MIGRATE_STATE");
        command.stdin(Stdio::null());
        command
    }

    /// What the targets were asked so far.
    fn asked(&self) -> u64 {
        self.servers[1..].iter().map(|server| server.stats().total()).sum()
    }

    /// Starts the program, and kills it once the targets were asked so often.
    async fn killed_after(&self, requests: u64) {
        let until = self.asked() + requests;
        let log = fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut running = Running::start(self.command().stdout(Stdio::null()).stderr(log));
        while self.asked() < until && running.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // It may have ended by itself.
        let _ = running.kill();
        running.wait().unwrap();
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("killed.log")
    }

    /// Gives the command until it says that all is equal; how often that took.
    async fn ends(&self) -> u32 {
        let mut said = String::new();
        for run in 1..=TRIES_MAX {
            let mut command = self.command();
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            if output.status.success() {
                return run;
            }
            let code = output.status.code();
            assert_eq!(
                code,
                Some(3),
                "a fault may stop it, and nothing else: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let _ = writeln!(said, "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        panic!("not equal after {TRIES_MAX} runs: {said}");
    }

    /// Every key holds its last written value, where it belongs and nowhere else.
    async fn assert_all_is_right(&self, written: &Written) {
        let mut held = Vec::new();
        for server in &self.servers {
            held.push(items(&table(server).await).await);
        }
        let names = structure().key_names();
        for (n, last) in written {
            let key = names.text(&names.key_of(&item(*n, "", 0)).unwrap()).to_string();
            assert_eq!(held[0].get(&key), last.as_ref(), "the source itself, at {key}");
        }
        let is_german = |item: &Item| item["country"] == Value::Text("DE".to_owned());
        let mut wrong = String::new();
        for (place, site) in SITES.iter().enumerate().skip(1) {
            let belongs: BTreeMap<_, _> = held[0].iter().filter(|(_, item)| is_german(item) == (place == 1)).collect();
            for (key, item) in &belongs {
                if held[place].get(*key) != Some(item) {
                    let _ = writeln!(wrong, "{site} {key}: {:?} in place of {item:?}", held[place].get(*key));
                }
            }
            for key in held[place].keys().filter(|key| !belongs.contains_key(*key)) {
                let _ = writeln!(wrong, "{site} {key}: is there, the source has {:?}", held[0].get(key));
            }
        }
        if !wrong.is_empty() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            panic!("{wrong}\nthe runs that were killed said:\n{log}");
        }
    }
}

fn plan(servers: &[DynamoServer]) -> String {
    let site = |(name, server): (&&str, &DynamoServer)| {
        format!(
            "[sites.{name}]\ncredentials = {{ env = \"LOCAL\" }}\ndynamodb = {{ endpoint = \"{}\" }}\n",
            server.endpoint()
        )
    };
    let sites: String = SITES.iter().zip(servers).map(site).collect();
    format!(
        "name = \"race\"\n{sites}[[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"users\"\nlive = true\n\
         source = \"dynamodb://src/users\"\ndelete_share = \"90%\"\n\
         [[phase.dataset.target]]\nat = \"dynamodb://germany/users\"\nwhere = 'item.country == \"DE\"'\n\
         [[phase.dataset.target]]\nat = \"dynamodb://elsewhere/users\"\nwhere = \"otherwise\"\n"
    )
}

/// One race, all of it drawn from the seed but who is first.
pub(super) async fn race_at(seed: u64) -> Totals {
    let mut random = StdRng::seed_from_u64(seed);
    let keys = u32::try_from(setting("MIGRATE_SOAK_RACE_ITEMS", 300)).expect("few items");
    let race = Race::start(keys, seed, &mut random).await;
    let over = Arc::new(AtomicBool::new(false));
    let source = Arc::new(table(&race.servers[0]).await);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(writer(Arc::clone(&source), number, keys, seed, Arc::clone(&over))))
        .collect();
    for _ in 0..KILLS {
        race.killed_after(random.random_range(10..u64::from(keys / 5).max(60))).await;
    }
    // One run comes to its end while they write, as far as it can.
    race.killed_after(u64::from(keys)).await;
    over.store(true, SeqCst);
    let mut written = Written::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    let runs = race.ends().await;
    let mut totals = Totals { migrations: 1, targets: 2, objects: u64::from(keys), ..Totals::default() };
    totals.runs.insert(KILLS + 1 + runs, 1);
    for server in &race.servers {
        let stats = server.stats();
        totals.requests += stats.total();
        stats.faults_by_kind.iter().for_each(|(kind, count)| *totals.faults.entry(kind).or_default() += count);
        server.set_faults(DynamoFaults::default());
    }
    race.assert_all_is_right(&written).await;
    for server in race.servers {
        server.stop().await;
    }
    totals
}
