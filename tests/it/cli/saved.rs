//! Saved plans: what `plan --out` keeps, `run` carries out exactly or not at all.

use migrate::{
    engine::{EngineError, Inspection, Shutdown, Sink},
    local_cloud::{Operation, S3Server, S3ServerConfig},
};
use serde_json::json;

use super::*;

/// The plan's preview, kept in `saved.json`.
fn save(bench: &Bench) -> Ran {
    bench.expect(0, &["plan", "plan.toml", "--out", "saved.json"])
}

fn saved(bench: &Bench) -> Value {
    serde_json::from_slice(&fs::read(bench.path("saved.json")).unwrap()).unwrap()
}

/// Changes the saved file by hand.
fn edit(bench: &Bench, change: impl FnOnce(&mut Value)) {
    let mut document = saved(bench);
    change(&mut document);
    bench.write("saved.json", &document.to_string());
}

/// `run saved.json` refuses for exactly these changes, and begins nothing.
#[track_caller]
fn stale(bench: &Bench, changes: &[&str]) {
    let begun = bench.path(".migrate").exists();
    let refused = bench.expect(1, &["run", "saved.json"]);
    let told: Vec<_> = refused.err.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(told, changes, "{}", refused.err);
    assert!(refused.err.contains("saved.json is stale, and nothing was begun:"), "{}", refused.err);
    assert!(refused.err.ends_with("next: migrate plan plan.toml --out saved.json\n"), "{}", refused.err);
    assert_eq!(bench.path(".migrate").exists(), begun, "nothing was begun");
}

/// The number of the route's documents, in numbered files.
fn shown(bench: &Bench) -> usize {
    fs::read_dir(bench.path("target/routes")).map_or(0, Iterator::count)
}

fn route(bench: &Bench) -> Value {
    let last = format!("target/routes/files.json.{:012}", shown(bench));
    serde_json::from_slice(&fs::read(bench.path(&last)).unwrap()).unwrap()
}

/// Moves the route as another tool would.
fn move_route(bench: &Bench, epoch: u64, lead: &str) {
    let document = json!({
        "dataset": "files", "epoch": epoch, "attempt": "theirs", "lead": lead, "followers": [], "max_age_s": 0,
        "since": "2026-01-01T00:00:00Z",
    });
    let next = format!("target/routes/files.json.{:012}", shown(bench) + 1);
    bench.write(&next, &document.to_string());
}

#[test]
fn what_was_shown_is_kept_and_carried_out() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    let shown = bench.json(0, &["plan", "plan.toml", "--json"]);
    assert_eq!(shown["saved"], Value::Null);
    let kept = bench.json(0, &["plan", "plan.toml", "--json", "--out", "saved.json"]);
    assert_eq!((&kept["saved"], &kept["next"]), (&"saved.json".into(), &"migrate run saved.json".into()));
    let human = save(&bench);
    assert!(human.out.contains("3 records") && human.out.contains("\nsaved: saved.json\n"), "{}", human.out);
    assert_eq!(human.next_commands(), ["migrate run saved.json"]);
    assert!(!bench.path(".migrate").exists() && !bench.path("target/data").exists(), "a look makes nothing");

    let text = fs::read_to_string(bench.path("saved.json")).unwrap();
    assert!(text.starts_with("{\n  \"saved_plan\": 2,\n"), "{text}");
    let document = saved(&bench);
    assert_eq!(document["preview"]["phases"], shown["phases"], "as it was shown");
    assert_eq!(document["plan"]["file"], "plan.toml");
    assert!(Path::new(document["plan"]["absolute"].as_str().unwrap()).is_absolute());
    let route = &document["bindings"]["datasets"][0]["route"];
    assert_eq!(route["shows"], json!({"epoch": 0, "lead": "here"}));
    let mode = fs::metadata(bench.path("saved.json")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let left = fs::read_dir(bench.root.path()).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0, "it was staged, and renamed");

    let ran = bench.expect(0, &["run", "saved.json"]);
    assert_eq!(ran.next_commands(), ["migrate run saved.json --approve first"]);
    assert_eq!(fs::read_to_string(bench.path("target/data/d.txt")).unwrap(), "delta");
}

#[test]
fn counts_limits_waits_and_levels_may_change() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    save(&bench);
    bench.write("source/data/new.txt", "new");
    fs::remove_file(bench.path("source/data/a.txt")).unwrap();
    let cutover = CUTOVER.replace("quiet = \"0s\"", "quiet = \"1ms\"");
    assert_ne!(cutover, CUTOVER);
    bench.plan_with("", "limits = { bandwidth = \"1GB/s\" }", &format!("verify = \"bytes\"\n{cutover}"));
    bench.expect(0, &["run", "saved.json"]);
    assert!(bench.path("target/data/new.txt").exists() && !bench.path("target/data/a.txt").exists());
    // They may change after the run has begun, too: it left only its own traces.
    bench.expect(0, &["run", "saved.json"]);
}

#[test]
fn a_changed_meaning_is_refused_and_named() {
    let bench = Bench::new(THREE);
    save(&bench);
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    bench.write("source/other/x", "x");
    bench.write("plan.toml", &plan.replace("file://here/data", "file://here/other"));
    stale(&bench, &["source of files: file://here/other, was file://here/data"]);
    bench
        .write("plan.toml", &plan.replace("[\"file://there/data\"]", "[\"file://there/data\", \"file://there/more\"]"));
    stale(&bench, &["targets of files: file://there/data, file://there/more, was file://there/data"]);
    bench.write("plan.toml", &plan.replace("jurisdiction = \"US\"", "jurisdiction = \"SG\""));
    stale(&bench, &["jurisdiction of site there: SG, was US"]);
    bench.plan("", "extra = \"delete\"");
    stale(&bench, &["extra of files: delete, was keep"]);
    let more = "[[phase]]\nname = \"second\"\n[[phase.dataset]]\nname = \"more\"\nsource = \"file://here/data\"\n\
                targets = [\"file://there/more\"]\nwaive = [\"properties\"]\n";
    bench.write("plan.toml", &format!("{plan}{more}"));
    stale(&bench, &["phase second: in the plan, was not in it", "dataset more: in the plan, was not in it"]);
    bench.write("plan.toml", &plan);
    bench.expect(0, &["run", "saved.json"]);

    // JSON names the changes too.
    bench.plan("", "delete_share = \"90%\"");
    let events = bench.expect(1, &["run", "saved.json", "--json"]).events();
    let changes = &events[0]["error"]["changes"];
    assert_eq!(changes, &json!([{"what": "delete_share_permille of files", "is": "900", "was": "100"}]), "{events:?}");
    let last = events.last().unwrap();
    assert_eq!((&last["complete"], &last["next"]), (&false.into(), &"migrate plan plan.toml --out saved.json".into()));
}

#[test]
fn a_route_that_somebody_else_moved_is_refused() {
    let bench = Bench::new(THREE);
    bench.plan("", CUTOVER);
    save(&bench);
    move_route(&bench, 1, "there");
    stale(&bench, &["route of files: epoch 1 led by there, was epoch 0 led by here"]);
    // A route that shows the plan's own lead is no change: it counts as none.
    move_route(&bench, 0, "here");
    bench.expect(0, &["run", "saved.json"]);
    move_route(&bench, 2, "here");
    stale(&bench, &["route of files: epoch 2 led by here, was epoch 0 led by here"]);
}

#[test]
fn a_run_goes_on_after_its_own_cutover() {
    let bench = Bench::new(THREE);
    bench.plan("", &format!("follow_back = false\n{CUTOVER}"));
    save(&bench);
    bench.expect(0, &["run", "saved.json", "--approve", "first"]);
    assert_eq!((&route(&bench)["lead"], &route(&bench)["epoch"]), (&"there".into(), &1.into()));
    bench.expect(0, &["run", "saved.json"]);
    // The old lead does not follow, so it is no longer needed.
    fs::remove_dir_all(bench.path("source/data")).unwrap();
    let done = bench.expect(0, &["run", "saved.json"]);
    assert_eq!(done.next_commands(), ["nothing is left to do"]);
    move_route(&bench, 2, "here");
    stale(&bench, &["route of files: epoch 2 led by here, was epoch 1 led by there"]);

    // Without the ledger it is unknown that this migration moved it.
    let unknown = bench.expect(1, &["run", "saved.json", "--state", "elsewhere"]);
    assert!(unknown.err.contains("next: migrate plan plan.toml --out saved.json --state elsewhere"), "{}", unknown.err);
    assert!(!bench.path("elsewhere").exists());
}

#[test]
fn a_place_that_is_gone_is_refused() {
    let bench = Bench::new(THREE);
    save(&bench);
    fs::rename(bench.path("source/data"), bench.path("source/away")).unwrap();
    stale(&bench, &["file://here/data: not there, was there"]);
    fs::rename(bench.path("source/away"), bench.path("source/data")).unwrap();
    bench.expect(0, &["run", "saved.json"]);
    // Now the target is there as well: only a plan that has seen it misses it.
    fs::remove_dir_all(bench.path("target/data")).unwrap();
    let gone = bench.expect(3, &["run", "saved.json"]);
    assert!(gone.err.contains("is not the one that this migration has used so far: it is not there"), "{}", gone.err);
    bench.expect(0, &["run", "saved.json", "--accept-places"]);
    save(&bench);
    fs::remove_dir_all(bench.path("target/data")).unwrap();
    let gone = bench.expect(1, &["run", "saved.json", "--accept-places"]);
    assert!(gone.err.contains("file://there/data: not there, was there"), "{}", gone.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_bound_to_what_it_can_do() {
    let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await.unwrap();
    server.state().create_bucket("data");
    let bench = Bench::new(THREE);
    let plan = format!(
        "name = \"bench\"\n[sites.here]\ndirectory = \"source\"\n[sites.there]\ncredentials = {{ env = \"THERE\" }}\n\
         s3 = {{ endpoint = \"{}\", path_style = true }}\n[[phase]]\nname = \"first\"\n[[phase.dataset]]\n\
         name = \"files\"\nsource = \"file://here/data\"\ntargets = [\"s3://there/data\"]\n",
        server.endpoint()
    );
    bench.write("plan.toml", &plan);
    let run = |code: i32, args: &[&str]| {
        let keys = [("THERE_ACCESS_KEY_ID", "local"), ("THERE_SECRET_ACCESS_KEY", "local-secret")];
        let output = bench.command(args).envs(keys).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        err
    };
    let writes = || server.stats().of(Operation::PutObject);
    run(0, &["plan", "plan.toml"]);
    let probe = writes();
    run(0, &["plan", "plan.toml", "--out", "saved.json"]);
    assert!(probe > 0 && writes() == 2 * probe, "it is asked once, however often it is looked at");
    let text = fs::read_to_string(bench.path("saved.json")).unwrap();
    assert!(!text.contains("local-secret"), "{text}");
    let can = saved(&bench)["bindings"]["datasets"][0]["places"][1]["capabilities"].clone();
    assert_eq!((&can["proof"], &can["tags"]), (&"signed_payload".into(), &true.into()), "{can}");

    edit(&bench, |document| {
        let can = &mut document["bindings"]["datasets"][0]["places"][1]["capabilities"];
        can["tags"] = false.into();
        can["proof"] = "read_back".into();
    });
    let refused = run(1, &["run", "saved.json"]);
    assert!(refused.contains("\n  proof of s3://there/data: signed_payload, was read_back\n"), "{refused}");
    assert!(refused.contains("\n  tags of s3://there/data: true, was false\n"), "{refused}");
    assert!(!bench.path(".migrate").exists());
    assert_eq!(server.state().count("data"), 0, "scratch keys are gone");

    bench.write("saved.json", &text);
    let before = writes();
    run(0, &["run", "saved.json"]);
    assert_eq!(writes() - before, probe + 3, "what the look found is what the run records");
    run(0, &["run", "saved.json"]);
    assert_eq!(writes() - before, probe + 3, "and what the ledger knows is not asked again");
    assert_eq!(server.state().count("data"), 3);
    bench.write("plan.toml", &plan.replace("s3://there/data", "s3://there/other"));
    let gone = run(1, &["run", "saved.json"]);
    assert!(gone.contains("targets of files: s3://there/other, was s3://there/data"), "{gone}");
    server.stop().await;
}

#[test]
fn one_saved_for_some_datasets_runs_just_these() {
    let bench = Bench::new(THREE);
    let mut plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    plan.push_str(
        "[[phase.dataset]]\nname = \"more\"\nsource = \"file://here/data\"\ntargets = [\"file://there/more\"]\n\
         waive = [\"properties\"]\n",
    );
    bench.write("plan.toml", &plan);
    bench.expect(0, &["plan", "plan.toml", "--dataset", "more", "--out", "saved.json"]);
    let ran = bench.expect(0, &["run", "saved.json"]);
    assert!(ran.err.contains("saved.json is for more only"), "{}", ran.err);
    assert_eq!(ran.next_commands(), ["migrate run plan.toml"], "the others are not in it");
    assert!(bench.path("target/more/a.txt").exists() && !bench.path("target/data").exists());
    let other = bench.expect(2, &["run", "saved.json", "--dataset", "files"]);
    assert!(other.err.contains("saved.json is for more, and not for dataset files"), "{}", other.err);
    bench.expect(0, &["run", "saved.json", "--dataset", "more"]);

    // Datasets that it leaves out may change; those that it holds may not, nor may those that move with them.
    bench.write("plan.toml", &plan.replacen("file://there/data", "file://there/elsewhere", 1));
    bench.expect(0, &["run", "saved.json"]);
    bench.write("plan.toml", &plan.replace("\"files\"", "\"renamed\""));
    let refused = bench.expect(1, &["run", "saved.json"]);
    assert!(refused.err.contains("\n  datasets of phase first: more, renamed, was files, more\n"), "{}", refused.err);
    let next = "next: migrate plan plan.toml --dataset more --out saved.json\n";
    assert!(refused.err.ends_with(next), "{}", refused.err);
    bench.write("plan.toml", &plan.replace("\"more\"", "\"less\""));
    let refused = bench.expect(1, &["run", "saved.json"]);
    assert!(refused.err.contains("\n  dataset more: not in the plan, was in it\n"), "{}", refused.err);
}

#[test]
fn what_is_no_saved_plan_is_2_and_says_so() {
    let bench = Bench::new(THREE);
    save(&bench);
    let text = fs::read_to_string(bench.path("saved.json")).unwrap();
    let refused = |text: &str, said: &str| {
        bench.write("saved.json", text);
        let refused = bench.expect(2, &["run", "saved.json"]);
        assert!(refused.err.contains(said), "{}", refused.err);
        assert!(!bench.path(".migrate").exists());
        refused.err
    };
    refused("what is this?\n", "saved.json:1:1");
    refused("{\"name\": 7}", "saved.json:1:");
    let newer = refused(&text.replacen("\"saved_plan\": 2", "\"saved_plan\": 3", 1), "made by a newer migrate");
    assert!(newer.contains("format 3") && newer.contains("help: use the newer migrate"), "{newer}");
    let older = refused(&text.replacen("\"saved_plan\": 2", "\"saved_plan\": 1", 1), "made by an older migrate");
    assert!(older.contains("help: save it anew"), "{older}");
    for length in [20, text.len() / 2, text.len() - 3] {
        let cut = refused(&text[..length], "the saved plan saved.json cannot be read");
        assert!(cut.contains("help: save it anew"), "{cut}");
    }
    let unknown = text.replacen("\"bindings\": {", "\"bindings\": { \"tables\": [],", 1);
    refused(&unknown, "unknown field `tables`");
    fs::write(bench.path("saved.json"), [0xff, 0xfe, 0]).unwrap();
    bench.expect(2, &["run", "saved.json"]);

    // A file that another tool has formatted is still a saved plan.
    let document: Value = serde_json::from_str(&text).unwrap();
    bench.write("saved.json", &document.to_string());
    for command in ["plan", "verify", "status"] {
        let wrong = bench.expect(2, &[command, "saved.json"]);
        assert!(wrong.err.contains("help: name its plan file: plan.toml"), "{}", wrong.err);
    }
    bench.write("plan.toml", "name = \n");
    bench.expect(2, &["run", "saved.json"]);
    fs::remove_file(bench.path("plan.toml")).unwrap();
    let missing = bench.expect(2, &["run", "saved.json"]);
    assert!(missing.err.contains("failed to read the plan file plan.toml"), "{}", missing.err);
}

#[test]
fn what_is_no_saved_plan_is_never_replaced() {
    let bench = Bench::new(THREE);
    bench.write("notes.txt", "mine");
    bench.write("empty", "");
    std::os::unix::fs::symlink("elsewhere.json", bench.path("link")).unwrap();
    for out in ["notes.txt", "empty", "plan.toml", "source", "link", "nowhere/saved.json"] {
        let refused = bench.expect(2, &["plan", "plan.toml", "--out", out]);
        assert!(refused.err.contains("help: name another file with --out"), "{out}: {}", refused.err);
    }
    assert_eq!(fs::read_to_string(bench.path("notes.txt")).unwrap(), "mine");
    assert!(!bench.path("elsewhere.json").exists());
    let asked = bench.expect(2, &["plan", "plan.toml", "--no-probe", "--out", "saved.json"]);
    assert!(asked.err.contains("help: leave out --no-probe, or --out"), "{}", asked.err);

    save(&bench);
    let cut = fs::read_to_string(bench.path("saved.json")).unwrap();
    bench.write("saved.json", &cut[..cut.len() / 2]);
    save(&bench);
    assert_eq!(saved(&bench)["saved_plan"], 2, "one that was cut off is replaced");
}

#[test]
fn a_plan_that_is_blocked_is_not_saved() {
    let bench = Bench::new(THREE);
    std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
    let blocked = bench.expect(1, &["plan", "plan.toml", "--out", "saved.json"]);
    assert!(blocked.out.contains("BLOCKED") && blocked.err.contains("nothing was saved"), "{}", blocked.err);
    assert_eq!(blocked.next_commands(), ["migrate plan plan.toml"]);
    let document = bench.json(1, &["plan", "plan.toml", "--out", "saved.json", "--json"]);
    assert_eq!((&document["saved"], &document["runnable"]), (&Value::Null, &false.into()));
    fs::rename(bench.path("source/data"), bench.path("source/away")).unwrap();
    bench.expect(1, &["plan", "plan.toml", "--out", "saved.json"]);
    assert!(!bench.path("saved.json").exists());
}

#[test]
fn it_works_from_another_directory_and_not_on_other_ones() {
    let bench = Bench::new(THREE);
    save(&bench);
    fs::create_dir(bench.path("elsewhere")).unwrap();
    let mut far = bench.command(&["run", "../saved.json", "--until", "copied"]);
    let far = far.current_dir(bench.path("elsewhere")).output().unwrap();
    assert_eq!(far.status.code(), Some(0), "{far:?}");
    assert!(bench.path("target/data/a.txt").exists() && bench.path(".migrate/bench").exists());
    assert!(!bench.path("elsewhere/.migrate").exists(), "the state is beside the plan file");
    let out = String::from_utf8(far.stdout).unwrap();
    assert!(out.ends_with("next: migrate run ../saved.json\n"), "{out}");

    let moved = Bench::new(THREE);
    edit(&bench, |document| document["plan"]["absolute"] = "/nowhere/plan.toml".into());
    fs::copy(bench.path("saved.json"), moved.path("saved.json")).unwrap();
    // It finds the plan file beside it; but the directories that the plan names are others.
    let stale = moved.expect(1, &["run", "saved.json"]);
    let other = format!("places.here of files: {}", moved.path("source").display());
    assert!(stale.err.contains(&other), "{}", stale.err);
    assert!(!moved.path(".migrate").exists() && !moved.path("target/data").exists(), "nothing was begun");
}

#[test]
fn a_run_that_is_under_way_elsewhere_is_heard_of_first() {
    let bench = Bench::new(THREE);
    save(&bench);
    bench.expect(0, &["run", "saved.json"]);
    let lock = File::options().write(true).open(bench.path(".migrate/bench/lock")).unwrap();
    lock.lock().unwrap();
    bench.plan("", "extra = \"delete\"");
    let refused = bench.expect(3, &["run", "saved.json"]);
    assert!(refused.err.contains("another process drives this migration"), "{}", refused.err);
}

#[test]
fn an_interrupted_run_of_a_saved_plan_names_itself() {
    let bench = Bench::new(THREE);
    save(&bench);
    std::os::unix::fs::symlink("a.txt", bench.path("source/data/link")).unwrap();
    let short = bench.expect(3, &["run", "saved.json"]);
    assert_eq!(short.next_commands(), ["migrate run saved.json"]);
    fs::remove_file(bench.path("source/data/link")).unwrap();
    bench.expect(0, &["run", "saved.json"]);
}

#[tokio::test]
async fn a_look_that_is_stopped_says_so() {
    let bench = Bench::new(THREE);
    let file = bench.path("plan.toml");
    let plan = migrate::plan::parse(&fs::read_to_string(&file).unwrap(), &file).unwrap();
    let shutdown = Shutdown::new();
    let sites = migrate::connect::sites();
    let (sink, ledger) = (Sink::none(), None);
    let look = Inspection { plan: &plan, sites: &sites, ledger, sink, shutdown: shutdown.clone() };
    assert_eq!(look.bindings(&[]).await.unwrap().datasets.len(), 1);
    shutdown.ask();
    assert!(matches!(look.bindings(&[]).await, Err(EngineError::Cancelled)));
}
