//! Tables over HTTP, as a shell sees them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use migrate::{
    aws::dynamodb::DynamoTable,
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, When},
    store::table::{ItemWrite, TableStore},
};
use migrate_core::{
    item::{Item, Value as Data},
    table::{KeyType, Structure},
};

use super::*;
use crate::dynamodb::{ID, SECRET, client_of, items, server};

/// The countries of the sample.
const COUNTRIES: [&str; 3] = ["DE", "FR", "IN"];

/// The root's keys, and those of a user whom policies may forbid things.
const KEYS: [(&str, &str); 4] = [
    ("LOCAL_ACCESS_KEY_ID", ID),
    ("LOCAL_SECRET_ACCESS_KEY", SECRET),
    ("APP_ACCESS_KEY_ID", "AKIDAPP"),
    ("APP_SECRET_ACCESS_KEY", "app-secret"),
];

/// A plan that moves the table `users` of one server to two others.
pub(super) struct Servers {
    bench: Bench,
    pub(super) here: DynamoServer,
    pub(super) there: DynamoServer,
    pub(super) other: DynamoServer,
}

pub(super) fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), Some(("n", KeyType::Number)))
}

pub(super) fn user(n: u32, value: &str) -> Item {
    Item::from([
        ("id".to_owned(), Data::Text(format!("user-{n:05}"))),
        ("n".to_owned(), Data::Number(n.to_string().parse().unwrap())),
        ("country".to_owned(), Data::Text(COUNTRIES[n as usize % 3].to_owned())),
        ("value".to_owned(), Data::Text(value.to_owned())),
    ])
}

pub(super) async fn table(server: &DynamoServer) -> DynamoTable {
    client_of(server.endpoint(), ID, SECRET).await.table("users")
}

pub(super) async fn write(table: &DynamoTable, writes: &[ItemWrite]) {
    for batch in writes.chunks(25) {
        assert!(table.write(batch).await.unwrap().left.is_empty());
    }
}

pub(super) async fn fill(table: &DynamoTable, range: std::ops::Range<u32>, value: &str) {
    write(table, &range.map(|n| ItemWrite::Put(user(n, value))).collect::<Vec<_>>()).await;
}

pub(super) async fn held(server: &DynamoServer) -> BTreeMap<String, Item> {
    items(&table(server).await).await
}

impl Servers {
    /// With this many users at the source, to one target.
    pub(super) async fn start(users: u32) -> Self {
        let with_app = |config: &mut migrate::local_cloud::DynamoServerConfig| {
            *config = config.clone().with_user("app", "AKIDAPP", "app-secret");
        };
        let (here, there, other) = (server(with_app).await, server(|_| {}).await, server(|_| {}).await);
        let source = table(&here).await;
        source.create(&structure()).await.unwrap();
        fill(&source, 0..users, "first").await;
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let servers = Self { bench, here, there, other };
        servers.plan("LOCAL", "", "targets = [\"dynamodb://there/users\"]");
        servers
    }

    /// Writes the plan: who reads the source, more for the dataset, and its targets.
    pub(super) fn plan(&self, who: &str, dataset: &str, targets: &str) {
        let site = |name: &str, server: &DynamoServer, who: &str| {
            format!(
                "[sites.{name}]\ncredentials = {{ env = \"{who}\" }}\ndynamodb = {{ endpoint = \"{}\" }}\n",
                server.endpoint()
            )
        };
        let text = format!(
            "name = \"bench\"\n{}{}{}[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"users\"\n\
             source = \"dynamodb://here/users\"\n{dataset}\n{targets}\n",
            site("here", &self.here, who),
            site("there", &self.there, "LOCAL"),
            site("other", &self.other, "LOCAL"),
        );
        self.bench.write("plan.toml", &text);
    }

    /// The plan with two partitions.
    fn plan_partitions(&self, dataset: &str) {
        let targets = "[[phase.dataset.target]]\nat = \"dynamodb://there/users\"\nwhere = 'item.country == \"DE\"'\n\
                       [[phase.dataset.target]]\nat = \"dynamodb://other/users\"\nwhere = \"otherwise\"\n";
        self.plan("LOCAL", dataset, targets);
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.envs(KEYS);
        command
    }

    pub(super) fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = Ran::of(&mut self.command(args), args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    /// Runs up to the proof.
    fn prove(&self) -> Ran {
        self.expect(0, &["run", "plan.toml", "--until", "verified", "--json"])
    }

    /// Runs, is refused with this code, and says all of this.
    fn refused(&self, code: i32, says: &[&str]) {
        let ran = self.expect(code, &["run", "plan.toml", "--until", "verified"]);
        for text in says {
            assert!(ran.err.contains(text) || ran.out.contains(text), "{text:?}\n{}\n{}", ran.out, ran.err);
        }
    }

    async fn is_equal(&self) {
        assert_eq!(held(&self.here).await, held(&self.there).await);
    }

    /// Every item is in its partition, and nowhere else.
    async fn is_partitioned(&self) {
        let all = held(&self.here).await;
        let (germans, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, item)| item["country"] == Data::Text("DE".to_owned()));
        assert_eq!(held(&self.there).await, germans);
        assert_eq!(held(&self.other).await, others);
    }

    pub(super) async fn stop(self) {
        for server in [self.here, self.there, self.other] {
            server.stop().await;
        }
    }
}

/// What a run that ended told of its only dataset.
fn ended(ran: &Ran) -> Value {
    let ended = ran.events().into_iter().rfind(|event| event["event"] == "run_ended");
    ended.unwrap_or_else(|| panic!("it did not end: {}", ran.out))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_copied_and_proved_and_a_second_run_has_nothing_to_do() {
    let servers = Servers::start(300).await;
    // Without a stream, what is deleted at the source is an extra at the target.
    servers.plan("LOCAL", "extra = \"delete\"", "targets = [\"dynamodb://there/users\"]");
    let first = servers.prove();
    assert_eq!(ended(&first)["complete"], true, "{}", first.out);
    // What a run does as it was asked to is no warning.
    let told = |ran: &Ran, event: &str| ran.events().into_iter().filter(|told| told["event"] == event).count();
    assert_eq!((told(&first, "made"), told(&first, "warning")), (1, 0), "{}", first.out);
    servers.is_equal().await;
    // An item is named by its key attributes, in whatever order and with whatever blanks.
    let typed = r#"{ "n": {"N": "7"}, "id": {"S": "user-00007"} }"#;
    let shown: Value = serde_json::from_str(&servers.expect(0, &["show", "plan.toml", typed, "--json"]).out).unwrap();
    assert_eq!(shown["key"], r#"{"id":{"S":"user-00007"},"n":{"N":"7"}}"#, "{shown}");
    assert_eq!((&shown["datasets"][0]["item"], &shown["datasets"][0]["state"]), (&true.into(), &"verified".into()));
    let writes = servers.there.stats().of(DynamoOperation::BatchWriteItem);
    assert_eq!(told(&servers.prove(), "made"), 0, "it is there");
    assert_eq!(servers.there.stats().of(DynamoOperation::BatchWriteItem), writes, "nothing is written again");
    // What changes meanwhile is brought over by the next run, and what was deleted if the plan lets it.
    servers.plan("LOCAL", "extra = \"delete\"", "targets = [\"dynamodb://there/users\"]");
    let source = table(&servers.here).await;
    let names = structure().key_names();
    let gone = ItemWrite::Delete(names.key_of(&user(7, "")).unwrap());
    write(&source, &[gone, ItemWrite::Put(user(8, "second")), ItemWrite::Put(user(900, "new"))]).await;
    servers.prove();
    servers.is_equal().await;
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_table_is_followed_while_it_is_written_to() {
    let servers = Servers::start(300).await;
    servers.plan_partitions("live = true");
    let source = table(&servers.here).await;
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&over);
    let writer = tokio::spawn(async move {
        let mut n = 0;
        while !asked.load(Ordering::SeqCst) {
            let mut moved = user(n % 300, "changed");
            moved.insert("country".to_owned(), Data::Text(COUNTRIES[n as usize / 300 % 3].to_owned()));
            write(&source, &[ItemWrite::Put(moved)]).await;
            n += 7;
        }
    });
    servers.prove();
    over.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    servers.prove();
    servers.is_partitioned().await;
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_table_is_said_with_its_mend_and_the_same_command_goes_on() {
    let servers = Servers::start(50).await;
    // No table at the source.
    servers.plan("LOCAL", "", "targets = [\"dynamodb://there/users\"]");
    let plan = fs::read_to_string(servers.bench.path("plan.toml")).unwrap();
    servers.bench.write("plan.toml", &plan.replace("dynamodb://here/users", "dynamodb://here/accounts"));
    servers.refused(1, &["there is no table dynamodb://here/accounts", "create it, or correct the plan"]);
    servers.bench.write("plan.toml", &plan);
    // Another key.
    let target = table(&servers.there).await;
    target.create(&Structure::plain(("name", KeyType::Text), None)).await.unwrap();
    servers.refused(1, &["dynamodb://there/users differs from dynamodb://here/users", "choose another table"]);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_items_of_its_own_is_refused_and_keeps_them() {
    let servers = Servers::start(50).await;
    let target = table(&servers.there).await;
    target.create(&structure()).await.unwrap();
    fill(&target, 1000..1003, "its own").await;
    servers.refused(1, &["dynamodb://there/users holds items of its own", "empty it, or choose another table"]);
    assert_eq!(held(&servers.there).await.len(), 3, "they are as they were, and nothing is beside them");
    let names = structure().key_names();
    let gone: Vec<_> = (1000..1003).map(|n| ItemWrite::Delete(names.key_of(&user(n, "")).unwrap())).collect();
    write(&target, &gone).await;
    servers.prove();
    servers.is_equal().await;
    servers.stop().await;
}

/// A policy under which the user of the tests may do all but this.
pub(super) fn all_but(action: &str, arn: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Deny", "Action": "{action}", "Resource": "{arn}",
            "Principal": {{"AWS": "arn:aws:iam::111122223333:user/app"}}}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_may_not_be_enabled_or_read_is_told_and_nothing_is_claimed() {
    for action in
        ["dynamodb:UpdateTable", "dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"]
    {
        let servers = Servers::start(50).await;
        servers.plan("APP", "live = true", "targets = [\"dynamodb://there/users\"]");
        let arn = if action == "dynamodb:UpdateTable" {
            DynamoServer::table_arn("users")
        } else {
            table(&servers.here).await.changes().unwrap().enable().await.unwrap().0
        };
        servers.here.set_policy(&arn, Some(&all_but(action, &arn))).unwrap();
        servers.refused(3, &[action, "give the site's identity the right to do this"]);
        servers.here.set_policy(&arn, None).unwrap();
        servers.prove();
        servers.is_equal().await;
        servers.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_every_fiftieth_request_and_kills_lose_nothing() {
    let servers = Servers::start(1_500).await;
    servers.plan_partitions("live = true");
    let faults = [DynamoFault::ResetAfter, DynamoFault::Unprocessed, DynamoFault::InternalError];
    for (server, fault) in [&servers.here, &servers.there, &servers.other].into_iter().zip(faults) {
        server.set_faults(DynamoFaults { seed: 3, rules: vec![DynamoFaultRule::new(fault, When::Every(50))] });
    }
    let writes = |servers: &Servers| {
        [&servers.there, &servers.other].map(|server| server.stats().of(DynamoOperation::BatchWriteItem)).iter().sum()
    };
    for _ in 0..2 {
        let before: u64 = writes(&servers);
        let mut killed = Running::start(
            servers
                .command(&["run", "plan.toml", "--until", "verified", "--json"])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        while writes(&servers) < before + 12 && killed.try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    servers.prove();
    for server in [&servers.here, &servers.there, &servers.other] {
        server.set_faults(DynamoFaults::default());
    }
    servers.is_partitioned().await;
    servers.stop().await;
}

/// Items with values of every type, in the lines of an export.
fn lines(count: u32) -> Vec<String> {
    let line = |n: u32| {
        format!(
            r#"{{"Item":{{"bytes":{{"B":"AAEC"}},"country":{{"S":"{}"}},"empty":{{"S":""}},"id":{{"S":"user-{n:05}"}},"n":{{"N":"{n}"}},"nested":{{"M":{{"list":{{"L":[{{"NULL":true}},{{"BOOL":false}},{{"M":{{}}}}]}},"numbers":{{"NS":["-1.5","{n}","1000"]}}}}}},"words":{{"SS":["Zürich","a","b"]}}}}}}"#,
            COUNTRIES[n as usize % 3]
        )
    };
    (1..=count).map(line).collect()
}

/// All lines below a directory, with their sets in one order, sorted.
fn lines_below(directory: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.join("data")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(text.lines().map(|line| one_order(serde_json::from_str(line).unwrap())));
    }
    found.sort_by_key(Value::to_string);
    found
}

fn one_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::Array(mut set) if matches!(&*name, "SS" | "NS" | "BS") => {
                    set.sort_by_key(Value::to_string);
                    (name, Value::Array(set))
                }
                other => (name, one_order(other)),
            })
            .collect(),
        Value::Array(list) => list.into_iter().map(one_order).collect(),
        other => other,
    }
}

/// A plan from an export to a table, and from there to a directory.
fn plan_of_directories(servers: &Servers) {
    let text = format!(
        "name = \"bench\"\n[sites.disk]\ndirectory = \".\"\n\
         [sites.there]\ncredentials = {{ env = \"LOCAL\" }}\ndynamodb = {{ endpoint = \"{}\" }}\n\
         [[phase]]\nname = \"in\"\n[[phase.dataset]]\nname = \"import\"\nsource = \"file://disk/export\"\n\
         targets = [\"dynamodb://there/users\"]\n\
         [[phase]]\nname = \"out\"\nafter = [\"in\"]\n[[phase.dataset]]\nname = \"export\"\n\
         source = \"dynamodb://there/users\"\ntargets = [\"file://disk/exported\"]\n",
        servers.there.endpoint()
    );
    servers.bench.write("plan.toml", &text);
    let keys = r#"{"partition_key":"id","sort_key":"n","key_types":{"id":"S","n":"N"}}"#;
    servers.bench.write("export/table.json", keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_becomes_a_table_and_a_table_an_export() {
    let servers = Servers::start(0).await;
    plan_of_directories(&servers);
    servers.bench.write("export/data/users.json", &(lines(300).join("\n") + "\n"));
    servers.prove();
    assert_eq!(held(&servers.there).await.len(), 300);
    let exported = servers.bench.path("exported");
    assert!(lines_below(&exported) == lines_below(&servers.bench.path("export")), "another form of something");
    let names = fs::read_dir(&exported).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        names.filter(|name| !name.starts_with('.')).collect::<std::collections::BTreeSet<_>>(),
        ["data".to_owned(), "table.json".to_owned()].into()
    );
    servers.prove();
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_damaged_is_refused_by_file_and_line_and_goes_on_once_it_is_whole() {
    let good = lines(3);
    let half = &good[1][..good[1].len() / 2];
    let wrong = good[1].replace(r#""id":{"S":"user-00002"}"#, r#""id":{"N":"2"}"#);
    for (line, says) in [(half, "the line is cut"), (&*wrong, "id"), (&*good[0], "two items have one key")] {
        let servers = Servers::start(0).await;
        plan_of_directories(&servers);
        servers.bench.write("export/data/users.json", &format!("{}\n{line}\n{}\n", good[0], good[2]));
        let ran = servers.command(&["run", "plan.toml", "--until", "verified"]).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(3), "{said}");
        assert!(said.contains("data/users.json") && said.contains("line 2") && said.contains(says), "{said}");
        servers.bench.write("export/data/users.json", &(good.join("\n") + "\n"));
        servers.prove();
        assert_eq!(held(&servers.there).await.len(), 3);
        servers.stop().await;
    }
}

/// Another form of a number is no change. Another number, a smaller set and a further item are named, and only these are
/// mended.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_unnoticed_is_named_with_its_key_and_only_that_is_mended() {
    let servers = Servers::start(0).await;
    plan_of_directories(&servers);
    let mut all = lines(300);
    let write = |all: &[String]| servers.bench.write("export/data/users.json", &(all.join("\n") + "\n"));
    write(&all);
    servers.prove();
    all[4] = all[4].replace("\"-1.5\"", "\"-1.50\"").replace("\"1000\"", "\"1E3\"");
    write(&all);
    let verify = ["verify", "plan.toml", "--dataset", "import"];
    servers.expect(0, &verify);

    all[6] = all[6].replace("\"-1.5\"", "\"-1.51\"");
    all[8] = all[8].replace(",\"b\"]", "]");
    all.push(lines(301).remove(300));
    write(&all);
    let found = servers.expect(1, &verify);
    let said = format!("{}{}", found.out, found.err);
    let named: std::collections::BTreeSet<_> =
        said.match_indices("user-").map(|(at, _)| &said[at..at + "user-00000".len()]).collect();
    assert_eq!(named, ["user-00007", "user-00009", "user-00301"].into(), "{said}");
    let before = held(&servers.there).await;
    servers.expect(0, &[&verify[..], &["--repair"]].concat());
    let after = held(&servers.there).await;
    let mended: Vec<_> = after.keys().filter(|key| before.get(*key) != after.get(*key)).collect();
    assert_eq!((mended.len(), after.len()), (3, 301), "{mended:?}");
    servers.expect(0, &verify);
    servers.stop().await;
}

/// A target that takes writes, and cannot be read when it is to be proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_read_is_named_as_that_and_not_as_different() {
    let servers = Servers::start(50).await;
    servers.plan("LOCAL", "live = true", "targets = [\"dynamodb://there/users\"]");
    servers.expect(0, &["run", "plan.toml", "--until", "copied"]);
    let unread = DynamoFaultRule::new(DynamoFault::ExpiredToken, When::Every(1)).on([DynamoOperation::Scan]);
    servers.there.set_faults(DynamoFaults::one(1, unread));
    let run = servers.expect(3, &["run", "plan.toml"]);
    let said = "not proved equal at level checksum: dynamodb://there/users was not read to its end; waits for \
                dynamodb://there/users, which is down: ";
    assert!(run.out.contains(said), "{}", run.out);
    assert!(run.out.contains("help: correct the cause that each target that is down is named with"), "{}", run.out);
    let status = servers.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains("waits for dynamodb://there/users, which is down: "), "{}", status.out);
    servers.there.set_faults(DynamoFaults::default());
    servers.prove();
    servers.stop().await;
}
