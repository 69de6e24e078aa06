//! What the answers say in all: the summary of a plan, the list of its keys, the totals of a run, one record, the runs.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

use super::{Bench, CUTOVER, THREE};
use crate::running::Running;

fn history(bench: &Bench) -> Vec<Value> {
    bench.json(0, &["history", "plan.toml", "--json"])["runs"].as_array().unwrap().clone()
}

#[test]
fn a_plan_ends_with_what_a_run_would_do_in_all_and_says_if_that_is_nothing() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"100%\"");
    let before = bench.expect(0, &["plan", "plan.toml"]).out;
    assert!(before.contains("\nPlan: 3 to create, 0 to replace, 0 to delete; 14 B; about "), "{before}");
    bench.expect(0, &["run", "plan.toml"]);
    let after = bench.expect(0, &["plan", "plan.toml"]).out;
    assert!(after.contains("\nPlan: nothing to do: "), "{after}");
    assert!(after.ends_with("next: nothing is left to do\n"), "{after}");
    bench.write("source/data/a.txt", "another");
    fs::remove_file(bench.path("source/data/d.txt")).unwrap();
    let changed = bench.json(0, &["plan", "plan.toml", "--json"]);
    let total = &changed["total"];
    assert_eq!((&total["create"], &total["replace"], &total["delete"]), (&0.into(), &1.into(), &1.into()), "{total}");
    assert_eq!((&changed["nothing_to_do"], &total["bytes"]), (&false.into(), &7.into()), "{changed}");
}

#[test]
fn a_plan_is_not_done_before_it_is_proved_and_its_lead_has_moved() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml", "--until", "copied"]);
    let said = bench.expect(0, &["plan", "plan.toml"]).out;
    assert!(said.contains("\nPlan: 0 to create, 0 to replace, 0 to delete; 0 B; about "), "{said}");
    assert!(said.contains("; then 1 lead to move, once approved"), "{said}");
    bench.expect(0, &["run", "plan.toml", "--approve", "first"]);
    // What the old lead holds is compared by each run, since its properties are waived.
    let moved = bench.expect(0, &["plan", "plan.toml"]).out;
    assert!(moved.contains("3 to compare first; at most 0 B; about "), "{moved}");
}

#[test]
fn a_list_names_every_key_for_programs_and_the_first_for_people() {
    let files: Vec<_> = (0..150).map(|n| (format!("{n:03}.txt"), "body".to_owned())).collect();
    let files: Vec<_> = files.iter().map(|(key, body)| (key.as_str(), body.as_str())).collect();
    let bench = Bench::new(&files);
    bench.expect(0, &["run", "plan.toml"]);
    bench.write("source/data/000.txt", "other");
    fs::remove_file(bench.path("source/data/149.txt")).unwrap();
    for n in 200..500 {
        bench.write(&format!("source/data/{n}.txt"), "new");
    }
    let events = bench.expect(0, &["plan", "plan.toml", "--list", "--json"]).events();
    let (last, listed) = events.split_last().unwrap();
    assert_eq!((&last["event"], &last["total"]["create"]), (&"plan_ended".into(), &300.into()), "{last}");
    let of = |does: &str| {
        listed.iter().filter(|one| one["does"] == does).filter_map(|one| one["key"].as_str()).collect::<Vec<_>>()
    };
    assert_eq!((of("create").len(), of("replace"), of("delete")), (300, vec!["000.txt"], vec!["149.txt"]));
    assert_eq!(listed.len(), 302);

    let said = bench.expect(0, &["plan", "plan.toml", "--list"]).out;
    assert!(said.contains("\n    file://there/data: 302 changes\n      replace  000.txt  5 B\n"), "{said}");
    assert!(said.contains("\n      ... and 202 more; --list --json names all\n"), "{said}");
    assert!(!said.contains("499.txt"), "{said}");
}

#[test]
fn a_list_hides_keys_where_the_plan_asks() {
    let bench = Bench::new(&[("ann.json", "1")]);
    bench.plan("redact_keys = true", "");
    for more in [&[][..], &["--json"]] {
        let said = bench.expect(0, &[&["plan", "plan.toml", "--list"], more].concat()).out;
        assert!(!said.contains("ann") && said.contains("key:"), "{said}");
    }
    bench.expect(0, &["run", "plan.toml"]);
    // The shown name of a hidden key finds it, and so does the key.
    let listed = bench.expect(0, &["show", "plan.toml", "ann.json"]).out;
    let hidden = listed.lines().next().unwrap();
    assert!(hidden.starts_with("key:") && !listed.contains("ann"), "{listed}");
    assert_eq!(bench.expect(0, &["show", "plan.toml", hidden]).out, listed);
}

#[test]
fn a_run_ends_with_its_totals_and_the_history_keeps_them() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"100%\"");
    assert_eq!(history(&bench), Vec::<Value>::new());
    let ran = bench.expect(0, &["run", "plan.toml"]).out;
    assert!(ran.contains("\ntotal: 3 records written (14 B), 3 compared, in "), "{ran}");
    fs::remove_file(bench.path("source/data/a.txt")).unwrap();
    let again = bench.expect(0, &["run", "plan.toml", "--json"]).events();
    let work = serde_json::json!({ "copied": 0, "copied_bytes": 0, "deleted": 1, "compared": 2 });
    assert_eq!(again.last().unwrap()["work"], work);
    bench.write("target/data/d.txt", "other");
    bench.expect(0, &["verify", "plan.toml", "--repair"]);
    bench.expect(0, &["abort", "plan.toml"]);

    let runs = history(&bench);
    let told: Vec<_> =
        runs.iter().map(|run| (run["command"].as_str().unwrap(), &run["ended"], &run["copied"])).collect();
    let (complete, given_up) = (Value::from("complete"), Value::from("given_up"));
    let known = [
        ("migrate abort plan.toml", &given_up, 0),
        ("migrate verify plan.toml --repair", &complete, 1),
        ("migrate run plan.toml --json", &complete, 0),
        ("migrate run plan.toml", &complete, 3),
    ];
    let copied = known.map(|(.., copied)| Value::from(copied));
    let known: Vec<_> =
        known.iter().zip(&copied).map(|((command, ended, _), copied)| (*command, *ended, copied)).collect();
    assert_eq!(told, known);
    assert_eq!(runs[2]["id"], again[0]["run"], "events and history name the run alike");
    assert!(runs[0]["by"].as_str().unwrap().contains('@'), "{}", runs[0]);
    let said = bench.expect(0, &["history", "plan.toml"]).out;
    assert!(said.starts_with("plan bench: 4 runs\n\nrun 4: given up after "), "{said}");
    let status = bench.json(0, &["status", "plan.toml", "--json"]);
    assert_eq!((&status["run"], &status["last_run"]["number"]), (&Value::Null, &4.into()), "{status}");
}

#[test]
fn a_run_that_is_killed_is_unended_and_one_that_goes_on_has_a_rate() {
    let files: Vec<_> = (0..300).map(|n| (format!("{n:03}"), "x".repeat(1000))).collect();
    let files: Vec<_> = files.iter().map(|(key, body)| (key.as_str(), body.as_str())).collect();
    let bench = Bench::new(&files);
    bench.plan_with("", "limits = { requests_per_second = 40 }", "");
    let mut command = bench.command(&["run", "plan.toml", "--json"]);
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // A run says every two seconds what it has done: by then the ledger knows more than nothing.
    let mut status = Value::Null;
    for _line in lines {
        status = bench.json(0, &["status", "plan.toml", "--json"]);
        if status["run"]["copied"].as_u64() > Some(0) {
            break;
        }
    }
    let run = &status["run"];
    assert_eq!((&run["under_way"], &run["ended"]), (&true.into(), &Value::Null), "{status}");
    assert!(run["bytes_per_second"].as_u64() > Some(0), "{run}");
    assert_eq!(status["holder"]["run"], run["id"]);
    drop(child);
    let killed = &history(&bench)[0];
    assert_eq!(
        (&killed["under_way"], &killed["ended"], &killed["ended_at"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    let said = bench.expect(0, &["status", "plan.toml"]).out;
    assert!(said.contains("\nlast run 1: UNENDED, last seen after "), "{said}");
}

#[test]
fn one_record_is_shown_with_all_that_is_known_of_it() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let shown = bench.json(0, &["show", "plan.toml", "b/c.txt", "--json"]);
    let dataset = &shown["datasets"][0];
    assert_eq!((&dataset["name"], &dataset["state"]), (&"files".into(), &"verified".into()), "{shown}");
    // The digests of "beta".
    assert_eq!(dataset["content"]["sha256"], "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753");
    assert_eq!(dataset["proved"]["level"], "checksum");
    let [lead, target] = [&dataset["places"][0], &dataset["places"][1]];
    assert_eq!((&lead["location"], &lead["leads"]), (&"file://here/data".into(), &true.into()));
    assert_eq!((&target["state"], &target["written"]), (&"holds".into(), &true.into()), "{target}");
    assert!(target["copied_at"].is_string() && lead["copied_at"].is_null(), "{shown}");

    // A record that failed says why, and repeats neither its key nor its place.
    std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
    bench.expect(3, &["run", "plan.toml"]);
    let said = bench.expect(0, &["show", "plan.toml", "link"]).out;
    let failed = said.lines().find(|line| line.contains("FAILED at ")).unwrap_or_else(|| panic!("{said}"));
    assert!(!failed.contains("link ") && !failed.contains("file://there"), "{failed}");
    let nothing = bench.expect(1, &["show", "plan.toml", "c.txt"]).out;
    assert!(nothing.starts_with("c.txt: nothing is known of it\nhelp: "), "{nothing}");
    bench.expect(2, &["show", "plan.toml", "a.txt", "--dataset", "other"]);
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let bench = Bench::new(THREE);
    let ended = |out: Stdio, args: &[&str]| bench.command(args).stdout(out).output().unwrap();
    for args in [&["run", "plan.toml"][..], &["verify", "plan.toml", "--json"], &["status", "plan.toml"], &["schema"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let lost = ended(full.into(), args);
        let said = String::from_utf8(lost.stderr).unwrap();
        assert_eq!(lost.status.code(), Some(3), "{args:?}: {said}");
        assert!(said.contains("the answer could not be written to its end: No space left"), "{args:?}: {said}");
        assert_eq!(ended(Stdio::null(), args).status.code(), Some(0), "{args:?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(ended(full.into(), &["--help"]).status.code(), Some(3));
}

/// To repair what was never copied would copy it past the order of the phases.
#[test]
fn what_was_never_copied_is_copied_by_a_run() {
    let bench = Bench::new(THREE);
    assert!(bench.expect(1, &["verify", "plan.toml"]).out.ends_with("next: migrate run plan.toml\n"));
    bench.expect(0, &["run", "plan.toml"]);
    fs::remove_file(bench.path("target/data/a.txt")).unwrap();
    assert!(bench.expect(1, &["verify", "plan.toml"]).out.ends_with("next: migrate verify plan.toml --repair\n"));
}
