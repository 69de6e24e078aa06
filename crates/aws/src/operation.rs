//! [`Operation`]: what is being done where, and what a request without a success means for it.

use migrate_store::{ErrorKind, Retry, StoreError};

use crate::failed::{Failed, Refused, Unsound};

/// Texts from the two ends of a connection if only one of them speaks TLS, or does not trust the other, with the
/// meaning for the plan. The words are those of rustls, of hyper, and of servers.
const MISMATCHES: [(&str, &str); 5] = [
    ("InvalidContentType", "; it does not speak TLS: write http:// in the endpoint"),
    ("UnknownIssuer", "; this machine does not know the authority of its certificate: name it with `ca_file`"),
    ("not valid for name", "; its certificate is for another host name: write that one in the endpoint"),
    ("HTTP version", "; it may speak TLS: write https:// in the endpoint"),
    ("HTTPS", "; it speaks TLS: write https:// in the endpoint"),
];

/// What the answers of a protocol mean.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What a body that is no answer of the protocol may mean.
    pub(crate) foreign: &'static str,
    /// The meaning of a whole answer that is no success, with one phrase about the cause.
    pub(crate) refused: fn(&Refused) -> (ErrorKind, String),
    /// The meaning of a status alone.
    pub(crate) status: fn(u16) -> ErrorKind,
}

/// The current operation, for the error's text and for the meaning of a lost answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation<'a> {
    pub(crate) name: &'static str,
    pub(crate) location: &'a str,
    /// The operation changes the store: without an answer its outcome is unknown.
    pub(crate) writes: bool,
    pub(crate) dialect: &'static Dialect,
}

impl Operation<'_> {
    pub(crate) fn error(&self, kind: ErrorKind, detail: impl Into<Box<str>>) -> StoreError {
        StoreError::new(kind, self.name, self.location, detail)
    }

    /// No answer in time.
    pub(crate) fn timed_out(&self, seconds: u64) -> StoreError {
        self.maybe_done(self.error(ErrorKind::TimedOut, format!("no answer within {seconds} s")))
    }

    /// The meaning of a request without a success.
    pub(crate) fn failed(&self, failed: Failed) -> StoreError {
        match failed {
            Failed::Refused(refused) => self.refused(&refused),
            Failed::Unsound(status, body, unsound) => self.unsound(status, &body, &unsound),
            Failed::Unread(cause) => {
                let detail = "the answer could not be read to its end, or is too long";
                self.maybe_done(self.error(ErrorKind::Unavailable, detail).because(cause))
            }
            Failed::TimedOut(cause) => {
                self.maybe_done(self.error(ErrorKind::TimedOut, "no answer in time").because(cause))
            }
            Failed::NotMade(cause) => self.error(ErrorKind::Other, "the request cannot be made").because(cause),
            Failed::NoCredentials(root) => {
                // What follows the first line lists every provider of the chain that has none.
                let first = root.lines().next().unwrap_or_default();
                let is_chain = first.starts_with("no credentials found in chain");
                let why = if is_chain { "AWS's credential chain has none" } else { first };
                self.error(ErrorKind::Credentials, format!("no credentials: {why}"))
            }
            Failed::NoConnection(root, cause) => {
                let hint = mismatch(&root).unwrap_or_default();
                self.error(ErrorKind::Unreachable, format!("no connection: {root}{hint}")).because(cause)
            }
            Failed::Broke(root, cause) => {
                let hint = mismatch(&root).unwrap_or_default();
                let detail = format!("the connection broke: {root}{hint}");
                self.maybe_done(self.error(ErrorKind::Unavailable, detail).because(cause))
            }
            Failed::Other(detail) => self.maybe_done(self.error(ErrorKind::Other, detail)),
        }
    }

    /// The meaning of a whole answer that is no success.
    fn refused(&self, refused: &Refused) -> StoreError {
        let (kind, detail) = (self.dialect.refused)(refused);
        let mut answer = self.error(kind, detail);
        if let Some(what) = &refused.at_limit {
            answer = answer.at_limit_of(&**what);
        }
        // A 200 without success is an error inside, or an answer that cannot be read.
        if refused.status >= 500 || (200..300).contains(&refused.status) { self.maybe_done(answer) } else { answer }
    }

    /// The meaning of an answer that the protocol does not have.
    fn unsound(&self, status: u16, body: &[u8], unsound: &Unsound) -> StoreError {
        let is_success = (200..300).contains(&status);
        let kind = match status {
            _ if is_success => unsound.kind,
            // A request that does not even reach the server is refused: nothing is gone.
            404 if self.writes && unsound.foreign => ErrorKind::Other,
            status => self.kind_of_unsound(status, unsound),
        };
        let mut detail = unsound.to_string();
        if !is_success {
            detail = format!("HTTP status {status}, and {detail}");
        }
        if unsound.foreign {
            detail.push_str(mismatch(&String::from_utf8_lossy(body)).unwrap_or(self.dialect.foreign));
        }
        let answer = self.error(kind, detail);
        if kind.retry() == Retry::Permanent { answer } else { self.maybe_done(answer) }
    }

    /// The meaning of an answer that is no success and has no document of the protocol as its body: only the status is left.
    ///
    /// The status is not believed if a wrong belief would lose something: that an object is gone, or that another
    /// writer has written it. It is not believed either if the server seems to have answered and the code was cut off.
    pub(crate) fn kind_of_unsound(self, status: u16, unsound: &Unsound) -> ErrorKind {
        match (self.dialect.status)(status) {
            kind if kind.retry() != Retry::Permanent => kind,
            ErrorKind::NotFound | ErrorKind::Precondition => ErrorKind::Unavailable,
            kind if unsound.foreign => kind,
            _ => ErrorKind::Unavailable,
        }
    }

    fn maybe_done(&self, error: StoreError) -> StoreError {
        if self.writes { error.with_unknown_outcome() } else { error }
    }
}

/// The hint for a text that says that the two ends do not fit together.
pub(crate) fn mismatch(text: &str) -> Option<&'static str> {
    MISMATCHES.into_iter().find(|(said, _)| text.contains(said)).map(|(_, hint)| hint)
}
