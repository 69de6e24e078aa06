//! Why one operation failed, before its callers are known: a failed commit fails every batch in it, so a failure can
//! be cloned.

use std::{path::Path, sync::Arc};

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::LedgerError;

/// A failure of one statement, batch or commit.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// An error from SQLite.
    Sqlite(Arc<Error>),
    /// A record contradicts the ledger: a bug of this tool.
    Illegal(String),
    /// The file holds data in a form that this tool never writes.
    Damaged(String),
    /// The file is no longer where it was opened.
    Gone,
    /// The thread for this work has stopped.
    Stopped(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl Failure {
    fn sqlite(&self) -> Option<ffi::Error> {
        match self {
            Self::Sqlite(error) => error.sqlite_error().copied(),
            _ => None,
        }
    }

    /// Whether the operating system failed to read or write. After a failed sync the content of the disk is
    /// unknown, and asking again may return a wrong answer (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
    pub(super) fn is_io(&self) -> bool {
        self.sqlite().is_some_and(|error| error.code == ErrorCode::SystemIoFailure && !is_full(error))
    }

    /// Whether the file could not be opened as requested, for example because its directory is read-only.
    pub(super) fn cannot_open(&self) -> bool {
        self.sqlite().is_some_and(|error| matches!(error.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    }

    /// The error that callers see; `action` is "open", "read" or "write".
    pub(super) fn into_error(self, path: &Path, action: &'static str) -> LedgerError {
        let path = path.to_owned();
        if let Some(error) = self.sqlite() {
            if is_full(error) {
                return LedgerError::Full { path };
            }
            if matches!(error.code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) {
                return LedgerError::Corrupt { path, detail: self.detail() };
            }
        }
        match self {
            Self::Gone => LedgerError::Gone { path },
            Self::Damaged(detail) => LedgerError::Corrupt { path, detail },
            Self::Sqlite(error) if is_conversion(&error) => LedgerError::Corrupt { path, detail: error.to_string() },
            Self::Sqlite(error) => LedgerError::Other { path, action, source: Box::new(error) },
            Self::Illegal(detail) => LedgerError::Other { path, action, source: detail.into() },
            Self::Stopped(why) => LedgerError::Other { path, action, source: why.into() },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Sqlite(error) => error.to_string(),
            Self::Illegal(detail) | Self::Damaged(detail) => detail.clone(),
            Self::Gone => "it is gone".to_owned(),
            Self::Stopped(why) => (*why).to_owned(),
        }
    }
}

/// SQLite says `SQLITE_FULL` if a write finds no room, but `SQLITE_IOERR_SHMSIZE` if its shared-memory file cannot
/// grow (`unixShmMap` in `os_unix.c`).
fn is_full(error: ffi::Error) -> bool {
    error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

fn is_conversion(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..)
    )
}
