//! The content of a proof: what must survive, what decided, what was not compared, what is undecided.

use std::{collections::BTreeMap, time::Duration};

use migrate::local_cloud::{Fault, FaultRule, Faults, NewObject, Operation, Quirks, S3Server, S3ServerConfig, When};

use super::*;

/// One dataset between buckets of one server.
struct Buckets {
    bench: Bench,
    server: S3Server,
}

impl Buckets {
    async fn new(dataset: &str) -> Self {
        let server = server(Quirks::default()).await;
        server.state().create_bucket("lead");
        server.state().create_bucket("copy");
        let buckets = Self { bench: Bench { root: tempfile::tempdir().unwrap() }, server };
        buckets.plan("lead", "copy", dataset);
        buckets
    }

    fn plan(&self, from: &str, to: &str, dataset: &str) {
        let site = |name: &str| {
            format!(
                "[sites.{name}]\ncredentials = {{ env = \"KEYS\" }}\n\
                 s3 = {{ endpoint = \"{}\", path_style = true }}\n",
                self.server.endpoint()
            )
        };
        let plan = format!(
            "name = \"bench\"\n{}{}[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"things\"\n\
             source = \"s3://here/{from}\"\ntargets = [\"s3://there/{to}\"]\n{dataset}\n",
            site("here"),
            site("there"),
        );
        self.bench.write("plan.toml", &plan);
    }

    fn put(&self, bucket: &str, key: &str, object: NewObject) {
        self.server.state().put_object(bucket, key, object);
    }

    fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let keys = [("KEYS_ACCESS_KEY_ID", "local"), ("KEYS_SECRET_ACCESS_KEY", "local-secret")];
        let ran = Ran::of(self.bench.command(args).envs(keys), args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        serde_json::from_str(&self.expect(code, args).out).unwrap()
    }
}

async fn server(quirks: Quirks) -> S3Server {
    let config = S3ServerConfig { quirks, ..S3ServerConfig::new("local", "local-secret") };
    S3Server::start(config).await.unwrap()
}

fn tagged(data: &'static str) -> NewObject {
    NewObject { tags: [("team".to_owned(), "shop".to_owned())].into(), ..object(data) }
}

fn object(data: &'static str) -> NewObject {
    NewObject { data: data.into(), ..NewObject::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_travel_is_not_equal_because_its_bytes_are_there() {
    let buckets = Buckets::new("").await;
    buckets.put("lead", "cold", NewObject { storage_class: Some("STANDARD_IA".into()), ..object("bytes") });
    buckets.put("copy", "cold", object("bytes"));
    let ran = buckets.expect(3, &["run", "plan.toml"]);
    assert!(ran.out.contains("cold at s3://there/copy: it has a property that does not travel yet"), "{}", ran.out);
    buckets.expect(1, &["verify", "plan.toml"]);
    buckets.expect(1, &["verify", "plan.toml", "--level", "bytes"]);
    buckets.plan("lead", "copy", "waive = [\"storage-class\"]");
    buckets.expect(0, &["run", "plan.toml"]);
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_says_nothing_is_equal_to_none_in_both_directions() {
    let buckets = Buckets::new("").await;
    buckets.put("lead", "empty", NewObject { content_type: Some(String::new()), ..object("one") });
    buckets.put("lead", "page", NewObject { content_type: Some("text/html".into()), ..object("two") });
    buckets.expect(0, &["run", "plan.toml"]);
    let again = buckets.expect(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(ended(&again)["targets"][0]["copied"], 0);
    // And in the other direction, as after a cutover.
    buckets.plan("copy", "lead", "");
    buckets.expect(0, &["verify", "plan.toml", "--state", "other", "--level", "bytes"]);
    buckets.put("lead", "page", object("two"));
    buckets.expect(1, &["verify", "plan.toml", "--state", "other"]);
    buckets.server.stop().await;
}

/// One bit flips on the way in the first look, another one in the third: each look reads both sides.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_comes_and_goes_is_unstable_and_one_that_went_is_none() {
    let buckets = Buckets::new("").await;
    buckets.put("lead", "k", object("bytes"));
    buckets.expect(0, &["run", "plan.toml"]);
    let flips = |reads: &[u64]| {
        let flip = |read| FaultRule::new(Fault::FlipResponseBit, When::Only(read)).on([Operation::GetObject]);
        buckets.server.set_faults(Faults { seed: 1, rules: reads.iter().copied().map(flip).collect() });
    };
    let verify = ["verify", "plan.toml", "--level", "bytes", "--json"];
    flips(&[1, 5]);
    let found = buckets.json(3, &verify);
    let dataset = &found["datasets"][0];
    assert_eq!((&dataset["unstable"], &dataset["different"]), (&1.into(), &0.into()), "{found}");
    assert_eq!((&dataset["equal"], &dataset["differences"][0]["kind"]), (&false.into(), &"unstable".into()), "{found}");
    flips(&[1]);
    assert_eq!(buckets.json(0, &verify)["datasets"][0]["unstable"], 0, "two looks in a row are believed");
    flips(&[1, 3]);
    assert_eq!(buckets.json(1, &verify)["datasets"][0]["different"], 1, "either way");
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiver_that_is_withdrawn_brings_over_what_was_left() {
    let buckets = Buckets::new("waive = [\"tags\"]").await;
    buckets.put("lead", "plain", object("plain"));
    buckets.put("lead", "tagged", tagged("tagged"));
    let tags = || buckets.server.state().get_object("copy", "tagged").unwrap().tags;
    buckets.expect(0, &["run", "plan.toml"]);
    assert!(tags().is_empty());

    buckets.plan("lead", "copy", "");
    // The proof is less than the plan now asks for.
    let status = buckets.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!(status["phases"][0]["datasets"][0]["waits_for"], "its verification", "{status}");
    assert_eq!(status["next"], "migrate run plan.toml");
    let undecided = buckets.json(3, &["verify", "plan.toml", "--level", "listing", "--json"]);
    assert_eq!(undecided["datasets"][0]["undecided"], 2, "{undecided}");
    assert_eq!(undecided["next"], "migrate verify plan.toml --level checksum");
    let different = buckets.expect(1, &["verify", "plan.toml"]);
    assert!(different.out.contains("tag \"team\" is absent"), "{}", different.out);
    let preview = buckets.json(0, &["plan", "plan.toml", "--json"]);
    assert_eq!(preview["phases"][0]["datasets"][0]["targets"][0]["compare"], 2, "{preview}");

    let events = buckets.expect(0, &["run", "plan.toml", "--json"]).events();
    let target = &ended(&events)["targets"][0];
    assert_eq!((&target["copied"], &target["same"]), (&1.into(), &1.into()), "only what was left: {target}");
    assert_eq!(tags(), BTreeMap::from([("team".to_owned(), "shop".to_owned())]));
    buckets.expect(0, &["verify", "plan.toml", "--level", "listing"]);

    // An added waiver changes nothing.
    buckets.plan("lead", "copy", "waive = [\"tags\", \"metadata\"]");
    assert_eq!(buckets.json(0, &["status", "plan.toml", "--json"])["next"], Value::Null);
    let events = buckets.expect(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(
        (&ended(&events)["targets"][0]["copied"], &ended(&events)["targets"][0]["same"]),
        (&0.into(), &2.into())
    );
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_teaches_that_a_waiver_left_nothing_behind() {
    let buckets = Buckets::new("waive = [\"tags\"]").await;
    buckets.put("lead", "plain", object("plain"));
    buckets.expect(0, &["run", "plan.toml"]);
    buckets.plan("lead", "copy", "");
    buckets.expect(3, &["verify", "plan.toml", "--level", "listing"]);
    buckets.expect(0, &["verify", "plan.toml", "--repair"]);
    buckets.expect(0, &["verify", "plan.toml", "--level", "listing"]);
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proof_says_what_was_waived_and_a_waiver_for_one_target_strips_no_other() {
    let buckets = Buckets::new("").await;
    let tagless = server(Quirks { no_tags: true, ..Quirks::default() }).await;
    tagless.state().create_bucket("data");
    let more = format!(
        "[[phase.dataset.target]]\nat = \"s3://far/data\"\nwaive = [\"tags\"]\n[sites.far]\n\
         credentials = {{ env = \"KEYS\" }}\ns3 = {{ endpoint = \"{}\", path_style = true }}\n",
        tagless.endpoint()
    );
    buckets.plan("lead", "copy", &more);
    buckets.put("lead", "k", tagged("bytes"));
    let waived = "tags: waived by the plan, and this target cannot hold them";

    let ran = buckets.expect(0, &["run", "plan.toml"]);
    assert!(ran.out.contains(&format!("    not seen: {waived}\n")), "{}", ran.out);
    assert!(!buckets.server.state().get_object("copy", "k").unwrap().tags.is_empty(), "the other target has them");
    assert_eq!(tagless.state().get("data", "k").unwrap(), "bytes");
    let found = buckets.json(0, &["verify", "plan.toml", "--json"]);
    let spots = |place: usize| found["datasets"][place]["blind_spots"].as_array().unwrap().clone();
    assert!(spots(1).contains(&waived.into()) && !spots(0).contains(&waived.into()), "{found}");
    let status = buckets.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains(&format!("not seen: {waived}\n")), "{}", status.out);
    let status = buckets.json(0, &["status", "plan.toml", "--json"]);
    let proof = &status["phases"][0]["datasets"][0]["verification"];
    assert!(proof["blind_spots"].as_array().unwrap().contains(&waived.into()), "{proof}");
    let dry = buckets.expect(0, &["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
    assert!(dry.out.contains(&format!("not seen: {waived}\n")), "{}", dry.out);

    // Nor does it hide what another target lacks. Equal bytes have an equal tag, so in a listing only the time, in
    // whole seconds, can show that this is another version.
    buckets.put("copy", "k", object("bytes"));
    assert!(buckets.server.state().postdate("copy", "k", Duration::from_secs(90)));
    let different = buckets.expect(1, &["verify", "plan.toml"]);
    assert!(different.out.contains("different k at s3://there/copy"), "{}", different.out);
    buckets.expect(0, &["run", "plan.toml"]);

    // Without the waiver equal bytes alone do not make a record equal.
    buckets.plan("lead", "copy", &more.replace("waive = [\"tags\"]\n", ""));
    let different = buckets.expect(1, &["verify", "plan.toml"]);
    assert!(different.out.contains("different k at s3://far/data"), "{}", different.out);
    buckets.expect(3, &["run", "plan.toml"]);
    buckets.server.stop().await;
    tagless.stop().await;
}

/// S3 tells no time when it takes a write, but its answer is dated.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_decides_by_the_time_of_the_write_and_then_by_what_a_look_has_taught() {
    let buckets = Buckets::new("").await;
    buckets.put("lead", "k", object("bytes"));
    let listing = ["verify", "plan.toml", "--level", "listing", "--json"];
    buckets.expect(0, &["run", "plan.toml", "--until", "copied"]);
    assert_eq!(buckets.json(0, &listing)["datasets"][0]["decided"]["versions"], 1);

    // The same object, written again later: a listing alone cannot tell what it has become.
    buckets.put("copy", "k", object("bytes"));
    assert!(buckets.server.state().postdate("copy", "k", Duration::from_secs(30)));
    let found = buckets.json(3, &listing);
    assert_eq!((&found["datasets"][0]["undecided"], &found["equal"]), (&1.into(), &false.into()), "{found}");
    buckets.expect(0, &["run", "plan.toml"]);
    assert_eq!(buckets.json(0, &listing)["datasets"][0]["decided"]["versions"], 1);

    // Equal bytes, and so an equal tag, with another property: only the time shows it.
    let rewritten = NewObject { content_type: Some("text/html".into()), ..object("bytes") };
    buckets.put("copy", "k", rewritten);
    assert!(buckets.server.state().postdate("copy", "k", Duration::from_secs(90)));
    let found = buckets.json(1, &listing);
    assert!(found["datasets"][0]["differences"][0]["detail"].as_str().unwrap().contains("replaced"), "{found}");
    buckets.expect(0, &["run", "plan.toml"]);
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_asks_for_listings_is_proved_by_its_first_run() {
    let buckets = Buckets::new("verify = \"listing\"").await;
    buckets.put("lead", "k", object("bytes"));
    buckets.expect(0, &["run", "plan.toml"]);
    buckets.expect(0, &["verify", "plan.toml"]);
    buckets.server.stop().await;
}

#[test]
fn a_proof_names_what_decided() {
    let bench = Bench::new(THREE);
    let ran = bench.expect(0, &["run", "plan.toml"]);
    assert!(ran.out.contains("files: verified; equal by recorded versions (3 comparisons)"), "{}", ran.out);
    let unseen = "    not seen: bytes that change without a new version: 3 records were taken for equal";
    assert!(ran.out.contains(unseen), "{}", ran.out);
    let verify = bench.expect(0, &["verify", "plan.toml"]);
    assert!(verify.out.contains("files at file://there/data: equal by recorded versions; 3 records"), "{}", verify.out);
    let found = bench.json(0, &["verify", "plan.toml", "--json"]);
    let decided = serde_json::json!({"digests": 0, "versions": 3, "bytes": 0});
    assert_eq!(found["datasets"][0]["decided"], decided, "{found}");
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains("equal by recorded versions at "), "{}", status.out);
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!(status["phases"][0]["datasets"][0]["verification"]["decided"], decided, "{status}");

    let read = bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
    assert!(read.out.contains("files at file://there/data: equal by bytes; 3 records"), "{}", read.out);
    // Without a ledger there are no recorded versions.
    let found = bench.json(0, &["verify", "plan.toml", "--state", "other", "--json"]);
    assert_eq!(found["datasets"][0]["decided"]["bytes"], 3, "{found}");

    // A run says it with every proof, and when it asks for an approval.
    bench.plan("", CUTOVER);
    let events = bench.expect(0, &["run", "plan.toml", "--state", "moves", "--json"]).events();
    let of = |name: &str, state: Option<&str>| {
        events.iter().find(|event| event["event"] == name && state.is_none_or(|state| event["state"] == state)).unwrap()
    };
    let verified = of("dataset_state", Some("verified"));
    for proof in [verified, &of("needs_approval", None)["datasets"][0]] {
        assert_eq!(proof["decided"], decided, "{proof}");
        assert!(proof["blind_spots"][0].as_str().unwrap().starts_with("bytes that change"), "{proof}");
    }
    assert_eq!((&verified["level"], &verified["compared"]), (&"checksum".into(), &3.into()), "{verified}");
    assert!(of("dataset_state", Some("copying")).get("decided").is_none());
}

/// The proof that moves a lead says so too.
#[test]
fn the_proof_of_a_cutover_names_what_it_did_not_see() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    let events = bench.expect(0, &["run", "plan.toml", "--approve", "all", "--json"]).events();
    let of = |event: &&Value| event["event"] == "cutover_step" && event["step"] == "final verify";
    let told: Vec<_> = events.iter().filter(of).map(|event| event["detail"].as_str().unwrap()).collect();
    let proof = "equal by recorded versions; not seen: bytes that change without a new version";
    assert!(told.iter().any(|detail| detail.starts_with(proof) && detail.contains("waived by the plan")), "{told:?}");
}
