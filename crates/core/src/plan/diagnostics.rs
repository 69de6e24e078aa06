//! The problems of a plan: where, what, and how to mend it; all at once.
//!
//! A [`Report`] collects problems as byte spans while the checks run, and becomes [`Diagnostics`] with lines,
//! columns and the source line in the end. Two rules keep it useful: a value that was refused gets no second
//! complaint, and if something could not be read, nothing is reported as missing because of it. Texts that look
//! like a secret are never shown.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Serialize, ser::SerializeSeq};
use unicode_width::UnicodeWidthChar as _;

use crate::plan::{
    lines::Lines,
    secrets,
    source::{Node, Value},
};

/// One problem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Line number, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The problem, in one sentence.
    pub message: String,
    /// How to mend it, if the tool knows.
    pub mend: Option<String>,
    /// The place in the plan's tree, as `phase[0].dataset[1].source`; empty for the whole file.
    pub path: String,
    /// The source line and, below it, a caret; secrets are masked.
    #[serde(skip)]
    snippet: Option<[String; 2]>,
    /// The plan is understood, and a rule forbids what it says.
    #[serde(skip)]
    forbidden: bool,
}

/// All problems of a plan; at least one, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: PathBuf,
    list: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A problem of the text as a whole, which shows no line of it.
    pub(super) fn of_text(line: usize, column: usize, message: String, mend: &str) -> Self {
        Self { line, column, message, mend: Some(mend.to_owned()), ..Self::default() }
    }
}

impl Diagnostics {
    /// A single problem.
    pub(super) fn one(file: &Path, problem: Diagnostic) -> Self {
        Self { file: file.to_owned(), list: vec![problem] }
    }

    /// These problems, in the order of the text and each once; `None` if there is none.
    pub(super) fn of(file: &Path, mut list: Vec<Diagnostic>) -> Option<Self> {
        list.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
        list.dedup();
        (!list.is_empty()).then(|| Self { file: file.to_owned(), list })
    }

    /// Whether the plan is understood, and only its own rules forbid what it says.
    pub fn are_rules(&self) -> bool {
        self.list.iter().all(|problem| problem.forbidden)
    }

    /// The plan file, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The problems, in the order of the text; never empty.
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            let Diagnostic { line, column, message, mend, snippet, .. } = diagnostic;
            write!(f, "{}:{line}:{column}: {message}", self.file.display())?;
            if let Some([source, caret]) = snippet {
                write!(f, "\n  | {source}\n  | {caret}")?;
            }
            if let Some(mend) = mend {
                write!(f, "\n  help: {mend}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A list of `{file, line, column, message, mend, path}`.
impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            file: &'a Path,
            #[serde(flatten)]
            diagnostic: &'a Diagnostic,
        }
        let mut rows = serializer.serialize_seq(Some(self.list.len()))?;
        for diagnostic in &self.list {
            rows.serialize_element(&Row { file: &self.file, diagnostic })?;
        }
        rows.end()
    }
}

/// A place in the tree: the bytes to point at, and its path.
#[derive(Debug, Clone)]
pub(super) struct Spot<'t> {
    node: Option<&'t Node>,
    span: Range<usize>,
    path: String,
}

impl<'t> Spot<'t> {
    /// The whole plan.
    pub(super) fn root(tree: &'t Node) -> Self {
        Self { node: Some(tree), span: tree.span.clone(), path: String::new() }
    }

    /// The value of a key; if it is absent, the place that lacks it.
    pub(super) fn key(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        match self.node.and_then(|node| node.get(key)) {
            // A table that exists only through its sub-tables has no text of its own.
            Some(entry) if entry.node.span.is_empty() => {
                Self { node: Some(&entry.node), span: entry.key_span.clone(), path }
            }
            Some(entry) => Self { node: Some(&entry.node), span: entry.node.span.clone(), path },
            None => Self { node: None, span: self.span.clone(), path },
        }
    }

    /// The key itself, not its value.
    pub(super) fn name_of(&self, key: &str) -> Self {
        let mut spot = self.key(key);
        if let Some(entry) = self.node.and_then(|node| node.get(key)) {
            spot.span = entry.key_span.clone();
        }
        spot
    }

    /// An element of an array.
    pub(super) fn index(&self, index: usize) -> Self {
        let path = format!("{}[{index}]", self.path);
        match self.node.and_then(|node| node.element(index)) {
            Some(node) => Self { node: Some(node), span: node.span.clone(), path },
            None => Self { node: None, span: self.span.clone(), path },
        }
    }

    /// The bytes to point at.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Path in the tree, as `phase[0].dataset[1].source`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The place `offset` bytes into the text of this value, as exactly as possible.
    pub(super) fn inside(&self, text: &str, offset: usize) -> Self {
        let mut spot = self.clone();
        let (Some(Node { value: Value::String(value), .. }), Some(raw)) = (self.node, text.get(self.span.clone()))
        else {
            return spot;
        };
        // The bytes of the value stand in the text unchanged only if nothing is escaped.
        if let Some(start) = raw.find(value.as_str()) {
            let at = (self.span.start + start + offset).min(self.span.end);
            spot.span = at..at;
        }
        spot
    }
}

#[derive(Debug, Clone)]
struct Problem {
    span: Range<usize>,
    path: String,
    message: String,
    mend: Option<String>,
    forbidden: bool,
}

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    /// Paths of unreadable values: what seems missing there may only be misread.
    unread: Vec<String>,
    /// The places of secrets.
    secrets: Vec<Range<usize>>,
}

impl Report {
    /// Reports a problem at a place.
    pub(super) fn at(&mut self, spot: &Spot<'_>, message: impl Into<String>, mend: impl Into<Option<String>>) {
        self.push(spot.span(), spot.path.clone(), message.into(), mend.into());
    }

    /// Reports that a rule of the plan forbids what stands at a place.
    pub(super) fn forbidden(&mut self, spot: &Spot<'_>, message: String, mend: &str) {
        let problems = self.problems.len();
        self.at(spot, message, mend.to_owned());
        self.problems[problems..].iter_mut().for_each(|problem| problem.forbidden = true);
    }

    /// Reports a problem of the text itself.
    pub(super) fn syntax(&mut self, span: Range<usize>, message: String) {
        self.push(span, String::new(), message, None);
    }

    /// Notes a value that could not be read: it gets no further complaint.
    pub(super) fn unread(&mut self, path: &str) {
        self.unread.push(path.to_owned());
    }

    /// Reports a problem at `span`, whose place in the tree is `path`.
    pub(super) fn raw(&mut self, span: Range<usize>, path: &str, message: String, mend: Option<String>) {
        self.push(span, path.to_owned(), message, mend);
    }

    /// Reports a secret in the text. Its other problems are not reported, because they might quote it.
    pub(super) fn secret(&mut self, path: &str, span: Range<usize>, message: &str, mend: String) {
        self.secrets.push(span.clone());
        self.push(span, path.to_owned(), message.to_owned(), Some(mend));
        self.unread(path);
    }

    /// Whether something at or below `path` could not be read.
    pub(super) fn is_unread_below(&self, path: &str) -> bool {
        self.unread.iter().any(|unread| {
            unread
                .strip_prefix(path)
                .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether a phase's or dataset's name, to which others may refer, could not be read.
    pub(super) fn names_are_unread(&self) -> bool {
        let ends = |path: &str, word: &str| path.rsplit('.').next().is_some_and(|last| last.starts_with(word));
        self.unread.iter().any(|path| ["name", "phase", "dataset"].iter().any(|word| ends(path, word)))
    }

    /// Whether exactly this path could not be read.
    pub(super) fn is_unread(&self, path: &str) -> bool {
        self.unread.iter().any(|unread| unread == path)
    }

    fn push(&mut self, span: Range<usize>, path: String, message: String, mend: Option<String>) {
        if !self.is_unread(&path) {
            self.problems.push(Problem { span, path, message, mend, forbidden: false });
        }
    }

    /// `Ok` if there is no problem.
    pub(super) fn finish(mut self, text: &str, file: &Path) -> Result<(), Diagnostics> {
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort_by(|a, b| a.span.start.cmp(&b.span.start).then_with(|| a.path.cmp(&b.path)));
        self.problems.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let lines = Lines::of(text);
        let list = self.problems.iter().map(|problem| self.diagnostic(&lines, problem)).collect();
        Err(Diagnostics { file: file.to_owned(), list })
    }

    /// What there is to tell of a place that is right, and of which something else must be known.
    pub(super) fn told(&self, lines: &Lines<'_>, spot: &Spot<'_>, message: String, mend: &str) -> Diagnostic {
        let (span, path, mend) = (spot.span(), spot.path.clone(), Some(mend.to_owned()));
        let problem = Problem { span, path, message, mend, forbidden: false };
        self.diagnostic(lines, &problem)
    }

    fn diagnostic(&self, lines: &Lines<'_>, problem: &Problem) -> Diagnostic {
        let start = lines.boundary(problem.span.start);
        let (line, column) = lines.position(start);
        Diagnostic {
            line,
            column,
            message: problem.message.clone(),
            mend: problem.mend.clone(),
            path: problem.path.clone(),
            snippet: snippet(lines, start, problem.span.end, &self.secrets),
            forbidden: problem.forbidden,
        }
    }
}

/// The most characters shown of a line: a JSON plan may be one long line.
const SHOWN_CHARS_MAX: usize = 120;

fn snippet(lines: &Lines<'_>, start: usize, end: usize, secrets: &[Range<usize>]) -> Option<[String; 2]> {
    let (line_start, line) = lines.at(start);
    if line.trim().is_empty() || (secrets.is_empty() && secrets::line_may_hold_one(line)) {
        return None;
    }
    let column = lines.text()[line_start..start].chars().count();
    let is_secret = |offset: usize| secrets.iter().any(|secret| secret.contains(&(line_start + offset)));
    let chars: Vec<char> = line
        .char_indices()
        .map(|(offset, c)| match c {
            _ if is_secret(offset) => '*',
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect();
    let from = if chars.len() > SHOWN_CHARS_MAX { column.saturating_sub(SHOWN_CHARS_MAX / 2) } else { 0 };
    let shown: String = chars.iter().skip(from).take(SHOWN_CHARS_MAX).collect();
    let marked = lines.text().get(start..end.min(line_start + line.len())).map_or(1, |marked| marked.chars().count());
    let marked = marked.clamp(1, SHOWN_CHARS_MAX.saturating_sub(column - from).max(1));
    // A terminal gives some characters two columns and others none.
    let width = |from: usize, count: usize| -> usize {
        chars.iter().skip(from).take(count).map(|c| c.width().unwrap_or(0)).sum()
    };
    let carets = "^".repeat(width(column, marked).max(1));
    Some([shown.trim_end().to_owned(), format!("{}{carets}", " ".repeat(width(from, column - from)))])
}

/// The candidate nearest to `word`, if one is near enough.
pub(super) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let (word, far) = (plain(word), 1 + word.chars().count() / 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= far && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, or else a sentence with all candidates.
pub(super) fn did_you_mean(word: &str, candidates: &[&str], kind: &str) -> String {
    match closest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None if candidates.is_empty() => format!("there is no {kind} yet"),
        None => format!("known: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(report: Report, text: &str) -> String {
        report.finish(text, Path::new("p.toml")).unwrap_err().to_string()
    }

    #[test]
    fn columns_count_characters_and_the_caret_stands_below() {
        let text = "a = 1\nä = 'bé' # c\n";
        let mut report = Report::default();
        let start = text.find("'bé'").unwrap();
        report.push(start..start + 5, "x".into(), "is wrong".into(), Some("write b".into()));
        assert_eq!(rendered(report, text), "p.toml:2:5: is wrong\n  | ä = 'bé' # c\n  |     ^^^^\n  help: write b");
    }

    #[test]
    fn the_caret_stands_below_on_a_terminal_whatever_the_width_of_the_characters() {
        let text = "'北京' = 'e\u{301}', '首尔'\n";
        let mut report = Report::default();
        let start = text.find("'首尔'").unwrap();
        report.push(start..start + 8, "x".into(), "is wrong".into(), None);
        let shown = rendered(report, text);
        let lines: Vec<_> = shown.lines().collect();
        // Six columns, three of " = ", three of the accented letter, two of ", ".
        assert_eq!(lines[0], "p.toml:1:14: is wrong");
        assert_eq!(lines[2], format!("  | {}^^^^^^", " ".repeat(6 + 3 + 3 + 2)));
    }

    #[test]
    fn problems_come_in_the_order_of_the_text_and_once() {
        let text = "ab";
        let mut report = Report::default();
        for at in [1, 0, 1] {
            report.push(at..at, String::new(), format!("at {at}"), None);
        }
        let found = report.finish(text, Path::new("p")).unwrap_err();
        assert_eq!(found.list().iter().map(|d| d.column).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn secrets_are_masked_even_beside_another_problem() {
        let text = "x = { k = 'hunter2', y = 1 }\n";
        let mut report = Report::default();
        report.secrets.push(10..19);
        report.push(21..22, "x.y".into(), "unknown".into(), None);
        let shown = rendered(report, text);
        assert!(!shown.contains("hunter2") && shown.contains("*********"), "{shown}");
    }

    #[test]
    fn long_lines_are_cut_around_the_problem() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let mut report = Report::default();
        report.push(1000..1001, String::new(), "here".into(), None);
        let shown = rendered(report, &text);
        let lines: Vec<_> = shown.lines().collect();
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..=caret], "X");
        assert!(lines[1].len() < 130);
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(closest("excude", ["include", "exclude"]), Some("exclude"));
        assert_eq!(closest("Bucket_Policy", ["bucket-policy", "hook"]), Some("bucket-policy"));
        assert_eq!(closest("wheer", ["where", "at"]), Some("where"));
        assert_eq!(closest("colour", ["where", "at"]), None);
        assert_eq!(closest("x", ["a"]), None);
    }

    #[test]
    fn they_serialise_as_rows() {
        let mut report = Report::default();
        report.push(0..1, "name".into(), "bad".into(), None);
        let found = report.finish("a", Path::new("p.toml")).unwrap_err();
        let expected = serde_json::json!([
            {"file": "p.toml", "line": 1, "column": 1, "message": "bad", "mend": null, "path": "name"}
        ]);
        assert_eq!(serde_json::to_value(&found).unwrap(), expected);
    }
}
