//! Why a cloud did not start.

use std::io;

use migrate_store::StoreError;

/// Why a cloud did not start.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A thread, a port or a directory.
    #[error("failed to {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A store that could not be filled.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task panicked: a defect of this tool.
    #[error("a task panicked, which is a defect of migrate: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> CloudError {
    let what = what.into();
    move |source| CloudError::Io { what, source }
}
