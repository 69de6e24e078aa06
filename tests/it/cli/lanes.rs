//! A target that may be listed and not written: what the run and `status` say, and how it goes on.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use migrate::local_cloud::{Operation, S3Server, S3ServerConfig};
use serde_json::json;

use super::*;

/// A directory that moves to two directories and a bucket.
struct Three {
    bench: Bench,
    server: S3Server,
}

impl Three {
    async fn start() -> Self {
        let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
        server.state().create_bucket("data");
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let plan = format!(
            "name = \"bench\"\n[sites.here]\ndirectory = \"source\"\n[sites.one]\ndirectory = \"one\"\n[sites.two]\n\
             directory = \"two\"\n[sites.there]\ncredentials = {{ env = \"THERE\" }}\ns3 = {{ endpoint = \"{}\", \
             path_style = true }}\n[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"files\"\n\
             source = \"file://here/data\"\ntargets = [\"file://one/data\", \"file://two/data\", \"s3://there/data\"]\n\
             waive = [\"properties\"]\n",
            server.endpoint()
        );
        bench.write("plan.toml", &plan);
        for n in 0..60 {
            bench.write(&format!("source/data/{n:02}"), &format!("body {n}"));
        }
        Self { bench, server }
    }

    fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let mut command = self.bench.command(args);
        command.envs([("THERE_ACCESS_KEY_ID", "local"), ("THERE_SECRET_ACCESS_KEY", "local-secret")]);
        let ran = Ran::of(&mut command, args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.expect(0, &["status", "plan.toml", "--json"]).out).unwrap()
    }

    /// Denies an action on the bucket, or nothing.
    async fn deny(&self, action: Option<&str>) {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.server.endpoint())
            .force_path_style(true)
            .credentials_provider(Credentials::new("local", "local-secret", None, None, "test"));
        let client = Client::from_conf(config.build());
        if let Some(action) = action {
            let resources = ["arn:aws:s3:::data", "arn:aws:s3:::data/*"];
            let denied = json!({ "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resources });
            let policy = json!({ "Statement": [denied] }).to_string();
            client.put_bucket_policy().bucket("data").policy(policy).send().await.unwrap();
        } else {
            client.delete_bucket_policy().bucket("data").send().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_the_right_to_write_is_named_and_the_others_are_complete() {
    let three = Three::start().await;
    three.deny(Some("s3:PutObject")).await;
    let ran = three.expect(3, &["run", "plan.toml"]);
    assert!(ran.out.contains("waits for s3://there/data, which is down: failed to "), "{}", ran.out);
    assert!(ran.out.contains("AccessDenied"), "{}", ran.out);
    assert!(ran.out.contains("help: correct the cause that each target that is down is named with"), "{}", ran.out);
    assert!(ran.out.contains("next: migrate run plan.toml"), "{}", ran.out);
    assert!(ran.out.contains("down: s3://there/data since 20"), "{}", ran.out);
    assert!(ran.out.contains("give the site's identity the right to do this"), "{}", ran.out);
    assert!(ran.err.contains("warning: files: s3://there/data is down"), "{}", ran.err);
    for n in 0..60 {
        for target in ["one", "two"] {
            let copied = fs::read_to_string(three.bench.path(&format!("{target}/data/{n:02}"))).unwrap();
            assert_eq!(copied, format!("body {n}"));
        }
    }
    assert!(three.server.state().keys("data").is_empty());

    let status = three.status();
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!((&dataset["state"], &dataset["verification"]), (&json!("copying"), &Value::Null));
    assert_eq!(dataset["failures_total"], 0);
    assert!(dataset["waits_for"].as_str().unwrap().starts_with("s3://there/data, which is down: "), "{dataset}");
    let down = |target: usize| dataset["targets"][target]["down"].clone();
    assert_eq!((down(0), down(1)), (Value::Null, Value::Null));
    assert!(
        down(2)["since"].is_string() && down(2)["reason"].as_str().unwrap().contains("AccessDenied"),
        "{}",
        down(2)
    );
    assert!(down(2)["help"].as_str().unwrap().starts_with("give the site's identity"), "{}", down(2));
    assert_eq!(status["next"], "migrate run plan.toml");
    let shown = three.expect(0, &["status", "plan.toml"]).out;
    assert!(shown.contains("down: s3://there/data since 20"), "{shown}");

    // The next run is refused alike: it says so in JSON, and it is down since then.
    let ran = three.expect(3, &["run", "plan.toml", "--json"]);
    let events: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events.iter().filter(|event| event["event"] == "target_down").collect();
    assert_eq!((told.len(), told[0]["target"].as_str().unwrap()), (1, "s3://there/data"));
    assert!(told[0]["reason"].as_str().unwrap().contains("AccessDenied"), "{}", told[0]);
    let ended = events.last().unwrap();
    assert_eq!((&ended["complete"], &ended["next"]), (&json!(false), &json!("migrate run plan.toml --json")));
    assert_eq!(three.status()["phases"][0]["datasets"][0]["targets"][2]["down"]["since"], down(2)["since"]);

    // With the right it is copied alone, and everything is proved.
    three.deny(None).await;
    let ran = three.expect(0, &["run", "plan.toml"]);
    assert!(ran.out.contains("files: verified"), "{}", ran.out);
    assert_eq!(three.server.state().keys("data").len(), 60);
    assert_eq!(three.status()["phases"][0]["datasets"][0]["targets"][2]["down"], Value::Null);
    three.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_stops_one_target_where_it_is() {
    let three = Three::start().await;
    three.expect(0, &["run", "plan.toml"]);
    three.deny(Some("s3:PutObject")).await;
    for n in 60..99 {
        three.bench.write(&format!("source/data/{n:02}"), &format!("body {n}"));
    }
    let puts = three.server.stats().of(Operation::PutObject);
    let ran = three.expect(3, &["run", "plan.toml"]);
    assert!(ran.out.contains("waits for s3://there/data, which is down: failed to write "), "{}", ran.out);
    assert!(!ran.out.contains("records failed"), "{}", ran.out);
    assert!(three.bench.path("two/data/98").exists());
    assert!(three.server.stats().of(Operation::PutObject) - puts <= 39);
    three.deny(None).await;
    three.expect(0, &["run", "plan.toml"]);
    assert_eq!(three.server.state().keys("data").len(), 99);
    three.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_the_others_if_a_target_may_not_be_listed() {
    let three = Three::start().await;
    three.expect(0, &["run", "plan.toml"]);
    three.deny(Some("s3:ListBucket")).await;
    let ran = three.expect(3, &["verify", "plan.toml"]);
    assert!(
        ran.out.contains("files at s3://there/data: not proved by checksum, since it was not listed"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("not listed to its end: failed to list at s3://there/data: AccessDenied"), "{}", ran.out);
    assert!(ran.out.contains("next: migrate verify plan.toml"), "{}", ran.out);
    assert_eq!(ran.out.matches(": equal by ").count(), 2, "{}", ran.out);

    three.bench.write("two/data/07", "another");
    let answer: Value = serde_json::from_str(&three.expect(1, &["verify", "plan.toml", "--json"]).out).unwrap();
    let at = |target: usize, field: &str| answer["datasets"][target][field].clone();
    assert_eq!((&answer["equal"], &answer["complete"]), (&json!(false), &json!(false)));
    assert_eq!((at(0, "equal"), at(0, "complete"), at(0, "unlisted")), (json!(true), json!(true), Value::Null));
    assert_eq!((at(1, "different"), at(1, "complete")), (json!(1), json!(true)));
    assert_eq!((at(2, "equal"), at(2, "complete")), (json!(false), json!(false)));
    assert!(at(2, "unlisted").as_str().unwrap().contains("AccessDenied"), "{answer}");
    three.server.stop().await;
}
