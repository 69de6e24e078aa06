//! No file imports itself by way of others.
//!
//! An import leads to the file that defines the item: a file that only hands an item on (`pub use`) is passed
//! through, and neither imports it nor is imported for it. So a `mod.rs` may declare files and hand on what
//! they define, and they may import each other through it; but a file must not import what a file above it
//! defines, if that one imports it. Test code does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::{Complaint, SOURCES, Source, expect_none, paths::Path};

/// The modules of one crate, by path.
struct Crate<'a> {
    modules: BTreeMap<Vec<String>, Inside<'a>>,
}

/// What resolving a path needs of a module.
struct Inside<'a> {
    file: &'a str,
    /// What its `use` declarations bind, private ones as well: modules below may import those.
    bound: BTreeMap<&'a str, Vec<&'a Path>>,
    /// Its functions, one of which can have the name of a module in it.
    functions: BTreeSet<&'a str>,
}

impl<'a> Crate<'a> {
    fn new(sources: &'a [&'a Source]) -> Self {
        let mut modules = BTreeMap::new();
        for source in sources {
            let inline = source.modules.iter().filter(|module| module.is_inline).map(|module| &module.path);
            for path in inline.chain([&source.module]) {
                let (bound, functions) = (BTreeMap::new(), BTreeSet::new());
                modules.insert(path.clone(), Inside { file: &source.path, bound, functions });
            }
        }
        for function in sources.iter().flat_map(|source| &source.free_functions) {
            let (name, module) = function.split_last().expect("a name");
            if let Some(inside) = modules.get_mut(module) {
                inside.functions.insert(name.as_str());
            }
        }
        for path in sources.iter().flat_map(|source| &source.paths) {
            let inside = modules.get_mut(&path.module);
            if let (Some(inside), Some(import)) = (inside, &path.import) {
                inside.bound.entry(import.name.as_str()).or_default().push(path);
            }
        }
        Self { modules }
    }

    /// The files that define what a path names, seen from a module: usually one; none if it names a module and
    /// nothing in it (with `is_value`, the function of that name); more if a name has several meanings. What
    /// another crate defines counts as defined by the file that takes it from there.
    fn defining(
        &self,
        from: &[String],
        parts: &[String],
        is_value: bool,
        seen: &mut BTreeSet<(Vec<String>, String)>,
    ) -> BTreeSet<&'a str> {
        let supers = parts.iter().take_while(|part| *part == "super").count();
        let (mut here, mut rest) = match parts.first().map(String::as_str) {
            Some("crate") => (Vec::new(), &parts[1..]),
            Some("self") => (from.to_vec(), &parts[1..]),
            _ => (from[..from.len().saturating_sub(supers)].to_vec(), &parts[supers..]),
        };
        while let Some((name, after)) = rest.split_first() {
            let Some(inside) = self.modules.get(&here) else { return BTreeSet::new() };
            let child = [here.as_slice(), std::slice::from_ref(name)].concat();
            let is_module = self.modules.contains_key(&child);
            if is_module && !after.is_empty() {
                (here, rest) = (child, after);
                continue;
            }
            if is_module && !is_value {
                return BTreeSet::new();
            }
            // An import of its own name (`pub(super) use a_macro`) leads to itself.
            let is_new = seen.insert((here.clone(), name.clone()));
            let named = inside.bound.get(name.as_str()).filter(|_| is_new).into_iter().flatten();
            let mut through: BTreeSet<_> = named
                .flat_map(|path| self.defining(&here, &[path.parts.as_slice(), after].concat(), is_value, seen))
                .collect();
            if is_module && inside.functions.contains(name.as_str()) {
                through.insert(inside.file);
            }
            if is_module || inside.bound.contains_key(name.as_str()) && is_new {
                return through;
            }
            // Where all of a module is imported, the name may come from there or from here.
            let all = inside.bound.get("*").filter(|_| is_new && name != "*").into_iter().flatten();
            let mut files: BTreeSet<_> = all
                .flat_map(|path| {
                    let module = &path.parts[..path.parts.len() - 1];
                    self.defining(&here, &[module, rest].concat(), is_value, seen)
                })
                .collect();
            files.insert(inside.file);
            return files;
        }
        BTreeSet::new()
    }
}

/// Which file imports which, with the line of the first import.
type Imports<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

fn imports<'a>(sources: &'a [&'a Source]) -> Imports<'a> {
    let modules = Crate::new(sources);
    let mut found = Imports::new();
    for source in sources {
        let of_file = found.entry(&source.path).or_default();
        // What is handed on and also used here is used by a path of its own. A single name is a path if it was
        // imported; others are keywords, variables and what is defined here.
        let named = source.paths.iter().filter(|path| match &path.import {
            Some(import) => !import.is_handed_on,
            None => path.parts.len() > 1 || modules.modules[&path.module].bound.contains_key(path.parts[0].as_str()),
        });
        for path in named {
            // The name of a module can also be that of a function. An import tells nothing, a use does.
            let is_value = path.import.is_none() && (path.parts.len() > 1 || path.is_called);
            for file in modules.defining(&path.module, &path.parts, is_value, &mut BTreeSet::new()) {
                if file != source.path {
                    of_file.entry(file).or_insert(path.line);
                }
            }
        }
    }
    found
}

/// The shortest way from one file to another, both included.
fn way<'a>(imports: &Imports<'a>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from]];
    let mut met = BTreeSet::from([from]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way[way.len() - 1];
            if last == to {
                return Some(way);
            }
            let next = imports.get(last).into_iter().flat_map(BTreeMap::keys).filter(|file| met.insert(file));
            longer.extend(next.map(|file| [way.as_slice(), &[*file]].concat()));
        }
        ways = longer;
    }
    None
}

/// Every import of one crate that is part of a circle.
fn circles(sources: &[Source], folder: &str) -> Vec<Complaint> {
    let of_crate: Vec<&Source> = sources
        .iter()
        .filter(|source| source.folder == folder && !source.is_test && source.path != "src/main.rs")
        .collect();
    let imports = imports(&of_crate);
    let all = imports.iter().flat_map(|(from, to)| to.iter().map(move |(to, line)| (*from, *to, *line)));
    let circles = all.filter_map(|(from, to, line)| {
        let back = way(&imports, to, from)?;
        Some(Complaint { file: from.to_owned(), line, reason: format!("imports itself: {}", back.join(" imports ")) })
    });
    circles.collect()
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let folders: BTreeSet<_> =
        SOURCES.iter().filter(|source| source.is_program()).map(|source| &source.folder).collect();
    expect_none(folders.into_iter().flat_map(|folder| circles(&SOURCES, folder)));
}

/// The tree of imports is not empty: files that are known to import each other do.
#[test]
fn imports_are_seen_in_the_tree() {
    let of_crate: Vec<&Source> = SOURCES.iter().filter(|source| source.folder == "crates/core/src").collect();
    let imports = imports(&of_crate);
    assert!(imports["crates/core/src/diff.rs"].contains_key("crates/core/src/model/token.rs"), "{imports:?}");
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = files.iter().map(|(file, text)| Source::new(&format!("crates/x/src/{file}"), text)).collect();
    let complaints = circles(&sources, "crates/x/src");
    complaints.iter().map(|complaint| format!("{}:{}", &complaint.file[13..], complaint.line)).collect()
}

#[test]
fn a_circle_is_seen_however_it_is_closed() {
    let straight = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "\nuse crate::b::B; pub struct A;"),
        ("b.rs", "use super::a::A; pub struct B;"),
    ];
    assert_eq!(found(&straight), ["a.rs:2", "b.rs:1"]);
    let below = [
        ("a/mod.rs", "mod b; use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; pub struct B;"),
        ("lib.rs", "mod a;"),
    ];
    assert_eq!(found(&below), ["a/b.rs:1", "a/mod.rs:1"]);
    let through = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::{B as C};"),
        ("a.rs", "use crate::C; pub struct A;"),
        ("b.rs", "fn f() { assert!(crate::A::new()) } pub struct B;"),
    ];
    assert_eq!(found(&through), ["a.rs:1", "b.rs:1"]);
    let by_module = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use super::b; fn f() { b::g() }"),
        ("b.rs", "pub fn g() { crate::a::f() }"),
    ];
    assert_eq!(found(&by_module), ["a.rs:1", "b.rs:1"]);
    let by_all = [("lib.rs", "mod a; mod b; pub use a::*;"), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::A;")];
    assert_eq!(found(&by_all), ["a.rs:1", "b.rs:1"]);
    let of_three = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
    ];
    assert_eq!(found(&of_three).len(), 3);
    let named_like_a_module = [
        ("lib.rs", "mod a; mod run; pub use run::{run, stop};"),
        ("a.rs", "use crate::stop; fn f() { stop() }"),
        ("run/mod.rs", "mod stop; use crate::a::A; pub fn stop() {}"),
        ("run/stop.rs", ""),
    ];
    assert_eq!(found(&named_like_a_module), ["a.rs:1", "run/mod.rs:1"]);
    let used_here = [("lib.rs", "mod a; pub use a::A; fn f() -> A { A }"), ("a.rs", "use crate::f;")];
    assert_eq!(found(&used_here), ["a.rs:1", "lib.rs:1"]);
    let of_another_crate = [("lib.rs", "mod a; pub use std::fmt; use a::A;"), ("a.rs", "use crate::fmt;")];
    assert_eq!(found(&of_another_crate), ["a.rs:1", "lib.rs:1"]);
}

#[test]
fn what_is_no_circle_is_not_taken_for_one() {
    let handed_on = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("a.rs", "use super::B; pub struct A;"),
        ("b.rs", "pub(crate) use helper; macro_rules! helper { () => {} } pub struct B;"),
    ];
    assert!(found(&handed_on).is_empty());
    let module_and_function = [
        ("lib.rs", "mod a; mod run; pub use run::run;"),
        ("a.rs", "use crate::run; pub fn f() { run::deep::g(|run| run.h()) } impl A { fn run() {} }"),
        ("run/mod.rs", "mod deep; use crate::a::f; pub fn run() {}"),
        ("run/deep.rs", "pub fn g() {}"),
    ];
    assert!(found(&module_and_function).is_empty());
    let in_tests = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
        ("b/tests.rs", "use crate::a::A;"),
    ];
    assert!(found(&in_tests).is_empty());
}
