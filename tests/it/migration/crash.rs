//! The crash sweep: a migration is crashed at every one of its durable writes, stores' and ledger's
//! alike, just before it acts and just after, and then goes on.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use migrate::{
    ledger::{CommitFate, Options},
    lifecycle::Goal,
    plan::Level,
    store::{
        ObjectStore, Properties,
        faulty::{Crash, Faults, Faulty},
        memory::MemoryStore,
    },
};
use tempfile::tempdir;

use super::{Rig, assert_equal, dynamic, memory, one_dataset};

const SITES: [&str; 3] = ["src", "a", "b"];
/// Small objects, one in parts, one to be replaced at both targets.
fn fill(stores: &BTreeMap<String, Arc<MemoryStore>>) {
    for n in 0..5 {
        stores["src"].put_raw(&format!("small/{n}"), format!("value {n}"), Properties::default());
    }
    stores["src"].put_raw("large", vec![7; 200 << 10], Properties::default());
    for target in ["a", "b"] {
        stores[target].put_raw("small/3", "something else", Properties::default());
    }
}

/// A rig whose targets and ledger share one count of writes, and so one crash.
fn rig(stores: &BTreeMap<String, Arc<MemoryStore>>, directory: &Path, faults: &Arc<Faults>) -> Rig {
    let mut shared = dynamic(stores);
    for target in ["a", "b"] {
        let inner: Arc<dyn ObjectStore> = Arc::clone(&shared[target]);
        shared.insert(target.to_owned(), Arc::new(Faulty::new(inner, Arc::clone(faults))));
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
    let mut rig = Rig::with_ledger(&one_dataset(&["a", "b"], ""), shared, directory, options);
    for target in &mut rig.plan.phases[0].datasets[0].targets {
        target.part_size = Some(64 << 10);
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_loses_nothing_and_the_same_command_goes_on() {
    let counting = Arc::new(Faults::none());
    let (stores, directory) = (memory(&SITES), tempdir().unwrap());
    fill(&stores);
    rig(&stores, directory.path(), &counting).run().await;
    let writes = counting.writes();
    assert!(writes > 20, "only {writes} writes were counted");

    // Writes run side by side, so that a run may have a few more or fewer than the one counted.
    for at in 1..=writes {
        for crash in [Crash::Before(at), Crash::After(at)] {
            let faults = Arc::new(Faults::none().with_crash(crash));
            let (stores, directory) = (memory(&SITES), tempdir().unwrap());
            fill(&stores);
            let crashed = rig(&stores, directory.path(), &faults);
            let outcome = crashed.try_run(Goal::Verified).await;
            let done = outcome.is_ok_and(|outcome| outcome.datasets.iter().all(|dataset| dataset.reached));
            assert!(!(done && faults.crashed()), "{crash:?}: a crashed run said that it was done");
            drop(crashed);

            let resumed = rig(&stores, directory.path(), &Arc::new(Faults::none()));
            resumed.run().await;
            for target in ["a", "b"] {
                assert_equal(&stores["src"], &stores[target]);
                assert_eq!(stores[target].unfinished_uploads(), 0, "{crash:?} left an upload at {target}");
            }
            assert!(resumed.verify(Level::Bytes).await.verified.is_some(), "{crash:?}");
        }
    }
}
