//! Writes to the terminal. A reader that goes away does not end a migration.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write},
    sync::OnceLock,
};

use serde::Serialize;

use super::screen;
use migrate_core::report::FORMAT;

static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Writes a part of the answer, and a line end.
pub(super) fn answer(text: &str) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {}
        // A reader that closed the pipe does not want the rest.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        // The work goes on; that nobody has its whole answer is told in the end.
        Err(error) => drop(UNWRITTEN.set(error.to_string())),
    }
}

/// Why a part of the answer could not be written, if it was to be.
pub(super) fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

/// A document with the number of the format of all that is printed as JSON.
#[derive(Serialize)]
struct Document<'a, D> {
    format: u32,
    #[serde(flatten)]
    document: &'a D,
}

/// Writes a document.
pub(super) fn answer_json(document: &impl Serialize) {
    let document = Document { format: FORMAT, document };
    answer(&serde_json::to_string_pretty(&document).expect("a document is plain data"));
}

/// Writes a document on one line.
pub(super) fn answer_json_line(document: &impl Serialize) {
    answer_line(&Document { format: FORMAT, document });
}

/// Writes one line of NDJSON.
pub(super) fn answer_line(document: &impl Serialize) {
    answer(&serde_json::to_string(document).expect("a document is plain data"));
}

/// Writes a line that is not part of the answer; above the live block, if one is shown.
pub(super) fn tell(text: &str) {
    screen::above(text);
}

/// Whether a person sits at the terminal and can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks the person at the terminal to type this word; whether the person did. A terminal that cannot be read
/// agrees to nothing.
pub(super) fn asked_to_type(question: &str, word: &str) -> bool {
    let _still = screen::pause();
    tell(question);
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok_and(|_| line.trim() == word)
}

/// Words as a shell takes them.
pub(super) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    let quote = |word: &str| {
        if !word.is_empty() && word.chars().all(plain) {
            return word.to_owned();
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        assert_eq!(quoted(["migrate", "run", "my plan.toml", "it's", ""]), r"migrate run 'my plan.toml' 'it'\''s' ''");
    }
}
