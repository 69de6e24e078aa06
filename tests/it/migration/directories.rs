//! Directories as sources and targets.

use std::{fs, os::unix::fs::symlink, sync::Arc};

use migrate::{
    lifecycle::Goal,
    store::{ObjectStore, file::FileStore},
};
use tempfile::tempdir;

use super::{Rig, Stores, one_dataset};

fn rig_over(from: &std::path::Path, to: &std::path::Path, ledger: &std::path::Path) -> Rig {
    let mut stores = Stores::new();
    let source: Arc<dyn ObjectStore> = Arc::new(FileStore::open(from.to_owned(), "file://src/x".into()).unwrap());
    let target = FileStore::open_or_create(to.to_owned(), "file://a/x".into()).unwrap();
    stores.insert("src".to_owned(), source);
    stores.insert("a".to_owned(), Arc::new(target));
    Rig::new(&one_dataset(&["a"], "waive = [\"properties\"]\ndelete_share = \"50%\""), stores, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_copied_kept_equal_and_proved() {
    let (from, to, ledger) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    for directory in ["a", "a/b", "a-b", "a.b"] {
        fs::create_dir_all(from.path().join(directory)).unwrap();
        for n in 0..20 {
            fs::write(from.path().join(directory).join(format!("file {n}.txt")), format!("{directory} {n}")).unwrap();
        }
    }
    fs::write(from.path().join("empty"), "").unwrap();
    let rig = rig_over(from.path(), to.path(), ledger.path());
    rig.run().await;
    assert_eq!(rig.last_pass()[0].copied, 81);
    rig.run().await;
    assert_eq!((rig.last_pass()[0].copied, rig.last_pass()[0].same), (0, 81));

    fs::remove_dir_all(from.path().join("a/b")).unwrap();
    fs::write(from.path().join("a/file 3.txt"), "changed").unwrap();
    rig.run().await;
    assert_eq!((rig.last_pass()[0].copied, rig.last_pass()[0].deleted), (1, 20));
    assert!(!to.path().join("a/b").exists());
    assert_eq!(fs::read_to_string(to.path().join("a/file 3.txt")).unwrap(), "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbolic_link_is_a_failure_and_not_a_silence() {
    let (from, to, ledger) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    fs::write(from.path().join("file"), "x").unwrap();
    symlink("/etc/hostname", from.path().join("link")).unwrap();
    let rig = rig_over(from.path(), to.path(), ledger.path());
    let outcome = rig.try_run(Goal::Verified).await.unwrap();
    assert!(!outcome.datasets[0].reached);
    assert!(rig.failures()[0].starts_with("link: is a symbolic link"), "{:?}", rig.failures());
    assert!(to.path().join("file").exists(), "the others are copied");
    fs::remove_file(from.path().join("link")).unwrap();
    rig.run().await;
}
