//! Why a request has failed, in plain types.

use std::error::Error;

use migrate_store::ErrorKind;

/// Why an answer is not believed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Unsound {
    /// [`ErrorKind::Unavailable`] for an answer that is not whole, [`ErrorKind::Garbled`] for an unexpected one.
    pub(crate) kind: ErrorKind,
    /// It does not even begin as the protocol's answers do: something else answers, for example a proxy.
    pub(crate) foreign: bool,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// Why a request was not answered with a success.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A whole answer of the protocol that is no success.
    Refused(Refused),
    /// An answer that the protocol does not have: its status, its body if something else seems to answer, and what is wrong
    /// with it.
    Unsound(u16, Vec<u8>, Unsound),
    /// An answer that could not be read to its end, or is too long.
    Unread(Cause),
    /// No answer in time.
    TimedOut(Cause),
    /// The request cannot be made, so nothing was sent.
    NotMade(Cause),
    /// No credentials to sign with, so nothing was sent.
    NoCredentials(String),
    /// No connection, so nothing was sent: the first cause, and the error.
    NoConnection(String, Cause),
    /// The connection broke: the first cause, and the error.
    Broke(String, Cause),
    /// Something else.
    Other(String),
}

/// The error of a library, with its causes.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A whole answer of the protocol that is no success.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// Empty if the answer has none.
    pub(crate) code: String,
    pub(crate) message: Option<String>,
    /// What is at its limit, for people, if the server names it.
    pub(crate) at_limit: Option<String>,
    /// `x-amz-bucket-region`, which S3 sends
    pub(crate) region: Option<String>,
    /// It has no body.
    pub(crate) is_bare: bool,
}
