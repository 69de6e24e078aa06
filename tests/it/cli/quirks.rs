//! Migrations from and to servers that differ from S3.

use std::collections::BTreeMap;

use migrate::local_cloud::{
    Fault, FaultRule, Faults, IfMatchQuirk, MetadataQuirk, NewObject, Operation, Quirks, S3Server, S3ServerConfig, When,
};
use serde_json::json;

use super::*;

const WORD: &str = "=?UTF-8?Q?caf=C3=A9?=";

/// A bench whose plan moves the bucket of one server to that of another.
struct Two {
    bench: Bench,
    from: S3Server,
    to: S3Server,
}

impl Two {
    async fn new(from: Quirks, to: Quirks) -> Self {
        let server = async |quirks| {
            let config = S3ServerConfig { quirks, ..S3ServerConfig::new("local", "local-secret") };
            let server = S3Server::start(config).await.unwrap();
            server.state().create_bucket("data");
            server
        };
        let two = Self { bench: Bench::new(&[]), from: server(from).await, to: server(to).await };
        two.plan("");
        two
    }

    fn plan(&self, dataset: &str) {
        let site = |name: &str, server: &S3Server| {
            format!(
                "[sites.{name}]\ncredentials = {{ env = \"LOCAL\" }}\ns3 = {{ endpoint = \"{}\", path_style = true }}\n",
                server.endpoint()
            )
        };
        let plan = format!(
            "name = \"bench\"\n{}{}[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"files\"\n\
             source = \"s3://here/data\"\ndelete_share = \"100%\"\n{dataset}\n[[phase.dataset.target]]\n\
             at = \"s3://there/data\"\npart_size = \"5MiB\"\n",
            site("here", &self.from),
            site("there", &self.to)
        );
        self.bench.write("plan.toml", &plan);
    }

    fn put(&self, key: &str, object: NewObject) {
        self.from.state().put_object("data", key, object);
    }

    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> Ran {
        let keys = [("LOCAL_ACCESS_KEY_ID", "local"), ("LOCAL_SECRET_ACCESS_KEY", "local-secret")];
        let ran = Ran::of(self.bench.command(args).envs(keys), args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    /// The failed records that a run of it names.
    #[track_caller]
    fn failures(&self) -> String {
        let ran = self.run(3, &["run", "plan.toml", "--json"]);
        let failed = ran.events().into_iter().filter(|event| event["event"] == "record_failed");
        failed.map(|event| format!("{}: {}", event["key"], event["reason"])).collect::<Vec<_>>().join("\n")
    }

    fn arrived(&self, key: &str) -> NewObject {
        self.to.state().get_object("data", key).unwrap_or_else(|| panic!("{key:?} has not arrived"))
    }

    async fn stop(self) {
        self.from.stop().await;
        self.to.stop().await;
    }
}

fn text(data: &'static str) -> NewObject {
    NewObject { data: data.into(), ..NewObject::default() }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// An object of two parts.
fn large(fill: u8, tags: BTreeMap<String, String>) -> NewObject {
    NewObject { data: vec![fill; (5 << 20) + 1].into(), tags, ..NewObject::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_arrives_whatever_a_server_makes_of_a_tag() {
    for (if_match, shown) in [(IfMatchQuirk::BareOnly, "bare tag"), (IfMatchQuirk::NeverMatches, "look before")] {
        let two = Two::new(Quirks::default(), Quirks { if_match, ..Quirks::default() }).await;
        for key in ["changes", "goes", "rots"] {
            two.put(key, text("first"));
        }
        two.put("large", large(b'a', [].into()));
        let preview = two.run(0, &["plan", "plan.toml", "--json"]).out;
        let preview: Value = serde_json::from_str(&preview).unwrap();
        let conditions = &preview["phases"][0]["datasets"][0]["targets"][0]["conditions"];
        let expected = json!({
            "create": "native", "replace": shown, "create_in_parts": "native", "replace_in_parts": shown,
            "delete": shown,
        });
        assert_eq!(conditions, &expected);
        two.run(0, &["run", "plan.toml"]);

        two.put("changes", text("second"));
        two.put("large", large(b'b', [].into()));
        two.from.state().delete("data", "goes");
        two.run(0, &["run", "plan.toml"]);
        assert_eq!(two.arrived("changes").data, "second");
        assert_eq!(two.arrived("large").data[0], b'b');
        assert_eq!(two.to.state().keys("data"), ["changes", "large", "rots"], "a deletion is followed");

        two.to.state().corrupt("data", "rots", 0);
        let repaired = two.run(0, &["verify", "plan.toml", "--level", "bytes", "--repair"]);
        assert!(repaired.out.contains("1 record repaired"), "{}", repaired.out);
        assert_eq!(two.arrived("rots").data, "first");
        assert_eq!(two.to.state().uploads("data"), []);
        two.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_are_ignored_are_named_for_each_kind_of_write() {
    let two = Two::new(Quirks::default(), Quirks { ignore_conditions_on_complete: true, ..Quirks::default() }).await;
    two.put("k", text("first"));
    let preview = two.run(0, &["plan", "plan.toml"]).out;
    let told = "create native, replace native, in parts create look before, replace look before, delete native";
    assert!(preview.contains(told), "{preview}");
    assert!(preview.contains("lacks: s3://there/data: conditional writes in parts"), "{preview}");
    two.stop().await;
}

/// Answers that an older build recorded do not cover today's questions.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_of_a_probe_is_not_taken_for_a_new_one() {
    let two = Two::new(Quirks::default(), Quirks::default()).await;
    two.put("k", text("first"));
    two.run(0, &["run", "plan.toml"]);
    let deletes = || two.to.stats().of(Operation::DeleteObject);
    let before = deletes();
    two.run(0, &["run", "plan.toml"]);
    assert_eq!(deletes(), before, "a day has not passed");
    let connection = rusqlite::Connection::open(two.bench.ledger()).unwrap();
    let old = json!({
        "proof": "signed_payload", "put_if_absent": true, "put_if_matches": true, "delete_if_matches": true,
        "keeps_crc64nvme": true, "properties": true, "tags": true, "tag_count": true,
        "parts": { "size_min": 1, "size_max": 5 << 30, "count_max": 10_000 },
    });
    assert!(connection.execute("UPDATE probe SET capabilities = ?1", [old.to_string()]).unwrap() > 0);
    drop(connection);
    two.run(0, &["run", "plan.toml"]);
    assert!(deletes() > before, "it is asked again");
    two.stop().await;
}

/// A cutover's table with its route on the target's server.
const ROUTE: &str = "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
                     route_max_age = \"0s\"\nroute = \"s3://there/routes/files.json\"";

fn route_of(two: &Two) -> Value {
    serde_json::from_slice(&two.to.state().get("routes", "files.json").unwrap()).unwrap()
}

/// A route that is there already, as an earlier attempt leaves it.
fn lay_route(two: &Two) {
    let route = json!({
        "dataset": "files", "epoch": 0, "attempt": "earlier", "lead": "here", "followers": ["there"], "max_age_s": 0,
        "since": "2026-01-01T00:00:00Z",
    });
    two.to.state().put("routes", "files.json", route.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_exists_is_switched_where_only_bare_tags_match() {
    let two = Two::new(Quirks::default(), Quirks { if_match: IfMatchQuirk::BareOnly, ..Quirks::default() }).await;
    two.put("k", text("first"));
    two.plan(ROUTE);
    lay_route(&two);
    let preview = two.run(0, &["plan", "plan.toml"]).out;
    assert!(preview.contains("the route's store: a new route native, a changed one bare tag"), "{preview}");
    two.run(0, &["run", "plan.toml", "--until", "verified"]);
    two.run(0, &["cutover", "plan.toml", "--phase", "first"]);
    let route = route_of(&two);
    assert_eq!((&route["lead"], &route["epoch"]), (&"there".into(), &1.into()), "{route}");
    assert_eq!(two.to.state().keys("routes"), ["files.json"], "no scratch key is left");
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_could_not_be_switched_is_found_before_the_switch() {
    let two = Two::new(Quirks::default(), Quirks { if_match: IfMatchQuirk::NeverMatches, ..Quirks::default() }).await;
    two.put("k", text("first"));
    two.plan(ROUTE);
    lay_route(&two);
    let before = route_of(&two);
    let blocked = two.run(1, &["plan", "plan.toml"]).out;
    assert!(blocked.contains("refuses those whose condition holds"), "{blocked}");
    two.run(0, &["run", "plan.toml", "--until", "verified"]);
    let dry = two.run(1, &["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
    assert!(dry.out.contains("refuses those whose condition holds"), "{}", dry.out);
    let refused = two.run(1, &["cutover", "plan.toml", "--phase", "first"]);
    assert!(refused.err.contains("refuses those whose condition holds"), "{}", refused.err);
    assert!(!refused.err.contains("changed by somebody"), "{}", refused.err);
    assert_eq!(route_of(&two), before);
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_objects_in_parts_are_set_where_the_upload_drops_them() {
    let two = Two::new(Quirks::default(), Quirks { drop_upload_tags: true, ..Quirks::default() }).await;
    let tags = map([("team", "shop & site")]);
    two.put("untagged", large(b'b', [].into()));
    two.run(0, &["run", "plan.toml"]);

    // A crash between the finish and the tags leaves the object, and no record of it.
    two.put("large", large(b'a', tags.clone()));
    let rule = FaultRule::new(Fault::ExpiredToken, When::Every(1)).on([Operation::PutObjectTagging]);
    two.to.set_faults(Faults::one(1, rule));
    two.run(3, &["run", "plan.toml"]);
    assert_eq!(two.arrived("large").tags, [].into());
    two.to.set_faults(Faults::default());
    two.run(0, &["run", "plan.toml"]);
    assert_eq!(two.arrived("large").tags, tags);
    let set = two.to.stats().of(Operation::PutObjectTagging);
    let again = two.run(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(ended(&again)["targets"][0]["copied"], 0, "it does not circle");
    two.run(0, &["verify", "plan.toml", "--level", "checksum"]);
    assert_eq!(two.to.stats().of(Operation::PutObjectTagging), set);
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_no_upload_can_have_fail_their_record_until_they_are_waived() {
    let quirks = Quirks { drop_upload_tags: true, no_put_tagging: true, ..Quirks::default() };
    let two = Two::new(Quirks::default(), quirks).await;
    two.put("large", large(b'a', map([("team", "shop")])));
    two.put("small", NewObject { tags: map([("team", "shop")]), ..text("small") });
    let failed = two.failures();
    assert!(failed.contains("large") && failed.contains("written in parts"), "{failed}");
    assert_eq!(two.arrived("small").tags, map([("team", "shop")]));
    assert_eq!(two.to.state().keys("data"), ["small"]);
    two.plan("waive = [\"tags\"]");
    two.run(0, &["run", "plan.toml"]);
    assert_eq!(two.arrived("large").tags, [].into());
    two.stop().await;
}

/// For records in parts, for an upload that began before the withdrawal and ended after, and for objects that
/// were there already.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiver_that_is_withdrawn_is_noticed_however_a_record_came_over() {
    let two = Two::new(Quirks::default(), Quirks::default()).await;
    let tags = map([("team", "shop")]);
    two.put("parts", large(b'a', tags.clone()));
    two.put("there", NewObject { tags: tags.clone(), ..text("there") });
    two.to.state().put_object("data", "there", text("there"));
    two.plan("waive = [\"tags\"]");
    two.run(0, &["run", "plan.toml"]);
    assert!(["parts", "there"].iter().all(|key| two.arrived(key).tags.is_empty()));
    two.put("begun", large(b'b', tags.clone()));
    let rule = FaultRule::new(Fault::ExpiredToken, When::Every(1)).on([Operation::CompleteMultipartUpload]);
    two.to.set_faults(Faults::one(1, rule));
    two.run(3, &["run", "plan.toml"]);
    two.to.set_faults(Faults::default());
    assert_eq!(two.to.state().uploads("data").len(), 1, "it waits");

    two.plan("");
    let begun = two.run(1, &["run", "plan.toml"]);
    assert!(begun.out.contains("different begun at"), "its upload had no tags: {}", begun.out);
    assert_eq!((two.arrived("parts").tags, two.arrived("there").tags), (tags.clone(), tags.clone()));
    two.run(0, &["run", "plan.toml"]);
    assert_eq!(two.arrived("begun").tags, tags);
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_read_at_the_target_as_it_is_read_at_the_source() {
    use MetadataQuirk::{AsciiOnly, None, Raw};
    let kept = map([("plain", "value"), ("raw", "caf\u{e9}"), ("word", WORD)]);
    for (from, to, arrives) in [
        (Raw, Raw, Some(kept.clone())),
        // The server keeps it decoded and shows it as words, as it shows all such values.
        (Raw, None, Some(map([("plain", "value"), ("raw", "caf\u{e9}"), ("word", "caf\u{e9}")]))),
        (Raw, AsciiOnly, Option::None),
    ] {
        let quirks = |metadata| Quirks { metadata, ..Quirks::default() };
        let two = Two::new(quirks(from), quirks(to)).await;
        two.put("k", NewObject { metadata: kept.clone(), ..text("body") });
        let Some(arrives) = arrives else {
            let failed = two.failures();
            assert!(failed.contains("does not show the metadata \\\"raw\\\" as it is"), "{failed}");
            assert_eq!(two.to.state().count("data"), 0);
            two.plan("waive = [\"metadata\"]");
            two.run(0, &["run", "plan.toml"]);
            assert_eq!(two.arrived("k").metadata, map([("plain", "value"), ("word", WORD)]));
            two.stop().await;
            continue;
        };
        two.run(0, &["run", "plan.toml"]);
        assert_eq!(two.arrived("k").metadata, arrives, "{from:?} to {to:?}");
        two.run(0, &["verify", "plan.toml", "--level", "bytes"]);
        // A word with the same meaning is another value if the server shows words as they are.
        let other = map([("plain", "value"), ("raw", WORD), ("word", WORD)]);
        two.to.state().put_object("data", "k", NewObject { metadata: other, ..text("body") });
        two.run(i32::from(to == Raw), &["verify", "plan.toml", "--level", "checksum"]);
        two.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_a_server_makes_itself_arrive_as_these_words() {
    let two = Two::new(Quirks::default(), Quirks { metadata: MetadataQuirk::Raw, ..Quirks::default() }).await;
    two.put("k", NewObject { metadata: map([("drink", "caf\u{e9}")]), ..text("body") });
    two.run(0, &["run", "plan.toml"]);
    let drink = two.arrived("k").metadata["drink"].clone();
    assert!(drink.starts_with("=?") && drink.is_ascii(), "a client of the source reads a word, too: {drink}");
    two.run(0, &["verify", "plan.toml", "--level", "bytes"]);
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_target_cannot_hold_are_named_and_never_stored_under_another_name() {
    let quirks = Quirks { swallow_leading_slash: true, busy_above_511_bytes: true, ..Quirks::default() };
    let two = Two::new(Quirks::default(), quirks).await;
    let long = "k".repeat(512);
    let fits = format!("{}/{}", "a".repeat(255), "b".repeat(255));
    for key in ["/x", "x", "a//b", "c/./d e+f%", &fits, &long] {
        two.put(key, NewObject { data: key.to_owned().into(), ..NewObject::default() });
    }
    let preview = two.run(1, &["plan", "plan.toml"]);
    assert!(preview.out.contains("2 records cannot be held by s3://there/data under their keys"), "{}", preview.out);
    assert!(preview.out.contains("such as /x: it does not keep a slash at the beginning"), "{}", preview.out);
    let failed = two.failures();
    assert!(failed.contains("\"/x\"") && failed.contains("of this length"), "{failed}");
    let mut held = vec!["a//b", "c/./d e+f%", &*fits, "x"];
    held.sort_unstable();
    assert_eq!(two.to.state().keys("data"), held, "and no scratch key under any name");
    assert_eq!(two.arrived("x").data, "x", "it is not overwritten by /x");
    let repair = two.run(1, &["verify", "plan.toml", "--repair"]);
    assert!(repair.out.contains("0 records repaired"), "what was refused was not written: {}", repair.out);
    two.stop().await;
}
