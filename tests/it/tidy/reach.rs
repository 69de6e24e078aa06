//! What a member must not depend on by whatever way, as cargo resolves it.

use std::{collections::BTreeSet, process::Command};

use super::{root, walls::is_like};

/// What must not be below a member, other than for its tests. A name that ends in `*` is a beginning.
const NOT_BELOW: [(&str, &[&str]); 6] = [
    ("core", &["migrate-*", "aws-*", "s3s", "clap", "tokio", "tokio-util", "hyper", "rusqlite", "rustix", "rand"]),
    ("fault", &["*"]),
    ("store", &["aws-*", "s3s", "clap", "hyper", "rusqlite", "migrate-ledger"]),
    ("ledger", &["aws-*", "s3s", "clap", "hyper", "migrate-store"]),
    ("engine", &["aws-*", "s3s", "clap", "hyper"]),
    ("local-cloud", &["migrate-core", "migrate-ledger", "clap"]),
];

/// The packages below a member on this machine, without what only its tests need.
fn below(member: &str) -> BTreeSet<String> {
    let package = format!("migrate-{member}");
    let arguments =
        ["tree", "--package", &package, "--edges", "no-dev", "--prefix", "none", "--format", "{p}", "--offline"];
    let tree = Command::new(env!("CARGO")).args(arguments).arg("--locked").current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    let names: BTreeSet<_> = text.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    assert!(names.contains(&package), "{text}");
    names.into_iter().filter(|name| *name != package).collect()
}

fn too_deep<'a>(below: &'a BTreeSet<String>, not: &[&str]) -> Vec<&'a String> {
    below.iter().filter(|name| not.iter().any(|pattern| is_like(name, pattern))).collect()
}

#[test]
fn what_a_member_must_not_know_is_not_below_it() {
    for (member, not) in NOT_BELOW {
        let below = below(member);
        let found = too_deep(&below, not);
        assert!(
            found.is_empty(),
            "below {member} are {found:?}: `cargo tree -p migrate-{member} -i ...` shows the way"
        );
    }
}

#[test]
fn what_is_below_a_member_is_seen() {
    let below = below("aws");
    assert!(!too_deep(&below, &["aws-*"]).is_empty() && !too_deep(&below, &["hyper"]).is_empty());
    assert_eq!(too_deep(&below, &["migrate-*"]), ["migrate-core", "migrate-store"]);
}
