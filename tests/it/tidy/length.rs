//! A file is one idea, and a function fits on a screen.

use super::{Complaint, SOURCES, Source, fires, hold, passes};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 550;

/// Files above [`FILE_LINES_MAX`], each with the reason why two files would be worse.
const LONG_FILES: [(&str, &str); 0] = [];

/// Lines of a function, from that of `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Functions above [`FUNCTION_LINES_MAX`] by file and name, each with the reason why two would be worse.
const LONG_FUNCTIONS: [(&str, &str, &str); 2] = [
    ("crates/core/src/plan/check/datasets.rs", "check_dataset", "most of it is one line for each field of a dataset"),
    ("src/cli/commands/status.rs", "of_dataset", "a template: the lines of one dataset in order"),
];

fn is_long_file(source: &Source) -> bool {
    source.is_program() && source.lines > FILE_LINES_MAX
}

/// A file is one idea.
fn files(source: &Source) -> Vec<Complaint> {
    if !is_long_file(source) || LONG_FILES.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let reason = format!("{} lines before its tests, and {FILE_LINES_MAX} are enough for one idea", source.lines);
    vec![source.complaint(1, reason)]
}

/// A function fits on a screen.
fn functions(source: &Source) -> Vec<Complaint> {
    let long = source.functions.iter().filter(|function| source.is_program() && function.lines > FUNCTION_LINES_MAX);
    let excepted = |name: &str| LONG_FUNCTIONS.iter().any(|(path, known, _)| *path == source.path && *known == name);
    long.filter(|function| !excepted(&function.name))
        .map(|function| {
            let reason = format!("{} has {} lines of at most {FUNCTION_LINES_MAX}", function.name, function.lines);
            source.complaint(function.line, reason)
        })
        .collect()
}

#[test]
fn files_are_short_or_argued_for() {
    hold(files);
    let is_stale = |path: &str| !SOURCES.iter().any(|source| source.path == path && is_long_file(source));
    let stale: Vec<_> = LONG_FILES.iter().filter(|(path, _)| is_stale(path)).collect();
    assert!(stale.is_empty(), "no longer exceptions: {stale:?}");
}

#[test]
fn functions_are_short_or_argued_for() {
    hold(functions);
    let is_long = |path: &str, name: &str| {
        let mut of_file = SOURCES.iter().filter(|source| source.path == path).flat_map(|source| &source.functions);
        of_file.any(|function| function.name == name && function.lines > FUNCTION_LINES_MAX)
    };
    let stale: Vec<_> = LONG_FUNCTIONS.iter().filter(|(path, name, _)| !is_long(path, name)).collect();
    assert!(stale.is_empty(), "no longer exceptions: {stale:?}");
}

#[test]
fn a_long_file_is_seen_and_its_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(FILE_LINES_MAX);
    fires(files, "crates/core/src/diff.rs", &format!("{long}fn g() {{}}"), 1);
    passes(files, "crates/core/src/diff.rs", &long);
    passes(files, "crates/core/src/diff.rs", &format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}"));
    fires(files, "crates/core/src/diff.rs", &format!("#[cfg(test)]\nmod tests;\n{long}"), 1);
    fires(files, "crates/core/src/diff/tests.rs", &format!("#[cfg(test)]\nmod tests {{}}\n{long}"), 1);
}

#[test]
fn a_long_function_is_seen_wherever_it_stands() {
    let body = "    g();\n".repeat(FUNCTION_LINES_MAX - 2);
    let path = "crates/core/src/diff.rs";
    passes(functions, path, &format!("fn f() {{\n{body}}}"));
    fires(functions, path, &format!("\n/// Says.\n#[inline]\npub async fn f() {{\n{body}\n}}"), 4);
    fires(
        functions,
        path,
        &format!("trait T {{ fn e(); }}\nimpl S {{\n    fn f<const N: usize>() {{\n{body}\n}}\n}}"),
        3,
    );
    fires(functions, path, &format!("macro_rules! m {{\n() => {{ fn f() {{\n{body}\n}} }} }}"), 2);
    fires(functions, path, &format!("#[cfg(test)]\nmod tests {{\nfn f() {{\n{body}\n}} }}"), 3);
}
