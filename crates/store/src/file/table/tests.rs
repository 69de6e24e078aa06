//! Our own directories and plain ones, as a whole.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
};

use migrate_core::{
    item::{Item, ItemKey, KeyNames, Value, item_from_json},
    table::{KeyType, Structure},
};
use rustix::fs::FlockOperation;

use super::{
    leaves::{Sizes, work},
    store::TableDirectory,
};
use crate::{
    conformance::tables::{Suite, conforms},
    error::ErrorKind,
    file::{directory::Directory, disk::Disk, identity::Identity, store::FileStore},
    table::{ItemWrite, Segment, TableStore},
};

/// Files that become large soon.
const SMALL: Sizes = Sizes { journal: 2 << 10, log: 1 << 10, split: 1 << 10 };

fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), None)
}

fn names() -> KeyNames {
    structure().key_names()
}

fn open(root: &Path, sizes: Sizes, disk: &Arc<Disk>) -> TableDirectory {
    fs::create_dir_all(root).unwrap();
    let file = fs::File::open(root).unwrap();
    let identity = Identity::of(&file).unwrap();
    let mut directory = Directory::new(file.into(), "test".into());
    directory.disk = Arc::clone(disk);
    let files = FileStore { directory: Arc::new(directory), identity, replaces: false.into() };
    TableDirectory::of(files, "test", None, sizes, FlockOperation::NonBlockingLockExclusive).unwrap()
}

fn plain(root: &Path) -> TableDirectory {
    TableDirectory::open(root.to_owned(), "file://test", Some(names())).unwrap()
}

fn item(id: &str, version: u32) -> Item {
    let pad = Value::Text("x".repeat(50));
    let version = Value::Number(version.to_string().parse().unwrap());
    let entries = [("id", Value::Text(id.to_owned())), ("v", version), ("pad", pad)];
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

fn key(id: &str) -> ItemKey {
    ItemKey { partition: Value::Text(id.to_owned()), sort: None }
}

type Items = BTreeMap<String, Item>;

async fn scan(store: &TableDirectory, of: u32) -> crate::object::Result<Items> {
    let mut all = Items::new();
    for index in 0..of {
        let mut after = None;
        loop {
            let page = store.scan(Segment { index, of }, after.as_ref(), true).await?;
            for item in page.items {
                let Some(Value::Text(id)) = item.get("id") else { panic!("{item:?}") };
                assert!(all.insert(id.clone(), item.clone()).is_none(), "{id} comes twice");
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(all)
}

/// The names of all files below a directory, sorted.
fn files(root: &Path) -> Vec<String> {
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // A file may be renamed while a test copies.
        let _ = fs::copy(from.join(&file), to);
    }
}

#[tokio::test]
async fn it_conforms_with_large_files_and_with_small_ones() {
    for sizes in [Sizes::default(), SMALL] {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::pretending();
        let tables = |name: &str| Arc::new(open(&root.path().join(name), sizes, &disk)) as Arc<dyn TableStore>;
        conforms(&Suite::new(&tables)).await;
    }
}

/// Writes some four hundred items in batches, many of them again and again, some of them deleted. Calls `acknowledged`
/// with what the table holds after each batch.
async fn script(store: &TableDirectory, mut acknowledged: impl FnMut(&Items)) {
    let mut items = Items::new();
    for round in 0..60_u32 {
        let ids: Vec<_> = (0..7).map(|at| ((round * 7 + at) * 37 % 331).to_string()).collect();
        let writes: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(at, id)| match (u32::try_from(at).unwrap() + round) % 5 {
                0 => ItemWrite::Delete(key(id)),
                _ => ItemWrite::Put(item(id, round)),
            })
            .collect();
        for write in &writes {
            match write {
                ItemWrite::Put(item) => {
                    let Some(Value::Text(id)) = item.get("id") else { panic!("{item:?}") };
                    items.insert(id.clone(), item.clone());
                }
                ItemWrite::Delete(ItemKey { partition: Value::Text(id), .. }) => drop(items.remove(id)),
                ItemWrite::Delete(key) => panic!("{key:?}"),
            }
        }
        store.write(&writes).await.unwrap();
        acknowledged(&items);
    }
}

#[tokio::test]
async fn after_the_end_it_is_a_plain_export_that_holds_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), SMALL, &Disk::pretending());
    store.create(&structure()).await.unwrap();
    let mut expected = Items::new();
    script(&store, |items| expected.clone_from(items)).await;
    for of in [1, 2, 7] {
        assert_eq!(scan(&store, of).await.unwrap(), expected, "{of} segments");
    }
    store.close().await.unwrap();
    store.close().await.unwrap();
    let left = files(root.path());
    let is_data = |file: &str| file.strip_suffix(".json").is_some_and(|stem| stem.starts_with("data/"));
    let odd = |file: &&String| *file != "table.json" && !is_data(file);
    assert_eq!(left.iter().find(odd), None, "nothing else is left");
    assert!(!root.path().join(work()).exists());
    assert!(left.iter().any(|file| file.len() > "data/0.json".len()), "files were split: {left:?}");
    assert_eq!(scan(&store, 1).await.unwrap(), expected);
    store.write(&[ItemWrite::Put(item("later", 1)), ItemWrite::Delete(key("later too"))]).await.unwrap();
    drop(store);

    // By another process, before anything is folded.
    let store = TableDirectory::open(root.path().to_owned(), "file://test", None).unwrap();
    expected.insert("later".into(), item("later", 1));
    assert_eq!(scan(&store, 3).await.unwrap(), expected);
    let got = store.get(&[key("later"), key("later too")]).await.unwrap();
    assert_eq!((got.found.len(), got.absent), (1, vec![key("later too")]));
    store.close().await.unwrap();
    drop(store);

    // As lines of any origin.
    fs::remove_file(root.path().join("table.json")).unwrap();
    let lines = plain(root.path());
    assert_eq!(scan(&lines, 2).await.unwrap(), expected);
    let described = lines.describe().await.unwrap().unwrap();
    assert_eq!((described.structure, described.items), (structure(), Some(expected.len() as u64)));
    let refused = lines.write(&[ItemWrite::Put(item("no", 1))]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert_eq!(lines.create(&structure()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// What a crash right before each sync leaves holds every acknowledged write, and the batch under way whole or not.
#[tokio::test]
async fn a_crash_at_any_sync_loses_nothing_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let (live, copies) = (root.path().join("live"), root.path().join("copies"));
    let disk = Disk::pretending();
    let store = open(&live, SMALL, &disk);
    store.create(&structure()).await.unwrap();
    let acknowledged: Arc<Mutex<Vec<Items>>> = Arc::new(Mutex::new(vec![Items::new()]));
    let taken: Arc<Mutex<Vec<usize>>> = Arc::default();
    let watch = {
        let (acknowledged, taken, live, copies) = (acknowledged.clone(), taken.clone(), live.clone(), copies.clone());
        move || {
            let mut taken = taken.lock().unwrap();
            if taken.len().is_multiple_of(7) {
                copy(&live, &copies.join(taken.len().to_string()));
            }
            taken.push(acknowledged.lock().unwrap().len() - 1);
        }
    };
    *disk.watch.0.lock().unwrap() = Some(Box::new(watch));
    script(&store, |items| acknowledged.lock().unwrap().push(items.clone())).await;
    store.close().await.unwrap();
    *disk.watch.0.lock().unwrap() = None;

    let (taken, acknowledged) = (taken.lock().unwrap().clone(), acknowledged.lock().unwrap().clone());
    assert!(taken.len() > 300, "there are {} syncs", taken.len());
    // Some of them: they are many.
    for (number, before) in taken.iter().enumerate().step_by(7) {
        let crashed = copies.join(number.to_string());
        let store = open(&crashed, SMALL, &Disk::pretending());
        let found = scan(&store, 2).await.unwrap_or_else(|error| panic!("crash {number}: {error}"));
        let allowed = &acknowledged[*before..(*before + 2).min(acknowledged.len())];
        assert!(allowed.contains(&found), "crash {number} after batch {before}");
        // It goes on, and ends as if nothing had happened.
        store.write(&[ItemWrite::Put(item("after", 1))]).await.unwrap();
        store.close().await.unwrap_or_else(|error| panic!("crash {number}: {error}"));
        drop(store);
        fs::remove_file(crashed.join("table.json")).unwrap();
        let mut expected = found;
        expected.insert("after".into(), item("after", 1));
        assert_eq!(scan(&plain(&crashed), 1).await.unwrap(), expected, "crash {number}: as plain lines");
        fs::remove_dir_all(crashed).unwrap();
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_is_written() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::pretending();
    let store = open(root.path(), SMALL, &disk);
    store.create(&structure()).await.unwrap();
    store.write(&[ItemWrite::Put(item("a", 1))]).await.unwrap();
    disk.fails_at.store(1, std::sync::atomic::Ordering::Relaxed);
    let failed = store.write(&[ItemWrite::Put(item("b", 1))]).await.unwrap_err();
    assert!(failed.outcome_unknown() && failed.kind() == ErrorKind::Unsynced, "{failed}");
    let refused = store.write(&[ItemWrite::Put(item("c", 1))]).await.unwrap_err();
    assert!(!refused.outcome_unknown() && refused.kind() == ErrorKind::Unsynced, "{refused}");
    assert_eq!(store.close().await.unwrap_err().kind(), ErrorKind::Unsynced);
}

#[tokio::test]
async fn what_others_did_to_our_files_is_told_with_file_and_line() {
    for (change, reason) in [
        (r#"{"Item":{"id":{"S":"elsewhere"}}}"#, "belongs into data/"),
        (r#"{"Item":{"id":{"S":"x"}"#, "line 2: the line is cut"),
        (r#"{"Item":{"id":{"N":"1"}}}"#, "line 2: the key attribute id has the type N, and not S"),
        ("", "is missing"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path(), Sizes::default(), &Disk::pretending());
        store.create(&structure()).await.unwrap();
        store.write(&[ItemWrite::Put(item("x", 1))]).await.unwrap();
        store.close().await.unwrap();
        let holds = |file: &String| fs::metadata(root.path().join(file)).unwrap().len() > 0 && file != "table.json";
        let file = root.path().join(files(root.path()).into_iter().find(holds).unwrap());
        if change.is_empty() {
            fs::remove_file(&file).unwrap();
        } else {
            let mut file = fs::OpenOptions::new().append(true).open(&file).unwrap();
            writeln!(file, "{change}").unwrap();
        }
        let told = scan(&store, 1).await.unwrap_err();
        assert!(told.detail().contains(reason), "{change}: {told}");
        let told = store.get(&[key("x")]).await.unwrap_err();
        assert!(told.detail().contains(reason), "{change}: {told}");
    }
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// An export as AWS makes it.
fn export(root: &Path, files: &[(&str, &str, u64)]) {
    let at = root.join("AWSDynamoDB/01234567890123-a1b2c3d4");
    fs::create_dir_all(at.join("data")).unwrap();
    let mut manifest = String::new();
    for (name, text, count) in files {
        fs::write(at.join("data").join(name), gz(text)).unwrap();
        let key = format!("prefix/AWSDynamoDB/01234567890123-a1b2c3d4/data/{name}");
        let line =
            [r#"{"itemCount":"#, &count.to_string(), r#","md5Checksum":"x","etag":"y-1","dataFileS3Key":""#, &key];
        manifest += &[&line.concat(), "\"}\n"].concat();
    }
    fs::write(at.join("manifest-files.json"), manifest).unwrap();
    let summary = r#"{"version":"2020-06-30","outputFormat":"DYNAMODB_JSON","exportType":"FULL_EXPORT","itemCount":3}"#;
    fs::write(at.join("manifest-summary.json"), summary).unwrap();
    fs::write(at.join("_started"), "").unwrap();
}

const TWO: &str = "{\"Item\":{\"id\":{\"S\":\"a\"},\"n\":{\"N\":\"1.50\"}}}\n{\"Item\":{\"id\":{\"S\":\"b\"}}}\n";
const ONE: &str = "{\"Item\":{\"id\":{\"S\":\"c\"},\"s\":{\"SS\":[\"y\",\"x\"]}}}\n";

#[tokio::test]
async fn an_export_by_aws_is_read() {
    let root = tempfile::tempdir().unwrap();
    export(root.path(), &[("one.json.gz", TWO, 2), ("two.json.gz", ONE, 1), ("empty.json.gz", "", 0)]);
    let store = plain(root.path());
    let found = scan(&store, 2).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(found["a"], item_from_json(br#"{"id":{"S":"a"},"n":{"N":"1.5"}}"#).unwrap());
    let got = store.get(&[key("b"), key("z")]).await.unwrap();
    assert_eq!((got.found.len(), got.absent), (1, vec![key("z")]));
    // What is asked again must be what was read.
    fs::write(root.path().join("AWSDynamoDB/01234567890123-a1b2c3d4/data/one.json.gz"), gz(ONE)).unwrap();
    assert_eq!(scan(&store, 1).await.unwrap_err().kind(), ErrorKind::Changed);
    // Without names nothing is guessed.
    drop(store);
    let nameless = TableDirectory::open(root.path().to_owned(), "file://test", None).unwrap();
    let told = scan(&nameless, 1).await.unwrap_err();
    assert!(told.detail().contains("table.json"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_with_an_export_is_told_with_file_and_line() {
    let cut = TWO.trim_end().trim_end_matches('}');
    for (files, reason) in [
        (&[("one.json.gz", TWO, 3_u64)][..], "one.json.gz has 2 items, and manifest-files.json says 3"),
        (&[("one.json.gz", cut, 2)], "one.json.gz, line 2: the line is cut"),
        (&[("a.json.gz", TWO, 2), ("b.json.gz", TWO, 2)], "two items have one key: "),
        (
            &[("one.json.gz", "{\"Item\":{\"id\":{\"S\":\"a\"}}}\n{\"Item\":{\"id\":{\"N\":\"1\"}}}", 2)],
            "line 2: the key attribute id has the type N",
        ),
        (&[("one.json.gz", "{\"Item\":{\"x\":{\"S\":\"a\"}}}", 1)], "line 1: the item lacks the key attribute id"),
    ] {
        let root = tempfile::tempdir().unwrap();
        export(root.path(), files);
        let told = scan(&plain(root.path()), 1).await.unwrap_err();
        assert!(told.detail().contains(reason), "{reason}: {told}");
    }
    let root = tempfile::tempdir().unwrap();
    export(root.path(), &[("one.json.gz", TWO, 2)]);
    let at = root.path().join("AWSDynamoDB/01234567890123-a1b2c3d4");
    let whole = fs::read(at.join("data/one.json.gz")).unwrap();
    fs::write(at.join("data/one.json.gz"), &whole[..whole.len() - 5]).unwrap();
    let told = scan(&plain(root.path()), 1).await.unwrap_err();
    assert!(told.detail().contains("the compressed file is cut"), "{told}");
    fs::remove_file(at.join("data/one.json.gz")).unwrap();
    let told = scan(&plain(root.path()), 1).await.unwrap_err();
    assert!(told.detail().contains("one.json.gz is missing"), "{told}");
    fs::write(at.join("manifest-summary.json"), r#"{"exportType":"INCREMENTAL_EXPORT"}"#).unwrap();
    let told = scan(&plain(root.path()), 1).await.unwrap_err();
    assert!(told.detail().contains("incremental"), "{told}");
    fs::remove_file(at.join("manifest-files.json")).unwrap();
    let told = scan(&plain(root.path()), 1).await.unwrap_err();
    assert!(told.detail().contains("not complete"), "{told}");
}

#[tokio::test]
async fn lines_of_any_origin_are_read_at_any_depth_with_a_table_json_by_hand() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("deep/er")).unwrap();
    fs::write(root.path().join("deep/er/one.ndjson"), TWO).unwrap();
    fs::write(root.path().join("two.jsonl.gz"), gz(ONE)).unwrap();
    fs::write(root.path().join("README.md"), "no items").unwrap();
    fs::write(root.path().join("table.json"), r#"{"partition_key":"id","key_types":{"id":"S"}}"#).unwrap();
    let store = TableDirectory::open(root.path().to_owned(), "file://test", None).unwrap();
    assert_eq!(scan(&store, 1).await.unwrap().len(), 3);
    assert_eq!(store.describe().await.unwrap().unwrap().structure, structure());
    drop(store);
    fs::write(root.path().join("table.json"), r#"{"partition_key":"id","key_types":{}}"#).unwrap();
    let store = TableDirectory::open(root.path().to_owned(), "file://test", None).unwrap();
    let told = store.describe().await.unwrap_err();
    assert!(told.detail().contains("key_types lacks the key attribute id"), "{told}");
}

#[tokio::test]
async fn an_empty_directory_has_no_table_and_a_missing_one_is_told() {
    let root = tempfile::tempdir().unwrap();
    let store = TableDirectory::open(root.path().to_owned(), "file://test", None).unwrap();
    assert!(store.describe().await.unwrap().is_none());
    let told = store.write(&[ItemWrite::Put(item("a", 1))]).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::NoContainer);
    let missing = TableDirectory::open(root.path().join("no"), "file://test", None).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NoContainer);
}

#[tokio::test]
async fn stores_of_one_process_share_the_table() {
    let root = tempfile::tempdir().unwrap();
    let one = TableDirectory::open_or_create(root.path().to_owned(), "one", None).unwrap();
    let other = TableDirectory::open_or_create(root.path().to_owned(), "other", None).unwrap();
    assert!(other.describe().await.unwrap().is_none());
    one.create(&structure()).await.unwrap();
    one.write(&[ItemWrite::Put(item("a", 1))]).await.unwrap();
    other.write(&[ItemWrite::Put(item("b", 1))]).await.unwrap();
    assert_eq!(scan(&one, 1).await.unwrap().len(), 2);
    assert_eq!(scan(&other, 1).await.unwrap().len(), 2);
}
