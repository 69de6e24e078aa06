//! From what went wrong to an exit code, a mend and the next command.

use std::{error::Error, fmt::Write as _, path::Path, process::ExitCode};

use serde_json::{Value, json};

use super::next::Next;
use migrate_core::{
    plan::{Diagnostics, Plan},
    report::Redactor,
};
use migrate_engine::{EngineError, Unreached, survey::Changed};
use migrate_ledger::LedgerError;
use migrate_store::ErrorKind;

/// What to do about a directory that cannot be written.
pub(super) const UNWRITABLE: &str =
    "make the state directory yours and writable, or name another place with --state DIR or MIGRATE_STATE";

/// What a command's end means to the shell. `migrate help exit-codes` documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Done and equal.
    Done = 0,
    /// Differences, or blocked.
    Differs = 1,
    /// The command line or the plan file is wrong.
    Wrong = 2,
    /// Incomplete; the same command goes on.
    Incomplete = 3,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// What went wrong, in one word; docs/cli.md lists them.
    word: &'static str,
    /// One sentence, causes included.
    pub(super) message: String,
    /// What the operator can do.
    pub(super) mend: Option<String>,
    /// What is next.
    pub(super) next: Option<Box<Next>>,
    details: Option<Details>,
    /// A place could not be asked at all.
    pub(super) is_unreached: bool,
}

/// What there is to say of some failures beside a sentence.
#[derive(Debug)]
enum Details {
    /// What is wrong with the plan.
    Diagnostics(Value),
    /// What has changed since a plan was saved.
    Changes(Value),
    /// What would be deleted.
    Deletions(Value),
    /// Which servers cannot be asked.
    Unreached(Value),
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let word = match code {
            Code::Wrong => "wrong_argument",
            Code::Differs => "refused",
            Code::Done | Code::Incomplete => "failed",
        };
        Self { code, word, message: message.into(), mend: None, next: None, details: None, is_unreached: false }
    }

    /// Says in one word what went wrong.
    pub(super) fn coded(mut self, word: &'static str) -> Self {
        self.word = word;
        self
    }

    pub(super) fn mended_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// What is next, unless that is known already.
    pub(super) fn then(mut self, next: Next) -> Self {
        self.next.get_or_insert(Box::new(next));
        self
    }

    /// What the operator can do: about this failure, or before the next command.
    pub(super) fn mend(&self) -> Option<&str> {
        self.mend.as_deref().or_else(|| self.next.as_deref().and_then(Next::mend))
    }

    /// A plan file that cannot be read.
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self::new(Code::Wrong, format!("failed to read the plan file {}: {error}", file.display()))
            .mended_by("name a plan file that exists and that you may read")
            .coded("plan_unreadable")
    }

    /// What a plan asks for and is not built yet.
    pub(super) fn not_built(keys: Diagnostics) -> Self {
        Self { code: Code::Differs, ..Self::from(keys).coded("unsupported") }
    }

    /// A saved plan that is stale.
    pub(super) fn stale(file: &Path, changes: &[Changed]) -> Self {
        let mut message = format!("{} is stale, and nothing was begun:", file.display());
        for changed in changes {
            let _ = write!(message, "\n  {changed}");
        }
        let changes = serde_json::to_value(changes).expect("changes are plain data");
        Self { details: Some(Details::Changes(changes)), ..Self::new(Code::Differs, message) }
            .mended_by("look at what has changed; if it is right, save the plan anew")
            .coded("saved_plan_stale")
    }

    /// A deletion that no one has confirmed.
    pub(super) fn unconfirmed(message: String, deletions: Value) -> Self {
        Self { details: Some(Details::Deletions(deletions)), ..Self::new(Code::Wrong, message).coded("unconfirmed") }
    }

    /// A failure of the ledger.
    pub(super) fn ledger(error: &LedgerError) -> Self {
        let (code, mend) = match error {
            LedgerError::Newer { .. } => (Code::Incomplete, Some("use the newer migrate, which can read it")),
            LedgerError::Older { .. } => {
                (Code::Incomplete, Some("use the migrate that began it, or begin anew under another --state"))
            }
            LedgerError::OtherPlan { .. } => {
                (Code::Wrong, Some("name the state directory of this plan, or none, to use its own"))
            }
            LedgerError::Corrupt { .. } => (
                Code::Incomplete,
                Some("restore the file, or move it away and run again: both sides are compared afresh"),
            ),
            LedgerError::Gone { .. } => (
                Code::Incomplete,
                Some("put the state directory back, or run again without it: both sides are compared afresh"),
            ),
            LedgerError::Full { .. } => (Code::Incomplete, Some("make room, then run the same command again")),
            LedgerError::Other { action: "open", .. } => (Code::Incomplete, Some(UNWRITABLE)),
            LedgerError::Other { .. } => (Code::Incomplete, None),
        };
        Self { mend: mend.map(str::to_owned), ..Self::new(code, with_causes(error)).coded(error.code()) }
    }

    /// A failure of the engine.
    pub(super) fn engine(error: &EngineError, redactor: Redactor) -> Self {
        if let EngineError::Ledger(error) = error {
            return Self::ledger(error);
        }
        let message = error.hidden(&with_causes(error), redactor);
        let forbidden = matches!(error, EngineError::Store(error) if error.kind() == ErrorKind::Forbidden);
        let code = if error.is_blocking() || forbidden { Code::Differs } else { Code::Incomplete };
        let is_unreached = error.is_unreached();
        Self { mend: error.mend().map(str::to_owned), is_unreached, ..Self::new(code, message).coded(error.code()) }
    }

    /// The failure with all servers that cannot be asked in place of the first.
    pub(super) fn replaced_by(self, message: String, unreached: &[Unreached]) -> Self {
        let unreached = serde_json::to_value(unreached).expect("servers are plain data");
        Self { message, mend: None, details: Some(Details::Unreached(unreached)), ..self }.coded("unreached")
    }

    /// The failure as a document.
    pub(super) fn to_json(&self) -> Value {
        let next = self.next.as_deref().and_then(Next::command);
        let mut error = json!({ "code": self.word, "message": self.message, "mend": self.mend(), "next": next });
        match &self.details {
            Some(Details::Diagnostics(diagnostics)) => error["diagnostics"] = diagnostics.clone(),
            Some(Details::Changes(changes)) => error["changes"] = changes.clone(),
            Some(Details::Deletions(deletions)) => error["would_delete"] = deletions.clone(),
            Some(Details::Unreached(servers)) => error["unreached"] = servers.clone(),
            None => {}
        }
        json!({ "error": error })
    }

    /// The failure for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = match &self.details {
            Some(Details::Diagnostics(_)) => self.message.clone(),
            _ => format!("error: {}", self.message),
        };
        if let Some(mend) = self.mend().filter(|mend| !self.message.contains(mend)) {
            let _ = write!(text, "\nhelp: {mend}");
        }
        match self.next.as_deref() {
            Some(Next::Command { command, .. }) => _ = write!(text, "\nnext: {command}"),
            Some(nothing @ Next::Nothing(_)) => _ = write!(text, "\n{nothing}"),
            None => {}
        }
        text
    }
}

impl From<Diagnostics> for Failure {
    fn from(wrong: Diagnostics) -> Self {
        let diagnostics = serde_json::to_value(&wrong).expect("diagnostics are plain data");
        // A plan that its own rules forbid is read and understood.
        let failure = if wrong.are_rules() {
            Self::new(Code::Differs, wrong.to_string()).coded("forbidden")
        } else {
            Self::new(Code::Wrong, wrong.to_string()).coded("plan_invalid")
        };
        Self { details: Some(Details::Diagnostics(diagnostics)), ..failure }
    }
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

/// A name that the plan does not have, with the nearest one that it has.
pub(super) fn unknown_name<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>, plan: &Plan) -> Failure {
    let failure = Failure::new(Code::Wrong, format!("plan {} has no {what} {name:?}", plan.name)).coded("unknown_name");
    let known: Vec<_> = known.collect();
    let nearest = known.iter().min_by_key(|known| strsim::osa_distance(known, name));
    match nearest.filter(|nearest| strsim::osa_distance(nearest, name) <= 3) {
        Some(nearest) => failure.mended_by(format!("did you mean {nearest:?}?")),
        None => failure.mended_by(format!("it has {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::DatasetName;
    use migrate_store::StoreError;

    #[test]
    fn every_class_of_error_has_its_code() {
        let dataset = DatasetName::new("d").unwrap();
        let shown = Redactor::new(false);
        let changed = EngineError::MeaningChanged { dataset, difference: "source".into() };
        assert_eq!(Failure::engine(&changed, shown).code, Code::Differs);
        let store = |kind| EngineError::Store(StoreError::new(kind, "list", "s3://a/b", "no"));
        assert_eq!(Failure::engine(&store(ErrorKind::Unreachable), shown).code, Code::Incomplete);
        assert_eq!(Failure::engine(&store(ErrorKind::Forbidden), shown).code, Code::Differs);
        let full = LedgerError::Full { path: "l".into() };
        assert_eq!(Failure::engine(&EngineError::Ledger(full), shown).code, Code::Incomplete);
        let other = LedgerError::OtherPlan { path: "l".into(), found: "x".into() };
        assert_eq!(Failure::ledger(&other).code, Code::Wrong);
    }

    #[test]
    fn an_error_hides_its_key_where_asked() {
        let error = StoreError::new(ErrorKind::Denied, "read", "s3://a/b", "no").on(&"ann.json".into());
        let failure = Failure::engine(&EngineError::Store(error), Redactor::new(true));
        assert!(!failure.to_text().contains("ann.json"), "{}", failure.to_text());
        assert!(failure.to_text().contains("help: give"), "{}", failure.to_text());
    }
}
