//! The first hour: a plan is written, checked, found without its name, and carried out.

use std::process::Child;

use super::{tables::Servers, *};

/// Feeds a command a text.
fn piped(bench: &Bench, args: &[&str], text: &str) -> Ran {
    let mut child =
        bench.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _unread = child.stdin.take().unwrap().write_all(text.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) };
    rig::contract::hold(args, &ran.out);
    rig::next::hold(&bench.path(""), args, &ran.out, &ran.err);
    ran
}

/// A directory with files and nothing else.
fn bare() -> Bench {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    bench.write("photos/a.txt", "alpha");
    bench.write("photos/b/c.txt", "beta");
    bench
}

/// Servers as `migrate local-s3` starts them; they end with the test.
struct Local {
    child: Child,
    endpoints: Vec<String>,
}

impl Local {
    fn start(bench: &Bench, servers: &[&str]) -> Self {
        let mut command = bench.command(&[&["local-s3"], servers].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(servers.len());
        let endpoints = lines.map(|line| line.unwrap().split_once(' ').unwrap().1.to_owned()).collect();
        Self { child, endpoints }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_plan_that_init_writes_checks_and_runs_and_nobody_has_to_name_it() {
    let bench = bare();
    let written = bench.expect(0, &["init", "photos", "copy/one", "two"]);
    assert_eq!(written.next_commands(), ["migrate check"], "{}", written.out);
    assert!(
        written.out.contains("the directory ./photos is to be copied to the directory copy/one and to"),
        "{}",
        written.out
    );
    let checked = bench.expect(0, &["check"]);
    assert!(checked.out.starts_with("migrate.toml is a plan: 1 phase, 1 dataset, 2 targets\n"), "{}", checked.out);
    assert_eq!(checked.next_commands(), ["migrate rehearse"]);
    assert!(!bench.path(".migrate").exists(), "a check has no state");
    assert_eq!(bench.expect(0, &["rehearse"]).next_commands(), ["migrate plan"]);
    assert_eq!(bench.expect(0, &["plan"]).next_commands(), ["migrate run"]);
    assert_eq!(bench.expect(0, &["run"]).next_commands(), ["migrate verify"]);
    assert_eq!(fs::read_to_string(bench.path("copy/one/b/c.txt")).unwrap(), "beta");
    assert_eq!(fs::read_to_string(bench.path("two/a.txt")).unwrap(), "alpha");
    assert_eq!(bench.json(0, &["verify", "--json"])["equal"], true);
    let status = bench.json(0, &["status", "--json"]);
    assert_eq!((&status["plan"], &status["next"]), (&"photos".into(), &Value::Null));
    let limits = bench.json(0, &["limits", "source", "requests_per_second=9", "--json"]);
    assert_eq!(limits["limits"][0]["value"], "9", "{limits}");
    assert_eq!(limits["next"], "migrate status");
    bench.expect(0, &["resolve"]);
    bench.expect(0, &["abort", "--yes"]);
}

#[test]
fn init_writes_over_nothing_and_where_it_was_asked_to() {
    let bench = bare();
    bench.write("migrate.toml", "mine");
    let refused = bench.expect(2, &["init", "photos", "copy"]);
    assert!(refused.err.contains("migrate.toml is there already") && refused.err.contains("help: "), "{}", refused.err);
    assert_eq!(fs::read_to_string(bench.path("migrate.toml")).unwrap(), "mine");

    let printed = bench.expect(0, &["init", "photos", "s3://shop/photos", "--out", "-", "--name", "shop"]);
    assert!(printed.out.contains("\nname = \"shop\"") && !printed.out.contains("next:"), "{}", printed.out);
    let checked = piped(&bench, &["check", "-"], &printed.out);
    assert_eq!(checked.code, 0, "{}", checked.err);

    fs::create_dir(bench.path("plans")).unwrap();
    let elsewhere = bench.expect(0, &["init", "photos", "copy", "--out", "plans/p.toml"]);
    assert_eq!(elsewhere.next_commands(), ["migrate check plans/p.toml"]);
    bench.expect(0, &["run", "plans/p.toml"]);
    assert!(bench.path("copy/a.txt").exists(), "its paths are seen from where init was typed");
    let wrong = bench.expect(2, &["init", "photos", "gs://shop", "--out", "q.toml"]);
    assert!(wrong.err.contains("help: write a directory, s3://BUCKET/PREFIX"), "{}", wrong.err);
    let wrong = bench.expect(2, &["init", "photos", "s3://x", "--out", "q.toml"]);
    assert!(wrong.err.contains("\"x\" is not the name of a bucket") && !bench.path("q.toml").exists(), "{}", wrong.err);
}

#[test]
fn a_directory_is_on_a_server_and_proved_by_what_init_and_local_s3_say() {
    let bench = bare();
    let local = Local::start(&bench, &["store", "rgw=rgw"]);
    let targets: Vec<_> =
        local.endpoints.iter().map(|it| format!("{}/data/photos", it.replacen("http", "s3+http", 1))).collect();
    let written = bench.expect(0, &["init", "photos", &targets[0], &targets[1]]);
    let export = "help: before `migrate plan`, export TARGET_1_ACCESS_KEY_ID and TARGET_1_SECRET_ACCESS_KEY, TARGET_2_";
    assert!(written.out.contains(export), "{}", written.out);
    let keys = [1, 2].map(|n| {
        [(format!("TARGET_{n}_ACCESS_KEY_ID"), "local"), (format!("TARGET_{n}_SECRET_ACCESS_KEY"), "local-secret")]
    });
    for words in [&["plan"][..], &["run"], &["verify", "--level", "bytes"]] {
        let output = bench.command(words).envs(keys.iter().flatten().map(|(name, key)| (name, key))).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_init_writes_for_a_table_runs() {
    let servers = Servers::start(20).await;
    let at = |server: &migrate::local_cloud::DynamoServer| {
        format!("{}/users", server.endpoint().replacen("http", "dynamodb+http", 1))
    };
    let (source, target) = (at(&servers.here), at(&servers.there));
    let bench = bare();
    bench.expect(0, &["init", &source, &target, "backup/users"]);
    let keys = ["SOURCE", "TARGET_1"].map(|site| {
        [
            (format!("{site}_ACCESS_KEY_ID"), crate::dynamodb::ID),
            (format!("{site}_SECRET_ACCESS_KEY"), crate::dynamodb::SECRET),
        ]
    });
    for words in [&["check"][..], &["plan"], &["run"], &["verify"]] {
        let mut command = tokio::process::Command::from(bench.command(words));
        let output = command.envs(keys.iter().flatten().map(|(name, key)| (name, key))).output().await.unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(tables::held(&servers.there).await.len(), 20);
}

#[test]
fn without_a_plan_a_command_says_how_to_come_by_one() {
    let bench = bare();
    for words in [&["plan"][..], &["run"], &["status"], &["check"], &["verify"], &["limits"], &["resolve"], &["abort"]]
    {
        let missing = bench.expect(2, words);
        assert!(missing.err.contains("no plan is named, and there is no migrate.toml"), "{words:?}: {}", missing.err);
        assert!(missing.err.contains("help: name a plan file, or write one with `migrate init"), "{}", missing.err);
    }
}

#[test]
fn a_check_asks_nobody_and_its_codes_are_for_scripts() {
    let bench = Bench::new(THREE);
    bench.plan_with("", "s3 = { endpoint = \"https://nowhere.invalid\" }\ncredentials = { env = \"NOBODY\" }", "");
    let document = bench.json(0, &["check", "plan.toml", "--json"]);
    assert_eq!(
        (&document["plan"], &document["datasets"], &document["not_built"]),
        (&"bench".into(), &1.into(), &serde_json::json!([]))
    );
    assert_eq!(document["next"], "migrate rehearse plan.toml");

    bench.plan("", "verifi = \"bytes\"\ncolour = 1");
    let wrong = bench.json(2, &["check", "plan.toml", "--json"]);
    assert_eq!(wrong["error"]["diagnostics"].as_array().unwrap().len(), 2, "{wrong}");
    assert!(!bench.path(".migrate").exists());

    // What is not built is told where it stands: what blocks a run is 1, what blocks a cutover alone is not.
    bench.plan("", "versions = \"all\"");
    let blocked = bench.expect(1, &["check", "plan.toml"]);
    assert!(blocked.out.contains("plan.toml:17:12: versions is not built yet\n  | versions = \"all\"\n  |            ^^^^^\n  help: take it out of the plan"), "{}", blocked.out);
    let cutover = "[phase.dataset.cutover]\nfence = \"hook\"\nroute = \"file://there/routes/r.json\"\n\
                   hooks = { fence = [\"x\"], unfence = [\"y\"] }";
    bench.plan("", cutover);
    let document = bench.json(0, &["check", "plan.toml", "--json"]);
    assert_eq!(document["not_built"][0]["path"], "phase[0].dataset[0].cutover.fence", "{document}");
    assert_eq!(document["next"], "migrate rehearse plan.toml --until verified");
    let refused = bench.expect(1, &["run", "plan.toml"]);
    assert!(
        refused.err.contains("plan.toml:18:9: cutover.fence is not built yet\n  | fence = \"hook\""),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("plan.toml:20:9: cutover.hooks is not built yet"), "all of it: {}", refused.err);
    assert!(refused.err.ends_with("next: migrate run plan.toml --until verified\n"), "{}", refused.err);
}

#[test]
fn a_plan_from_standard_input_is_checked_planned_and_rehearsed_and_runs_with_a_place_for_its_state() {
    let bench = Bench::new(THREE);
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let wrong = piped(&bench, &["check", "-"], "name = \n");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.starts_with("<stdin>:1:8: "), "{}", wrong.err);
    let planned = piped(&bench, &["plan", "-"], &plan);
    assert_eq!(planned.code, 0, "{}", planned.err);
    assert!(planned.out.contains("help: give the next command the same plan"), "{}", planned.out);
    assert_eq!(planned.next_commands(), ["migrate run - --state .migrate"], "the text is gone");
    let refused = piped(&bench, &["plan", "-", "--out", "saved.json"], &plan);
    assert!(refused.code == 2 && refused.err.contains("standard input is none"), "{}", refused.err);
    let caches = bench.path("caches").to_string_lossy().into_owned();
    let mut rehearse = bench.command(&["rehearse", "-", "--scale", "0.05"]);
    let mut child =
        rehearse.env("XDG_CACHE_HOME", &caches).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(plan.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(bench.path("caches/migrate/.rehearsal/bench/ledger.sqlite").exists());

    let homeless = piped(&bench, &["run", "-"], &plan);
    assert_eq!(homeless.code, 2, "{}", homeless.err);
    assert!(homeless.err.contains("help: name a directory with --state DIR or MIGRATE_STATE"), "{}", homeless.err);
    assert!(!bench.path(".migrate").exists() && !bench.path("target/data").exists());
    let ran = piped(&bench, &["run", "-", "--state", "s"], &plan);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.next_commands(), ["migrate verify - --state s"]);
    assert_eq!(piped(&bench, &["verify", "-", "--state", "s"], &plan).code, 0);
}

#[test]
fn a_rehearsal_without_a_plan_takes_the_one_that_ships_and_leaves_nothing_here() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let caches = bench.path("caches");
    let mut command = bench.command(&["rehearse", "--scale", "0.05", "--until", "copied", "--json"]);
    let output = command.env("XDG_CACHE_HOME", &caches).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["complete"], &last["next"]), (&true.into(), &"migrate init --help".into()), "{last}");
    assert_eq!(last["datasets"].as_array().unwrap().len(), 8);
    assert!(caches.join("migrate/.rehearsal/global-expansion").exists());
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 1, "only the caches, which are elsewhere by default");
    bench.expect(0, &["init", "--help"]);
}

#[test]
fn a_level_of_logs_can_be_in_the_environment() {
    let bench = Bench::new(THREE);
    let logged = |level: &str| {
        let output = bench.command(&["check", "plan.toml"]).env("MIGRATE_LOG", level).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(logged("").0, Some(0));
    let (code, said) = logged("loud");
    assert!(code == Some(2) && said.contains("expected error, warn"), "{said}");
}

#[test]
fn completions_know_the_plan_and_pages_and_the_version_are_there() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["init", "source/data", "copy", "--name", "mine"]);
    let completed = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let mut command = bench.command(&[&["--"], words].concat());
        command.env("MIGRATE_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", index);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(completed(&["migrate", "run", "plan.toml", "--dataset", ""]), "files");
    assert_eq!(completed(&["migrate", "run", "--dataset", ""]), "mine");
    assert_eq!(completed(&["migrate", "run", "--approve", ""]), "first\nall");
    assert!(completed(&["migrate", "reh"]).contains("rehearse"));
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.expect(0, &["completions", shell]).out;
        assert!(script.contains("MIGRATE_COMPLETE"), "{script}");
    }
    let page = bench.expect(0, &["man"]).out;
    assert!(page.contains(".SH SYNOPSIS") && page.contains("\n  migrate check     "), "{page}");
    fs::create_dir(bench.path("man1")).unwrap();
    bench.expect(0, &["man", "--out", "man1"]);
    assert!(fs::read_to_string(bench.path("man1/migrate-init.1")).unwrap().contains("SOURCE"));
    let version = bench.expect(0, &["--version"]).out;
    assert!(version.starts_with(concat!("migrate ", env!("CARGO_PKG_VERSION"))), "{version}");
}
