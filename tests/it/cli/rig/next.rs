//! What is next, as every answer of the tests says it: a command that the program takes, on a plan file that is there,
//! and of a form that a scenario of `tests/it/cli/next.rs` runs and follows.

use std::path::Path;

use clap::parser::ValueSource;
use serde_json::Value;

use crate::cli::next::RUN_BY_TESTS;

/// Holds what an answer says is next.
#[track_caller]
pub(crate) fn hold(directory: &Path, args: &[&str], out: &str, err: &str) {
    for next in printed(args, out, err) {
        if next.starts_with("nothing is left to do") {
            continue;
        }
        let words = words(&next);
        let shape = shape(&words).unwrap_or_else(|error| panic!("{args:?} names no command: {next}\n{error}"));
        let plan = words.iter().skip(2).find(|word| [".toml", ".json"].iter().any(|end| word.ends_with(end)));
        // A mend may be to write it.
        let is_mended = [out, err].iter().any(|said| said.contains("help: ") || said.contains("\"mend\": \""));
        let is_there = plan.is_none_or(|plan| directory.join(plan).exists());
        assert!(is_there || is_mended, "{args:?} names a plan that is not there: {next}");
        let typed: Vec<_> = std::iter::once("migrate").chain(args.iter().copied()).map(str::to_owned).collect();
        let is_same = self::shape(&typed).is_ok_and(|typed| typed == shape);
        let is_run = RUN_BY_TESTS.iter().any(|run| run.contains(&shape.as_str()));
        assert!(is_same || is_run, "{args:?} says what no scenario of tests/it/cli/next.rs runs: {shape}: {next}");
    }
}

/// What an answer says is next, once for each time that it says so.
fn printed(args: &[&str], out: &str, err: &str) -> Vec<String> {
    let mut all: Vec<String> =
        out.lines().chain(err.lines()).filter_map(|line| line.strip_prefix("next: ")).map(str::to_owned).collect();
    if args.contains(&"--json") {
        let documents = serde_json::from_str::<Value>(out).map(|document| vec![document]);
        let documents =
            documents.unwrap_or_else(|_| out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect());
        for document in &documents {
            gather(document, &mut all);
        }
    }
    all
}

/// Every field `next` of a document.
fn gather(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "next") {
                    Some(next) => all.push(next.to_owned()),
                    None => gather(value, all),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, all)),
        _ => {}
    }
}

/// The words of a command, as a shell reads them: what stands between `'` is one word.
pub(crate) fn words(typed: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    let mut chars = typed.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => (quoted, begun) = (!quoted, true),
            '\\' if !quoted => word.extend(chars.next()),
            ' ' if !quoted => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The form of a command: its verb and the flags that say what it does, and not on what or where.
pub(crate) fn shape(words: &[String]) -> Result<String, clap::Error> {
    /// Of a run and the like these select datasets, and change nothing else.
    const SELECT: [&str; 8] = ["plan", "json", "state", "quiet", "log", "datasets", "phases", "phase"];
    let matches = migrate::cli::command().try_get_matches_from(words)?;
    let (verb, matches) = matches.subcommand().expect("clap demands one");
    let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine) && !SELECT.contains(id);
    let mut flags: Vec<_> = matches.ids().map(clap::Id::as_str).filter(given).collect();
    // The names of groups are those of types.
    flags.retain(|id| !id.starts_with(char::is_uppercase));
    flags.sort_unstable();
    // A repair at a level is a repair.
    if flags.contains(&"repair") {
        flags.retain(|id| *id != "level");
    }
    Ok(std::iter::once(verb).chain(flags).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_form_is_the_verb_and_what_it_does() {
    let shape = |typed: &str| shape(&words(typed)).unwrap();
    assert_eq!(shape("migrate run plan.toml --phase first --approve first --json"), "run approve");
    assert_eq!(shape("migrate verify 'a b.toml' --level bytes --repair --state 'it'\\''s'"), "verify repair");
    assert_eq!(words("migrate run 'it'\\''s' ''"), ["migrate", "run", "it's", ""]);
    assert!(super::next::shape(&words("migrate run plan.toml --aprove x")).is_err());
}
