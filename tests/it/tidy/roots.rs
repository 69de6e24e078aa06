//! A root (`mod.rs`, `lib.rs`) hands on what its folder offers: it holds no code, and no file of its folder imports
//! it to get at what another file defines.

use std::collections::BTreeMap;

use super::{Complaint, SOURCES, Source, expect_none, fires, hold, passes};

/// Whether a file stands above others. A `lib.rs` alone in its crate is a file like any other.
fn is_root(source: &Source) -> bool {
    let is_named_so = source.path.ends_with("/mod.rs") || source.path.ends_with("/lib.rs");
    is_named_so && source.is_program() && !source.is_test && source.modules.iter().any(|module| !module.is_inline)
}

/// A root holds no code.
fn code_in_roots(source: &Source) -> Vec<Complaint> {
    if !is_root(source) {
        return Vec::new();
    }
    let reason = "a root only hands on: give this a file with a name";
    source.defines.iter().map(|line| source.complaint(*line, reason)).collect()
}

/// Every path by which a file takes from a root above it what another file defines.
fn imports_of_roots(sources: &[Source]) -> Vec<Complaint> {
    let place = |source: &Source| (source.folder.clone(), source.module.clone());
    let roots: BTreeMap<_, _> =
        sources.iter().filter(|source| is_root(source)).map(|root| (place(root), root)).collect();
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_program() && !source.is_test && !is_root(source)) {
        for path in &source.paths {
            let parts = path.absolute();
            if parts[0] != "crate" {
                continue;
            }
            // The longest beginning of the path that is a root above the file, and the name that it takes there.
            let above = (0..source.module.len().min(parts.len() - 1)).rev();
            let mut above = above.filter(|depth| source.module[..*depth] == parts[1..=*depth]);
            let Some(depth) = above.next() else { continue };
            let Some(root) = roots.get(&(source.folder.clone(), source.module[..depth].to_vec())) else { continue };
            let Some(name) = parts.get(depth + 1) else { continue };
            let is_module = root.modules.iter().any(|module| module.path.last() == Some(name));
            let is_bound = |of: &super::paths::Path| of.import.as_ref().is_some_and(|import| import.name == *name);
            if name == "*" || !is_module && root.paths.iter().any(is_bound) {
                let reason = format!("{} is of the root above: name the file that defines it", path.shown());
                found.push(source.complaint(path.line, reason));
            }
        }
    }
    found
}

#[test]
fn roots_hold_no_code() {
    hold(code_in_roots);
}

#[test]
fn no_file_imports_a_root_above_it() {
    expect_none(imports_of_roots(&SOURCES));
}

#[test]
fn code_in_a_root_is_seen() {
    let root = "crates/store/src/limit/mod.rs";
    fires(code_in_roots, root, "mod site;\nfn f() {}", 2);
    fires(code_in_roots, root, "mod site;\n\n/// Says.\nconst X: u8 = 1;", 4);
    fires(code_in_roots, root, "mod site;\nm! { mod x; }", 2);
    fires(code_in_roots, "src/lib.rs", "mod a;\npub mod b {\n    pub struct B;\n}", 3);
    passes(code_in_roots, root, "//! Says.\nmod site;\npub use site::Site;\n#[cfg(test)]\nmod tests { fn f() {} }");
    passes(code_in_roots, "src/lib.rs", "mod a;\npub mod b { pub use super::a::A; }");
    passes(code_in_roots, "crates/fault/src/lib.rs", "pub struct Alone;");
}

#[test]
fn an_import_of_a_root_is_seen() {
    let found = |file: &str, text: &str| -> Vec<usize> {
        let files = [
            ("lib.rs", "mod a; mod b; pub mod c; pub use a::A; pub use core::fmt;"),
            ("c/mod.rs", "mod d; mod e; pub use d::D; pub use d::e;"),
            (file, text),
        ];
        let sources: Vec<_> =
            files.iter().map(|(file, text)| Source::new(&format!("crates/x/src/{file}"), text)).collect();
        imports_of_roots(&sources).into_iter().map(|complaint| complaint.line).collect()
    };
    assert_eq!(found("b.rs", "use crate::A;\nuse super::{A as C, c::D};\nfn f() -> super::A {}"), [1, 2, 3]);
    assert_eq!(found("b.rs", "use crate::fmt;\nuse crate::*;"), [1, 2]);
    assert_eq!(found("c/e.rs", "use super::D;\nuse crate::c::D as E;\nuse crate::A;"), [1, 2, 3]);
    assert!(found("b.rs", "use crate::{a::A, c::D};\n#[cfg(test)]\nmod tests { use super::*; }").is_empty());
    assert!(found("c/e.rs", "use super::d::D;\nuse super::e;\nfn f(a: A) { D }").is_empty());
}
