//! What `--json` prints keeps to the schema, whatever test has asked for it.

use serde_json::Value;

use super::schema::broken;

/// Holds the answer to a command against the schema.
#[track_caller]
pub(crate) fn hold(args: &[&str], out: &str) {
    let (Some(verb), true) = (args.first(), args.contains(&"--json")) else { return };
    if out.trim().is_empty() {
        // The arguments were wrong, which clap says in its own words.
        return;
    }
    let is_stream = out
        .lines()
        .next()
        .is_some_and(|line| serde_json::from_str::<Value>(line).is_ok_and(|it| it.get("event").is_some()));
    if is_stream {
        return events(out);
    }
    let document: Value = serde_json::from_str(out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"));
    let definition = match *verb {
        _ if document.get("error").is_some() => "failure",
        "cutover" if args.contains(&"--dry-run") => "cutover_steps",
        "cutover" => "answered",
        verb => verb,
    };
    let broken = broken(definition, &document);
    assert!(broken.is_empty(), "{args:?} breaks the schema:\n{}\n{document:#}", broken.join("\n"));
}

/// Holds events against the schema: each by itself, and all together as those of one run.
#[track_caller]
fn events(out: &str) {
    let mut run = None;
    for (number, line) in out.lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = event["event"].as_str().unwrap_or_else(|| panic!("no event: {line}"));
        let broken = broken(&format!("event_{name}"), &event);
        assert!(broken.is_empty(), "an event breaks the schema:\n{}\n{event:#}", broken.join("\n"));
        assert_eq!(event["sequence"], number + 1, "{event}");
        assert_eq!(event.get("format").is_some(), number == 0, "{event}");
        assert_eq!(run.get_or_insert_with(|| event["run"].clone()), &event["run"]);
    }
}
