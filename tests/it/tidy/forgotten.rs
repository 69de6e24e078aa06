//! Every source file is compiled, and every plan is in a document.

use std::collections::{BTreeMap, BTreeSet};

use super::{SOURCES, Source, files, members, read};

/// The files that `mod` declarations reach from a root.
fn reached(root: &str, sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        for module in source.modules_with_tests.iter().filter(|module| !module.is_inline) {
            let inside = format!("{}/{}", source.folder, module.path.join("/"));
            open.extend([format!("{inside}.rs"), format!("{inside}/mod.rs")]);
        }
        found.insert(path);
    }
    found
}

/// The roots of the crates of the root package: those that cargo finds, and those that the manifest names.
fn roots(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    let folders =
        BTreeMap::from([("bench", "benches"), ("bin", "src/bin"), ("example", "examples"), ("test", "tests")]);
    let named = folders.into_iter().flat_map(|(kind, folder)| {
        let targets = manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
        targets.map(move |target| {
            let path = target.get("path").and_then(toml::Value::as_str).map(str::to_owned);
            path.unwrap_or_else(|| format!("{folder}/{}.rs", target["name"].as_str().expect("a name")))
        })
    });
    named.chain(["src/lib.rs".to_owned()]).collect()
}

#[test]
fn every_source_file_is_compiled() {
    let of_members = members().into_iter().map(|member| format!("crates/{member}/src/lib.rs"));
    // The members outside `crates/`, and the benches of those inside.
    let outside = ["bare_copy", "fast_s3"].map(|member| format!("benches/{member}/main.rs"));
    let benches = files("crates", "rs").into_iter().filter(|path| path.contains("/benches/"));
    let roots = roots(&read("Cargo.toml")).into_iter().chain(of_members).chain(outside).chain(benches);
    let reached: BTreeSet<_> = roots.flat_map(|root| reached(&root, &SOURCES)).collect();
    let forgotten: Vec<_> = SOURCES.iter().map(|source| &source.path).filter(|path| !reached.contains(*path)).collect();
    assert!(forgotten.is_empty(), "no `mod` declares {forgotten:?}");
}

#[test]
fn every_plan_is_in_a_document() {
    let mut documents = vec!["README.md".to_owned()];
    documents.extend(files("docs", "md"));
    let text: String = documents.iter().map(|path| read(path)).collect();
    let plans = ["toml", "json"].iter().flat_map(|extension| files("plans", extension));
    let hidden: Vec<_> = plans.filter(|plan| plan != "plans/schema.json" && !text.contains(plan.as_str())).collect();
    assert!(hidden.is_empty(), "neither README.md nor docs/ name {hidden:?}");
}

#[test]
fn a_forgotten_file_is_seen() {
    let tree = [
        ("lib.rs", "mod a;\n// mod b;\nmod c { mod d; }\n#[cfg(test)]\nmod tests;"),
        ("a.rs", "mod deep;"),
        ("a/deep.rs", ""),
        ("b.rs", ""),
        ("c/d/mod.rs", ""),
        ("tests.rs", "mod b;"),
    ];
    let sources = tree.map(|(file, text)| Source::new(&format!("crates/x/src/{file}"), text));
    let reached: Vec<_> = reached("crates/x/src/lib.rs", &sources).into_iter().collect();
    let wanted = ["a.rs", "a/deep.rs", "c/d/mod.rs", "lib.rs", "tests.rs"].map(|file| format!("crates/x/src/{file}"));
    assert_eq!(reached, wanted);
}

#[test]
fn roots_are_found_in_the_manifest() {
    let manifest = "[[bin]]\nname = \"a\"\npath = \"examples/a.rs\"\n[[bench]]\nname = \"b\"";
    assert_eq!(roots(manifest), ["benches/b.rs", "examples/a.rs", "src/lib.rs"]);
}
