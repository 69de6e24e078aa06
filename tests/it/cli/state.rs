//! The place of the state: beside the plan file, so that one plan is one migration from every directory.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use super::{Bench, Ran, THREE, operators::Slow, operators::many};

/// Runs from another directory, with more variables in the environment.
fn far(bench: &Bench, args: &[&str], env: &[(&str, &str)]) -> Ran {
    fs::create_dir_all(bench.path("elsewhere")).unwrap();
    let mut command = bench.command(args);
    Ran::of(command.current_dir(bench.path("elsewhere")).envs(env.iter().copied()), args)
}

#[test]
fn one_plan_is_one_migration_from_every_directory() {
    let bench = many("");
    let slow = Slow::begin(&bench, &[]);
    let second = far(&bench, &["run", "../plan.toml"], &[]);
    assert_eq!(second.code, 3, "{}", second.err);
    assert!(second.err.contains("another process drives this migration: `migrate run plan.toml"), "{}", second.err);
    assert!(second.err.ends_with("next: migrate status ../plan.toml --watch\n"), "{}", second.err);
    let asked = far(&bench, &["limits", "../plan.toml", "here", "requests_per_second=none"], &[]);
    assert_eq!(asked.code, 0, "{}", asked.err);
    assert_eq!(slow.end(), 0);
    let status: Value = serde_json::from_str(&far(&bench, &["status", "../plan.toml", "--json"], &[]).out).unwrap();
    assert_eq!(status["phases"][0]["datasets"][0]["records_done"], 300);
    assert!(!bench.path("elsewhere/.migrate").exists(), "nothing is made where it was run from");

    symlink("../plan.toml", bench.path("elsewhere/link.toml")).unwrap();
    let refused = far(&bench, &["status", "link.toml", "--json"], &[]);
    assert!(refused.out.contains("\"epoch\""), "the link leads to the same state: {}{}", refused.out, refused.err);
    assert!(!bench.path("elsewhere/.migrate").exists());
}

#[test]
fn a_flag_beats_the_environment_and_both_beat_the_default() {
    let bench = Bench::new(THREE);
    let ran = far(&bench, &["run", "../plan.toml"], &[("MIGRATE_STATE", "by env")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(bench.path("elsewhere/by env/bench/ledger.sqlite").exists() && !bench.path(".migrate").exists());
    assert_eq!(ran.next_commands(), ["migrate verify ../plan.toml --state 'by env'"], "it can be typed anywhere");
    let ran = far(&bench, &["run", "../plan.toml", "--state", "by flag"], &[("MIGRATE_STATE", "by env 2")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(bench.path("elsewhere/by flag/bench").exists() && !bench.path("elsewhere/by env 2").exists());
    let ran = far(&bench, &["run", "../plan.toml"], &[("MIGRATE_STATE", "")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(bench.path(".migrate/bench/ledger.sqlite").exists(), "an empty name is none");
}

#[test]
fn a_plan_from_a_stream_needs_a_place_for_its_state() {
    let bench = Bench::new(THREE);
    let piped = |more: &[&str]| {
        let mut command = bench.command(&[&["run", "/dev/stdin"], more].concat());
        let plan = fs::File::open(bench.path("plan.toml")).unwrap();
        let mut cat =
            std::process::Command::new("cat").stdin(plan).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = piped(&[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("/dev/stdin") && said.contains("help: name a directory with --state DIR"), "{said}");
    assert!(!bench.path(".migrate").exists() && !bench.path("target/data").exists());
}

#[test]
fn a_state_at_the_old_place_is_named_and_not_used() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml", "--state", "elsewhere/.migrate"]);
    let noted = far(&bench, &["status", "../plan.toml"], &[]);
    let note = "note: .migrate/bench is the state of a plan of this name, and is not used";
    assert!(noted.err.contains(note) && noted.err.contains("../.migrate/bench is not there"), "{}", noted.err);
    assert!(noted.out.contains("files: pending"), "{}", noted.out);
    fs::rename(bench.path("elsewhere/.migrate"), bench.path(".migrate")).unwrap();
    let moved = far(&bench, &["status", "../plan.toml"], &[]);
    assert!(moved.out.contains("files: verified") && !moved.err.contains("note:"), "{}{}", moved.out, moved.err);
}

#[test]
fn two_plans_of_one_name_are_told_apart_by_what_they_mean() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let text = fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write("other.toml", &text.replace("file://there/data", "file://there/other"));
    let refused = bench.expect(1, &["run", "other.toml"]);
    assert!(refused.err.contains("means something else than when it began: targets was"), "{}", refused.err);
    assert!(refused.err.contains("another plan of the same name"), "{}", refused.err);
    assert!(!bench.path("target/other").exists(), "nothing was done");
}

/// An unwritable place is named with the cause, the mend and the next command. A privileged user may write
/// everywhere, so here a file is in the way.
#[test]
fn a_state_that_cannot_be_made_says_what_why_and_how() {
    let bench = Bench::new(THREE);
    bench.write(".migrate", "a file where the state would be");
    for (args, next) in [
        (&["run", "plan.toml"][..], "migrate run plan.toml"),
        (&["verify", "plan.toml", "--repair"], "migrate verify plan.toml --repair"),
        (&["rehearse", "plan.toml"], "migrate rehearse plan.toml"),
        (&["limits", "plan.toml", "here", "bandwidth=1MB/s"], "migrate limits plan.toml here bandwidth=1MB/s"),
    ] {
        let refused = bench.expect(3, args);
        assert!(refused.err.contains("failed to prepare the state directory .migrate/"), "{}", refused.err);
        assert!(
            refused.err.contains(
                "\nhelp: make the state directory yours and writable, or name another place with --state DIR"
            )
        );
        assert!(refused.err.ends_with(&format!("\nnext: {next}\n")), "{}", refused.err);
    }
    bench.expect(0, &["run", "plan.toml", "--state", "other"]);
}
