//! Conditions of writes.

use crate::model::Token;

/// What must hold at the target for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// No object has this key.
    Absent,
    /// The object is still this version.
    Matches(Token),
}
