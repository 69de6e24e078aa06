//! What is next: each end names a command that leads forward, a mend that comes first, or that nothing is
//! left to do.

use std::fs;

use serde_json::Value;

use super::{Bench, CUTOVER, THREE};

/// The longest chain allowed. Each verification changes the ledger a little, so comparing it may miss a circle.
const STEPS_MAX: usize = 8;

/// The end of a chain of commands, each the `next` of the one before.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// Nothing is left to do.
    ToItsEnd,
    /// A mend that only a person can make.
    ToAMend(String),
}

/// Follows `next` until a mend or the end. No command may come twice while the ledger tells the same.
#[track_caller]
fn follow(bench: &Bench, first: &str) -> (Vec<String>, Came) {
    let (mut typed, mut seen, mut stood) = (first.to_owned(), Vec::new(), Vec::new());
    loop {
        let words: Vec<_> = typed.split(' ').skip(1).collect();
        let ran = bench.run(&words);
        let said = format!("{}{}", ran.out, ran.err);
        seen.push(typed.clone());
        let last = |label: &str| said.lines().rev().find_map(|line| line.strip_prefix(label)).map(str::to_owned);
        let next = last("next: ").unwrap_or_else(|| panic!("{typed} ends without a next command: {said}"));
        if next.starts_with("nothing is left to do") {
            return (seen, Came::ToItsEnd);
        }
        let standing = bench.json(0, &["status", "plan.toml", "--json"])["phases"].clone();
        let here = (next.clone(), standing);
        assert!(!stood.contains(&here) && seen.len() < STEPS_MAX, "in a circle: {seen:?}, then {next}");
        stood.push(here);
        if let Some(mend) = last("help: ") {
            return (seen, Came::ToAMend(mend));
        }
        typed = next;
    }
}

#[track_caller]
fn ends(bench: &Bench, first: &str, chain: &[&str]) {
    let (seen, came) = follow(bench, first);
    assert_eq!((seen.iter().map(String::as_str).collect::<Vec<_>>(), came), (chain.to_vec(), Came::ToItsEnd));
}

/// The chain ends with this mend.
#[track_caller]
fn needs(bench: &Bench, first: &str, chain: &[&str], mend: &str) {
    let (seen, came) = follow(bench, first);
    assert_eq!(seen, chain);
    assert!(matches!(&came, Came::ToAMend(named) if named.contains(mend)), "{came:?}");
}

fn status(bench: &Bench) -> Value {
    bench.json(0, &["status", "plan.toml", "--json"])
}

#[test]
fn from_the_first_look_to_the_last_proof() {
    let bench = Bench::new(THREE);
    let all = ["migrate plan plan.toml", "migrate run plan.toml", "migrate verify plan.toml"];
    ends(&bench, all[0], &all);
    // All is done: the chain does not look in circles.
    for command in ["status", "verify"] {
        let typed = format!("migrate {command} plan.toml");
        ends(&bench, &typed, &[&typed]);
    }
    assert_eq!((&status(&bench)["next"], &status(&bench)["mend"]), (&Value::Null, &Value::Null));
    assert_eq!(bench.json(0, &["verify", "plan.toml", "--json"])["next"], Value::Null);
}

#[test]
fn through_an_approval_to_the_end() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    let approved = "migrate run plan.toml --approve first";
    ends(&bench, "migrate status plan.toml", &["migrate status plan.toml", "migrate run plan.toml", approved]);
    ends(&bench, "migrate run plan.toml", &["migrate run plan.toml"]);
    ends(&bench, "migrate status plan.toml", &["migrate status plan.toml"]);
    // The old lead is behind, and a run brings it along, unless the plan says that it stays as it was.
    bench.write("target/data/new.txt", "written at the new lead");
    ends(&bench, "migrate verify plan.toml", &["migrate verify plan.toml", "migrate run plan.toml"]);
    assert_eq!(fs::read_to_string(bench.path("source/data/new.txt")).unwrap(), "written at the new lead");
}

#[test]
fn from_a_copy_and_from_a_later_phase() {
    let bench = Bench::new(THREE);
    let rest = ["migrate run plan.toml", "migrate verify plan.toml"];
    let copied = "migrate run plan.toml --until copied";
    ends(&bench, copied, &[&[copied], &rest[..]].concat());

    let bench = Bench::new(THREE);
    let mut plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    plan.push_str(
        "[[phase]]\nname = \"second\"\nafter = [\"first\"]\n[[phase.dataset]]\nname = \"more\"\n\
         source = \"file://here/data\"\ntargets = [\"file://there/more\"]\nwaive = [\"properties\"]\n",
    );
    bench.write("plan.toml", &plan);
    let second = "migrate run plan.toml --phase second";
    ends(&bench, second, &[&[second], &rest[..]].concat());
}

#[test]
fn a_run_that_would_delete_too_much_asks_for_a_decision_everywhere() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"10%\"");
    bench.expect(0, &["run", "plan.toml"]);
    fs::rename(bench.path("source/data/a.txt"), bench.path("a.txt")).unwrap();
    let run = "migrate run plan.toml";
    needs(&bench, run, &[run], "add --force");
    let typed = "migrate status plan.toml";
    needs(&bench, typed, &[typed], "bring back what must not be gone");
    let waits = status(&bench)["phases"][0]["datasets"][0]["waits_for"].clone();
    let known = "a decision: 1 of 3 records would be deleted at file://there/data, more than delete_share allows (10%)";
    assert_eq!(waits, known);
    // After the mend the chain goes on to the end.
    fs::rename(bench.path("a.txt"), bench.path("source/data/a.txt")).unwrap();
    ends(&bench, run, &[run, "migrate verify plan.toml"]);
}

#[test]
fn records_that_cannot_be_read_are_mended_first() {
    let bench = Bench::new(THREE);
    std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
    for typed in ["migrate run plan.toml", "migrate status plan.toml", "migrate verify plan.toml"] {
        needs(&bench, typed, &[typed], "correct the cause that each failed record is listed with");
    }
    let document = bench.json(3, &["verify", "plan.toml", "--json"]);
    assert!(document["mend"].is_string(), "{document}");
    let plan = "migrate plan plan.toml";
    needs(&bench, plan, &[plan], "change what is named above");
    fs::remove_file(bench.path("source/data/link")).unwrap();
    ends(&bench, "migrate run plan.toml", &["migrate run plan.toml", "migrate verify plan.toml"]);
}

#[test]
fn what_differs_is_repaired_and_then_nothing_is_left() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    bench.write("target/data/d.txt", "other");
    let verify = ["migrate verify plan.toml", "migrate verify plan.toml --repair"];
    ends(&bench, verify[0], &verify);
    // If a proof is less than the plan asks for, a run does the rest.
    bench.write("target/data/d.txt", "other");
    bench.expect(0, &["verify", "plan.toml", "--level", "listing", "--repair"]);
    ends(&bench, verify[0], &verify[..1]);
}

/// A foreign writer wrote over a copy, and the source then deleted the record: nothing deletes the object.
#[test]
fn a_stray_that_was_a_copy_once_is_for_a_person() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"100%\"");
    bench.expect(0, &["run", "plan.toml"]);
    bench.write("target/data/d.txt", "written by somebody else");
    fs::remove_file(bench.path("source/data/d.txt")).unwrap();
    for more in
        ["run plan.toml", "status plan.toml", "verify plan.toml", "verify plan.toml --repair", "status plan.toml"]
    {
        let typed = format!("migrate {more}");
        needs(&bench, &typed, &[&typed], "move it away, or put it back");
    }
    assert!(bench.expect(0, &["status", "plan.toml"]).out.contains("    2 of 2 records, 9 B of 9 B\n"));
    assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "written by somebody else");
    fs::remove_file(bench.path("target/data/d.txt")).unwrap();
    ends(&bench, "migrate run plan.toml", &["migrate run plan.toml", "migrate verify plan.toml"]);
}

#[test]
fn a_changed_meaning_is_put_back_first() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    bench.plan("", "exclude = [\"*.txt\"]");
    for command in ["run", "status", "verify"] {
        let typed = format!("migrate {command} plan.toml");
        needs(&bench, &typed, &[&typed], "put back what the plan said");
    }
    bench.plan("", "");
    ends(&bench, "migrate run plan.toml", &["migrate run plan.toml", "migrate verify plan.toml"]);
}

#[test]
fn what_was_given_up_is_not_brought_back() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let abort = "migrate abort plan.toml";
    ends(&bench, abort, &[abort, "migrate status plan.toml"]);
    assert_eq!(status(&bench)["next"], Value::Null);
    // Also if a look finds that it is gone.
    let abort = "migrate abort plan.toml --discard --yes";
    ends(&bench, abort, &[abort, "migrate status plan.toml"]);
    for verify in ["migrate verify plan.toml", "migrate verify plan.toml --repair"] {
        ends(&bench, verify, &[verify]);
    }
    let named = ["verify", "plan.toml", "--repair", "--dataset", "files"];
    assert!(bench.expect(1, &named).err.contains("files was given up"));
    ends(&bench, &format!("migrate {}", named.join(" ")), &[&format!("migrate {}", named.join(" "))]);
    assert_eq!(fs::read_dir(bench.path("target/data")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_failure_names_the_command_that_goes_on() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    fs::write(bench.ledger(), "this is not a ledger at all, ".repeat(200)).unwrap();
    for typed in ["migrate verify plan.toml --level bytes", "migrate status plan.toml", "migrate run plan.toml"] {
        let ran = bench.expect(3, &typed.split(' ').skip(1).collect::<Vec<_>>());
        assert!(ran.err.contains("\nhelp: restore the file"), "{}", ran.err);
        assert!(ran.err.ends_with(&format!("\nnext: {typed}\n")), "{}", ran.err);
    }
    let document = bench.json(3, &["status", "plan.toml", "--json"]);
    assert_eq!(document["error"]["next"], "migrate status plan.toml --json");
    let last = bench.expect(3, &["run", "plan.toml", "--json"]).events().pop().unwrap();
    assert_eq!(last["next"], "migrate run plan.toml --json", "{last}");
    assert!(last["mend"].as_str().unwrap().contains("restore the file"), "{last}");
}
