//! Objects in parts: the effects of a stop, of a lost answer and of hidden keys.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, S3Server, S3ServerConfig, UnfinishedUpload, When};

use super::*;

/// The number of parts of the large file, of 5 MiB each.
const PARTS: usize = 6;
/// A timeout, much longer than anything here takes.
const LONG: Duration = Duration::from_secs(90);

/// A directory, and a server in this process that it moves to.
pub(super) struct Uploads {
    pub(super) bench: Bench,
    pub(super) server: S3Server,
}

impl Uploads {
    /// With more keys at the top of the plan, and more for its dataset.
    pub(super) async fn start(top: &str, dataset: &str) -> Self {
        let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
        server.state().create_bucket("data");
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let plan = format!(
            "name = \"bench\"\n{top}\n[sites.here]\ndirectory = \"source\"\n[sites.there]\n\
             credentials = {{ env = \"THERE\" }}\ns3 = {{ endpoint = \"{}\", path_style = true }}\n\
             [[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"files\"\nsource = \"file://here/data\"\n\
             {dataset}\n[[phase.dataset.target]]\nat = \"s3://there/data\"\npart_size = \"5MiB\"\n",
            server.endpoint()
        );
        bench.write("plan.toml", &plan);
        bench.write("source/data/small", "little");
        Self { bench, server }
    }

    /// Puts a file of several parts at the source, the first in the order of keys.
    fn add_large(&self) -> Vec<u8> {
        let body: Vec<u8> = (0..PARTS * (5 << 20)).map(|at| (at / 4096 % 251).to_le_bytes()[0]).collect();
        fs::write(self.bench.path("source/data/a large one"), &body).unwrap();
        body
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.envs([("THERE_ACCESS_KEY_ID", "local"), ("THERE_SECRET_ACCESS_KEY", "local-secret")]);
        command
    }

    pub(super) fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = Ran::of(&mut self.command(args), args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn status(&self) -> Value {
        let status: Value = serde_json::from_str(&self.expect(0, &["status", "plan.toml", "--json"]).out).unwrap();
        status["phases"][0]["datasets"][0].clone()
    }

    /// The server's own account, beside the tool.
    pub(super) fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.server.endpoint())
            .force_path_style(true)
            .credentials_provider(Credentials::new("local", "local-secret", None, None, "test"));
        Client::from_conf(config.build())
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what} never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ends(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The first record is large, and more rows behind it are finished than a window holds, so nothing goes on
/// before it does. A stop gives it up half way.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_run_whose_window_is_full_behind_a_large_record() {
    let uploads = Uploads::start("", "").await;
    let body = uploads.add_large();
    for n in 0..10_000 {
        uploads.server.state().put("data", &format!("extra/{n:05}"), "x");
    }
    // One part passes, and the limit holds up those behind it for hours.
    let plan = fs::read_to_string(uploads.bench.path("plan.toml")).unwrap();
    let slow = plan.replace("[sites.there]\n", "[sites.there]\nlimits = { bandwidth = \"1kB/s\" }\n");
    uploads.bench.write("plan.toml", &slow);
    let mut run = uploads.command(&["run", "plan.toml", "--quiet"]);
    let mut child = Running::start(run.stdout(Stdio::null()).stderr(Stdio::piped()));
    let asked = |operation| uploads.server.stats().of(operation);
    let large = |upload: &UnfinishedUpload| upload.key == "a large one" && !upload.parts.is_empty();
    until("its first part", || uploads.server.state().uploads("data").iter().any(large)).await;
    // Two pages wait and one is on its way beyond the five that fill a window of 4,096.
    until("a full window", || asked(Operation::ListObjectsV2) >= 8).await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("finishing what is in flight"));
    uploads.expect(0, &["limits", "plan.toml", "there", "bandwidth=none"]);
    let code = ends(&mut child).await;
    assert_eq!(code, Some(3), "it ends, and can be gone on with");
    let left = uploads.server.state().uploads("data");
    assert!(left.len() == 1 && left[0].parts.len() < PARTS, "it was stopped half way: {left:?}");

    let before = [Operation::CreateMultipartUpload, Operation::UploadPart].map(asked);
    uploads.expect(0, &["run", "plan.toml"]);
    let [begun, written] = [Operation::CreateMultipartUpload, Operation::UploadPart].map(asked);
    assert_eq!(begun, before[0], "it went on with the upload that was there");
    assert_eq!(written - before[1], (PARTS - left[0].parts.len()) as u64, "what was under way has ended, and is known");
    assert_eq!(uploads.server.state().get("data", "a large one").unwrap(), body);
    assert_eq!(uploads.server.state().count("data"), 10_002);
    uploads.server.stop().await;
}

/// The second stop drops requests at once, also before anything is copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_twice_ends_whatever_it_waits_for() {
    let uploads = Uploads::start("", "").await;
    let hangs = FaultRule::new(Fault::SlowFirstByte(Duration::from_hours(1)), When::Every(1));
    uploads.server.set_faults(Faults::one(1, hangs));
    let mut run = uploads.command(&["run", "plan.toml", "--quiet"]);
    let mut child = Running::start(run.stdout(Stdio::null()).stderr(Stdio::piped()));
    until("the probe", || uploads.server.stats().of(Operation::PutObject) > 0).await;
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    for said in ["finishing what is in flight", "cancelling"] {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let told = told.next().unwrap().unwrap();
        assert!(told.contains(said), "{told}");
    }
    assert_eq!(ends(&mut child).await, Some(3));
    uploads.server.stop().await;
}

/// An upload that began although its answer was lost, on a server that does not list uploads.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_can_claim_is_told_until_it_is_gone() {
    for hides in [false, true] {
        let uploads = Uploads::start(if hides { "redact_keys = true" } else { "" }, "").await;
        uploads.expect(0, &["run", "plan.toml"]);
        let client = uploads.client();
        let denied = r#"{"Statement": [{"Effect": "Deny", "Principal": "*",
            "Action": "s3:ListBucketMultipartUploads", "Resource": "arn:aws:s3:::data"}]}"#;
        client.put_bucket_policy().bucket("data").policy(denied).send().await.unwrap();
        let lost = FaultRule::new(Fault::ResetAfter, When::Only(1)).on([Operation::CreateMultipartUpload]);
        uploads.server.set_faults(Faults::one(1, lost));
        let body = uploads.add_large();
        let ran = uploads.expect(0, &["run", "plan.toml", "--quiet"]);
        assert_eq!(uploads.server.state().get("data", "a large one").unwrap(), body, "it came over all the same");
        let names = |text: &str| text.contains("a large one");
        assert!(ran.err.contains("was asked for at") && ran.err.contains("its id is not known"), "{}", ran.err);
        assert_eq!(names(&ran.err), !hides, "{}", ran.err);
        let left = uploads.server.state().uploads("data");
        assert_eq!(left.len(), 1);

        let dataset = uploads.status();
        assert_eq!((&dataset["unclaimed_total"], &dataset["state"]), (&1.into(), &"verified".into()), "{dataset}");
        let upload = &dataset["unclaimed"][0];
        assert_eq!((&upload["target"], &upload["upload_ids"]), (&"s3://there/data".into(), &Value::Array(vec![])));
        assert_eq!(upload["next"], "migrate run plan.toml");
        assert_eq!(names(upload["key"].as_str().unwrap()), !hides, "{upload}");
        let text = uploads.expect(0, &["status", "plan.toml"]).out;
        assert!(text.contains("unclaimed: ") && text.contains("`migrate run plan.toml` looks again"), "{text}");

        // Now the uploads can be seen, but not which tool began them.
        client.delete_bucket_policy().bucket("data").send().await.unwrap();
        let ran = uploads.expect(0, &["run", "plan.toml", "--quiet"]);
        assert!(ran.err.contains(&left[0].id) && names(&ran.err) != hides, "{}", ran.err);
        assert_eq!(uploads.server.state().uploads("data").len(), 1, "it may be somebody else's");
        assert_eq!(uploads.status()["unclaimed"][0]["upload_ids"], serde_json::json!([left[0].id]));

        let abort = client.abort_multipart_upload().bucket("data").key("a large one").upload_id(&left[0].id);
        abort.send().await.unwrap();
        let ran = uploads.expect(0, &["run", "plan.toml", "--quiet"]);
        assert!(!ran.err.contains("upload"), "{}", ran.err);
        assert_eq!(uploads.status()["unclaimed_total"], 0);
        uploads.server.stop().await;
    }
}

/// An upload that is certainly ours is aborted at once, without a message.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_ours_is_aborted_without_a_word() {
    let uploads = Uploads::start("", "").await;
    uploads.expect(0, &["run", "plan.toml"]);
    let client = uploads.client();
    let foreign = client.create_multipart_upload().bucket("data").key("a large one").send().await.unwrap();
    let lost = FaultRule::new(Fault::ResetAfter, When::Only(1)).on([Operation::CreateMultipartUpload]);
    uploads.server.set_faults(Faults::one(1, lost));
    uploads.add_large();
    let ran = uploads.expect(0, &["run", "plan.toml", "--quiet"]);
    assert!(!ran.err.contains("upload"), "{}", ran.err);
    let left: Vec<_> = uploads.server.state().uploads("data").into_iter().map(|upload| upload.id).collect();
    assert_eq!(left, [foreign.upload_id().unwrap()], "the one that was there before is another's");
    assert_eq!(uploads.status()["unclaimed_total"], 0);
    uploads.server.stop().await;
}

/// Log lines hide keys as all output does, and keep the rest of the line.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_hides_keys_and_says_the_rest() {
    for format in ["debug", "debug,json"] {
        let uploads = Uploads::start("redact_keys = true", "").await;
        uploads.bench.write("source/data/ann", "Ann");
        let fails = FaultRule::new(Fault::InternalError, When::Every(2)).on([Operation::PutObject]);
        uploads.server.set_faults(Faults::one(1, fails));
        let ran = uploads.expect(0, &["--log", format, "run", "plan.toml"]);
        let tries: Vec<_> = ran.err.lines().filter(|line| line.contains("trying again")).collect();
        assert!(!tries.is_empty(), "{}", ran.err);
        assert!(tries.iter().any(|line| line.contains("key:") && line.contains("failed to write")), "{}", ran.err);
        assert!(!ran.err.contains("ann") && !ran.err.contains("small"), "{}", ran.err);
        uploads.server.stop().await;
    }
}
