//! A stopped command says so: it is neither blocked nor different, and what it did not look at has no counts.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
    time::Duration,
};

use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, S3Server, S3ServerConfig, When};
use serde_json::Value;

use super::{Bench, Running, THREE};

/// Two datasets of 300 objects each, from a server with a request limit.
async fn slow(requests_per_second: u32) -> (Bench, S3Server) {
    let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
    server.state().create_bucket("data");
    for number in 0..300 {
        server.state().put("data", &format!("one/{number:03}"), format!("body {number}"));
        server.state().put("data", &format!("two/{number:03}"), format!("body {number}"));
    }
    let bench = Bench::new(&[]);
    let datasets = ["one", "two"].map(|name| {
        format!(
            "[[phase.dataset]]\nname = \"{name}\"\nsource = \"s3://here/data/{name}\"\n\
             targets = [\"file://there/{name}\"]\nwaive = [\"properties\"]\n"
        )
    });
    let plan = format!(
        "name = \"bench\"\n[sites.here]\ncredentials = {{ env = \"HERE\" }}\n\
         s3 = {{ endpoint = \"{}\", path_style = true }}\n\
         limits = {{ requests_per_second = {requests_per_second} }}\n[sites.there]\ndirectory = \"target\"\n\
         [[phase]]\nname = \"first\"\n{}",
        server.endpoint(),
        datasets.concat()
    );
    bench.write("plan.toml", &plan);
    (bench, server)
}

fn keyed(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.envs([("HERE_ACCESS_KEY_ID", "local"), ("HERE_SECRET_ACCESS_KEY", "local-secret")]);
    command
}

/// Interrupts a command once the server has had a request of this kind.
async fn interrupted(bench: &Bench, server: &S3Server, args: &[&str], at: Operation) -> Output {
    let before = server.stats().of(at);
    let mut child = Running::start(keyed(bench, args).stdout(Stdio::piped()).stderr(Stdio::piped()));
    while server.stats().of(at) == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it asked");
        tokio::task::yield_now().await;
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    tokio::task::spawn_blocking(move || child.output()).await.unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_stopped_is_not_unequal() {
    let (bench, server) = slow(100).await;
    let plan = std::fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write("plan.toml", &plan.replace("requests_per_second = 100", "requests_per_second = 100000"));
    let run = keyed(&bench, &["run", "plan.toml", "--quiet"]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    bench.write("plan.toml", &plan);
    let args = ["verify", "plan.toml", "--level", "bytes"];
    let human = interrupted(&bench, &server, &args, Operation::GetObject).await;
    assert_eq!(human.status.code(), Some(3), "{human:?}");
    let said = String::from_utf8(human.stdout).unwrap();
    assert!(said.contains("one at file://there/one: stopped before its end, while compared by bytes; "), "{said}");
    assert!(said.contains("\ntwo: not looked at\n") && !said.contains("NOT EQUAL"), "{said}");
    assert!(said.ends_with("\nnext: migrate verify plan.toml --level bytes\n"), "{said}");

    let args = ["verify", "plan.toml", "--level", "bytes", "--json"];
    let stopped = document(&interrupted(&bench, &server, &args, Operation::GetObject).await);
    assert_eq!((&stopped["stopped"], &stopped["complete"]), (&true.into(), &false.into()), "{stopped}");
    assert_eq!((&stopped["equal"], &stopped["not_looked_at"]), (&false.into(), &serde_json::json!(["two"])));
    let one = &stopped["datasets"][0];
    assert_eq!((&one["complete"], &one["different"], &one["missing"]), (&false.into(), &0.into(), &0.into()), "{one}");
    assert!(one["compared"].as_u64() < Some(300), "{one}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_waits_for_a_page_stops_at_once() {
    let (bench, server) = slow(100_000).await;
    let hangs = FaultRule::new(Fault::SlowFirstByte(Duration::from_hours(1)), When::Every(1));
    server.set_faults(Faults::one(1, hangs.on([Operation::ListObjectsV2])));
    let stopped = interrupted(&bench, &server, &["verify", "plan.toml", "--json"], Operation::ListObjectsV2).await;
    assert_eq!(stopped.status.code(), Some(3), "{stopped:?}");
    assert_eq!(document(&stopped)["not_looked_at"], serde_json::json!(["two"]), "it was not stopped twice");
    server.stop().await;
}

/// A first stop waits for the records that are looked at; a second one drops the requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_stopped_twice_is_stopped_and_no_error() {
    let (bench, server) = slow(100_000).await;
    let run = keyed(&bench, &["run", "plan.toml", "--quiet"]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let looks = [Operation::HeadObject, Operation::GetObject];
    let asked = || looks.map(|look| server.stats().of(look)).into_iter().sum::<u64>();
    let hangs = FaultRule::new(Fault::SlowFirstByte(Duration::from_hours(1)), When::Every(1));
    server.set_faults(Faults::one(1, hangs.on(looks)));
    for more in ["--level bytes", "--repair --level checksum", "--json"] {
        let args = [&["verify", "plan.toml"], &more.split(' ').collect::<Vec<_>>()[..]].concat();
        let before = asked();
        let mut child = Running::start(keyed(&bench, &args).stdout(Stdio::piped()).stderr(Stdio::piped()));
        while asked() == before {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it asked");
            tokio::task::yield_now().await;
        }
        let mut heard = BufReader::new(child.stderr.take().unwrap()).lines();
        for answer in ["finishing what is in flight", "cancelling requests"] {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
            assert!(heard.any(|line| line.unwrap().starts_with(answer)), "{answer}");
        }
        let output = child.output();
        let rest: Vec<_> = heard.map(Result::unwrap).collect();
        assert_eq!(output.status.code(), Some(3), "{output:?} {rest:?}");
        assert!(rest.is_empty(), "it is no error: {rest:?}");
        if more == "--json" {
            let stopped = document(&output);
            assert_eq!((&stopped["stopped"], &stopped["mend"]), (&true.into(), &Value::Null), "{stopped}");
            assert_eq!(stopped["not_looked_at"], serde_json::json!(["one", "two"]), "{stopped}");
        } else {
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.starts_with("one: not looked at\ntwo: not looked at\n"), "{said}");
            assert!(said.ends_with(&format!("\nnext: migrate verify plan.toml {more}\n")), "{said}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_stopped_is_not_blocked() {
    let (bench, server) = slow(1).await;
    let args = ["plan", "plan.toml", "--no-probe"];
    let human = interrupted(&bench, &server, &args, Operation::ListObjectsV2).await;
    assert_eq!(human.status.code(), Some(3), "{human:?}");
    let said = String::from_utf8(human.stdout).unwrap();
    assert!(said.contains("two (pending): s3://here/data/two/ was not looked at"), "{said}");
    assert!(said.contains("It was stopped: ") && !said.to_lowercase().contains("blocked"), "{said}");
    assert!(said.ends_with("\nnext: migrate plan plan.toml --no-probe\n"), "{said}");

    let args = ["plan", "plan.toml", "--no-probe", "--json"];
    let stopped = document(&interrupted(&bench, &server, &args, Operation::ListObjectsV2).await);
    assert_eq!((&stopped["stopped"], &stopped["runnable"]), (&true.into(), &false.into()), "{stopped}");
    let two = &stopped["phases"][0]["datasets"][1];
    assert_eq!((&two["records"], &two["bytes"], &two["complete"]), (&Value::Null, &Value::Null, &false.into()));
    assert_eq!((&two["blocks"], &two["targets"]), (&serde_json::json!([]), &serde_json::json!([])), "{two}");
    server.stop().await;
}

#[test]
fn a_source_that_cannot_be_looked_at_has_no_counts() {
    let bench = Bench::new(THREE);
    std::fs::remove_dir_all(bench.path("source/data")).unwrap();
    let blocked = bench.expect(1, &["plan", "plan.toml"]);
    assert!(blocked.out.contains("files (pending): file://here/data was not looked at"), "{}", blocked.out);
    assert!(blocked.out.contains("BLOCKED: ") && !blocked.out.contains("0 records"), "{}", blocked.out);
    let dataset = &bench.json(1, &["plan", "plan.toml", "--json"])["phases"][0]["datasets"][0];
    assert_eq!((&dataset["records"], &dataset["complete"]), (&Value::Null, &false.into()), "{dataset}");
    bench.write("source/data/a.txt", "alpha");
    let dataset = &bench.json(0, &["plan", "plan.toml", "--json"])["phases"][0]["datasets"][0];
    assert_eq!((&dataset["records"], &dataset["complete"]), (&1.into(), &true.into()), "{dataset}");
}

/// What waits for working hours would wait for hours after the stop, too.
#[test]
fn a_run_outside_of_working_hours_ends_at_the_first_stop() {
    let bench = Bench::new(THREE);
    let hour =
        |later: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(later)).strftime("%H:%M").to_string();
    bench.plan_with("", &format!("limits = {{ window = \"{}-{} UTC\" }}", hour(8), hour(9)), "");
    let command = bench.command(&["run", "plan.toml", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = command.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("outside working hours")), "it says what it waits for");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(lines.last().unwrap().contains("run_ended"));
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(bench.expect(0, &["limits", "plan.toml", "here", "window=none"]).out.contains("window"));
    bench.expect(0, &["run", "plan.toml"]);
}
