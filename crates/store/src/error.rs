//! What can go wrong with a store, and what that means for trying again.

use std::fmt;

use migrate_core::model::Key;

/// Whether and how an operation is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// A retry cannot help.
    Permanent,
    /// The store asks for fewer requests: back off further, then try again.
    Throttled,
    /// A retry may succeed.
    Transient,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No object has this key.
    NotFound,
    /// The bucket or directory does not exist.
    NoContainer,
    /// The multipart upload does not exist.
    NoUpload,
    /// The store knows the identity, and the identity lacks this right.
    Denied,
    /// The identity is unknown, its secret is wrong, or its token has expired.
    Credentials,
    /// The bucket lies in another region than the one that requests are signed for.
    WrongRegion,
    /// The clocks of the two machines differ by too much for a signature to hold.
    ClockSkew,
    /// The condition of a write does not hold.
    Precondition,
    /// Another write was under way on the same key.
    Conflict,
    /// The object is no longer the version that was pinned.
    Changed,
    /// This store cannot hold such a key.
    KeyUnholdable,
    /// The store does not know the operation or option.
    Unsupported,
    /// The bytes that arrived are not the bytes that were sent.
    Corrupt,
    /// No room is left.
    Full,
    /// A sync failed: the content of the disk is unknown, and a read would answer from the page cache.
    Unsynced,
    /// The store asks for fewer requests.
    Throttled,
    /// No answer in time.
    TimedOut,
    /// The endpoint could not be reached at all; nothing was sent.
    Unreachable,
    /// The connection broke, or the store failed on its side.
    Unavailable,
    /// The store answered in a form that is not understood: only a look shows what it did.
    Garbled,
    /// A rule of this tool forbids it, for example data residency.
    Forbidden,
    /// This process may no longer write there, because it cannot show that it still drives the dataset: nothing was
    /// sent.
    ClaimLost,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind in one word, as JSON names it; a word never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoContainer => "no_container",
            Self::NoUpload => "no_upload",
            Self::Denied => "denied",
            Self::Credentials => "credentials",
            Self::WrongRegion => "wrong_region",
            Self::ClockSkew => "clock_skew",
            Self::Precondition => "precondition",
            Self::Conflict => "conflict",
            Self::Changed => "changed",
            Self::KeyUnholdable => "key_unholdable",
            Self::Unsupported => "unsupported_by_store",
            Self::Corrupt => "corrupt",
            Self::Full => "disk_full",
            Self::Unsynced => "unsynced",
            Self::Throttled => "throttled",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Unavailable => "unavailable",
            Self::Garbled => "garbled",
            Self::Forbidden => "forbidden",
            Self::ClaimLost => "claim_lost",
            Self::Other => "other",
        }
    }

    /// Whether trying again can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::Throttled => Retry::Throttled,
            Self::Conflict | Self::Corrupt | Self::Garbled | Self::TimedOut | Self::Unreachable | Self::Unavailable => {
                Retry::Transient
            }
            _ => Retry::Permanent,
        }
    }

    /// The advice for the operator, if there is one.
    pub fn mend(self) -> Option<&'static str> {
        Some(match self {
            Self::NoContainer => "create it, or correct the location in the plan",
            Self::Denied => {
                "give the site's identity the right to do this; for a directory, that is the user who runs migrate, and \
                 the file system has to be mounted for writing"
            }
            Self::Credentials => "check the credentials of the site; expired ones must be renewed",
            Self::WrongRegion => {
                "set the site's `region` to the bucket's own, and its endpoint, if it names one, to that region's"
            }
            Self::ClockSkew => "set this machine's clock (NTP); signatures hold for 15 minutes",
            Self::KeyUnholdable => "exclude the key, or choose a target that can hold it",
            Self::Full => "make room at the target",
            Self::Unsynced => {
                "check the disk, its mount and the kernel's log, then run the same command again: it looks afresh"
            }
            Self::Unreachable | Self::TimedOut => "check the endpoint in the plan, the network and the proxy settings",
            Self::Throttled => "lower the site's limits, or ask for more capacity",
            _ => return None,
        })
    }
}

/// A failed store operation.
///
/// Its text says "failed to ..." with the operation and the location. The cause is in
/// [`source`](std::error::Error::source), not repeated.
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    operation: &'static str,
    location: Box<str>,
    key: Option<Key>,
    detail: Box<str>,
    outcome_unknown: bool,
    at_limit: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `operation` ("read", "list", "write part") at a store's location. `detail` is
    /// one phrase about the cause.
    pub fn new(kind: ErrorKind, operation: &'static str, location: &str, detail: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            operation,
            location: location.into(),
            key: None,
            detail: detail.into(),
            outcome_unknown: false,
            at_limit: None,
            source: None,
        }
    }

    /// Adds the key.
    #[must_use]
    pub fn on(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Says that the write may have happened although it failed.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// Names what is at its limit, for people: "the index by-date of the table orders".
    #[must_use]
    pub fn at_limit_of(mut self, what: impl Into<Box<str>>) -> Self {
        self.at_limit = Some(what.into());
        self
    }

    /// Replaces the kind, once the failure is understood better.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The location of the place that failed, as its store gives it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The key, if the operation had one.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The phrase about the cause.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The error as the reason for which a record failed at a place. The message around it names the record and the
    /// place, so this does not: the place only if it is another one.
    pub fn reason(&self, at: &str) -> String {
        let what = if self.key.is_some() { " it" } else { "" };
        if *self.location == *at {
            format!("failed to {}{what}: {}", self.operation, self.detail)
        } else {
            format!("failed to {}{what} at {}: {}", self.operation, self.location, self.detail)
        }
    }

    /// What is at its limit, if the store asks for fewer requests and names it.
    pub fn at_limit(&self) -> Option<&str> {
        self.at_limit.as_deref()
    }

    /// Whether the write may have happened although its answer was lost.
    pub fn outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.operation)?;
        if let Some(key) = &self.key {
            write!(f, " {key}")?;
        }
        write!(f, " at {}: {}", self.location, self.detail)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failed_record_repeats_neither_its_key_nor_its_place() {
        let error = StoreError::new(ErrorKind::Denied, "write", "s3://a/b", "no right").on(&"k".into());
        assert_eq!(error.to_string(), "failed to write k at s3://a/b: no right");
        assert_eq!(error.reason("s3://a/b"), "failed to write it: no right");
        assert_eq!(error.reason("s3://c/d"), "failed to write it at s3://a/b: no right");
    }
}
