//! Surveys in shards: many listings at once, and the same preview.

use std::{sync::Arc, time::Duration};

use migrate::{
    engine::{Inspection, Shutdown, Sink},
    ledger::Record,
    model::{Key, KeyRange, ShardId},
    store::{
        Properties,
        faulty::{Fault, FaultRule, Faults, Faulty, Operation, When},
        memory::MemoryStore,
    },
    survey::{Preview, SurveyOptions},
};
use tempfile::tempdir;
use tokio::time::Instant;

use super::{Rig, Stores, dynamic, memory, one_dataset, verifying::slow};

fn shown(preview: &Preview) -> serde_json::Value {
    serde_json::to_value(preview).expect("a preview is plain data")
}

/// As many requests as a survey of 1,000,000 records takes, in smaller pages. The target has each third record, and
/// as many others.
#[tokio::test(start_paused = true)]
async fn a_survey_in_shards_takes_less_than_a_fifth_of_the_time_and_counts_the_same() {
    let [source, target] = ["src", "a"].map(|site| MemoryStore::new(&format!("s3://{site}/data/")).with_page_size(20));
    for n in 0..20_000_u32 {
        let key = format!("archive/2024/{:08x}", n.wrapping_mul(2_654_435_761));
        source.put_raw(&key, "some", Properties::default());
        if n % 3 == 0 {
            target.put_raw(&key, "some", Properties::default());
            target.put_raw(&format!("{key}-extra"), "", Properties::default());
        }
    }
    let stores = Stores::from([("src".to_owned(), slow(source)), ("a".to_owned(), slow(target))]);
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], ""), stores, directory.path());
    // Two pages, as by default.
    rig.limits.split_rows_min = 40;
    let (mut times, mut previews) = (Vec::new(), Vec::new());
    for shards in [1, rig.limits.shards] {
        rig.limits.shards = shards;
        let options = SurveyOptions { probe: false, ..rig.survey_options() };
        let began = Instant::now();
        // Without a ledger: its threads know no paused time.
        let inspection = Inspection { ledger: None, ..rig.inspection(Sink::none(), Shutdown::new()) };
        previews.push(inspection.survey(&options).await.unwrap());
        times.push(began.elapsed());
    }
    let dataset = &previews[0].phases[0].datasets[0];
    assert_eq!((dataset.records, dataset.bytes, dataset.complete), (Some(20_000), Some(80_000), true));
    let target = &dataset.targets[0];
    assert_eq!((target.create, target.compare, target.extra), (13_333, 6_667, 6_667));
    assert_eq!(shown(&previews[0]), shown(&previews[1]));
    assert!(times[0] >= Duration::from_secs(100), "{times:?}");
    assert!(times[1] * 5 < times[0], "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_begins_with_the_shards_of_the_last_pass() {
    let stores = memory(&["src", "a"]);
    for n in 0..400 {
        stores["src"].put_raw(&format!("{n:04}"), "some", Properties::default());
    }
    let faults = Arc::new(Faults::none());
    let mut over = dynamic(&stores);
    over.insert("src".to_owned(), Arc::new(Faulty::new(Arc::clone(&stores["src"]) as _, Arc::clone(&faults))));
    let directory = tempdir().unwrap();
    let mut rig = Rig::new(&one_dataset(&["a"], ""), over, directory.path());
    rig.limits.split_rows_min = u64::MAX;
    rig.run().await;
    let cuts = [None, Some("0099"), Some("0199"), Some("0299"), None].map(|cut| cut.map(Key::from));
    let ranges = cuts.windows(2).map(|cuts| KeyRange { after: cuts[0].clone(), until: cuts[1].clone() });
    let shards = (101..).map(ShardId).zip(ranges).collect();
    let dataset = rig.plan.phases[0].datasets[0].name.clone();
    rig.ledger.append(vec![Record::ShardsPlanned { dataset, shards }]).await.unwrap();
    let pages = FaultRule::new(Fault::SlowFirstByte(Duration::ZERO), When::Every(1)).on([Operation::List]);
    faults.set_rules(1, vec![pages]);
    let preview = rig.inspection(Sink::none(), Shutdown::new()).survey(&rig.survey_options()).await.unwrap();
    assert_eq!(preview.phases[0].datasets[0].targets[0].skip, 400);
    assert_eq!(faults.struck()["slow first byte"], 8, "a page and the end of each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_blocks_the_dataset_and_what_was_counted_is_shown() {
    let stores = memory(&["src", "a"]);
    for n in 0..3_000 {
        stores["src"].put_raw(&format!("{n:04}"), "some", Properties::default());
    }
    let breaks = FaultRule::new(Fault::ExpiredCredentials(u64::MAX), When::Only(3)).on([Operation::List]);
    let source = Faulty::new(Arc::clone(&stores["src"]) as _, Arc::new(Faults::with_rules(1, vec![breaks])));
    let mut over = dynamic(&stores);
    over.insert("src".to_owned(), Arc::new(source));
    let directory = tempdir().unwrap();
    let rig = Rig::new(&one_dataset(&["a"], ""), over, directory.path());
    let preview = rig.inspection(Sink::none(), Shutdown::new()).survey(&rig.survey_options()).await.unwrap();
    let dataset = &preview.phases[0].datasets[0];
    assert!(!preview.runnable && !preview.stopped && !dataset.complete);
    assert!(dataset.blocks[0].starts_with("failed to list at s3://src/data/"), "{:?}", dataset.blocks);
    assert!(dataset.records.is_some_and(|records| records > 0 && records < 3_000), "{:?}", dataset.records);
}
