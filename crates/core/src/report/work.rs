//! [`RunWork`]: what a run has done.

use serde::Serialize;

/// What a run has done since it began, over all datasets and targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RunWork {
    /// Records written at targets: one for each target.
    pub copied: u64,
    /// Bytes of these; `None` if nobody counts them, as in a repair.
    pub copied_bytes: Option<u64>,
    /// Records deleted at targets.
    pub deleted: u64,
    /// Comparisons of verifications: one for each target.
    pub compared: u64,
}
