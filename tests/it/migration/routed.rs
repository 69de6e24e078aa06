//! Datasets with `where`: each object is where it belongs, and nowhere else.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use migrate::{
    engine::{EngineError, Inspection, Shutdown, Sink},
    ledger::{CommitFate, Options},
    lifecycle::Goal,
    plan::Level,
    store::{
        ObjectStore, Properties,
        faulty::{Crash, Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, Stores, conditions::Racing, dynamic, found, memory, one_dataset};

const COUNTRY: &str = "object.metadata.country";

/// A plan of one dataset from `src`, whose targets each say what they take.
fn partitioned(targets: &[(&str, &str)], more: &str) -> String {
    let names: Vec<_> = targets.iter().map(|(site, _)| *site).collect();
    let whole = one_dataset(&names, more);
    let long = |(site, rule): &(&str, &str)| {
        format!("[[phase.dataset.target]]\nat = \"s3://{site}/data/\"\nwhere = '{rule}'\n")
    };
    let long = targets.iter().map(long).collect::<Vec<_>>().concat();
    let short: Vec<_> = names.iter().map(|site| format!("\"s3://{site}/data/\"")).collect();
    whole.replace(&format!("targets = [{}]\n", short.join(", ")), "") + &long
}

/// India's objects to `a`, the others to `b`.
fn by_country(more: &str) -> String {
    partitioned(&[("a", &format!("{COUNTRY} == \"IN\"")), ("b", "otherwise")], more)
}

fn of(country: &str) -> Properties {
    Properties { metadata: BTreeMap::from([("country".to_owned(), country.to_owned())]), ..Properties::default() }
}

fn tagged(country: &str) -> Properties {
    Properties { tags: BTreeMap::from([("country".to_owned(), country.to_owned())]), ..Properties::default() }
}

fn keys(store: &MemoryStore) -> Vec<String> {
    store.snapshot().into_keys().map(|key| key.as_str().to_owned()).collect()
}

/// Counts the looks at a store.
fn counted(store: &Arc<MemoryStore>) -> (Arc<dyn ObjectStore>, Arc<Faults>) {
    let heads = FaultRule::new(Fault::SlowFirstByte(Duration::ZERO), When::Every(1)).on([Operation::Head]);
    let faults = Arc::new(Faults::with_rules(1, vec![heads]));
    (Arc::new(Faulty::new(Arc::clone(store) as _, Arc::clone(&faults))), faults)
}

fn looks(faults: &Faults) -> u64 {
    faults.struck().get("slow first byte").copied().unwrap_or(0)
}

async fn assert_clean(rig: &Rig) {
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        let found: Vec<_> = verification.targets.iter().flat_map(|target| &target.differences).collect();
        assert!(found.is_empty(), "{level:?}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_at_its_target_also_when_it_moves() {
    let stores = memory(&["src", "a", "b"]);
    for n in 0..300 {
        stores["src"].put_raw(&format!("{n:03}"), "some", of(["IN", "US", "SG"][n % 3]));
    }
    let (source, heads) = counted(&stores["src"]);
    let mut over = dynamic(&stores);
    over.insert("src".to_owned(), source);
    let directory = tempdir().unwrap();
    let rig = Rig::new(&by_country("delete_share = \"50%\""), over, directory.path());
    rig.run().await;
    assert_eq!((keys(&stores["a"]).len(), keys(&stores["b"]).len()), (100, 200));
    assert!(stores["a"].snapshot().values().all(|object| object.properties.metadata["country"] == "IN"));
    assert_clean(&rig).await;

    let before = looks(&heads);
    rig.run().await;
    // The verification looks once at each object; the pass at none.
    assert_eq!(looks(&heads) - before, 300);
    let passes = rig.last_pass();
    assert_eq!(passes.iter().map(|pass| pass.same).sum::<u64>(), 300, "{passes:?}");

    // One moves on, one comes back, one is replaced where it is, one is deleted.
    stores["src"].put_raw("000", "moved on", of("US"));
    stores["src"].put_raw("001", "came to", of("IN"));
    stores["src"].put_raw("003", "replaced", of("IN"));
    stores["src"].remove("006");
    rig.run().await;
    let (a, b) = (keys(&stores["a"]), keys(&stores["b"]));
    assert!(!a.contains(&"000".to_owned()) && b.contains(&"000".to_owned()));
    assert!(a.contains(&"001".to_owned()) && !b.contains(&"001".to_owned()));
    assert_eq!(stores["a"].bytes("003").unwrap(), "replaced");
    assert_eq!((a.len(), b.len()), (99, 200));
    assert_clean(&rig).await;
}

/// Looks ahead that nobody went on with held all requests of the source, and the records that were to be copied first waited
/// for one of them.
#[tokio::test(flavor = "multi_thread")]
async fn looks_ahead_hold_up_no_record_at_a_site_of_one_request_at_a_time() {
    let stores = memory(&["src", "a", "b"]);
    for n in 0..300 {
        stores["src"].put_raw(&format!("{n:03}"), "some", of(["IN", "US"][n % 2]));
    }
    let directory = tempdir().unwrap();
    let text = by_country("");
    let limited = text.replacen("[sites.src]\n", "[sites.src]\nlimits = { requests_at_once = 1 }\n", 1);
    assert_ne!(limited, text);
    let rig = Rig::new(&limited, dynamic(&stores), directory.path());
    tokio::time::timeout(Duration::from_mins(2), rig.run()).await.expect("it comes to its end");
    assert_eq!((keys(&stores["a"]).len(), keys(&stores["b"]).len()), (150, 150));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_destination_is_unknown_stops_the_dataset_and_is_touched_nowhere() {
    let stores = memory(&["src", "a", "b"]);
    for (key, properties) in [("in", of("IN")), ("us", of("US")), ("stays", of("IN"))] {
        stores["src"].put_raw(key, "some", properties);
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&by_country("delete_share = \"50%\""), dynamic(&stores), directory.path());
    rig.run().await;
    stores["src"].put_raw("stays", "but nothing says where", Properties::default());
    stores["src"].put_raw("new", "some", of("US"));
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached);
    let failures = rig.failures();
    let reason = "stays: the where of s3://a/data fails: it has no \"country\": ask for it with has() first";
    assert!(failures.iter().any(|failure| failure == reason), "{failures:?}");
    assert_eq!(stores["a"].bytes("stays").unwrap(), "some", "what is there stays");
    assert_eq!(keys(&stores["b"]), ["new", "us"], "the others go on");
    let verification = rig.verify(Level::Checksum).await;
    assert_eq!(found(&verification), ["unreadable stays"]);
    let preview = rig.inspection(Sink::none(), Shutdown::new()).survey(&rig.survey_options()).await.unwrap();
    let blocks = &preview.phases[0].datasets[0].blocks;
    assert!(!preview.runnable && blocks[0].starts_with("stays the where of s3://a/data fails"), "{blocks:?}");

    stores["src"].put_raw("stays", "and moves on", of("US"));
    rig.run().await;
    assert_eq!(keys(&stores["a"]), ["in"]);
    assert_clean(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_matches_none_or_two_targets_is_named() {
    let stores = memory(&["src", "a", "b"]);
    for key in ["a/1", "b/1", "c/1", "a/b/1"] {
        stores["src"].put_raw(key, "some", Properties::default());
    }
    let rules = [("a", r#"object.key.startsWith("a/")"#), ("b", r#"object.key.contains("b/")"#)];
    let directory = tempdir().unwrap();
    let rig = Rig::new(&partitioned(&rules, ""), dynamic(&stores), directory.path());
    assert!(!rig.try_run(Goal::Verified).await.unwrap().datasets[0].reached);
    let failures = rig.failures().join("\n");
    assert!(failures.contains("c/1: it matches the where of no target"), "{failures}");
    assert!(failures.contains("a/b/1: it matches the where of s3://a/data and of s3://b/data"), "{failures}");
    assert_eq!((keys(&stores["a"]), keys(&stores["b"])), (vec!["a/1".to_owned()], vec!["b/1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_at_the_wrong_target_is_a_difference_whatever_the_plan_says_of_extra_ones() {
    let stores = memory(&["src", "a", "b"]);
    for (key, country) in [("1", "IN"), ("2", "US"), ("3", "IN")] {
        stores["src"].put_raw(key, "some", of(country));
    }
    stores["a"].put_raw("2", "some", of("US"));
    stores["a"].put_raw("own", "of the target", of("US"));
    let directory = tempdir().unwrap();
    let rig = Rig::new(&by_country(""), dynamic(&stores), directory.path());
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached, "{:?} {:?}", outcome.stopped, outcome.datasets[0]);
    for level in [Level::Listing, Level::Checksum, Level::Bytes] {
        let verification = rig.verify(level).await;
        assert_eq!(found(&verification), ["extra 2", "extra own"], "{level:?}");
        assert!(verification.targets[1].differences.is_empty());
    }
    assert_eq!(keys(&stores["b"]), ["2"]);
    let directory = tempdir().unwrap();
    let rig = Rig::new(&by_country("extra = \"delete\"\ndelete_share = \"100%\""), dynamic(&stores), directory.path());
    rig.run().await;
    assert_eq!(keys(&stores["a"]), ["1", "3"]);
    assert_clean(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_takes_its_part_and_gives_up_what_belongs_to_it_no_more() {
    let stores = memory(&["src", "a"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("{n:02}"), vec![0; n], Properties::default());
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], "where = 'object.size < 10'"), dynamic(&stores), directory.path());
    let preview = rig.inspection(Sink::none(), Shutdown::new()).survey(&rig.survey_options()).await.unwrap();
    let dataset = &preview.phases[0].datasets[0];
    assert_eq!((dataset.records, dataset.bytes, dataset.targets[0].create), (Some(10), Some(45), 10));
    rig.run().await;
    assert_eq!(keys(&stores["a"]).len(), 10);
    assert_clean(&rig).await;

    for n in 0..2 {
        stores["src"].put_raw(&format!("{n:02}"), vec![0; 100], Properties::default());
    }
    let preview = rig.inspection(Sink::none(), Shutdown::new()).survey(&rig.survey_options()).await.unwrap();
    let dataset = &preview.phases[0].datasets[0];
    assert_eq!(dataset.targets[0].delete, 2);
    assert!(dataset.blocks[0].contains("a run would delete 2 of 10 records"), "{:?}", dataset.blocks);
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    let error = outcome.stopped.expect("too many deletions stop it");
    assert!(matches!(error, EngineError::DeleteShare { doomed: 2, .. }), "{error}");
    assert_eq!(keys(&stores["a"]).len(), 10, "nothing is deleted");
    // One of them belongs to it again, so the share is kept; the next pass copies what it holds by now.
    stores["src"].put_raw("00", "back", Properties::default());
    assert!(rig.try_run(Goal::Verified).await.unwrap().stopped.is_none());
    rig.run().await;
    assert_eq!(keys(&stores["a"]), ["00", "02", "03", "04", "05", "06", "07", "08", "09"]);
    assert_clean(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_looked_at_in_every_run_because_no_listing_shows_that_they_change() {
    let stores = memory(&["src", "a", "b"]);
    for (key, country) in [("1", "IN"), ("2", "US")] {
        stores["src"].put_raw(key, "some", tagged(country));
    }
    let rules = [("a", "object.tags.country == \"IN\""), ("b", "otherwise")];
    let directory = tempdir().unwrap();
    let rig = Rig::new(&partitioned(&rules, "delete_share = \"100%\""), dynamic(&stores), directory.path());
    rig.run().await;
    let source: &dyn ObjectStore = &*stores["src"];
    let shown = source.head(&"1".into()).await.unwrap().unwrap().token;
    source.set_tags(&"1".into(), &tagged("US").tags, &shown).await.unwrap();
    assert_eq!(found(&rig.verify(Level::Listing).await), ["extra 1"]);
    rig.run().await;
    assert_eq!((keys(&stores["a"]).len(), keys(&stores["b"])), (0, vec!["1".to_owned(), "2".to_owned()]));
    assert_clean(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_brings_what_is_missing_to_its_target_only() {
    let stores = memory(&["src", "a", "b"]);
    for n in 0..20 {
        stores["src"].put_raw(&format!("{n:02}"), format!("{n:04}"), of(["IN", "US"][n % 2]));
    }
    let directory = tempdir().unwrap();
    let rig = Rig::new(&by_country(""), dynamic(&stores), directory.path());
    rig.run().await;
    stores["a"].remove("00");
    stores["a"].corrupt("02", "rots");
    stores["b"].put_raw("03", "another", of("US"));
    let (verification, mended) = rig.repair(Level::Bytes).await;
    assert_eq!(mended, 3);
    assert!(verification.targets.iter().all(|target| target.differences.is_empty()));
    assert_eq!((keys(&stores["a"]).len(), keys(&stores["b"]).len()), (10, 10));
    assert_clean(&rig).await;
    let ends = rig.discard().await;
    assert_eq!((ends[0].discarded, keys(&stores["a"]).len(), keys(&stores["b"]).len()), (20, 0, 0));
}

/// A run in which objects move between partitions, at both ends of the same keys, crashes at any of its writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_leaves_no_object_nowhere_and_the_same_command_goes_on() {
    let sweep = async |crash: Option<Crash>| {
        let (stores, directory) = (memory(&["src", "a", "b"]), tempdir().unwrap());
        for (key, country) in [("1", "IN"), ("2", "US"), ("3", "IN"), ("4", "US"), ("large", "IN")] {
            stores["src"].put_raw(key, vec![7; if key == "large" { 200 << 10 } else { 10 }], of(country));
        }
        let rig = |faults: &Arc<Faults>| {
            let mut over = dynamic(&stores);
            for store in over.values_mut() {
                *store = Arc::new(Faulty::new(Arc::clone(store), Arc::clone(faults)));
            }
            let counted = Arc::clone(faults);
            let on_commit = move |_| {
                let mut acted = false;
                match (counted.durable_write(|| acted = true), acted) {
                    (Ok(()), _) => CommitFate::Go,
                    (Err(_), true) => CommitFate::FailAfter,
                    (Err(_), false) => CommitFate::FailBefore,
                }
            };
            let options = Options { on_commit: Some(Arc::new(on_commit)), ..Options::default() };
            let mut rig = Rig::with_ledger(&by_country("delete_share = \"100%\""), over, directory.path(), options);
            rig.limits.batch_rows = 1;
            for target in &mut rig.plan.phases[0].datasets[0].targets {
                target.part_size = Some(64 << 10);
            }
            rig
        };
        let none = Arc::new(Faults::none());
        rig(&none).run().await;
        for (key, country) in [("1", "US"), ("2", "IN"), ("large", "US"), ("5", "IN")] {
            stores["src"].put_raw(key, vec![9; if key == "large" { 200 << 10 } else { 10 }], of(country));
        }
        stores["src"].remove("3");
        let faults = Arc::new(crash.map_or_else(Faults::none, |crash| Faults::none().with_crash(crash)));
        let ended = rig(&faults).try_run(Goal::Verified).await;
        let done = ended.is_ok_and(|outcome| outcome.stopped.is_none() && outcome.datasets[0].reached);
        assert!(!(done && faults.crashed()), "{crash:?}: a crashed run said that it was done");
        let (a, b) = (keys(&stores["a"]), keys(&stores["b"]));
        for key in ["1", "2", "4", "large"] {
            assert!(a.iter().chain(&b).any(|held| held == key), "{crash:?}: {key} is nowhere");
        }
        let again = rig(&none);
        again.run().await;
        assert_eq!((keys(&stores["a"]).join(" "), keys(&stores["b"]).join(" ")), ("2 5".into(), "1 4 large".into()));
        assert_clean(&again).await;
        assert_eq!(stores["a"].unfinished_uploads() + stores["b"].unfinished_uploads(), 0, "{crash:?}");
        faults.writes()
    };
    let writes = sweep(None).await;
    assert!(writes > 12, "only {writes} writes were counted");
    for at in 1..=writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            sweep(Some(crash)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_came_after_the_look_goes_where_it_belongs_itself() {
    let (source, stores) = (Arc::new(Racing::of(MemoryStore::new("s3://src/data/"))), memory(&["a", "b"]));
    source.probe().await.unwrap();
    source.inner.put_raw("k", "first", of("IN"));
    source.arm("k");
    let mut over = dynamic(&stores);
    over.insert("src".to_owned(), Arc::clone(&source) as _);
    let rules = [("a", "has(object.metadata.country) && object.metadata.country == \"IN\""), ("b", "otherwise")];
    let directory = tempdir().unwrap();
    let rig = Rig::new(&partitioned(&rules, ""), over, directory.path());
    rig.try_run(Goal::Copied).await.unwrap();
    assert_eq!(source.inner.bytes("k").unwrap(), "written by the application", "right after the look");
    assert_eq!(stores["a"].bytes("k"), None, "it was routed by the version before");
    _ = rig.try_run(Goal::Verified).await;
    rig.run().await;
    assert_eq!((keys(&stores["a"]).len(), stores["b"].bytes("k").unwrap()), (0, "written by the application".into()));
    assert_clean(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_for_single_records_is_asked_before_one_is_written() {
    let stores = memory(&["src", "a", "b"]);
    for key in ["in/1", "us/1"] {
        stores["src"].put_raw(key, "some", Properties::default());
    }
    let policy =
        "[[policy]]\nclass = \"personal\"\nwhere = 'object.key.startsWith(\"in/\")'\nstays_in = [\"IN\"]\n[[phase]]";
    let text = one_dataset(&["a", "b"], "class = \"personal\"")
        .replace("[[phase]]", policy)
        .replace("[sites.a]\n", "[sites.a]\njurisdiction = \"IN\"\n")
        .replace("[sites.b]\n", "[sites.b]\njurisdiction = \"US\"\n");
    let directory = tempdir().unwrap();
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    assert!(!rig.try_run(Goal::Verified).await.unwrap().datasets[0].reached);
    let failures = rig.failures().join("\n");
    assert!(failures.contains("in/1: a policy for records of class \"personal\" does not allow it at s3://b/data:"));
    assert_eq!(keys(&stores["b"]), ["us/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_where_is_another_meaning() {
    let stores = memory(&["src", "a", "b"]);
    stores["src"].put_raw("1", "some", of("IN"));
    let directory = tempdir().unwrap();
    Rig::new(&by_country(""), dynamic(&stores), directory.path()).run().await;
    let other = by_country("").replace("== \"IN\"", "!= \"IN\"");
    for text in [other, by_country("where = 'object.size > 0'")] {
        let rig = Rig::new(&text, dynamic(&stores), directory.path());
        let error = match rig.try_run(Goal::Verified).await {
            Err(error) => error,
            Ok(outcome) => outcome.stopped.expect("the run stops"),
        };
        assert!(matches!(error, EngineError::MeaningChanged { .. }), "{error}");
    }
    assert_eq!(keys(&stores["a"]), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_fail_send_no_object_to_a_wrong_target() {
    let stores = memory(&["src", "a", "b"]);
    for n in 0..50 {
        stores["src"].put_raw(&format!("{n:02}"), "some", of(["IN", "US"][n % 2]));
    }
    for fault in [Fault::InternalError, Fault::TimedOut] {
        let heads = FaultRule::new(fault, When::Every(2)).on([Operation::Head]);
        let source = Faulty::new(Arc::clone(&stores["src"]) as _, Arc::new(Faults::with_rules(1, vec![heads])));
        let mut over: Stores = dynamic(&stores);
        let directory = tempdir().unwrap();
        over.insert("src".to_owned(), Arc::new(source));
        let rig = Rig::new(&by_country(""), over, directory.path());
        _ = rig.try_run(Goal::Verified).await;
        for (site, country) in [("a", "IN"), ("b", "US")] {
            assert!(stores[site].snapshot().values().all(|object| object.properties == of(country)));
        }
        let directory = tempdir().unwrap();
        let rig = Rig::new(&by_country(""), dynamic(&stores), directory.path());
        rig.run().await;
        assert_clean(&rig).await;
        assert_eq!((keys(&stores["a"]).len(), keys(&stores["b"]).len()), (25, 25));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_dataset_is_copied_and_verified_and_its_cutover_is_refused_with_its_line() {
    let stores = memory(&["src", "a", "b"]);
    stores["src"].put_raw("1", "some", of("IN"));
    let cutover =
        "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nroute = \"s3://b/routes/d.json\"\n";
    let text = by_country("") + cutover;
    let directory = tempdir().unwrap();
    let rig = Rig::new(&text, dynamic(&stores), directory.path());
    let error = match rig.try_run(Goal::CutOver).await {
        Err(error) => error,
        Ok(outcome) => outcome.stopped.expect("the run stops"),
    };
    let line = text.lines().position(|line| line.starts_with("where")).unwrap() + 1;
    assert!(matches!(error, EngineError::Unsupported { line: at, .. } if at == line), "{error}");
    let inspection: Inspection<'_> = rig.inspection(Sink::none(), Shutdown::new());
    let preview = inspection.survey(&rig.survey_options()).await.unwrap();
    let notes = preview.phases[0].datasets[0].notes.join("\n");
    assert!(notes.contains("run with --until verified"), "{notes}");
    assert!(notes.contains("an application that knows only a key cannot tell which target"), "{notes}");
}
