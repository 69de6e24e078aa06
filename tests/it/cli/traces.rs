//! What logs show: all that the program does, and neither a secret nor a key that the plan hides.

use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, S3Server, S3ServerConfig, When};

use super::*;

const SECRET: &str = "local-secret-9f8e7d";
const KEYS: [&str; 3] = ["people/ann smith.json", "people/bob.json", "zoë.json"];

/// A server with these objects, under a prefix.
async fn server(keys: &[&str]) -> S3Server {
    let server = S3Server::start(S3ServerConfig::new("local-id-1a2b3c", SECRET)).await.unwrap();
    server.state().create_bucket("data");
    for key in keys {
        server.state().put("data", &format!("mail/{key}"), format!("body of {key}"));
    }
    server
}

/// Runs with traces; returns what was logged.
fn traced(bench: &Bench, args: &[&str]) -> String {
    let keys = [("LOCAL_ACCESS_KEY_ID", "local-id-1a2b3c"), ("LOCAL_SECRET_ACCESS_KEY", SECRET)];
    let output = bench.command(&[args, &["-q"]].concat()).envs(keys).env("MIGRATE_LOG", "trace").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

fn plan(from: &S3Server, to: &S3Server, top: &str) -> String {
    let site = |name: &str, server: &S3Server| {
        format!(
            "[sites.{name}]\ncredentials = {{ env = \"LOCAL\" }}\ns3 = {{ endpoint = \"{}\", path_style = true }}\n",
            server.endpoint()
        )
    };
    format!(
        "name = \"bench\"\n{top}\n{}{}[[phase]]\nname = \"first\"\n[[phase.dataset]]\nname = \"files\"\n\
         source = \"s3://here/data/mail\"\ntargets = [\"s3://there/data/mail\"]\n[phase.dataset.cutover]\n\
         fence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nroute = \"s3://there/data/routes/r.json\"\n\
         route_max_age = \"0s\"\nsettle = \"0s\"\n",
        site("here", from),
        site("there", to),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_requests_retries_and_decisions_and_neither_secrets_nor_hidden_keys() {
    for hides in [false, true] {
        let (from, to) = (server(&KEYS).await, server(&[]).await);
        let slow = FaultRule::new(Fault::SlowDown, When::Every(4));
        to.set_faults(Faults::one(3, slow.on([Operation::PutObject])));
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        bench.write("plan.toml", &plan(&from, &to, &format!("redact_keys = {hides}")));
        let mut logged = traced(&bench, &["plan", "plan.toml"]);
        logged += &traced(&bench, &["run", "plan.toml", "--approve", "all"]);
        logged += &traced(&bench, &["verify", "plan.toml"]);
        for told in [
            "requests: request ",
            "operation=",
            "s3://here/data/mail/",
            "outcome",
            "took_ms",
            "trying again",
            "pause_ms",
            "a pass walks its shards",
            "a record is paired",
            "a verification begins",
            "a step of a cutover begins",
            "switch_intended",
        ] {
            assert!(logged.contains(told), "hides keys: {hides}; no {told:?} in\n{logged}");
        }
        for secret in [SECRET, "Authorization", "Signature="] {
            assert!(!logged.contains(secret), "{secret} is in a log:\n{logged}");
        }
        let is_shown = |key: &&str| logged.contains(*key) || logged.contains(&key.replace(' ', "%20"));
        assert_eq!(KEYS.iter().filter(|key| is_shown(key)).count(), if hides { 0 } else { 3 }, "{logged}");
        for word in ["ann", "bob", "zo\u{eb}", "zo%C3%AB"] {
            assert!(!hides || !logged.contains(word), "{word} is in a log that hides keys:\n{logged}");
        }
        from.stop().await;
        to.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_nothing_is_logged_even_if_a_server_refuses_everything() {
    let (from, to) = (server(&KEYS).await, server(&[]).await);
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    bench.write("plan.toml", &plan(&from, &to, ""));
    let keys = [("LOCAL_ACCESS_KEY_ID", "local-id-1a2b3c"), ("LOCAL_SECRET_ACCESS_KEY", "another")];
    let output = bench.command(&["plan", "plan.toml"]).envs(keys).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    from.stop().await;
    to.stop().await;
}

#[test]
fn directories_are_told_of_as_servers_are() {
    let bench = Bench::new(THREE);
    let logged = traced(&bench, &["run", "plan.toml", "--until", "copied"]);
    let told = |operation: &str, place: &str| {
        let line = format!("request operation=\"{operation}\" place=\"{place}\" outcome=\"done\" bytes=");
        assert!(logged.contains(&line), "no {line} in\n{logged}");
    };
    told("list", "file://here/data");
    told("read", "file://here/data");
    told("write", "file://there/data");
    assert!(logged.contains("outcome=\"done\" bytes=5 took_ms="), "what was written is counted:\n{logged}");
}

#[test]
fn the_flag_beats_the_environment() {
    let bench = Bench::new(THREE);
    let logged = |flag: &[&str]| {
        let args = [&["run", "plan.toml", "-q", "--until", "copied"], flag].concat();
        let output = bench.command(&args).env("MIGRATE_LOG", "error").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(logged(&[]), "");
    assert!(logged(&["--log", "debug"]).contains("a phase begins"));
}
