//! Exit codes: what nobody could ask is 3 from every command and named at once, what a rule forbids is 1.

use migrate::local_cloud::{S3Server, S3ServerConfig};

use super::*;

/// Names whom the plan needs, in whose places nothing answers: the ports are those of nobody.
const HERE: &str = "http://127.0.0.1:1";
const THERE: &str = "http://127.0.0.1:2";

/// A plan of two datasets between two servers; more keys for both.
fn plan(bench: &Bench, more: &str) {
    let site = |name: &str, endpoint: &str| {
        format!(
            "[sites.{name}]\njurisdiction = \"CN\"\ncredentials = {{ env = \"{}\" }}\ns3 = {{ endpoint = \"{endpoint}\", path_style = true }}\n",
            name.to_uppercase()
        )
    };
    let dataset = |name: &str| {
        format!(
            "[[phase.dataset]]\nname = \"{name}\"\nclass = \"personal\"\nsource = \"s3://here/{name}\"\n\
             targets = [\"s3://there/{name}\"]\n{more}\n[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\n\
             quiet = \"0s\"\nroute = \"s3://there/control/{name}.json\"\n"
        )
    };
    let text = format!(
        "name = \"bench\"\n{}{}[[phase]]\nname = \"first\"\n{}{}",
        site("here", HERE),
        site("there", THERE),
        dataset("shop"),
        dataset("mail")
    );
    bench.write("plan.toml", &text);
}

const KEYS: [(&str, &str); 4] = [
    ("HERE_ACCESS_KEY_ID", "a"),
    ("HERE_SECRET_ACCESS_KEY", "b"),
    ("THERE_ACCESS_KEY_ID", "c"),
    ("THERE_SECRET_ACCESS_KEY", "d"),
];

/// Every command that asks places.
const ASKING: [&[&str]; 5] = [
    &["plan", "plan.toml"],
    &["plan", "plan.toml", "--no-probe", "--dataset", "shop", "--dataset", "mail"],
    &["run", "plan.toml", "-q"],
    &["verify", "plan.toml", "-q"],
    &["cutover", "plan.toml", "--phase", "first", "--dry-run"],
];

/// Every command that is refused before it asks a place, since nothing has begun.
const TOO_EARLY: [&[&str]; 3] =
    [&["cutover", "plan.toml", "--phase", "first"], &["abort", "plan.toml", "--yes"], &["show", "plan.toml", "a.txt"]];

/// Every command that reads the plan and asks no place.
const QUIET: [&[&str]; 6] = [
    &["check", "plan.toml"],
    &["status", "plan.toml"],
    &["limits", "plan.toml"],
    &["limits", "plan.toml", "here", "requests_per_second=9"],
    &["resolve", "plan.toml"],
    &["history", "plan.toml"],
];

fn run(bench: &Bench, args: &[&str], keys: &[(&str, &str)]) -> Ran {
    let mut command = bench.command(args);
    for (name, _) in KEYS {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.envs(keys.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// A cause, the keys of the environment with it, and what every command has to name.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn what_nobody_could_ask_is_3_from_every_command_and_named_at_once() {
    let cases: [Case; 3] = [
        (
            "no variable is set",
            &[],
            &[
                "HERE_ACCESS_KEY_ID and HERE_SECRET_ACCESS_KEY",
                "THERE_ACCESS_KEY_ID and THERE_SECRET_ACCESS_KEY",
                HERE,
                THERE,
            ],
        ),
        ("some variables are missing", &KEYS[..3], &["set THERE_SECRET_ACCESS_KEY\n", "no connection", HERE, THERE]),
        ("nothing listens", &KEYS, &["2 servers cannot be asked, and 2 datasets need them", HERE, THERE]),
    ];
    for (cause, keys, told) in cases {
        for args in ASKING {
            let bench = Bench { root: tempfile::tempdir().unwrap() };
            plan(&bench, "");
            let ran = run(&bench, args, keys);
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 3, "{cause}: {args:?}\n{said}");
            for word in told.iter().chain(&["mail", "shop", "help: ", "next: migrate "]) {
                assert!(said.contains(word), "{cause}: {args:?} does not name {word:?}\n{said}");
            }
            assert_eq!(said.matches("cannot be asked").count(), 1, "{cause}: {args:?}\n{said}");
            assert!(said.lines().count() < 20, "{cause}: {args:?}\n{said}");
        }
        for args in QUIET {
            let bench = Bench { root: tempfile::tempdir().unwrap() };
            plan(&bench, "");
            assert_eq!(run(&bench, args, keys).code, 0, "{cause}: {args:?}");
        }
        for args in TOO_EARLY {
            let bench = Bench { root: tempfile::tempdir().unwrap() };
            plan(&bench, "");
            assert_eq!(run(&bench, args, keys).code, 1, "{cause}: {args:?}");
        }
    }
}

/// Once all is proved, every step towards a cutover asks, and so does the way out.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_went_away_are_3_and_what_the_ledger_knows_is_still_told() {
    let mut servers = Vec::new();
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    plan(&bench, "");
    let mut text = fs::read_to_string(bench.path("plan.toml")).unwrap();
    for (endpoint, id, secret, buckets) in
        [(HERE, "a", "b", &["shop", "mail"][..]), (THERE, "c", "d", &["shop", "mail", "control"])]
    {
        let server = S3Server::start(S3ServerConfig::new(id, secret)).await.unwrap();
        for bucket in buckets {
            server.state().create_bucket(bucket);
        }
        text = text.replace(endpoint, &server.endpoint());
        servers.push(server);
    }
    for bucket in ["shop", "mail"] {
        servers[0].state().put(bucket, "a.txt", "alpha");
    }
    bench.write("plan.toml", &text);
    let proved = run(&bench, &["run", "plan.toml", "-q"], &KEYS);
    assert_eq!(proved.code, 0, "{}{}", proved.out, proved.err);
    for server in servers {
        server.stop().await;
    }
    for args in ASKING[3..].iter().chain(&TOO_EARLY[..2]) {
        let ran = run(&bench, args, &KEYS);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 3, "{args:?}\n{said}");
        assert!(said.contains("2 servers cannot be asked"), "{args:?}\n{said}");
    }
    for args in QUIET.iter().chain(&TOO_EARLY[2..]) {
        assert_eq!(run(&bench, args, &KEYS).code, 0, "{args:?}");
    }
}

#[test]
fn the_servers_are_in_the_document_too() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    plan(&bench, "");
    let ran = run(&bench, &["plan", "plan.toml", "--json"], &KEYS[..2]);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let servers = document["error"]["unreached"].as_array().unwrap();
    assert_eq!((ran.code, &document["error"]["code"]), (3, &"unreached".into()), "{document}");
    let told: Vec<_> = servers.iter().map(|one| (one["site"].as_str().unwrap(), one["at"].as_str().unwrap())).collect();
    assert_eq!(told, [("here", HERE), ("there", THERE)]);
    assert_eq!(servers[1]["datasets"], serde_json::json!(["shop", "mail"]));
}

/// One server that is away hides nothing of the rest.
#[test]
fn a_plan_shows_what_it_can_and_names_what_it_could_not_ask() {
    let bench = Bench::new(THREE);
    let more = "[[phase.dataset]]\nname = \"far\"\nsource = \"file://here/data\"\ntargets = [\"s3://far/bucket\"]\n\
                [sites.far]\ncredentials = { env = \"HERE\" }\ns3 = { endpoint = \"http://127.0.0.1:1\" }\n";
    bench.plan("", more);
    let ran = run(&bench, &["plan", "plan.toml"], &KEYS);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("files (pending): 3 records") && !ran.out.contains("far (pending)"), "{}", ran.out);
    assert!(ran.out.contains("1 server cannot be asked, and 1 dataset needs it:"), "{}", ran.out);
    assert!(ran.out.contains("    far: http://127.0.0.1:1\n    stops far\n"), "{}", ran.out);
    assert_eq!(ran.next_commands(), ["migrate plan plan.toml"]);
    let document: Value = serde_json::from_str(&run(&bench, &["plan", "plan.toml", "--json"], &KEYS).out).unwrap();
    assert_eq!((&document["runnable"], &document["unreached"][0]["site"]), (&false.into(), &"far".into()));
}

#[test]
fn what_a_rule_forbids_is_1_from_every_command() {
    let all = || ASKING.iter().chain(&QUIET).chain(&TOO_EARLY);
    for args in all() {
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        plan(&bench, "");
        let text = fs::read_to_string(bench.path("plan.toml")).unwrap();
        bench.write("plan.toml", &format!("{text}[[policy]]\nclass = \"personal\"\nstays_in = [\"SG\"]\n"));
        let ran = run(&bench, args, &KEYS);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 1, "{args:?}: {said}");
        assert!(said.contains("class \"personal\" must stay in SG"), "{args:?}: {said}");
        // With another problem it is no plan at all.
        bench.write("plan.toml", &format!("{text}[[policy]]\nclass = \"personal\"\nstays_in = [\"SG\"]\ncolour = 1\n"));
        assert_eq!(run(&bench, args, &KEYS).code, 2, "{args:?}");
    }
    // What is not built is refused before any place is asked.
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    plan(&bench, "versions = \"all\"");
    for args in [&["check", "plan.toml"][..], &["run", "plan.toml"], &["rehearse", "plan.toml"]] {
        let ran = run(&bench, args, &KEYS);
        assert_eq!(ran.code, 1, "{args:?}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains("versions is not built yet"), "{args:?}");
    }
}
