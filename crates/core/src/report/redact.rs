//! Hides keys, which may be personal data, if the plan asks for it (`redact_keys`).
//!
//! A key becomes `key:` and the first 16 hexadecimal digits of its SHA-256: the same key always looks the same, so
//! that two reports can be compared, and an operator who knows a key can find it again.

use crate::{
    digest::sha256,
    model::Key,
    report::event::{Difference, Event, EventKind},
};

/// Prefix of a hidden key.
const HIDDEN: &str = "key:";

/// Shows keys, or hides them.
#[derive(Debug, Clone, Copy)]
pub struct Redactor {
    hides: bool,
}

impl Redactor {
    /// Hides keys if `hides` is true; otherwise changes nothing.
    pub fn new(hides: bool) -> Self {
        Self { hides }
    }

    /// The key as it may be shown.
    pub fn key(self, key: &Key) -> Key {
        if self.hides { Key::new(hashed(key)) } else { key.clone() }
    }

    /// Whether a word may stand for a hidden key.
    pub fn is_hidden(self, word: &str) -> bool {
        self.hides && word.starts_with(HIDDEN)
    }

    /// A text about a record, with every occurrence of its key hidden.
    pub fn text(self, text: &str, key: &Key) -> String {
        if !self.hides || key.as_str().is_empty() {
            return text.to_owned();
        }
        let hidden = hashed(key);
        let shown = key.to_string();
        let text = replace_words(text, key.as_str(), &hidden);
        if shown == key.as_str() { text } else { replace_words(&text, &shown, &hidden) }
    }

    /// A difference as it may be shown.
    pub fn difference(self, difference: &Difference) -> Difference {
        let Difference { key, kind, detail } = difference;
        Difference { key: self.key(key), kind: *kind, detail: self.text(detail, key) }
    }

    /// An event as it may be shown.
    #[must_use]
    pub fn event(self, event: Event) -> Event {
        Event { kind: self.kind(event.kind), ..event }
    }

    fn kind(self, kind: EventKind) -> EventKind {
        match kind {
            EventKind::RecordFailed { dataset, target, key, code, reason } => {
                let (hidden, reason) = (self.key(&key), self.text(&reason, &key));
                EventKind::RecordFailed { dataset, target, key: hidden, code, reason }
            }
            EventKind::Differs { dataset, target, difference, kept } => {
                EventKind::Differs { dataset, target, difference: self.difference(&difference), kept }
            }
            EventKind::LateWrites { dataset, site, records, keys } => {
                let keys = keys.iter().map(|key| self.key(key)).collect();
                EventKind::LateWrites { dataset, site, records, keys }
            }
            EventKind::UploadUnclaimed { dataset, target, key, ids, asked_for } => {
                EventKind::UploadUnclaimed { dataset, target, key: self.key(&key), ids, asked_for }
            }
            EventKind::Warning { dataset, key: Some(key), message } => {
                EventKind::Warning { dataset, key: Some(self.key(&key)), message: self.text(&message, &key) }
            }
            // Listed one by one, so that a new event does not compile before its keys are considered.
            EventKind::RunBegan { .. }
            | EventKind::Probed { .. }
            | EventKind::Surveying { .. }
            | EventKind::PhaseBegan { .. }
            | EventKind::DatasetState { .. }
            | EventKind::Progress { .. }
            | EventKind::Follows { .. }
            | EventKind::Made { .. }
            | EventKind::BroughtOver { .. }
            | EventKind::Warning { key: None, .. }
            | EventKind::TargetDown { .. }
            | EventKind::VerificationBegan { .. }
            | EventKind::Verifying { .. }
            | EventKind::DatasetEnded { .. }
            | EventKind::NeedsApproval { .. }
            | EventKind::Approved { .. }
            | EventKind::CutoverStep { .. }
            | EventKind::Waiting { .. }
            | EventKind::RunEnded { .. } => kind,
        }
    }
}

fn hashed(key: &Key) -> String {
    format!("{HIDDEN}{}", &sha256(key.as_str().as_bytes()).to_string()[..16])
}

/// Replaces `word` if no letter or digit touches it, so that hiding the key `a` leaves a sentence readable.
fn replace_words(text: &str, word: &str, by: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, found) = rest.split_at(at);
        result.push_str(before);
        let after = &found[word.len()..];
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let inside = touches(word.chars().next()) && touches(result.chars().next_back())
            || touches(word.chars().next_back()) && touches(after.chars().next());
        if inside {
            let step = found.chars().next().map_or(0, char::len_utf8);
            result.push_str(&found[..step]);
            rest = &found[step..];
        } else {
            result.push_str(by);
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{DatasetName, Timestamp},
        report::event::DifferenceKind,
    };
    use std::time::Duration;

    #[test]
    fn a_key_is_hidden_wherever_it_stands() {
        let (key, redactor) = (Key::from("people/ann.json"), Redactor::new(true));
        let hidden = redactor.key(&key);
        assert!(hidden.as_str().starts_with("key:") && hidden.as_str().len() == 20, "{hidden}");
        let text = redactor.text("read people/ann.json at file://a/b/people/ann.json: gone", &key);
        assert_eq!(text, format!("read {hidden} at file://a/b/{hidden}: gone"));
        let kind = EventKind::Differs {
            dataset: DatasetName::new("d").unwrap(),
            target: "t".into(),
            difference: Difference { key, kind: DifferenceKind::Missing, detail: "not people/ann.json".into() },
            kept: false,
        };
        let (format, run, sequence, at) = (None, "r".into(), 1, Timestamp(0));
        let event = Event { kind, format, run, sequence, at, elapsed: Duration::ZERO };
        let line = serde_json::to_string(&redactor.event(event)).unwrap();
        assert!(!line.contains("ann") && line.contains(hidden.as_str()), "{line}");
    }

    #[test]
    fn escaped_and_short_keys_are_hidden_and_words_stay() {
        let redactor = Redactor::new(true);
        let key = Key::from("x\ny");
        assert!(!redactor.text(&format!("read {key}: no"), &key).contains("x\\ny"));
        let key = Key::from("a");
        let text = redactor.text("read a at disk: damaged", &key);
        assert_eq!(text, format!("read {} at disk: damaged", redactor.key(&key)));
    }

    #[test]
    fn nothing_changes_where_the_plan_does_not_ask() {
        let (key, redactor) = (Key::from("k"), Redactor::new(false));
        assert_eq!(redactor.key(&key), key);
        assert_eq!(redactor.text("read k", &key), "read k");
    }
}
