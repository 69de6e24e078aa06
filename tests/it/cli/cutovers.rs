//! Cutovers as a shell sees them: what stops one, and what a stop leaves.

use std::time::{Duration, Instant};

use migrate::local_cloud::{Fault, FaultRule, Faults, Operation, S3Server, S3ServerConfig, When};
use tokio::runtime::Runtime;

use super::*;

/// Two datasets of one phase, whose source is one S3 server, and whose target and routes are on another.
struct OnServers {
    bench: Bench,
    from: S3Server,
    to: S3Server,
    /// The servers' runtime.
    _runtime: Runtime,
}

const DATASETS: [&str; 2] = ["one", "two"];

impl OnServers {
    fn new() -> Self {
        let servers = Self::without_route_bucket();
        servers.to.state().create_bucket("control");
        servers
    }

    fn without_route_bucket() -> Self {
        let runtime = Runtime::new().unwrap();
        let start = || runtime.block_on(S3Server::start(S3ServerConfig::new("an-id", "a-secret"))).unwrap();
        let (from, to) = (start(), start());
        for bucket in DATASETS {
            from.state().create_bucket(bucket);
            to.state().create_bucket(bucket);
            for n in 0..3 {
                from.state().put(bucket, &format!("{n}.txt"), format!("body {n}"));
            }
        }
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        let site = |name: &str, server: &S3Server| {
            format!(
                "[sites.{name}]\ns3 = {{ endpoint = \"{}\", path_style = true }}\ncredentials = {{ env = \"BENCH\" }}\n",
                server.endpoint()
            )
        };
        let dataset = |name: &str| {
            format!(
                "[[phase.dataset]]\nname = \"{name}\"\nsource = \"s3://here/{name}/\"\n\
                 targets = [\"s3://there/{name}/\"]\n{}\n",
                CUTOVER.replace("file://there/routes/files", &format!("s3://there/control/{name}"))
            )
        };
        let text = format!(
            "name = \"bench\"\n{}{}[[phase]]\nname = \"first\"\n{}",
            site("here", &from),
            site("there", &to),
            DATASETS.map(dataset).concat()
        );
        bench.write("plan.toml", &text);
        Self { bench, from, to, _runtime: runtime }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.env("BENCH_ACCESS_KEY_ID", "an-id").env("BENCH_SECRET_ACCESS_KEY", "a-secret");
        command
    }

    fn expect(&self, code: i32, args: &[&str]) -> String {
        let ran = Ran::of(&mut self.command(args), args);
        assert_eq!(ran.code, code, "{args:?}\n{}{}", ran.out, ran.err);
        ran.out
    }

    /// The leads that the routes show.
    fn leads(&self) -> Vec<Value> {
        let text = |name: &str| self.to.state().get("control", &format!("{name}.json")).expect("it is claimed");
        let lead = |name: &str| serde_json::from_slice::<Value>(&text(name)).unwrap()["lead"].clone();
        DATASETS.map(lead).to_vec()
    }

    fn states(&self) -> Vec<Value> {
        let status: Value = serde_json::from_str(&self.expect(0, &["status", "plan.toml", "--json"])).unwrap();
        status["phases"][0]["datasets"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect()
    }

    /// Begins a run that would move both leads and hangs in the last look. Before it, a pass, the count beside
    /// it, a verification and the final verification list each source once.
    fn begin_and_hang_in_the_last_look(&self) -> Running {
        let before = 4 * DATASETS.len() as u64;
        let hangs = FaultRule::new(Fault::SlowFirstByte(Duration::from_hours(1)), When::Only(before + 1));
        self.from.set_faults(Faults::one(1, hangs.on([Operation::ListObjectsV2])));
        let args = ["run", "plan.toml", "--approve", "first", "--json"];
        let mut child = Running::start(self.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let looks = |line: std::io::Result<String>| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            event["event"] == "cutover_step" && event["step"] == "last look"
        };
        assert!(lines.any(looks), "it comes as far as that");
        let begun = Instant::now();
        while self.from.stats().faults == 0 {
            assert!(begun.elapsed() < Duration::from_mins(1), "the last look lists nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Read the rest of its output, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    /// No lead has moved, and the next run moves both.
    fn goes_on(&self, states: [&str; 2]) {
        assert_eq!(self.leads(), ["here"; 2], "no lead has moved");
        assert_eq!(self.states(), states);
        self.expect(0, &["run", "plan.toml", "--approve", "first"]);
        assert_eq!(self.leads(), ["there"; 2]);
        assert_eq!(self.states(), ["cut_over"; 2]);
    }
}

fn signal(child: &std::process::Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_in_the_last_look_moves_no_lead_of_the_phase() {
    let servers = OnServers::new();
    let mut run = servers.begin_and_hang_in_the_last_look();
    signal(&run, "-INT");
    assert_eq!(run.wait().unwrap().code(), Some(3));
    servers.goes_on(["verified"; 2]);
}

#[test]
fn sigterm_in_the_last_look_moves_no_lead_of_the_phase() {
    let servers = OnServers::new();
    let mut run = servers.begin_and_hang_in_the_last_look();
    signal(&run, "-TERM");
    assert_eq!(run.wait().unwrap().code(), Some(3));
    servers.goes_on(["verified"; 2]);
}

#[test]
fn an_abort_in_the_last_look_moves_no_lead_of_the_phase() {
    let servers = OnServers::new();
    let mut run = servers.begin_and_hang_in_the_last_look();
    let answer: Value = serde_json::from_str(&servers.expect(0, &["abort", "plan.toml", "--json"])).unwrap();
    assert_eq!(answer["done"], true, "{answer}");
    assert_eq!(run.wait().unwrap().code(), Some(1), "the same command would bring it back");
    servers.goes_on(["aborted"; 2]);
}

/// A look at an object in a missing bucket gets a bare 404, like a look at a route that was never written.
#[test]
fn a_route_bucket_that_is_missing_is_an_error_and_not_epoch_0() {
    let servers = OnServers::without_route_bucket();
    let run = |code: i32, args: &[&str]| {
        let output = servers.command(args).output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        out + &err
    };
    let preview = run(1, &["plan", "plan.toml"]);
    assert!(preview.contains("BLOCKED") && preview.contains("s3://there/control"), "{preview}");
    for goal in ["copied", "verified", "cutover"] {
        let stopped = run(3, &["run", "plan.toml", "--until", goal, "--approve", "all"]);
        assert!(stopped.contains("s3://there/control") && stopped.contains("create it"), "{stopped}");
    }
    assert_eq!(servers.to.state().count("one"), 0, "nothing is written before it is known who leads");

    servers.to.state().create_bucket("control");
    run(0, &["run", "plan.toml", "--approve", "all"]);
    servers.to.state().put("one", "0.txt", "written at the new lead");
    // The same plan with an empty ledger, while the route's bucket is missing.
    servers.to.state().drop_bucket("control");
    run(3, &["run", "plan.toml", "--state", "another"]);
    assert_eq!(servers.to.state().get("one", "0.txt").unwrap(), "written at the new lead");
}

#[test]
fn a_route_directory_that_is_missing_is_an_error_and_is_not_made() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml", "--approve", "all"]);
    bench.write("target/data/a.txt", "written at the new lead");
    fs::rename(bench.path("target/routes"), bench.path("away")).unwrap();
    let preview = bench.expect(1, &["plan", "plan.toml", "--state", "another"]);
    assert!(preview.out.contains("BLOCKED") && preview.out.contains("file://there/routes"), "{}", preview.out);
    for args in [
        &["run", "plan.toml", "--state", "another"][..],
        &["run", "plan.toml", "--state", "another", "--approve", "all"],
        &["verify", "plan.toml", "--state", "another", "--repair"],
        &["cutover", "plan.toml", "--state", "another", "--phase", "first", "--dry-run"],
    ] {
        let stopped = bench.expect(3, args);
        assert!(stopped.err.contains("file://there/routes") && stopped.err.contains("create it"), "{}", stopped.err);
    }
    assert!(!bench.path("target/routes").exists(), "it was not made");
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "written at the new lead");
    // If the ledger knows of a switch that was begun, only the route tells whether it happened.
    fs::rename(bench.path("away"), bench.path("target/routes")).unwrap();
    bench.expect(1, &["run", "plan.toml", "--state", "another"]);
}

/// A source that shows nothing: a mount that is not there, a mistyped prefix, or a selection that takes no
/// record.
#[test]
fn nothing_compared_moves_no_lead_unless_the_plan_accepts_it() {
    for (files, more) in [(&[][..], ""), (THREE, "exclude = [\"**\"]\n")] {
        let bench = Bench::new(files);
        bench.plan("", &format!("{more}{CUTOVER}"));
        let said = "0 records: nothing was compared";
        let preview = bench.expect(0, &["plan", "plan.toml"]);
        assert!(preview.out.contains(&format!("\nhelp: {said}")), "{}", preview.out);
        assert!(preview.out.contains("accept_empty = true"), "{}", preview.out);
        assert_eq!(preview.next_commands(), ["migrate plan plan.toml"], "a run would only name it again");
        let refused = bench.expect(1, &["run", "plan.toml", "--approve", "all"]);
        assert!(refused.out.contains(said) && !refused.out.contains("equal by"), "{}", refused.out);
        assert!(refused.err.contains("files is not cut over: 0 records"), "{}", refused.err);
        assert!(refused.err.contains("accept_empty = true"), "{}", refused.err);
        assert_eq!(refused.next_commands(), ["migrate plan plan.toml"]);
        let status = bench.expect(0, &["status", "plan.toml"]);
        assert!(status.out.contains(said) && status.out.contains("accept_empty = true"), "{}", status.out);
        assert!(!status.out.contains("equal by"), "{}", status.out);
        assert_eq!(status.next_commands(), ["migrate plan plan.toml"]);
        let proof_equal = || {
            let status = bench.json(0, &["status", "plan.toml", "--json"]);
            status["phases"][0]["datasets"][0]["verification"]["equal"].clone()
        };
        assert_eq!(proof_equal(), false);
        let verify = bench.expect(1, &["verify", "plan.toml"]);
        assert!(verify.out.contains("NOTHING COMPARED") && verify.out.contains(said), "{}", verify.out);
        assert_eq!(bench.json(1, &["verify", "plan.toml", "--json"])["equal"], false);
        let dry = bench.json(1, &["cutover", "plan.toml", "--phase", "first", "--dry-run", "--json"]);
        let refused = dry["datasets"][0]["steps"][0]["refused"].as_str().unwrap();
        assert!(refused.starts_with(said), "{refused}");
        assert!(dry["mend"].as_str().unwrap().starts_with(said) && dry["next"] == "migrate plan plan.toml", "{dry}");
        bench.expect(1, &["cutover", "plan.toml", "--phase", "first"]);
        assert_eq!(bench.lead(), "here", "no lead has moved");

        // Accepting it is part of what is approved.
        bench.plan("", &format!("{more}accept_empty = true\n{CUTOVER}"));
        let asks = bench.expect(0, &["run", "plan.toml"]);
        assert_eq!(asks.next_commands(), ["migrate run plan.toml --approve first"]);
        assert_eq!(proof_equal(), true);
        let verify = bench.expect(0, &["verify", "plan.toml"]);
        assert!(verify.out.contains("nothing to compare, as the plan accepts"), "{}", verify.out);
        bench.expect(0, &["run", "plan.toml", "--approve", "first"]);
        assert_eq!(bench.lead(), "there");
    }
}

/// An empty dataset whose lead does not move is no obstacle, and is not called equal.
#[test]
fn an_empty_dataset_without_a_cutover_is_told_as_such() {
    let bench = Bench::new(&[]);
    let ran = bench.expect(0, &["run", "plan.toml"]);
    assert!(ran.out.contains("0 records: nothing was compared") && !ran.out.contains("equal by"), "{}", ran.out);
}

/// The verifications of a run, by their results.
fn verifications(events: &[Value]) -> Vec<&str> {
    let states = events.iter().filter(|event| event["event"] == "dataset_state");
    states
        .filter_map(|event| event["state"].as_str())
        .filter(|state| ["different", "verified"].contains(state))
        .collect()
}

/// A foreign writer wrote over a copy, and the source deleted the record: nothing deletes the foreign object, and
/// no number of passes changes that.
#[test]
fn a_stray_at_the_target_of_a_live_dataset_is_verified_once_and_named() {
    for cutover in ["", CUTOVER] {
        let bench = Bench::new(THREE);
        bench.plan("", &format!("live = true\ndelete_share = \"100%\"\n{cutover}"));
        bench.expect(0, &["run", "plan.toml", "--until", "verified"]);
        bench.write("target/data/d.txt", "written by somebody else");
        bench.write("target/data/more.txt", "the plan keeps this one");
        fs::remove_file(bench.path("source/data/d.txt")).unwrap();
        let events = bench.expect(1, &["run", "plan.toml", "--approve", "all", "--json"]).events();
        assert_eq!(verifications(&events), ["different"]);
        let last = events.last().unwrap();
        assert_eq!(last["next"], "migrate run plan.toml", "a repair deletes nothing");
        assert!(last["mend"].as_str().unwrap().starts_with("look at what is extra at the target"), "{last}");
        let text = bench.expect(1, &["run", "plan.toml", "--approve", "all"]).out;
        assert!(text.contains("no further pass mends; the first is d.txt (the lead has deleted it)"), "{text}");
        assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "written by somebody else");
        fs::remove_file(bench.path("target/data/d.txt")).unwrap();
        bench.expect(0, &["run", "plan.toml", "--approve", "all"]);
    }
}

/// A dataset that was cut over while an application that ignores the route wrote these at the old lead.
fn with_late_writes(top: &str, late: &[&str]) -> Bench {
    let bench = Bench::new(THREE);
    bench.plan(top, &CUTOVER.replace("route_max_age = \"0s\"", "route_max_age = \"1s\""));
    let args = ["run", "plan.toml", "--approve", "all", "--json"];
    let mut child = Running::start(bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut last = Value::Null;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        // The route shows the new lead, and clients have a second to read it again.
        if event["event"] == "dataset_state" && event["state"] == "switched" {
            for key in late {
                bench.write(&format!("source/data/{key}"), "late");
            }
        }
        last = event;
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(last["next"], "migrate resolve plan.toml", "{last}");
    bench
}

/// A late write stays open until a person decides, whatever else waits.
#[test]
fn a_late_write_is_told_although_another_phase_waits_for_its_approval() {
    let bench = with_late_writes("", &["a.txt"]);
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let second = format!(
        "[[phase]]\nname = \"second\"\nafter = [\"first\"]\n[[phase.dataset]]\nname = \"more\"\n\
         source = \"file://here/data\"\ntargets = [\"file://there/more\"]\nwaive = [\"properties\"]\n{}\n",
        CUTOVER.replace("files.json", "more.json")
    );
    bench.write("plan.toml", &format!("{plan}{second}"));
    let run = bench.expect(1, &["run", "plan.toml"]);
    assert!(run.out.contains("LATE") && run.out.contains("waits for the approval of phase second"), "{}", run.out);
    let resolve = ["migrate resolve plan.toml"];
    assert_eq!(run.next_commands(), resolve);
    assert_eq!(bench.expect(0, &["status", "plan.toml"]).next_commands(), resolve);
    // What was asked for is done, but late writes are open.
    let other = bench.expect(0, &["run", "plan.toml", "--dataset", "more", "--approve", "second"]);
    assert_eq!(other.next_commands(), resolve);
}

#[test]
fn a_dry_run_is_ready_only_for_what_it_has_looked_at() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml"]);
    let dry = ["cutover", "plan.toml", "--phase", "first", "--dry-run"];
    assert_eq!(bench.expect(0, &dry).next_commands(), ["migrate cutover plan.toml --phase first"]);
    // Another source, whose records were never compared.
    bench.write("source/other/a.txt", "alpha");
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write("plan.toml", &plan.replace("file://here/data", "file://here/other"));
    let other = bench.expect(1, &dry);
    assert!(other.err.contains("means something else than when it began"), "{}", other.err);
    assert!(other.err.contains("help: put back what the plan said"), "{}", other.err);
    bench.write("plan.toml", &plan);
    // Another directory in place of either, or none.
    for place in ["source/data", "target/data"] {
        fs::rename(bench.path(place), bench.path("away")).unwrap();
        let gone = bench.expect(3, &dry);
        assert!(gone.err.contains("it is not there") && gone.err.contains("\nnext: migrate cutover"), "{}", gone.err);
        fs::create_dir(bench.path(place)).unwrap();
        assert!(bench.expect(3, &dry).err.contains("it is another one"));
        fs::remove_dir(bench.path(place)).unwrap();
        fs::rename(bench.path("away"), bench.path(place)).unwrap();
    }
    // A proof at a lower level than the plan now asks for.
    bench.plan("", &format!("verify = \"bytes\"\n{CUTOVER}"));
    let less = bench.expect(1, &dry);
    assert!(less.out.contains("REFUSED: files was verified by less than the plan asks for now"), "{}", less.out);
    assert_eq!(less.next_commands(), ["migrate run plan.toml --phase first"]);
    let refused = bench.expect(1, &dry[..4]);
    assert!(refused.err.contains("files is verified by less than the plan asks for now"), "{}", refused.err);
    assert_eq!(bench.expect(0, &["status", "plan.toml"]).next_commands(), ["migrate run plan.toml"]);
    bench.expect(0, &["run", "plan.toml"]);
    bench.expect(0, &dry);
    let nothing_left = |ran: &Ran| assert!(ran.out.contains("\nnext: nothing is left to do"), "{}{}", ran.out, ran.err);
    bench.expect(0, &["abort", "plan.toml"]);
    nothing_left(&bench.expect(1, &dry));
    let given_up = bench.expect(1, &dry[..4]);
    assert!(
        given_up.err.contains("files is aborted\nnext: nothing is left to do; it was given up"),
        "{}",
        given_up.err
    );
    bench.expect(0, &["run", "plan.toml", "--approve", "all"]);
    nothing_left(&bench.expect(0, &dry));
}

#[test]
fn a_dry_run_asks_for_no_other_proof_of_a_lead_that_has_moved() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml", "--approve", "all"]);
    bench.plan("", &format!("verify = \"bytes\"\n{CUTOVER}"));
    bench.expect(0, &["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
    bench.expect(0, &["cutover", "plan.toml", "--phase", "first"]);
}

/// A run that was killed while it waited for the clients of a route leaves something to do.
#[test]
fn a_switch_that_is_not_watched_to_its_end_leaves_a_run_to_do() {
    let bench = Bench::new(THREE);
    bench.plan("", &CUTOVER.replace("route_max_age = \"0s\"", "route_max_age = \"1h\""));
    let args = ["run", "plan.toml", "--approve", "all", "--json"];
    let mut run = Running::start(bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()));
    let watches = BufReader::new(run.stdout.take().unwrap()).lines().any(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["event"] == "waiting"
    });
    assert!(watches, "it ended before it waited");
    signal(&run, "-KILL");
    run.wait().unwrap();
    let verified = bench.expect(0, &["run", "plan.toml", "--until", "verified"]);
    assert!(verified.out.contains("files: switched"), "{}", verified.out);
    assert_eq!(verified.next_commands(), ["migrate run plan.toml"]);
}

fn late_of(bench: &Bench) -> Value {
    let mut status = bench.json(0, &["status", "plan.toml", "--json"]);
    status["phases"][0]["datasets"][0].take()
}

#[test]
fn late_writes_that_were_carried_over_are_settled_by_the_next_run() {
    let bench = with_late_writes("", &["a.txt", "new.txt"]);
    let standing = late_of(&bench);
    assert_eq!(
        (&standing["late_writes"], &standing["late_keys"]),
        (&2.into(), &serde_json::json!(["a.txt", "new.txt"]))
    );
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert_eq!(status.next_commands(), ["migrate resolve plan.toml"]);
    // One is carried over, and the other differs from the late write: only what is equal is settled.
    bench.write("target/data/a.txt", "late");
    bench.write("target/data/new.txt", "LATE");
    let run = bench.expect(1, &["run", "plan.toml"]);
    assert!(run.out.contains("LATE: 1 record was written") && run.out.contains("new.txt"), "{}", run.out);
    assert_eq!(run.next_commands(), ["migrate resolve plan.toml"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/new.txt")).unwrap(), "LATE", "nothing is copied");
    bench.write("target/data/new.txt", "late");
    let run = bench.expect(0, &["run", "plan.toml"]);
    assert!(!run.out.contains("LATE"), "{}", run.out);
    let standing = late_of(&bench);
    assert_eq!((&standing["late_writes"], &standing["late_equal"]), (&0.into(), &2.into()), "{standing}");
    bench.expect(0, &["verify", "plan.toml"]);
}

#[test]
fn a_decision_on_late_writes_is_kept_with_who_made_it_and_when() {
    let bench = with_late_writes("", &["a.txt", "b/c.txt", "new.txt"]);
    let listed = bench.expect(1, &["resolve", "plan.toml"]);
    assert!(listed.out.contains("files: 3 late records are open:\n  a.txt\n  b/c.txt\n  new.txt\n"), "{}", listed.out);
    assert_eq!(listed.next_commands(), ["migrate resolve plan.toml --all"]);
    let wrong = bench.expect(2, &["resolve", "plan.toml", "a.txt", "d.txt"]);
    assert!(wrong.err.contains("no late record \"d.txt\" is open"), "{}", wrong.err);
    assert_eq!(late_of(&bench)["late_writes"], 3, "nothing was recorded");
    bench.expect(2, &["resolve", "plan.toml", "a.txt", "--all"]);

    // A word that names no file is a key of the plan that is found; one that does is a plan, and never both.
    fs::rename(bench.path("plan.toml"), bench.path("migrate.toml")).unwrap();
    bench.expect(2, &["resolve", "a.txt", "--all"]);
    let wrong = bench.expect(2, &["resolve", "d.txt"]);
    assert!(wrong.err.contains("no late record \"d.txt\" is open"), "{}", wrong.err);
    bench.write("b/c.txt", "a file of the same name");
    bench.expect(2, &["resolve", "b/c.txt"]);
    assert_eq!(bench.json(1, &["resolve", "--json"])["open"], 3, "nothing was recorded");
    let one = bench.expect(0, &["resolve", "a.txt", "--reason", "the shop wrote it again"]);
    fs::rename(bench.path("migrate.toml"), bench.path("plan.toml")).unwrap();
    assert!(one.out.contains("1 late record resolved"), "{}", one.out);
    let rest = bench.json(0, &["resolve", "plan.toml", "--dataset", "files", "--all", "--json"]);
    assert_eq!((&rest["detail"], &rest["open"]), (&"2 late records resolved".into(), &0.into()), "{rest}");
    assert_eq!(rest["next"], "migrate status plan.toml");
    let standing = late_of(&bench);
    assert_eq!((&standing["late_writes"], &standing["late_resolved"]), (&0.into(), &3.into()), "{standing}");
    let decisions = standing["late_decisions"].as_array().unwrap();
    let first = decisions.iter().find(|one| one["key"] == "a.txt").unwrap();
    assert_eq!(first["reason"], "the shop wrote it again");
    assert!(first["by"].as_str().unwrap().contains('@') && first["at"].as_str().unwrap().starts_with("20"), "{first}");
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert!(
        status.out.contains("a.txt resolved by ") && status.out.contains(": the shop wrote it again"),
        "{}",
        status.out
    );
    assert!(!status.out.contains("LATE"), "{}", status.out);
    bench.expect(0, &["run", "plan.toml"]);
    assert_eq!(bench.json(0, &["resolve", "plan.toml", "--json"])["open"], 0);
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha", "the new lead was not touched");
}

/// All late writes are in the ledger, also those beyond the shown ones; and hidden keys are found by the names
/// under which they are shown.
#[test]
fn all_late_writes_are_kept_and_found_by_their_hidden_names() {
    let keys: Vec<_> = (0..300).map(|n| format!("n/{n:03}")).collect();
    let bench = with_late_writes("redact_keys = true", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    let standing = late_of(&bench);
    assert_eq!(standing["late_writes"], 300, "{standing}");
    let shown = standing["late_keys"].as_array().unwrap();
    assert!(shown.len() == 100 && shown[0].as_str().unwrap().starts_with("key:"), "{standing}");
    let one = bench.expect(0, &["resolve", "plan.toml", shown[7].as_str().unwrap()]);
    assert!(one.out.contains("1 late record resolved") && !one.out.contains("n/"), "{}", one.out);
    bench.expect(0, &["resolve", "plan.toml", "n/299"]);
    assert_eq!(bench.json(1, &["resolve", "plan.toml", "--json"])["open"], 298);
    for key in &keys {
        bench.write(&format!("target/data/{key}"), "late");
    }
    bench.expect(0, &["run", "plan.toml"]);
    let standing = late_of(&bench);
    assert_eq!((&standing["late_equal"], &standing["late_resolved"]), (&298.into(), &2.into()), "{standing}");
}

/// What follows a lead that has moved stops nothing else, also if somebody's writes there wait for a decision.
#[test]
fn an_old_lead_that_is_gone_is_named_and_blocks_no_plan() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml", "--approve", "all"]);
    bench.write("source/data/a.txt", "a late one");
    bench.expect(1, &["run", "plan.toml"]);
    std::fs::rename(bench.path("source/data"), bench.path("away")).unwrap();
    let down = bench.run(&["run", "plan.toml", "--json"]);
    let said = format!("{}{}", down.out, down.err);
    assert!(said.contains("follow_back = false"), "{said}");
    assert!(!said.contains("\"stopped\":{"), "{said}");
    let preview = bench.json(0, &["plan", "plan.toml", "--json"]);
    assert_eq!(preview["runnable"], true, "{preview}");
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    let dataset = &status["phases"][0]["datasets"][0];
    assert_eq!(
        (&dataset["lead"], &dataset["late_writes"]),
        (&"there".into(), &1.into()),
        "what was not seen stays open"
    );
    assert!(dataset["following"]["old_lead"]["down"]["reason"].is_string(), "{dataset}");
    std::fs::rename(bench.path("away"), bench.path("source/data")).unwrap();
    assert!(bench.expect(1, &["run", "plan.toml"]).out.contains("LATE: 1 record"));
}
