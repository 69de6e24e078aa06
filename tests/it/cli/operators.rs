//! Operators' commands during a migration: limits, aborts, cutovers, also to a process that drives it.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    process::{ChildStdout, Stdio},
};

use serde_json::Value;

use super::{Bench, CUTOVER, Running, THREE};

/// A slow run, and its events.
pub(super) struct Slow {
    child: Running,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Slow {
    /// Begins a run of three hundred files with a request limit that makes it take minutes, and waits until it
    /// copies.
    pub(super) fn begin(bench: &Bench, more: &[&str]) -> Self {
        let args = [&["run", "plan.toml", "--json"], more].concat();
        let mut child = Running::start(bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut slow = Self { child, lines };
        slow.until(|event| event["event"] == "progress" && event["targets"][0]["copied"].as_u64() > Some(0));
        slow
    }

    pub(super) fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        for line in &mut self.lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if holds(&event) {
                return event;
            }
        }
        panic!("the run ended before that");
    }

    /// Its exit code.
    pub(super) fn end(mut self) -> i32 {
        for line in &mut self.lines {
            line.unwrap();
        }
        self.child.wait().unwrap().code().unwrap()
    }
}

pub(super) fn many(dataset: &str) -> Bench {
    let files: Vec<_> = (0..300).map(|n| (format!("{n:03}"), format!("body {n}"))).collect();
    let files: Vec<_> = files.iter().map(|(key, body)| (key.as_str(), body.as_str())).collect();
    let bench = Bench::new(&files);
    bench.plan_with("", "limits = { requests_per_second = 20 }", dataset);
    bench
}

#[test]
fn limits_hold_in_place_of_the_plans_until_they_are_taken_back() {
    let bench = Bench::new(THREE);
    assert!(bench.expect(0, &["limits", "plan.toml"]).out.contains("the limits of the plan hold"));
    assert!(!bench.path(".migrate").exists(), "a look makes nothing");
    let set = bench.expect(0, &["limits", "plan.toml", "here", "bandwidth=50MB/s", "requests_per_second=200"]);
    assert!(set.out.contains("site here: bandwidth = 50MB/s\nsite here: requests_per_second = 200\n"), "{}", set.out);
    let held = bench.json(0, &["limits", "plan.toml", "--json"]);
    assert_eq!(held["limits"][0], serde_json::json!({"site": "here", "key": "bandwidth", "value": "50MB/s"}));
    bench.expect(0, &["limits", "plan.toml", "here", "bandwidth=plan"]);
    bench.expect(0, &["limits", "plan.toml", "files", "requests_per_second=none"]);
    let held = bench.json(0, &["limits", "plan.toml", "--json"]);
    assert_eq!(held["limits"].as_array().unwrap().len(), 2, "{held}");

    for (args, why) in [
        (["here", "bandwidth=fast"], "is not a rate"),
        (["here", "speed=1"], "has no limit"),
        (["files", "window=22:00-07:00 UTC"], "has no limit"),
        (["nobody", "bandwidth=1MB/s"], "no site or dataset"),
        (["here", "bandwidth"], "write KEY=VALUE"),
    ] {
        let wrong = bench.expect(2, &["limits", "plan.toml", args[0], args[1]]);
        assert!(wrong.err.contains(why), "{args:?}: {}", wrong.err);
    }
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_running_process_keeps_new_limits_at_once() {
    let bench = many("");
    let slow = Slow::begin(&bench, &[]);
    // At 20 requests a second the rest would take minutes.
    let asked = bench.expect(0, &["limits", "plan.toml", "here", "requests_per_second=none"]);
    assert!(asked.err.contains("asking `migrate run plan.toml --json`"), "{}", asked.err);
    bench.expect(0, &["limits", "plan.toml", "there", "requests_per_second=none"]);
    assert_eq!(slow.end(), 0);
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
}

/// `status` is another process than the run: it knows what the ledger has.
#[test]
fn requests_at_once_are_told_with_their_reason_by_a_run_and_by_status() {
    let bench = many("");
    let limits = "limits = { requests_per_second = 20, requests_at_once = 5 }";
    bench.plan_with("", limits, "");
    let mut slow = Slow::begin(&bench, &[]);
    let told = slow.until(|event| event["event"] == "progress");
    let here = |now: u64| serde_json::json!({"site": "here", "now": now, "most": now, "why": "limit"});
    let there = serde_json::json!({"site": "there", "now": 32, "most": 32, "why": "fixed"});
    assert_eq!(told["requests_at_once"], serde_json::json!([here(5), there]));
    let run = loop {
        let status = bench.json(0, &["status", "plan.toml", "--json"]);
        assert!(!status["run"].is_null(), "the run has ended: {status}");
        if status["run"]["requests_at_once"].as_array().is_some_and(|sites| !sites.is_empty()) {
            break status["run"].clone();
        }
    };
    assert_eq!(run["requests_at_once"], serde_json::json!([here(5), there]));
    let text = bench.expect(0, &["status", "plan.toml"]).out;
    let line = "\n  here: 5 requests at once, at most 5: the plan, or an operator, allows no more\n";
    assert!(text.contains(line), "{text}");

    bench.expect(0, &["limits", "plan.toml", "here", "requests_at_once=3"]);
    slow.until(|event| event["event"] == "progress" && event["requests_at_once"][0] == here(3));
    let wrong = bench.expect(2, &["limits", "plan.toml", "here", "requests_at_once=0"]);
    assert!(wrong.err.contains("write a whole number from 1 up"), "{}", wrong.err);
    for limit in ["here", "there"] {
        bench.expect(0, &["limits", "plan.toml", limit, "requests_per_second=none"]);
    }
    assert_eq!(slow.end(), 0);
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert!(status["run"].is_null() && status["last_run"]["requests_at_once"].is_null(), "{status}");
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
}

#[test]
fn an_abort_stops_a_running_process_and_the_next_run_begins_anew() {
    let bench = many("");
    let slow = Slow::begin(&bench, &[]);
    let aborted = bench.json(0, &["abort", "plan.toml", "--json"]);
    assert_eq!(aborted["done"], true, "{aborted}");
    assert_eq!(slow.end(), 1, "the same command would bring it back");
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!(status["phases"][0]["datasets"][0]["state"], "aborted");
    assert!(fs::read_dir(bench.path("target/data")).unwrap().count() > 0, "what was copied stays");
    bench.plan("", "");
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_discard_deletes_what_was_written_and_nothing_else() {
    let bench = Bench::new(THREE);
    let nothing = bench.expect(1, &["abort", "plan.toml"]);
    assert!(nothing.err.contains("nothing has begun"), "{}", nothing.err);
    bench.expect(0, &["run", "plan.toml"]);
    bench.write("target/data/a.txt", "somebody else's");
    bench.write("target/data/more.txt", "never ours");
    let discarded = bench.json(0, &["abort", "plan.toml", "--discard", "--yes", "--json"]);
    let end = &discarded["datasets"][0];
    assert_eq!((&end["discarded"], &end["kept"], &end["done"]), (&2.into(), &1.into(), &true.into()), "{discarded}");
    let left: std::collections::BTreeSet<_> =
        fs::read_dir(bench.path("target/data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["a.txt", "more.txt"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "somebody else's");
    assert_eq!(fs::read_to_string(bench.path("source/data/a.txt")).unwrap(), "alpha");
    bench.expect(0, &["abort", "plan.toml", "--discard"]);
    bench.expect(0, &["run", "plan.toml"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha");
}

#[test]
fn a_dry_run_takes_no_step_and_the_cutover_takes_the_same_ones() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    let early = bench.expect(1, &["cutover", "plan.toml", "--phase", "first"]);
    assert!(early.err.contains("phase first is not proved: files is pending"), "{}", early.err);
    let refused = bench.json(1, &["cutover", "plan.toml", "--phase", "first", "--dry-run", "--json"]);
    assert_eq!(refused["datasets"][0]["steps"][0]["refused"], "files is pending, not verified");

    bench.expect(0, &["run", "plan.toml", "--until", "verified"]);
    let dry = bench.json(0, &["cutover", "plan.toml", "--phase", "first", "--dry-run", "--json"]);
    let steps: Vec<_> =
        dry["datasets"][0]["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(fs::read_dir(bench.path("target/routes")).unwrap().count(), 1, "a dry run adds nothing to the claim");
    assert_eq!(bench.json(0, &["status", "plan.toml", "--json"])["phases"][0]["datasets"][0]["approved"], Value::Null);

    let events = bench.expect(0, &["cutover", "plan.toml", "--phase", "first", "--json"]).events();
    let mut taken: Vec<_> =
        events.iter().filter(|event| event["event"] == "cutover_step").map(|event| event["step"].clone()).collect();
    taken.dedup();
    assert_eq!(taken, steps, "the dry run shows the steps that are taken");
    assert_eq!(bench.json(0, &["status", "plan.toml", "--json"])["phases"][0]["state"], "cut_over");

    let behind = bench.expect(1, &["abort", "plan.toml", "--discard"]);
    assert!(behind.out.contains("there leads dataset files since epoch 1"), "{}", behind.out);
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha", "the new lead is untouched");
}

#[test]
fn an_approval_given_while_another_process_runs_is_kept_by_it() {
    let bench = many(CUTOVER);
    let mut slow = Slow::begin(&bench, &[]);
    // It is not proved yet, so nothing may be cut over: an approval does not replace the proof.
    let early = bench.expect(1, &["cutover", "plan.toml", "--phase", "first"]);
    assert!(early.err.contains("is not proved"), "{}", early.err);
    for site in ["here", "there"] {
        bench.expect(0, &["limits", "plan.toml", site, "requests_per_second=none"]);
    }
    slow.until(|event| event["event"] == "run_ended");
    assert_eq!(slow.end(), 0);
    assert_eq!(bench.json(0, &["status", "plan.toml", "--json"])["next"], "migrate run plan.toml --approve first");
}

#[test]
fn a_state_directory_that_is_deleted_under_a_run_ends_it() {
    let bench = many("");
    let mut slow = Slow::begin(&bench, &[]);
    fs::remove_dir_all(bench.path(".migrate")).unwrap();
    // At 20 requests a second the rest would take minutes, and the ledger would not record it.
    let error = slow.until(|event| event["event"] == "error");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("was removed, moved or replaced under this process"), "{message}");
    assert!(error["error"]["mend"].as_str().unwrap().contains("put the state directory back"), "{error}");
    assert_eq!(slow.end(), 3);
    bench.plan("", "");
    bench.expect(0, &["run", "plan.toml"]);
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
}
