//! The bytes of a plan file as text, and what a text is that is no plan at all.

use std::path::Path;

use crate::plan::diagnostics::{Diagnostic, Diagnostics};

const MEND: &str = "a plan is a text in UTF-8: TOML or JSON";
/// The mark that some editors put before a text in UTF-8.
const MARK: char = '\u{feff}';

/// The text of a plan file.
///
/// # Errors
///
/// Where the bytes stop being text in UTF-8.
pub fn decoded(bytes: Vec<u8>, file: &Path) -> Result<String, Diagnostics> {
    let wrong = |before: &[u8], message: String, mend: &str| {
        let (line, column) = end_of(before);
        Err(Diagnostics::one(file, Diagnostic::of_text(line, column, message, mend)))
    };
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes[..] {
        return wrong(&[], "this file is UTF-16".to_owned(), "save it as UTF-8");
    }
    if let Some(zero) = bytes.iter().position(|byte| *byte == 0) {
        let message = format!("this is no text: byte {} is zero", zero + 1);
        return wrong(&bytes[..zero], message, MEND);
    }
    String::from_utf8(bytes).or_else(|error| {
        let good = error.utf8_error().valid_up_to();
        let message = format!("this is not UTF-8 from byte {} on", good + 1);
        wrong(&error.as_bytes()[..good], message, MEND)
    })
}

/// The text without a mark at its beginning, so that columns count what an editor shows.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Line and column, from 1, of what comes after these bytes.
fn end_of(bytes: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(bytes);
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, without_mark(last).chars().count() + 1)
}

/// Whether a text that is no TOML is YAML: its first line that says something is `key:` or `---`. TOML has neither.
pub(super) fn is_like_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines.next() else { return false };
    let is_key = |c: char| c.is_alphanumeric() || "_-\"'$".contains(c);
    let key = first.split_once(':').filter(|(key, rest)| {
        !key.is_empty() && key.chars().all(is_key) && (rest.is_empty() || rest.starts_with(char::is_whitespace))
    });
    first.starts_with("---") || first.starts_with("%YAML") || key.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> String {
        decoded(bytes.to_vec(), Path::new("p.toml")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_text_in_utf_8_is_told_where_it_stops_being_one() {
        assert_eq!(decoded(b"name = 1".to_vec(), Path::new("p")).unwrap(), "name = 1");
        assert_eq!(told(b"\xff\xfen\0"), "p.toml:1:1: this file is UTF-16\n  help: save it as UTF-8");
        let latin = "p.toml:2:6: this is not UTF-8 from byte 10 on\n  help: a plan is a text in UTF-8: TOML or JSON";
        assert_eq!(told(b"a=1\na = \"\xe9\""), latin);
        assert!(told(b"\x7fELF\x02\0").starts_with("p.toml:1:6: this is no text: byte 6 is zero"));
    }

    #[test]
    fn yaml_is_known_by_its_first_line() {
        for yaml in ["---\nname: x", "name: x\nsites:\n", "# a plan\n\nsites:\n  a:\n", "%YAML 1.2"] {
            assert!(is_like_yaml(yaml), "{yaml}");
        }
        for other in ["name = 'a: b'", "[sites.a]", "", "name 'x'", "http://example.com", "{\"a\": 1}"] {
            assert!(!is_like_yaml(other), "{other}");
        }
    }
}
