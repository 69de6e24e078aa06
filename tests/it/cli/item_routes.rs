//! Routes in tables, as a shell sees them: a cutover of objects whose route is an item of a DynamoDB server.

use std::time::{Duration, Instant};

use migrate::{
    aws::dynamodb::{DynamoClient, DynamoTable},
    local_cloud::{
        DynamoFault, DynamoFaultRule, DynamoFaults, DynamoOperation, DynamoServer, DynamoServerConfig, When,
    },
    store::table::TableStore as _,
};
use migrate_core::{
    item::{Item, Value as Data},
    table::{KeyType, Structure},
};
use tokio::runtime::Runtime;

use super::*;
use crate::dynamodb::{ID, SECRET, client_of, items, server};

/// The account that owns the table.
const ACCOUNT: &str = "111122223333";

const RUN: [&str; 4] = ["run", "plan.toml", "--approve", "all"];

/// Files of one directory that go to another, and their route in a table.
struct OnTable {
    bench: Bench,
    server: DynamoServer,
    client: DynamoClient,
    /// The server's runtime.
    runtime: Runtime,
}

impl OnTable {
    /// With the table.
    fn new() -> Self {
        let made = Self::without_table();
        made.make(&Structure::plain(("dataset", KeyType::Text), None));
        made
    }

    fn without_table() -> Self {
        Self::as_user_of(ACCOUNT)
    }

    /// The tool runs as a user of this account.
    fn as_user_of(account: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (server, client) = runtime.block_on(async {
            let with_app = |config: &mut DynamoServerConfig| {
                account.clone_into(&mut config.account_id);
                *config = config.clone().with_user("app", "AKIDAPP", "app-secret");
                ACCOUNT.clone_into(&mut config.account_id);
            };
            let server = server(with_app).await;
            let client = client_of(server.endpoint(), ID, SECRET).await;
            (server, client)
        });
        let bench = Bench::new(THREE);
        let control = format!(
            "[sites.control]\ncredentials = {{ env = \"APP\" }}\ndynamodb = {{ endpoint = \"{}\" }}",
            server.endpoint()
        );
        let cutover = CUTOVER.replace("file://there/routes/files.json", "dynamodb://control/routes");
        bench.plan_with("", &control, &cutover);
        Self { bench, server, client, runtime }
    }

    fn table(&self) -> DynamoTable {
        self.client.table("routes")
    }

    fn make(&self, structure: &Structure) {
        self.runtime.block_on(self.table().create(structure)).unwrap();
    }

    /// Forbids or allows the user that runs the tool these actions at the table.
    fn rule(&self, effect: &str, account: &str, actions: &[&str]) {
        let arn = DynamoServer::table_arn("routes");
        let actions: Vec<_> = actions.iter().map(|action| format!("dynamodb:{action}")).collect();
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": effect, "Principal": { "AWS": format!("arn:aws:iam::{account}:user/app") },
            "Action": actions, "Resource": arn,
        }]});
        self.server.set_policy(&arn, Some(&policy.to_string())).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.env("APP_ACCESS_KEY_ID", "AKIDAPP").env("APP_SECRET_ACCESS_KEY", "app-secret");
        command
    }

    /// Runs, ends with this code, and returns all that was said.
    fn expect(&self, code: i32, args: &[&str]) -> String {
        let (ended, said) = self.ran(args);
        assert_eq!(ended, Some(code), "{args:?}\n{said}");
        said
    }

    fn ran(&self, args: &[&str]) -> (Option<i32>, String) {
        let ran = Ran::of(&mut self.command(args), args);
        (Some(ran.code), ran.out + &ran.err)
    }

    fn fails(&self, rule: DynamoFaultRule) {
        self.server.set_faults(DynamoFaults::one(1, rule));
    }

    fn heals(&self) {
        self.server.set_faults(DynamoFaults::default());
    }

    /// All that the table holds.
    fn held(&self) -> Vec<Item> {
        self.runtime.block_on(items(&self.table())).into_values().collect()
    }

    /// Lead and epoch, which the only item of the table shows.
    fn lead(&self) -> (String, String) {
        let held = self.held();
        assert_eq!(held.len(), 1, "the route, and nothing that a probe has left: {held:?}");
        let text = |name: &str| match &held[0][name] {
            Data::Text(text) => text.clone(),
            Data::Number(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text("dataset"), "files");
        (text("lead"), text("epoch"))
    }

    fn state(&self) -> Value {
        let status: Value = serde_json::from_str(&self.expect(0, &["status", "plan.toml", "--json"])).unwrap();
        status["phases"][0]["datasets"][0]["state"].clone()
    }

    fn is_cut_over(&self) {
        assert_eq!(self.lead(), ("there".to_owned(), "1".to_owned()));
        assert_eq!(self.state(), "cut_over");
        for (key, body) in THREE {
            assert_eq!(fs::read_to_string(self.bench.path(&format!("target/data/{key}"))).unwrap(), *body);
        }
    }

    fn copied_nothing(&self) {
        assert!(!self.bench.path("target/data/a.txt").exists(), "nothing is written before it is known who leads");
    }
}

#[test]
fn a_lead_moves_by_a_route_in_a_table_and_the_table_is_never_made() {
    let rig = OnTable::without_table();
    let preview = rig.expect(1, &["plan", "plan.toml"]);
    for said in ["BLOCKED", "dynamodb://control/routes", "there is no such table", "partition key", "create it"] {
        assert!(preview.contains(said), "{said}: {preview}");
    }
    for goal in ["copied", "verified", "cutover"] {
        let stopped = rig.expect(3, &["run", "plan.toml", "--until", goal, "--approve", "all"]);
        assert!(stopped.contains("there is no such table") && stopped.contains("create it"), "{stopped}");
    }
    rig.copied_nothing();
    assert!(rig.runtime.block_on(rig.table().describe()).unwrap().is_none(), "a run makes no table for routes");

    rig.make(&Structure::plain(("dataset", KeyType::Text), None));
    let preview = rig.expect(0, &["plan", "plan.toml"]);
    assert!(preview.contains("dynamodb://control/routes") && preview.contains("epoch 0"), "{preview}");
    assert!(rig.held().is_empty(), "a look leaves nothing");
    rig.expect(0, &["run", "plan.toml", "--until", "verified"]);
    assert_eq!(rig.lead(), ("here".to_owned(), "0".to_owned()));
    let checked = rig.expect(0, &["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
    assert!(checked.contains("switch"), "{checked}");
    rig.expect(0, &RUN);
    rig.is_cut_over();
    rig.expect(0, &RUN);
    rig.is_cut_over();
}

#[test]
fn a_table_that_cannot_hold_routes_is_told_with_its_mend() {
    for (structure, said) in [
        (Structure::plain(("dataset", KeyType::Number), None), "its partition key dataset is no text"),
        (Structure::plain(("dataset", KeyType::Text), Some(("n", KeyType::Number))), "it has the sort key n"),
        (Structure::plain(("epoch", KeyType::Text), None), "an attribute of the route"),
    ] {
        let rig = OnTable::without_table();
        rig.make(&structure);
        for args in [&["plan", "plan.toml"][..], &RUN] {
            let refused = rig.expect(1, args);
            assert!(refused.contains(said) && refused.contains("whose partition key is one text"), "{refused}");
        }
        rig.copied_nothing();
    }
}

/// A saved plan is bound to the table and to what the route shows there.
#[test]
fn a_saved_plan_refuses_a_route_that_has_changed() {
    let rig = OnTable::new();
    rig.expect(0, &["plan", "plan.toml", "--out", "saved.json"]);
    rig.expect(0, &["run", "saved.json", "--until", "verified"]);
    rig.expect(0, &["plan", "plan.toml", "--out", "again.json"]);
    let mut route = rig.held().remove(0);
    route.insert("epoch".to_owned(), Data::Number("7".parse().unwrap()));
    let put = [migrate::store::table::ItemWrite::Put(route)];
    rig.runtime.block_on(rig.table().write(&put)).unwrap();
    let refused = rig.expect(1, &["run", "again.json", "--approve", "all"]);
    assert!(refused.contains("route of files: epoch 7 led by here, was epoch 0"), "{refused}");
}

#[test]
fn a_server_that_ignores_conditions_or_refuses_all_moves_no_lead() {
    for fault in [DynamoFault::ConditionIgnored, DynamoFault::ConditionRefused] {
        let rig = OnTable::new();
        rig.fails(DynamoFaultRule::new(fault, When::Every(1)).on([DynamoOperation::PutItem]));
        for args in [&["plan", "plan.toml"][..], &RUN] {
            let refused = rig.expect(1, args);
            assert!(refused.contains("cannot be switched safely"), "{fault:?}: {refused}");
        }
        assert!(rig.held().is_empty(), "{fault:?}: no claim, no switch, and nothing that a probe has left");
    }
}

/// These are the rights that the documents name; a user of another account has no others.
#[test]
fn a_route_needs_few_rights_and_each_that_is_missing_is_told() {
    let needed = [
        "PutItem",
        "BatchGetItem",
        "BatchWriteItem",
        "DescribeTable",
        "DescribeTimeToLive",
        "DescribeContinuousBackups",
        "ListTagsOfResource",
    ];
    let other = "999988887777";
    let rig = OnTable::as_user_of(other);
    rig.make(&Structure::plain(("dataset", KeyType::Text), None));
    rig.rule("Allow", other, &needed);
    rig.expect(0, &["plan", "plan.toml"]);
    rig.expect(0, &RUN);
    rig.is_cut_over();
    let rig = OnTable::new();
    for action in needed {
        rig.rule("Deny", ACCOUNT, &[action]);
        let refused = rig.expect(3, &RUN);
        assert!(refused.contains("dynamodb://control/routes"), "{action}: {refused}");
        assert!(refused.contains("give the site's identity the right"), "{action}: {refused}");
        rig.copied_nothing();
    }
}

#[test]
fn a_second_state_directory_is_refused_takes_over_and_gives_up() {
    let rig = OnTable::new();
    rig.expect(0, &["run", "plan.toml", "--state", "one", "--until", "copied"]);
    let driver = |rig: &OnTable| match rig.held()[0].get("driver") {
        Some(Data::Map(driver)) => format!("{:?}", driver["state"]),
        other => format!("{other:?}"),
    };
    assert!(driver(&rig).contains("/one"), "{}", driver(&rig));
    for args in [&["run", "plan.toml", "--state", "two"][..], &["verify", "plan.toml", "--state", "two", "--repair"]] {
        let refused = rig.expect(1, args);
        assert!(refused.contains("drives dataset files") && refused.contains("--take-over files"), "{refused}");
    }
    rig.expect(0, &["run", "plan.toml", "--state", "two", "--take-over", "files", "--until", "copied"]);
    assert!(driver(&rig).contains("/two"), "{}", driver(&rig));
    rig.expect(1, &["run", "plan.toml", "--state", "one"]);
    rig.expect(0, &["abort", "plan.toml", "--state", "two"]);
    assert_eq!(driver(&rig), "None");
    rig.expect(0, &["run", "plan.toml", "--state", "one", "--approve", "all"]);
    assert_eq!(rig.lead(), ("there".to_owned(), "1".to_owned()));
}

#[test]
fn faults_at_the_route_delay_a_cutover_and_lose_nothing() {
    let faults = [
        DynamoFault::ResetAfter,
        DynamoFault::ResetBefore,
        DynamoFault::InternalErrorAfter,
        DynamoFault::Throttle,
        DynamoFault::CutAnswer,
        DynamoFault::FlipBit,
    ];
    for fault in faults {
        let rig = OnTable::new();
        rig.fails(DynamoFaultRule::new(fault, When::Every(11)));
        let mut ended = Vec::new();
        // A switch without an answer ends a run: the next one finds out.
        for _ in 0..5 {
            ended.push(rig.ran(&RUN));
            if ended.last().is_some_and(|(code, _)| *code == Some(0)) {
                break;
            }
        }
        assert_eq!(ended.last().unwrap().0, Some(0), "{fault:?}: {ended:?}");
        rig.heals();
        rig.is_cut_over();
    }
}

/// Kills a run while a put of it is under way, right before it acts or right after: one of a probe, the claim and the
/// switch.
#[test]
fn a_run_that_is_killed_at_a_put_leaves_one_lead_and_the_same_command_goes_on() {
    let rig = OnTable::new();
    rig.expect(0, &RUN);
    let puts = rig.server.stats().of(DynamoOperation::PutItem);
    assert_eq!(puts, 10, "two probes, a claim and a switch");
    let hour = Duration::from_hours(1);
    for fault in [DynamoFault::Delay(hour), DynamoFault::DelayBefore(hour)] {
        for number in [2, puts / 2, puts] {
            let rig = OnTable::new();
            rig.fails(DynamoFaultRule::new(fault, When::Only(number)).on([DynamoOperation::PutItem]));
            let mut run = Running::start(rig.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()));
            let begun = Instant::now();
            while rig.server.stats().faults_by_kind.is_empty() {
                assert!(begun.elapsed() < Duration::from_mins(1), "put {number} never comes");
                std::thread::sleep(Duration::from_millis(5));
            }
            // One that acts has acted before its answer is late.
            if matches!(fault, DynamoFault::Delay(_)) && number == puts {
                while rig.lead().0 != "there" {
                    assert!(begun.elapsed() < Duration::from_mins(1), "the switch never acts");
                }
            }
            run.kill().unwrap();
            run.wait().unwrap();
            rig.heals();
            if number == puts {
                let expected = if matches!(fault, DynamoFault::Delay(_)) { "there" } else { "here" };
                assert_eq!(rig.lead().0, expected, "{fault:?}");
                assert_eq!(rig.state(), "switching", "the ledger knows the intent alone");
            }
            rig.expect(0, &RUN);
            rig.is_cut_over();
        }
    }
}
