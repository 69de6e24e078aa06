//! What a proof says: what must survive, what decided, what was not compared, and what could not be told.

use migrate::rehearse::{NewObject, S3Server, S3ServerConfig};

use super::*;

/// One dataset between buckets of one server.
struct Buckets {
    bench: Bench,
    server: S3Server,
}

impl Buckets {
    async fn new(dataset: &str) -> Self {
        let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
        server.state().create_bucket("from");
        server.state().create_bucket("to");
        let buckets = Self { bench: Bench { root: tempfile::tempdir().unwrap() }, server };
        buckets.plan("from", "to", dataset);
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
        let Output { status, stdout, stderr } = self.bench.command(args).envs(keys).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: status.code().expect("it exits"), out: text(stdout), err: text(stderr) };
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        serde_json::from_str(&self.expect(code, args).out).unwrap()
    }
}

fn object(data: &'static str) -> NewObject {
    NewObject { data: data.into(), ..NewObject::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_travel_is_not_equal_because_its_bytes_are_there() {
    let buckets = Buckets::new("").await;
    buckets.put("from", "cold", NewObject { storage_class: Some("STANDARD_IA".into()), ..object("bytes") });
    buckets.put("to", "cold", object("bytes"));
    let ran = buckets.expect(3, &["run", "plan.toml"]);
    assert!(ran.out.contains("cold at s3://there/to/: it has a property that does not travel yet"), "{}", ran.out);
    buckets.expect(1, &["verify", "plan.toml"]);
    buckets.plan("from", "to", "waive = [\"storage-class\"]");
    buckets.expect(0, &["run", "plan.toml"]);
    buckets.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_says_nothing_is_equal_to_none_in_both_directions() {
    let buckets = Buckets::new("").await;
    buckets.put("from", "empty", NewObject { content_type: Some(String::new()), ..object("one") });
    buckets.put("from", "page", NewObject { content_type: Some("text/html".into()), ..object("two") });
    buckets.expect(0, &["run", "plan.toml"]);
    let again = buckets.expect(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(ended(&again)["targets"][0]["copied"], 0);
    // And the other way round, as after a cutover.
    buckets.plan("to", "from", "");
    buckets.expect(0, &["verify", "plan.toml", "--state", "other", "--level", "bytes"]);
    buckets.put("from", "page", object("two"));
    buckets.expect(1, &["verify", "plan.toml", "--state", "other"]);
    buckets.server.stop().await;
}
