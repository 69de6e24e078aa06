//! The program believes only whole answers: here it meets servers whose answers are cut, although HTTP frames
//! them well, and servers that refuse.

use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, Quirks, S3Server, S3ServerConfig, When};

use super::*;

/// A plan that moves the objects of one server to another one.
struct Servers {
    bench: Bench,
    from: S3Server,
    to: S3Server,
}

async fn server(configure: impl FnOnce(&mut S3ServerConfig)) -> S3Server {
    let mut config = S3ServerConfig::new("local", "local-secret");
    configure(&mut config);
    let server = S3Server::start(config).await.unwrap();
    server.state().create_bucket("data");
    server
}

impl Servers {
    /// With ten objects at the source.
    async fn start(quirks: Quirks) -> Self {
        let (from, to) = (server(|config| config.quirks = quirks).await, server(|_| {}).await);
        for n in 0..10 {
            from.state().put("data", &format!("{n}"), format!("body {n}"));
        }
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let servers = Self { bench, from, to };
        servers.plan(&servers.from.endpoint(), "data", "");
        servers
    }

    /// Writes the plan: the source's endpoint and bucket, and more keys for its server.
    fn plan(&self, endpoint: &str, bucket: &str, more: &str) {
        let text = format!(
            r#"name = "bench"
[sites.here]
credentials = {{ env = "LOCAL" }}
s3 = {{ endpoint = "{endpoint}", path_style = true{more} }}
[sites.there]
credentials = {{ env = "LOCAL" }}
s3 = {{ endpoint = "{}", path_style = true }}
[[phase]]
name = "first"
[[phase.dataset]]
name = "files"
source = "s3://here/{bucket}"
targets = ["s3://there/data"]
"#,
            self.to.endpoint()
        );
        self.bench.write("plan.toml", &text);
    }

    fn run(&self, args: &[&str]) -> Ran {
        let keys = [("LOCAL_ACCESS_KEY_ID", "local"), ("LOCAL_SECRET_ACCESS_KEY", "local-secret")];
        Ran::of(self.bench.command(args).envs(keys), args)
    }

    fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn assert_equal(&self) {
        let objects = |server: &S3Server| -> Vec<_> {
            server.state().keys("data").into_iter().map(|key| (server.state().get("data", &key), key)).collect()
        };
        assert_eq!(objects(&self.from), objects(&self.to));
    }

    async fn stop(self) {
        self.from.stop().await;
        self.to.stop().await;
    }
}

fn cut(server: &S3Server, fault: Fault, when: When) {
    server.set_faults(Faults::one(3, FaultRule::new(fault, when).on([Operation::ListObjectsV2])));
}

/// Objects that a cut listing does not show must be neither taken for absent nor left out of a proof. Both
/// commands give up only after their last try, so they run side by side.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_cut_is_never_taken_for_its_end() {
    let (copied, proved) = (Servers::start(Quirks::default()).await, Servers::start(Quirks::default()).await);
    for servers in [&copied, &proved] {
        servers.expect(0, &["run", "plan.toml"]);
        for n in 0..5 {
            servers.to.state().delete("data", &format!("{n}"));
        }
    }
    cut(&copied.from, Fault::UnclosedXml, When::Every(1));
    cut(&proved.to, Fault::LostEntry, When::Every(1));
    let (copying, proving) = std::thread::scope(|scope| {
        let copying = scope.spawn(|| copied.expect(3, &["run", "plan.toml"]));
        let proving = scope.spawn(|| proved.expect(3, &["verify", "plan.toml", "--level", "bytes"]));
        (copying.join().unwrap(), proving.join().unwrap())
    });
    for (ran, why) in [(copying, "is not one whole XML document"), (proving, "<KeyCount> is")] {
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(why), "it says why: {said}");
        assert!(!said.contains("verified") && !said.contains(" equal"), "{said}");
    }
    assert_eq!(copied.to.state().count("data"), 5, "nothing was deleted");
    for servers in [copied, proved] {
        servers.from.set_faults(Faults::default());
        servers.to.set_faults(Faults::default());
        servers.expect(1, &["verify", "plan.toml", "--level", "bytes"]);
        servers.expect(0, &["run", "plan.toml"]);
        servers.assert_equal();
        servers.stop().await;
    }
}

/// A listing that is cut now and then is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_cut_now_and_then_is_asked_for_again() {
    for fault in [Fault::CutXml, Fault::CutEntry, Fault::UnclosedXml, Fault::LostEntry] {
        let servers = Servers::start(Quirks::default()).await;
        cut(&servers.from, fault, When::Every(2));
        cut(&servers.to, fault, When::Every(3));
        servers.expect(0, &["run", "plan.toml"]);
        servers.assert_equal();
        servers.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
        assert!(servers.from.stats().faults > 0 && servers.to.stats().faults > 0, "{fault:?}");
        servers.stop().await;
    }
}

/// Tags that a cut document hides are not lost either.
#[tokio::test(flavor = "multi_thread")]
async fn tags_in_a_document_that_is_cut_are_not_lost() {
    let servers = Servers::start(Quirks { no_tag_count: true, ..Quirks::default() }).await;
    let tags = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into();
    let tagged = migrate::local_cloud::NewObject { data: "tagged".into(), tags, ..Default::default() };
    servers.from.state().put_object("data", "tagged", tagged.clone());
    servers.expect(0, &["run", "plan.toml"]);
    for fault in [Fault::CutXml, Fault::CutEntry, Fault::UnclosedXml] {
        // The first requests for tags are those of the copy.
        let rule = FaultRule::new(fault, When::Only(1)).on([Operation::GetObjectTagging]);
        servers.from.set_faults(Faults::one(3, rule));
        servers.to.state().delete("data", "tagged");
        servers.expect(0, &["run", "plan.toml"]);
        assert_eq!(servers.to.state().get_object("data", "tagged").unwrap().tags, tagged.tags, "{fault:?}");
    }
    assert_eq!(servers.from.stats().faults, 3);
    servers.stop().await;
}

/// Mistakes with a new endpoint: each is named with its mend.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bucket_and_a_wrong_region_are_named_with_their_mend() {
    let servers = Servers::start(Quirks::default()).await;
    let refused = |endpoint: &str, bucket: &str, more: &str| {
        servers.plan(endpoint, bucket, more);
        // Another source is another migration.
        let _ = fs::remove_dir_all(servers.bench.path(".migrate"));
        servers.expect(3, &["run", "plan.toml"]).err
    };
    let endpoint = servers.from.endpoint();

    let bucket = refused(&endpoint, "nowhere", "");
    assert!(bucket.contains("NoSuchBucket") && bucket.contains("help: create it, or correct the location"), "{bucket}");

    let region = refused(&endpoint, "data", ", region = \"eu-north-9\"");
    assert!(region.contains("us-east-1"), "it says the right one: {region}");
    assert!(region.contains("help: set the site's `region`"), "{region}");
    servers.stop().await;
}
