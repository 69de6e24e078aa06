//! A person decides: deletions need a confirmation, approvals are shown and can be withdrawn.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    Bench, CUTOVER, Running, THREE,
    operators::{Slow, many},
};

fn files(bench: &Bench) -> usize {
    fs::read_dir(bench.path("target/data")).map_or(0, Iterator::count)
}

fn dataset(bench: &Bench) -> Value {
    bench.json(0, &["status", "plan.toml", "--json"])["phases"][0]["datasets"][0].clone()
}

fn interrupt(child: &Child, with: &str) {
    assert!(Command::new("kill").args([with, &child.id().to_string()]).status().unwrap().success());
}

/// Runs at a terminal and types this there; returns the exit code and the text of the terminal.
fn at_a_terminal(bench: &Bench, args: &[&str], typed: &str) -> (i32, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    let mut command = bench.command(args);
    command.stdin(theirs.try_clone().unwrap()).stderr(theirs).stdout(Stdio::null());
    let mut child = Running::start(&mut command);
    drop(command);
    let mut ours = File::from(ours);
    writeln!(ours, "{typed}").unwrap();
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    // Reading ends with an error once the other side is closed.
    while let Ok(read @ 1..) = ours.read(&mut part) {
        shown.extend_from_slice(&part[..read]);
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn a_discard_is_confirmed_or_nothing_is_changed() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let before = dataset(&bench);
    let refused = bench.expect(2, &["abort", "plan.toml", "--discard"]);
    assert!(refused.err.contains("\n  files at file://there/data: 3 objects, 14 B\n"), "{}", refused.err);
    assert!(refused.err.contains("\nhelp: make sure that no one needs these objects"), "{}", refused.err);
    assert!(refused.err.ends_with("\nnext: migrate abort plan.toml --discard --yes\n"), "{}", refused.err);
    let document = bench.json(2, &["abort", "plan.toml", "--discard", "--json"]);
    let would = json!([{"dataset": "files", "target": "file://there/data", "objects": 3, "bytes": 14}]);
    assert_eq!(document["error"]["would_delete"], would, "{document}");

    for typed in ["", "yes", "benc"] {
        let (code, shown) = at_a_terminal(&bench, &["abort", "plan.toml", "--discard"], typed);
        assert_eq!(code, 2, "{shown}");
        assert!(shown.contains("3 objects, 14 B") && shown.contains("nothing was changed"), "{shown}");
    }
    assert_eq!((files(&bench), dataset(&bench)), (3, before), "nothing was changed");
    let (code, shown) = at_a_terminal(&bench, &["abort", "plan.toml", "--discard"], "bench");
    assert_eq!((code, files(&bench)), (0, 0), "{shown}");

    // Without objects to delete there is nothing to ask.
    bench.expect(0, &["abort", "plan.toml", "--discard"]);
    bench.expect(0, &["run", "plan.toml"]);
    bench.expect(0, &["abort", "plan.toml", "--discard", "--yes"]);
    assert_eq!(files(&bench), 0);
}

#[test]
fn an_abort_that_another_process_carries_out_is_confirmed_too() {
    let bench = many("");
    let slow = Slow::begin(&bench, &[]);
    let refused = bench.expect(2, &["abort", "plan.toml", "--discard"]);
    assert!(refused.err.contains(" so far; a process writes more until it is stopped"), "{}", refused.err);
    assert!(dataset(&bench)["state"] == "copying" && files(&bench) > 0, "it was not asked");
    let asked = bench.expect(0, &["abort", "plan.toml", "--discard", "--yes"]);
    assert!(asked.err.contains("asking `migrate run plan.toml --json`"), "{}", asked.err);
    assert_eq!(slow.end(), 1);
    assert_eq!((files(&bench), &dataset(&bench)["state"]), (0, &"aborted".into()));
}

#[test]
fn after_an_abort_nothing_is_claimed_any_more() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    assert!(bench.expect(0, &["status", "plan.toml"]).out.contains("equal by "));
    bench.expect(0, &["abort", "plan.toml", "--discard", "--yes"]);
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains("files: aborted") && !status.out.contains("equal"), "{}", status.out);
    let standing = dataset(&bench);
    assert_eq!((&standing["verification"], &standing["records_done"]), (&Value::Null, &0.into()), "{standing}");
}

/// From the first deletion on `status` claims no proof, wherever the abort is cut off.
#[test]
fn an_abort_that_is_killed_half_way_claims_nothing_and_goes_on() {
    let bench = many("");
    bench.plan("", "");
    bench.expect(0, &["run", "plan.toml"]);
    bench.expect(0, &["limits", "plan.toml", "there", "requests_per_second=20"]);
    let mut abort = bench.command(&["abort", "plan.toml", "--discard", "--yes"]);
    let mut abort = Running::start(abort.stdout(Stdio::null()).stderr(Stdio::null()));
    while files(&bench) == 300 && abort.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    interrupt(&abort, "-KILL");
    abort.wait().unwrap();
    assert!((1..300).contains(&files(&bench)), "it was cut half way");
    let standing = dataset(&bench);
    assert_eq!((&standing["state"], &standing["verification"]), (&"aborted".into(), &Value::Null), "{standing}");
    bench.expect(0, &["limits", "plan.toml", "there", "requests_per_second=none"]);
    bench.expect(0, &["abort", "plan.toml", "--discard", "--yes"]);
    assert_eq!(files(&bench), 0);
}

/// An approved run that waits until its source has been at rest.
fn approved() -> (Bench, Running) {
    let bench = Bench::new(THREE);
    bench.plan("", &CUTOVER.replace("quiet = \"0s\"", "quiet = \"1h\""));
    let mut run = bench.command(&["run", "plan.toml", "--approve", "first", "--json"]);
    run.env_remove("USER").env_remove("LOGNAME").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = Running::start(&mut run);
    let waits = BufReader::new(run.stdout.as_mut().unwrap()).lines().any(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["event"] == "waiting"
    });
    assert!(waits, "the run ended before it waited");
    (bench, run)
}

/// Its exit code, once its output has ended.
fn end(mut run: Running) -> i32 {
    let mut rest = String::new();
    run.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    run.wait().unwrap().code().unwrap()
}

#[test]
fn an_approval_that_outlives_a_run_is_shown_and_can_be_withdrawn() {
    let (bench, run) = approved();
    interrupt(&run, "-INT");
    assert_eq!(end(run), 3);
    let by = dataset(&bench)["approved"]["by"].as_str().unwrap().to_owned();
    let id = |flag: &str| String::from_utf8(Command::new("id").arg(flag).output().unwrap().stdout).unwrap();
    let known = Command::new("id").arg("-un").output().unwrap().status.success();
    let user = if known { id("-un").trim().to_owned() } else { format!("uid {}", id("-u").trim()) };
    assert!(by.starts_with(&format!("{user}@")), "{by} is not {user}");
    let status = bench.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains(&format!("; approved by {by} at ")), "{}", status.out);
    assert_eq!(status.next_commands(), ["migrate run plan.toml"], "it needs no second word");

    let withdrawn = bench.expect(0, &["cutover", "plan.toml", "--phase", "first", "--withdraw"]);
    assert!(withdrawn.out.contains(&format!("the approval of phase first that {by} gave at ")), "{}", withdrawn.out);
    assert_eq!(dataset(&bench)["approved"], Value::Null);
    let again = bench.json(0, &["cutover", "plan.toml", "--phase", "first", "--withdraw", "--json"]);
    assert!(again["detail"].as_str().unwrap().contains("nothing to withdraw"), "{again}");
    // The next run asks again.
    bench.plan("", CUTOVER);
    let waits = bench.expect(0, &["run", "plan.toml"]);
    assert_eq!(waits.next_commands(), ["migrate run plan.toml --approve first"]);
    assert!(!bench.path("target/routes/files.json").exists());

    bench.expect(0, &["run", "plan.toml", "--approve", "first"]);
    let late = bench.expect(1, &["cutover", "plan.toml", "--phase", "first", "--withdraw"]);
    assert!(late.out.contains("it is too late: there leads dataset files since epoch 1"), "{}", late.out);
    bench.expect(2, &["cutover", "plan.toml", "--phase", "first", "--withdraw", "--dry-run"]);
}

#[test]
fn an_approval_that_is_withdrawn_stops_the_run_that_acts_on_it() {
    let (bench, run) = approved();
    let withdrawn = bench.expect(0, &["cutover", "plan.toml", "--phase", "first", "--withdraw"]);
    assert!(withdrawn.err.contains("asking `migrate run plan.toml --approve first --json`"), "{}", withdrawn.err);
    assert_eq!(end(run), 3, "it does not wait for an hour");
    assert!(!bench.path("target/routes/files.json").exists(), "no lead has moved");
    let standing = dataset(&bench);
    assert_eq!((&standing["approved"], &standing["lead"]), (&Value::Null, &"here".into()), "{standing}");
}

/// A withdrawal holds for earlier approvals and for those of the run's own `--approve`.
#[test]
fn a_withdrawal_holds_for_the_whole_run() {
    let bench = many("");
    bench.plan_with("", "limits = { requests_per_second = 40 }", CUTOVER);
    let mut run = Slow::begin(&bench, &["--approve", "first"]);
    let withdrawn = bench.expect(0, &["cutover", "plan.toml", "--phase", "first", "--withdraw"]);
    assert!(withdrawn.out.contains("the running process does not approve it any more"), "{}", withdrawn.out);
    bench.expect(0, &["limits", "plan.toml", "here", "requests_per_second=none"]);
    let last = run.until(|event| event["event"] == "run_ended");
    assert_eq!(last["next"], "migrate run plan.toml --approve first", "it is asked for: {last}");
    assert_eq!(run.end(), 0);
    assert_eq!(dataset(&bench)["state"], "verified");
    assert!(!bench.path("target/routes/files.json").exists(), "no lead has moved");
}

/// A process that drives the migration gives up exactly what was confirmed, or nothing.
#[test]
fn a_discard_beside_a_run_gives_up_what_was_confirmed() {
    let bench = many("");
    bench.plan_with("", "limits = { requests_per_second = 40 }", "");
    let run = Slow::begin(&bench, &[]);
    // In the plan of the confirmation the dataset means something else.
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write("plan.toml", &plan.replace("file://there/data", "file://there/elsewhere"));
    let unasked = bench.expect(2, &["abort", "plan.toml", "--discard"]);
    assert!(unasked.err.contains("nothing so far; a process writes more until it is stopped"), "{}", unasked.err);
    let refused = bench.expect(1, &["abort", "plan.toml", "--discard", "--yes"]);
    assert!(refused.out.contains("carries out another plan of dataset files"), "{}", refused.out);
    bench.write("plan.toml", &plan);
    bench.expect(0, &["abort", "plan.toml", "--discard", "--yes"]);
    assert_eq!((run.end(), files(&bench)), (1, 0));
}
