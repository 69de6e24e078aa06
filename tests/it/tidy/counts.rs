//! A count that people read has a singular, a plural and groups of three digits: it goes through
//! `migrate_core::report`, and no text puts a plural after a bare number.

use std::sync::LazyLock;

use regex_automata::meta::Regex;

use super::{Complaint, Source, fires, hold, passes};

/// A number, and what it counts as if it were always many. A constant is.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\{[^{}A-Z]*\} ((more|other|late|unfinished|changed|failed) )?(records|objects|items|keys|datasets|requests|uploads|segments|differences|phases|targets|comparisons|tables|bytes|entries|hours)(?-u:\b)",
    )
    .unwrap()
});

/// Macros whose text may come before people.
const TEXTS: [&str; 3] = ["format", "write", "writeln"];

fn counts(source: &Source) -> Vec<Complaint> {
    // The local cloud speaks as servers do, and the others as a test does.
    let apart = ["crates/local-cloud/", "crates/store/src/conformance/", "crates/store/src/memory_table/"];
    if !source.is_program() || apart.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let texts = source.macros.iter().filter(|called| TEXTS.contains(&called.name.as_str()));
    let bare = texts.filter(|called| called.literals.iter().any(|literal| BARE.is_match(literal.as_str())));
    bare.map(|called| source.complaint(called.line, "a count goes through report::count, or it says \"1 records\""))
        .collect()
}

#[test]
fn no_text_counts_on_there_being_many() {
    hold(counts);
}

#[test]
fn bare_counts_are_seen() {
    fires(counts, "src/cli/render.rs", "fn f() {\n    let _ = format!(\"{n} records\");\n}", 2);
    fires(counts, "crates/engine/src/waits.rs", "fn f() {\n write!(f, \"waits for {} more uploads\", n) }", 2);
    passes(counts, "src/cli/render.rs", "fn f() { let _ = format!(\"{records} written, {} deleted\", n); }");
    passes(counts, "src/cli/render.rs", "#[cfg(test)]\nmod tests { fn f() { format!(\"{n} records\"); } }");
    passes(counts, "crates/local-cloud/src/lib.rs", "fn f() { format!(\"{n} records\"); }");
}
