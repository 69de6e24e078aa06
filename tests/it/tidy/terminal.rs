//! Only the command line speaks to the terminal, hears signals and ends the process; what others log has
//! fixed texts.

use super::{Complaint, Source, fires, hold, passes};

/// Only `src/cli` prints, and knows the crates for it.
fn terminal(source: &Source) -> Vec<Complaint> {
    if source.path.starts_with("src/cli/") || source.path == "src/cli.rs" || !source.is_program() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in &source.paths {
        let speaks = ["clap", "clap_complete", "clap_mangen"].contains(&path.parts[0].as_str())
            || path.starts(&["tokio", "signal"])
            || path.parts.windows(2).any(|pair| {
                (pair[0] == "process" && pair[1] == "exit")
                    || (pair[0] == "io" && ["stdin", "stdout", "stderr"].contains(&pair[1].as_str()))
            });
        if speaks {
            found.push(source.complaint(path.line, format!("only src/cli uses {}", path.shown())));
        }
    }
    for called in &source.macros {
        if ["println", "eprintln", "print", "eprint", "dbg"].contains(&called.name.as_str()) {
            found.push(source.complaint(called.line, format!("only src/cli prints, and this is {}!", called.name)));
        }
    }
    found
}

/// The text of a log line is fixed: values stand in fields, where a log that hides keys can tell them from it.
fn log_lines(source: &Source) -> Vec<Complaint> {
    let logs = ["error", "warn", "info", "debug", "trace", "event"];
    let lines = source.macros.iter().filter(|called| source.is_program() && logs.contains(&called.name.as_str()));
    let with_values = lines.filter(|called| {
        called.literals.iter().any(|text| text.contains('{')) || called.names.iter().any(|name| name == "message")
    });
    with_values
        .map(|called| {
            source.complaint(called.line, format!("{}! has a value in its text, and not in a field", called.name))
        })
        .collect()
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
fn who_speaks_out_of_turn_is_seen() {
    fires(terminal, "crates/engine/src/lib.rs", "fn f() {\n    println!(\"x\");\n}", 2);
    fires(terminal, "crates/core/src/report/mod.rs", "fn f() { eprint!(\"\") }", 1);
    fires(terminal, "src/connect.rs", "fn f() { g(|| dbg!(1)) }", 1);
    fires(terminal, "crates/store/src/lib.rs", "use std::process; fn f() { process::exit(1) }", 1);
    fires(terminal, "crates/store/src/lib.rs", "fn f() { std::io::stderr().write_all(b\"x\") }", 1);
    fires(terminal, "crates/engine/src/lib.rs", "use tokio::{sync, signal};", 1);
    fires(terminal, "crates/core/src/plan/mod.rs", "use clap::Parser;", 1);
    fires(terminal, "src/connect.rs", "#[derive(Debug,\n clap::Args)]\nstruct S;", 2);
    passes(terminal, "src/cli/mod.rs", "use clap::Parser; fn f() { println!(); std::process::exit(1) }");
    passes(terminal, "src/main.rs", "fn main() -> std::process::ExitCode { migrate::cli::run() }");
    passes(terminal, "crates/engine/src/lib.rs", "#[cfg(test)]\nmod tests {\n    fn f() { println!() }\n}");
}

#[test]
fn a_value_in_the_text_of_a_log_line_is_seen() {
    fires(log_lines, "crates/store/src/lib.rs", "fn f() {\n    tracing::warn!(\"lost {key}\");\n}", 2);
    fires(log_lines, "crates/store/src/lib.rs", "use tracing::debug; fn f() { debug!(a = 1, \"{}\", key) }", 1);
    fires(log_lines, "src/connect.rs", "fn f() { tracing::info!(message = key) }", 1);
    passes(log_lines, "crates/store/src/lib.rs", "fn f() { tracing::warn!(key = key.as_str(), \"lost\"); g(\"{}\") }");
    passes(log_lines, "tests/it/x.rs", "fn f() { tracing::warn!(\"lost {key}\") }");
}
