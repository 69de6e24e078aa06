//! The directories of a migration: a directory is more than its path, and another one in its place is refused.
//!
//! A disk that is not mounted leaves an empty folder at its path, or none. These tests imitate both by moving
//! the directory away.

use std::fs;

use migrate::{
    ledger::{Approval, Ledger, Record},
    model::{PhaseName, PlanName, Timestamp},
};

use super::{Bench, CUTOVER, THREE, copy_tree};

/// Every command that reads or writes the places of a dataset, with the code of its refusal.
const COMMANDS: &[(i32, &[&str])] = &[
    (1, &["plan", "plan.toml"]),
    (3, &["run", "plan.toml"]),
    (3, &["verify", "plan.toml"]),
    (3, &["verify", "plan.toml", "--repair"]),
    (3, &["verify", "plan.toml", "--level", "bytes"]),
    (3, &["abort", "plan.toml"]),
];

/// Every command refuses, and says what is wrong and how to mend it.
#[track_caller]
fn all_refuse(bench: &Bench, said: &str) {
    for (code, args) in COMMANDS {
        let refused = bench.expect(*code, args);
        let text = format!("{}{}", refused.out, refused.err);
        assert!(text.contains("is not the one that this migration has used so far"), "{args:?}: {text}");
        assert!(text.contains(said) && text.contains("--accept-places"), "{args:?}: {text}");
    }
}

#[test]
fn the_same_plan_in_another_folder_does_not_share_the_state() {
    let (one, two) = (Bench::new(THREE), Bench::new(&[("other.txt", "other")]));
    let state = one.path("state").to_string_lossy().into_owned();
    one.expect(0, &["run", "plan.toml", "--state", &state]);
    copy_tree(&one.path("target"), &two.path("target"));
    for command in ["run", "verify", "plan"] {
        let refused = two.expect(1, &[command, "plan.toml", "--state", &state]);
        let text = format!("{}{}", refused.out, refused.err);
        assert!(text.contains("means something else than when it began: places was"), "{command}: {text}");
        assert!(text.contains(&*two.path("source").to_string_lossy()), "{command}: {text}");
    }
    for (key, body) in THREE {
        assert_eq!(fs::read_to_string(two.path(&format!("target/data/{key}"))).unwrap(), *body, "nothing was deleted");
    }
    assert!(!two.path("target/data/other.txt").exists(), "nothing was written");
}

#[test]
fn one_directory_by_two_names_is_one_place() {
    let bench = Bench::new(THREE);
    let state = bench.path("state").to_string_lossy().into_owned();
    bench.expect(0, &["run", "plan.toml", "--state", &state]);
    let plan = bench.path("plan.toml").to_string_lossy().into_owned();
    bench.expect(0, &["run", &plan, "--state", &state]);
    let linked = bench.path("linked");
    std::os::unix::fs::symlink(bench.root.path(), &linked).unwrap();
    let plan = linked.join("plan.toml").to_string_lossy().into_owned();
    bench.expect(0, &["run", &plan, "--state", &state]);
}

/// A directory that the migration has not used yet is not made in place of a disk that is not mounted.
#[test]
fn nothing_new_is_made_below_a_directory_that_is_another_one() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let more = "[[phase.dataset]]\nname = \"more\"\nsource = \"file://here/data\"\n\
                targets = [\"file://there/more\"]\nwaive = [\"properties\"]\n";
    bench.write("plan.toml", &format!("{plan}{more}"));
    fs::rename(bench.path("target"), bench.path("unmounted")).unwrap();
    for again in [false, true] {
        if again {
            fs::create_dir(bench.path("target")).unwrap();
        }
        let refused = bench.expect(3, &["run", "plan.toml", "--dataset", "more"]);
        assert!(refused.err.contains("is not the one that this migration has used so far"), "{}", refused.err);
        assert!(!bench.path("target/more").exists());
    }
    fs::remove_dir(bench.path("target")).unwrap();
    fs::rename(bench.path("unmounted"), bench.path("target")).unwrap();
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_source_whose_disk_is_not_mounted_is_no_empty_source() {
    let bench = Bench::new(THREE);
    bench.plan("", "delete_share = \"100%\"");
    bench.expect(0, &["run", "plan.toml"]);
    fs::rename(bench.path("source"), bench.path("unmounted")).unwrap();
    all_refuse(&bench, "it is not there");
    fs::create_dir_all(bench.path("source/data")).unwrap();
    all_refuse(&bench, "it is another one");
    for (key, body) in THREE {
        assert_eq!(fs::read_to_string(bench.path(&format!("target/data/{key}"))).unwrap(), *body, "it is still there");
    }
    fs::remove_dir_all(bench.path("source")).unwrap();
    fs::rename(bench.path("unmounted"), bench.path("source")).unwrap();
    bench.expect(0, &["run", "plan.toml"]);
}

#[test]
fn a_target_whose_disk_is_not_mounted_is_not_made_anew() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    fs::rename(bench.path("target"), bench.path("unmounted")).unwrap();
    all_refuse(&bench, "it is not there");
    assert!(!bench.path("target").exists(), "nothing was made in its place");
    fs::create_dir_all(bench.path("target/data")).unwrap();
    all_refuse(&bench, "it is another one");
    assert_eq!(fs::read_dir(bench.path("target/data")).unwrap().count(), 0, "nothing was written in its place");

    // The operator can accept it, once.
    bench.expect(0, &["run", "plan.toml", "--accept-places"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "delta");
    bench.expect(0, &["run", "plan.toml"]);
    bench.expect(0, &["verify", "plan.toml", "--level", "bytes"]);
    fs::remove_dir_all(bench.path("target")).unwrap();
    bench.expect(3, &["run", "plan.toml"]);
    bench.expect(0, &["run", "plan.toml", "--accept-places"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/a.txt")).unwrap(), "alpha");
}

#[test]
fn a_route_is_not_looked_for_in_what_took_the_place_of_its_directory() {
    let bench = Bench::new(THREE);
    let cutover = CUTOVER.replace("file://there/routes/", "file://control/routes/");
    bench.plan("[sites.control]\ndirectory = \"control\"\n", &cutover);
    fs::create_dir_all(bench.path("control/routes")).unwrap();
    bench.expect(0, &["run", "plan.toml", "--approve", "first"]);
    fs::rename(bench.path("control"), bench.path("unmounted")).unwrap();
    for found in ["it is not there", "it is another one"] {
        let refused = bench.expect(3, &["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
        assert!(refused.err.contains("is not the one that this migration has used so far"), "{}", refused.err);
        assert!(refused.err.contains(found), "{}", refused.err);
        fs::create_dir_all(bench.path("control/routes")).unwrap();
    }
    fs::remove_dir_all(bench.path("control")).unwrap();
    fs::rename(bench.path("unmounted"), bench.path("control")).unwrap();
    let back = bench.run(&["cutover", "plan.toml", "--phase", "first", "--dry-run"]);
    assert!(!back.err.contains("is not the one"), "{}", back.err);
}

#[test]
fn an_approval_for_other_directories_does_not_hold() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    bench.expect(0, &["run", "plan.toml"]);
    let name = PlanName::new("bench").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&bench.ledger(), &name).unwrap();
        let phase = PhaseName::new("first").unwrap();
        let approval = Approval { phase, binds: "this cutover".into(), by: "ann".into(), at: Timestamp(0) };
        ledger.append(vec![Record::Approved(approval)]).await.unwrap();
        ledger.close().await.unwrap();
    });
    let approvals = || {
        let ledger = Ledger::open_read_only(&bench.ledger(), &name).unwrap().unwrap();
        runtime.block_on(ledger.approvals()).unwrap().len()
    };
    bench.expect(0, &["run", "plan.toml", "--accept-places"]);
    assert_eq!(approvals(), 1, "the directories are the same");
    fs::remove_dir_all(bench.path("target")).unwrap();
    fs::create_dir_all(bench.path("target/routes")).unwrap();
    bench.expect(0, &["run", "plan.toml", "--accept-places"]);
    assert_eq!(approvals(), 0);
}

#[test]
fn a_saved_plan_is_bound_to_its_directories() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["plan", "plan.toml", "--out", "saved.json"]);
    fs::rename(bench.path("source"), bench.path("unmounted")).unwrap();
    copy_tree(&bench.path("unmounted"), &bench.path("source"));
    let stale = bench.expect(1, &["run", "saved.json"]);
    assert!(stale.err.contains("directory of file://here/data: inode"), "{}", stale.err);
    assert!(!bench.path(".migrate").exists(), "nothing was begun");
}

/// A killed process leaves staged files: a run removes them in places that it writes to, and nothing else does.
#[test]
fn what_a_dead_process_has_staged_is_swept_by_a_run_at_its_target_alone() {
    let bench = Bench::new(THREE);
    bench.expect(0, &["run", "plan.toml"]);
    let staged = |side: &str| format!("{side}/data/.migrate-partial~{}", "0a".repeat(16));
    for side in ["source", "target"] {
        bench.write(&staged(side), "half of a bo");
    }
    bench.expect(0, &["plan", "plan.toml"]);
    bench.expect(0, &["verify", "plan.toml"]);
    assert!(bench.path(&staged("target")).exists(), "a look removes nothing");
    bench.expect(0, &["run", "plan.toml"]);
    assert!(!bench.path(&staged("target")).exists());
    assert!(bench.path(&staged("source")).exists(), "nothing is ever removed at a source");
}
