//! Why the ledger could not be opened, read or written.

use std::path::PathBuf;

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A later version of this tool wrote the file.
    #[error("the ledger {path} has format {found}, newer than this build's {known}: use the newer migrate")]
    Newer {
        /// Path of the ledger's file.
        path: PathBuf,
        /// Format of the file.
        found: i64,
        /// The only format that this build can read.
        known: i64,
    },
    /// An earlier version of this tool wrote the file, in a format that is no longer read.
    #[error(
        "the ledger {path} has format {found}, older than this build's {known}: finish with the migrate that began it, \
         or name another --state directory to begin anew, which compares both sides afresh"
    )]
    Older {
        /// Path of the ledger's file.
        path: PathBuf,
        /// Format of the file.
        found: i64,
        /// The only format that this build can read.
        known: i64,
    },
    /// The file belongs to a plan of another name.
    #[error("the ledger {path} belongs to plan {found:?}: give this plan another name or another --state directory")]
    OtherPlan {
        /// Path of the ledger's file.
        path: PathBuf,
        /// Name of the plan it belongs to.
        found: String,
    },
    /// The file is damaged.
    #[error(
        "the ledger {path} is damaged: {detail}; nothing at the sites is lost: restore the file, or move it away and \
         run again, which compares both sides afresh"
    )]
    Corrupt {
        /// Path of the ledger's file.
        path: PathBuf,
        /// The text of the error from SQLite, or of the failed check.
        detail: String,
    },
    /// The file is no longer at the path where it was opened. Nothing of the batch was written.
    #[error(
        "the ledger {path} was removed, moved or replaced under this process, which stops: what it had done since \
         its last commit is not recorded, and nothing at the sites is lost"
    )]
    Gone {
        /// Path of the ledger's file.
        path: PathBuf,
    },
    /// The disk of the file is full. Nothing of the batch was written.
    #[error("the disk of the ledger {path} is full: make room, then run the same command again")]
    Full {
        /// Path of the ledger's file.
        path: PathBuf,
    },
    /// Any other failure.
    #[error("failed to {action} the ledger {path}")]
    Other {
        /// Path of the ledger's file.
        path: PathBuf,
        /// The failed action: "open", "read" or "write".
        action: &'static str,
        /// The error from SQLite or the operating system, or the text of the failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LedgerError {
    /// The error in one word, as JSON names it; a word never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "ledger_newer",
            Self::Older { .. } => "ledger_older",
            Self::OtherPlan { .. } => "ledger_of_other_plan",
            Self::Corrupt { .. } => "ledger_damaged",
            Self::Gone { .. } => "ledger_gone",
            Self::Full { .. } => "disk_full",
            Self::Other { .. } => "ledger_failed",
        }
    }
}
