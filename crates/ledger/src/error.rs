//! Why the ledger could not be opened, read or written.

use std::path::PathBuf;

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It was written by a later version of this tool.
    #[error("the ledger {path} has format {found}, newer than this build's {known}: use the newer migrate")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this build knows.
        known: i64,
    },
    /// It was written by an earlier version of this tool, in a format that is no longer read.
    #[error(
        "the ledger {path} has format {found}, older than this build's {known}: finish with the migrate that began it, \
         or name another --state directory to begin anew, which compares both sides afresh"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format that this build knows.
        known: i64,
    },
    /// It belongs to a plan of another name.
    #[error("the ledger {path} belongs to plan {found:?}: give this plan another name or another --state directory")]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// The plan it belongs to.
        found: String,
    },
    /// It is damaged.
    #[error(
        "the ledger {path} is damaged: {detail}; nothing at the sites is lost: restore the file, or move it away and \
         run again, which compares both sides afresh"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// It is no longer where it was opened. Nothing of the batch was written.
    #[error(
        "the ledger {path} was removed, moved or replaced under this process, which stops: what it had done since \
         its last commit is not recorded, and nothing at the sites is lost"
    )]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// Its disk is full. Nothing of the batch was written.
    #[error("the disk of the ledger {path} is full: make room, then run the same command again")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{action} the ledger {path}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What was tried: "open", "read", "write".
        action: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
