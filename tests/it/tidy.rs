//! The house rules that a compiler does not know: who may name whom, and what no file may hold.
//!
//! Each rule is a function from a source file (or from the files of one crate, or from a manifest) to
//! complaints; a complaint names the file, the line and the reason. [`source`] reads the files: as tokens,
//! because `syn` leaves the insides of macros as tokens, and a wall must be seen there too. Code under
//! `#[cfg(test)]` is bound by the rules on loose ends and lengths, but by no wall.
//!
//! Each rule is tried on what it forbids, below itself: a rule that cannot fire guards nothing.

use std::{fs, path::Path, sync::LazyLock};

mod circles;
mod counts;
mod forgotten;
mod length;
mod loose_ends;
mod paths;
mod purity;
mod reach;
mod roots;
mod source;
mod terminal;
mod walls;

use source::Source;

/// A broken rule.
#[derive(Debug)]
struct Complaint {
    file: String,
    line: usize,
    reason: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the repository, relative to it, sorted.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut folders = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The members of the workspace below `crates/`, by the name of their folder, sorted.
fn members() -> Vec<String> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    let mut found: Vec<_> = folders.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    found.sort();
    assert!(found.len() > 5, "the members were not found: {found:?}");
    found
}

/// Every source file of the workspace.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let folders = ["src", "crates", "tests", "benches", "examples"];
    let all: Vec<_> = folders.iter().flat_map(|folder| files(folder, "rs")).collect();
    assert!(all.len() > 200, "the tree was not found");
    all.iter().map(|path| Source::new(path, &read(path))).collect()
});

/// Fails with every complaint, one a line.
#[track_caller]
fn expect_none(complaints: impl IntoIterator<Item = Complaint>) {
    let broken: Vec<String> =
        complaints.into_iter().map(|Complaint { file, line, reason }| format!("{file}:{line}: {reason}")).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[track_caller]
fn hold(rule: fn(&Source) -> Vec<Complaint>) {
    expect_none(SOURCES.iter().flat_map(rule));
}

/// The rule complains of this line of the text.
#[track_caller]
fn fires(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str, line: usize) {
    let found = rule(&Source::new(path, text));
    assert!(found.iter().any(|complaint| complaint.line == line), "{path}: {text:?} gave {found:?}");
}

/// The rule has nothing to complain of.
#[track_caller]
fn passes(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str) {
    let found = rule(&Source::new(path, text));
    assert!(found.is_empty(), "{path}: {text:?} gave {found:?}");
}
