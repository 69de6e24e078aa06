//! Who may name whom: between members by their manifests, which the compiler then holds them to, and inside
//! a member by the paths in its source.

use super::{Complaint, SOURCES, Source, expect_none, fires, hold, members, passes, read};

/// Which members each member may name; the root package may name all.
const MEMBERS: [(&str, &[&str]); 8] = [
    ("fault", &[]),
    ("core", &[]),
    ("store", &["core", "fault"]),
    ("aws", &["core", "store"]),
    ("ledger", &["core"]),
    ("engine", &["core", "store", "ledger"]),
    ("local-cloud", &["fault"]),
    ("rehearsal", &["core", "fault", "store", "aws", "engine", "local-cloud"]),
];

/// Which outside crates not every member may name, and who may. A name that ends in `*` is a beginning.
const OUTSIDE: [(&str, &[&str]); 15] = [
    ("aws-*", &["aws"]),
    ("clap", &[ROOT]),
    ("clap_complete", &[ROOT]),
    ("clap_mangen", &[ROOT]),
    ("dynoxide-rs", &["local-cloud"]),
    ("hyper", &["aws", "local-cloud"]),
    ("hyper-util", &["aws", "local-cloud"]),
    ("quick-xml", &["aws", "local-cloud"]),
    ("rand", &["store", "aws", "engine"]),
    ("rusqlite", &["ledger"]),
    ("rustix", &["store", ROOT]),
    ("s3s", &["local-cloud"]),
    ("tokio", &["store", "aws", "ledger", "engine", "local-cloud", "rehearsal", ROOT]),
    ("tokio-util", &["engine", "local-cloud", "rehearsal"]),
    ("tracing-subscriber", &[ROOT]),
];

/// The name of the root package.
const ROOT: &str = "migrate";

/// What the files of a folder must not name, although the manifest of their member allows it.
const INSIDE: [(&str, &[&[&str]]); 4] = [
    // A store holds objects, and knows no plan that they are part of.
    ("crates/store/src/", &[&["migrate_core", "plan"]]),
    ("crates/aws/src/", &[&["migrate_core", "plan"]]),
    // The ledger keeps what happened, and not what was wanted.
    ("crates/ledger/src/", &[&["migrate_core", "plan"]]),
    // A cutover's steps ask the engine through a hand.
    ("crates/engine/src/cutover/", &[&["migrate_ledger"], &["crate", "survey"]]),
];

/// Crates that only the files of some folders of a member may name, of all the member's files.
const ONLY_IN: [(&str, &[&str], &[&str]); 1] = [
    // The rest of the clients sees plain requests and answers, so that it runs on more than one way to speak.
    (
        "crates/aws/src/",
        &[
            "crates/aws/src/sdk/",
            "crates/aws/src/dial.rs",
            "crates/aws/src/s3/wire/sdk/",
            "crates/aws/src/s3/wire/direct/",
            "crates/aws/src/dynamodb/wire/sdk/",
        ],
        &["aws_*", "hyper_rustls", "hyper_util", "http_body_util", "rustls", "tower_service"],
    ),
];

pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |beginning| name.starts_with(beginning))
}

/// The packages that a manifest depends on, other than for tests, each with the line that says so.
fn dependencies(manifest: &str, workspace: &toml::Table) -> Vec<(usize, String)> {
    let parsed: toml::Table = manifest.parse().expect("a manifest");
    let targets = parsed.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let tables = std::iter::once(&parsed).chain(targets.filter_map(|(_, target)| target.as_table()));
    let sections = tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)));
    let entries = sections.flatten().filter_map(toml::Value::as_table).flatten();
    let all = entries.map(|(key, value)| {
        let inherited = value.get("workspace").and_then(|_| workspace.get(key));
        // A dependency can have another name than its package.
        let package = [Some(value), inherited].into_iter().flatten().find_map(|value| value.get("package")?.as_str());
        let line = manifest.lines().position(|line| line.starts_with(key.as_str())).map_or(1, |index| index + 1);
        (line, package.unwrap_or(key).to_owned())
    });
    all.collect()
}

/// A member names only what it may, and takes the lints of the workspace.
fn manifests(member: &str, manifest: &str, workspace: &toml::Table) -> Vec<Complaint> {
    let file = if member == ROOT { "Cargo.toml".to_owned() } else { format!("crates/{member}/Cargo.toml") };
    let complaint = |line, reason: String| Complaint { file: file.clone(), line, reason };
    let Some(ours) = (if member == ROOT { Some(None) } else { of(&MEMBERS, member).map(Some) }) else {
        return vec![complaint(1, format!("say in tests/it/tidy/walls.rs which members {member} may name"))];
    };
    let mut found = Vec::new();
    for (line, name) in dependencies(manifest, workspace) {
        let outside = OUTSIDE.iter().find(|(pattern, _)| is_like(&name, pattern));
        let is_allowed = match (name.strip_prefix("migrate-"), outside) {
            (Some(other), _) => ours.is_none_or(|ours| ours.contains(&other)),
            (None, Some((_, who))) => who.contains(&member),
            (None, None) => true,
        };
        if !is_allowed {
            found.push(complaint(line, format!("{member} must not name {name}")));
        }
    }
    let parsed: toml::Table = manifest.parse().expect("a manifest");
    let lints = parsed.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if lints != Some(true) {
        found.push(complaint(1, format!("{member} does not take the lints of the workspace")));
    }
    found
}

fn of<'a, T>(table: &'a [(&str, T)], name: &str) -> Option<&'a T> {
    table.iter().find(|(entry, _)| *entry == name).map(|(_, value)| value)
}

/// `[workspace.dependencies]` of the root.
fn workspace() -> toml::Table {
    let root: toml::Table = read("Cargo.toml").parse().expect("a manifest");
    root["workspace"]["dependencies"].as_table().expect("a table").clone()
}

/// Files keep to the walls inside their member.
fn inside(source: &Source) -> Vec<Complaint> {
    let forbidden = INSIDE.iter().filter(|(folder, _)| source.path.starts_with(folder)).flat_map(|(_, not)| *not);
    let breaches = forbidden.flat_map(|not| source.paths.iter().filter(|path| path.starts(not)));
    breaches.map(|path| source.complaint(path.line, format!("must not name {}", path.shown()))).collect()
}

/// Files outside a folder do not name what only its files may.
fn outside(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (member, folders, crates) in ONLY_IN {
        if !source.path.starts_with(member) || folders.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        let named = source.paths.iter().filter(|path| crates.iter().any(|name| is_like(&path.parts[0], name)));
        found.extend(
            named.map(|path| {
                source.complaint(path.line, format!("only {} may name {}", folders.join(", "), path.shown()))
            }),
        );
    }
    found
}

#[test]
fn members_name_only_what_they_may() {
    let workspace = workspace();
    let of_members = members().into_iter().map(|member| (read(&format!("crates/{member}/Cargo.toml")), member));
    let all: Vec<_> = of_members.chain([(read("Cargo.toml"), ROOT.to_owned())]).collect();
    expect_none(all.iter().flat_map(|(manifest, member)| manifests(member, manifest, &workspace)));
    let stale: Vec<_> = MEMBERS.iter().filter(|(member, _)| !all.iter().any(|(_, found)| found == member)).collect();
    assert!(stale.is_empty(), "no longer members: {stale:?}");
    let named: Vec<_> = all.iter().flat_map(|(manifest, _)| dependencies(manifest, &workspace)).collect();
    let unused = OUTSIDE.iter().filter(|(pattern, _)| !named.iter().any(|(_, name)| is_like(name, pattern)));
    let unused: Vec<_> = unused.map(|(pattern, _)| pattern).collect();
    assert!(unused.is_empty(), "no member names {unused:?}");
}

#[test]
fn files_keep_to_the_walls_inside_their_member() {
    hold(inside);
    hold(outside);
    for (_, folders, crates) in ONLY_IN {
        let is_within = |source: &&Source| folders.iter().any(|folder| source.path.starts_with(folder));
        let within: Vec<_> = SOURCES.iter().filter(is_within).collect();
        let is_named = |name| within.iter().flat_map(|source| &source.paths).any(|path| is_like(&path.parts[0], name));
        assert!(crates.iter().all(|name| is_named(name)), "{folders:?} no longer name all of {crates:?}");
    }
}

#[track_caller]
fn breach(member: &str, dependencies: &str, line: usize) {
    let found = complaints(member, dependencies);
    assert!(found.iter().any(|complaint| complaint.line == line), "{member}: {dependencies} gave {found:?}");
}

fn complaints(member: &str, dependencies: &str) -> Vec<Complaint> {
    let workspace = "cloud = { package = \"aws-sdk-s3\", version = \"1\" }".parse().unwrap();
    manifests(member, &format!("[lints]\nworkspace = true\n{dependencies}"), &workspace)
}

#[test]
fn a_breach_of_a_wall_is_seen_in_a_manifest() {
    breach("core", "[dependencies]\nmigrate-store.workspace = true", 4);
    breach("ledger", "[dependencies]\nhex = \"1\"\nmigrate-store = { path = \"../store\" }", 5);
    breach("fault", "[dependencies]\nmigrate-core.workspace = true", 4);
    breach("local-cloud", "[dependencies]\nmigrate-core.workspace = true", 4);
    breach("engine", "[dependencies]\nmigrate-aws.workspace = true", 4);
    breach("engine", "[dependencies]\naws-sdk-s3.workspace = true", 4);
    breach("store", "[dependencies]\ncloud.workspace = true", 4);
    breach("store", "[dependencies]\ndb = { package = \"rusqlite\", version = \"0.36\" }", 4);
    breach("core", "[build-dependencies]\ntokio = \"1\"", 4);
    breach("core", "[target.'cfg(unix)'.dependencies]\nrustix = \"1\"", 4);
    breach("rehearsal", "[dependencies]\ns3s.workspace = true", 4);
    breach("engine", "[dependencies]\nclap.workspace = true", 4);
    breach(ROOT, "[dependencies]\naws-config.workspace = true", 4);
    breach("new", "", 1);
    assert_eq!(manifests("core", "[dependencies]", &toml::Table::new()).len(), 1, "no lints");
}

#[test]
fn what_a_manifest_may_name_is_not_complained_of() {
    for (member, dependencies) in [
        ("core", "[dependencies]\nserde.workspace = true\n[dev-dependencies]\ntokio = \"1\""),
        ("aws", "[dependencies]\nmigrate-store.workspace = true\naws-config.workspace = true"),
        ("engine", "[dependencies]\nmigrate-ledger.workspace = true\ntokio.workspace = true"),
        (ROOT, "[dependencies]\nmigrate-aws.workspace = true\nclap.workspace = true"),
    ] {
        let found = complaints(member, dependencies);
        assert!(found.is_empty(), "{member}: {dependencies} gave {found:?}");
    }
}

#[test]
fn a_breach_of_a_wall_inside_a_member_is_seen() {
    fires(inside, "crates/store/src/file/mod.rs", "use migrate_core::{\n    model::Key,\n    plan::Plan,\n};", 3);
    fires(inside, "crates/aws/src/s3/mod.rs", "fn f() -> migrate_core::plan::Plan { g() }", 1);
    fires(inside, "crates/ledger/src/apply.rs", "use migrate_core::plan as p;", 1);
    fires(inside, "crates/engine/src/cutover/moves.rs", "use migrate_ledger::Pair;", 1);
    fires(inside, "crates/engine/src/cutover/moves.rs", "use super::super::survey;", 1);
    passes(inside, "crates/engine/src/run/mod.rs", "use migrate_ledger::Pair; use crate::survey;");
    passes(inside, "crates/store/src/file/mod.rs", "// migrate_core::plan\nuse migrate_core::model::Key;");
    let test = "#[cfg(test)]\nmod tests {\n    use migrate_core::plan::Plan;\n}";
    passes(inside, "crates/store/src/file/mod.rs", test);
}

#[test]
fn a_use_of_the_sdk_outside_its_folder_is_seen() {
    fires(outside, "crates/aws/src/s3/store.rs", "use aws_sdk_s3::types::Tag;", 1);
    fires(outside, "crates/aws/src/s3/wire/plain.rs", "\nstruct A(aws_sdk_s3::primitives::ByteStream);", 2);
    fires(outside, "crates/aws/src/s3/wire/mod.rs", "use ::aws_smithy_runtime_api as smithy;", 1);
    fires(outside, "crates/aws/src/s3/error.rs", "fn f() { g!(hyper_util::client::legacy::Error); }", 1);
    passes(outside, "crates/aws/src/s3/wire/sdk/requests.rs", "use aws_sdk_s3::Client;");
    passes(outside, "crates/aws/src/sdk/connect.rs", "use aws_sdk_s3::Client;");
    fires(outside, "crates/aws/src/dynamodb/wire/table.rs", "use aws_sdk_dynamodb::Client;", 1);
    passes(outside, "crates/aws/src/s3/store.rs", "use super::wire::sdk::Sdk; // aws_sdk_s3");
}
