//! Tells the program which commit it is built from, if it is built from a checkout.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    // A path that is not there would have this run at every build.
    println!("cargo::rerun-if-changed=build.rs");
    for path in moved_by_a_commit() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let version = env!("CARGO_PKG_VERSION");
    let version = match git(&["rev-parse", "--short=10", "HEAD"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=MIGRATE_VERSION={version}");
}

/// The files of git that are written when another commit is checked out or made.
fn moved_by_a_commit() -> Vec<PathBuf> {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let paths = names.filter_map(|name| git(&["rev-parse", "--git-path", name])).map(PathBuf::from);
    paths.filter(|path| path.exists()).collect()
}

/// What git says of this directory, and only if the checkout is of this project: a package that was unpacked below
/// another checkout is not of its commit.
fn git(words: &[&str]) -> Option<String> {
    // Asked now, not when this program was compiled: checkouts may share a target directory, and with it this program.
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let ask = |words: &[&str]| {
        let output = Command::new("git").args(["-C", &here]).args(words).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let top = ask(&["rev-parse", "--show-toplevel"])?;
    let same = Path::new(&top).canonicalize().ok()? == Path::new(&here).canonicalize().ok()?;
    same.then(|| ask(words)).flatten()
}
