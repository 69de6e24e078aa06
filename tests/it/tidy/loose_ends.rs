//! Nothing is left unfinished, unheard or unsaid.

use super::{Complaint, Source, fires, hold, passes};

fn loose_ends(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for called in &source.macros_with_tests {
        if ["todo", "unimplemented"].contains(&called.name.as_str()) {
            found.push(source.complaint(called.line, format!("{}! is a promise, and not code", called.name)));
        }
    }
    for attribute in &source.attributes {
        let has = |name: &str| attribute.names.iter().any(|found| found == name);
        // What `cfg_attr` puts on, under whatever condition, counts as being there.
        let is = |name: &str| {
            let first = attribute.names.first().map(String::as_str);
            first == Some(name) || first == Some("cfg_attr") && has(name)
        };
        if is("ignore") {
            found.push(source.complaint(attribute.line, "a test that does not run proves nothing"));
        }
        if is("allow") && source.is_program() {
            let reason = "use #[expect(..., reason = \"...\")]: it says when it is no longer needed";
            found.push(source.complaint(attribute.line, reason));
        }
        if is("expect") && !has("reason") {
            found.push(source.complaint(attribute.line, "an expectation says its reason"));
        }
    }
    found
}

#[test]
fn nothing_is_left_unfinished() {
    hold(loose_ends);
}

#[test]
fn loose_ends_are_seen() {
    fires(loose_ends, "crates/core/src/diff.rs", "fn f() {\n    todo!()\n}", 2);
    fires(loose_ends, "crates/core/src/diff.rs", "#[cfg(test)]\nmod tests {\nfn f() { assert!(todo!()) } }", 3);
    fires(loose_ends, "tests/it/x.rs", "fn f() { unimplemented!() }", 1);
    fires(loose_ends, "tests/it/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 2);
    fires(loose_ends, "tests/it/x.rs", "#[cfg_attr(unix, ignore)]\nfn f() {}", 1);
    fires(loose_ends, "crates/core/src/diff.rs", "#![allow(dead_code)]", 1);
    fires(loose_ends, "src/connect.rs", "fn f() {\n    #[allow(unused, reason = \"so\")]\n    let x = 1;\n}", 2);
    fires(loose_ends, "src/connect.rs", "macro_rules! m { () => {\n#[allow(unused)] fn f() {} } }", 2);
    fires(loose_ends, "crates/core/src/diff.rs", "#[expect(dead_code)]\nfn f() {}", 1);
    passes(loose_ends, "crates/core/src/diff.rs", "#[expect(dead_code, reason = \"[soon]\")]\nfn f() {} // todo!()");
    passes(loose_ends, "tests/it/x.rs", "#![allow(dead_code)]\n/// ignore\nfn f() { \"todo!()\" }");
}
