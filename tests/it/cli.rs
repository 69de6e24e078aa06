//! The program as a shell sees it: exit codes, what goes to stdout and stderr, and that the same command
//! goes on after anything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod claims;
mod confirm;
mod cutovers;
mod differences;
mod item_routes;
mod lanes;
mod next;
mod operators;
mod places;
mod proofs;
mod proxies;
mod rehearsal;
mod resumed;
mod table_cutovers;
mod tables;
mod terminal;
mod traces;
mod unreached;
mod uploads;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::running::Running;

mod quirks;
mod rig;
mod saved;
mod start;
mod state;
mod stopped;
mod wire;

/// A directory with a plan, its sites, and a state directory; the program runs in it.
struct Bench {
    root: TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    /// One dataset with one target, and these files at its source.
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self { root: tempfile::tempdir().unwrap() };
        bench.plan("", "");
        fs::create_dir_all(bench.path("source/data")).unwrap();
        // A route's directory has to be there: the program does not make it.
        fs::create_dir_all(bench.path("target/routes")).unwrap();
        for (key, body) in files {
            bench.write(&format!("source/data/{key}"), body);
        }
        bench
    }

    /// Writes the plan, with more keys at the top, and more for its dataset.
    fn plan(&self, top: &str, dataset: &str) {
        self.plan_with(top, "", dataset);
    }

    fn plan_with(&self, top: &str, site: &str, dataset: &str) {
        let text = format!(
            r#"name = "bench"
{top}
[sites.here]
directory = "source"
jurisdiction = "CN"
{site}
[sites.there]
directory = "target"
jurisdiction = "US"
[[phase]]
name = "first"
[[phase.dataset]]
name = "files"
source = "file://here/data"
targets = ["file://there/data"]
waive = ["properties"]
{dataset}
"#
        );
        self.write("plan.toml", &text);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command
            .args(args)
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .env_remove("MIGRATE_STATE")
            .env_remove("MIGRATE_LOG");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args), args)
    }

    /// The lead that the dataset's route shows, of its last document.
    fn lead(&self) -> Value {
        let documents = fs::read_dir(self.path("target/routes")).unwrap().map(|entry| entry.unwrap().path());
        let text = fs::read_to_string(documents.max().expect("it is claimed")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["lead"].clone()
    }

    /// Runs and checks the exit code.
    fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}\nstdout: {}\nstderr: {}", ran.out, ran.err);
        ran
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        let ran = self.expect(code, args);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
    }

    fn ledger(&self) -> PathBuf {
        self.path(".migrate/bench/ledger.sqlite")
    }
}

impl Ran {
    /// Runs a command with these arguments. Whatever it says is held to what every answer promises.
    #[track_caller]
    fn of(command: &mut Command, args: &[&str]) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Self { code: status.code().expect("it exits"), out: text(stdout), err: text(stderr) };
        rig::contract::hold(args, &ran.out);
        rig::next::hold(command.get_current_dir().expect("a bench has a directory"), args, &ran.out, &ran.err);
        ran
    }

    /// The lines of an answer that tells events. Each has its time, and none is earlier than the one before it.
    fn events(&self) -> Vec<Value> {
        let json = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let events: Vec<Value> = self.out.lines().map(json).collect();
        let mut last = 0;
        for event in &events {
            let at = event["at"].as_str().unwrap_or_else(|| panic!("no time of day: {event}"));
            at.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{error}: {event}"));
            let elapsed = event["elapsed_ms"].as_u64().unwrap_or_else(|| panic!("no elapsed time: {event}"));
            assert!(event["event"].is_string() && elapsed >= last, "after {last} ms: {event}");
            last = elapsed;
        }
        events
    }

    fn next_commands(&self) -> Vec<&str> {
        self.out.lines().filter_map(|line| line.strip_prefix("next: ")).collect()
    }
}

fn ended(events: &[Value]) -> &Value {
    events.iter().rfind(|event| event["event"] == "dataset_ended").expect("a dataset ended")
}

const THREE: &[(&str, &str)] = &[("a.txt", "alpha"), ("b/c.txt", "beta"), ("d.txt", "delta")];

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_quickstart_runs_and_its_second_run_copies_nothing() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy_tree(&root.join("plans"), &bench.path("plans"));
    copy_tree(&root.join("examples/quickstart/beijing"), &bench.path("examples/quickstart/beijing"));
    let plan = "plans/quickstart.toml";

    let preview = bench.json(0, &["plan", plan, "--json"]);
    assert_eq!(preview["runnable"], true, "{preview}");
    let notes = &preview["phases"][2]["datasets"][0]["notes"];
    assert!(notes[0].as_str().unwrap().contains("filled by accounts, which comes first"), "{notes}");
    assert!(!bench.path("plans/.migrate").exists(), "a plan changes nothing");
    let first = bench.expect(0, &["run", plan]);
    assert_eq!(first.next_commands(), ["migrate verify plans/quickstart.toml"], "{}", first.out);
    assert!(first.out.contains("source read once (1.00×)"), "{}", first.out);
    let second = bench.expect(0, &["run", plan, "--json"]).events();
    let ends: Vec<_> = second.iter().filter(|event| event["event"] == "dataset_ended").collect();
    assert_eq!(ends.len(), 5, "one for each dataset");
    for target in ends.iter().flat_map(|end| end["targets"].as_array().unwrap()) {
        assert_eq!(target["copied"], 0, "{target}");
        assert!(target["same"].as_u64() > Some(0), "{target}");
    }
    bench.expect(0, &["verify", plan, "--level", "bytes"]);
    let standing = bench.json(0, &["status", plan, "--json"]);
    let phases: Vec<_> = standing["phases"].as_array().unwrap().iter().map(|phase| &phase["state"]).collect();
    assert_eq!(phases, ["verified", "verified", "verified"]);
}

#[test]
fn every_json_document_has_the_shape_that_is_promised() {
    let bench = Bench::new(THREE);
    let preview = bench.json(0, &["plan", "plan.toml", "--json"]);
    assert_eq!(preview["phases"][0]["datasets"][0]["targets"][0]["create"], 3, "{preview}");
    assert_eq!(preview["next"], "migrate run plan.toml");

    let before = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!(before["phases"][0]["datasets"][0]["records_total"], Value::Null, "no pass yet");
    assert_eq!(before["next"], "migrate run plan.toml");
    bench.expect(0, &["run", "plan.toml"]);

    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!(status["plan"], "bench");
    assert_eq!(status["holder"], Value::Null);
    assert_eq!(status["next"], Value::Null, "nothing is left to do");
    let dataset = &status["phases"][0]["datasets"][0];
    let known = serde_json::json!({
        "name": "files", "state": "verified", "lead": "here", "epoch": 0, "records_done": 3, "records_total": 3,
        "bytes_done": 14, "bytes_total": 14, "failures": [], "failures_total": 0, "lag_seconds": null,
        "waits_for": null,
    });
    for (name, value) in known.as_object().unwrap() {
        assert_eq!(&dataset[name], value, "{name} of {dataset}");
    }
    assert_eq!(dataset["targets"][0]["target"], "file://there/data");

    let verify = bench.json(0, &["verify", "plan.toml", "--json"]);
    assert_eq!((&verify["equal"], &verify["level"]), (&true.into(), &"checksum".into()), "{verify}");
    let found = &verify["datasets"][0];
    for (name, value) in [("compared", 3), ("missing", 0), ("extra", 0), ("different", 0), ("unreadable", 0)] {
        assert_eq!(found[name], value, "{name} of {found}");
    }
    assert_eq!(found["differences"], serde_json::json!([]));
}

#[test]
fn a_run_tells_events_and_ends_with_run_ended() {
    let bench = Bench::new(THREE);
    let events = bench.expect(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(events[0]["event"], "run_began");
    assert_eq!(events[0]["resumed"], false);
    assert_eq!(ended(&events)["targets"][0]["copied"], 3);
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["complete"]), (&"run_ended".into(), &true.into()));
    assert_eq!(last["next"], "migrate verify plan.toml");
}

#[test]
fn the_state_is_its_owners_alone_and_where_it_was_asked_to_be() {
    let bench = Bench::new(THREE);
    let mode = |path: &str| fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o7777;
    let ran = bench.expect(0, &["run", "plan.toml", "--state", "my state", "--until", "copied"]);
    assert_eq!(mode("my state/bench"), 0o700);
    assert!(!bench.path(".migrate").exists());
    assert_eq!(ran.next_commands(), ["migrate run plan.toml --state 'my state'"]);
    fs::set_permissions(bench.path("my state/bench"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.expect(0, &["run", "plan.toml", "--state", "my state"]);
    assert_eq!(mode("my state/bench"), 0o700, "it is mended");
}

#[test]
fn a_wrong_plan_or_command_line_is_2() {
    let bench = Bench::new(THREE);
    let missing = bench.expect(2, &["run", "nowhere.toml"]);
    assert!(missing.err.contains("nowhere.toml") && missing.err.contains("help:"), "{}", missing.err);
    bench.expect(2, &["run"]);
    bench.expect(2, &["run", "plan.toml", "--until", "later"]);
    let near = bench.expect(2, &["run", "plan.toml", "--dataset", "fils"]);
    assert!(near.err.contains("did you mean \"files\"?"), "{}", near.err);
    bench.expect(2, &["plan", "plan.toml", "--dataset", "other"]);
    bench.expect(2, &["run", "plan.toml", "--phase", "other"]);

    bench.write("bad.toml", "name = \n");
    let bad = bench.expect(2, &["plan", "bad.toml"]);
    assert!(bad.err.contains("bad.toml:1:"), "{}", bad.err);
    assert!(!bench.path(".migrate").exists(), "nothing was done");
}

#[test]
fn an_unknown_key_is_2_and_points_at_itself() {
    let bench = Bench::new(THREE);
    bench.plan("", "verifi = \"bytes\"");
    let wrong = bench.expect(2, &["status", "plan.toml"]);
    assert!(wrong.err.contains("plan.toml:17:1:") && wrong.err.contains("\n  | ^"), "{}", wrong.err);
    for command in ["plan", "verify", "status"] {
        let document = bench.json(2, &[command, "plan.toml", "--json"]);
        let diagnostic = &document["error"]["diagnostics"][0];
        assert_eq!((&diagnostic["line"], &diagnostic["column"]), (&17.into(), &1.into()), "{document}");
        assert!(diagnostic["mend"].as_str().unwrap().contains("verify"), "{document}");
    }
    let events = bench.expect(2, &["run", "plan.toml", "--json"]).events();
    assert_eq!(events[0]["error"]["diagnostics"][0]["line"], 17);
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["complete"]), (&"run_ended".into(), &false.into()));
}

#[test]
fn verify_finds_what_is_missing_extra_or_different_and_repair_mends_it() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    fs::remove_file(bench.path("target/data/a.txt")).unwrap();
    bench.write("target/data/d.txt", "other");
    bench.write("target/data/more.txt", "extra");

    let found = bench.json(1, &["verify", "plan.toml", "--level", "listing", "--json"]);
    assert_eq!((&found["equal"], &found["level"]), (&false.into(), &"listing".into()));
    let dataset = &found["datasets"][0];
    assert_eq!((&dataset["missing"], &dataset["extra"], &dataset["different"]), (&1.into(), &1.into(), &1.into()));
    let kinds: Vec<_> =
        dataset["differences"].as_array().unwrap().iter().map(|one| (&one["key"], &one["kind"])).collect();
    let known = [("a.txt", "missing"), ("d.txt", "different"), ("more.txt", "extra")];
    let known = known.map(|(key, kind)| (Value::from(key), Value::from(kind)));
    assert_eq!(kinds, known.iter().map(|(key, kind)| (key, kind)).collect::<Vec<_>>());

    let human = bench.expect(1, &["verify", "plan.toml", "--level", "listing"]);
    assert!(human.out.lines().any(|line| line.starts_with("missing a.txt at file://there/data: ")), "{}", human.out);
    assert_eq!(human.next_commands(), ["migrate verify plan.toml --level listing --repair"]);

    let mended = bench.json(0, &["verify", "plan.toml", "--level", "listing", "--repair", "--json"]);
    assert_eq!((&mended["equal"], &mended["repaired"]), (&true.into(), &2.into()), "{mended}");
    assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "delta");
    assert!(bench.path("target/data/more.txt").exists(), "the plan keeps what only a target has");
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
}

#[test]
fn a_verification_needs_no_run_and_writes_nothing() {
    let bench = Bench::new(THREE);
    copy_tree(&bench.path("source/data"), &bench.path("target/data"));
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
    bench.write("target/data/a.txt", "ALPHA");
    bench.expect(1, &["verify", "plan.toml", "--level", "bytes"]);
    assert!(!bench.path(".migrate").exists());
}

#[test]
fn a_record_that_fails_is_3_and_is_named_and_the_same_command_goes_on() {
    let bench = Bench::new(THREE);
    std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
    assert_eq!(bench.json(1, &["plan", "plan.toml", "--json"])["runnable"], false);
    let ran = bench.expect(3, &["run", "plan.toml"]);
    assert!(ran.out.contains("1 record failed:\n  files: link at file://there/data: "), "{}", ran.out);
    assert_eq!(ran.next_commands(), ["migrate run plan.toml"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "delta", "the others are there");

    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!((&dataset["state"], &dataset["failures_total"]), (&"incomplete".into(), &1.into()), "{dataset}");
    assert_eq!((&dataset["failures"][0]["key"]), "link");
    assert_eq!(status["next"], "migrate run plan.toml");

    // A record that cannot be read is neither equal nor different.
    let unread = bench.json(3, &["verify", "plan.toml", "--json"]);
    assert_eq!((&unread["equal"], &unread["datasets"][0]["unreadable"]), (&false.into(), &1.into()), "{unread}");

    fs::remove_file(bench.path("source/data/link")).unwrap();
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn keys_are_hidden_where_the_plan_asks() {
    let bench = Bench::new(&[("ann.json", "1"), ("bob.json", "2")]);
    bench.plan("redact_keys = true", "");
    std::os::unix::fs::symlink("ann.json", bench.path("source/data/eve.json")).unwrap();
    let names = |text: &str| ["ann.json", "bob.json", "eve.json"].iter().any(|name| text.contains(name));
    let mut said = Vec::new();
    said.push(bench.expect(3, &["run", "plan.toml", "--log", "trace"]));
    said.push(bench.expect(3, &["run", "plan.toml", "--json"]));
    fs::remove_file(bench.path("target/data/bob.json")).unwrap();
    for more in [&[][..], &["--json"]] {
        for command in ["plan", "verify", "status"] {
            said.push(bench.run(&[&[command, "plan.toml"], more].concat()));
        }
    }
    for ran in &said {
        assert!(!names(&ran.out) && !names(&ran.err), "{}\n{}", ran.out, ran.err);
    }
    assert!(said[0].out.contains("key:"), "{}", said[0].out);
}

#[test]
fn a_second_run_is_refused_and_hears_of_the_first() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let mut lock = File::options().write(true).open(bench.path(".migrate/bench/lock")).unwrap();
    lock.lock().unwrap();
    lock.write_all(br#"{"pid":7,"host":"far","command":"migrate run x.toml","since":"2026-01-01T00:00:00Z"}"#).unwrap();
    let refused = bench.expect(3, &["run", "plan.toml"]);
    let who = "`migrate run x.toml` (process 7 on far, since 2026-01-01T00:00:00Z)";
    assert!(refused.err.contains(who), "{}", refused.err);
    bench.expect(3, &["verify", "plan.toml", "--repair"]);
    bench.expect(0, &["verify", "plan.toml"]);
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!((&status["holder"]["pid"], &status["next"]), (&7.into(), &"migrate status plan.toml --watch".into()));
    lock.unlock().unwrap();
    assert_eq!(bench.json(0, &["status", "plan.toml", "--json"])["holder"], Value::Null, "a name alone holds nothing");
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_newer_or_damaged_ledger_is_3_and_says_what_to_do() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let connection = rusqlite::Connection::open(bench.ledger()).unwrap();
    connection.execute_batch("PRAGMA user_version = 999").unwrap();
    drop(connection);
    for command in ["run", "status", "plan", "verify"] {
        let newer = bench.expect(3, &[command, "plan.toml"]);
        assert!(newer.err.contains("newer migrate"), "{}", newer.err);
    }
    assert!(bench.json(3, &["status", "plan.toml", "--json"])["error"]["mend"].is_string());

    for log in ["-wal", "-shm"] {
        let _absent = fs::remove_file(format!("{}{log}", bench.ledger().display()));
    }
    fs::write(bench.ledger(), "this is not a ledger at all, ".repeat(200)).unwrap();
    let damaged = bench.expect(3, &["run", "plan.toml"]);
    assert!(damaged.err.contains("move it away"), "{}", damaged.err);
    bench.expect(3, &["status", "plan.toml"]);
    fs::remove_file(bench.ledger()).unwrap();
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_dataset_whose_meaning_changed_is_1() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    bench.plan("", "exclude = [\"*.txt\"]");
    for command in ["run", "verify", "plan"] {
        let changed = bench.expect(1, &[command, "plan.toml"]);
        let said = format!("{}{}", changed.out, changed.err);
        assert!(said.contains("means something else than when it began: selection was"), "{said}");
    }
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert!(status["phases"][0]["datasets"][0]["waits_for"].as_str().unwrap().contains("means something else"));
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha");
}

#[test]
fn deleting_more_than_the_plan_allows_is_1_unless_forced() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"10%\"");
    bench.expect(0, &["run", "plan.toml"]);
    fs::remove_file(bench.path("source/data/a.txt")).unwrap();
    let refused = bench.expect(1, &["run", "plan.toml"]);
    assert!(refused.err.contains("delete_share"), "{}", refused.err);
    assert_eq!(refused.next_commands(), ["migrate run plan.toml"]);
    assert!(refused.out.contains("\nhelp: look at the place that leads"), "{}", refused.out);
    assert!(bench.path("target/data/a.txt").exists());
    bench.expect(0, &["run", "plan.toml", "--force"]);
    assert!(!bench.path("target/data/a.txt").exists());
}

#[test]
fn a_phase_that_has_to_wait_for_another_is_1() {
    let bench = Bench::new(THREE);
    let mut plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    plan.push_str(
        "[[phase]]\nname = \"second\"\nafter = [\"first\"]\n[[phase.dataset]]\nname = \"more\"\n\
         source = \"file://here/data\"\ntargets = [\"file://there/more\"]\nwaive = [\"properties\"]\n",
    );
    bench.write("plan.toml", &plan);
    let waits = bench.expect(1, &["run", "plan.toml", "--phase", "second"]);
    assert!(waits.out.contains("waits for phase first, which comes first"), "{}", waits.out);
    assert_eq!(waits.next_commands(), ["migrate run plan.toml"]);
    assert!(!bench.path("target/more").exists());
    bench.expect(0, &["run", "plan.toml"]);
}

/// A cutover of the bench's dataset without waits.
const CUTOVER: &str = "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"0s\"\n\
     route_max_age = \"0s\"\nroute = \"file://there/routes/files.json\"";

#[test]
fn a_cutover_that_is_not_built_yet_is_refused_before_anything_begins() {
    let bench = Bench::new(THREE);
    bench.plan("", &format!("{CUTOVER}\nprobe = [\"https://www.example.com/\"]"));
    let refused = bench.run(&["run", "plan.toml"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("cutover.probe"), "{}", refused.err);
    assert!(refused.err.contains("next: migrate run plan.toml --until verified"), "{}", refused.err);
    assert!(!bench.path(".migrate").exists() && !bench.path("target/data").exists());
    bench.expect(0, &["run", "plan.toml", "--until", "verified"]);
}

#[test]
fn a_lead_moves_only_with_approval_and_status_tells_who_gave_it() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    let preview = bench.json(0, &["plan", "plan.toml", "--json"]);
    let cutover = &preview["phases"][0]["datasets"][0]["cutover"];
    assert_eq!((&cutover["from"], &cutover["to"], &cutover["epoch"]), (&"here".into(), &"there".into(), &0.into()));
    assert!(!bench.path("target/data").exists(), "a look makes nothing");

    let waits = bench.expect(0, &["run", "plan.toml"]);
    assert_eq!(waits.next_commands(), ["migrate run plan.toml --approve first"]);
    assert!(waits.out.contains("waits for the approval of phase first"), "{}", waits.out);
    assert_eq!(bench.lead(), "here");
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!(
        (&dataset["state"], &dataset["lead"], &dataset["epoch"]),
        (&"verified".into(), &"here".into(), &0.into())
    );
    assert_eq!(status["next"], "migrate run plan.toml --approve first");
    bench.expect(2, &["run", "plan.toml", "--approve", "firts"]);

    let events = bench.expect(0, &["run", "plan.toml", "--approve", "all", "--json"]).events();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("needs_approval"), of("approved"), of("cutover_step")), (1, 1, 8), "{events:?}");
    let shown = fs::read(bench.path("target/routes/files.json.000000000002")).unwrap();
    let route: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!((&route["lead"], &route["epoch"], &route["dataset"]), (&"there".into(), &1.into(), &"files".into()));

    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!(
        (&dataset["state"], &dataset["lead"], &dataset["epoch"]),
        (&"cut_over".into(), &"there".into(), &1.into())
    );
    assert!(dataset["approved"]["by"].as_str().unwrap().contains('@'), "{dataset}");
    assert_eq!(status["next"], Value::Null);
    bench.write("source/data/a.txt", "a writer who reads no routes");
    let late = bench.expect(1, &["run", "plan.toml"]);
    assert!(late.out.contains("waits for a decision about 1 record that was written at its old lead"), "{}", late.out);
    assert!(late.out.contains("LATE: 1 record was written at the old lead since the lead moved"), "{}", late.out);
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!((&dataset["state"], &dataset["following"]["state"]), (&"cut_over".into(), &"different".into()));
    assert_eq!(dataset["following"]["old_lead"]["target"], "file://here/data");
    // Neither a run nor a repair writes over it, nor takes it over.
    let looked = bench.json(1, &["verify", "plan.toml", "--repair", "--json"]);
    assert_eq!((&looked["repaired"], &looked["datasets"][0]["different"]), (&0.into(), &1.into()), "{looked}");
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha", "the new lead is never written");
    let kept = || fs::read_to_string(bench.path("source/data/a.txt")).unwrap();
    assert_eq!(kept(), "a writer who reads no routes");
    bench.expect(0, &["resolve", "plan.toml", "--all", "--reason", "a test"]);
    bench.expect(0, &["run", "plan.toml"]);
    assert_eq!(kept(), "alpha", "what was settled follows the new lead");
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains("led by there since epoch 1; its followers are verified"), "{}", status.out);
}

#[test]
fn an_interrupted_run_is_3_and_the_same_command_finishes() {
    let files: Vec<_> = (0..300).map(|n| (format!("{n:03}"), format!("body {n}"))).collect();
    let files: Vec<_> = files.iter().map(|(key, body)| (key.as_str(), body.as_str())).collect();
    let bench = Bench::new(&files);
    bench.plan_with("", "limits = { requests_per_second = 40 }", "");
    let mut run = bench.command(&["run", "plan.toml", "--json"]);
    let mut child = Running::start(run.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = child.id().to_string();
    let mut events = Vec::new();
    let mut asked = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !asked && event["event"] == "progress" && event["targets"][0]["copied"].as_u64() > Some(0) {
            asked = true;
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        }
        events.push(event);
    }
    let interrupted = child.output();
    assert_eq!(interrupted.status.code(), Some(3), "{interrupted:?}");
    let err = String::from_utf8(interrupted.stderr).unwrap();
    assert!(err.contains("press again"), "{err}");
    let last = events.last().unwrap();
    assert_eq!((&last["complete"], &last["next"]), (&false.into(), &"migrate run plan.toml --json".into()));
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    let done = dataset["records_done"].as_u64().unwrap();
    assert!((1..300).contains(&done), "{dataset}");
    assert_eq!(dataset["state"], "copying");

    // Limits are no part of a dataset's meaning.
    bench.plan("", "");
    let events = bench.expect(0, &["run", "plan.toml", "--json"]).events();
    assert_eq!(events[0]["resumed"], true);
    let target = &ended(&events)["targets"][0];
    let [copied, same, repeated] = ["copied", "same", "repeated"].map(|name| target[name].as_u64().unwrap());
    assert_eq!((copied + same, repeated), (300, 0), "each once: {target}");
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
}

#[test]
fn help_completions_and_the_schema_print() {
    let bench = Bench::new(&[]);
    let codes = bench.expect(0, &["help", "exit-codes"]);
    for code in 0..4 {
        assert!(codes.out.contains(&format!("  {code}  ")), "{}", codes.out);
    }
    let manual = bench.expect(0, &["help"]);
    for word in ["plan", "run", "verify", "status", "STATE", "STOPPING", "EXIT CODES"] {
        assert!(manual.out.contains(word), "{}", manual.out);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.expect(0, &["completions", shell]).out.contains("migrate"));
    }
    let schema: Value = serde_json::from_str(&bench.expect(0, &["schema"]).out).unwrap();
    assert!(schema["properties"]["phase"].is_object());
}
