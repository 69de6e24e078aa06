//! The house rules that a compiler does not know: who may touch whom, and what no file may hold.
//!
//! Each rule reads source text. Comments and the contents of strings are blanked first; what follows
//! `#[cfg(test)] mod` is test code, which the walls do not bind. Every complaint names the file, the
//! line and the reason. The rules are tried on bad snippets at the end: a rule that cannot fire
//! guards nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms without a runtime, files, clocks or chance.
const PURE: [&str; 7] = ["model", "plan", "diff", "shard", "digest", "lifecycle", "fault"];

/// Which rooms a room must not touch.
const WALLS: [(&[&str], &[&str]); 5] = [
    (&PURE, &["store", "ledger", "survey", "engine", "fleet", "cutover", "local_cloud", "rehearse", "report", "cli"]),
    (&["store"], &["plan", "ledger", "survey", "engine", "cutover", "cli"]),
    (&["ledger"], &["store", "plan", "survey", "engine", "cutover", "cli"]),
    (&["cutover"], &["ledger", "survey", "cli", "local_cloud", "rehearse"]),
    (&["local_cloud"], &ALL_BUT_FAULT),
];

/// What a local cloud must not touch: it fails on purpose, and knows of no migration.
const ALL_BUT_FAULT: [&str; 15] = [
    "model",
    "plan",
    "diff",
    "shard",
    "digest",
    "lifecycle",
    "store",
    "ledger",
    "survey",
    "engine",
    "fleet",
    "cutover",
    "report",
    "rehearse",
    "cli",
];

/// Lines of a file before its tests.
const LINES_MAX: usize = 550;

/// Files above [`LINES_MAX`], each with the reason why two files would be worse.
const LONG_FILES: [(&str, &str); 0] = [];

/// A broken rule.
#[derive(Debug)]
struct Complaint {
    file: String,
    line: usize,
    reason: String,
}

/// A source file, with its text as it is and with comments and strings blanked.
struct Source {
    path: String,
    lines: usize,
    text: String,
    code: String,
    /// Where the test module begins, in bytes of `code`.
    tests_at: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = blanked(text);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/");
        let tests_at = if is_test { 0 } else { test_module(&code) };
        let lines = if is_test { text.lines().count() } else { code[..tests_at].lines().count() };
        Self { path: path.to_owned(), lines, text: text.to_owned(), code, tests_at }
    }

    /// `store` of `src/store/s3/mod.rs`, `model` of `src/model.rs`. What lies in the engine's folder and
    /// has walls of its own is a room of its own.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or("");
        let own = inside.strip_prefix("engine/").filter(|rest| rest.starts_with("cutover/"));
        let inside = own.unwrap_or(inside);
        let first = inside.split('/').next().unwrap_or("");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The module's path below the crate, for `super`.
    fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            parts.pop();
        }
        parts
    }

    fn complaint(&self, at: usize, reason: impl Into<String>) -> Complaint {
        Complaint { file: self.path.clone(), line: self.code[..at].matches('\n').count() + 1, reason: reason.into() }
    }

    /// Every path of the code proper, `use` trees spread out and `super` resolved, with its place.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = tokens(&self.code[..self.tests_at]);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            // `use<'a>` in a type names lifetimes, not paths.
            if tokens[at].1 == "use" && tokens.get(at + 1).is_some_and(|next| next.1 != "<") {
                at = spread(&tokens, at + 1, &[], &mut found);
            } else if is_name(tokens[at].1) {
                let mut path = vec![tokens[at].1.to_owned()];
                let place = tokens[at].0;
                while tokens.get(at + 1).is_some_and(|next| next.1 == "::")
                    && tokens.get(at + 2).is_some_and(|next| is_name(next.1))
                {
                    path.push(tokens[at + 2].1.to_owned());
                    at += 2;
                }
                at += 1;
                found.push((place, path));
            } else {
                at += 1;
            }
        }
        found.into_iter().map(|(place, path)| (place, self.resolved(path))).collect()
    }

    fn resolved(&self, path: Vec<String>) -> Vec<String> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let from_self = path.first().is_some_and(|first| first == "self") && path.len() > 1;
        if supers == 0 && !from_self {
            return path;
        }
        let mut module = self.module();
        module.truncate(module.len().saturating_sub(supers));
        std::iter::once("crate".to_owned()).chain(module).chain(path.into_iter().skip(supers.max(1))).collect()
    }
}

/// Where `#[cfg(test)]` with a module follows; the end where there is none.
fn test_module(code: &str) -> usize {
    code.match_indices("#[cfg(test)]")
        .map(|(at, _)| at)
        .find(|at| {
            let rest = code[at + "#[cfg(test)]".len()..].trim_start();
            rest.starts_with("mod ")
                && rest.split(['{', ';']).next().is_some_and(|head| rest[head.len()..].starts_with('{'))
        })
        .unwrap_or(code.len())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs, each with its place.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(sign) = code[at..].chars().next() {
        let length = if sign.is_alphanumeric() || sign == '_' {
            code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len() - at)
        } else if code[at..].starts_with("::") {
            2
        } else {
            sign.len_utf8()
        };
        if !sign.is_whitespace() {
            found.push((at, &code[at..at + length]));
        }
        at += length;
    }
    found
}

/// Spreads out the tree of a `use`: every leaf is a path. Returns where the tree ends.
fn spread(tokens: &[(usize, &str)], mut at: usize, before: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = before.to_vec();
    let place = tokens.get(at).map_or(0, |token| token.0);
    let mut whole = true;
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "{" => {
                whole = false;
                at += 1;
                while tokens.get(at).is_some_and(|token| token.1 != "}") {
                    at = spread(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.1 == ","));
                }
                at += 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            name => {
                if name != "::" {
                    path.push(name.to_owned());
                }
                at += 1;
            }
        }
    }
    if whole && path.len() > before.len() {
        found.push((place, path));
    }
    at
}

/// The text with comments and the insides of strings and characters replaced by blanks, byte for
/// byte, so that places stay.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        out[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + block_comment(rest)
        } else if let Some(length) = string(rest, at == 0 || !is_word(bytes[at - 1])) {
            // The quotation marks stay, so that a string is still seen to be there.
            blank(&mut out, at + 1, at + length - 1);
            at += length;
            continue;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        blank(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the string or character that `rest` begins with, if it does.
fn string(rest: &str, starts_word: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    if starts_word {
        let prefix = usize::from(rest.starts_with("br")) + usize::from(rest.starts_with('r') || rest.starts_with("br"));
        let hashes = rest[prefix..].bytes().take_while(|byte| *byte == b'#').count();
        if prefix > 0 && bytes.get(prefix + hashes) == Some(&b'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = prefix + hashes + 1;
            return Some(rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()));
        }
    }
    let quote = *bytes.first()?;
    // A lifetime is a quotation mark without its fellow: 'a, but '\'' and 'é' are characters.
    let is_char = quote == b'\'' && (bytes.get(1) == Some(&b'\\') || rest.chars().nth(2) == Some('\''));
    if quote != b'"' && !is_char {
        return None;
    }
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    Some(rest.len())
}

// ---- The rules --------------------------------------------------------------------------------

fn starts(path: &[String], prefix: &[&str]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(part, wanted)| part == wanted)
}

/// Rooms keep to their side.
fn walls(source: &Source) -> Vec<Complaint> {
    let room = source.room();
    let forbidden: Vec<&str> =
        WALLS.iter().filter(|(rooms, _)| rooms.contains(&room)).flat_map(|(_, not)| not.iter().copied()).collect();
    let mut found = Vec::new();
    for (at, path) in source.paths() {
        if let Some(touched) = forbidden.iter().find(|other| starts(&path, &["crate", other])) {
            found.push(source.complaint(at, format!("{room} must not touch {touched}")));
        }
    }
    found
}

/// What is pure stays pure.
fn purity(source: &Source) -> Vec<Complaint> {
    let room = source.room();
    if !PURE.contains(&room) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, path) in source.paths() {
        let first = path[0].as_str();
        let outside = ["tokio", "tokio_util", "rand", "rusqlite", "rustix", "hyper", "s3s"].contains(&first)
            || first.starts_with("aws_")
            || [["std", "fs"], ["std", "net"], ["std", "process"], ["std", "env"]]
                .iter()
                .any(|prefix| starts(&path, prefix) && path.get(2).is_none_or(|name| !is_plain_value(name)));
        let clock = path.iter().any(|part| ["SystemTime", "Instant"].contains(&part.as_str()))
            || (path.len() > 1 && path.last().is_some_and(|last| last == "now"));
        if outside {
            found.push(source.complaint(at, format!("{room} is pure, and {} is not", path.join("::"))));
        } else if clock {
            found.push(source.complaint(at, format!("{room} is pure, and {} reads a clock", path.join("::"))));
        }
    }
    found
}

/// Types of impure modules that are plain values.
fn is_plain_value(name: &str) -> bool {
    ["IpAddr", "Ipv4Addr", "Ipv6Addr"].contains(&name)
}

/// Only `cli` speaks to the terminal, hears signals and ends the process.
fn terminal(source: &Source) -> Vec<Complaint> {
    if source.room() == "cli" || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, path) in source.paths() {
        let speaks = ["clap", "clap_complete", "indicatif"].contains(&path[0].as_str())
            || starts(&path, &["tokio", "signal"])
            || path.windows(2).any(|pair| pair[0] == "process" && pair[1] == "exit");
        if speaks {
            found.push(source.complaint(at, format!("only cli uses {}", path.join("::"))));
        }
    }
    for (at, name) in macros(&source.code[..source.tests_at]) {
        if ["println", "eprintln", "print", "eprint", "dbg"].contains(&name) {
            found.push(source.complaint(at, format!("only cli prints, and not with {name}!")));
        }
    }
    found
}

/// The text of a log line is fixed: what it is about stands in fields, which a log that hides keys can tell
/// from it.
fn log_lines(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, name) in macros(&source.code[..source.tests_at]) {
        let ends = source.code[at..].find(';').map_or(source.code.len(), |end| at + end);
        let logs = ["error", "warn", "info", "debug", "trace"].contains(&name);
        if logs && source.path.starts_with("src/") && source.text[at..ends].contains('{') {
            found.push(source.complaint(at, format!("{name}! tells of a value in its text, and not in a field")));
        }
    }
    found
}

fn macros(code: &str) -> Vec<(usize, &str)> {
    let tokens = tokens(code);
    tokens.windows(2).filter(|pair| is_name(pair[0].1) && pair[1].1 == "!").map(|pair| pair[0]).collect()
}

/// AWS stays behind the store.
fn aws(source: &Source) -> Vec<Complaint> {
    let may =
        ["src/store/s3/", "src/local_cloud/", "src/rehearse/"].iter().any(|folder| source.path.starts_with(folder));
    if may || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let paths = source.paths().into_iter().filter(|(_, path)| path[0].starts_with("aws_"));
    paths.map(|(at, path)| source.complaint(at, format!("only store::s3 uses {}", path[0]))).collect()
}

/// A file is one idea.
fn length(source: &Source) -> Vec<Complaint> {
    let is_excepted = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    if source.lines <= LINES_MAX || is_excepted || source.path.starts_with("tests/") {
        return Vec::new();
    }
    vec![
        source
            .complaint(0, format!("{} lines before its tests, and {LINES_MAX} are enough for one idea", source.lines)),
    ]
}

/// Nothing is left unfinished, unheard or unsaid.
fn loose_ends(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, name) in macros(&source.code) {
        if ["todo", "unimplemented"].contains(&name) {
            found.push(source.complaint(at, format!("{name}! is a promise, and not code")));
        }
    }
    for (at, attribute) in attributes(&source.code) {
        let name = attribute.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        match name {
            "ignore" => found.push(source.complaint(at, "a test that does not run proves nothing")),
            "allow" if source.path.starts_with("src/") => {
                found.push(
                    source.complaint(at, "use #[expect(..., reason = \"...\")]: it says when it is no longer needed"),
                );
            }
            "expect" if !attribute.contains("reason") => {
                found.push(source.complaint(at, "an expectation says its reason"));
            }
            _ => {}
        }
    }
    found
}

/// The insides of `#[...]` and `#![...]`.
fn attributes(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices('#') {
        let rest = code[at + 1..].strip_prefix('!').unwrap_or(&code[at + 1..]);
        let Some(inside) = rest.strip_prefix('[') else { continue };
        let mut depth = 1;
        let end = inside.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        });
        found.push((at, inside[..end.unwrap_or(inside.len())].trim_start()));
    }
    found
}

// ---- The tree ---------------------------------------------------------------------------------

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

fn sources() -> Vec<Source> {
    let all: Vec<_> = ["src", "tests", "benches", "examples"].iter().flat_map(|folder| files(folder, "rs")).collect();
    assert!(all.len() > 50, "the tree was not found");
    all.iter().map(|path| Source::new(path, &read(path))).collect()
}

fn hold(rule: fn(&Source) -> Vec<Complaint>) {
    let broken: Vec<String> = sources()
        .iter()
        .flat_map(rule)
        .map(|Complaint { file, line, reason }| format!("{file}:{line}: {reason}"))
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn rooms_keep_to_their_side_of_the_walls() {
    hold(walls);
}

#[test]
fn pure_rooms_are_pure() {
    hold(purity);
}

#[test]
fn only_cli_speaks_to_the_terminal() {
    hold(terminal);
}

#[test]
fn the_texts_of_log_lines_are_fixed() {
    hold(log_lines);
}

#[test]
fn aws_stays_behind_the_store() {
    hold(aws);
}

#[test]
fn files_are_short_or_argued_for() {
    hold(length);
    let stale: Vec<_> =
        LONG_FILES.iter().filter(|(path, _)| Source::new(path, &read(path)).lines <= LINES_MAX).collect();
    assert!(stale.is_empty(), "no longer exceptions: {stale:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    hold(loose_ends);
}

/// The files that `mod` declarations reach from `root`, by path.
fn reached(root: &str, read: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Some(text) = read(&path) else { continue };
        let file = PathBuf::from(&path);
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "main" | "lib") | None => file.parent().unwrap().to_owned(),
            Some(stem) => file.parent().unwrap().join(stem),
        };
        let code = blanked(&text);
        for declared in tokens(&code).windows(3).filter(|three| three[0].1 == "mod" && three[2].1 == ";") {
            for inside in [format!("{}.rs", declared[1].1), format!("{}/mod.rs", declared[1].1)] {
                open.push(folder.join(inside).to_str().unwrap().to_owned());
            }
        }
        found.insert(path);
    }
    found
}

#[test]
fn every_source_file_is_compiled() {
    let from_disk = |path: &str| fs::read_to_string(root().join(path)).ok();
    for (folder, roots) in [("tests/it", vec!["tests/it/main.rs"]), ("src", vec!["src/lib.rs", "src/main.rs"])] {
        let reached: BTreeSet<_> = roots.iter().flat_map(|root| reached(root, &from_disk)).collect();
        let forgotten: Vec<_> = files(folder, "rs").into_iter().filter(|path| !reached.contains(path)).collect();
        assert!(forgotten.is_empty(), "no `mod` declares {forgotten:?}");
    }
}

#[test]
fn every_plan_is_shown_to_somebody() {
    let mut documents = vec!["README.md".to_owned()];
    documents.extend(files("docs", "md"));
    let text: String = documents.iter().map(|path| read(path)).collect();
    let plans = ["toml", "json"].iter().flat_map(|extension| files("plans", extension));
    let hidden: Vec<_> = plans.filter(|plan| plan != "plans/schema.json" && !text.contains(plan.as_str())).collect();
    assert!(hidden.is_empty(), "neither README.md nor docs/ name {hidden:?}");
}

// ---- The rules, tried on what they forbid -----------------------------------------------------

fn complaints(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str) -> Vec<(usize, String)> {
    rule(&Source::new(path, text)).into_iter().map(|complaint| (complaint.line, complaint.reason)).collect()
}

#[track_caller]
fn fires(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str, line: usize) {
    let found = complaints(rule, path, text);
    assert!(found.iter().any(|(at, _)| *at == line), "{path}: {text:?} gave {found:?}");
}

#[track_caller]
fn passes(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str) {
    let found = complaints(rule, path, text);
    assert!(found.is_empty(), "{path}: {text:?} gave {found:?}");
}

#[test]
fn a_breach_of_a_wall_is_seen_however_it_is_written() {
    fires(walls, "src/diff.rs", "\nuse crate::store::Head;", 2);
    fires(walls, "src/diff.rs", "use crate::{\n    model::Key,\n    ledger::{Pair, Record},\n};", 3);
    fires(walls, "src/plan/check/mod.rs", "use super::super::engine;", 1);
    fires(walls, "src/plan/mod.rs", "fn f() { crate::report::Sink::none(); }", 1);
    fires(walls, "src/store/s3/mod.rs", "use super::super::plan::Plan;", 1);
    fires(walls, "src/ledger/apply.rs", "use crate::store as s;", 1);
    fires(walls, "src/engine/cutover/moves.rs", "use crate::ledger::Pair;", 1);
    fires(walls, "src/local_cloud/s3/gate.rs", "use crate::{fault, digest};", 1);
    fires(walls, "src/digest.rs", "use crate::local_cloud::S3Server;", 1);
    passes(walls, "src/local_cloud/s3/gate.rs", "use super::super::s3::state; use crate::fault::mix;");
    passes(walls, "src/plan/check/mod.rs", "use super::super::syntax; use crate::model::Key;");
    passes(walls, "src/engine/mod.rs", "use crate::{store, ledger, plan};");
    passes(walls, "src/diff.rs", "// use crate::store::Head;\nconst A: &str = \"crate::store::Head\";");
    passes(walls, "src/diff.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::store::Head;\n}");
}

#[test]
fn impurity_is_seen() {
    fires(purity, "src/model.rs", "use tokio::sync::mpsc;", 1);
    fires(purity, "src/shard.rs", "use std::{fmt,\n fs::File};", 2);
    fires(purity, "src/plan/mod.rs", "fn f() { std::fs::read(x) }", 1);
    fires(purity, "src/digest.rs", "use std::time::{Duration, Instant};", 1);
    fires(purity, "src/lifecycle.rs", "fn f() { jiff::Timestamp::now() }", 1);
    fires(purity, "src/lifecycle.rs", "use rand::Rng as _;", 1);
    fires(purity, "src/model.rs", "use aws_sdk_s3::Client;", 1);
    passes(purity, "src/model.rs", "use std::{fmt, time::Duration, net::IpAddr}; fn f<'a>(now: &'a u8) {}");
    passes(purity, "src/engine/mod.rs", "use tokio::sync::mpsc;");
    passes(purity, "src/model.rs", "fn f<'a>(x: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> { x.iter().copied() }");
}

#[test]
fn who_speaks_out_of_turn_is_seen() {
    fires(terminal, "src/engine/mod.rs", "fn f() {\n    println!(\"x\");\n}", 2);
    fires(terminal, "src/report/mod.rs", "fn f() { eprint!(\"\") }", 1);
    fires(terminal, "src/store/mod.rs", "use std::process; fn f() { process::exit(1) }", 1);
    fires(terminal, "src/engine/mod.rs", "use tokio::{sync, signal};", 1);
    fires(terminal, "src/plan/mod.rs", "use clap::Parser;", 1);
    passes(terminal, "src/cli/mod.rs", "use clap::Parser; fn f() { println!(); std::process::exit(1) }");
    passes(terminal, "src/main.rs", "fn main() -> std::process::ExitCode { migrate::cli::run() }");
}

#[test]
fn a_value_in_the_text_of_a_log_line_is_seen() {
    fires(log_lines, "src/store/mod.rs", "fn f() {\n    tracing::warn!(\"lost {key}\");\n}", 2);
    fires(log_lines, "src/store/mod.rs", "use tracing::debug; fn f() { debug!(a = 1, \"{}\", key) }", 1);
    passes(log_lines, "src/store/mod.rs", "fn f() { tracing::warn!(key = key.as_str(), \"lost\"); g(\"{}\") }");
    passes(log_lines, "tests/it/x.rs", "fn f() { tracing::warn!(\"lost {key}\") }");
}

#[test]
fn aws_in_the_open_is_seen() {
    fires(aws, "src/engine/sites.rs", "use aws_sdk_s3 as s3;", 1);
    fires(aws, "src/store/retry/mod.rs", "use aws_config::Region;", 1);
    passes(aws, "src/store/s3/client.rs", "use aws_sdk_s3 as s3;");
    passes(aws, "src/local_cloud/s3/server.rs", "use aws_sdk_s3 as s3;");
    passes(aws, "tests/it/rehearse/mod.rs", "use aws_sdk_s3 as s3;");
}

#[test]
fn a_long_file_is_seen_and_its_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    fires(length, "src/diff.rs", &long, 1);
    passes(length, "src/diff.rs", &format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}"));
    fires(length, "src/diff.rs", &format!("#[cfg(test)]\nmod tests;\n{long}"), 1);
}

#[test]
fn loose_ends_are_seen() {
    fires(loose_ends, "src/diff.rs", "fn f() {\n    todo!()\n}", 2);
    fires(loose_ends, "tests/it/x.rs", "fn f() { unimplemented!() }", 1);
    fires(loose_ends, "tests/it/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 2);
    fires(loose_ends, "src/diff.rs", "#![allow(dead_code)]", 1);
    fires(loose_ends, "src/diff.rs", "#[expect(dead_code)]\nfn f() {}", 1);
    passes(loose_ends, "src/diff.rs", "#[expect(dead_code, reason = \"[soon]\")]\nfn f() {} // todo!()");
}

#[test]
fn a_forgotten_file_is_seen() {
    let tree = |path: &str| {
        let text = match path {
            "tests/it/main.rs" => "mod a;\n// mod b;\nmod c { fn f() {} }",
            "tests/it/a.rs" => "mod deep;",
            "tests/it/a/deep.rs" | "tests/it/b.rs" => "",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let reached = reached("tests/it/main.rs", &tree);
    assert!(reached.contains("tests/it/a/deep.rs") && !reached.contains("tests/it/b.rs"), "{reached:?}");
}

#[test]
fn comments_and_strings_are_blank_and_nothing_moves() {
    let text = "let a = \"x // \\\" y\"; // z\nlet b = r#\"\"q\"\"#; /* /* u */ v */ let c = '\\''; fn f<'a>() {} 'é'";
    let code = blanked(text);
    assert_eq!(code.len(), text.len());
    for gone in ["x", "y", "z", "q", "u", "v", "é"] {
        assert!(!code.replace("let", "").replace("fn", "").contains(gone), "{gone} in {code}");
    }
    assert!(code.contains("let c") && code.contains("fn f<'a>() {}"), "{code}");
}
