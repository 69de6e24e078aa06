//! Verifications that another process goes on with, as a shell sees them.

use std::time::{Duration, Instant};

use migrate::{
    ledger::Ledger,
    local_cloud::{Fault, FaultRule, Faults, NewObject, Operation, S3Server, S3ServerConfig, When},
    model::{DatasetName, PlanName},
};

use super::*;

/// More than one page of a listing.
const RECORDS: u64 = 1_040;
/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(90);
/// What the first page shows.
const PAGE: u64 = 1_000;
const KEYS: [(&str, &str); 2] = [("KEYS_ACCESS_KEY_ID", "local"), ("KEYS_SECRET_ACCESS_KEY", "local-secret")];

struct Cloud {
    bench: Bench,
    server: S3Server,
}

impl Cloud {
    /// A dataset that is the same in both buckets, and an empty state directory.
    async fn new(records: u64) -> Self {
        let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
        for bucket in ["lead", "copy"] {
            server.state().create_bucket(bucket);
            for n in 0..records {
                let object = NewObject { data: n.to_string().into(), ..NewObject::default() };
                server.state().put_object(bucket, &format!("{n:04}"), object);
            }
        }
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let site = |name: &str| {
            format!(
                "[sites.{name}]\ncredentials = {{ env = \"KEYS\" }}\ns3 = {{ endpoint = \"{}\", path_style = true }}\n",
                server.endpoint()
            )
        };
        let plan = format!(
            "name = \"bench\"\n{}{}[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"things\"\n\
             source = \"s3://here/lead\"\ntargets = [\"s3://there/copy\"]\n",
            site("here"),
            site("there"),
        );
        bench.write("plan.toml", &plan);
        fs::create_dir_all(bench.path(".migrate/bench")).unwrap();
        Self { bench, server }
    }

    fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = Ran::of(self.bench.command(args).envs(KEYS), args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn looks(&self) -> u64 {
        self.server.stats().of(Operation::HeadObject)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_broke_off_compares_only_the_rest() {
    let cloud = Cloud::new(RECORDS).await;
    // The second page of one listing is refused: whichever comes first, both first pages have come before the fourth request.
    let refused = FaultRule::new(Fault::NotImplemented, When::Only(4)).on([Operation::ListObjectsV2]);
    cloud.server.set_faults(Faults { seed: 1, rules: vec![refused] });
    let verify = ["verify", "plan.toml", "--level", "checksum"];
    let broke_off = cloud.bench.command(&verify).envs(KEYS).output().unwrap();
    assert_ne!(broke_off.status.code(), Some(0));
    cloud.server.set_faults(Faults::default());

    let before = cloud.looks();
    let second = cloud.expect(0, &verify);
    assert!(second.err.contains("things: goes on with the verification of "), "{}", second.err);
    assert!(second.out.contains(&format!("{} compared", migrate::report::records(RECORDS))), "{}", second.out);
    assert!(second.out.contains("  it went on with the verification of "), "{}", second.out);
    assert_eq!(cloud.looks() - before, 2 * (RECORDS - PAGE), "the rest needs a look on either side");
    cloud.server.stop().await;
}

/// The process is killed while it waits for a page that never comes. Up to there it has compared all that it has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_killed_compares_only_the_rest() {
    let cloud = Cloud::new(RECORDS).await;
    let never = FaultRule::new(Fault::SlowFirstByte(LONG), When::Only(4)).on([Operation::ListObjectsV2]);
    cloud.server.set_faults(Faults { seed: 1, rules: vec![never] });
    let verify = ["verify", "plan.toml", "--level", "checksum", "--json"];
    let mut killed = Running::start(cloud.bench.command(&verify).envs(KEYS).stdout(Stdio::null()));
    let (plan, things) = (PlanName::new("bench").unwrap(), DatasetName::new("things").unwrap());
    let file = cloud.bench.path(".migrate/bench/verification.sqlite");
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LONG, "it has not kept what it has compared");
        tokio::time::sleep(Duration::from_millis(20)).await;
        // It may just be making the file.
        let Ok(Some(file)) = Ledger::open_read_only(&file, &plan) else { continue };
        let row = file.verification(&things).await.unwrap();
        if row.is_some_and(|row| row.found.first().is_some_and(|found| found.counts.compared == PAGE)) {
            break;
        }
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    cloud.server.set_faults(Faults::default());

    let before = cloud.looks();
    let answer: Value = serde_json::from_str(&cloud.expect(0, &verify).out).unwrap();
    let things = &answer["datasets"][0];
    assert_eq!((&things["equal"], &things["compared"]), (&true.into(), &RECORDS.into()), "{answer}");
    assert!(things["since"].is_string(), "{answer}");
    assert_eq!(cloud.looks() - before, 2 * (RECORDS - PAGE), "nothing was compared twice");
    cloud.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_beside_a_verification_is_not_refused_and_a_second_verification_says_what_it_lacks() {
    let cloud = Cloud::new(5).await;
    let lock = File::create(cloud.bench.path(".migrate/bench/verification.lock")).unwrap();
    lock.lock().unwrap();
    cloud.expect(0, &["run", "plan.toml"]);
    let beside = cloud.expect(0, &["verify", "plan.toml"]);
    let note = "cannot go on later: another verification of this migration is under way";
    assert!(beside.err.contains(note), "{}", beside.err);
    drop(lock);
    let alone = cloud.expect(0, &["verify", "plan.toml"]);
    assert!(!alone.err.contains("cannot go on later"), "{}", alone.err);
    cloud.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_progress_that_this_build_cannot_read_is_begun_anew() {
    let cloud = Cloud::new(5).await;
    cloud.expect(0, &["run", "plan.toml"]);
    let file = cloud.bench.path(".migrate/bench/verification.sqlite");
    fs::write(&file, "no ledger at all").unwrap();
    let verified = cloud.expect(0, &["verify", "plan.toml"]);
    assert!(!verified.err.contains("cannot go on later"), "{}", verified.err);
    assert!(fs::read(&file).unwrap().starts_with(b"SQLite format 3"));
    // What is no file of this tool's stays, and the answer says why it is in the way.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let beside = cloud.expect(0, &["verify", "plan.toml"]);
    assert!(beside.err.contains("cannot go on later") && file.is_dir(), "{}", beside.err);
    cloud.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_of_what_has_not_begun_makes_no_state_and_says_that_it_cannot_go_on() {
    let cloud = Cloud::new(5).await;
    fs::remove_dir_all(cloud.bench.path(".migrate")).unwrap();
    let ran = cloud.expect(0, &["verify", "plan.toml", "--level", "checksum"]);
    assert!(ran.err.contains("cannot go on later: nothing of this migration has begun"), "{}", ran.err);
    assert!(!cloud.bench.path(".migrate").exists(), "it makes no state");
    cloud.server.stop().await;
}
