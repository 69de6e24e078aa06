//! What is next: each end names a command that leads forward, a mend that comes first, or that nothing is
//! left to do.
//!
//! A scenario follows what the answers say, and declares which forms of commands it ran because an answer said so. The
//! rig (`rig/next.rs`) lets no answer of any test say anything else.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::Value;

use super::{Bench, CUTOVER, THREE, copy_tree, rig};

/// The longest chain allowed. Each verification changes the ledger a little, so comparing it may miss a circle.
const STEPS_MAX: usize = 10;

/// Declares the scenarios. Each is a test, and what it runs because an answer says so is in `RUN_BY_TESTS`.
macro_rules! scenarios {
    ($($(#[$note:meta])* fn $name:ident($chain:ident) runs $shapes:expr; $body:block)*) => {
        /// The forms of commands that a scenario runs because an answer says that they are next.
        pub(super) const RUN_BY_TESTS: &[&[&str]] = &[$(&$shapes),*];

        $(
            $(#[$note])*
            #[test]
            fn $name() {
                let mut ran = BTreeSet::new();
                {
                    let $chain = &mut Chain { ran: &mut ran };
                    $body
                }
                let declared: BTreeSet<String> = $shapes.iter().map(|shape: &&str| (*shape).to_owned()).collect();
                assert_eq!(ran, declared, "the scenario runs what it declares");
            }
        )*
    };
}

/// The end of a chain of commands, each the `next` of the one before.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// Nothing is left to do.
    ToItsEnd,
    /// A mend that only a person can make, and the command for after it.
    ToAMend(String, String),
}

/// What a scenario runs.
struct Chain<'a> {
    ran: &'a mut BTreeSet<String>,
}

impl Chain<'_> {
    /// Follows `next` until a mend or the end. No command may come twice while the ledger tells the same.
    #[track_caller]
    fn follow(&mut self, bench: &Bench, first: &str) -> (Vec<String>, Came) {
        let (mut typed, mut seen, mut stood) = (first.to_owned(), Vec::new(), Vec::new());
        loop {
            let said = Self::say(bench, &typed);
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
                return (seen, Came::ToAMend(mend, next));
            }
            self.note(&next);
            typed = next;
        }
    }

    /// Runs a command, and says what is next after it.
    #[track_caller]
    fn follow_once(bench: &Bench, typed: &str) -> String {
        let said = Self::say(bench, typed);
        let next = said.lines().rev().find_map(|line| line.strip_prefix("next: "));
        next.unwrap_or_else(|| panic!("{typed} ends without a next command: {said}")).to_owned()
    }

    /// Runs a command; what it says.
    #[track_caller]
    fn say(bench: &Bench, typed: &str) -> String {
        let words = rig::next::words(typed);
        let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
        if words.contains(&"--watch") {
            return watched(bench, &words);
        }
        let ran = bench.run(&words);
        assert_ne!(ran.code, 2, "{typed} is no command: {}", ran.err);
        format!("{}{}", ran.out, ran.err)
    }

    /// Notes that a command is run because an answer says so.
    fn note(&mut self, next: &str) {
        self.ran.insert(rig::next::shape(&rig::next::words(next)).unwrap());
    }

    /// The chain runs these commands, and comes to its end.
    #[track_caller]
    fn ends(&mut self, bench: &Bench, chain: &[&str]) {
        let (seen, came) = self.follow(bench, chain[0]);
        assert_eq!((seen.iter().map(String::as_str).collect::<Vec<_>>(), came), (chain.to_vec(), Came::ToItsEnd));
    }

    /// The chain runs these commands, and the last needs this mend. After it the chain goes on with this command.
    #[track_caller]
    fn needs(&mut self, bench: &Bench, chain: &[&str], mend: &str, then: &str) {
        let (seen, came) = self.follow(bench, chain[0]);
        assert_eq!(seen, chain);
        let Came::ToAMend(named, next) = &came else { panic!("{came:?}") };
        assert!(named.contains(mend), "{came:?}");
        assert_eq!(next, then);
    }

    /// The same, and the mend is made by now: the chain goes on with what was said, and comes to its end.
    #[track_caller]
    fn goes_on(&mut self, bench: &Bench, chain: &[&str]) {
        self.note(chain[0]);
        self.ends(bench, chain);
    }
}

/// The first look of a command that goes on until it is stopped.
fn watched(bench: &Bench, words: &[&str]) -> String {
    let mut command = bench.command(words);
    let mut child = crate::running::Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        said.push_str(&line);
        said.push('\n');
        if line.starts_with("next: ") {
            break;
        }
    }
    said
}

fn status(bench: &Bench) -> Value {
    bench.json(0, &["status", "plan.toml", "--json"])
}

/// A second phase after the first.
fn with_second_phase(bench: &Bench) {
    let mut plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    plan.push_str(
        "[[phase]]\nname = \"second\"\nafter = [\"first\"]\n[[phase.dataset]]\nname = \"more\"\n\
         source = \"file://here/data\"\ntargets = [\"file://there/more\"]\nwaive = [\"properties\"]\n",
    );
    bench.write("plan.toml", &plan);
}

const PLAN: &str = "migrate plan plan.toml";
const RUN: &str = "migrate run plan.toml";
const VERIFY: &str = "migrate verify plan.toml";
const STATUS: &str = "migrate status plan.toml";

scenarios! {
    fn from_the_first_look_to_the_last_proof(chain) runs ["plan", "run", "verify", "status"]; {
        let bench = Bench::new(THREE);
        chain.ends(&bench, &["migrate history plan.toml", PLAN, RUN, VERIFY]);
        // All is done: the chain does not look in circles.
        for typed in [STATUS, VERIFY, PLAN] {
            chain.ends(&bench, &[typed]);
        }
        for typed in ["migrate history plan.toml", "migrate show plan.toml a.txt", "migrate limits plan.toml"] {
            chain.ends(&bench, &[typed, STATUS]);
        }
        assert_eq!((&status(&bench)["next"], &status(&bench)["mend"]), (&Value::Null, &Value::Null));
        assert_eq!(bench.json(0, &["verify", "plan.toml", "--json"])["next"], Value::Null);
    }

    fn a_first_plan_is_checked_looked_at_and_run(chain) runs ["check", "rehearse", "plan", "run", "verify"]; {
        let bench = Bench::new(THREE);
        let init = "migrate init source/data copy";
        let checked = [init, "migrate check", "migrate rehearse"];
        chain.ends(&bench, &[&checked[..], &["migrate plan", "migrate run", "migrate verify"]].concat());
        assert_eq!(fs::read_to_string(bench.path("copy/d.txt")).unwrap(), "delta");
    }

    fn through_an_approval_to_the_end(chain) runs ["run", "run approve"]; {
        let bench = Bench::new(THREE);
        bench.plan("", CUTOVER);
        chain.ends(&bench, &[STATUS, RUN, "migrate run plan.toml --approve first"]);
        chain.ends(&bench, &[RUN]);
        chain.ends(&bench, &[STATUS]);
        // The old lead is behind, and a run brings it along, unless the plan says that it stays as it was.
        bench.write("target/data/new.txt", "written at the new lead");
        chain.ends(&bench, &[VERIFY, RUN]);
        assert_eq!(fs::read_to_string(bench.path("source/data/new.txt")).unwrap(), "written at the new lead");
    }

    fn a_phase_that_is_not_proved_is_run_first(chain) runs ["run", "run approve"]; {
        let bench = Bench::new(THREE);
        bench.plan("", CUTOVER);
        let dry = "migrate cutover plan.toml --phase first --dry-run";
        let run = "migrate run plan.toml --phase first";
        chain.ends(&bench, &[dry, run, "migrate run plan.toml --phase first --approve first"]);
    }

    fn a_proved_phase_is_checked_and_cut_over(chain) runs ["cutover"]; {
        let bench = Bench::new(THREE);
        bench.plan("", CUTOVER);
        bench.expect(0, &["run", "plan.toml"]);
        let (dry, cutover) = ("migrate cutover plan.toml --phase first --dry-run", "migrate cutover plan.toml --phase first");
        chain.ends(&bench, &[dry, cutover]);
    }

    fn from_a_copy_and_from_a_later_phase(chain) runs ["run", "verify"]; {
        let bench = Bench::new(THREE);
        let copied = "migrate run plan.toml --until copied";
        chain.ends(&bench, &[copied, RUN, VERIFY]);

        let bench = Bench::new(THREE);
        with_second_phase(&bench);
        chain.ends(&bench, &["migrate run plan.toml --phase second", RUN, VERIFY]);
    }

    fn from_a_first_plan_to_the_last_proof(chain) runs ["check", "rehearse", "plan", "run", "verify"]; {
        let bench = Bench::new(THREE);
        fs::remove_file(bench.path("plan.toml")).unwrap();
        let init = "migrate init source/data copy --out plan.toml";
        chain.ends(&bench, &[init, "migrate check plan.toml", "migrate rehearse plan.toml", PLAN, RUN, VERIFY]);
    }

    fn a_cutover_that_is_not_built_is_left_out(chain) runs ["run until", "verify", "rehearse until", "plan"]; {
        let bench = Bench::new(THREE);
        bench.plan("", &format!("retire = \"delete\"\n{CUTOVER}"));
        chain.ends(&bench, &[RUN, "migrate run plan.toml --until verified", VERIFY]);
        let bench = Bench::new(THREE);
        bench.plan("", &format!("retire = \"delete\"\n{CUTOVER}"));
        let until = "migrate rehearse plan.toml --until verified";
        let run = "migrate run plan.toml --until verified";
        chain.ends(&bench, &["migrate check plan.toml", until, PLAN, run, VERIFY]);
        chain.ends(&bench, &["migrate rehearse plan.toml --scale 0.05", until, PLAN]);
    }

    fn a_saved_plan_that_is_stale_is_saved_anew(chain) runs ["plan out", "run", "verify"]; {
        let bench = Bench::new(THREE);
        let save = "migrate plan plan.toml --out saved.json";
        bench.expect(0, &["plan", "plan.toml", "--out", "saved.json"]);
        bench.plan("", "delete_share = \"20%\"");
        chain.needs(&bench, &["migrate run saved.json"], "save the plan anew", save);
        chain.goes_on(&bench, &[save, "migrate run saved.json", VERIFY]);
    }

    fn a_run_that_would_delete_too_much_asks_for_a_decision_everywhere(chain) runs ["run", "verify"]; {
        let bench = Bench::new(THREE);
        bench.plan("", "delete_share = \"10%\"");
        bench.expect(0, &["run", "plan.toml"]);
        fs::rename(bench.path("source/data/a.txt"), bench.path("a.txt")).unwrap();
        chain.needs(&bench, &[RUN], "add --force", RUN);
        chain.needs(&bench, &[STATUS], "bring back what must not be gone", RUN);
        let waits = status(&bench)["phases"][0]["datasets"][0]["waits_for"].clone();
        let known = "a decision: a run would delete 1 of 3 records at file://there/data, more than delete_share allows (10%)";
        assert_eq!(waits, known);
        // After the mend the chain goes on to the end.
        fs::rename(bench.path("a.txt"), bench.path("source/data/a.txt")).unwrap();
        chain.goes_on(&bench, &[RUN, VERIFY]);
    }

    fn records_that_cannot_be_read_are_mended_first(chain) runs ["plan", "run", "verify"]; {
        let bench = Bench::new(THREE);
        std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
        for typed in [RUN, STATUS, VERIFY] {
            let then = if typed == STATUS { RUN } else { typed };
            chain.needs(&bench, &[typed], "correct the cause that each failed record is listed with", then);
        }
        let document = bench.json(3, &["verify", "plan.toml", "--json"]);
        assert!(document["mend"].is_string(), "{document}");
        chain.needs(&bench, &[PLAN], "change what is named above", PLAN);
        fs::remove_file(bench.path("source/data/link")).unwrap();
        chain.goes_on(&bench, &[PLAN, RUN, VERIFY]);
    }

    fn what_differs_is_repaired_and_then_nothing_is_left(chain) runs ["verify repair"]; {
        let bench = Bench::new(THREE);
        bench.expect(0, &["run", "plan.toml"]);
        bench.write("target/data/d.txt", "other");
        let verify = [VERIFY, "migrate verify plan.toml --repair"];
        chain.ends(&bench, &verify);
        // If a proof is less than the plan asks for, a run does the rest.
        bench.write("target/data/d.txt", "other");
        bench.expect(0, &["verify", "plan.toml", "--level", "listing", "--repair"]);
        chain.ends(&bench, &verify[..1]);
    }

    fn what_a_level_cannot_decide_a_higher_one_does(chain) runs ["verify level", "run", "verify"]; {
        let bench = Bench::new(THREE);
        copy_tree(&bench.path("source/data"), &bench.path("target/data"));
        let (listing, checksum) = ("migrate verify plan.toml --level listing", "migrate verify plan.toml --level checksum");
        chain.ends(&bench, &[listing, checksum, RUN, VERIFY]);
    }

    /// A foreign writer wrote over a copy, and the source then deleted the record: nothing deletes the object.
    fn a_stray_that_was_a_copy_once_is_for_a_person(chain) runs ["run", "verify"]; {
        let bench = Bench::new(THREE);
        bench.plan("", "delete_share = \"100%\"");
        bench.expect(0, &["run", "plan.toml"]);
        bench.write("target/data/d.txt", "written by somebody else");
        fs::remove_file(bench.path("source/data/d.txt")).unwrap();
        for more in
            ["run plan.toml", "status plan.toml", "verify plan.toml", "verify plan.toml --repair", "status plan.toml"]
        {
            chain.needs(&bench, &[&format!("migrate {more}")], "move it away, or put it back", RUN);
        }
        let shown = bench.expect(0, &["status", "plan.toml"]).out;
        assert!(shown.contains("    2 of 2 records (100 %), 9 B of 9 B\n"), "{shown}");
        assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "written by somebody else");
        fs::remove_file(bench.path("target/data/d.txt")).unwrap();
        chain.goes_on(&bench, &[RUN, VERIFY]);
    }

    fn a_changed_meaning_is_put_back_first(chain) runs ["plan"]; {
        let bench = Bench::new(THREE);
        bench.expect(0, &["run", "plan.toml"]);
        bench.plan("", "exclude = [\"*.txt\"]");
        for typed in [RUN, STATUS, VERIFY] {
            chain.needs(&bench, &[typed], "put back what the plan said", PLAN);
        }
        bench.plan("", "");
        chain.goes_on(&bench, &[PLAN]);
    }

    fn what_was_given_up_is_not_brought_back(chain) runs ["status", "abort discard yes"]; {
        let bench = Bench::new(THREE);
        bench.expect(0, &["run", "plan.toml"]);
        let abort = "migrate abort plan.toml";
        chain.ends(&bench, &[abort, STATUS]);
        assert_eq!(status(&bench)["next"], Value::Null);
        // Also if a look finds that it is gone.
        let (asks, yes) = ("migrate abort plan.toml --discard", "migrate abort plan.toml --discard --yes");
        let ran = bench.expect(2, &["abort", "plan.toml", "--discard"]);
        assert!(ran.err.ends_with(&format!("next: {yes}\n")), "{asks}: {}", ran.err);
        chain.goes_on(&bench, &[yes, STATUS]);
        for verify in [VERIFY, "migrate verify plan.toml --repair"] {
            chain.ends(&bench, &[verify]);
        }
        let named = "migrate verify plan.toml --repair --dataset files";
        assert!(Chain::say(&bench, named).contains("files was given up"));
        chain.ends(&bench, &[named]);
        assert_eq!(fs::read_dir(bench.path("target/data")).map_or(0, Iterator::count), 0);
    }

    fn before_anything_has_begun_there_is_nothing_to_give_up(chain) runs ["plan", "run", "verify"]; {
        let bench = Bench::new(THREE);
        chain.ends(&bench, &["migrate abort plan.toml", PLAN, RUN, VERIFY]);
    }

    fn a_late_write_is_listed_decided_and_followed(chain) runs ["resolve", "resolve all", "status", "verify repair"]; {
        let bench = Bench::new(THREE);
        bench.plan("", CUTOVER);
        bench.expect(0, &["run", "plan.toml", "--approve", "first"]);
        bench.write("source/data/a.txt", "a writer who reads no routes");
        let (list, all) = ("migrate resolve plan.toml", "migrate resolve plan.toml --all");
        chain.needs(&bench, &[RUN], "carry over to the new lead", list);
        chain.note(list);
        chain.needs(&bench, &[list], "then resolve the rest", all);
        chain.note(all);
        chain.ends(&bench, &[all, STATUS, "migrate verify plan.toml --repair"]);
        assert_eq!(fs::read_to_string(bench.path("source/data/a.txt")).unwrap(), "alpha", "it follows");
    }

    fn a_limit_that_is_none_shows_those_that_are(chain) runs ["limits", "status", "run", "verify"]; {
        let bench = Bench::new(THREE);
        let wrong = bench.expect(2, &["limits", "plan.toml", "here", "speed=1"]);
        assert!(wrong.err.ends_with("next: migrate limits plan.toml\n"), "{}", wrong.err);
        chain.note("migrate limits plan.toml");
        chain.ends(&bench, &["migrate limits plan.toml", STATUS, RUN, VERIFY]);
    }

    fn a_record_that_nothing_knows_is_found_in_the_list(chain) runs ["plan list", "run", "verify"]; {
        let bench = Bench::new(THREE);
        let list = "migrate plan plan.toml --list";
        chain.needs(&bench, &["migrate show plan.toml a.txt"], "write the key as other answers print it", list);
        chain.goes_on(&bench, &[list, RUN, VERIFY]);
    }

    fn another_process_is_watched(chain) runs ["status watch"]; {
        let bench = Bench::new(THREE);
        bench.expect(0, &["run", "plan.toml"]);
        let mut lock = File::options().write(true).open(bench.path(".migrate/bench/lock")).unwrap();
        lock.lock().unwrap();
        lock.write_all(br#"{"pid":7,"host":"far","command":"migrate run x.toml","since":"2026-01-01T00:00:00.000Z"}"#).unwrap();
        let watch = "migrate status plan.toml --watch";
        assert_eq!(Chain::follow_once(&bench, STATUS), watch);
        chain.note(watch);
        assert!(Chain::say(&bench, watch).contains("driven by `migrate run x.toml`"));
        // It ends, and the look shows what is next then.
        lock.unlock().unwrap();
        assert!(Chain::say(&bench, watch).ends_with("next: nothing is left to do\n"));
    }

    fn a_dataset_that_another_migration_drives_is_taken_over(chain) runs ["run take_over", "run approve"]; {
        let bench = Bench::new(THREE);
        bench.plan("", CUTOVER);
        bench.expect(0, &["run", "plan.toml", "--until", "copied", "--state", "other"]);
        let take_over = "migrate run plan.toml --take-over files";
        chain.needs(&bench, &[RUN], "make sure that it has stopped for good", take_over);
        chain.goes_on(&bench, &[take_over, "migrate run plan.toml --approve first"]);
    }

    fn a_failure_names_the_command_that_goes_on(chain) runs ["verify level", "status", "run", "verify"]; {
        let bench = Bench::new(THREE);
        bench.expect(0, &["run", "plan.toml"]);
        let ledger = fs::read(bench.ledger()).unwrap();
        fs::write(bench.ledger(), "this is not a ledger at all, ".repeat(200)).unwrap();
        let typed = ["migrate verify plan.toml --level bytes", STATUS, RUN];
        for typed in typed {
            let ran = bench.expect(3, &typed.split(' ').skip(1).collect::<Vec<_>>());
            assert!(ran.err.contains("\nhelp: restore the file"), "{}", ran.err);
            assert!(ran.err.ends_with(&format!("\nnext: {typed}\n")), "{}", ran.err);
        }
        let document = bench.json(3, &["status", "plan.toml", "--json"]);
        assert_eq!(document["error"]["next"], "migrate status plan.toml --json");
        let last = bench.expect(3, &["run", "plan.toml", "--json"]).events().pop().unwrap();
        assert_eq!(last["next"], "migrate run plan.toml --json", "{last}");
        assert!(last["mend"].as_str().unwrap().contains("restore the file"), "{last}");
        // It is restored, and the same commands go on.
        fs::write(bench.ledger(), ledger).unwrap();
        chain.goes_on(&bench, &[typed[0]]);
        chain.goes_on(&bench, &[typed[1]]);
        chain.goes_on(&bench, &[typed[2], VERIFY]);
    }
}
